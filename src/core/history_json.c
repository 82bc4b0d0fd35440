/* history_json.c -- stored values as JSON columns, one tag after the other. */
#include "core/history.h"

#include "base/mem.h"

#include <stdlib.h>

#define COLUMN_BYTES (64u << 20) /* one column of one tag */

struct json_answer {
    struct wbuf *out;
    struct wbuf t, v, q;
    const struct history_topic *topic;
};

static void *
json_open(const struct history_ask *ask, struct wbuf *out)
{
    struct json_answer *x = mem_alloc(sizeof *x);

    *x = (struct json_answer){.out = out,
                              .t = wbuf_init(COLUMN_BYTES),
                              .v = wbuf_init(COLUMN_BYTES),
                              .q = wbuf_init(COLUMN_BYTES)};
    wbuf_printf(out, "{\"fn\":\"%s\",\"from\":%lld,\"to\":%lld,\"series\":[", history_fn_words[ask->fn],
                (long long)(ask->from_us / 1000), (long long)(ask->to_us / 1000));
    return x;
}

static void
json_begin(void *state, const struct history_topic *topic)
{
    struct json_answer *x = state;

    x->topic = topic;
    wbuf_reset(&x->t);
    wbuf_reset(&x->v);
    wbuf_reset(&x->q);
}

static bool
json_row(void *state, const struct history_row *row)
{
    struct json_answer *x = state;

    if (x->t.len > 0) {
        wbuf_char(&x->t, ',');
        wbuf_char(&x->v, ',');
        wbuf_char(&x->q, ',');
    }
    if (row->time_us % 1000 == 0)
        wbuf_i64(&x->t, row->time_us / 1000);
    else
        wbuf_double(&x->t, (double)row->time_us / 1000.0);
    history_put_value(&x->v, row);
    wbuf_u64(&x->q, row->quality);
    return !x->v.failed && !x->t.failed;
}

static void
put_head(struct json_answer *x, const struct history_summary *summary)
{
    wbuf_str(x->out, x->topic->index > 0 ? ",{\"tag\":" : "{\"tag\":");
    wbuf_json_string(x->out, slice_str(x->topic->tag));
    wbuf_str(x->out, ",\"topic\":");
    wbuf_json_string(x->out, slice_str(x->topic->topic));
    if (*x->topic->unit) {
        wbuf_str(x->out, ",\"unit\":");
        wbuf_json_string(x->out, slice_str(x->topic->unit));
    }
    wbuf_str(x->out, ",\"raw_count\":");
    wbuf_u64(x->out, summary->raw_count);
    wbuf_str(x->out, ",\"bucket_ms\":");
    wbuf_double(x->out, (double)summary->bucket_us / 1000.0);
    wbuf_printf(x->out, ",\"resolution\":\"%s\",\"truncated\":%s", history_resolution_words[summary->resolution],
                summary->has_more ? "true" : "false");
}

static void
json_end(void *state, const struct history_summary *summary, const char *fault)
{
    struct json_answer *x = state;

    put_head(x, summary);
    if (fault) {
        wbuf_str(x->out, ",\"error\":");
        wbuf_json_string(x->out, slice_str(fault));
        wbuf_str(x->out, ",\"t\":[],\"v\":[],\"q\":[]}");
        return;
    }
    wbuf_str(x->out, ",\"t\":[");
    wbuf_slice(x->out, wbuf_slice_of(&x->t));
    wbuf_str(x->out, "],\"v\":[");
    wbuf_slice(x->out, wbuf_slice_of(&x->v));
    wbuf_str(x->out, "],\"q\":[");
    wbuf_slice(x->out, wbuf_slice_of(&x->q));
    wbuf_str(x->out, "]}");
}

static void
json_finish(void *state)
{
    struct json_answer *x = state;

    wbuf_str(x->out, "]}");
}

static void
json_close(void *state)
{
    struct json_answer *x = state;

    wbuf_free(&x->t);
    wbuf_free(&x->v);
    wbuf_free(&x->q);
    free(x);
}

const struct history_format history_json = {
    .name = "json",
    .content_type = "application/json",
    .suffix = "json",
    .is_columns = true,
    .open = json_open,
    .begin = json_begin,
    .row = json_row,
    .end = json_end,
    .finish = json_finish,
    .close = json_close,
};
