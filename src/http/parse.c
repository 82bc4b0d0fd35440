#include "http/parse.h"

#include "base/mem.h"

#include <stdlib.h>
#include <strings.h>

const char *
parse_method_name(enum http_method method)
{
    static const char *const NAMES[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"};

    return NAMES[method];
}

bool
parse_content_length(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 15)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    *out = v;
    return true;
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice
trim(struct slice s)
{
    while (s.len && is_space((char)s.p[0]))
        s = slice_skip(s, 1);
    while (s.len && is_space((char)s.p[s.len - 1]))
        s.len--;
    return s;
}

/* Takes the part up to the separator off the front. */
static struct slice
cut(struct slice *rest, char separator)
{
    const uint8_t *end = rest->len ? memchr(rest->p, separator, rest->len) : NULL;
    struct slice part = slice(rest->p, end ? (size_t)(end - rest->p) : rest->len);

    *rest = slice_skip(*rest, part.len + (end ? 1 : 0));
    return part;
}

struct slice
parse_cookie(const char *header, const char *name)
{
    struct slice rest = slice_str(header);

    while (rest.len) {
        struct slice value = cut(&rest, ';');
        struct slice key = trim(cut(&value, '='));

        if (!slice_eq_str(key, name))
            continue;
        value = trim(value);
        if (value.len >= 2 && value.p[0] == '"' && value.p[value.len - 1] == '"')
            value = slice(value.p + 1, value.len - 2);
        return value;
    }
    return slice(NULL, 0);
}

static bool
eq_nocase(struct slice a, const char *b)
{
    return a.len == strlen(b) && strncasecmp((const char *)a.p, b, a.len) == 0;
}

bool
parse_is_json(const char *content_type)
{
    struct slice rest = slice_str(content_type);
    struct slice type = trim(cut(&rest, ';'));

    if (eq_nocase(type, "application/json"))
        return true;
    return type.len > 17 && strncasecmp((const char *)type.p, "application/", 12) == 0 &&
           eq_nocase(slice_skip(type, type.len - 5), "+json");
}

/* ";q=0", ";q=0.000" */
static bool
is_weight_zero(struct slice params)
{
    while (params.len) {
        struct slice value = cut(&params, ';');
        struct slice key = trim(cut(&value, '='));

        if (!eq_nocase(key, "q"))
            continue;
        value = trim(value);
        for (size_t i = 0; i < value.len; i++)
            if (value.p[i] != '0' && value.p[i] != '.')
                return false;
        return true;
    }
    return false;
}

bool
parse_accepts(const char *accept_encoding, const char *coding)
{
    struct slice rest = slice_str(accept_encoding);

    while (rest.len) {
        struct slice params = cut(&rest, ',');
        struct slice name = trim(cut(&params, ';'));

        if (eq_nocase(name, coding))
            return !is_weight_zero(params);
    }
    return false;
}

static struct slice
strip_weak(struct slice tag)
{
    return tag.len > 2 && tag.p[0] == 'W' && tag.p[1] == '/' ? slice_skip(tag, 2) : tag;
}

bool
parse_etag_matches(const char *if_none_match, const char *etag)
{
    struct slice rest = slice_str(if_none_match), want = strip_weak(slice_str(etag));

    while (rest.len) {
        struct slice tag = trim(cut(&rest, ','));

        if (slice_eq_str(tag, "*") || slice_eq(strip_weak(tag), want))
            return true;
    }
    return false;
}

static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-", c);
}

bool
parse_is_request_id(const char *text)
{
    size_t n = 0;

    for (; n <= 64 && text[n]; n++)
        if (!is_name_char(text[n]))
            return false;
    return n > 0 && n <= 64;
}

bool
parse_is_loopback(const char *host)
{
    struct slice name = slice_str(host);
    size_t n = strspn(host, "0123456789.");

    if (host[0] == '[')
        return strncmp(host, "[::1]", 5) == 0 && (host[5] == '\0' || host[5] == ':');
    if (strncmp(host, "127.", 4) == 0)
        return host[n] == '\0' || host[n] == ':';
    return eq_nocase(cut(&name, ':'), "localhost");
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
parse_path_is_safe(const char *path)
{
    if (path[0] != '/')
        return false;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f || *p == '\\')
            return false;
        /* "//", "/.", "/..", "/.git" */
        if (p[0] == '/' && (p[1] == '/' || p[1] == '.'))
            return false;
    }
    return true;
}

bool
parse_path_has_extension(const char *path)
{
    return strchr(strrchr(path, '/') ? strrchr(path, '/') : path, '.') != NULL;
}

