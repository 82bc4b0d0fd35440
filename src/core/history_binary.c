/* history_binary.c -- stored values as binary columns that a browser maps to typed arrays:
 * docs/formats/history-binary.md.
 */
#include "core/history.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

#define MAGIC      "NXCOLS01"
#define BLOCK_ROWS 8192u
#define TEXT_BYTES (256u << 10)

enum block_kind { BLOCK_TOPIC = 1, BLOCK_ROWS_OF = 2, BLOCK_TOPIC_END = 3, BLOCK_END = 4 };

struct binary_answer {
    struct wbuf *out;
    unsigned index; /* of the topic */
    uint64_t row_count;

    enum nx_type type; /* of the open block's values */
    uint32_t count;
    struct wbuf times, values, qualities, text; /* values: offsets of a text block */
    struct wbuf scratch;
};

/* --- blocks --- */

static void
pad(struct wbuf *w, size_t from, uint8_t with)
{
    while ((w->len - from) % 8 != 0)
        wbuf_u8(w, with);
}

static size_t
begin_block(struct wbuf *out, enum block_kind kind)
{
    wbuf_le32(out, kind);
    wbuf_le32(out, 0);
    return out->len;
}

static void
end_block(struct wbuf *out, size_t start)
{
    wbuf_patch_le32(out, start - 4, (uint32_t)(out->len - start));
}

static void
put_column(struct wbuf *out, size_t start, struct wbuf *column)
{
    wbuf_slice(out, wbuf_slice_of(column));
    pad(out, start, 0);
    wbuf_reset(column);
}

/* The rows that wait. */
static void
flush_rows(struct binary_answer *x)
{
    size_t start;

    if (x->count == 0)
        return;
    if (x->type == NX_TYPE_STRING)
        wbuf_le32(&x->values, (uint32_t)x->text.len);
    start = begin_block(x->out, BLOCK_ROWS_OF);
    wbuf_le32(x->out, x->index);
    wbuf_le32(x->out, x->count);
    wbuf_le32(x->out, x->type);
    wbuf_le32(x->out, (uint32_t)x->text.len);
    put_column(x->out, start, &x->times);
    put_column(x->out, start, &x->values);
    put_column(x->out, start, &x->text);
    put_column(x->out, start, &x->qualities);
    end_block(x->out, start);
    x->row_count += x->count;
    x->count = 0;
}

/* --- rows --- */

static uint64_t
bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Numbers that a double holds are one kind; no value is NaN, among numbers and truth values. */
static enum nx_type
type_of(const struct history_row *row, enum nx_type open, double *number)
{
    *number = NAN;
    if (!history_has_value(row))
        return open == NX_TYPE_BOOL ? NX_TYPE_BOOL : NX_TYPE_DOUBLE;
    if (!history_exact_double(&row->value, number))
        return row->value.type;
    return row->value.type == NX_TYPE_BOOL ? NX_TYPE_BOOL : NX_TYPE_DOUBLE;
}

static void
put_text(struct binary_answer *x, const struct nx_value *v)
{
    wbuf_le32(&x->values, (uint32_t)x->text.len);
    wbuf_slice(&x->text, history_text(v, &x->scratch));
}

static bool
put_row(void *state, const struct history_row *row)
{
    struct binary_answer *x = state;
    double number;
    enum nx_type type = type_of(row, x->type, &number);

    if (type != x->type || x->count == BLOCK_ROWS || x->text.len >= TEXT_BYTES)
        flush_rows(x);
    x->type = type;
    x->count++;
    wbuf_le64(&x->times, bits_of((double)row->time_us / 1000.0));
    wbuf_le16(&x->qualities, row->quality);
    if (type == NX_TYPE_STRING)
        put_text(x, &row->value);
    else if (type == NX_TYPE_DOUBLE || type == NX_TYPE_BOOL)
        wbuf_le64(&x->values, bits_of(number));
    else
        wbuf_le64(&x->values, row->value.u); /* the same bits as .i */
    return true;
}

/* --- the document --- */

static void *
open_document(const struct history_ask *ask, struct wbuf *out)
{
    struct binary_answer *x = mem_alloc(sizeof *x);

    (void)ask;
    *x = (struct binary_answer){.out = out,
                                .times = wbuf_init(0),
                                .values = wbuf_init(0),
                                .qualities = wbuf_init(0),
                                .text = wbuf_init(0),
                                .scratch = wbuf_init(0)};
    wbuf_str(out, MAGIC);
    return x;
}

static void
begin_topic(void *state, const struct history_topic *topic)
{
    struct binary_answer *x = state;
    size_t start = begin_block(x->out, BLOCK_TOPIC);

    x->index = topic->index;
    wbuf_printf(x->out, "{\"index\":%u,\"tag\":", topic->index);
    wbuf_json_string(x->out, slice_str(topic->tag));
    wbuf_str(x->out, ",\"topic\":");
    wbuf_json_string(x->out, slice_str(topic->topic));
    wbuf_str(x->out, ",\"unit\":");
    wbuf_json_string(x->out, slice_str(topic->unit));
    wbuf_char(x->out, '}');
    pad(x->out, start, ' ');
    end_block(x->out, start);
}

static void
end_topic(void *state, const struct history_summary *summary, const char *fault)
{
    struct binary_answer *x = state;
    size_t start;

    (void)fault;
    flush_rows(x);
    start = begin_block(x->out, BLOCK_TOPIC_END);
    wbuf_printf(x->out, "{\"index\":%u,\"raw_count\":%llu,\"bucket_ms\":", x->index,
                (unsigned long long)summary->raw_count);
    wbuf_double(x->out, (double)summary->bucket_us / 1000.0);
    wbuf_printf(x->out, ",\"resolution\":\"%s\",\"truncated\":%s}", history_resolution_words[summary->resolution],
                summary->has_more ? "true" : "false");
    pad(x->out, start, ' ');
    end_block(x->out, start);
}

static void
finish_document(void *state)
{
    struct binary_answer *x = state;
    size_t start = begin_block(x->out, BLOCK_END);

    wbuf_printf(x->out, "{\"rows\":%llu}", (unsigned long long)x->row_count);
    pad(x->out, start, ' ');
    end_block(x->out, start);
}

static void
close_document(void *state)
{
    struct binary_answer *x = state;

    wbuf_free(&x->times);
    wbuf_free(&x->values);
    wbuf_free(&x->qualities);
    wbuf_free(&x->text);
    wbuf_free(&x->scratch);
    free(x);
}

const struct history_format history_binary = {
    .name = "binary",
    .content_type = "application/vnd.nexus.columns",
    .suffix = "nxcols",
    .open = open_document,
    .begin = begin_topic,
    .row = put_row,
    .end = end_topic,
    .finish = finish_document,
    .close = close_document,
};
