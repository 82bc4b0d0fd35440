/* store_priv.h -- what the files of the store share. */
#ifndef STORE_STORE_PRIV_H
#define STORE_STORE_PRIV_H

#include "db/db.h"
#include "store/store.h"

struct store_tx {
    struct store *owner;
    struct db *db;
    struct store_tx *next; /* free list of connections */
};

extern const struct db_migration store_migrations[];
extern const size_t store_migration_count;

/* The next number of the counter that all versions come from. Inside a writing transaction. */
NX_MUST_CHECK enum nx_err store_next_version(struct store_tx *tx, uint64_t *version, struct nx_note *why);

/* Text of a column in the arena; NULL for NULL. */
const char *store_col_text(struct arena *a, const struct db_stmt *st, int i);
/* "%text%" for LIKE ... ESCAPE '\', lower case, wildcards escaped. */
const char *store_like(struct arena *a, const char *text);

/* Steps once: NX_E_NOT_FOUND with "no <what>" when there is no row. The caller resets. */
NX_MUST_CHECK enum nx_err store_one(struct db_stmt *st, struct nx_note *why, const char *what);

#endif
