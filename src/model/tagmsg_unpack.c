/* tagmsg_unpack.c -- the reader of tag messages in MessagePack (github.com/msgpack/msgpack, spec.md): one pass over the
 * bytes, no tree, no recursion, no allocation; texts are borrowed. */
#include "base/mem.h"
#include "base/utf8.h"
#include "model/tagmsg_priv.h"

#include <math.h>

enum kind { KIND_NIL, KIND_BOOL, KIND_INT, KIND_UINT, KIND_FLOAT, KIND_TEXT, KIND_BIN, KIND_ARRAY, KIND_MAP, KIND_EXT };

struct item {
    enum kind kind;
    int8_t ext_type;
    union {
        bool b;
        int64_t i;
        uint64_t u; /* beyond int64_t */
        double d;
        uint32_t count;     /* elements, or pairs */
        struct slice bytes; /* of a text, binary or extension */
    };
};

struct unpacker {
    const uint8_t *p, *end, *start;
    struct tagmsg *msg;
    struct nx_note *why;
    struct tagmsg_seen seen;
    bool is_short;
};

static enum nx_err
fail(struct unpacker *u, const char *expected)
{
    if (u->is_short)
        return nx_fail(u->why, NX_E_PROTO, "tag message (MessagePack) ends too early: expected %s", expected);
    return nx_fail(u->why, NX_E_PROTO, "tag message (MessagePack), byte %zu: expected %s", (size_t)(u->p - u->start),
                   expected);
}

/* --- one item --- */

/* The next n bytes; NULL (and short) when there are fewer. */
static inline const uint8_t *
take(struct unpacker *u, uint64_t n)
{
    const uint8_t *p = u->p;

    if ((uint64_t)(u->end - p) < n) {
        u->is_short = true;
        return NULL;
    }
    u->p += n;
    return p;
}

/* Big-endian; 0 when it is short. */
static inline uint64_t
read_be(struct unpacker *u, unsigned bytes)
{
    const uint8_t *p = take(u, bytes);
    uint64_t v = 0;

    for (unsigned i = 0; p && i < bytes; i++)
        v = v << 8 | p[i];
    return v;
}

static void
set_uint(struct item *it, uint64_t v)
{
    it->kind = v <= INT64_MAX ? KIND_INT : KIND_UINT;
    it->u = v; /* the same bits */
}

/* v has `bytes` bytes of two's complement. */
static void
set_int(struct item *it, uint64_t v, unsigned bytes)
{
    unsigned unused = 64 - 8 * bytes;

    it->kind = KIND_INT;
    it->i = (int64_t)(v << unused) >> unused;
}

static void
set_float(struct item *it, uint64_t bits, bool is_double)
{
    uint32_t f_bits = (uint32_t)bits;
    float f;

    it->kind = KIND_FLOAT;
    if (is_double) {
        memcpy(&it->d, &bits, sizeof it->d);
    } else {
        memcpy(&f, &f_bits, sizeof f);
        it->d = (double)f;
    }
}

static void
set_bytes(struct item *it, enum kind kind, struct unpacker *u, uint64_t len)
{
    it->kind = kind;
    if (kind == KIND_EXT)
        it->ext_type = (int8_t)read_be(u, 1);
    it->bytes = slice(take(u, len), (size_t)len);
}

static void
set_count(struct item *it, enum kind kind, uint64_t count)
{
    it->kind = kind;
    it->count = (uint32_t)count;
}

/* Heads 0xC0 to 0xDF. */
static bool
read_headed(struct unpacker *u, uint8_t head, struct item *it)
{
    switch (head) {
    case 0xC0:
        it->kind = KIND_NIL;
        break;
    case 0xC2:
    case 0xC3:
        it->kind = KIND_BOOL;
        it->b = head == 0xC3;
        break;
    case 0xC4:
    case 0xC5:
    case 0xC6:
        set_bytes(it, KIND_BIN, u, read_be(u, 1u << (head - 0xC4)));
        break;
    case 0xC7:
    case 0xC8:
    case 0xC9:
        set_bytes(it, KIND_EXT, u, read_be(u, 1u << (head - 0xC7)));
        break;
    case 0xCA:
    case 0xCB:
        set_float(it, read_be(u, head == 0xCB ? 8 : 4), head == 0xCB);
        break;
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xCF:
        set_uint(it, read_be(u, 1u << (head - 0xCC)));
        break;
    case 0xD0:
    case 0xD1:
    case 0xD2:
    case 0xD3:
        set_int(it, read_be(u, 1u << (head - 0xD0)), 1u << (head - 0xD0));
        break;
    case 0xD4:
    case 0xD5:
    case 0xD6:
    case 0xD7:
    case 0xD8:
        set_bytes(it, KIND_EXT, u, 1u << (head - 0xD4));
        break;
    case 0xD9:
    case 0xDA:
    case 0xDB:
        set_bytes(it, KIND_TEXT, u, read_be(u, 1u << (head - 0xD9)));
        break;
    case 0xDC:
    case 0xDD:
        set_count(it, KIND_ARRAY, read_be(u, head == 0xDC ? 2 : 4));
        break;
    case 0xDE:
    case 0xDF:
        set_count(it, KIND_MAP, read_be(u, head == 0xDE ? 2 : 4));
        break;
    default: /* 0xC1 is never used */
        return false;
    }
    return true;
}

