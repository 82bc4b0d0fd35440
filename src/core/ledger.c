#include "core/ledger.h"

#include "base/mem.h"
#include "core/api.h"

static uint64_t
count_at(const json_t *object, const char *member)
{
    json_int_t n = json_integer_value(json_object_get(object, member));

    return n > 0 ? (uint64_t)n : 0;
}

static json_t *
count_json(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *
copy_or_null(const json_t *object, const char *member)
{
    json_t *value = json_object_get(object, member);

    return value ? json_incref(value) : json_null();
}

/* --- the historian's part --- */

static json_t *
gaps_json(const struct historian_gap *gap)
{
    json_t *gaps = json_array();

    for (; gap; gap = gap->next)
        json_array_append_new(gaps, json_pack("{s:s, s:o, s:o, s:o}", "cause", gap->cause, "numbers",
                                              count_json(gap->numbers), "points", count_json(gap->points), "last_at",
                                              api_time(gap->stored_us)));
    return gaps;
}

static json_t *
row_json(const struct historian_ledger_row *r)
{
    char epoch[24];

    (void)snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)r->epoch); /* more than a double holds */
    return json_pack("{s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "gateway", r->gateway, "epoch", epoch,
                     "lane", (int)r->lane, "last_seq", count_json(r->last_seq), "batches", count_json(r->batches),
                     "points", count_json(r->points), "duplicate_batches", count_json(r->duplicate_batches), "missing",
                     count_json(r->missing), "gap_points", count_json(r->gap_points), "gaps", gaps_json(r->gaps),
                     "updated_at", api_time(r->updated_us));
}

void
ledger_add_books(json_t *items, struct ledger_totals *t, const struct historian_books *books)
{
    for (size_t i = 0; i < books->n; i++) {
        const struct historian_ledger_row *r = &books->rows[i];

        t->batches += r->batches;
        t->points += r->points;
        t->duplicate_batches += r->duplicate_batches;
        t->missing += r->missing;
        t->gap_points += r->gap_points;
        if (items)
            json_array_append_new(items, row_json(r));
    }
    t->duplicate_points += books->duplicate_points;
    t->quarantined_points += books->quarantined_points;
}

enum nx_err
ledger_read(struct core *core, struct arena *a, struct historian_books *books, struct nx_note *why)
{
    struct reader reader;
    enum nx_err err = readers_take(core->readers, READERS_PRIMARY, &reader, why);

    *books = (struct historian_books){0};
    if (err == NX_E_NOT_FOUND)
        return NX_OK;
    if (err != NX_OK)
        return err;
    err = historian_ledger(reader.h, a, books, why);
    readers_give(core->readers, reader, err == NX_OK);
    return err;
}

/* --- the gateways' part --- */

/* What a gateway of another version does not say is null. */
static void
set_waiting(json_t *json, const json_t *spool, const json_t *link)
{
    json_object_set_new(json, "waiting_batches", copy_or_null(spool, "records"));
    json_object_set_new(json, "waiting_points", copy_or_null(spool, "points"));
    json_object_set_new(json, "waiting_bytes", copy_or_null(spool, "bytes"));
    json_object_set_new(json, "oldest_s", copy_or_null(spool, "oldest_s"));
    json_object_set_new(json, "dropped_points", copy_or_null(spool, "dropped_points"));
    json_object_set_new(json, "in_flight", copy_or_null(link, "in_flight"));
    json_object_set_new(json, "is_stalled", copy_or_null(link, "is_stalled"));
    json_object_set_new(json, "drain_s", copy_or_null(link, "drain_s"));
}

/* Gateways call their lanes by name, their batches by number. */
static json_t *
lanes_json(const json_t *stats)
{
    static const char *const names[] = {"bulk", "urgent"};
    json_t *lanes = json_array();

    for (unsigned i = 0; i < MEM_COUNT(names); i++) {
        const json_t *said = json_object_get(json_object_get(stats, "lanes"), names[i]);
        json_t *lane;

        if (!said)
            continue;
        lane = json_pack("{s:i}", "lane", (int)i);
        set_waiting(lane, said, said);
        json_array_append_new(lanes, lane);
    }
    return lanes;
}

static json_t *
gateway_json(const json_t *gateway, const json_t *stats)
{
    json_t *json = json_object();

    json_object_set_new(json, "id", copy_or_null(gateway, "id"));
    json_object_set_new(json, "status", copy_or_null(gateway, "status"));
    json_object_set_new(json, "last_seen", copy_or_null(gateway, "last_seen"));
    set_waiting(json, json_object_get(stats, "spool"), json_object_get(stats, "link"));
    json_object_set_new(json, "lanes", lanes_json(stats));
    return json;
}

void
ledger_add_gateways(json_t *shown, struct ledger_totals *t, const json_t *gateways)
{
    size_t i;
    json_t *gateway;

    json_array_foreach ((json_t *)gateways, i, gateway) {
        const json_t *stats = json_object_get(gateway, "stats");
        const json_t *spool = json_object_get(stats, "spool");
        double oldest_s = json_number_value(json_object_get(spool, "oldest_s"));

        t->waiting_batches += count_at(spool, "records");
        t->waiting_points += count_at(spool, "points");
        t->dropped_points += count_at(spool, "dropped_points");
        t->oldest_s = oldest_s > t->oldest_s ? oldest_s : t->oldest_s;
        if (shown)
            json_array_append_new(shown, gateway_json(gateway, stats));
    }
}

static uint64_t
waiting_at(const json_t *gateways, const char *id)
{
    size_t i;
    json_t *gateway;

    json_array_foreach ((json_t *)gateways, i, gateway) {
        const char *name = json_string_value(json_object_get(gateway, "id"));

        if (name && strcmp(name, id) == 0)
            return count_at(json_object_get(json_object_get(gateway, "stats"), "spool"), "records");
    }
    return 0;
}

/* Rows of one gateway stand together. */
uint64_t
ledger_lost(const struct historian_books *books, const json_t *gateways)
{
    const struct historian_ledger_row *rows = books->rows;
    size_t n = books->n;
    uint64_t lost = 0;

    for (size_t i = 0; i < n;) {
        const char *gateway = rows[i].gateway;

        /* Its numbers are ingestion's own: what is missing of them waits in ingestion's spool. */
        if (strncmp(gateway, "foreign.", 8) == 0) {
            i++;
            continue;
        }
        uint64_t missing = 0, waiting = waiting_at(gateways, gateway);

        for (; i < n && strcmp(rows[i].gateway, gateway) == 0; i++)
            missing += rows[i].missing;
        lost += missing > waiting ? missing - waiting : 0;
    }
    return lost;
}

json_t *
ledger_totals_json(const struct ledger_totals *t)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f}", "batches", count_json(t->batches),
                     "points", count_json(t->points), "duplicate_batches", count_json(t->duplicate_batches),
                     "duplicate_points", count_json(t->duplicate_points), "quarantined_points",
                     count_json(t->quarantined_points), "missing", count_json(t->missing), "lost", count_json(t->lost),
                     "gap_points", count_json(t->gap_points), "waiting_batches", count_json(t->waiting_batches),
                     "waiting_points", count_json(t->waiting_points), "dropped_points", count_json(t->dropped_points),
                     "oldest_s", t->oldest_s);
}
