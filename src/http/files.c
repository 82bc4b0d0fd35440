#include "http/http_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (32 * 1024 * 1024)
#define NONCE_MARK     "__CSP_NONCE__"

struct found {
    const char *path; /* on disk */
    const char *encoding;
    struct stat st;
};

static bool
find_file(struct http_req *req, const char *name, const char *suffix, struct found *out)
{
    out->path = arena_printf(&req->arena, "%s%s%s", req->server->conf->static_dir, name, suffix);
    return stat(out->path, &out->st) == 0 && S_ISREG(out->st.st_mode) && out->st.st_size <= FILE_MAX_BYTES;
}

/* A compressed copy beside the file, where the client takes it. */
static bool
find_variant(struct http_req *req, const char *name, struct found *out)
{
    static const char *const CODINGS[][2] = {{"br", ".br"}, {"gzip", ".gz"}};
    const char *accept = http_header(req, "accept-encoding");

    for (size_t i = 0; accept && i < MEM_COUNT(CODINGS); i++)
        if (parse_accepts(accept, CODINGS[i][0]) && find_file(req, name, CODINGS[i][1], out)) {
            out->encoding = CODINGS[i][0];
            return true;
        }
    out->encoding = NULL;
    return find_file(req, name, "", out);
}

static bool
read_whole(const struct found *f, struct wbuf *out)
{
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    size_t left = (size_t)f->st.st_size;
    ssize_t n = 1;

    while (fd >= 0 && left && n > 0) {
        uint8_t *to = wbuf_reserve(out, left);

        n = to ? read(fd, to, left) : -1;
        if (n > 0) {
            wbuf_advance(out, (size_t)n);
            left -= (size_t)n;
        }
    }
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0 && left == 0;
}

static void
random_hex(char *out, size_t bytes)
{
    uint8_t r[32];

    assert(bytes <= sizeof r);
    if (getrandom(r, bytes, 0) != (ssize_t)bytes)
        abort(); /* a nonce that can be guessed is worse than none */
    for (size_t i = 0; i < bytes; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", r[i]);
}

static void
replace_all(struct slice in, const char *mark, const char *with, struct wbuf *out)
{
    const uint8_t *at;

    while (in.len && (at = memmem(in.p, in.len, mark, strlen(mark)))) {
        wbuf_bytes(out, in.p, (size_t)(at - in.p));
        wbuf_str(out, with);
        in = slice_skip(in, (size_t)(at - in.p) + strlen(mark));
    }
    wbuf_slice(out, in);
}

static void
set_page_policy(struct http_req *req, const char *nonce)
{
    http_set_header(req, "Content-Security-Policy",
                    arena_printf(&req->arena,
                                 "default-src 'self'; script-src 'self' 'nonce-%s'; style-src 'self' 'nonce-%s'; "
                                 "img-src 'self' data:; font-src 'self'; connect-src 'self' ws: wss:; "
                                 "frame-ancestors 'self'; base-uri 'self'; object-src 'none'; form-action 'self'",
                                 nonce, nonce));
}

static bool
serve_page(struct http_req *req, const char *name)
{
    struct wbuf raw = wbuf_init(FILE_MAX_BYTES), page = wbuf_init(2 * FILE_MAX_BYTES);
    struct found f = {0};
    char nonce[33];
    bool ok = find_file(req, name, "", &f) && read_whole(&f, &raw);

    if (ok) {
        random_hex(nonce, 16);
        replace_all(wbuf_slice_of(&raw), NONCE_MARK, nonce, &page);
        set_page_policy(req, nonce);
        http_set_header(req, "Cache-Control", "no-cache");
        http_respond_buf(req, 200, "text/html; charset=utf-8", &page);
    }
    wbuf_free(&raw);
    wbuf_free(&page);
    return ok;
}

/* Names that carry a hash of their content, or lie in the folder of the bundler that gives such names. */
static bool
is_immutable(const char *name)
{
    return strncmp(name, "/assets/", 8) == 0;
}

static bool
serve_asset(struct http_req *req, const char *name)
{
    struct wbuf body = wbuf_init(FILE_MAX_BYTES);
    struct found f = {0};

    if (!find_variant(req, name, &f))
        return false;
    const char *etag =
        arena_printf(&req->arena, "\"%llx-%llx%s%s\"", (unsigned long long)f.st.st_mtim.tv_sec,
                     (unsigned long long)f.st.st_size, f.encoding ? "-" : "", f.encoding ? f.encoding : "");
    const char *given = http_header(req, "if-none-match");

    http_set_header(req, "ETag", etag);
    http_set_header(req, "Vary", "Accept-Encoding");
    http_set_header(req, "Cache-Control", is_immutable(name) ? "public, max-age=31536000, immutable" : "no-cache");
    if (given && parse_etag_matches(given, etag)) {
        http_respond_empty(req, 304);
        return true;
    }
    if (!read_whole(&f, &body)) {
        wbuf_free(&body);
        return false;
    }
    if (f.encoding)
        http_set_header(req, "Content-Encoding", f.encoding);
    http_respond_buf(req, 200, parse_mime(name), &body);
    return true;
}

static bool
is_page(const char *name)
{
    size_t n = strlen(name);

    return n >= 5 && strcmp(name + n - 5, ".html") == 0;
}

bool
files_serve(struct http_req *req)
{
    const char *name = req->path;

    if (!req->server->conf->static_dir || (req->method != HTTP_GET && req->method != HTTP_HEAD))
        return false;
    if (strcmp(name, "/") == 0)
        return serve_page(req, "/index.html");
    if (!parse_path_is_safe(name))
        return false;
    if (is_page(name))
        return serve_page(req, name);
    if (serve_asset(req, name))
        return true;
    /* A page of the application: its own router knows the path. */
    return !is_immutable(name) && !parse_path_has_extension(name) && serve_page(req, "/index.html");
}