static bool
next(struct unpacker *u, struct item *it)
{
    uint8_t head = (uint8_t)read_be(u, 1);

    if (u->is_short)
        return false;
    if (head < 0x80)
        set_uint(it, head);
    else if (head < 0x90)
        set_count(it, KIND_MAP, head & 0x0Fu);
    else if (head < 0xA0)
        set_count(it, KIND_ARRAY, head & 0x0Fu);
    else if (head < 0xC0)
        set_bytes(it, KIND_TEXT, u, head & 0x1Fu);
    else if (head >= 0xE0)
        set_int(it, head, 1);
    else if (!read_headed(u, head, it))
        return false;
    return !u->is_short;
}

static enum nx_err
read_item(struct unpacker *u, struct item *it)
{
    return next(u, it) ? NX_OK : fail(u, "a MessagePack value");
}

/* What is inside it. Each item takes a byte at least, so a count beyond the bytes that are left is refused at once, and
 * the number of items still to come needs no stack, however deep they lie. */
static enum nx_err
skip_inside(struct unpacker *u, const struct item *it)
{
    struct item inner = {0};
    uint64_t pending = 0;
    enum nx_err err;

    for (;;) {
        if (it->kind == KIND_ARRAY || it->kind == KIND_MAP)
            pending += it->kind == KIND_MAP ? 2 * (uint64_t)it->count : it->count;
        if (pending > (size_t)(u->end - u->p)) {
            u->is_short = true;
            return fail(u, "the elements of an array or map");
        }
        if (pending == 0)
            return NX_OK;
        if ((err = read_item(u, &inner)) != NX_OK)
            return err;
        pending--;
        it = &inner;
    }
}

/* --- members --- */

static bool
is_number(const struct item *it)
{
    return it->kind == KIND_INT || it->kind == KIND_UINT || it->kind == KIND_FLOAT;
}

static struct nx_value
number_of(const struct item *it)
{
    return it->kind == KIND_INT    ? nx_value_int(it->i)
           : it->kind == KIND_UINT ? nx_value_uint(it->u)
           : isfinite(it->d)       ? nx_value_double(it->d)
                                   : nx_value_none();
}

/* A text in UTF-8; no store keeps NUL. */
static bool
is_storable(const struct item *it)
{
    return it->kind == KIND_TEXT && !memchr(it->bytes.p, 0, it->bytes.len) && utf8_is_valid(it->bytes);
}

static enum nx_err
take_value(struct unpacker *u, const struct item *it)
{
    struct nx_value *v = &u->msg->value;

    u->seen.has_value = true;
    if (is_number(it)) {
        *v = number_of(it);
    } else if (it->kind == KIND_BOOL) {
        *v = nx_value_bool(it->b);
    } else if (it->kind == KIND_NIL) {
        *v = nx_value_none();
    } else if (it->kind == KIND_TEXT) {
        if (it->bytes.len > NX_STRING_MAX)
            return nx_fail(u->why, NX_E_TOO_LARGE, "tag message: its text value is longer than %d bytes",
                           NX_STRING_MAX);
        if (!is_storable(it))
            return fail(u, "a text in UTF-8 without NUL");
        *v = nx_value_string((const char *)it->bytes.p, it->bytes.len);
    } else {
        return fail(u, "a number, a text, true, false or nil as value");
    }
    return NX_OK;
}

static enum nx_err
take_quality(struct unpacker *u, const struct item *it)
{
    uint16_t *q = &u->msg->quality;
    struct nx_value number;

    u->seen.has_quality = it->kind != KIND_NIL;
    if (is_number(it)) {
        number = number_of(it);
        *q = tagmsg_quality_of_number(&number);
    } else if (it->kind == KIND_TEXT) {
        if (!quality_parse(it->bytes, q))
            *q = NX_Q_UNCERTAIN;
    } else if (it->kind == KIND_BOOL || it->kind == KIND_NIL) {
        *q = it->kind == KIND_NIL || it->b ? NX_Q_GOOD : NX_Q_BAD;
    } else {
        return fail(u, "a word or a number as quality");
    }
    return NX_OK;
}

/* The timestamp extension: seconds; 30 bits of ns over 34 of s; ns and signed s ("Timestamp extension type"). */
static bool
time_of_ext(const struct item *it, int64_t *time_us)
{
    const int64_t max_s = INT64_C(1) << 42;
    struct unpacker in = {.p = it->bytes.p, .end = it->bytes.p + it->bytes.len};
    uint64_t ns = 0, packed;
    int64_t s = 0;

    if (it->ext_type != -1)
        return false;
    if (it->bytes.len == 4) {
        s = (int64_t)read_be(&in, 4);
    } else if (it->bytes.len == 8) {
        packed = read_be(&in, 8);
        ns = packed >> 34;
        s = (int64_t)(packed & 0x3FFFFFFFFu);
    } else if (it->bytes.len == 12) {
        ns = read_be(&in, 4);
        s = (int64_t)read_be(&in, 8);
    } else {
        return false;
    }
    *time_us = s > -max_s && s < max_s ? s * 1000000 + (int64_t)(ns / 1000) : 0;
    return ns <= 999999999 && s > -max_s && s < max_s;
}

