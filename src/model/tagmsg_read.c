/* tagmsg_read.c -- the reader of tag messages: one pass over the bytes, JSON of RFC 8259, no tree. */
#include "base/mem.h"
#include "base/num.h"
#include "base/utf8.h"
#include "model/tagmsg_priv.h"

#include <ctype.h>

#define DEPTH_MAX  32u
#define NUMBER_MAX 63u

struct parser {
    const uint8_t *start, *p, *end;
    struct wbuf *scratch;
    struct tagmsg *msg;
    struct nx_note *why;
    struct tagmsg_seen seen;
};

static enum nx_err
fail(struct parser *ps, const char *expected)
{
    if (ps->p >= ps->end)
        return nx_fail(ps->why, NX_E_PROTO, "tag message ends at byte %zu: expected %s", (size_t)(ps->end - ps->start),
                       expected);
    return nx_fail(ps->why, NX_E_PROTO, "tag message, byte %zu: expected %s", (size_t)(ps->p - ps->start), expected);
}

static void
skip_space(struct parser *ps)
{
    while (ps->p < ps->end && (*ps->p == ' ' || *ps->p == '\n' || *ps->p == '\r' || *ps->p == '\t'))
        ps->p++;
}

static int
peek(const struct parser *ps)
{
    return ps->p < ps->end ? *ps->p : -1;
}

static bool
accept(struct parser *ps, char c)
{
    if (peek(ps) != c)
        return false;
    ps->p++;
    return true;
}

static bool
accept_word(struct parser *ps, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(ps->end - ps->p) < len || memcmp(ps->p, word, len) != 0)
        return false;
    ps->p += len;
    return true;
}

/* --- strings --- */

