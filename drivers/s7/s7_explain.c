/* s7_explain.c -- the plan of a read list for people. */
#include "s7_link.h"

#include "base/mem.h"
#include "s7_iso.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 160

/* Collects one request. */
struct telling {
    const struct s7_plan *plan;
    struct nx_plan *out;
    uint32_t *items; /* room for all */
    struct nx_plan_request rq;
    char text[TEXT_MAX];
    size_t len;
};

/* Bytes of a block that no tag wants. */
static uint32_t
gap_bytes(const struct s7_plan *plan, const struct s7_block *b)
{
    uint32_t gap = 0, end = 0;

    for (uint32_t i = b->first; i < b->first + b->n; i++) {
        const struct s7_entry *e = &plan->entries[i];
        if (e->offset > end)
            gap += e->offset - end;
        if ((uint32_t)e->offset + e->addr->bytes > end)
            end = (uint32_t)e->offset + e->addr->bytes;
    }
    return gap;
}

static void
begin_request(struct telling *t)
{
    t->rq = (struct nx_plan_request){.text = t->text, .items = t->items};
    t->rq.bytes_out = S7_FRAMING_BYTES + S7_ITEM_BYTES;
    t->rq.bytes_in = S7_FRAMING_BYTES + S7_REPLY_HEAD;
    t->len = (size_t)snprintf(t->text, sizeof t->text, "read");
}

/* Ranges are named as long as there is room. */
static void
name_part(struct telling *t, const struct s7_item *item, unsigned bytes)
{
    char range[S7_RANGE_TEXT];
    size_t left = sizeof t->text - t->len;

    if (left <= S7_RANGE_TEXT + sizeof ", ...")
        return;
    s7_range_text(range, item->area, item->db, item->start, bytes);
    t->len += (size_t)snprintf(t->text + t->len, left, "%s %s", t->len > 4 ? "," : "", range);
    if (sizeof t->text - t->len <= S7_RANGE_TEXT + sizeof ", ...")
        t->len += (size_t)snprintf(t->text + t->len, sizeof t->text - t->len, ", ...");
}

static void
add_part(struct telling *t, const struct s7_part *part, bool is_final)
{
    const struct s7_block *b = &t->plan->blocks[part->block];
    struct s7_item item = s7_plan_item(t->plan, part);

    name_part(t, &item, part->bytes);
    t->rq.bytes_out += S7_ITEM_BYTES;
    t->rq.bytes_in += S7_RESULT_HEAD + (is_final ? part->bytes : (part->bytes + 1u) & ~1u);
    if (part->offset > 0) /* the tags are told with the first part */
        return;
    t->rq.gap_bytes += gap_bytes(t->plan, b);
    for (uint32_t i = 0; i < b->n; i++)
        t->items[t->rq.item_count++] = t->plan->entries[b->first + i].item;
}

static void
tell_request(struct telling *t, const struct s7_request *rq)
{
    begin_request(t);
    for (uint32_t i = 0; i < rq->n; i++)
        add_part(t, &t->plan->parts[rq->first + i], i + 1 == rq->n);
    nx_plan_add(t->out, &t->rq);
}

static void
tell_hole(struct telling *t, uint32_t b, const struct s7_entry *hole)
{
    struct s7_part part = s7_plan_part(t->plan, b, 0);
    struct nx_note why;

    begin_request(t);
    add_part(t, &part, true);
    s7_refusal(&why, hole->addr, hole->code, "was refused");
    t->rq.hole = why.text;
    nx_plan_add(t->out, &t->rq);
    t->rq.hole = NULL;
}

void
s7_explain(struct nx_dev *dev, struct nx_read *rd, struct nx_plan *out)
{
    struct s7_device *d = nx_dev_state(dev);
    bool is_running = rd->op.driver_data != NULL;
    struct s7_read *r = is_running ? rd->plan : s7_read_of(d, rd);
    struct telling t = {.plan = &r->plan, .out = out, .items = mem_calloc(rd->item_count, sizeof *t.items)};

    if (!is_running)
        s7_plan_rebuild(&r->plan, false); /* the last poll was cancelled in the middle */
    for (uint32_t i = 0; i < r->plan.request_count; i++)
        tell_request(&t, &r->plan.requests[i]);
    for (uint32_t b = 0; r->plan.has_holes && b < r->plan.block_count; b++) {
        const struct s7_entry *hole = s7_plan_hole(&r->plan, b);
        if (hole)
            tell_hole(&t, b, hole);
    }
    free(t.items);
}
