/* lite_fixture.h -- for the tests of the SQLite historian: stores in a directory of their own, one series "t". Whatever
 * fails ends the test. */
#ifndef HISTORIAN_LITE_FIXTURE_H
#define HISTORIAN_LITE_FIXTURE_H

#include "historian/historian.h"

#define SEC   INT64_C(1000000)
#define HOUR  (3600 * SEC)
#define DAY   (86400 * SEC)
#define START (INT64_C(19700) * DAY) /* a midnight in 2023 */
#define ROWS  4000

extern int64_t now_us; /* what the stores believe to be the time */
int64_t fake_now(void);

struct store {
    char dir[64], url[80];
};

struct rows {
    struct history_row row[ROWS];
    unsigned n;
    struct history_summary summary;
};

void store_make(struct store *s);
void store_remove(const struct store *s);
/* Files whose name begins so and has so many characters. */
unsigned count_files(const struct store *s, const char *prefix, size_t name_len);
struct historian *store_open(const struct store *s, struct historian_conf conf);
struct historian *open_as(const struct store *s, enum historian_role role);

void must(enum nx_err err, const struct nx_note *why);
enum nx_err commit_as(struct historian *h, const char *topic, uint64_t seq, const struct point *p, unsigned n,
                      struct nx_note *why);
void commit(struct historian *h, uint64_t seq, const struct point *p, unsigned n);
void seal(struct historian *h);
/* Twenty values, 120 s apart, at the beginning of each day from START on; sealed and not rolled up. */
struct historian *store_days(const struct store *s, unsigned days, struct historian_conf conf);
#define FIRST_DAY "hist-20231209.db"
/* On a file of the store, by a connection of its own. */
void run_sql(const struct store *s, const char *file, const char *sql);
struct point point_at(int64_t time_us, double v);
/* Texts are not kept: "text" stands for all of them. */
void ask(struct historian *h, struct history_query q, struct rows *rows);
/* Times, qualities and types alike; numbers but for rounding. */
void assert_same(const struct rows *a, const struct rows *b);

#endif
