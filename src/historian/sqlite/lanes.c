/* lanes.c -- numbered streams of batches and the ledger of what came of them. */
#include "base/mem.h"
#include "historian/sqlite/commit.h"

static struct hist_lane *
lane_find(const struct lite *h, const struct batch_header *hdr)
{
    struct lane_key key = lane_key_of(hdr);
    struct hist_lane *lane;

    HASH_FIND(hh, h->lanes, &key, sizeof key, lane);
    return lane;
}

struct hist_lane *
lane_touch(struct lite *h, const struct batch_header *hdr)
{
    struct hist_lane *lane = lane_find(h, hdr);

    if (!lane) {
        lane = mem_alloc(sizeof *lane);
        lane->key = lane_key_of(hdr);
        lane->lane_id = h->next_lane_id++;
        lane->is_new = true;
        HASH_ADD(hh, h->lanes, key, sizeof lane->key, lane);
    }
    if (!lane->is_touched) {
        lane->is_touched = true;
        seqset_copy(&lane->pending, &lane->done);
        lane->add_batches = lane->add_points = lane->add_duplicates = lane->add_gap_points = 0;
    }
    return lane;
}

bool
lite_is_committed(const struct historian *base, const struct batch_header *hdr, struct batch_range *range)
{
    const struct lite *h = (const struct lite *)base;
    const struct hist_lane *lane = lane_find(h, hdr);
    const struct batch_range *found = lane ? seqset_find(&lane->done, hdr->seq) : NULL;

    if (found)
        *range = *found;
    return found;
}

static enum nx_err
insert_lane(struct commit *c, const struct hist_lane *lane)
{
    struct db_stmt *st;
    enum nx_err err =
        db_prepare(c->h->db, "INSERT INTO lane(lane_id, gateway, epoch, lane) VALUES(?, ?, ?, ?)", &st, c->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, lane->lane_id);
    db_bind_slice(st, 2, slice(lane->key.gateway, lane->key.gateway_len));
    db_bind_i64(st, 3, (int64_t)lane->key.epoch);
    db_bind_i64(st, 4, lane->key.lane);
    return db_run(st, c->why);
}

/* Replaces the stretches that were joined by the joined one. */
static enum nx_err
write_range(struct commit *c, const struct hist_lane *lane, struct batch_range range)
{
    struct db_stmt *st;
    enum nx_err err =
        db_prepare(c->h->db, "DELETE FROM ledger WHERE lane_id = ? AND from_seq BETWEEN ? AND ?", &st, c->why);

    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, lane->lane_id);
    db_bind_i64(st, 2, (int64_t)range.from);
    db_bind_i64(st, 3, (int64_t)range.to);
    if ((err = db_run(st, c->why)) != NX_OK ||
        (err = db_prepare(c->h->db, "INSERT INTO ledger VALUES(?, ?, ?)", &st, c->why)) != NX_OK)
        return err;
    db_bind_i64(st, 1, lane->lane_id);
    db_bind_i64(st, 2, (int64_t)range.from);
    db_bind_i64(st, 3, (int64_t)range.to);
    return db_run(st, c->why);
}

static enum nx_err
write_ranges(struct commit *c, const struct hist_lane *lane)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < lane->pending.count && err == NX_OK; i++) {
        struct batch_range now = lane->pending.items[i];
        const struct batch_range *before = seqset_find(&lane->done, now.from);

        if (!before || before->from != now.from || before->to != now.to)
            err = write_range(c, lane, now);
    }
    return err;
}

enum nx_err
lane_write(struct commit *c, struct hist_lane *lane)
{
    struct db_stmt *st;
    enum nx_err err = lane->is_new ? insert_lane(c, lane) : NX_OK;

    if (err != NX_OK || (err = write_ranges(c, lane)) != NX_OK)
        return err;
    err = db_prepare(c->h->db,
                     "UPDATE lane SET batches = batches + ?, points = points + ?, duplicate_batches ="
                     " duplicate_batches + ?, gap_points = gap_points + ?, updated_us = ? WHERE lane_id = ?",
                     &st, c->why);
    if (err != NX_OK)
        return err;
    db_bind_i64(st, 1, (int64_t)lane->add_batches);
    db_bind_i64(st, 2, (int64_t)lane->add_points);
    db_bind_i64(st, 3, (int64_t)lane->add_duplicates);
    db_bind_i64(st, 4, (int64_t)lane->add_gap_points);
    db_bind_i64(st, 5, c->now_us);
    db_bind_i64(st, 6, lane->lane_id);
    return db_run(st, c->why);
}

void
lanes_settle(struct lite *h, bool stored)
{
    struct hist_lane *lane, *next;

    HASH_ITER (hh, h->lanes, lane, next) {
        if (!lane->is_touched)
            continue;
        lane->is_touched = false;
        if (stored) {
            seqset_copy(&lane->done, &lane->pending);
            lane->is_new = false;
        }
    }
}
