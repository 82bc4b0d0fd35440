/* tagmsg_member.c -- the meaning of a tag message, however it is written; which reader takes it; several in one. */
#include "base/mem.h"
#include "base/num.h"
#include "base/timefmt.h"
#include "model/tagmsg_priv.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

struct name {
    const char *text;
    uint8_t len, member;
};
#define NAME(text, member)                                                                                             \
    {                                                                                                                  \
        text, sizeof(text) - 1, member                                                                                 \
    }

static const struct name names[] = {
    NAME("value", TAGMSG_VALUE),     NAME("v", TAGMSG_VALUE),
    NAME("quality", TAGMSG_QUALITY), NAME("q", TAGMSG_QUALITY),
    NAME("timestamp", TAGMSG_TIME),  NAME("ts", TAGMSG_TIME),
    NAME("unit", TAGMSG_UNIT),       NAME("u", TAGMSG_UNIT),
    NAME("seq", TAGMSG_SEQ),         NAME("source_timestamp", TAGMSG_SOURCE_TIME),
    NAME("error", TAGMSG_ERROR),     NAME("name", TAGMSG_NAME),
    NAME("n", TAGMSG_NAME),          NAME("id", TAGMSG_NAME),
    NAME("tag", TAGMSG_NAME),        NAME("tag_id", TAGMSG_NAME),
    NAME("tagname", TAGMSG_NAME),    NAME("metric", TAGMSG_NAME),
};

enum tagmsg_member
tagmsg_member_of(struct slice key)
{
    for (size_t i = 0; i < MEM_COUNT(names); i++) {
        if (names[i].len == key.len && names[i].text[0] == (char)key.p[0] && memcmp(names[i].text, key.p, key.len) == 0)
            return (enum tagmsg_member)names[i].member;
    }
    return TAGMSG_OTHER;
}

/* Numbers above 16 bits are OPC UA status codes, whose upper two bits are the severity (OPC UA Part 4, 7.39). */
uint16_t
tagmsg_quality_of_number(const struct nx_value *v)
{
    static const uint16_t severities[] = {NX_Q_GOOD, NX_Q_UNCERTAIN, NX_Q_BAD, NX_Q_BAD};

    if (v->type != NX_TYPE_INT || v->i < 0 || v->i > UINT32_MAX)
        return NX_Q_UNCERTAIN;
    return v->i <= UINT16_MAX ? (uint16_t)v->i : severities[v->i >> 30];
}

bool
tagmsg_guess_time_us(double number, int64_t *time_us)
{
    static const double us_per_unit[] = {1e6, 1e3, 1, 1e-3}; /* s, ms, us, ns */
    const double first_us = 315532800e6;                     /* 1980-01-01 */
    const double end_us = 7258118400e6;                      /* 2200-01-01 */

    for (size_t i = 0; i < MEM_COUNT(us_per_unit); i++) {
        double us = number * us_per_unit[i];

        if (us >= first_us && us < end_us) {
            *time_us = llround(us);
            return true;
        }
    }
    return false;
}

bool
tagmsg_time_of_number(const struct nx_value *v, int64_t *time_us)
{
    double d = 0;

    if (!value_as_double(v, &d))
        return false;
    *time_us = 0;
    return d == 0 || tagmsg_guess_time_us(d, time_us);
}

bool
tagmsg_time_of_text(struct slice text, int64_t *time_us)
{
    double number = 0;

    *time_us = 0;
    return text.len == 0 || timefmt_parse(text, time_us) ||
           (num_double(text, &number) && tagmsg_guess_time_us(number, time_us));
}

bool
tagmsg_settle(struct tagmsg *msg, const struct tagmsg_seen *seen)
{
    if (!seen->has_value && !(seen->has_quality && nx_quality_is_bad(msg->quality)))
        return false;
    if (msg->value.type == NX_TYPE_NONE && !nx_quality_is_bad(msg->quality))
        msg->quality = NX_Q_BAD;
    return true;
}

