/* merge.h -- from rollups of one series to rollups of the next level: minutes to hours, hours to days. Pure. */
#ifndef HISTORIAN_POSTGRES_MERGE_H
#define HISTORIAN_POSTGRES_MERGE_H

#include "historian/rollup.h"

struct merger {
    int64_t lower_us, width_us;
    rollup_give *give;
    void *arg;
    bool is_open, has_text;
    struct history_rollup r; /* the open one */
    int64_t held_to_us;      /* r.area goes up to here */
};

/* From rollups of the level below to `level` (HOUR or DAY). */
struct merger merger_init(enum history_level level, rollup_give *give, void *arg);
/* Times must ascend. has_text: only u->time_us is meaningful. */
void merger_add(struct merger *m, const struct history_rollup *u, bool has_text);
void merger_end(struct merger *m);

#endif
