/* hub_frame.c -- the frames that the hub sends. */
#include "core/hub_priv.h"

#include "base/mem.h"

#include <inttypes.h>

#define FRAME_ENTRIES 4000 /* rows or values in one frame */

static struct wbuf *
frame_begin(struct hub *hub)
{
    wbuf_reset(&hub->frame);
    return &hub->frame;
}

static void
put_text(struct wbuf *w, const char *text)
{
    if (text)
        wbuf_json_string(w, slice_str(text));
    else
        wbuf_str(w, "null");
}

static void
put_value(struct wbuf *w, const struct live_point *p)
{
    if (nx_quality_is_bad(p->quality))
        wbuf_str(w, "null");
    else
        wbuf_json_value(w, &p->value);
}

/* [alias, time - base, value, quality] */
static void
put_entry(struct wbuf *w, const struct hub_watch *watch, int64_t base_ms)
{
    wbuf_printf(w, "[%d,%" PRId64 ",", watch->alias, watch->point->time_us / 1000 - base_ms);
    put_value(w, watch->point);
    wbuf_printf(w, ",%u]", (unsigned)watch->point->quality);
}

static void
put_row(struct wbuf *w, const struct hub_watch *watch)
{
    const struct live_point *p = watch->point;

    wbuf_printf(w, "[%d,", watch->alias);
    put_text(w, watch->sub->kind == HUB_TAG && p->tag ? p->tag : p->topic);
    wbuf_char(w, ',');
    put_text(w, p->topic);
    wbuf_char(w, ',');
    put_text(w, p->type);
    wbuf_char(w, ',');
    put_text(w, p->unit);
    wbuf_char(w, ']');
}

void
hub_send_hello(struct hub_conn *conn)
{
    struct wbuf *w = frame_begin(conn->hub);

    wbuf_printf(w,
                "{\"op\":\"hello\",\"proto\":\"" HUB_PROTOCOL "\",\"session\":\"%p\",\"time\":%" PRId64
                ",\"limits\":{\"subs\":%d,\"tags\":%d,\"min_rate_ms\":%d}}",
                (void *)conn, loop_wall_us(conn->hub->loop) / 1000, HUB_MAX_SUBS, HUB_MAX_WATCHES, HUB_MIN_RATE_MS);
    hub_send(conn);
}

void
hub_send_pong(struct hub_conn *conn)
{
    wbuf_printf(frame_begin(conn->hub), "{\"op\":\"pong\",\"time\":%" PRId64 "}", loop_wall_us(conn->hub->loop) / 1000);
    hub_send(conn);
}

void
hub_send_error(struct hub_conn *conn, const json_t *id, const char *code, const char *detail)
{
    struct wbuf *w = frame_begin(conn->hub);

    wbuf_str(w, "{\"op\":\"err\",");
    if (json_is_integer(id))
        wbuf_printf(w, "\"id\":%" JSON_INTEGER_FORMAT ",", json_integer_value(id));
    wbuf_printf(w, "\"problem\":{\"type\":\"/api/docs#problem-%s\",\"title\":\"Request refused\",\"status\":400,",
                code);
    wbuf_printf(w, "\"code\":\"%s\",\"detail\":", code);
    wbuf_json_string(w, slice_str(detail));
    wbuf_str(w, "}}");
    hub_send(conn);
}

void
hub_send_lag(struct hub_sub *sub)
{
    wbuf_printf(frame_begin(sub->conn->hub),
                "{\"op\":\"lag\",\"id\":%d,\"coalesced\":%" PRIu64 ",\"dropped\":0,\"rate_ms\":%u}", sub->id,
                sub->coalesced, sub->present_rate_ms);
    hub_send(sub->conn);
}

void
hub_send_device(struct hub_sub *sub, const char *device_id)
{
    struct hub *hub = sub->conn->hub;
    json_t *status = hub->ops.device_status(hub->arg, device_id);
    json_t *msg;
    char *text;

    if (!status)
        return;
    msg = json_pack("{s:s, s:i, s:I, s:s, s:s, s:o}", "op", "evt", "id", sub->id, "seq", (json_int_t)++sub->conn->seq,
                    "kind", "device", "device_id", device_id, "status", status);
    text = json_dumps(msg, JSON_COMPACT);
    wbuf_str(frame_begin(hub), text);
    hub_send(sub->conn);
    free(text);
    json_decref(msg);
}

/* Marks up to FRAME_ENTRIES watches as shown; *from goes on behind them. */
static unsigned
collect_new(struct hub_watch **from, struct hub_watch **out)
{
    unsigned n = 0;

    for (; *from && n < FRAME_ENTRIES; *from = (*from)->hh.next) {
        if ((*from)->is_shown)
            continue;
        (*from)->is_shown = true;
        out[n++] = *from;
    }
    return n;
}

static void
put_unknown(struct wbuf *w, const json_t *unknown, bool *is_first)
{
    size_t i;
    const json_t *id;

    json_array_foreach (unknown, i, id) {
        wbuf_str(w, *is_first ? "[-1," : ",[-1,");
        put_text(w, json_string_value(id));
        wbuf_str(w, ",null,null,null]");
        *is_first = false;
    }
}

static void
send_snap_part(struct hub_sub *sub, struct hub_watch *const *part, unsigned n, const json_t *unknown)
{
    struct wbuf *w = frame_begin(sub->conn->hub);
    bool is_first = true;

    wbuf_printf(w, "{\"op\":\"snap\",\"id\":%d,\"rows\":[", sub->id);
    for (unsigned i = 0; i < n; i++, is_first = false) {
        if (!is_first)
            wbuf_char(w, ',');
        put_row(w, part[i]);
    }
    put_unknown(w, unknown, &is_first);
    wbuf_str(w, "],\"vals\":[");
    is_first = true;
    for (unsigned i = 0; i < n; i++) {
        if (!part[i]->point->has_value)
            continue;
        if (!is_first)
            wbuf_char(w, ',');
        put_entry(w, part[i], 0);
        is_first = false;
    }
    wbuf_str(w, "]}");
    hub_send(sub->conn);
}

void
hub_send_snap(struct hub_sub *sub, const json_t *unknown)
{
    struct hub_watch **part = mem_calloc(FRAME_ENTRIES, sizeof(struct hub_watch *));
    struct hub_watch *from = sub->watches;
    unsigned n = collect_new(&from, part);

    do {
        send_snap_part(sub, part, n, unknown);
        unknown = NULL;
        n = collect_new(&from, part);
    } while (n > 0);
    free(part);
}

void
hub_send_update(struct hub_sub *sub)
{
    int64_t base_ms = loop_wall_us(sub->conn->hub->loop) / 1000;
    struct hub_stats *stats = &sub->conn->hub->stats;

    while (sub->dirty) {
        struct wbuf *w = frame_begin(sub->conn->hub);

        wbuf_printf(w, "{\"op\":\"upd\",\"id\":%d,\"t0\":%" PRId64 ",\"v\":[", sub->id, base_ms);
        for (unsigned n = 0; sub->dirty && n < FRAME_ENTRIES; n++) {
            struct hub_watch *watch = sub->dirty;

            if (n > 0)
                wbuf_char(w, ',');
            put_entry(w, watch, base_ms);
            sub->dirty = watch->next_dirty;
            sub->coalesced += watch->skipped;
            stats->coalesced += watch->skipped;
            stats->values++;
            watch->is_dirty = false;
            watch->skipped = 0;
        }
        wbuf_str(w, "]}");
        hub_send(sub->conn);
    }
}
