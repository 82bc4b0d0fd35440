#include "sim/s7_cpu.h"

#include "base/mem.h"
#include "sim/bytes.h"
#include "sim/s7_cpu_priv.h"

#include <string.h>

#define ACK_HEADER 12u
#define GARBAGE    0xA5 /* pad bytes are never zero by design */

enum { FN_READ = 0x04, FN_WRITE = 0x05, FN_SETUP = 0xF0 };
enum { ITEM_OK = 0xFF, ITEM_ACCESS = 0x03, ITEM_RANGE = 0x05, ITEM_TYPE = 0x06, ITEM_DATA = 0x07, ITEM_NONE = 0x0A };

static const struct s7sim_cpu_conf models[] = {
    {.model = "s7-300", .pdu_bytes = 240, .jobs_max = 4, .items_max = 20, .connections_max = 8, .slot = 2},
    {.model = "s7-400", .pdu_bytes = 480, .jobs_max = 8, .items_max = 20, .connections_max = 32, .slot = 3},
    {.model = "s7-1200", .pdu_bytes = 240, .jobs_max = 3, .items_max = 20, .connections_max = 3, .slot = 1},
    {.model = "s7-1500", .pdu_bytes = 960, .jobs_max = 8, .items_max = 20, .connections_max = 32, .slot = 1},
};

bool
s7sim_cpu_model(const char *name, struct s7sim_cpu_conf *out)
{
    for (unsigned i = 0; i < MEM_COUNT(models); i++)
        if (strcmp(models[i].model, name) == 0) {
            *out = models[i];
            return true;
        }
    return false;
}

bool
s7sim_cpu_accepts(const struct s7sim_cpu *cpu, unsigned tsap)
{
    return cpu->conf.is_any_slot || (tsap & 0xFF) == (cpu->conf.rack * 32 + cpu->conf.slot);
}

/* One message being answered. */
struct call {
    struct s7sim_cpu *cpu;
    struct s7sim_session *session;
    struct s7sim_message m;
    uint8_t *out;
};

static size_t
refuse(const struct call *c, unsigned error)
{
    c->cpu->refused++;
    return s7sim_header_write(c->out, S7_ACK, c->m.ref, 0, 0, error);
}

static size_t
setup(const struct call *c)
{
    struct s7sim_session *s = c->session;
    unsigned jobs, pdu;
    uint8_t *p = c->out + ACK_HEADER;

    if (c->m.params_len != 8)
        return refuse(c, S7_E_SERVICE);
    jobs = get16(c->m.params + 2);
    pdu = get16(c->m.params + 6);
    if (jobs == 0 || pdu < S7_PDU_MIN)
        return refuse(c, S7_E_SERVICE);
    s->jobs_max = jobs < c->cpu->conf.jobs_max ? jobs : c->cpu->conf.jobs_max;
    s->pdu_bytes = pdu < c->cpu->conf.pdu_bytes ? pdu : c->cpu->conf.pdu_bytes;
    p[0] = FN_SETUP;
    p[1] = 0;
    put16(p + 2, s->jobs_max);
    put16(p + 4, s->jobs_max);
    put16(p + 6, s->pdu_bytes);
    return s7sim_header_write(c->out, S7_ACK_DATA, c->m.ref, 8, 0, 0) + 8;
}

/* --- items --- */

/* Where an item lies; code is what its reply says when it is not ITEM_OK. */
struct place {
    struct s7sim_block *block;
    uint32_t start, bytes;
    unsigned bit;
    uint8_t code;
};

static bool
is_in_hole(const struct s7sim_cpu *cpu, const struct s7sim_item *item, const struct place *at)
{
    const struct s7sim_hole *h = &cpu->hole;

    return h->code != 0 && item->area == S7_DB && item->db == h->db && at->start <= h->last &&
           at->start + at->bytes > h->first;
}

/* Timers and counters are addressed by element, everything else by bit. */
static void
place_bytes(const struct s7sim_item *item, struct place *at)
{
    bool is_element = item->area == S7_TIMERS || item->area == S7_COUNTERS;

    at->bytes = item->count * s7sim_element_bytes(item->transport);
    at->start = is_element ? 2 * item->address : item->address / 8;
    at->bit = is_element ? 0 : item->address % 8;
}

