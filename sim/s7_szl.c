/* s7_szl.c -- the system state lists (SZL) that clients read to learn what a CPU is: just enough for them to go on. */
#include "sim/s7_cpu_priv.h"

#include "base/mem.h"
#include "sim/bytes.h"

#include <stdio.h>
#include <string.h>

#define USERDATA_HEADER 10u
#define PARAMS          12u
#define ERROR_NO_LIST   0xD401u

/* SZL ids: part list in the high byte. */
enum { SZL_IDS = 0x0000, SZL_MODULE = 0x0011, SZL_COMPONENT = 0x001C, SZL_COMMUNICATION = 0x0131, SZL_MODE = 0x0424 };

struct list {
    uint8_t *p;
    unsigned id, record_bytes, records;
};

static uint8_t *
add_record(struct list *l, unsigned bytes)
{
    uint8_t *record = l->p + 8 + l->record_bytes * l->records;

    l->record_bytes = bytes;
    l->records++;
    memset(record, 0, bytes);
    return record;
}

static void
put_text(uint8_t *p, size_t cap, const char *text)
{
    size_t len = strlen(text);

    memcpy(p, text, len < cap ? len : cap);
}

static void
list_ids(struct list *l)
{
    static const unsigned ids[] = {SZL_IDS, SZL_MODULE, SZL_COMPONENT, SZL_COMMUNICATION, SZL_MODE};

    for (unsigned i = 0; i < MEM_COUNT(ids); i++)
        put16(add_record(l, 2), ids[i]);
}

/* Order number (20 characters), type, version. */
static void
list_module(struct list *l)
{
    uint8_t *r = add_record(l, 28);

    put16(r, 1);
    put_text(r + 2, 20, "6ES7 NEXUS-SIMULATOR");
    r[24] = 'V';
    r[25] = 1;
}

/* Names by index, 32 characters each; the order is that of an S7-300. */
static void
list_component(const struct s7sim_cpu *cpu, struct list *l)
{
    static const unsigned index[] = {1, 2, 3, 4, 5, 7};
    const char *texts[] = {"NEXUS simulator", cpu->conf.model, "", "Original Equipment", "S NX-0001", cpu->conf.model};

    for (unsigned i = 0; i < MEM_COUNT(index); i++) {
        uint8_t *r = add_record(l, 34);
        put16(r, index[i]);
        put_text(r + 2, 24, texts[i]);
    }
}

static void
list_communication(const struct s7sim_cpu *cpu, struct list *l)
{
    uint8_t *r = add_record(l, 40);

    put16(r, 1);
    put16(r + 2, cpu->conf.pdu_bytes);
    put16(r + 4, cpu->conf.connections_max);
}

static void
list_mode(struct list *l)
{
    uint8_t *r = add_record(l, 20);

    put16(r, 0x0200);
    r[2] = 0xFF;
    r[3] = 8; /* RUN */
}

static bool
make_list(const struct s7sim_cpu *cpu, unsigned id, struct list *l)
{
    l->id = id;
    switch (id) {
    case SZL_IDS:
        list_ids(l);
        return true;
    case SZL_MODULE:
        list_module(l);
        return true;
    case SZL_COMPONENT:
        list_component(cpu, l);
        return true;
    case SZL_COMMUNICATION:
        list_communication(cpu, l);
        return true;
    case SZL_MODE:
        list_mode(l);
        return true;
    default:
        return false;
    }
}

/* Parameters of an answer: 00 01 12 08 12 8g sub seq 00 00 error(2). */
static void
put_params(uint8_t *p, const uint8_t *request, unsigned error)
{
    static const uint8_t head[] = {0x00, 0x01, 0x12, 0x08, 0x12};

    memset(p, 0, PARAMS);
    memcpy(p, head, sizeof head);
    p[5] = (uint8_t)(0x80 | (request[5] & 0x0F));
    p[6] = request[6];
    p[7] = 1;
    put16(p + 10, error);
}

static size_t
no_list(const struct s7sim_message *m, unsigned error, uint8_t *out)
{
    static const uint8_t none[] = {0x0A, 0x00, 0x00, 0x00};

    put_params(out + USERDATA_HEADER, m->params, error);
    memcpy(out + USERDATA_HEADER + PARAMS, none, sizeof none);
    return s7sim_header_write(out, S7_USERDATA, m->ref, PARAMS, sizeof none, 0) + PARAMS + sizeof none;
}

size_t
s7sim_szl_answer(const struct s7sim_cpu *cpu, const struct s7sim_session *s, const struct s7sim_message *m,
                 uint8_t out[S7_PDU_MAX])
{
    uint8_t *data = out + USERDATA_HEADER + PARAMS;
    struct list l = {.p = data + 4};
    size_t n;

    if (m->params_len < 8)
        return 0;
    if ((m->params[5] & 0x0F) != 4 || m->params[6] != 1 || m->data_len < 8)
        return no_list(m, S7_E_FUNCTION, out);
    if (!make_list(cpu, get16(m->data + 4), &l))
        return no_list(m, ERROR_NO_LIST, out);
    n = 8 + (size_t)l.record_bytes * l.records;
    if (USERDATA_HEADER + PARAMS + 4 + n > s->pdu_bytes)
        return no_list(m, ERROR_NO_LIST, out);
    put_params(out + USERDATA_HEADER, m->params, 0);
    data[0] = 0xFF;
    data[1] = 9;
    put16(data + 2, (unsigned)n);
    put16(data + 4, l.id);
    put16(data + 6, get16(m->data + 6));
    put16(data + 8, l.record_bytes);
    put16(data + 10, l.records);
    return s7sim_header_write(out, S7_USERDATA, m->ref, PARAMS, 4 + n, 0) + PARAMS + 4 + n;
}
