/* s7_read.c -- one poll of a read list: which parts are asked next, and what a reply gives to which tag. */
#include "s7_link.h"

#include "s7_value.h"

#include <assert.h>

#define PROBES_PER_POLL 4u
#define CODE_LOST       0xFEu /* a part of a long text was answered with nonsense */

/* --- compiling --- */

static void
recall_holes(struct s7_device *d, struct s7_plan *plan)
{
    uint64_t probe_ms = nx_now_ms(nx_link_of(d->dev)) + d->probe_ms;
    bool is_any = false;

    for (uint32_t i = 0; d->learned.hole_count > 0 && i < plan->entry_count; i++) {
        struct s7_entry *e = &plan->entries[i];
        e->code = (uint8_t)s7_learned_get(&d->learned, e->addr);
        e->probe_ms = probe_ms;
        is_any = is_any || e->code != 0;
    }
    if (is_any)
        s7_plan_build(plan);
}

struct s7_read *
s7_read_of(struct s7_device *d, struct nx_read *rd)
{
    struct s7_read *r = rd->plan;

    if (r && r->plan.pdu == d->limits.pdu)
        return r;
    if (r)
        nx_read_reset(rd);
    r = rd->plan = nx_read_alloc(rd, sizeof *r);
    s7_plan_init(&r->plan, nx_read_alloc(rd, s7_plan_bytes(&d->limits, rd->items, rd->item_count)), &d->limits,
                 rd->items, rd->item_count);
    r->again = nx_read_alloc(rd, r->plan.part_cap * sizeof *r->again);
    recall_holes(d, &r->plan);
    return r;
}

/* --- the reason of a refusal --- */

enum nx_err
s7_refusal(struct nx_note *why, const struct s7_addr *addr, unsigned code, const char *what)
{
    char text[S7_RANGE_TEXT];

    s7_addr_text(text, addr);
    return nx_fail(why, s7_code_err(code), "%s %s by the CPU: code %02X, %s", text, what, code, s7_code_text(code));
}

static void
fail_hole(const struct s7_read *r, const struct s7_entry *e)
{
    struct nx_note why;
    enum nx_err err = s7_refusal(&why, e->addr, e->code, "was refused");

    nx_read_failed(s7_run_read(&r->run), e->item, err, &why);
}

/* --- what to ask --- */

static void
push_again(struct s7_read *r, uint32_t b)
{
    for (unsigned i = r->plan.blocks[b].parts; i-- > 0;) {
        assert(r->again_count < r->plan.part_cap);
        r->again[r->again_count++] = s7_plan_part(&r->plan, b, i);
    }
}

/* A hole is left alone until its probe is due, and only a few are probed in one poll: asking for what is not there
 * must not cost the other tags their time. After one has come back (probe_ms 0) all are asked. */
static void
look_at_holes(struct s7_device *d, struct s7_read *r)
{
    uint64_t now = nx_now_ms(nx_link_of(d->dev));
    unsigned probes = 0;

    for (uint32_t b = 0; b < r->plan.block_count; b++) {
        const struct s7_entry *hole = s7_plan_hole(&r->plan, b);
        if (!hole)
            continue;
        if (hole->probe_ms == 0 || (hole->probe_ms <= now && probes++ < PROBES_PER_POLL))
            push_again(r, b);
        else
            fail_hole(r, hole);
    }
}

void
s7_read_start(struct s7_device *d, struct s7_read *r)
{
    s7_plan_rebuild(&r->plan, false); /* the last poll was cancelled in the middle */
    r->next_request = 0;
    r->again_count = 0;
    r->is_undecided = false;
    for (uint32_t b = 0; r->plan.has_texts && b < r->plan.block_count; b++)
        r->plan.blocks[b].parts_left = 0;
    if (r->plan.has_holes)
        look_at_holes(d, r);
}

uint32_t
s7_read_next(struct s7_read *r, struct s7_part parts[S7_ITEMS_MAX])
{
    struct s7_room room = s7_room_of(r->plan.pdu);
    uint32_t n = 0;

    while (r->again_count > 0 && s7_room_take(&room, r->again[r->again_count - 1].bytes))
        parts[n++] = r->again[--r->again_count];
    if (n == 0 && r->next_request < r->plan.request_count) {
        const struct s7_request *rq = &r->plan.requests[r->next_request++];
        n = rq->n;
        memcpy(parts, &r->plan.parts[rq->first], n * sizeof *parts);
    }
    for (uint32_t i = 0; r->plan.has_texts && i < n; i++) {
        struct s7_block *b = &r->plan.blocks[parts[i].block];
        if (b->parts_left == 0) {
            b->parts_left = b->parts;
            b->code = 0;
        }
    }
    return n;
}

/* --- what was answered --- */

static void
give_entry(struct nx_read *rd, const struct s7_entry *e, const uint8_t *p)
{
    char text[S7_TEXT_MAX];
    struct nx_value v;
    struct nx_note why;
    enum nx_err err = s7_value_decode(e->addr, p, text, &v);

    if (err == NX_OK) {
        nx_read_value(rd, e->item, &v, NX_Q_GOOD, 0);
    } else if (err == NX_E_VALUE) {
        v = nx_value_none();
        nx_read_value(rd, e->item, &v, NX_Q_SENSOR_FAILURE, 0);
    } else {
        nx_fail(&why, err, "the %s in the CPU does not fit the data_type of the tag", s7_types[e->addr->type].name);
        nx_read_failed(rd, e->item, err, &why);
    }
}

