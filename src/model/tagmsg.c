#include "model/tagmsg.h"

#include <math.h>

struct spelling {
    const char *value, *quality, *time, *unit; /* each with its punctuation */
};

static const struct spelling spellings[] = {
    [TAGMSG_JSON] = {"{\"value\":", ",\"quality\":", ",\"timestamp\":", ",\"unit\":"},
    [TAGMSG_COMPACT] = {"{\"v\":", ",\"q\":", ",\"ts\":", ",\"u\":"},
};

static void
put_value(struct wbuf *w, const struct nx_value *v)
{
    switch (v->type) {
    case NX_TYPE_NONE:
        wbuf_str(w, "null");
        break;
    case NX_TYPE_BOOL:
        wbuf_str(w, v->b ? "true" : "false");
        break;
    case NX_TYPE_INT:
        wbuf_i64(w, v->i);
        break;
    case NX_TYPE_UINT:
        wbuf_u64(w, v->u);
        break;
    case NX_TYPE_DOUBLE:
        wbuf_double(w, v->d);
        break;
    case NX_TYPE_STRING:
        wbuf_json_string(w, slice(v->s, v->len));
        break;
    }
}

/* Towards the past, so that a value is never newer than it was. */
static int64_t
ms_of(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

static void
put_time(struct wbuf *w, const char *member, int64_t us)
{
    if (us == 0)
        return;
    wbuf_str(w, member);
    wbuf_i64(w, ms_of(us));
}

void
tagmsg_encode(struct wbuf *w, enum tagmsg_format format, const struct tagmsg *msg)
{
    const struct spelling *s = &spellings[format];

    wbuf_str(w, s->value);
    if (nx_quality_is_bad(msg->quality))
        wbuf_str(w, "null");
    else
        put_value(w, &msg->value);
    wbuf_str(w, s->quality);
    if (format == TAGMSG_COMPACT) {
        wbuf_u64(w, msg->quality);
    } else {
        wbuf_char(w, '"');
        wbuf_str(w, quality_word(msg->quality));
        wbuf_char(w, '"');
    }
    if (msg->time_us) {
        wbuf_str(w, s->time);
        wbuf_i64(w, ms_of(msg->time_us));
    }
    if (msg->unit.len) {
        wbuf_str(w, s->unit);
        wbuf_json_string(w, msg->unit);
    }
    put_time(w, ",\"source_timestamp\":", msg->source_us);
    put_time(w, ",\"gateway_timestamp\":", msg->gateway_us);
    put_time(w, ",\"publish_timestamp\":", msg->publish_us);
    if (msg->has_seq) {
        wbuf_str(w, ",\"seq\":");
        wbuf_u64(w, msg->seq);
    }
    if (msg->error.len) {
        wbuf_str(w, ",\"error\":");
        wbuf_json_string(w, msg->error);
    }
    wbuf_char(w, '}');
}

bool
tagmsg_guess_time_us(double number, int64_t *time_us)
{
    static const double us_per_unit[] = {1e6, 1e3, 1, 1e-3}; /* s, ms, us, ns */
    const double first_us = 315532800e6;                     /* 1980-01-01 */
    const double end_us = 7258118400e6;                      /* 2200-01-01 */

    for (size_t i = 0; i < sizeof us_per_unit / sizeof us_per_unit[0]; i++) {
        double us = number * us_per_unit[i];

        if (us >= first_us && us < end_us) {
            *time_us = llround(us);
            return true;
        }
    }
    return false;
}
