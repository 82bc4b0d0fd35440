#include "core/hub.h"

#include "base/mem.h"
#include "core/hub_priv.h"

#include <stdio.h>
#include <utlist.h>

#define SLOW_BYTES  (1u << 20)
#define STUCK_BYTES (8u << 20)
#define STUCK_MS    30000
#define SLOWEST_MS  4000
#define AUTH_MS     5000

struct hub *
hub_new(struct loop *loop, struct live *live, const struct hub_ops *ops, void *arg)
{
    struct hub *hub = mem_alloc(sizeof *hub);

    hub->loop = loop;
    hub->live = live;
    hub->ops = *ops;
    hub->arg = arg;
    hub->frame = wbuf_init(16u << 20);
    return hub;
}

void
hub_free(struct hub **phub)
{
    struct hub *hub = *phub;

    *phub = NULL;
    if (!hub)
        return;
    wbuf_free(&hub->frame);
    free(hub);
}

const struct hub_stats *
hub_stats_of(const struct hub *hub)
{
    return &hub->stats;
}

/* --- connections ----------------------------------------------------------------------------------------------- */

void
hub_send(struct hub_conn *conn)
{
    if (conn->is_dead || conn->hub->frame.failed)
        return;
    conn->hub->stats.frames++;
    if (!conn->out.send(conn->out_arg, wbuf_slice_of(&conn->hub->frame)))
        conn->is_dead = true;
}

void
hub_kick(struct hub_conn *conn, uint16_t code, const char *reason)
{
    struct wbuf *w = &conn->hub->frame;

    if (conn->is_dead)
        return;
    wbuf_reset(w);
    wbuf_str(w, "{\"op\":\"bye\",\"reason\":");
    wbuf_json_string(w, slice_str(reason));
    wbuf_printf(w, ",\"retry_ms\":%d}", code == 4001 ? 0 : 1000);
    hub_send(conn);
    conn->is_dead = true;
    conn->hub->stats.dropped_clients++;
    conn->out.close(conn->out_arg, code, reason);
}

static void
on_auth_late(struct loop_timer *t, void *arg)
{
    (void)t;
    hub_kick(arg, 4001, "no login within 5 s");
}

struct hub_conn *
hub_open(struct hub *hub, const struct hub_out *out, void *out_arg, const char *session)
{
    struct hub_conn *conn = mem_alloc(sizeof *conn);

    conn->hub = hub;
    conn->out = *out;
    conn->out_arg = out_arg;
    conn->is_known = session != NULL;
    (void)snprintf(conn->session, sizeof conn->session, "%s", session ? session : "");
    DL_APPEND(hub->conns, conn);
    hub->stats.clients++;
    if (!session)
        loop_timer_start(hub->loop, &conn->auth_timer, AUTH_MS, 0, on_auth_late, conn);
    hub_send_hello(conn);
    return conn;
}

void
hub_check_sessions(struct hub *hub)
{
    struct hub_conn *conn, *next;

    DL_FOREACH_SAFE (hub->conns, conn, next) {
        if (conn->is_known && !conn->is_dead && !hub->ops.check_session(hub->arg, conn->session))
            hub_kick(conn, 4001, "this login has ended: log in again");
    }
}

void
hub_message(struct hub_conn *conn, struct slice text)
{
    json_error_t error;
    json_t *msg;

    if (conn->is_dead)
        return;
    msg = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(msg))
        hub_request(conn, msg);
    else
        hub_send_error(conn, NULL, "bad_json", "a message is one JSON object");
    json_decref(msg);
}

void
hub_drained(struct hub_conn *conn)
{
    conn->stuck_since_ms = 0;
}

void
hub_close(struct hub_conn **pconn)
{
    struct hub_conn *conn = *pconn;

    *pconn = NULL;
    if (!conn)
        return;
    loop_timer_stop(&conn->auth_timer);
    while (conn->subs) {
        struct hub_sub *sub = conn->subs;

        hub_sub_free(&sub);
    }
    DL_DELETE(conn->hub->conns, conn);
    conn->hub->stats.clients--;
    free(conn);
}

/* --- pace -------------------------------------------------------------------------------------------------------- */

