/* tagmsg.c -- the writer of tag messages in JSON. */
#include "model/tagmsg_priv.h"

struct spelling {
    const char *value, *quality, *time, *unit; /* each with its punctuation */
};

static const struct spelling spellings[] = {
    [TAGMSG_JSON] = {"{\"value\":", ",\"quality\":", ",\"timestamp\":", ",\"unit\":"},
    [TAGMSG_COMPACT] = {"{\"v\":", ",\"q\":", ",\"ts\":", ",\"u\":"},
};

static void
put_time(struct wbuf *w, const char *member, int64_t us)
{
    if (us == 0)
        return;
    wbuf_str(w, member);
    wbuf_i64(w, tagmsg_ms_of(us));
}

static void
put_json(struct wbuf *w, enum tagmsg_format format, const struct tagmsg *msg)
{
    const struct spelling *s = &spellings[format];

    wbuf_str(w, s->value);
    if (nx_quality_is_bad(msg->quality))
        wbuf_str(w, "null");
    else
        wbuf_json_value(w, &msg->value);
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
        wbuf_i64(w, tagmsg_ms_of(msg->time_us));
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

void
tagmsg_encode(struct wbuf *w, enum tagmsg_format format, const struct tagmsg *msg)
{
    if (format == TAGMSG_MSGPACK)
        tagmsg_pack(w, msg);
    else
        put_json(w, format, msg);
}
