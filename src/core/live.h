/* live.h -- the newest value of every topic, and which tag a topic belongs to.
 *
 * Written on the loop thread only. Workers read copies: one mutex is held for one write or one lookup, so a page of a
 * thousand rows never holds the loop for long. Points are made at the first value or when a tag is configured, and live
 * as long as the table; at max_topics further topics are counted and left out. */
#ifndef CORE_LIVE_H
#define CORE_LIVE_H

#include "base/arena.h"
#include "model/tagmsg.h"

#include <uthash.h>

struct live;
struct hub_watch;

/* Fields may be read without the lock on the loop thread, where they change. */
struct live_point {
    const char *topic;
    const char *tag;  /* "device/tag"; NULL: no configured tag */
    const char *type; /* declared data type; NULL: none */
    const char *unit; /* declared, else of the newest message; NULL: none */
    bool has_value;
    struct nx_value value; /* a string is owned by the point */
    uint16_t quality;
    int64_t time_us;
    struct hub_watch *watches; /* of the hub; loop thread only */
    UT_hash_handle by_topic, by_tag;
};

struct live *live_new(size_t max_topics);
void live_free(struct live **live);

/* --- loop thread --- */

/* NULL when the table is full. *is_new: the topic was not known before. now_us stands in for a missing time. */
struct live_point *live_put(struct live *live, struct slice topic, const struct tagmsg *msg, int64_t now_us,
                            bool *is_new);

struct live_tag {
    const char *id, *topic, *type, *unit; /* copied; unit may be NULL */
};
/* Sets which topics the tags of a device have; those it had before and has no longer become plain topics.
 * each (may be NULL) is called for every point that got its tag or lost it. */
typedef void live_point_cb(void *arg, struct live_point *point);
void live_set_device(struct live *live, const char *device_id, const struct live_tag *tags, size_t n,
                     live_point_cb *each, void *arg);
struct live_point *live_find_topic(struct live *live, const char *topic); /* NULL when unknown */
struct live_point *live_find_tag(struct live *live, const char *tag);     /* "device/tag" */
void live_each(struct live *live, live_point_cb *each, void *arg);

/* --- any thread --- */

/* A copy in the arena. false: the topic is unknown. */
bool live_get(struct live *live, const char *topic, struct arena *a, struct live_point *out);
/* Topic of "device/tag", valid as long as the table; NULL when there is no such tag. */
const char *live_tag_topic(struct live *live, const char *tag);
/* At most limit points with a value behind topic `after` (NULL: from the start) that match the filter, by topic. */
size_t live_list(struct live *live, const char *filter, const char *after, size_t limit, struct arena *a,
                 struct live_point *rows);
size_t live_count(struct live *live);
/* Messages left out because the table was full. */
uint64_t live_refused(struct live *live);

#endif