static int
hex4(const uint8_t *p)
{
    int v = 0;

    for (int i = 0; i < 4; i++) {
        int c = tolower(p[i]);

        if (!isxdigit(c))
            return -1;
        v = v << 4 | (isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return v;
}

static void
put_code_point(uint8_t **out, unsigned cp)
{
    uint8_t *o = *out;

    if (cp < 0x80) {
        *o++ = (uint8_t)cp;
    } else if (cp < 0x800) {
        *o++ = (uint8_t)(0xC0 | cp >> 6);
        *o++ = (uint8_t)(0x80 | (cp & 0x3F));
    } else if (cp < 0x10000) {
        *o++ = (uint8_t)(0xE0 | cp >> 12);
        *o++ = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        *o++ = (uint8_t)(0x80 | (cp & 0x3F));
    } else {
        *o++ = (uint8_t)(0xF0 | cp >> 18);
        *o++ = (uint8_t)(0x80 | (cp >> 12 & 0x3F));
        *o++ = (uint8_t)(0x80 | (cp >> 6 & 0x3F));
        *o++ = (uint8_t)(0x80 | (cp & 0x3F));
    }
    *out = o;
}

/* Behind "\u": four digits, or two such groups for a character beyond the BMP. NUL is refused: no store keeps it. */
static bool
read_unicode_escape(struct parser *ps, uint8_t **out)
{
    int high = ps->end - ps->p >= 4 ? hex4(ps->p) : -1;

    if (high <= 0)
        return false;
    ps->p += 4;
    unsigned cp = (unsigned)high;
    if (cp >= 0xDC00 && cp <= 0xDFFF)
        return false;
    if (cp >= 0xD800 && cp <= 0xDBFF) {
        int low = ps->end - ps->p >= 6 && ps->p[0] == '\\' && ps->p[1] == 'u' ? hex4(ps->p + 2) : -1;

        if (low < 0xDC00 || low > 0xDFFF)
            return false;
        ps->p += 6;
        cp = 0x10000 + ((cp - 0xD800) << 10) + ((unsigned)low - 0xDC00);
    }
    put_code_point(out, cp);
    return true;
}

static bool
read_escape(struct parser *ps, uint8_t **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = peek(ps);

    if (c < 0)
        return false;
    if (c == 'u') {
        ps->p++;
        return read_unicode_escape(ps, out);
    }
    const char *at = memchr(from, c, sizeof from - 1);
    if (!at)
        return false;
    ps->p++;
    *(*out)++ = (uint8_t)to[at - from];
    return true;
}

/* Bytes of a string that stand for themselves. */
static bool
read_plain(struct parser *ps)
{
    while (ps->p < ps->end && *ps->p != '"' && *ps->p != '\\') {
        size_t step = *ps->p >= 0x80 ? utf8_step(slice(ps->p, (size_t)(ps->end - ps->p))) : *ps->p >= 0x20;

        if (step == 0)
            return false;
        ps->p += step;
    }
    return ps->p < ps->end;
}

/* The rest of a string that has an escape: the text goes to scratch, where tagmsg_decode() has made room for the whole
 * payload, so that earlier strings stay where they are. An escape is never shorter than what it stands for. */
static enum nx_err
read_escaped(struct parser *ps, const uint8_t *begin, struct slice *out)
{
    size_t plain = (size_t)(ps->p - begin);
    uint8_t *text = wbuf_reserve(ps->scratch, plain + (size_t)(ps->end - ps->p));
    uint8_t *o = text;

    if (!text)
        return nx_fail(ps->why, NX_E_TOO_LARGE, "tag message: no room for its escaped strings");
    memcpy(o, begin, plain);
    o += plain;
    while (peek(ps) == '\\') {
        ps->p++;
        if (!read_escape(ps, &o))
            return fail(ps, "a valid escape");
        begin = ps->p;
        if (!read_plain(ps))
            return fail(ps, "a character of valid UTF-8 or a closing quote");
        plain = (size_t)(ps->p - begin);
        memcpy(o, begin, plain);
        o += plain;
    }
    ps->p++;
    *out = slice(text, (size_t)(o - text));
    wbuf_advance(ps->scratch, out->len);
    return NX_OK;
}

static enum nx_err
read_string(struct parser *ps, struct slice *out)
{
    if (!accept(ps, '"'))
        return fail(ps, "a string");
    const uint8_t *begin = ps->p;
    if (!read_plain(ps))
        return fail(ps, "a character of valid UTF-8 or a closing quote");
    if (*ps->p == '\\')
        return read_escaped(ps, begin, out);
    *out = slice(begin, (size_t)(ps->p - begin));
    ps->p++;
    return NX_OK;
}

/* --- numbers --- */

struct number {
    struct slice text;
    uint64_t mantissa; /* digits without the point; undefined when is_long */
    int exponent;      /* of ten */
    bool is_negative, is_integer, is_long;
};

static unsigned
read_digits(struct parser *ps, struct number *n)
{
    const uint8_t *begin = ps->p;

    for (; ps->p < ps->end && isdigit(*ps->p); ps->p++) {
        unsigned digit = *ps->p - '0';

        if (n->mantissa > (UINT64_MAX - digit) / 10)
            n->is_long = true;
        else
            n->mantissa = n->mantissa * 10 + digit;
    }
    return (unsigned)(ps->p - begin);
}

static bool
read_exponent(struct parser *ps, int *exponent)
{
    bool is_negative = accept(ps, '-');
    int v = 0;

    if (!is_negative)
        accept(ps, '+');
    if (!isdigit(peek(ps)))
        return false;
    for (; isdigit(peek(ps)); ps->p++)
        v = v < 10000 ? v * 10 + (*ps->p - '0') : v;
    *exponent += is_negative ? -v : v;
    return true;
}

static enum nx_err
scan_number(struct parser *ps, struct number *n)
{
    const uint8_t *begin = ps->p;

    *n = (struct number){.is_negative = accept(ps, '-'), .is_integer = true};
    bool has_zero = peek(ps) == '0';
    unsigned digits = read_digits(ps, n);
    if (digits == 0 || (has_zero && digits > 1))
        return fail(ps, "a number");
    if (accept(ps, '.')) {
        unsigned fraction = read_digits(ps, n);

        if (fraction == 0)
            return fail(ps, "a digit");
        n->exponent = -(int)fraction;
        n->is_integer = false;
    }
    if (accept(ps, 'e') || accept(ps, 'E')) {
        n->is_integer = false;
        if (!read_exponent(ps, &n->exponent))
            return fail(ps, "an exponent");
    }
    n->text = slice(begin, (size_t)(ps->p - begin));
    return NX_OK;
}

/* Exact without strtod() when mantissa and power of ten both are exact doubles (W. Clinger, 1990). */
static bool
number_to_double(const struct number *n, double *out)
{
    static const double pow10[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

    if (n->is_long || n->mantissa > 1ull << 53 || n->exponent < -22 || n->exponent > 22)
        return n->text.len <= NUMBER_MAX && num_double(n->text, out);
    double v = (double)n->mantissa;
    v = n->exponent < 0 ? v / pow10[-n->exponent] : v * pow10[n->exponent];
    *out = n->is_negative ? -v : v;
    return true;
}

static bool
number_to_value(const struct number *n, struct nx_value *out)
{
    double d;

    if (n->is_integer && !n->is_long && n->mantissa <= (uint64_t)INT64_MAX + n->is_negative) {
        *out = nx_value_int(n->is_negative ? (int64_t)(0 - n->mantissa) : (int64_t)n->mantissa);
        return true;
    }
    if (n->is_integer && !n->is_long && !n->is_negative) {
        *out = nx_value_uint(n->mantissa);
        return true;
    }
    if (!number_to_double(n, &d))
        return false;
    *out = nx_value_double(d);
    return true;
}

static bool
is_number(const struct parser *ps)
{
    return peek(ps) == '-' || isdigit(peek(ps));
}

static enum nx_err
read_number(struct parser *ps, struct nx_value *out)
{
    const uint8_t *begin = ps->p;
    struct number n;
    enum nx_err err = scan_number(ps, &n);

    if (err == NX_OK && !number_to_value(&n, out)) {
        ps->p = begin;
        return fail(ps, "a number that a 64-bit float can hold, of at most 63 characters");
    }
    return err;
}

/* --- values that nobody asked for --- */

static enum nx_err skip_value(struct parser *ps, unsigned depth);

static enum nx_err
skip_members(struct parser *ps, char close, unsigned depth)
{
    struct slice key;
    enum nx_err err;

    if (depth >= DEPTH_MAX)
        return fail(ps, "no more than 32 nested objects and arrays");
    skip_space(ps);
    if (accept(ps, close))
        return NX_OK;
    do {
        skip_space(ps);
        if (close == '}') {
            if ((err = read_string(ps, &key)) != NX_OK)
                return err;
            skip_space(ps);
            if (!accept(ps, ':'))
                return fail(ps, "':'");
        }
        if ((err = skip_value(ps, depth + 1)) != NX_OK)
            return err;
        skip_space(ps);
    } while (accept(ps, ','));
    return accept(ps, close) ? NX_OK : fail(ps, close == '}' ? "',' or '}'" : "',' or ']'");
}

static enum nx_err
skip_value(struct parser *ps, unsigned depth)
{
    struct slice text;
    struct nx_value number;

    skip_space(ps);
    if (is_number(ps))
        return read_number(ps, &number);
    if (peek(ps) == '"')
        return read_string(ps, &text);
    if (accept(ps, '{'))
        return skip_members(ps, '}', depth);
    if (accept(ps, '['))
        return skip_members(ps, ']', depth);
    if (accept_word(ps, "true") || accept_word(ps, "false") || accept_word(ps, "null"))
        return NX_OK;
    return fail(ps, "a JSON value");
}

/* --- members --- */

static enum nx_err
read_value(struct parser *ps)
{
    struct nx_value *v = &ps->msg->value;
    struct slice text = {0};
    enum nx_err err = NX_OK;

    ps->seen.has_value = true;
    if (is_number(ps))
        return read_number(ps, v);
    if (peek(ps) == '"') {
        if ((err = read_string(ps, &text)) != NX_OK)
            return err;
        if (text.len > NX_STRING_MAX)
            return nx_fail(ps->why, NX_E_TOO_LARGE, "tag message: its text value is longer than %d bytes",
                           NX_STRING_MAX);
        *v = nx_value_string((const char *)text.p, text.len);
    } else if (accept_word(ps, "true")) {
        *v = nx_value_bool(true);
    } else if (accept_word(ps, "false")) {
        *v = nx_value_bool(false);
    } else if (accept_word(ps, "null")) {
        *v = nx_value_none();
    } else {
        err = fail(ps, "a number, a string, true, false or null as value");
    }
    return err;
}

static enum nx_err
read_quality(struct parser *ps)
{
    uint16_t *q = &ps->msg->quality;
    struct nx_value number = {0};
    struct slice text = {0};
    enum nx_err err;

    ps->seen.has_quality = true;
    if (is_number(ps)) {
        if ((err = read_number(ps, &number)) == NX_OK)
            *q = tagmsg_quality_of_number(&number);
        return err;
    }
    if (peek(ps) == '"') {
        if ((err = read_string(ps, &text)) == NX_OK && !quality_parse(text, q))
            *q = NX_Q_UNCERTAIN;
        return err;
    }
    if (accept_word(ps, "true")) {
        *q = NX_Q_GOOD;
    } else if (accept_word(ps, "false")) {
        *q = NX_Q_BAD;
    } else if (accept_word(ps, "null")) {
        *q = NX_Q_GOOD;
        ps->seen.has_quality = false;
    } else {
        return fail(ps, "a word or a number as quality");
    }
    return NX_OK;
}

static enum nx_err
read_time(struct parser *ps, int64_t *time_us)
{
    const uint8_t *begin = ps->p;
    struct nx_value v = {0};
    struct slice text = {0};
    enum nx_err err = NX_OK;

    *time_us = 0;
    if (accept_word(ps, "null"))
        return NX_OK;
    if (is_number(ps)) {
        if ((err = read_number(ps, &v)) != NX_OK || tagmsg_time_of_number(&v, time_us))
            return err;
    } else if (peek(ps) == '"') {
        if ((err = read_string(ps, &text)) != NX_OK || tagmsg_time_of_text(text, time_us))
            return err;
    }
    ps->p = begin;
    return fail(ps, "a time: RFC 3339 text, or s, ms, us or ns since 1970 (1980 to 2200)");
}

static enum nx_err
read_timestamp(struct parser *ps)
{
    return read_time(ps, &ps->msg->time_us);
}

static enum nx_err
read_source_timestamp(struct parser *ps)
{
    return read_time(ps, &ps->msg->source_us);
}

/* Text about the value; another type there is no reason to lose the value. */
static enum nx_err
read_text(struct parser *ps, struct slice *out)
{
    *out = slice(NULL, 0);
    return peek(ps) == '"' ? read_string(ps, out) : skip_value(ps, 1);
}

static enum nx_err
read_unit(struct parser *ps)
{
    return read_text(ps, &ps->msg->unit);
}

static enum nx_err
read_error(struct parser *ps)
{
    return read_text(ps, &ps->msg->error);
}

static enum nx_err
read_seq(struct parser *ps)
{
    struct nx_value v;
    enum nx_err err;

    ps->msg->has_seq = false;
    ps->msg->seq = 0;
    if (!is_number(ps))
        return skip_value(ps, 1);
    if ((err = read_number(ps, &v)) != NX_OK)
        return err;
    if (v.type == NX_TYPE_UINT || (v.type == NX_TYPE_INT && v.i >= 0)) {
        ps->msg->has_seq = true;
        ps->msg->seq = v.u;
    }
    return NX_OK;
}

static enum nx_err
read_other(struct parser *ps)
{
    return skip_value(ps, 1);
}

static enum nx_err
read_name(struct parser *ps)
{
    ps->seen.has_name = true;
    return skip_value(ps, 1);
}

typedef enum nx_err member_reader(struct parser *ps);

static member_reader *const readers[TAGMSG_MEMBERS] = {
    [TAGMSG_OTHER] = read_other,
    [TAGMSG_VALUE] = read_value,
    [TAGMSG_QUALITY] = read_quality,
    [TAGMSG_TIME] = read_timestamp,
    [TAGMSG_UNIT] = read_unit,
    [TAGMSG_SEQ] = read_seq,
    [TAGMSG_SOURCE_TIME] = read_source_timestamp,
    [TAGMSG_ERROR] = read_error,
    [TAGMSG_NAME] = read_name,
};

static enum nx_err
read_member(struct parser *ps)
{
    struct slice key = {0};
    enum nx_err err = read_string(ps, &key);

    if (err != NX_OK)
        return err;
    skip_space(ps);
    if (!accept(ps, ':'))
        return fail(ps, "':'");
    skip_space(ps);
    return readers[tagmsg_member_of(key)](ps);
}

static enum nx_err
read_object(struct parser *ps)
{
    enum nx_err err;

    skip_space(ps);
    if (accept(ps, '}'))
        return fail(ps, "a member \"value\" (or \"v\")");
    do {
        skip_space(ps);
        if ((err = read_member(ps)) != NX_OK)
            return err;
        skip_space(ps);
    } while (accept(ps, ','));
    return accept(ps, '}') ? NX_OK : fail(ps, "',' or '}'");
}

/* Room for all unescaped strings at once, so that none of them moves. */
static enum nx_err
begin(struct parser *ps, struct slice payload, struct wbuf *scratch, struct nx_note *why)
{
    *ps = (struct parser){.scratch = scratch, .why = why};
    ps->start = ps->p = payload.len ? payload.p : (const uint8_t *)"";
    ps->end = ps->p + payload.len;
    if (payload.len && memchr(payload.p, '\\', payload.len) && !wbuf_reserve(scratch, payload.len))
        return nx_fail(why, NX_E_TOO_LARGE, "tag message: no room for its escaped strings");
    return NX_OK;
}

static enum nx_err
end(struct parser *ps)
{
    skip_space(ps);
    return ps->p == ps->end ? NX_OK : fail(ps, "the end of the message");
}

static enum nx_err
settle(struct parser *ps)
{
    return tagmsg_settle(ps->msg, &ps->seen) ? NX_OK : fail(ps, "a member \"value\" (or \"v\")");
}

enum nx_err
tagmsg_read(struct slice payload, struct wbuf *scratch, struct tagmsg *out, struct nx_note *why)
{
    struct parser ps;
    enum nx_err err = begin(&ps, payload, scratch, why);

    if (err != NX_OK)
        return err;
    ps.msg = out;
    skip_space(&ps);
    err = accept(&ps, '{') ? read_object(&ps) : read_value(&ps);
    if (err == NX_OK)
        err = end(&ps);
    return err == NX_OK ? settle(&ps) : err;
}

static enum nx_err
read_element(struct parser *ps, struct tagmsg_list *list, bool *has_name)
{
    enum nx_err err;

    skip_space(ps);
    if (!accept(ps, '{'))
        return fail(ps, "an object: arrays hold tag messages");
    ps->msg = tagmsg_list_add(list);
    if (!ps->msg)
        return nx_fail(ps->why, NX_E_TOO_LARGE, "array of more than %u tag messages", TAGMSG_LIST_MAX);
    ps->seen = (struct tagmsg_seen){0};
    if ((err = read_object(ps)) != NX_OK)
        return err;
    *has_name |= ps->seen.has_name;
    return settle(ps);
}

enum nx_err
tagmsg_read_many(struct slice payload, struct wbuf *scratch, struct tagmsg_list *list, bool *has_name,
                 struct nx_note *why)
{
    struct parser ps;
    enum nx_err err = begin(&ps, payload, scratch, why);

    if (err != NX_OK)
        return err;
    skip_space(&ps);
    if (!accept(&ps, '['))
        return fail(&ps, "'['");
    do {
        if ((err = read_element(&ps, list, has_name)) != NX_OK)
            return err;
        skip_space(&ps);
    } while (accept(&ps, ','));
    return accept(&ps, ']') ? end(&ps) : fail(&ps, "',' or ']'");
}
