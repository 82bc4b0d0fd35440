/* cli_http.c -- from a verb to the API and back: tokens, pages, problems as sentences. */
#include "app/cli.h"

#include "base/mem.h"
#include "http/json.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define API_PREFIX   "/api/v1"
#define DEFAULT_URL  "http://127.0.0.1:8080"
#define ANSWER_BYTES (256u << 20)
#define TIMEOUT_MS   90000L /* the longest write may wait 60 s */
#define SILENCE_S    300L   /* of a download */
#define PAGE         "limit=1000"

struct cli_http {
    CURL *curl;
    char *url; /* without a slash at the end */
    struct cli_token token;
    FILE *to; /* of the present download; NULL: answers are kept */
};

struct reply {
    struct cli_http *http;
    struct wbuf body;
    long status;
    CURLcode rc;
    char error[CURL_ERROR_SIZE];
};

static bool
is_good(long status)
{
    return status >= 200 && status < 300;
}

static size_t
take_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct reply *r = arg;

    curl_easy_getinfo(r->http->curl, CURLINFO_RESPONSE_CODE, &r->status);
    if (r->http->to && is_good(r->status))
        return fwrite(p, size, n, r->http->to) * size;
    wbuf_bytes(&r->body, p, size * n);
    return r->body.failed ? 0 : size * n;
}

/* --- one request --- */