static enum nx_err
take_time(struct unpacker *u, const struct item *it, int64_t *time_us)
{
    struct nx_value number;
    bool ok = it->kind == KIND_NIL;

    *time_us = 0;
    if (is_number(it)) {
        number = number_of(it);
        ok = tagmsg_time_of_number(&number, time_us);
    } else if (it->kind == KIND_TEXT) {
        ok = tagmsg_time_of_text(it->bytes, time_us);
    } else if (it->kind == KIND_EXT) {
        ok = time_of_ext(it, time_us);
    }
    return ok ? NX_OK : fail(u, "a time: timestamp, RFC 3339 text, or s, ms, us or ns since 1970 (1980 to 2200)");
}

/* Text about the value; something else there is no reason to lose the value. */
static enum nx_err
take_text(struct unpacker *u, const struct item *it, struct slice *out)
{
    *out = is_storable(it) ? it->bytes : slice(NULL, 0);
    return skip_inside(u, it);
}

static enum nx_err
take_seq(struct unpacker *u, const struct item *it)
{
    u->msg->has_seq = it->kind == KIND_UINT || (it->kind == KIND_INT && it->i >= 0);
    u->msg->seq = u->msg->has_seq ? it->u : 0;
    return skip_inside(u, it);
}

static enum nx_err
take_member(struct unpacker *u, enum tagmsg_member member, const struct item *it)
{
    switch (member) {
    case TAGMSG_VALUE:
        return take_value(u, it);
    case TAGMSG_QUALITY:
        return take_quality(u, it);
    case TAGMSG_TIME:
        return take_time(u, it, &u->msg->time_us);
    case TAGMSG_SOURCE_TIME:
        return take_time(u, it, &u->msg->source_us);
    case TAGMSG_UNIT:
        return take_text(u, it, &u->msg->unit);
    case TAGMSG_ERROR:
        return take_text(u, it, &u->msg->error);
    case TAGMSG_SEQ:
        return take_seq(u, it);
    case TAGMSG_NAME:
        u->seen.has_name = true;
        break;
    case TAGMSG_OTHER:
    case TAGMSG_MEMBERS:
        break;
    }
    return skip_inside(u, it);
}

static enum nx_err
read_pair(struct unpacker *u)
{
    struct item key = {0}, it = {0};
    enum tagmsg_member member = TAGMSG_OTHER;
    enum nx_err err = read_item(u, &key);

    if (err == NX_OK)
        err = skip_inside(u, &key);
    if (err != NX_OK || (err = read_item(u, &it)) != NX_OK)
        return err;
    if (key.kind == KIND_TEXT)
        member = tagmsg_member_of(key.bytes);
    return take_member(u, member, &it);
}

static enum nx_err
read_map(struct unpacker *u, const struct item *map)
{
    enum nx_err err;

    for (uint32_t i = 0; i < map->count; i++) {
        if ((err = read_pair(u)) != NX_OK)
            return err;
    }
    return tagmsg_settle(u->msg, &u->seen) ? NX_OK : fail(u, "a member \"value\" (or \"v\")");
}

static enum nx_err
end(struct unpacker *u)
{
    return u->p == u->end ? NX_OK : fail(u, "the end of the message");
}

static struct unpacker
begin(struct slice payload, struct nx_note *why)
{
    return (struct unpacker){.p = payload.p, .end = payload.p + payload.len, .start = payload.p, .why = why};
}

enum nx_err
tagmsg_unpack(struct slice payload, struct tagmsg *out, struct nx_note *why)
{
    struct unpacker u = begin(payload, why);
    struct item it = {0};
    enum nx_err err = read_item(&u, &it);

    u.msg = out;
    if (err != NX_OK)
        return err;
    if (it.kind == KIND_MAP)
        err = read_map(&u, &it);
    else if ((err = take_value(&u, &it)) == NX_OK)
        (void)tagmsg_settle(out, &u.seen);
    return err == NX_OK ? end(&u) : err;
}

enum nx_err
tagmsg_unpack_many(struct slice payload, struct tagmsg_list *list, bool *has_name, struct nx_note *why)
{
    struct unpacker u = begin(payload, why);
    struct item array = {0}, it = {0};
    enum nx_err err = read_item(&u, &array);

    for (uint32_t i = 0; err == NX_OK && i < array.count; i++) {
        if ((err = read_item(&u, &it)) != NX_OK)
            return err;
        if (it.kind != KIND_MAP)
            return fail(&u, "a map: arrays hold tag messages");
        if (!(u.msg = tagmsg_list_add(list)))
            return nx_fail(why, NX_E_TOO_LARGE, "array of more than %u tag messages", TAGMSG_LIST_MAX);
        u.seen = (struct tagmsg_seen){0};
        err = read_map(&u, &it);
        *has_name |= u.seen.has_name;
    }
    return err == NX_OK ? end(&u) : err;
}
