/* url.c -- the broker's address as people write it. Pure. */
#include "mqtt/mqtt.h"

#include "base/mem.h"
#include "base/num.h"

static const struct {
    const char *prefix;
    uint16_t port;
    bool tls;
} SCHEMES[] = {
    {"mqtt://", 1883, false}, {"tcp://", 1883, false}, {"mqtts://", 8883, true},
    {"ssl://", 8883, true},   {"tls://", 8883, true},
};

static enum nx_err
parse_port(struct slice text, uint16_t *port, const char *url, struct nx_note *why)
{
    uint64_t v;

    if (!num_u64(text, &v) || v == 0 || v > UINT16_MAX)
        return nx_fail(why, NX_E_CONFIG,
                       "broker address '%.100s': '%.*s' is not a port; write a number from 1 to 65535", url,
                       (int)(text.len < 20 ? text.len : 20), (const char *)text.p);
    *port = (uint16_t)v;
    return NX_OK;
}

/* Splits "host:port", "[v6]:port" or either without a port (then port is empty). */
static bool
split_authority(struct slice s, struct slice *host, struct slice *port)
{
    const uint8_t *close = s.len && s.p[0] == '[' ? memchr(s.p, ']', s.len) : NULL;

    *port = slice(s.p, 0);
    if (s.len && s.p[0] == '[' && !close)
        return false;
    if (close) {
        *host = slice(s.p + 1, (size_t)(close - s.p) - 1);
        s = slice_skip(s, (size_t)(close - s.p) + 1);
        if (s.len && s.p[0] != ':')
            return false;
        *port = slice_skip(s, 1);
        return true;
    }
    const uint8_t *colon = s.len ? memchr(s.p, ':', s.len) : NULL;
    *host = slice(s.p, colon ? (size_t)(colon - s.p) : s.len);
    if (colon)
        *port = slice_skip(s, host->len + 1);
    return !colon || port->len > 0;
}

enum nx_err
mqtt_parse_url(const char *url, char *host, size_t host_cap, uint16_t *port, bool *tls, struct nx_note *why)
{
    struct slice rest = slice_str(url), name, number;
    bool has_scheme = false;

    *port = 1883;
    *tls = false;
    for (size_t i = 0; i < MEM_COUNT(SCHEMES) && !has_scheme; i++) {
        if (!slice_starts_with(rest, slice_str(SCHEMES[i].prefix)))
            continue;
        has_scheme = true;
        *port = SCHEMES[i].port;
        *tls = SCHEMES[i].tls;
        rest = slice_skip(rest, strlen(SCHEMES[i].prefix));
    }
    if (rest.len && rest.p[rest.len - 1] == '/')
        rest.len--;
    if (!split_authority(rest, &name, &number) || name.len == 0 || memchr(name.p, '/', name.len) ||
        memchr(name.p, '@', name.len))
        return nx_fail(
            why, NX_E_CONFIG,
            "'%.100s' is not a broker address; write mqtt://host:1883, or mqtts://host:8883 for TLS, and put "
            "the user into mqtt.username",
            url);
    if (name.len >= host_cap)
        return nx_fail(why, NX_E_CONFIG, "broker address '%.100s': the host name is longer than %zu bytes", url,
                       host_cap - 1);
    memcpy(host, name.p, name.len);
    host[name.len] = '\0';
    return number.len ? parse_port(number, port, url, why) : NX_OK;
}