static bool
is_type_wrong(const struct s7sim_item *item, const struct place *at)
{
    if (at->bytes == 0 || (item->transport == S7_BIT ? item->count != 1 : at->bit != 0))
        return true;
    if (item->area == S7_TIMERS || item->transport == S7_TIMER)
        return item->area != S7_TIMERS || item->transport != S7_TIMER;
    return (item->area == S7_COUNTERS) != (item->transport == S7_COUNTER);
}

static struct place
place_item(const struct s7sim_cpu *cpu, const struct s7sim_item *item)
{
    struct place at = {.code = ITEM_OK};

    at.block = item->is_any ? s7sim_memory_block(&cpu->memory, item->area, item->db) : NULL;
    place_bytes(item, &at);
    if (!item->is_any || is_type_wrong(item, &at))
        at.code = ITEM_TYPE;
    else if (!at.block)
        at.code = ITEM_NONE;
    else if (at.block->refusal != 0)
        at.code = at.block->refusal;
    else if (at.start + at.bytes > at.block->size)
        at.code = ITEM_RANGE;
    else if (is_in_hole(cpu, item, &at))
        at.code = cpu->hole.code;
    return at;
}

static unsigned
items_max(const struct s7sim_cpu *cpu)
{
    return cpu->conf.items_max > 0 && cpu->conf.items_max < S7_ITEMS_MAX ? cpu->conf.items_max : S7_ITEMS_MAX;
}

/* Reads the items of a request into a list; how many, or 0 when they are too many or cut off. */
static unsigned
read_items(const struct call *c, struct s7sim_item items[S7_ITEMS_MAX])
{
    unsigned count = c->m.params_len >= 2 ? c->m.params[1] : 0;
    size_t at = 2;

    if (count == 0 || count > items_max(c->cpu))
        return 0;
    for (unsigned i = 0; i < count; i++) {
        size_t n = s7sim_item_read(c->m.params + at, c->m.params_len - at, &items[i]);
        if (n == 0)
            return 0;
        at += n;
    }
    return at == c->m.params_len ? count : 0;
}

static unsigned
items_error(const struct call *c)
{
    return c->m.params_len >= 2 && c->m.params[1] > items_max(c->cpu) ? S7_E_PDU : S7_E_SERVICE;
}

/* --- read --- */

static size_t
put_failed(uint8_t *out, uint8_t code)
{
    out[0] = code;
    out[1] = 0;
    put16(out + 2, 4); /* real CPUs leave a length here that means nothing */
    return 4;
}

static size_t
put_value(const struct s7sim_cpu *cpu, const struct s7sim_item *item, const struct place *at, uint8_t *out)
{
    const struct s7sim_memory *m = &cpu->memory;
    unsigned transport = s7sim_data_transport(item->transport);

    if (m->before_read)
        m->before_read(m->arg, at->block, at->start, at->bytes);
    out[0] = ITEM_OK;
    out[1] = (uint8_t)transport;
    put16(out + 2, transport == 3 ? 1 : s7sim_data_counts_bits(transport) ? 8 * at->bytes : at->bytes);
    memcpy(out + 4, at->block->bytes + at->start, at->bytes);
    if (transport == 3)
        out[4] = out[4] >> at->bit & 1;
    return 4 + at->bytes;
}

/* The length of the reply's data, padding between items included. */
static size_t
reply_bytes(const struct place *places, unsigned count)
{
    size_t n = 0;

    for (unsigned i = 0; i < count; i++)
        n += n % 2 + 4 + (places[i].code == ITEM_OK ? places[i].bytes : 0);
    return n;
}

static size_t
read_var(const struct call *c)
{
    struct s7sim_item items[S7_ITEMS_MAX];
    struct place places[S7_ITEMS_MAX];
    unsigned count = read_items(c, items);
    uint8_t *params = c->out + ACK_HEADER, *data = params + 2;
    size_t n = 0;

    if (count == 0)
        return refuse(c, items_error(c));
    for (unsigned i = 0; i < count; i++)
        places[i] = place_item(c->cpu, &items[i]);
    if (ACK_HEADER + 2 + reply_bytes(places, count) > c->session->pdu_bytes)
        return refuse(c, S7_E_PDU);
    for (unsigned i = 0; i < count; i++) {
        if (n % 2 != 0)
            data[n++] = GARBAGE;
        if (places[i].code != ITEM_OK) {
            n += put_failed(data + n, places[i].code);
            continue;
        }
        n += put_value(c->cpu, &items[i], &places[i], data + n);
        c->cpu->items++;
    }
    params[0] = FN_READ;
    params[1] = (uint8_t)count;
    return s7sim_header_write(c->out, S7_ACK_DATA, c->m.ref, 2, n, 0) + 2 + n;
}

