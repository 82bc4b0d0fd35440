/* gateway_call.h -- one question to the gateway's admin port, its answer passed on to the caller. The only address that
 * is ever called is core.gateway_url, whatever a request says. Blocks up to timeout_ms: worker threads only. */
#ifndef CORE_GATEWAY_CALL_H
#define CORE_GATEWAY_CALL_H

#include "core/core_priv.h"

#define GATEWAY_ANSWER_MAX (32u << 20) /* the plan of a device with 100,000 tags */

struct gateway_call {
    const char *path;   /* behind core.gateway_url: "/admin/v1/devices/press/plan" */
    const json_t *body; /* NULL: GET; else POST */
    const char *member; /* array that a right answer has; NULL: any bytes are right */
    const char *what;   /* for people: "a test result", "a read plan" */
    const char *step;   /* for programs: "devices:test" */
    int64_t timeout_ms;
    /* For answers of any bytes; both NULL: JSON. */
    const char *content_type, *file_name;
};

/* Calls and answers the request, in any case exactly once: the gateway's answer, the gateway's own problem (4xx), or
 * 502/504 when there is no gateway or no right answer. */
void gateway_call(struct http_req *req, struct core *core, const struct gateway_call *call);

#endif
