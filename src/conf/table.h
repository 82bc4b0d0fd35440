/* table.h -- one setting from text into its place: shared by documents, environment and flags. Only for src/conf. */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include "conf/conf.h"

/* What is known about a row's present value. */
struct table_origin {
    const char *text;   /* NULL: absent */
    const char *origin; /* "nexus.yaml:12", "environment NEXUS_MQTT__PORT", "default" */
};

struct table {
    struct arena *arena;
    const struct conf_row *rows;
    void *target;
    struct table_origin *origins; /* one a row, or NULL */
    const char *const *foreign;   /* top-level keys that are accepted unread; may be NULL */
};

unsigned table_row_count(const struct conf_row *rows);
/* Writes the defaults. */
NX_MUST_CHECK enum nx_err table_defaults(const struct table *t, struct nx_note *why);
/* Sets a row from text; place is put in front of a message and kept as the origin. */
NX_MUST_CHECK enum nx_err table_set(const struct table *t, const struct conf_row *row, const char *text,
                                    const char *place, struct nx_note *why);
/* Sets every row that the map names. */
NX_MUST_CHECK enum nx_err table_fill(const struct table *t, const struct conf_node *map, struct nx_note *why);
const struct conf_row *table_find(const struct conf_row *rows, const char *key);
/* The row "mqtt.password" for the key "mqtt.password_file" when that row is a secret; else NULL. */
const struct conf_row *table_secret_row(const struct conf_row *rows, const char *key);
const char *table_near_miss(const struct conf_row *rows, const char *key);

#endif