int64_t
tagmsg_ms_of(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

/* --- JSON or MessagePack --- */

static bool
names_type(struct slice content_type, const char *word)
{
    size_t len = strlen(word);

    for (size_t at = 0; at + len <= content_type.len; at++) {
        size_t i = 0;

        while (i < len && tolower(content_type.p[at + i]) == word[i])
            i++;
        if (i == len)
            return true;
    }
    return false;
}

/* A UTF-8 mark before the text is allowed to be ignored (RFC 8259, 8.1); as MessagePack its three bytes are three
 * numbers, which nobody sends. */
static bool
has_mark(struct slice payload)
{
    return slice_starts_with(payload, slice_str("\xEF\xBB\xBF"));
}

static bool
is_msgpack(struct slice payload, struct slice content_type)
{
    if (names_type(content_type, "msgpack"))
        return true;
    if (names_type(content_type, "json"))
        return false;
    return payload.len > 0 && payload.p[0] >= 0x80 && !has_mark(payload);
}

static enum nx_err
check_size(struct slice payload, size_t max, struct nx_note *why)
{
    return payload.len <= max
               ? NX_OK
               : nx_fail(why, NX_E_TOO_LARGE, "tag message of %zu bytes; at most %zu are read", payload.len, max);
}

/* payload has at most TAGMSG_ONE_MAX bytes. */
static enum nx_err
decode_one(struct slice payload, struct slice content_type, struct wbuf *scratch, struct tagmsg *out,
           struct nx_note *why)
{
    enum nx_err err = check_size(payload, TAGMSG_ONE_MAX, why);

    *out = (struct tagmsg){.quality = NX_Q_GOOD};
    wbuf_reset(scratch);
    if (err != NX_OK)
        return err;
    if (is_msgpack(payload, content_type))
        return tagmsg_unpack(payload, out, why);
    return tagmsg_read(has_mark(payload) ? slice_skip(payload, 3) : payload, scratch, out, why);
}

enum nx_err
tagmsg_decode(struct slice payload, struct wbuf *scratch, struct tagmsg *out, struct nx_note *why)
{
    return decode_one(payload, slice(NULL, 0), scratch, out, why);
}

/* --- several --- */

void
tagmsg_list_free(struct tagmsg_list *list)
{
    free(list->items);
    *list = (struct tagmsg_list){0};
}

static int64_t
time_of(const struct tagmsg *msg)
{
    return msg->source_us ? msg->source_us : msg->time_us;
}

const struct tagmsg *
tagmsg_newest(const struct tagmsg_list *list)
{
    const struct tagmsg *newest = &list->items[0];

    for (size_t i = 1; i < list->count; i++) {
        if (time_of(&list->items[i]) >= time_of(newest))
            newest = &list->items[i];
    }
    return newest;
}

struct tagmsg *
tagmsg_list_add(struct tagmsg_list *list)
{
    if (list->count == TAGMSG_LIST_MAX)
        return NULL;
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 4;
        list->items = mem_realloc(list->items, list->cap * sizeof *list->items);
    }
    list->items[list->count] = (struct tagmsg){.quality = NX_Q_GOOD};
    return &list->items[list->count++];
}

/* Is it an array, after JSON's white space? */
static bool
is_array(struct slice payload, bool is_packed)
{
    size_t i = 0;

    if (is_packed)
        return payload.len > 0 && ((payload.p[0] & 0xF0u) == 0x90 || payload.p[0] == 0xDC || payload.p[0] == 0xDD);
    while (i < payload.len && strchr(" \t\r\n", payload.p[i]) && payload.p[i])
        i++;
    return i < payload.len && payload.p[i] == '[';
}

static enum nx_err
check_list(const struct tagmsg_list *list, bool has_name, struct nx_note *why)
{
    if (list->count == 0)
        return nx_fail(why, NX_E_PROTO, "array without a tag message");
    if (list->count == 1)
        return NX_OK;
    if (has_name)
        return nx_fail(why, NX_E_UNSUPPORTED,
                       "the array names tags: a topic is one tag, publish each tag on its own topic");
    for (size_t i = 0; i < list->count; i++) {
        if (time_of(&list->items[i]) == 0)
            return nx_fail(why, NX_E_UNSUPPORTED, "message %zu of the array has no time: several of one topic need one",
                           i + 1);
    }
    return NX_OK;
}

enum nx_err
tagmsg_decode_list(struct slice payload, struct slice content_type, struct wbuf *scratch, struct tagmsg_list *list,
                   struct nx_note *why)
{
    bool is_packed = is_msgpack(payload, content_type), has_name = false;
    struct slice text = !is_packed && has_mark(payload) ? slice_skip(payload, 3) : payload;
    enum nx_err err = NX_OK;

    list->count = 0;
    if (!is_array(text, is_packed))
        return decode_one(payload, content_type, scratch, tagmsg_list_add(list), why);
    wbuf_reset(scratch);
    if ((err = check_size(payload, TAGMSG_MANY_MAX, why)) != NX_OK)
        return err;
    err = is_packed ? tagmsg_unpack_many(payload, list, &has_name, why)
                    : tagmsg_read_many(text, scratch, list, &has_name, why);
    return err == NX_OK ? check_list(list, has_name, why) : err;
}
