/* gateway_call.h -- one question to the admin port of the gateway or of ingestion, its answer passed on to the caller.
 * The only addresses that are ever called are core.gateway_url and core.ingest_url, whatever a request says. Blocks up
 * to timeout_ms: worker threads only. */
#ifndef CORE_GATEWAY_CALL_H
#define CORE_GATEWAY_CALL_H

#include "core/core_priv.h"

#define GATEWAY_ANSWER_MAX (32u << 20) /* the plan of a device with 100,000 tags */

enum gateway_peer { PEER_GATEWAY, PEER_INGEST };

struct gateway_call {
    enum gateway_peer peer;
    const char *path;   /* behind the peer's address: "/admin/v1/devices/press/plan" */
    const json_t *body; /* NULL: GET; else POST */
    const char *member; /* array that a right answer has; NULL: any bytes are right */
    const char *what;   /* for people: "a test result", "a read plan" */
    const char *step;   /* for programs: "devices:test" */
    int64_t timeout_ms;
    /* For answers of any bytes; both NULL: JSON. */
    const char *content_type, *file_name;
};

/* Calls and answers the request, in any case exactly once: the peer's answer, the peer's own problem (4xx), or 502/504
 * when there is no peer or no right answer. */
void gateway_call(struct http_req *req, struct core *core, const struct gateway_call *call);

#endif
