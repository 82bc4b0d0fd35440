/* diagnose_api.c -- what a gateway tells of a device beyond its status: its read plan, the flight recorder, saved
 * captures. */
#include "core/api.h"
#include "core/gateway_call.h"
#include "core/handlers.h"

#include <curl/curl.h>

#define TIMEOUT_MS 10000

/* Text as one part of a URL's path. */
static char *
escaped(struct http_req *req, const char *text)
{
    char *part = curl_easy_escape(NULL, text, 0), *copy = arena_strdup(http_arena(req), part ? part : "");

    curl_free(part);
    return copy;
}

static void
forward(struct http_req *req, struct core *core, const char *path, const char *type, const char *step)
{
    struct gateway_answer a;

    if (!gateway_call(req, core, path, NULL, TIMEOUT_MS, step, &a))
        return;
    if (a.status == 200)
        http_respond(req, 200, type, wbuf_slice_of(&a.body));
    else
        gateway_refusal(req, core, &a);
    wbuf_free(&a.body);
}

static void
forward_device(struct http_req *req, struct core *core, const char *what, const char *type)
{
    char *path = arena_printf(http_arena(req), "/devices/%s/%s", escaped(req, http_param(req, "device_id")), what);

    forward(req, core, path, type, what);
}

void
device_plan(struct http_req *req, void *arg)
{
    forward_device(req, arg, "plan", "application/json");
}

void
device_recorder(struct http_req *req, void *arg)
{
    forward_device(req, arg, "recorder", "application/json");
}

void
device_capture(struct http_req *req, void *arg)
{
    forward_device(req, arg, "recorder.pcapng", "application/octet-stream");
}

void
recordings_list(struct http_req *req, void *arg)
{
    forward(req, arg, "/recordings", "application/json", "recordings");
}

void
recording_show(struct http_req *req, void *arg)
{
    char *path = arena_printf(http_arena(req), "/recordings/%s", escaped(req, http_param(req, "name")));

    forward(req, arg, path, "application/octet-stream", "recordings");
}