static bool
is_stuck(struct hub_conn *conn, size_t pending)
{
    uint64_t now_ms = loop_now_ms(conn->hub->loop);

    if (pending == 0)
        conn->stuck_since_ms = 0;
    else if (conn->stuck_since_ms == 0)
        conn->stuck_since_ms = now_ms;
    return pending > STUCK_BYTES || (pending > 0 && now_ms - conn->stuck_since_ms > STUCK_MS);
}

static void
slow_down(struct hub_sub *sub)
{
    uint32_t rate_ms = sub->present_rate_ms * 2;

    if (rate_ms < SLOWEST_MS || sub->present_rate_ms < SLOWEST_MS) {
        sub->present_rate_ms = rate_ms < SLOWEST_MS ? rate_ms : SLOWEST_MS;
        hub_send_lag(sub);
    }
}

bool
hub_may_send(struct hub_sub *sub)
{
    size_t pending = sub->conn->out.pending(sub->conn->out_arg);

    if (sub->conn->is_dead)
        return false;
    if (is_stuck(sub->conn, pending)) {
        hub_kick(sub->conn, 4008, "this client reads too slowly: subscribe to fewer tags or a lower rate");
        return false;
    }
    if (pending > SLOW_BYTES) {
        slow_down(sub);
        return false;
    }
    if (pending == 0 && sub->present_rate_ms > sub->rate_ms) {
        sub->present_rate_ms = sub->present_rate_ms / 2 > sub->rate_ms ? sub->present_rate_ms / 2 : sub->rate_ms;
        hub_send_lag(sub);
    }
    return true;
}

static void
on_flush(struct loop_timer *t, void *arg)
{
    struct hub_sub *sub = arg;

    (void)t;
    sub->last_flush_ms = loop_now_ms(sub->conn->hub->loop);
    if (!hub_may_send(sub)) {
        if (!sub->conn->is_dead)
            hub_schedule(sub);
        return;
    }
    if (sub->has_hidden)
        hub_send_snap(sub, NULL);
    sub->has_hidden = false;
    hub_send_update(sub);
}

void
hub_schedule(struct hub_sub *sub)
{
    struct loop *loop = sub->conn->hub->loop;
    uint64_t now_ms = loop_now_ms(loop), due_ms = sub->last_flush_ms + sub->present_rate_ms;

    if (loop_timer_is_running(&sub->timer))
        return;
    /* A first change after a quiet time leaves soon, but not alone: those of the same poll follow within 10 ms. */
    loop_timer_start(loop, &sub->timer, due_ms > now_ms + 10 ? due_ms - now_ms : 10, 0, on_flush, sub);
}

/* --- what happened --------------------------------------------------------------------------------------------------
 */

void
hub_changed(struct hub *hub, struct live_point *point)
{
    (void)hub;
    for (struct hub_watch *watch = point->watches; watch; watch = watch->next_on_point) {
        if (watch->is_dirty) {
            watch->skipped++;
            continue;
        }
        watch->is_dirty = true;
        watch->next_dirty = watch->sub->dirty;
        watch->sub->dirty = watch;
        hub_schedule(watch->sub);
    }
}

void
hub_appeared(struct hub *hub, struct live_point *point)
{
    struct hub_conn *conn;

    DL_FOREACH (hub->conns, conn) {
        struct hub_sub *sub, *next;

        HASH_ITER (hh, conn->subs, sub, next) {
            struct hub_watch *watch = hub_sub_matches(sub, point) ? hub_watch_add(sub, point) : NULL;

            if (watch && !watch->is_shown) {
                sub->has_hidden = true;
                hub_schedule(sub);
            }
        }
    }
}

void
hub_device(struct hub *hub, const char *device_id)
{
    struct hub_conn *conn;

    DL_FOREACH (hub->conns, conn) {
        struct hub_sub *sub, *next;

        HASH_ITER (hh, conn->subs, sub, next) {
            struct hub_device_id *d = NULL;

            if (sub->kind != HUB_DEVICE)
                continue;
            HASH_FIND_STR(sub->devices, device_id, d);
            if (d || !sub->devices)
                hub_send_device(sub, device_id);
        }
    }
}

static void
one_of_every(void *arg, const char *device_id)
{
    hub_device(arg, device_id);
}

void
hub_every_device(struct hub *hub)
{
    if (hub->conns)
        hub->ops.each_device(hub->arg, one_of_every, hub);
}
