/* ledger.h -- the books of delivery: what the historian has of every gateway, what each gateway still holds.
 *
 * The historian's part is what is stored, known twice and skipped, declared as dropped, and missing without a word; the
 * gateways' part (their retained states, so some seconds old) is what waits in their spools. */
#ifndef CORE_LEDGER_H
#define CORE_LEDGER_H

#include "historian/historian.h"

#include <jansson.h>

struct core;

struct ledger_totals {
    uint64_t batches, points, duplicate_batches, missing, gap_points;
    uint64_t lost; /* of what is missing, as much as waits in no spool either */
    uint64_t duplicate_points, quarantined_points;
    uint64_t waiting_batches, waiting_points, dropped_points;
    double oldest_s; /* of what waits */
};

/* Adds the historian's part to *totals; items may be NULL. */
void ledger_add_books(json_t *items, struct ledger_totals *totals, const struct historian_books *books);
/* Adds what gateways have said of themselves (status_gateways()) to *totals; shown may be NULL. */
void ledger_add_gateways(json_t *shown, struct ledger_totals *totals, const json_t *gateways);
/* Batches that are missing and wait in the spool of no gateway: what is on its way is not lost. */
uint64_t ledger_lost(const struct historian_books *books, const json_t *gateways);
json_t *ledger_totals_json(const struct ledger_totals *totals);

/* The historian's part, in a; empty while ingestion has not made the store yet. Worker. */
NX_MUST_CHECK enum nx_err ledger_read(struct core *core, struct arena *a, struct historian_books *books,
                                      struct nx_note *why);

#endif
