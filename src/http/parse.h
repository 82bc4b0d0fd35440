/* parse.h -- the pieces of a request that are plain text: lengths, cookies, media types, paths, chunks. Pure. */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include "base/wbuf.h"
#include "http/http.h"

const char *parse_method_name(enum http_method method); /* "GET" */

/* Content-Length (RFC 9110, 8.6): digits only, at most 15 of them; a list or a sign is wrong. */
bool parse_content_length(const char *text, uint64_t *out);
/* The value of a cookie (RFC 6265, 5.4), without quotes; empty with p NULL when absent. */
struct slice parse_cookie(const char *header, const char *name);
/* "application/json; charset=utf-8" or "application/...+json". */
bool parse_is_json(const char *content_type);
/* Whether Accept-Encoding names the coding with a weight above 0. */
bool parse_accepts(const char *accept_encoding, const char *coding);
/* Whether If-None-Match covers the entity tag (weak comparison, RFC 9110, 13.1.2). */
bool parse_etag_matches(const char *if_none_match, const char *etag);
/* Only letters, digits and . _ - and 1 to 64 of them: may be copied into logs and headers. */
bool parse_is_request_id(const char *text);
/* Host: this machine by a name that no DNS answer can take over: localhost, 127.x.x.x, [::1]; the port is ignored. */
bool parse_is_loopback(const char *host);
/* A path that stays below the directory it is appended to: starts with '/', no empty, dot or hidden segments, no
 * backslash, no control character. */
bool parse_path_is_safe(const char *path);
/* The last segment has a dot: an asset, not a page of the application. */
bool parse_path_has_extension(const char *path);
const char *parse_mime(const char *path);

/* Transfer-Encoding: chunked (RFC 9112, 7.1), fed in any pieces. */
enum parse_chunk_state { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE };
struct parse_chunks {
    enum parse_chunk_state state;
    uint64_t left;
    unsigned digits, line_len, trailer_bytes;
    bool seen_cr;
};
/* Appends the data to body (whose max_bytes is the limit). PROTO for bad framing, TOO_LARGE past the limit. */
NX_MUST_CHECK enum nx_err parse_chunks_feed(struct parse_chunks *c, struct slice in, struct wbuf *body);

#endif
