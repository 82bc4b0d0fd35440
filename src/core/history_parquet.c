/* history_parquet.c -- stored values as a Parquet file, for programs that analyse them. */
#include "core/history.h"

#include "base/mem.h"
#include "parquet/parquet.h"

#include <stdlib.h>

#define GROUP_ROWS  131072u
#define GROUP_BYTES (8u << 20) /* of texts */

enum { TIME, TOPIC, VALUE, VALUE_STR, QUALITY, UNIT };
/* As the view metrics(time, topic, value, value_str, quality) of the databases, and the unit. */
static const struct parquet_column columns[] = {
    [TIME] = {"time", PARQUET_TIME_US, false},     [TOPIC] = {"topic", PARQUET_LABEL, false},
    [VALUE] = {"value", PARQUET_DOUBLE, true},     [VALUE_STR] = {"value_str", PARQUET_TEXT, true},
    [QUALITY] = {"quality", PARQUET_INT32, false}, [UNIT] = {"unit", PARQUET_LABEL, true},
};

struct parquet_answer {
    struct wbuf *out;
    struct parquet *file;
    struct slice topic, unit;
    struct wbuf scratch;
};

static void *
open_file(const struct history_ask *ask, struct wbuf *out)
{
    struct parquet_answer *x = mem_alloc(sizeof *x);

    (void)ask;
    x->out = out;
    x->scratch = wbuf_init(0);
    x->file = parquet_new(&(struct parquet_conf){.columns = columns,
                                                 .column_count = MEM_COUNT(columns),
                                                 .group_rows = GROUP_ROWS,
                                                 .group_bytes = GROUP_BYTES,
                                                 .zstd_level = 1,
                                                 .created_by = "nexus-edge version " NX_VERSION});
    return x;
}

static void
begin_topic(void *state, const struct history_topic *topic)
{
    struct parquet_answer *x = state;

    x->topic = slice_str(topic->topic);
    x->unit = slice_str(topic->unit);
}

/* The text of what a double does not say whole: truth values, large integers. */
static void
put_as_text(struct parquet *file, const struct history_row *row)
{
    char digits[24];
    struct wbuf w = wbuf_fixed(digits, sizeof digits);

    history_put_value(&w, row);
    parquet_text(file, VALUE_STR, wbuf_slice_of(&w));
}

static void
put_cells(struct parquet_answer *x, const struct history_row *row)
{
    struct parquet *file = x->file;
    const struct nx_value *v = &row->value;
    double number = 0;
    bool is_exact = history_exact_double(v, &number);

    if (v->type == NX_TYPE_STRING) {
        parquet_text(file, VALUE_STR, history_text(v, &x->scratch));
        return;
    }
    parquet_double(file, VALUE, number);
    if (!is_exact || v->type == NX_TYPE_BOOL)
        put_as_text(file, row);
}

static bool
put_row(void *state, const struct history_row *row)
{
    struct parquet_answer *x = state;

    parquet_i64(x->file, TIME, row->time_us);
    parquet_text(x->file, TOPIC, x->topic);
    if (history_has_value(row))
        put_cells(x, row);
    parquet_i64(x->file, QUALITY, row->quality);
    if (x->unit.len > 0)
        parquet_text(x->file, UNIT, x->unit);
    parquet_row(x->file, x->out);
    return true;
}

static void
end_topic(void *state, const struct history_summary *summary, const char *fault)
{
    (void)state;
    (void)summary;
    (void)fault;
}

static void
finish_file(void *state)
{
    struct parquet_answer *x = state;

    parquet_finish(x->file, x->out);
}

static void
close_file(void *state)
{
    struct parquet_answer *x = state;

    parquet_free(&x->file);
    wbuf_free(&x->scratch);
    free(x);
}

const struct history_format history_parquet = {
    .name = "parquet",
    .content_type = "application/vnd.apache.parquet",
    .suffix = "parquet",
    .open = open_file,
    .begin = begin_topic,
    .row = put_row,
    .end = end_topic,
    .finish = finish_file,
    .close = close_file,
};
