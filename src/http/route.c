#include "http/route.h"

#include "http/parse.h"

/* The text of the pattern behind a parameter within its segment: "" or ":verb". */
static struct slice
segment_tail(const char *after_brace)
{
    return slice(after_brace, strcspn(after_brace, "/"));
}

/* Takes one "{name}" or "{name}:verb" segment. A value without a verb may not hold one that the pattern names. */
static bool
match_param(const char **pattern, const char **path, struct route_match *out)
{
    const char *close = strchr(*pattern, '}');
    struct slice name = slice(*pattern + 1, (size_t)(close - *pattern - 1));
    struct slice tail = segment_tail(close + 1);
    struct slice value = slice(*path, strcspn(*path, "/"));

    if (tail.len) {
        if (value.len <= tail.len || memcmp(value.p + value.len - tail.len, tail.p, tail.len) != 0)
            return false;
        value.len -= tail.len;
    }
    if (value.len == 0 || out->param_count == ROUTE_MAX_PARAMS)
        return false;
    out->params[out->param_count++] = (struct route_param){.name = name, .value = value};
    *pattern = close + 1 + tail.len;
    *path += value.len + tail.len;
    return true;
}

bool
route_matches(const char *pattern, const char *path, struct route_match *out)
{
    out->param_count = 0;
    while (*pattern) {
        if (*pattern == '{') {
            if (!match_param(&pattern, &path, out))
                return false;
            continue;
        }
        if (*pattern++ != *path++)
            return false;
    }
    return *path == '\0';
}

/* Literals before parameters, and "{id}:verb" before "{id}": the order in which patterns are tried. */
static int
compare_patterns(const char *a, const char *b)
{
    while (*a && *b) {
        if ((*a == '{') != (*b == '{'))
            return *a == '{' ? 1 : -1;
        if (*a == '{') {
            a = strchr(a, '}') + 1;
            b = strchr(b, '}') + 1;
            if ((*a == ':') != (*b == ':'))
                return *a == ':' ? -1 : 1;
            continue;
        }
        if (*a != *b)
            return 0; /* they cannot both match */
        a++;
        b++;
    }
    return 0;
}

static bool
serves(const struct http_route *route, enum http_method method)
{
    return route->method == method || (method == HTTP_HEAD && route->method == HTTP_GET);
}

void
route_find(const struct http_route *routes, enum http_method method, const char *path, struct route_match *out)
{
    const char *best = NULL;

    *out = (struct route_match){.route = NULL};
    for (const struct http_route *r = routes; r && r->path; r++) {
        struct route_match m = {.route = NULL};

        if (!route_matches(r->path, path, &m) || (best && compare_patterns(best, r->path) < 0))
            continue;
        /* A better pattern hides what worse ones have found. */
        if (!best || compare_patterns(r->path, best) < 0)
            *out = (struct route_match){.route = NULL};
        best = r->path;
        out->allowed |= 1u << r->method;
        if (r->method == HTTP_GET)
            out->allowed |= 1u << HTTP_HEAD;
        if (serves(r, method)) {
            m.route = r;
            m.allowed = out->allowed;
            *out = m;
        }
    }
}

void
route_allow(unsigned allowed, struct wbuf *out)
{
    for (unsigned m = HTTP_GET; m <= HTTP_HEAD; m++)
        if (allowed & (1u << m))
            wbuf_printf(out, "%s%s", out->len ? ", " : "", parse_method_name((enum http_method)m));
}
