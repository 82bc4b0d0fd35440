#include "gateway/breaker.h"

#include <assert.h>

bool
breaker_allows(struct breaker *b, uint64_t now_ms)
{
    if (b->state == BREAKER_CLOSED)
        return true;
    if (b->state == BREAKER_OPEN) {
        if (now_ms < b->open_until_ms)
            return false;
        b->state = BREAKER_HALF;
        b->probes_ok = 0;
        b->is_probing = false;
    }
    if (b->is_probing)
        return false;
    b->is_probing = true;
    return true;
}

void
breaker_trip(struct breaker *b, uint64_t open_ms, uint64_t now_ms)
{
    *b = (struct breaker){.state = BREAKER_OPEN, .open_until_ms = now_ms + open_ms};
}

void
breaker_reset(struct breaker *b)
{
    *b = (struct breaker){0};
}

void
breaker_forget(struct breaker *b)
{
    b->is_probing = false;
}

static bool
is_too_much(const struct breaker *b, const struct breaker_conf *conf)
{
    uint64_t window = conf->requests < 64 ? (1ull << conf->requests) - 1 : UINT64_MAX;
    unsigned failed = (unsigned)__builtin_popcountll(b->outcomes & window);

    return b->count >= conf->requests && failed * 100 >= conf->requests * conf->failure_percent;
}

void
breaker_result(struct breaker *b, const struct breaker_conf *conf, bool is_ok, uint64_t now_ms)
{
    assert(conf->requests <= BREAKER_REQUESTS_MAX);
    b->is_probing = false;
    if (conf->requests == 0 || b->state == BREAKER_OPEN)
        return;
    if (b->state == BREAKER_HALF) {
        if (!is_ok)
            breaker_trip(b, conf->open_ms, now_ms);
        else if (++b->probes_ok >= conf->probes)
            breaker_reset(b);
        return;
    }
    b->outcomes = b->outcomes << 1 | !is_ok;
    if (b->count < conf->requests)
        b->count++;
    if (!is_ok && is_too_much(b, conf))
        breaker_trip(b, conf->open_ms, now_ms);
}

const char *
breaker_state_name(enum breaker_state s)
{
    static const char *const names[] = {"closed", "open", "half-open"};

    return names[s];
}
