#include "http/problem.h"

#include "base/mem.h"

#include <stdlib.h>

const char *
problem_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } TEXTS[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {207, "Multi-Status"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {425, "Too Early"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < MEM_COUNT(TEXTS); i++)
        if (TEXTS[i].status == status)
            return TEXTS[i].text;
    return "Error";
}

int
problem_status_of(enum nx_err err)
{
    static const int STATUS[NX_E_COUNT] = {
        [NX_OK] = 500,          [NX_E_TIMEOUT] = 504, [NX_E_REFUSED] = 502,     [NX_E_UNREACHABLE] = 502,
        [NX_E_RESOLVE] = 502,   [NX_E_CLOSED] = 502,  [NX_E_OFFLINE] = 503,     [NX_E_BUSY] = 503,
        [NX_E_IO] = 500,        [NX_E_TLS] = 502,     [NX_E_AUTH] = 401,        [NX_E_PROTO] = 502,
        [NX_E_DEVICE] = 502,    [NX_E_ADDRESS] = 422, [NX_E_UNSUPPORTED] = 422, [NX_E_CONFIG] = 422,
        [NX_E_VALUE] = 422,     [NX_E_RANGE] = 422,   [NX_E_DENIED] = 403,      [NX_E_NOT_FOUND] = 404,
        [NX_E_CONFLICT] = 409,  [NX_E_EXPIRED] = 409, [NX_E_FULL] = 503,        [NX_E_DISK_FULL] = 507,
        [NX_E_TOO_LARGE] = 413, [NX_E_CORRUPT] = 500, [NX_E_MORE] = 500,        [NX_E_CANCELED] = 503,
        [NX_E_INTERNAL] = 500,
    };

    return err < NX_E_COUNT && STATUS[err] ? STATUS[err] : 500;
}

static void
member(struct wbuf *out, const char *name, const char *value)
{
    if (!value)
        return;
    wbuf_printf(out, ",\"%s\":", name);
    wbuf_json_string(out, slice_str(value));
}

static void
print_cause(const struct http_problem *p, struct wbuf *out)
{
    if (!p->cause_layer && !p->cause_peer && !p->cause_step)
        return;
    wbuf_printf(out, ",\"cause\":{\"elapsed_ms\":%u", p->cause_elapsed_ms);
    member(out, "layer", p->cause_layer);
    member(out, "peer", p->cause_peer);
    member(out, "step", p->cause_step);
    wbuf_char(out, '}');
}

static void
print_fixes(const struct http_problem *p, struct wbuf *out)
{
    if (!p->fixes[0])
        return;
    wbuf_str(out, ",\"fixes\":[");
    for (size_t i = 0; i < MEM_COUNT(p->fixes) && p->fixes[i]; i++) {
        if (i)
            wbuf_char(out, ',');
        wbuf_json_string(out, slice_str(p->fixes[i]));
    }
    wbuf_char(out, ']');
}

void
problem_print(const struct http_problem *p, const char *instance, const char *request_id, struct wbuf *out)
{
    char *errors = p->errors ? json_dumps(p->errors, JSON_COMPACT) : NULL;

    wbuf_str(out, "{\"type\":");
    if (p->code) {
        wbuf_str(out, "\"/api/docs#problem-");
        wbuf_str(out, p->code);
        wbuf_char(out, '"');
    } else {
        wbuf_str(out, "\"about:blank\"");
    }
    member(out, "title", p->title ? p->title : problem_status_text(p->status));
    wbuf_printf(out, ",\"status\":%d", p->status);
    member(out, "detail", p->detail);
    member(out, "instance", instance);
    member(out, "code", p->code);
    member(out, "trace_id", request_id);
    print_cause(p, out);
    print_fixes(p, out);
    if (errors)
        wbuf_printf(out, ",\"errors\":%s", errors);
    member(out, "current_etag", p->current_etag);
    wbuf_char(out, '}');
    free(errors);
}
