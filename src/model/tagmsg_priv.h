/* tagmsg_priv.h -- what the members of a tag message mean, for its readers and writers. */
#ifndef MODEL_TAGMSG_PRIV_H
#define MODEL_TAGMSG_PRIV_H

#include "model/tagmsg.h"

#define TAGMSG_ONE_MAX  65536u     /* bytes of one message */
#define TAGMSG_MANY_MAX (1u << 20) /* bytes of an array of messages */

enum tagmsg_member {
    TAGMSG_OTHER, /* skipped */
    TAGMSG_VALUE,
    TAGMSG_QUALITY,
    TAGMSG_TIME,
    TAGMSG_UNIT,
    TAGMSG_SEQ,
    TAGMSG_SOURCE_TIME,
    TAGMSG_ERROR,
    TAGMSG_NAME, /* names a tag: skipped in one message, refused in an array, which would mix several tags */
    TAGMSG_MEMBERS,
};
enum tagmsg_member tagmsg_member_of(struct slice key);

/* What a reader has met in one message. */
struct tagmsg_seen {
    bool has_value, has_quality, has_name;
};

/* A quality that we do not know is not good: it counts as uncertain. */
uint16_t tagmsg_quality_of_number(const struct nx_value *v);
/* 0 is a device without a clock: *time_us is 0 then. */
bool tagmsg_time_of_number(const struct nx_value *v, int64_t *time_us);
/* RFC 3339, or a number as text; empty: none. */
bool tagmsg_time_of_text(struct slice text, int64_t *time_us);
/* The rules that need the whole message; false: it has neither a value nor a bad quality. */
bool tagmsg_settle(struct tagmsg *msg, const struct tagmsg_seen *seen);
/* Towards the past, so that a value is never newer than it was. */
int64_t tagmsg_ms_of(int64_t us);

/* The next free item of the list, cleared; NULL at TAGMSG_LIST_MAX. */
struct tagmsg *tagmsg_list_add(struct tagmsg_list *list);

/* tagmsg_pack.c */
void tagmsg_pack(struct wbuf *w, const struct tagmsg *msg);
/* tagmsg_unpack.c: one message, or with many an array of them. */
NX_MUST_CHECK enum nx_err tagmsg_unpack(struct slice payload, struct tagmsg *out, struct nx_note *why);
NX_MUST_CHECK enum nx_err tagmsg_unpack_many(struct slice payload, struct tagmsg_list *list, bool *has_name,
                                             struct nx_note *why);
/* tagmsg_read.c */
NX_MUST_CHECK enum nx_err tagmsg_read(struct slice payload, struct wbuf *scratch, struct tagmsg *out,
                                      struct nx_note *why);
NX_MUST_CHECK enum nx_err tagmsg_read_many(struct slice payload, struct wbuf *scratch, struct tagmsg_list *list,
                                           bool *has_name, struct nx_note *why);

#endif
