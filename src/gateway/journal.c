#include "gateway/journal.h"

#include "base/mem.h"
#include "model/batch.h"

#include <stdlib.h>

#define GAPS_MAX     16u
#define DECLARED_MAX 4096u
#define RECORD_MAX   (BATCH_MAX_BYTES)
#define YIELDS_MAX   4u /* segments given up for one record */

/* A gap record in the spool. */
struct declared {
    uint64_t seq;
    struct batch_gap gap;
};

struct journal {
    struct loop *loop;
    struct journal_conf conf;
    struct spool *sp;
    struct link *link;
    struct batch_writer *bw; /* NULL: points are only gathered */
    struct wbuf record;
    struct slot **fresh; /* [conf.batch_size]: slots of the batch, in order */
    uint32_t fresh_count;
    int64_t oldest_us;                   /* of the spool before the last append: where a gap begins */
    struct batch_gap gaps[GAPS_MAX + 1]; /* not yet in the spool; one place for the gap being written */
    unsigned gap_count;
    struct declared *declared; /* by number */
    unsigned declared_count, declared_cap;
    struct journal_stats stats;
    struct log_ctx log;
};

/* --- causes --- */

static const struct {
    enum nx_err err;
    const char *name;
} causes[JOURNAL_CAUSES] = {{NX_E_FULL, "full"},
                            {NX_E_DISK_FULL, "disk_full"},
                            {NX_E_EXPIRED, "expired"},
                            {NX_E_CORRUPT, "corrupt"},
                            {NX_E_IO, "io"}};

const char *
journal_cause_name(unsigned i)
{
    return i < JOURNAL_CAUSES ? causes[i].name : NULL;
}

static void
count_lost(struct journal *j, uint64_t points, enum nx_err cause)
{
    unsigned i = 0;

    while (i < JOURNAL_CAUSES - 1 && causes[i].err != cause)
        i++;
    j->stats.lost[i] += points;
    j->stats.dropped += points;
}

/* --- the spool --- */

static void
spool_fails(struct journal *j, const struct nx_note *why)
{
    if (!j->stats.why.text[0])
        log_error(&j->log, "points are not stored; polling goes on", KV_NOTE(why));
    j->stats.why = *why;
}

/* The lane that matters more goes on at the cost of the other. */
static enum nx_err
append_or_take_room(struct journal *j, uint32_t count, struct nx_note *why)
{
    enum nx_err err = spool_append(j->sp, wbuf_slice_of(&j->record), count, why);

    for (unsigned i = 0; err == NX_E_DISK_FULL && i < YIELDS_MAX && j->conf.yields; i++) {
        if (!spool_yield(j->conf.yields))
            break;
        err = spool_append(j->sp, wbuf_slice_of(&j->record), count, why);
    }
    return err;
}

static bool
append(struct journal *j, uint32_t count)
{
    struct nx_note why = {0};
    uint64_t seq = spool_next_seq(j->sp);

    j->oldest_us = spool_stats_of(j->sp).oldest_us;
    if (append_or_take_room(j, count, &why) != NX_OK) {
        spool_fails(j, &why);
        return false;
    }
    if (j->stats.why.text[0]) {
        log_info(&j->log, "the spool takes points again");
        j->stats.why = (struct nx_note){0};
    }
    link_appended(j->link, seq, wbuf_slice_of(&j->record));
    return true;
}

static struct batch_header
next_header(const struct journal *j)
{
    return (struct batch_header){.gateway = slice_str(j->conf.gateway),
                                 .epoch = spool_epoch(j->sp),
                                 .lane = j->conf.lane,
                                 .seq = spool_next_seq(j->sp)};
}

/* --- gaps --- */

/* Adds what `more` says; a gap without numbers has from_seq 0. */
static void
merge(struct batch_gap *gap, const struct batch_gap *more)
{
    gap->points += more->points;
    if (more->from_seq > 0 && (gap->from_seq == 0 || more->from_seq < gap->from_seq))
        gap->from_seq = more->from_seq;
    if (more->to_seq > gap->to_seq)
        gap->to_seq = more->to_seq;
    if (more->from_us < gap->from_us)
        gap->from_us = more->from_us;
    if (more->to_us > gap->to_us)
        gap->to_us = more->to_us;
}

/* Do their numbers touch, or has one of them none? */
static bool
are_neighbours(const struct batch_gap *a, const struct batch_gap *b)
{
    return a->from_seq == 0 || b->from_seq == 0 || (a->from_seq <= b->to_seq + 1 && b->from_seq <= a->to_seq + 1);
}

static void
add_gap(struct journal *j, const struct batch_gap *gap)
{
    for (unsigned i = j->gap_count; i > 0; i--) {
        if (j->gaps[i - 1].cause == gap->cause && are_neighbours(&j->gaps[i - 1], gap)) {
            merge(&j->gaps[i - 1], gap);
            return;
        }
    }
    if (j->gap_count >= GAPS_MAX)
        merge(&j->gaps[j->gap_count - 1], gap);
    else
        j->gaps[j->gap_count++] = *gap;
}

/* Those that the historian has are of no interest any more. */
static void
forget_freed(struct journal *j)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < j->declared_count; i++)
        if (!spool_is_freed(j->sp, j->declared[i].seq))
            j->declared[kept++] = j->declared[i];
    j->declared_count = kept;
}

static void
remember(struct journal *j, uint64_t seq, const struct batch_gap *gap)
{
    if (j->declared_count == j->declared_cap)
        forget_freed(j);
    if (j->declared_count == j->declared_cap && j->declared_cap < DECLARED_MAX) {
        j->declared_cap = j->declared_cap ? j->declared_cap * 2 : 16;
        j->declared = mem_realloc(j->declared, j->declared_cap * sizeof *j->declared);
    }
    if (j->declared_count < j->declared_cap)
        j->declared[j->declared_count++] = (struct declared){seq, *gap};
}