static struct curl_slist *
headers_of(const struct cli_http *http, const char *method)
{
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json, application/problem+json, */*");
    char *bearer = http->token.access ? mem_printf("Authorization: Bearer %s", http->token.access) : NULL;

    headers = curl_slist_append(headers, strcmp(method, "PATCH") == 0 ? "Content-Type: application/merge-patch+json"
                                                                      : "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    if (bearer)
        headers = curl_slist_append(headers, bearer);
    free(bearer);
    return headers;
}

static void
perform(struct cli_http *http, const char *method, const char *path, const char *body, struct reply *r)
{
    char *url = mem_printf("%s" API_PREFIX "%s", http->url, path);
    struct curl_slist *headers = headers_of(http, method);

    *r = (struct reply){.http = http, .body = wbuf_init(ANSWER_BYTES)};
    curl_easy_reset(http->curl);
    curl_easy_setopt(http->curl, CURLOPT_URL, url);
    curl_easy_setopt(http->curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(http->curl, CURLOPT_CUSTOMREQUEST, method);
    if (body)
        curl_easy_setopt(http->curl, CURLOPT_COPYPOSTFIELDS, body);
    curl_easy_setopt(http->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(http->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(http->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(http->curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(http->curl, CURLOPT_TIMEOUT_MS, http->to ? 0L : TIMEOUT_MS);
    curl_easy_setopt(http->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(http->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(http->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(http->curl, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(http->curl, CURLOPT_ERRORBUFFER, r->error);
    r->rc = curl_easy_perform(http->curl);
    curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &r->status);
    curl_slist_free_all(headers);
    free(url);
}

static json_t *
json_of(const struct reply *r)
{
    struct slice text = wbuf_slice_of(&r->body);

    return text.len > 0 ? json_loadb((const char *)text.p, text.len, JSON_DECODE_ANY, NULL) : NULL;
}

/* --- a new access token --- */

/* Somebody else may have renewed it meanwhile: a refresh token works once. */
static bool
take_over_token(struct cli_http *http)
{
    struct cli_token now = {0};
    const struct cli file = {.option = {[CLI_TOKEN_FILE] = http->token.path}};
    bool is_other = cli_token_read(&file, &now) == EXIT_OK && now.access && strcmp(now.access, http->token.access) != 0;

    if (!is_other) {
        cli_token_free(&now);
        return false;
    }
    cli_token_free(&http->token);
    http->token = now;
    return true;
}

static bool
refresh(struct cli_http *http)
{
    json_t *ask = json_pack("{s:s}", "refresh_token", http->token.refresh), *pair;
    char *body = json_dumps(ask, JSON_COMPACT);
    struct reply r;
    bool is_new;

    perform(http, "POST", "/auth/refresh", body, &r);
    pair = json_of(&r);
    is_new = r.rc == CURLE_OK && r.status == 200 && cli_token_write(http->token.path, http->url, pair) == EXIT_OK &&
             take_over_token(http);
    json_decref(pair);
    json_decref(ask);
    wbuf_free(&r.body);
    free(body);
    return is_new;
}

static bool
renew(struct cli_http *http)
{
    char *lock = http->token.refresh ? mem_printf("%s.lock", http->token.path) : NULL;
    int fd = lock ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    bool is_new = false;

    free(lock);
    if (fd < 0)
        return false;
    if (flock(fd, LOCK_EX) == 0)
        is_new = take_over_token(http) || refresh(http);
    (void)close(fd);
    return is_new;
}

/* --- failures --- */

int
cli_exit_code_of_status(long status)
{
    switch (status) {
    case 401:
    case 403:
        return EXIT_DENIED;
    case 404:
    case 410:
        return EXIT_NOT_FOUND;
    case 409:
    case 412:
    case 428:
        return EXIT_CONFLICT;
    case 408:
    case 429:
    case 502:
    case 503:
    case 504:
        return EXIT_UNAVAILABLE;
    default:
        return EXIT_FAILED;
    }
}

static const char *
text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void
print_problem(const struct cli_http *http, const struct reply *r, const json_t *problem)
{
    const char *detail = text_of(problem, "detail"), *title = text_of(problem, "title"),
               *code = text_of(problem, "code");
    size_t i;
    json_t *item;

    (void)fprintf(stderr, "nexus: %s", detail ? detail : title ? title : "the core has refused the request");
    (void)fprintf(stderr, code ? " (%s)\n" : "%s\n", code ? code : "");
    if (!code)
        (void)fprintf(stderr, "  %s answered with status %ld\n", http->url, r->status);
    json_array_foreach (json_object_get(problem, "errors"), i, item)
        (void)fprintf(stderr, "  %s: %s\n", text_of(item, "pointer") ? text_of(item, "pointer") : "",
                      text_of(item, "detail") ? text_of(item, "detail") : "");
    if (r->status == 401)
        (void)fprintf(stderr, "  hint: log in with: nexus login --url %s\n", http->url);
    json_array_foreach (json_object_get(problem, "fixes"), i, item)
        if (json_is_string(item))
            (void)fprintf(stderr, "  hint: %s\n", json_string_value(item));
}

static int
fail(const struct cli_http *http, const struct reply *r)
{
    json_t *problem;

    if (r->rc != CURLE_OK && http->to && ferror(http->to))
        return cli_fail(EXIT_FAILED, "the answer cannot be written: %s", strerror(errno));
    if (r->rc != CURLE_OK && http->to && is_good(r->status)) {
        return cli_fail(EXIT_UNAVAILABLE, "the answer of %s broke off, so it is not complete: %s", http->url,
                        r->error[0] ? r->error : curl_easy_strerror(r->rc));
    }

    if (r->rc != CURLE_OK) {
        (void)cli_fail(EXIT_UNAVAILABLE, "the core at %s cannot be asked: %s", http->url,
                       r->error[0] ? r->error : curl_easy_strerror(r->rc));
        (void)fputs("  hint: check that it runs (nexus up), or name another with --url\n", stderr);
        return r->rc == CURLE_WRITE_ERROR ? EXIT_FAILED : EXIT_UNAVAILABLE;
    }
    problem = json_of(r);
    print_problem(http, r, problem);
    json_decref(problem);
    return cli_exit_code_of_status(r->status);
}

/* --- calls --- */

static int
ask(struct cli_http *http, const char *method, const char *path, const char *body, struct reply *r)
{
    perform(http, method, path, body, r);
    if (r->rc == CURLE_OK && r->status == 401 && renew(http)) {
        wbuf_free(&r->body);
        perform(http, method, path, body, r);
    }
    return r->rc == CURLE_OK && is_good(r->status) ? EXIT_OK : fail(http, r);
}

int
cli_call(struct cli_http *http, const char *method, const char *path, const json_t *body, json_t **out)
{
    struct wbuf text = wbuf_init(0);
    struct reply r;
    int code;

    if (body)
        json_print(body, &text);
    code = ask(http, method, path, body ? wbuf_cstr(&text) : NULL, &r);
    if (out)
        *out = code == EXIT_OK ? json_of(&r) : NULL;
    wbuf_free(&r.body);
    wbuf_free(&text);
    return code;
}

int
cli_download(struct cli_http *http, const char *path, struct wbuf *out)
{
    struct reply r;
    int code = ask(http, "GET", path, NULL, &r);

    if (code == EXIT_OK)
        wbuf_slice(out, wbuf_slice_of(&r.body));
    wbuf_free(&r.body);
    return code;
}

int
cli_fetch(struct cli_http *http, const char *method, const char *path, const json_t *body, FILE *to)
{
    int code;

    http->to = to;
    code = cli_call(http, method, path, body, NULL);
    http->to = NULL;
    return code;
}

static char *
page_path(const char *path, const char *cursor)
{
    const char *join = strchr(path, '?') ? "&" : "?";
    char *encoded = cursor ? curl_easy_escape(NULL, cursor, 0) : NULL;
    char *page =
        encoded ? mem_printf("%s%s" PAGE "&cursor=%s", path, join, encoded) : mem_printf("%s%s" PAGE, path, join);

    curl_free(encoded);
    return page;
}

int
cli_each(struct cli_http *http, const char *path, int (*each)(void *arg, json_t *item), void *arg)
{
    char *cursor = NULL;
    int code;

    do {
        char *page = page_path(path, cursor);
        json_t *answer, *item;
        size_t i;

        free(cursor);
        cursor = NULL;
        code = cli_call(http, "GET", page, NULL, &answer);
        free(page);
        json_array_foreach (json_object_get(answer, "items"), i, item)
            if (code == EXIT_OK)
                code = each(arg, item);
        if (text_of(answer, "next_cursor"))
            cursor = mem_strdup(text_of(answer, "next_cursor"));
        json_decref(answer);
    } while (code == EXIT_OK && cursor);
    free(cursor);
    return code;
}

static int
append(void *arg, json_t *item)
{
    json_array_append(arg, item);
    return EXIT_OK;
}

int
cli_list(struct cli_http *http, const char *path, json_t **out)
{
    *out = json_array();
    return cli_each(http, path, append, *out);
}

char *
cli_path(const char *part, ...)
{
    struct wbuf w = wbuf_init(0);
    bool is_operand = false;
    va_list ap;
    char *path;

    va_start(ap, part);
    for (; part; part = va_arg(ap, const char *), is_operand = !is_operand) {
        char *encoded = is_operand ? curl_easy_escape(NULL, part, 0) : NULL;
        wbuf_str(&w, encoded ? encoded : part);
        curl_free(encoded);
    }
    va_end(ap);
    path = mem_strdup(wbuf_cstr(&w));
    wbuf_free(&w);
    return path;
}

/* --- life --- */

/* A token goes only to the installation that gave it. */
static int
choose_url(struct cli_http *http, const struct cli *cli)
{
    const char *wanted = cli->option[CLI_URL] ? cli->option[CLI_URL] : getenv("NEXUS_URL");
    size_t len;

    if (!wanted)
        wanted = http->token.url ? http->token.url : DEFAULT_URL;
    len = strlen(wanted);
    while (len > 0 && wanted[len - 1] == '/')
        len--;
    http->url = mem_strndup(wanted, len);
    if (strncmp(http->url, "http://", 7) != 0 && strncmp(http->url, "https://", 8) != 0)
        return cli_fail(EXIT_USAGE, "the address '%s' does not begin with http:// or https://", http->url);
    if (http->token.url && strcmp(http->token.url, http->url) != 0)
        cli_token_free(&http->token);
    return EXIT_OK;
}

int
cli_http_open(struct cli_http **out, const struct cli *cli)
{
    struct cli_http *http = mem_alloc(sizeof *http);
    int code = cli_token_read(cli, &http->token);

    *out = http;
    http->curl = curl_easy_init();
    if (!http->curl)
        return cli_fail(EXIT_FAILED, "libcurl cannot be used here");
    return code == EXIT_OK ? choose_url(http, cli) : code;
}

void
cli_http_close(struct cli_http **hp)
{
    struct cli_http *http = *hp;

    *hp = NULL;
    if (!http)
        return;
    curl_easy_cleanup(http->curl);
    cli_token_free(&http->token);
    free(http->url);
    free(http);
}

const char *
cli_http_url(const struct cli_http *http)
{
    return http->url;
}