static void
give_block(struct s7_read *r, uint32_t b, const uint8_t *data)
{
    struct nx_read *rd = s7_run_read(&r->run);
    const struct s7_block *block = &r->plan.blocks[b];
    const struct s7_entry *e = &r->plan.entries[block->first], *end = e + block->n;

    for (; e < end; e++)
        give_entry(rd, e, data + e->offset);
    if (s7_plan_hole(&r->plan, b)) {
        struct s7_device *d = s7_run_device(&r->run);
        s7_learned_set(&d->learned, d->dev, r->plan.entries[block->first].addr, 0);
        s7_plan_healed(&r->plan, b);
    }
}

static void
fail_block(struct s7_read *r, uint32_t b, enum nx_err err, const struct nx_note *why)
{
    const struct s7_block *block = &r->plan.blocks[b];

    r->is_undecided = true;
    for (uint32_t i = 0; i < block->n; i++)
        nx_read_failed(s7_run_read(&r->run), r->plan.entries[block->first + i].item, err, why);
}

/* A hardware error may pass; everything else is a matter of the address. */
static void
refuse_block(struct s7_read *r, uint32_t b, unsigned code)
{
    struct s7_device *d = s7_run_device(&r->run);
    const struct s7_entry *e = &r->plan.entries[r->plan.blocks[b].first];
    struct nx_note why;

    nx_count(d->dev, NX_COUNT_EXCEPTIONS, 1);
    if (code == S7_CODE_HARDWARE || code == 0) {
        enum nx_err err = s7_refusal(&why, e->addr, code, "could not be read");
        fail_block(r, b, err, &why);
        return;
    }
    if (s7_plan_refused(&r->plan, b, code, nx_now_ms(nx_link_of(d->dev)) + d->probe_ms)) {
        nx_count(d->dev, NX_COUNT_SPLITS, 1);
        push_again(r, r->plan.block_count - 1);
        push_again(r, b);
        return;
    }
    s7_learned_set(&d->learned, d->dev, e->addr, code);
    fail_hole(r, e);
}

/* One part of a long text; with the last one it is complete. */
static void
take_part(struct s7_read *r, const struct s7_part *part, unsigned code, struct slice data)
{
    struct s7_block *b = &r->plan.blocks[part->block];
    struct nx_note why;

    if (code == S7_CODE_OK)
        memcpy(b->text + part->offset, data.p, data.len);
    else if (b->code == 0 || code == CODE_LOST)
        b->code = (uint8_t)code;
    if (--b->parts_left > 0)
        return;
    if (b->code == 0)
        give_block(r, part->block, b->text);
    else if (b->code == CODE_LOST)
        fail_block(r, part->block, nx_fail(&why, NX_E_BUSY, "a part of the text could not be read"), &why);
    else
        refuse_block(r, part->block, b->code);
}

static void
take_result(struct s7_read *r, const struct s7_part *part, const struct s7_result *result)
{
    if (r->plan.blocks[part->block].parts > 1)
        take_part(r, part, result->code, result->data);
    else if (result->code == S7_CODE_OK)
        give_block(r, part->block, result->data.p);
    else
        refuse_block(r, part->block, result->code);
}

void
s7_read_failed(struct s7_read *r, const struct s7_job *job, enum nx_err err, const struct nx_note *why)
{
    for (uint32_t i = 0; i < job->n; i++) {
        if (r->plan.blocks[job->parts[i].block].parts > 1)
            take_part(r, &job->parts[i], CODE_LOST, slice(NULL, 0));
        else
            fail_block(r, job->parts[i].block, err, why);
    }
}

/* The CPU has agreed to a PDU that it does not take: the next smaller usual one is for all read lists of the device. */
static bool
learn_pdu(struct s7_device *d, unsigned pdu)
{
    static const uint16_t usual[] = {960, 480, 240, 192, 160, S7_PDU_MIN};

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (usual[i] >= pdu)
            continue;
        if (d->limits.pdu > usual[i]) {
            d->limits.pdu = d->learned.pdu = usual[i];
            d->learned.is_changed = true;
        }
        return true;
    }
    return false;
}

void
s7_read_reply(struct s7_link *l, struct s7_read *r, const struct s7_job *job, const struct s7_reply *reply,
              const struct s7_result *results)
{
    struct s7_device *d = s7_run_device(&r->run);
    struct nx_note why;
    enum nx_err err;

    if (reply->error == 0) {
        for (uint32_t i = 0; i < job->n; i++)
            take_result(r, &job->parts[i], &results[i]);
        return;
    }
    nx_count(d->dev, NX_COUNT_EXCEPTIONS, 1);
    if (reply->error == S7_ERROR_PDU && learn_pdu(d, r->plan.pdu)) {
        err = nx_fail(&why, NX_E_BUSY, "error 8500: a job of PDU %u is too large for the CPU; the next poll uses less",
                      r->plan.pdu);
        s7_read_failed(r, job, err, &why);
        return;
    }
    err = nx_fail(&why, s7_error_err(reply->error), "error %04X: %s", reply->error, s7_error_text(reply->error));
    s7_link_finish(l, &r->run, err, &why); /* it is about the CPU, not about a tag */
}

void
s7_device_learned(struct s7_device *d)
{
    struct wbuf text = wbuf_init(NX_LEARNED_MAX);

    if (!d->learned.is_changed)
        return;
    d->learned.is_changed = false;
    s7_learned_write(&d->learned, &text);
    nx_learned(d->dev, wbuf_cstr(&text));
    wbuf_free(&text);
}

void
s7_read_end(struct s7_device *d, struct s7_read *r)
{
    s7_plan_rebuild(&r->plan, !r->is_undecided);
    s7_device_learned(d);
}
