/* cli_http.c -- requests of the commands for people, on libcurl. */
#include "app/cli.h"

#include "base/mem.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES (64u << 20)
#define PAGE         500
#define TIMEOUT_S    60L

struct reply {
    long status;
    CURLcode rc;
    char error[CURL_ERROR_SIZE];
    struct wbuf body;
};

static size_t
take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct wbuf *w = arg;

    wbuf_bytes(w, p, size * n);
    return w->failed ? 0 : size * n;
}

static struct curl_slist *
headers_of(const struct cli *c)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    const char *token = c->session ? c->session : c->token;

    headers = curl_slist_append(headers, "Expect:");
    if (token) {
        char *line = mem_printf("Authorization: Bearer %s", token);
        headers = curl_slist_append(headers, line);
        free(line);
    }
    return headers;
}

static void
perform(const struct cli *c, const char *method, const char *body, const char *path, struct reply *r)
{
    struct curl_slist *headers = headers_of(c);
    char *url = mem_printf("%s%s", c->url, path);
    CURL *curl = curl_easy_init();

    *r = (struct reply){.rc = CURLE_FAILED_INIT, .body = wbuf_init(ANSWER_BYTES)};
    if (curl) {
        curl_easy_setopt(curl, CURLOPT_URL, url);
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        if (body)
            curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &r->body);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, r->error);
        r->rc = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &r->status);
    }
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    free(url);
}

/* --- failures --- */

static int
exit_code_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
        return EXIT_NOT_FOUND;
    case 409:
    case 412:
    case 428:
        return EXIT_CONFLICT;
    case 429:
    case 502:
    case 503:
    case 504:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_FAILED;
    }
}

static void
print_texts(const json_t *list, const char *member)
{
    size_t i;
    json_t *one;

    json_array_foreach (list, i, one) {
        const char *text = member ? json_string_value(json_object_get(one, member)) : json_string_value(one);
        const char *pointer = member ? json_string_value(json_object_get(one, "pointer")) : NULL;
        if (text)
            (void)fprintf(stderr, "  %s%s%s\n", pointer ? pointer : "", pointer ? ": " : "", text);
    }
}

static void
print_problem(const struct reply *r)
{
    json_t *json = json_loadb((const char *)r->body.p, r->body.len, 0, NULL);
    const char *detail = json_string_value(json_object_get(json, "detail"));
    const char *title = json_string_value(json_object_get(json, "title"));

    (void)fprintf(stderr, "nexus: %s\n", detail ? detail : title ? title : "the server answered without a reason");
    print_texts(json_object_get(json, "errors"), "detail");
    print_texts(json_object_get(json, "fixes"), NULL);
    if (r->status == 401)
        (void)fputs("  Log in with --user NAME (password in NEXUS_PASSWORD), or give --token or NEXUS_TOKEN.\n",
                    stderr);
    json_decref(json);
}

static bool
is_good(struct cli *c, const struct reply *r)
{
    if (r->rc != CURLE_OK) {
        (void)fprintf(stderr,
                      "nexus: no answer from %s: %s\n  Is the platform running? Name its address with --url or "
                      "NEXUS_URL.\n",
                      c->url, r->error[0] ? r->error : curl_easy_strerror(r->rc));
        c->exit_code = EXIT_UNAVAILABLE;
        return false;
    }
    if (r->status >= 200 && r->status < 300)
        return true;
    print_problem(r);
    c->exit_code = exit_code_of_status(r->status);
    return false;
}

/* --- requests --- */

static json_t *
call(struct cli *c, const char *method, const json_t *body, const char *path)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct reply r;
    json_t *json = NULL;

    perform(c, method, text, path, &r);
    if (is_good(c, &r)) {
        json = r.body.len > 0 ? json_loadb((const char *)r.body.p, r.body.len, 0, NULL) : json_object();
        if (!json) {
            (void)fprintf(stderr, "nexus: %s did not answer with JSON; is this the address of a NEXUS core?\n", c->url);
            c->exit_code = EXIT_FAILED;
        }
    }
    free(text);
    wbuf_free(&r.body);
    return json;
}

json_t *
cli_call(struct cli *c, const char *method, json_t *body, const char *fmt, ...)
{
    char path[2048];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    return call(c, method, body, path);
}

json_t *
cli_list(struct cli *c, const char *fmt, ...)
{
    json_t *all = json_array();
    char path[2048], page[3072], cursor[1024] = "";
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(path, sizeof path, fmt, ap);
    va_end(ap);
    do {
        (void)snprintf(page, sizeof page, "%s%climit=%d%s%s", path, strchr(path, '?') ? '&' : '?', PAGE,
                       cursor[0] ? "&cursor=" : "", cursor);
        json_t *json = call(c, "GET", NULL, page);
        if (!json) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, json_object_get(json, "items"));
        const char *next = json_string_value(json_object_get(json, "next_cursor"));
        char *escaped = next ? cli_escape(next) : NULL;
        (void)snprintf(cursor, sizeof cursor, "%s", escaped ? escaped : "");
        free(escaped);
        json_decref(json);
    } while (cursor[0]);
    return all;
}

bool
cli_download(struct cli *c, const char *path, struct wbuf *out)
{
    struct reply r;

    perform(c, "GET", NULL, path, &r);
    if (!is_good(c, &r)) {
        wbuf_free(&r.body);
        return false;
    }
    *out = r.body;
    return true;
}

char *
cli_escape(const char *text)
{
    char *part = curl_easy_escape(NULL, text, 0), *copy = mem_strdup(part ? part : "");

    curl_free(part);
    return copy;
}

/* --- begin and end --- */

static bool
read_output(struct cli *c)
{
    static const char *const names[] = {"table", "json", "csv"};

    for (unsigned i = 0; i < MEM_COUNT(names); i++)
        if (!c->output_name || strcmp(c->output_name, names[i]) == 0) {
            c->output = (enum cli_output)i;
            return true;
        }
    (void)fprintf(stderr, "nexus: -o takes table, json or csv, not '%s'\n", c->output_name);
    c->exit_code = EXIT_USAGE;
    return false;
}

static bool
log_in(struct cli *c)
{
    const char *password = getenv("NEXUS_PASSWORD");
    json_t *body, *json;

    if (!password) {
        (void)fputs("nexus: --user needs the password in the environment variable NEXUS_PASSWORD\n", stderr);
        c->exit_code = EXIT_USAGE;
        return false;
    }
    body = json_pack("{s:s, s:s}", "username", c->user, "password", password);
    json = call(c, "POST", body, "/api/v1/auth/login");
    json_decref(body);
    if (!json)
        return false;
    c->session = mem_strdup(json_string_value(json_object_get(json, "access_token")));
    json_decref(json);
    return true;
}

bool
cli_begin(struct cli *c)
{
    const char *url = getenv("NEXUS_URL"), *token = getenv("NEXUS_TOKEN");

    if (!c->url)
        c->url = url ? url : "http://127.0.0.1:8080";
    if (!c->token && !c->user)
        c->token = token;
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    return read_output(c) && (!c->user || log_in(c));
}

void
cli_end(struct cli *c)
{
    free(c->session);
    c->session = NULL;
    curl_global_cleanup();
}
