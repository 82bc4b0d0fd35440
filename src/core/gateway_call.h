/* gateway_call.h -- a request to the admin port of a gateway, for handlers on worker threads. The only address ever
 * called is core.gateway_url, whatever the client says. */
#ifndef CORE_GATEWAY_CALL_H
#define CORE_GATEWAY_CALL_H

#include "core/core_priv.h"

struct gateway_answer {
    long status;
    struct wbuf body; /* wbuf_free() it */
};

/* path: below /admin/v1, ready for a URL; body NULL: GET, else POST. step names the call in a problem. False when the
 * gateway was not reached: the client has its answer. */
bool gateway_call(struct http_req *req, struct core *core, const char *path, const char *body, int64_t timeout_ms,
                  const char *step, struct gateway_answer *out);
/* Hands an answer of the gateway to the client that is no success: its problem as it is, anything else as 502. */
void gateway_refusal(struct http_req *req, struct core *core, const struct gateway_answer *a);

#endif
