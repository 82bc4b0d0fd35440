/* ingest_api.c -- what only ingestion knows: its state, and the newest messages that it could not use. Asked for at its
 * admin port. */
#include "base/num.h"
#include "core/gateway_call.h"
#include "core/handlers.h"

#define TIMEOUT_MS  5000
#define LETTERS     100
#define LETTERS_MAX 1000

void
system_ingest(struct http_req *req, void *arg)
{
    gateway_call(req, arg,
                 &(struct gateway_call){.peer = PEER_INGEST,
                                        .path = "/status",
                                        .what = "its state",
                                        .step = "system/ingest",
                                        .timeout_ms = TIMEOUT_MS});
}

void
system_dead_letters(struct http_req *req, void *arg)
{
    const char *text = http_query(req, "limit");
    uint64_t limit = LETTERS;

    if (text && (!num_u64(slice_str(text), &limit) || limit < 1 || limit > LETTERS_MAX)) {
        http_respond_problem(req, &(struct http_problem){.status = 422,
                                                         .code = "limit_invalid",
                                                         .detail = "limit is a number from 1 to 1000"});
        return;
    }
    gateway_call(req, arg,
                 &(struct gateway_call){.peer = PEER_INGEST,
                                        .path = arena_printf(http_arena(req), "/admin/v1/dead-letters?limit=%llu",
                                                             (unsigned long long)limit),
                                        .member = "items",
                                        .what = "a list of dead letters",
                                        .step = "system/dead-letters",
                                        .timeout_ms = TIMEOUT_MS});
}