const char *
parse_mime(const char *path)
{
    static const struct {
        const char *extension, *type;
    } TYPES[] = {
        {".html", "text/html; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".mjs", "text/javascript; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".json", "application/json"},
        {".map", "application/json"},
        {".webmanifest", "application/manifest+json"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".ico", "image/x-icon"},
        {".woff2", "font/woff2"},
        {".woff", "font/woff"},
        {".ttf", "font/ttf"},
        {".wasm", "application/wasm"},
        {".txt", "text/plain; charset=utf-8"},
        {".xml", "application/xml"},
        {".yaml", "application/yaml"},
        {".csv", "text/csv; charset=utf-8"},
        {".pdf", "application/pdf"},
    };
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < MEM_COUNT(TYPES); i++)
        if (strcasecmp(dot, TYPES[i].extension) == 0)
            return TYPES[i].type;
    return "application/octet-stream";
}

#define CHUNK_MAX_LINE    256
#define CHUNK_MAX_TRAILER 4096

static enum nx_err
chunk_size_byte(struct parse_chunks *c, uint8_t b)
{
    int digit = hex_digit(b);

    if (digit >= 0 && !c->seen_cr) {
        if (++c->digits > 8)
            return NX_E_TOO_LARGE;
        c->left = c->left * 16 + (uint64_t)digit;
        return NX_OK;
    }
    if (c->digits == 0)
        return NX_E_PROTO;
    if (b == ';' || b == ' ' || b == '\t') {
        c->state = CHUNK_EXTENSION;
        return NX_OK;
    }
    if (b == '\r' && !c->seen_cr) {
        c->seen_cr = true;
        return NX_OK;
    }
    if (b != '\n' || !c->seen_cr)
        return NX_E_PROTO;
    c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
    c->seen_cr = false;
    c->line_len = 0;
    return NX_OK;
}

static enum nx_err
chunk_extension_byte(struct parse_chunks *c, uint8_t b)
{
    if (++c->line_len > CHUNK_MAX_LINE)
        return NX_E_PROTO;
    if (b == '\r' && !c->seen_cr) {
        c->seen_cr = true;
        return NX_OK;
    }
    if (b == '\n' && c->seen_cr) {
        c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
        c->seen_cr = false;
        c->line_len = 0;
        return NX_OK;
    }
    return c->seen_cr || b == '\n' ? NX_E_PROTO : NX_OK;
}

static enum nx_err
chunk_data_end_byte(struct parse_chunks *c, uint8_t b)
{
    if (b == '\r' && !c->seen_cr) {
        c->seen_cr = true;
        return NX_OK;
    }
    if (b != '\n' || !c->seen_cr)
        return NX_E_PROTO;
    *c = (struct parse_chunks){.state = CHUNK_SIZE, .trailer_bytes = c->trailer_bytes};
    return NX_OK;
}

static enum nx_err
chunk_trailer_byte(struct parse_chunks *c, uint8_t b)
{
    if (++c->trailer_bytes > CHUNK_MAX_TRAILER)
        return NX_E_TOO_LARGE;
    if (b == '\r' && !c->seen_cr) {
        c->seen_cr = true;
        return NX_OK;
    }
    if (b == '\n' && c->seen_cr) {
        c->state = c->line_len ? CHUNK_TRAILER : CHUNK_DONE;
        c->line_len = 0;
        c->seen_cr = false;
        return NX_OK;
    }
    if (c->seen_cr || b == '\n')
        return NX_E_PROTO;
    c->line_len++;
    return NX_OK;
}

static enum nx_err
chunk_data(struct parse_chunks *c, struct slice *in, struct wbuf *body)
{
    size_t n = in->len < c->left ? in->len : (size_t)c->left;

    wbuf_bytes(body, in->p, n);
    if (body->failed)
        return NX_E_TOO_LARGE;
    *in = slice_skip(*in, n);
    c->left -= n;
    if (c->left == 0)
        c->state = CHUNK_DATA_END;
    return NX_OK;
}

enum nx_err
parse_chunks_feed(struct parse_chunks *c, struct slice in, struct wbuf *body)
{
    static enum nx_err (*const BYTE[])(struct parse_chunks *, uint8_t) = {
        [CHUNK_SIZE] = chunk_size_byte,
        [CHUNK_EXTENSION] = chunk_extension_byte,
        [CHUNK_DATA_END] = chunk_data_end_byte,
        [CHUNK_TRAILER] = chunk_trailer_byte,
    };
    enum nx_err err = NX_OK;

    while (err == NX_OK && in.len && c->state != CHUNK_DONE) {
        if (c->state == CHUNK_DATA) {
            err = chunk_data(c, &in, body);
            continue;
        }
        err = BYTE[c->state](c, in.p[0]);
        in = slice_skip(in, 1);
    }
    return err;
}
