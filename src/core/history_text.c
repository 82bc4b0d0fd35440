/* history_text.c -- stored values as lines: CSV (RFC 4180) and newline-delimited JSON.
 *
 * A spreadsheet takes a cell that begins with = + - @ for a formula, and texts come from whoever may publish. So in CSV
 * a text that begins with one of them, a tab, a line break or an apostrophe gets an apostrophe in front: taking one
 * away gives the text back. Numbers stay as they are: only a text could do harm. */
#include "core/history.h"

#include "base/mem.h"
#include "base/timefmt.h"

#include <stdlib.h>

struct text_answer {
    struct wbuf *out;
    enum history_time time;
    int64_t second; /* that the text below stands for */
    char second_text[TIMEFMT_CAP];
    size_t second_len;
    struct wbuf middle, tail; /* of each line: between time and value, behind the value */
    struct wbuf scratch;
};

static void *
text_open(const struct history_ask *ask, struct wbuf *out)
{
    struct text_answer *x = mem_alloc(sizeof *x);

    *x = (struct text_answer){.out = out,
                              .time = ask->time,
                              .second = INT64_MIN,
                              .middle = wbuf_init(0),
                              .tail = wbuf_init(0),
                              .scratch = wbuf_init(0)};
    return x;
}

static void
text_close(void *state)
{
    struct text_answer *x = state;

    wbuf_free(&x->middle);
    wbuf_free(&x->tail);
    wbuf_free(&x->scratch);
    free(x);
}

static void
text_end(void *state, const struct history_summary *summary, const char *fault)
{
    (void)state;
    (void)summary;
    (void)fault;
}

static void
text_finish(void *state)
{
    (void)state;
}

/* --- times --- */

/* n digits of v. */
static void
put_digits(struct wbuf *w, unsigned v, unsigned n)
{
    uint8_t *at = wbuf_reserve(w, n);

    if (!at)
        return;
    for (unsigned i = n; i-- > 0; v /= 10)
        at[i] = (uint8_t)('0' + v % 10);
    wbuf_advance(w, n);
}

/* Always six digits, so that texts sort as times do. */
static void
put_rfc3339(struct text_answer *x, int64_t time_us)
{
    int64_t second = time_us / 1000000 - (time_us % 1000000 < 0);

    if (second != x->second) {
        x->second = second;
        x->second_len = strlen(timefmt_rfc3339(second * 1000000, x->second_text)) - 1; /* without the Z */
    }
    wbuf_bytes(x->out, x->second_text, x->second_len);
    wbuf_char(x->out, '.');
    put_digits(x->out, (unsigned)(time_us - second * 1000000), 6);
    wbuf_char(x->out, 'Z');
}

static void
put_ms(struct wbuf *w, int64_t time_us)
{
    uint64_t us = time_us < 0 ? 0 - (uint64_t)time_us : (uint64_t)time_us;

    if (time_us < 0)
        wbuf_char(w, '-');
    wbuf_u64(w, us / 1000);
    if (us % 1000 == 0)
        return;
    wbuf_char(w, '.');
    put_digits(w, (unsigned)(us % 1000), 3);
}

static void
put_time(struct text_answer *x, int64_t time_us)
{
    if (x->time == HISTORY_TIME_RFC3339)
        put_rfc3339(x, time_us);
    else if (x->time == HISTORY_TIME_MS)
        put_ms(x->out, time_us);
    else
        wbuf_i64(x->out, time_us);
}

/* --- CSV --- */

static bool
is_risky(struct slice s)
{
    return s.len > 0 && s.p[0] != '\0' && strchr("=+-@\t\r\n'", s.p[0]);
}

static void
put_text_cell(struct wbuf *w, struct slice s)
{
    wbuf_char(w, '"');
    if (is_risky(s))
        wbuf_char(w, '\'');
    while (s.len > 0) {
        const uint8_t *quote = memchr(s.p, '"', s.len);
        size_t n = quote ? (size_t)(quote - s.p) + 1 : s.len;

        wbuf_bytes(w, s.p, n);
        if (quote)
            wbuf_char(w, '"');
        s = slice_skip(s, n);
    }
    wbuf_char(w, '"');
}

static void *
csv_open(const struct history_ask *ask, struct wbuf *out)
{
    wbuf_str(out, "time,topic,value,quality,unit\r\n");
    return text_open(ask, out);
}

static void
csv_begin(void *state, const struct history_topic *topic)
{
    struct text_answer *x = state;

    wbuf_reset(&x->middle);
    wbuf_char(&x->middle, ',');
    put_text_cell(&x->middle, slice_str(topic->topic));
    wbuf_char(&x->middle, ',');
    wbuf_reset(&x->tail);
    wbuf_char(&x->tail, ',');
    if (*topic->unit)
        put_text_cell(&x->tail, slice_str(topic->unit));
    wbuf_str(&x->tail, "\r\n");
}

/* Texts stand in quotes and numbers do not, so that "5" and 5, an empty text and no value remain apart. */
static bool
csv_row(void *state, const struct history_row *row)
{
    struct text_answer *x = state;

    put_time(x, row->time_us);
    wbuf_slice(x->out, wbuf_slice_of(&x->middle));
    if (history_has_value(row) && row->value.type == NX_TYPE_STRING)
        put_text_cell(x->out, history_text(&row->value, &x->scratch));
    else if (history_has_value(row))
        history_put_value(x->out, row);
    wbuf_char(x->out, ',');
    wbuf_u64(x->out, row->quality);
    wbuf_slice(x->out, wbuf_slice_of(&x->tail));
    return true;
}

const struct history_format history_csv = {
    .name = "csv",
    .content_type = "text/csv; charset=utf-8; header=present",
    .suffix = "csv",
    .has_times = true,
    .open = csv_open,
    .begin = csv_begin,
    .row = csv_row,
    .end = text_end,
    .finish = text_finish,
    .close = text_close,
};

/* --- NDJSON --- */

static void
ndjson_begin(void *state, const struct history_topic *topic)
{
    struct text_answer *x = state;

    wbuf_reset(&x->middle);
    wbuf_str(&x->middle, ",\"topic\":");
    wbuf_json_string(&x->middle, slice_str(topic->topic));
    wbuf_str(&x->middle, ",\"value\":");
    wbuf_reset(&x->tail);
    if (*topic->unit) {
        wbuf_str(&x->tail, ",\"unit\":");
        wbuf_json_string(&x->tail, slice_str(topic->unit));
    }
    wbuf_str(&x->tail, "}\n");
}

static bool
ndjson_row(void *state, const struct history_row *row)
{
    struct text_answer *x = state;
    const char *quote = x->time == HISTORY_TIME_RFC3339 ? "\"" : "";

    wbuf_str(x->out, "{\"time\":");
    wbuf_str(x->out, quote);
    put_time(x, row->time_us);
    wbuf_str(x->out, quote);
    wbuf_slice(x->out, wbuf_slice_of(&x->middle));
    history_put_value(x->out, row);
    wbuf_str(x->out, ",\"quality\":");
    wbuf_u64(x->out, row->quality);
    wbuf_slice(x->out, wbuf_slice_of(&x->tail));
    return true;
}

const struct history_format history_ndjson = {
    .name = "ndjson",
    .content_type = "application/x-ndjson",
    .suffix = "ndjson",
    .has_times = true,
    .open = text_open,
    .begin = ndjson_begin,
    .row = ndjson_row,
    .end = text_end,
    .finish = text_finish,
    .close = text_close,
};
