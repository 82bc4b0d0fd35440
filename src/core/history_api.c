/* history_api.c -- stored values as JSON columns, one series after the other, streamed. */
#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"
#include "core/api.h"
#include "core/handlers.h"
#include "historian/historian.h"

#include <stdlib.h>

#define TAGS_MAX     64
#define POINTS_MAX   100000
#define COLUMN_BYTES (64u << 20) /* one column of one series */
#define QUERIES_MAX  8           /* each keeps a worker until its client has read the answer */

static const char *const fn_names[] = {"raw", "minmax", "avg", "last"}; /* by enum history_fn */

struct question {
    const char *tags[TAGS_MAX];
    unsigned tag_count;
    int64_t from_us, to_us;
    enum history_fn fn;
    uint32_t max_points;
};

/* --- reading the question -------------------------------------------------------------------------------------------
 */

static bool
parse_time(const char *text, int64_t *out)
{
    int64_t ms = 0;

    if (num_i64(slice_str(text), &ms) && ms > -9000000000000 && ms < 9000000000000) {
        *out = ms * 1000;
        return true;
    }
    return timefmt_parse(slice_str(text), out);
}

static bool
parse_fn(const char *text, enum history_fn *out)
{
    for (unsigned i = 0; i < MEM_COUNT(fn_names); i++) {
        if (strcmp(text, fn_names[i]) == 0) {
            *out = (enum history_fn)i;
            return true;
        }
    }
    return false;
}

/* Faults go to the caller's way of answering: a parameter or a member. */
typedef void fault_f(struct http_req *req, const char *name, const char *detail);

static void
fault_in_body(struct http_req *req, const char *name, const char *detail)
{
    api_fail_field(req, arena_printf(http_arena(req), "/%s", name), "invalid", detail);
}

struct words {
    const char *from, *to, *fn, *max_points; /* NULL: absent */
};

static bool
take_words(struct http_req *req, const struct words *w, struct question *q, fault_f *fault)
{
    int64_t n = 1000;

    q->fn = HISTORY_MINMAX;
    q->to_us = core_now_us();
    if (!w->from || !parse_time(w->from, &q->from_us))
        fault(req, "from", "from is a time: RFC 3339, or milliseconds since 1970");
    else if (w->to && !parse_time(w->to, &q->to_us))
        fault(req, "to", "to is a time: RFC 3339, or milliseconds since 1970");
    else if (q->from_us >= q->to_us)
        fault(req, "from", "from lies before to");
    else if (w->fn && !parse_fn(w->fn, &q->fn))
        fault(req, "fn", "fn is raw, minmax, avg or last");
    else if (w->max_points && (!num_i64(slice_str(w->max_points), &n) || n < 1 || n > POINTS_MAX))
        fault(req, "max_points", "max_points is a number from 1 to 100000");
    else {
        q->max_points = (uint32_t)n;
        return true;
    }
    return false;
}

static bool
take_tag_list(struct http_req *req, struct question *q)
{
    const char *given = http_query(req, "tags");
    char *save = NULL, *text = arena_strdup(http_arena(req), given ? given : "");

    for (char *tag = strtok_r(text, ",", &save); tag; tag = strtok_r(NULL, ",", &save)) {
        if (q->tag_count == TAGS_MAX) {
            api_fail_param(req, "tags", "at most 64 tags at once");
            return false;
        }
        q->tags[q->tag_count++] = tag;
    }
    if (q->tag_count == 0)
        api_fail_param(req, "tags", "tags is a list of topics or device/tag ids, separated by commas");
    return q->tag_count > 0;
}

static bool
take_tag_array(struct http_req *req, const json_t *tags, struct question *q)
{
    size_t i;
    json_t *tag;

    if (json_array_size(tags) == 0 || json_array_size(tags) > TAGS_MAX) {
        api_fail_field(req, "/tags", "invalid", "tags is a list of 1 to 64 topics or device/tag ids");
        return false;
    }
    json_array_foreach (tags, i, tag) {
        if (!json_is_string(tag)) {
            api_fail_field(req, arena_printf(http_arena(req), "/tags/%zu", i), "invalid", "a tag is a text");
            return false;
        }
        q->tags[q->tag_count++] = json_string_value(tag);
    }
    return true;
}

