/* breaker.h -- circuit breaker of one device: after too many failures it is left in peace, then tried gently. Pure.
 *
 *   CLOSED --(failure_percent of the last `requests` failed)--> OPEN --open_ms--> HALF --`probes` good ones--> CLOSED
 *                                                                ^                  |
 *                                                                +---- one failed --+  */
#ifndef GATEWAY_BREAKER_H
#define GATEWAY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_REQUESTS_MAX 64u

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_HALF };

struct breaker_conf {
    unsigned requests; /* 1..BREAKER_REQUESTS_MAX; 0: the breaker is off */
    unsigned failure_percent, probes;
    uint64_t open_ms;
};

/* Zero-initialised: closed. */
struct breaker {
    enum breaker_state state;
    uint64_t outcomes; /* the lowest bit is the newest; 1: failed */
    unsigned count, probes_ok;
    bool is_probing;
    uint64_t open_until_ms;
};

/* May a request be made now? In HALF only one at a time: breaker_result() or breaker_forget() must follow. */
bool breaker_allows(struct breaker *b, uint64_t now_ms);
void breaker_result(struct breaker *b, const struct breaker_conf *conf, bool is_ok, uint64_t now_ms);
/* The request that was allowed came to no result (cancelled, link lost). */
void breaker_forget(struct breaker *b);
/* Opens it for open_ms, whatever happened before. */
void breaker_trip(struct breaker *b, uint64_t open_ms, uint64_t now_ms);
void breaker_reset(struct breaker *b);
/* "closed", "open", "half-open". */
const char *breaker_state_name(enum breaker_state s);

#endif
