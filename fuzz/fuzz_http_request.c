/* fuzz: http base */
/* Texts of a request: path, cookies, lengths and lists, with one text used for each. */
#include "base/mem.h"
#include "http/parse.h"
#include "http/route.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
nothing(struct http_req *req, void *arg)
{
    (void)req;
    (void)arg;
}

static const struct http_route ROUTES[] = {
    {HTTP_GET, "/api/{a}", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_POST, "/api/{a}:verb", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_PUT, "/api/{a}/{b}/{c}", nothing, HTTP_ON_LOOP, 0, 0},
    {HTTP_GET, "/api/literal", nothing, HTTP_ON_LOOP, 0, 0},
    {.path = NULL},
};

static void
check_route(const char *text)
{
    struct route_match m;

    route_find(ROUTES, HTTP_GET, text, &m);
    for (unsigned i = 0; i < m.param_count; i++) {
        const char *value = (const char *)m.params[i].value.p;

        if (value < text || value + m.params[i].value.len > text + strlen(text) || m.params[i].value.len == 0)
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    char *text = mem_strndup(p, len);
    uint64_t n = 0;
    struct slice cookie = parse_cookie(text, "sid");

    if (cookie.p && (const char *)cookie.p + cookie.len > text + strlen(text))
        abort();
    if (parse_path_is_safe(text) && (strstr(text, "/..") || strstr(text, "//") || text[0] != '/'))
        abort();
    if (parse_content_length(text, &n) && n > 999999999999999)
        abort();
    check_route(text);
    (void)(parse_is_json(text) + parse_accepts(text, "gzip") + parse_etag_matches(text, "\"a\""));
    (void)(parse_is_request_id(text) + parse_path_has_extension(text) + (parse_mime(text) != NULL));
    free(text);
    return 0;
}