/* --- one series ------------------------------------------------------------------------------------------------------
 */

struct columns {
    struct wbuf t, v, q;
};

static void
put_value(struct wbuf *w, const struct history_row *row)
{
    const struct nx_value *v = &row->value;

    if (nx_quality_is_bad(row->quality) || v->type == NX_TYPE_NONE)
        wbuf_str(w, "null");
    else if (v->type == NX_TYPE_BOOL)
        wbuf_str(w, v->b ? "true" : "false");
    else if (v->type == NX_TYPE_INT)
        wbuf_i64(w, v->i);
    else if (v->type == NX_TYPE_UINT)
        wbuf_u64(w, v->u);
    else if (v->type == NX_TYPE_DOUBLE)
        wbuf_double(w, v->d);
    else
        wbuf_json_string(w, slice(v->s, v->len));
}

static bool
take_row(void *arg, const struct history_row *row)
{
    struct columns *c = arg;

    if (c->t.len > 0) {
        wbuf_char(&c->t, ',');
        wbuf_char(&c->v, ',');
        wbuf_char(&c->q, ',');
    }
    if (row->time_us % 1000 == 0)
        wbuf_i64(&c->t, row->time_us / 1000);
    else
        wbuf_double(&c->t, (double)row->time_us / 1000.0);
    put_value(&c->v, row);
    wbuf_u64(&c->q, row->quality);
    return !c->v.failed;
}

static void
put_series(struct wbuf *out, const char *tag, const char *topic, const struct columns *c,
           const struct history_summary *summary, const char *fault)
{
    wbuf_str(out, "{\"tag\":");
    wbuf_json_string(out, slice_str(tag));
    wbuf_str(out, ",\"topic\":");
    wbuf_json_string(out, slice_str(topic));
    if (summary->unit && *summary->unit) {
        wbuf_str(out, ",\"unit\":");
        wbuf_json_string(out, slice_str(summary->unit));
    }
    wbuf_str(out, ",\"raw_count\":");
    wbuf_u64(out, summary->raw_count);
    wbuf_str(out, ",\"bucket_ms\":");
    wbuf_double(out, (double)summary->bucket_us / 1000.0);
    wbuf_printf(out, ",\"truncated\":%s", summary->has_more ? "true" : "false");
    if (fault) {
        wbuf_str(out, ",\"error\":");
        wbuf_json_string(out, slice_str(fault));
        wbuf_str(out, ",\"t\":[],\"v\":[],\"q\":[]}");
        return;
    }
    wbuf_str(out, ",\"t\":[");
    wbuf_slice(out, wbuf_slice_of(&c->t));
    wbuf_str(out, "],\"v\":[");
    wbuf_slice(out, wbuf_slice_of(&c->v));
    wbuf_str(out, "],\"q\":[");
    wbuf_slice(out, wbuf_slice_of(&c->q));
    wbuf_str(out, "]}");
}

/* Appends one series. A topic that was never stored is an empty series: its tag may be new. */
static enum nx_err
run_series(struct core *core, struct historian *h, const struct question *q, const char *tag, struct wbuf *out)
{
    const char *topic = live_tag_topic(core->live, tag);
    struct columns c = {wbuf_init(COLUMN_BYTES), wbuf_init(COLUMN_BYTES), wbuf_init(COLUMN_BYTES)};
    struct history_query query = {.topic = topic ? topic : tag,
                                  .from_us = q->from_us,
                                  .to_us = q->to_us,
                                  .fn = q->fn,
                                  .max_points = q->max_points};
    struct history_summary summary = {0};
    struct arena a = {0};
    struct nx_note why = {0};
    enum nx_err err = historian_query(h, &query, &a, take_row, &c, &summary, &why);

    if (err == NX_E_NOT_FOUND)
        err = NX_OK;
    if (err == NX_OK && (c.t.failed || c.v.failed || c.q.failed))
        err = nx_fail(&why, NX_E_TOO_LARGE, "the values of this series take more than 64 MiB: ask for a shorter time");
    put_series(out, tag, query.topic, &c, &summary, err == NX_OK ? NULL : why.text);
    wbuf_free(&c.t);
    wbuf_free(&c.v);
    wbuf_free(&c.q);
    arena_free(&a);
    return err;
}

