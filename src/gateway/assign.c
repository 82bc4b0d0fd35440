#include "gateway/assign.h"

#include "base/num.h"
#include "gateway/engine.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char *const priority_names[] = {"telemetry", "control", "safety"};

/* Takes the next entry of a list, without blanks around it. False: none is left. */
static bool
next_entry(struct slice *rest, struct slice *entry)
{
    while (rest->len > 0 && (rest->p[0] == ',' || rest->p[0] == ' '))
        *rest = slice_skip(*rest, 1);
    if (!slice_part(rest, ',', entry))
        return false;
    while (entry->len > 0 && entry->p[entry->len - 1] == ' ')
        entry->len--;
    return true;
}

/* --- reading the rules --- */

static bool
read_network(struct slice text, struct assign_network *n)
{
    const uint8_t *stroke = memchr(text.p, '/', text.len);
    char address[64];
    uint64_t bits = 0;

    if (!stroke || (size_t)(stroke - text.p) >= sizeof address)
        return false;
    memcpy(address, text.p, (size_t)(stroke - text.p));
    address[stroke - text.p] = '\0';
    n->family = strchr(address, ':') ? AF_INET6 : AF_INET;
    if (!num_u64(slice_skip(text, (size_t)(stroke - text.p) + 1), &bits) || bits > (n->family == AF_INET ? 32 : 128))
        return false;
    n->bits = (unsigned)bits;
    return inet_pton(n->family, address, n->address) == 1;
}

static enum nx_err
read_networks(struct assign *a, struct nx_note *why)
{
    struct slice rest = slice_str(a->conf.network), entry;

    while (next_entry(&rest, &entry)) {
        if (a->network_count == ASSIGN_NETWORKS_MAX)
            return nx_fail(why, NX_E_CONFIG, "gateway.shard.network: at most %u networks", ASSIGN_NETWORKS_MAX);
        if (!read_network(entry, &a->networks[a->network_count++]))
            return nx_fail(why, NX_E_CONFIG, "gateway.shard.network: '%.*s' is no network, write 10.1.0.0/16",
                           SLICE_FMT(entry));
    }
    return NX_OK;
}

static enum nx_err
read_priorities(struct assign *a, struct nx_note *why)
{
    struct slice rest = slice_str(a->conf.priority), entry;

    while (next_entry(&rest, &entry)) {
        unsigned i = 0;
        while (i < 3 && !slice_eq_str(entry, priority_names[i]))
            i++;
        if (i == 3)
            return nx_fail(why, NX_E_CONFIG, "gateway.shard.priority: '%.*s' is none of telemetry, control, safety",
                           SLICE_FMT(entry));
        a->has_priority[i] = true;
    }
    return NX_OK;
}

static enum nx_err
read_part(struct assign *a, struct nx_note *why)
{
    const char *stroke = strchr(a->conf.part, '/');
    uint64_t part = 0, parts = 0;

    if (!stroke || !num_u64(slice(a->conf.part, (size_t)(stroke - a->conf.part)), &part) ||
        !num_u64(slice_str(stroke + 1), &parts) || part == 0 || part > parts || parts > 1000)
        return nx_fail(why, NX_E_CONFIG, "gateway.shard.part: '%s' is no part, write 1/3 for the first of three",
                       a->conf.part);
    a->part = (unsigned)part;
    a->parts = (unsigned)parts;
    return NX_OK;
}

enum nx_err
assign_init(struct assign *a, const struct assign_conf *conf, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    *a = (struct assign){.conf = *conf};
    if (conf->network)
        err = read_networks(a, why);
    if (err == NX_OK && conf->priority)
        err = read_priorities(a, why);
    if (err == NX_OK && conf->part)
        err = read_part(a, why);
    return err;
}

/* --- applying them --- */

static bool
is_below(struct slice topic, struct slice pattern)
{
    while (pattern.len > 0) {
        if (topic.len == 0)
            return false;
        const uint8_t *p = memchr(pattern.p, '/', pattern.len), *t = memchr(topic.p, '/', topic.len);
        struct slice want = slice(pattern.p, p ? (size_t)(p - pattern.p) : pattern.len);
        struct slice have = slice(topic.p, t ? (size_t)(t - topic.p) : topic.len);

        if (!slice_eq_str(want, "+") && !slice_eq(want, have))
            return false;
        pattern = slice_skip(pattern, want.len + (p ? 1 : 0));
        topic = slice_skip(topic, have.len + (t ? 1 : 0));
    }
    return true;
}

static bool
takes_line(const char *list, const char *prefix)
{
    struct slice rest = slice_str(list), entry;

    while (next_entry(&rest, &entry))
        if (is_below(slice_str(prefix), entry))
            return true;
    return false;
}

static bool
takes_protocol(const char *list, const char *name)
{
    struct slice rest = slice_str(list), entry;

    while (next_entry(&rest, &entry))
        if (slice_eq_str(entry, name))
            return true;
    return false;
}

static enum tag_priority
highest_priority(const struct device *d)
{
    enum tag_priority highest = PRIORITY_TELEMETRY;

    for (unsigned i = 0; i < d->tag_count; i++)
        if (d->tags[i].priority > highest)
            highest = d->tags[i].priority;
    return highest;
}

static bool
is_in(const struct assign_network *n, const uint8_t *address)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->address, address, whole) != 0)
        return false;
    return rest == 0 || (n->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

static const char *
host_of(const struct device *d)
{
    for (const struct nx_param *p = d->driver->params; p->key; p++)
        if (strcmp(p->key, "host") == 0)
            return nx_setting_string(d->settings, "host");
    return NULL;
}

static bool
takes_network(const struct assign *a, const char *host)
{
    uint8_t address[16];

    for (unsigned i = 0; host && i < a->network_count; i++)
        if (inet_pton(a->networks[i].family, host, address) == 1 && is_in(&a->networks[i], address))
            return true;
    return false;
}

unsigned
assign_part(const struct device *d, unsigned n)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    char *key = conn_key(d);

    for (const char *p = key; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    free(key);
    return (unsigned)((h ^ h >> 32) % n);
}

bool
assign_takes(const struct assign *a, const struct device *d)
{
    return (!a->conf.line || takes_line(a->conf.line, d->uns_prefix)) &&
           (!a->conf.protocol || takes_protocol(a->conf.protocol, d->driver->name)) &&
           (!a->conf.priority || a->has_priority[highest_priority(d)]) &&
           (!a->conf.network || takes_network(a, host_of(d))) &&
           (a->parts == 0 || assign_part(d, a->parts) == a->part - 1);
}