/* Gap records among the dropped ones: they have to be declared again. Their points are counted already. */
static void
declare_again(struct journal *j, uint64_t from, uint64_t to)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < j->declared_count; i++) {
        if (j->declared[i].seq >= from && j->declared[i].seq <= to)
            add_gap(j, &j->declared[i].gap);
        else
            j->declared[kept++] = j->declared[i];
    }
    j->declared_count = kept;
}

static struct batch_gap
take_gap(struct journal *j)
{
    struct batch_gap gap = j->gaps[0];

    memmove(j->gaps, j->gaps + 1, --j->gap_count * sizeof *j->gaps);
    return gap;
}

static void
put_gap_back(struct journal *j, const struct batch_gap *gap)
{
    memmove(j->gaps + 1, j->gaps, j->gap_count++ * sizeof *j->gaps);
    j->gaps[0] = *gap;
}

/* A gap record may itself push the oldest segment out: that gap waits for the next flush. The one at hand leaves the
 * list first, or what is dropped meanwhile would be added to a record that is written already. */
static void
append_gaps(struct journal *j)
{
    for (unsigned n = j->gap_count; n > 0; n--) {
        struct batch_header hdr = next_header(j);
        struct batch_gap gap = take_gap(j);

        wbuf_reset(&j->record);
        if (batch_encode_gap(&hdr, &gap, &j->record) != NX_OK)
            continue;
        if (!append(j, 0)) {
            put_gap_back(j, &gap);
            return;
        }
        remember(j, hdr.seq, &gap);
    }
}

void
journal_dropped(struct journal *j, uint64_t from, uint64_t to, uint64_t points, enum nx_err cause)
{
    int64_t now_us = loop_wall_us(j->loop);

    count_lost(j, points, cause);
    declare_again(j, from, to);
    add_gap(j, &(struct batch_gap){.from_seq = from,
                                   .to_seq = to,
                                   .points = points,
                                   .from_us = j->oldest_us > 0 ? j->oldest_us : now_us,
                                   .to_us = now_us,
                                   .cause = cause});
}

/* After a restart: gap records of earlier runs that still wait. */
static void
load_declared(struct journal *j)
{
    struct arena a = {0};
    struct spool_record rec;

    for (uint64_t seq = 0; (seq = spool_next_empty(j->sp, seq)) != 0 && j->declared_count < DECLARED_MAX; seq++) {
        struct batch b;
        if (spool_read(j->sp, seq, &rec, NULL) == NX_OK && rec.seq == seq &&
            batch_decode(rec.body, &a, &b, NULL) == NX_OK && b.is_gap)
            remember(j, seq, &b.gap);
        arena_reset(&a);
    }
    arena_free(&a);
}

/* --- batches --- */

bool
journal_is_full(const struct journal *j)
{
    return j->fresh_count == j->conf.batch_size;
}

bool
journal_add(struct journal *j, struct slot *slot, int64_t now_us)
{
    struct point p = {.quality = slot->quality, .value = slot->value, .time_us = slot->time_us, .gateway_us = now_us};

    if (journal_is_full(j) || (j->bw && !batch_writer_add(j->bw, slot->key, &slot->series, &p)))
        return false;
    j->fresh[j->fresh_count++] = slot;
    return true;
}

static bool
append_batch(struct journal *j)
{
    struct batch_header hdr = next_header(j);
    uint32_t count = batch_writer_count(j->bw);

    wbuf_reset(&j->record);
    if (batch_writer_finish(j->bw, &hdr, j->conf.compress, &j->record) == NX_OK && append(j, count)) {
        j->stats.journaled += count;
        return true;
    }
    int64_t now = loop_wall_us(j->loop);
    enum nx_err cause = j->stats.why.err != NX_OK ? j->stats.why.err : NX_E_DISK_FULL;
    count_lost(j, count, cause);
    add_gap(j, &(struct batch_gap){.points = count, .from_us = now, .to_us = now, .cause = cause});
    return false;
}

void
journal_write(struct journal *j, journal_written_cb *each, void *arg)
{
    bool has_seq = false;
    uint64_t seq = 0;

    if (j->sp && j->gap_count > 0 && !j->stats.why.text[0])
        append_gaps(j);
    if (j->fresh_count == 0)
        return;
    if (j->sp) {
        seq = spool_next_seq(j->sp);
        has_seq = append_batch(j);
    }
    for (uint32_t i = 0; i < j->fresh_count; i++)
        each(arg, j->fresh[i], has_seq, seq);
    j->fresh_count = 0;
}

/* --- life --- */

const struct journal_stats *
journal_stats_of(const struct journal *j)
{
    return &j->stats;
}

struct journal *
journal_new(struct loop *loop, const struct journal_conf *conf, struct spool *sp, struct link *link)
{
    struct journal *j = mem_alloc(sizeof *j);

    j->loop = loop;
    j->conf = *conf;
    j->sp = sp;
    j->link = link;
    j->log = (struct log_ctx){.module = "journal"};
    j->record = wbuf_init(RECORD_MAX);
    j->fresh = mem_calloc(conf->batch_size, sizeof(struct slot *));
    if (sp) {
        j->bw = batch_writer_new();
        load_declared(j);
    }
    return j;
}

void
journal_free(struct journal **jp)
{
    struct journal *j = *jp;

    if (!j)
        return;
    if (j->bw)
        batch_writer_free(&j->bw);
    wbuf_free(&j->record);
    free(j->declared);
    free(j->fresh);
    free(j);
    *jp = NULL;
}