/* --- the whole
 * -------------------------------------------------------------------------------------------------------- */

/* false: a historian that does not answer as it should is not kept. */
static bool
stream(struct http_req *req, struct core *core, struct historian *h, const struct question *q)
{
    struct wbuf out = wbuf_init(0);
    bool is_good = true, goes_on = true;

    http_stream_begin(req, 200, "application/json");
    wbuf_printf(&out, "{\"fn\":\"%s\",\"from\":%lld,\"to\":%lld,\"series\":[", fn_names[q->fn],
                (long long)(q->from_us / 1000), (long long)(q->to_us / 1000));
    for (unsigned i = 0; i < q->tag_count && goes_on; i++) {
        if (i > 0)
            wbuf_char(&out, ',');
        is_good = run_series(core, h, q, q->tags[i], &out) == NX_OK && is_good;
        goes_on = http_stream_write(req, wbuf_slice_of(&out));
        wbuf_reset(&out);
    }
    wbuf_str(&out, "]}");
    if (goes_on)
        (void)http_stream_write(req, wbuf_slice_of(&out));
    http_stream_end(req);
    wbuf_free(&out);
    return is_good;
}

static void
deny_no_historian(struct http_req *req, const struct nx_note *why)
{
    http_respond_problem(req, &(struct http_problem){.status = 503,
                                                     .code = "historian_unavailable",
                                                     .title = "No history",
                                                     .detail = why->text,
                                                     .cause_layer = "storage",
                                                     .fixes = {"Check that ingestion is running: it makes the store.",
                                                               "Check historian.url of ingestion and of the core."}});
}

static void
deny_crowd(struct http_req *req)
{
    http_set_header(req, "Retry-After", "1");
    http_respond_problem(req, &(struct http_problem){.status = 503,
                                                     .code = "too_many_queries",
                                                     .title = "Other queries are running",
                                                     .detail = "as many history queries are running as may at once",
                                                     .fixes = {"Try again in a second, or ask for a shorter time."}});
}

static void
run(struct http_req *req, struct core *core, const struct question *q)
{
    struct historian *h = NULL;
    struct nx_note why = {0};

    if (readers_take(core->readers, &h, &why) != NX_OK)
        deny_no_historian(req, &why);
    else
        readers_give(core->readers, h, stream(req, core, h, q));
}

static void
answer(struct http_req *req, struct core *core, const struct question *q)
{
    if (__atomic_add_fetch(&core->queries_running, 1, __ATOMIC_RELAXED) > QUERIES_MAX)
        deny_crowd(req);
    else
        run(req, core, q);
    (void)__atomic_sub_fetch(&core->queries_running, 1, __ATOMIC_RELAXED);
}

void
history_get(struct http_req *req, void *arg)
{
    struct words words = {http_query(req, "from"), http_query(req, "to"), http_query(req, "fn"),
                          http_query(req, "max_points")};
    struct question q = {0};

    if (take_words(req, &words, &q, api_fail_param) && take_tag_list(req, &q))
        answer(req, arg, &q);
}

/* Numbers and texts alike; NULL when absent. */
static const char *
word_of(struct http_req *req, const json_t *body, const char *member)
{
    const json_t *value = json_object_get(body, member);

    if (json_is_integer(value))
        return arena_printf(http_arena(req), "%lld", (long long)json_integer_value(value));
    return value && !json_is_string(value) ? "?" : json_string_value(value);
}

void
history_post(struct http_req *req, void *arg)
{
    static const char *const members[] = {"tags", "from", "to", "fn", "max_points", NULL};
    json_t *body = api_body(req, members);
    struct words words;
    struct question q = {0};

    if (!body)
        return;
    words = (struct words){word_of(req, body, "from"), word_of(req, body, "to"), word_of(req, body, "fn"),
                           word_of(req, body, "max_points")};
    if (take_words(req, &words, &q, fault_in_body) && take_tag_array(req, json_object_get(body, "tags"), &q))
        answer(req, arg, &q);
}