/* --- write --- */

/* Data of one item in a write request: 00 transport length(2) bytes. */
struct written {
    unsigned transport;
    const uint8_t *p;
    size_t bytes, whole;
};

static bool
read_written(const uint8_t *in, size_t len, struct written *out)
{
    size_t n;

    if (len < 4)
        return false;
    n = get16(in + 2);
    out->transport = in[1];
    out->bytes = s7sim_data_counts_bits(in[1]) ? (n + 7) / 8 : n;
    out->p = in + 4;
    out->whole = 4 + out->bytes;
    return out->whole <= len;
}

static bool
is_data_wrong(const struct s7sim_item *item, const struct place *at, const struct written *w)
{
    if (item->transport == S7_BIT)
        return w->transport != 3 || w->bytes != 1;
    return w->transport == 3 || w->bytes != at->bytes;
}

static uint8_t
store(const struct call *c, const struct s7sim_item *item, const struct written *w)
{
    const struct s7sim_memory *m = &c->cpu->memory;
    struct place at = place_item(c->cpu, item);

    if (at.code != ITEM_OK)
        return at.code;
    if (at.block->is_read_only)
        return ITEM_ACCESS;
    if (is_data_wrong(item, &at, w))
        return ITEM_DATA;
    if (item->transport == S7_BIT) {
        uint8_t *byte = at.block->bytes + at.start, mask = (uint8_t)(1u << at.bit);
        *byte = (uint8_t)(w->p[0] & 1 ? *byte | mask : *byte & ~mask);
    } else {
        memcpy(at.block->bytes + at.start, w->p, at.bytes);
    }
    if (m->after_write)
        m->after_write(m->arg, at.block, at.start, at.bytes);
    c->cpu->items++;
    return ITEM_OK;
}

static size_t
write_var(const struct call *c)
{
    struct s7sim_item items[S7_ITEMS_MAX];
    struct written values[S7_ITEMS_MAX];
    unsigned count = read_items(c, items);
    uint8_t *params = c->out + ACK_HEADER, *codes = params + 2;
    size_t at = 0;

    if (count == 0)
        return refuse(c, items_error(c));
    for (unsigned i = 0; i < count; i++) {
        at += at % 2;
        if (at > c->m.data_len || !read_written(c->m.data + at, c->m.data_len - at, &values[i]))
            return refuse(c, S7_E_SERVICE);
        at += values[i].whole;
    }
    for (unsigned i = 0; i < count; i++)
        codes[i] = store(c, &items[i], &values[i]);
    params[0] = FN_WRITE;
    params[1] = (uint8_t)count;
    return s7sim_header_write(c->out, S7_ACK_DATA, c->m.ref, 2, count, 0) + 2 + count;
}

/* --- messages --- */

static size_t
access_var(const struct call *c, size_t len)
{
    if (c->cpu->conf.is_put_get_off)
        return refuse(c, S7_E_FUNCTION);
    if (c->cpu->conf.needs_password)
        return refuse(c, S7_E_PASSWORD);
    if (len > c->session->pdu_bytes)
        return refuse(c, S7_E_PDU);
    return c->m.params[0] == FN_READ ? read_var(c) : write_var(c);
}

static size_t
job(const struct call *c, size_t len)
{
    unsigned function = c->m.params_len > 0 ? c->m.params[0] : 0;

    if (function == FN_SETUP)
        return setup(c);
    if (c->session->jobs_max == 0)
        return 0;
    if (c->session->jobs_open > c->session->jobs_max)
        return refuse(c, S7_E_RESOURCES);
    return function == FN_READ || function == FN_WRITE ? access_var(c, len) : refuse(c, S7_E_FUNCTION);
}

size_t
s7sim_cpu_answer(struct s7sim_cpu *cpu, struct s7sim_session *s, const uint8_t *in, size_t len, uint8_t out[S7_PDU_MAX])
{
    struct call c = {.cpu = cpu, .session = s, .out = out};

    if (!s7sim_message_read(in, len, &c.m))
        return 0;
    cpu->requests++;
    if (c.m.kind == S7_USERDATA)
        return s->jobs_max == 0 ? 0 : s7sim_szl_answer(cpu, s, &c.m, out);
    return job(&c, len);
}
