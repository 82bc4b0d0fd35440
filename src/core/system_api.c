/* system_api.c -- status, gateways, routes, the description of the API. */
#include "base/mem.h"
#include "core/api.h"
#include "core/handlers.h"
#include "core/ledger.h"
#include "historian/historian.h"

#include <stdlib.h>

/* --- status ----------------------------------------------------------------------------------------------------------
 */

static json_t *
component(const char *name, bool is_ok, const char *detail)
{
    json_t *c = json_pack("{s:s, s:b}", "name", name, "ok", is_ok);

    if (detail && *detail)
        json_object_set_new(c, "detail", json_string(detail));
    return c;
}

static bool
add_store(struct core *core, json_t *components, json_t *counts)
{
    struct store_tx *tx = NULL;
    struct store_counts n = {0};
    struct nx_note why = {0};
    enum nx_err err = store_begin(core->store, STORE_READ, &tx, &why);

    if (err == NX_OK)
        err = store_count(tx, &n, &why);
    store_rollback(&tx);
    json_array_append_new(components, component("store", err == NX_OK, why.text));
    json_object_set_new(counts, "devices", json_integer((json_int_t)n.devices));
    json_object_set_new(counts, "tags", json_integer((json_int_t)n.tags));
    return err == NX_OK;
}

static bool
add_broker(struct core *core, json_t *components)
{
    struct nx_note why = {0};
    bool is_online = bus_is_online(core, &why);

    json_array_append_new(components, component("broker", is_online, is_online ? NULL : why.text));
    return is_online;
}

static bool
add_historian(struct core *core, json_t *components)
{
    struct reader reader;
    struct nx_note why = {0}, away;
    enum nx_err err = readers_take(core->readers, READERS_ANY, &reader, &why);
    char *text = NULL;

    if (err == NX_OK) {
        readers_give(core->readers, reader, true);
        if (readers_is_away(core->readers, &away))
            text = mem_printf("read from the primary, the standby is away: %s", away.text);
    }
    json_array_append_new(components, component("historian", err == NX_OK, text ? text : why.text));
    free(text);
    return err == NX_OK;
}

static bool
add_gateways(struct core *core, json_t *components)
{
    unsigned online = 0, all = 0;
    char *text;

    status_count_gateways(core->status, &online, &all);
    text = online == all && all > 0 ? NULL
           : all == 0               ? mem_strdup("no gateway has reported to this broker yet: start `nexus gateway`")
                                    : mem_printf("%u of %u gateways are online", online, all);
    json_array_append_new(components, component("gateway", !text, text));
    free(text);
    return online == all && all > 0;
}

static json_t *
status_json(struct core *core)
{
    json_t *components = json_array(), *counts = json_object();
    bool is_ok = add_store(core, components, counts);

    is_ok = add_broker(core, components) && is_ok;
    is_ok = add_historian(core, components) && is_ok;
    is_ok = add_gateways(core, components) && is_ok;
    json_object_set_new(counts, "topics", json_integer((json_int_t)live_count(core->live)));
    json_object_set_new(counts, "live_clients", json_integer((json_int_t)hub_stats_of(core->hub)->clients));
    json_object_set_new(counts, "messages", json_integer((json_int_t)core->messages));
    return json_pack("{s:s, s:s, s:o, s:f, s:b, s:o, s:o}", "service", "core", "version", NX_VERSION, "started_at",
                     api_time(core->started_us), "uptime_s", (double)(core_now_us() - core->started_us) / 1e6, "ok",
                     is_ok, "components", components, "counts", counts);
}

void
system_status(struct http_req *req, void *arg)
{
    http_respond_json(req, 200, status_json(arg));
}

void
system_gateways(struct http_req *req, void *arg)
{
    struct core *core = arg;

    http_respond_json(req, 200, json_pack("{s:o}", "items", status_gateways(core->status)));
}

