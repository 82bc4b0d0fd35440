/* fuzz: model base */
/* JSON tag messages against jansson, both ways: what jansson and the schema below allow we read, and as the same
 * values; everything else we refuse. Left out: duplicate members, v beside value, and what the two parsers bound
 * differently (depth, whole numbers beyond 64 bits, numbers of more than 63 characters). */
#include "must.h"

#include "base/timefmt.h"
#include "model/tagmsg.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static unsigned
depth_of(const json_t *v)
{
    unsigned deepest = 0, d;
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_object(v)) {
        json_object_foreach ((json_t *)v, key, item)
            deepest = (d = depth_of(item)) > deepest ? d : deepest;
    } else if (json_is_array(v)) {
        json_array_foreach (v, i, item)
            deepest = (d = depth_of(item)) > deepest ? d : deepest;
    } else {
        return 0;
    }
    return deepest + 1;
}

static bool
has_long_number(const uint8_t *p, size_t len)
{
    size_t run = 0;

    for (size_t i = 0; i < len; i++) {
        run = isdigit(p[i]) || (p[i] && strchr(".eE+-", p[i])) ? run + 1 : 0;
        if (run > 63)
            return true;
    }
    return false;
}

/* The member of either spelling; *is_odd when both are there. */
static const json_t *
member(const json_t *o, const char *name, const char *short_name, bool *is_odd)
{
    const json_t *a = json_object_get(o, name), *b = json_object_get(o, short_name);

    *is_odd |= a && b;
    return a ? a : b;
}

static bool
is_value(const json_t *v)
{
    return v && !json_is_object(v) && !json_is_array(v) && json_string_length(v) <= NX_STRING_MAX;
}

/* One of the units, from 1980 to 2200: by the words of docs/formats/tag-message.md, not by the code. */
static bool
is_time_number(double d)
{
    for (double unit = 1; unit <= 1e9; unit *= 1000) {
        if (d >= 315532800 * unit && d < 7258118400 * unit)
            return true;
    }
    return d == 0;
}

static bool
is_time(const json_t *v, bool *is_odd)
{
    const char *text = json_string_value(v);
    int64_t us;
    char *end;

    if (!v || json_is_null(v))
        return true;
    if (json_is_number(v))
        return is_time_number(json_number_value(v));
    if (!text || !*text)
        return text != NULL;
    (void)strtod(text, &end);
    *is_odd |= end != text; /* numbers as text, also in spellings that JSON does not have: not judged */
    return timefmt_parse(slice_str(text), &us);
}

static bool
is_quality(const json_t *v)
{
    return !v || (!json_is_object(v) && !json_is_array(v));
}

/* Is a bad quality given, so that no value is needed? */
static bool
is_bad(const json_t *v)
{
    uint16_t q = NX_Q_UNCERTAIN;

    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        return (i >= 0 && i <= 0xFFFF && (i & 0xC0) == 0) || (i > 0xFFFF && i <= 0xFFFFFFFF && i >> 31);
    }
    return json_is_false(v) ||
           (json_is_string(v) && quality_parse(slice(json_string_value(v), json_string_length(v)), &q) &&
            nx_quality_is_bad(q));
}

static bool
is_message(const json_t *root, bool *is_odd)
{
    const json_t *value = member(root, "value", "v", is_odd), *quality = member(root, "quality", "q", is_odd);

    if (!json_is_object(root))
        return is_value(root);
    (void)member(root, "unit", "u", is_odd);
    return (value ? is_value(value) : is_bad(quality)) && is_quality(quality) &&
           is_time(member(root, "timestamp", "ts", is_odd), is_odd) &&
           is_time(json_object_get(root, "source_timestamp"), is_odd);
}

static void
check_value(const struct tagmsg *msg, const json_t *want)
{
    const struct nx_value *got = &msg->value;

    switch (got->type) {
    case NX_TYPE_NONE:
        MUST((!want || json_is_null(want)) && nx_quality_is_bad(msg->quality));
        break;
    case NX_TYPE_BOOL:
        MUST(json_is_boolean(want) && got->b == json_is_true(want));
        break;
    case NX_TYPE_INT:
        MUST(json_is_integer(want) && json_integer_value(want) == got->i);
        break;
    case NX_TYPE_DOUBLE:
        MUST(json_is_real(want) && json_real_value(want) == got->d);
        break;
    case NX_TYPE_STRING:
        MUST(json_is_string(want) &&
             slice_eq(slice(got->s, got->len), slice(json_string_value(want), json_string_length(want))));
        break;
    case NX_TYPE_UINT:
        abort(); /* jansson reads no such number */
    }
}

static void
check_text(struct slice got, const json_t *want)
{
    MUST(json_is_string(want) ? slice_eq(got, slice(json_string_value(want), json_string_length(want))) : got.len == 0);
}

static void
check_message(const struct tagmsg *msg, const json_t *root)
{
    bool is_odd = false;
    const json_t *seq = json_object_get(root, "seq"), *time;

    check_value(msg, json_is_object(root) ? member(root, "value", "v", &is_odd) : root);
    check_text(msg->unit, member(root, "unit", "u", &is_odd));
    check_text(msg->error, json_object_get(root, "error"));
    MUST(msg->has_seq == (json_is_integer(seq) && json_integer_value(seq) >= 0));
    MUST(!msg->has_seq || msg->seq == (uint64_t)json_integer_value(seq));
    time = member(root, "timestamp", "ts", &is_odd);
    if (json_is_integer(time) && json_integer_value(time) >= 1000000000000 && json_integer_value(time) < 7258118400000)
        MUST(msg->time_us == json_integer_value(time) * 1000);
}

/* Is it what the parsers bound differently? */
static bool
is_beyond(const json_error_t *fault)
{
    return strstr(fault->text, "too big") || strstr(fault->text, "maximum parsing depth");
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct wbuf scratch = wbuf_init(0);
    struct tagmsg msg;
    json_error_t fault = {0};
    json_t *root = json_loadb((const char *)p, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &fault);
    bool is_odd = len > 65536 || (len && p[0] >= 0x80) || strstr(fault.text, "duplicate"), is_right = false;

    if (root && !is_odd) {
        is_right = is_message(root, &is_odd) && !memchr(p, 0, len); /* jansson reads over a NUL behind a number */
        is_odd |= depth_of(root) > 31 || has_long_number(p, len);
    }
    is_odd |= !root && is_beyond(&fault);
    if (!is_odd) {
        bool is_read = tagmsg_decode(slice(p, len), &scratch, &msg, NULL) == NX_OK;
        MUST(is_read == is_right);
        if (is_read)
            check_message(&msg, root);
    }
    json_decref(root);
    wbuf_free(&scratch);
    return 0;
}