void
system_ledger(struct http_req *req, void *arg)
{
    struct core *core = arg;
    struct historian_books books;
    struct ledger_totals totals = {0};
    struct nx_note why = {0};
    json_t *items, *gateways, *reported;

    if (ledger_read(core, http_arena(req), &books, &why) != NX_OK) {
        http_respond_problem(req, &(struct http_problem){.status = 503,
                                                         .code = "historian_unavailable",
                                                         .title = "No ledger",
                                                         .detail = why.text,
                                                         .cause_layer = "storage",
                                                         .fixes = {"Check historian.url of ingestion and of the core.",
                                                                   "Check that the database is running."}});
        return;
    }
    items = json_array();
    gateways = json_array();
    reported = status_gateways(core->status);
    ledger_add_books(items, &totals, &books);
    ledger_add_gateways(gateways, &totals, reported);
    totals.lost = ledger_lost(&books, reported);
    json_decref(reported);
    http_respond_json(req, 200,
                      json_pack("{s:o, s:o, s:o}", "items", items, "gateways", gateways, "totals",
                                ledger_totals_json(&totals)));
}

void
system_routes(struct http_req *req, void *arg)
{
    (void)arg;
    http_respond_json(req, 200, json_pack("{s:o}", "items", routes_json()));
}

/* --- the description
 * -------------------------------------------------------------------------------------------------- */

void
system_openapi(struct http_req *req, void *arg)
{
    (void)arg;
    http_respond(req, 200, "application/json", slice(core_openapi_json, core_openapi_json_len));
}

static void
put_html(struct wbuf *w, const char *text)
{
    for (; text && *text; text++) {
        if (*text == '<' || *text == '&' || *text == '>' || *text == '"')
            wbuf_printf(w, "&#%d;", *text);
        else
            wbuf_char(w, *text);
    }
}

static void
put_element(struct wbuf *w, const char *element, const char *text)
{
    wbuf_printf(w, "<%s>", element);
    put_html(w, text);
    wbuf_printf(w, "</%s>\n", element);
}

static const char *
text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));

    return text ? text : "";
}

static void
put_responses(struct wbuf *w, const json_t *responses)
{
    const char *status;
    json_t *response;

    wbuf_str(w, "<p>Answers:");
    json_object_foreach ((json_t *)responses, status, response) {
        wbuf_char(w, ' ');
        put_html(w, status);
    }
    wbuf_str(w, "</p>\n");
}

static void
put_operation(struct wbuf *w, const char *method, const char *path, const json_t *op)
{
    size_t i;
    json_t *param;

    wbuf_str(w, "<section><h3><code>");
    for (const char *p = method; *p; p++)
        wbuf_char(w, (char)(*p - 'a' + 'A'));
    wbuf_char(w, ' ');
    put_html(w, path);
    wbuf_str(w, "</code></h3>\n");
    put_element(w, "p", text_of(op, "summary"));
    if (*text_of(op, "description"))
        put_element(w, "p", text_of(op, "description"));
    json_array_foreach (json_object_get(op, "parameters"), i, param) {
        if (!json_object_get(param, "name"))
            continue;
        wbuf_str(w, "<p><code>");
        put_html(w, text_of(param, "name"));
        wbuf_str(w, "</code> ");
        put_html(w, text_of(param, "description"));
        wbuf_str(w, "</p>\n");
    }
    put_responses(w, json_object_get(op, "responses"));
    wbuf_str(w, "</section>\n");
}

static void
put_paths(struct wbuf *w, json_t *paths)
{
    static const char *const methods[] = {"get", "post", "put", "patch", "delete"};
    const char *path;
    json_t *item;

    json_object_foreach (paths, path, item) {
        for (unsigned i = 0; i < MEM_COUNT(methods); i++) {
            const json_t *op = json_object_get(item, methods[i]);

            if (op)
                put_operation(w, methods[i], path, op);
        }
    }
}

void
system_docs(struct http_req *req, void *arg)
{
    json_t *doc = json_loadb((const char *)core_openapi_json, core_openapi_json_len, 0, NULL);
    struct wbuf w = wbuf_init(4u << 20);

    (void)arg;
    wbuf_str(&w, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>NEXUS Edge API</title>"
                 "<meta name=\"viewport\" content=\"width=device-width\"></head><body><main>\n");
    put_element(&w, "h1", text_of(json_object_get(doc, "info"), "title"));
    put_element(&w, "pre", text_of(json_object_get(doc, "info"), "description"));
    wbuf_str(&w, "<p>The whole description for programs: <a href=\"/api/openapi.json\">/api/openapi.json</a></p>\n");
    put_paths(&w, json_object_get(doc, "paths"));
    wbuf_str(&w, "</main></body></html>\n");
    json_decref(doc);
    http_set_header(req, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'self'");
    http_respond_buf(req, 200, "text/html; charset=utf-8", &w);
}
