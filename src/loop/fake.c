/* fake.c -- the loop of the tests: virtual time, scripted streams. */
#include "base/mem.h"
#include "base/wbuf.h"
#include "loop/loop_priv.h"

#include <assert.h>
#include <stdlib.h>

struct work_item {
    struct work_item *next;
    loop_cb *work, *done;
    void *arg;
};

struct fake_stream {
    struct stream base;
    struct fake_stream *next;
    char *host;
    uint16_t port;
    bool is_open, is_down, is_paused, is_dirty;
    size_t write_cap;
    struct wbuf written; /* taken by the test */
    struct wbuf held;    /* fed while paused */
    void (*on_step)(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail);
};

struct fake_loop {
    struct loop base;
    uint64_t now_ms;
    int64_t wall_offset_us;
    bool is_stopping;
    unsigned open_count;
    struct work_item *work, **work_tail;
    struct fake_stream *streams;
};

static struct fake_loop *
fake_of(struct loop *loop)
{
    return (struct fake_loop *)(void *)loop;
}

static struct fake_stream *
fake_stream_of(struct stream *st)
{
    return (struct fake_stream *)(void *)st;
}

static uint64_t
fake_now_ms(struct loop *loop)
{
    return fake_of(loop)->now_ms;
}

static uint64_t
fake_now_ns(struct loop *loop)
{
    return fake_of(loop)->now_ms * 1000000u;
}

static int64_t
fake_wall_us(struct loop *loop)
{
    return (int64_t)fake_of(loop)->now_ms * 1000 + fake_of(loop)->wall_offset_us;
}

static void
fake_run(struct loop *loop)
{
    fake_of(loop)->is_stopping = false;
    while (!fake_of(loop)->is_stopping)
        loop_fake_advance_ms(loop, 1);
}

static void
fake_stop(struct loop *loop)
{
    fake_of(loop)->is_stopping = true;
}

static void
fake_wake(struct loop *loop)
{
    (void)loop; /* loop_fake_turn() looks by itself */
}

static void
fake_work(struct loop *loop, loop_cb *work, loop_cb *done, void *arg)
{
    struct fake_loop *f = fake_of(loop);
    struct work_item *w = mem_alloc(sizeof *w);

    *w = (struct work_item){.work = work, .done = done, .arg = arg};
    *f->work_tail = w;
    f->work_tail = &w->next;
}

static bool
run_one_work(struct fake_loop *f)
{
    struct work_item *w = f->work;

    if (!w)
        return false;
    f->work = w->next;
    if (!f->work)
        f->work_tail = &f->work;
    w->work(w->arg);
    if (w->done)
        w->done(w->arg);
    free(w);
    return true;
}

static void
fake_on_signal(struct loop *loop, int signum, loop_cb *cb, void *arg)
{
    (void)loop;
    (void)signum;
    (void)cb;
    (void)arg; /* tests call what the signal would call */
}

static void
fake_free(struct loop *loop)
{
    struct fake_loop *f = fake_of(loop);

    loop_fake_turn(loop);
    assert(!f->streams); /* a user left a stream open */
    loop_common_fini(loop);
    free(f);
}

/* --- streams --- */

static enum nx_err
fake_write2(struct stream *st, struct slice a, struct slice b)
{
    struct fake_stream *s = fake_stream_of(st);

    if (s->is_down)
        return NX_E_OFFLINE;
    if (s->written.len + a.len + b.len > s->write_cap)
        return NX_E_FULL;
    wbuf_slice(&s->written, a);
    wbuf_slice(&s->written, b);
    s->is_dirty = true;
    return NX_OK;
}

static size_t
fake_pending(const struct stream *st)
{
    const struct fake_stream *s = (const struct fake_stream *)(const void *)st;

    return s->written.len;
}

static void
fake_pause(struct stream *st, bool is_paused)
{
    fake_stream_of(st)->is_paused = is_paused;
}

static void
fake_close(struct stream *st, bool flush)
{
    struct fake_stream *s = fake_stream_of(st);
    struct fake_stream **at = &fake_of(st->loop)->streams;

    (void)flush;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    wbuf_free(&s->written);
    wbuf_free(&s->held);
    free(s->host);
    free(s);
}

static const struct stream_impl stream_impl = {
    .write2 = fake_write2,
    .pending = fake_pending,
    .pause = fake_pause,
    .close = fake_close,
};

static struct fake_stream *
add_stream(struct loop *loop, const char *host, size_t write_cap, const struct stream_ops *ops, void *arg)
{
    struct fake_loop *f = fake_of(loop);
    struct fake_stream *s = mem_alloc(sizeof *s);

    s->base = (struct stream){.impl = &stream_impl, .loop = loop, .ops = *ops, .arg = arg};
    s->host = mem_strdup(host);
    s->write_cap = write_cap ? write_cap : 1u << 20;
    s->written = wbuf_init(0);
    s->held = wbuf_init(0);
    s->next = f->streams;
    f->streams = s;
    f->open_count++;
    return s;
}

static struct stream *
fake_stream_open(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops, void *arg)
{
    struct fake_stream *s = add_stream(loop, conf->host, conf->write_cap_bytes, ops, arg);

    s->port = conf->port;
    s->on_step = conf->on_step;
    return &s->base;
}

static struct stream *
fake_serial_open(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops, void *arg)
{
    return &add_stream(loop, conf->path, conf->write_cap_bytes, ops, arg)->base;
}

struct stream *
loop_fake_stream(struct loop *loop, const char *host, uint16_t port)
{
    for (struct fake_stream *s = fake_of(loop)->streams; s; s = s->next) {
        if (s->port == port && strcmp(s->host, host) == 0)
            return &s->base;
    }
    return NULL;
}

void
loop_fake_accept(struct stream *st)
{
    struct fake_stream *s = fake_stream_of(st);
    struct loop *loop = st->loop;

    assert(!s->is_open && !s->is_down);
    s->is_open = true;
    if (s->on_step) {
        s->on_step(st->arg, "resolve", NX_OK, 0, "");
        s->on_step(st->arg, "tcp", NX_OK, 0, "");
    }
    st->ops.on_open(st->arg);
    loop_fake_turn(loop);
}

void
loop_fake_refuse(struct stream *st, enum nx_err err)
{
    struct fake_stream *s = fake_stream_of(st);

    if (s->on_step)
        s->on_step(st->arg, "tcp", err, 0, nx_err_text(err));
    loop_fake_hang_up(st, err);
}

void
loop_fake_feed(struct stream *st, struct slice data)
{
    struct fake_stream *s = fake_stream_of(st);
    struct loop *loop = st->loop;

    if (s->is_paused) {
        wbuf_slice(&s->held, data);
        return;
    }
    st->ops.on_data(st->arg, data);
    loop_fake_turn(loop);
}

void
loop_fake_hang_up(struct stream *st, enum nx_err err)
{
    struct fake_stream *s = fake_stream_of(st);
    struct loop *loop = st->loop;
    struct nx_note why;

    assert(!s->is_down);
    s->is_down = true;
    if (s->port)
        (void)nx_fail(&why, err, "%s port %u: %s", s->host, s->port, nx_err_text(err));
    else
        (void)nx_fail(&why, err, "%s: %s", s->host, nx_err_text(err));
    st->ops.on_down(st->arg, err, &why);
    loop_fake_turn(loop);
}

uint8_t *
loop_fake_take_written(struct stream *st, size_t *len)
{
    struct fake_stream *s = fake_stream_of(st);

    *len = s->written.len;
    return (uint8_t *)wbuf_take(&s->written, NULL);
}

unsigned
loop_fake_open_count(struct loop *loop)
{
    return fake_of(loop)->open_count;
}

static bool
tell_drained(struct fake_loop *f)
{
    for (struct fake_stream *s = f->streams; s; s = s->next) {
        if (!s->is_dirty || !s->is_open || s->is_down)
            continue;
        s->is_dirty = false;
        if (s->base.ops.on_drained) {
            s->base.ops.on_drained(s->base.arg);
            return true;
        }
    }
    return false;
}

static bool
feed_held(struct fake_loop *f)
{
    for (struct fake_stream *s = f->streams; s; s = s->next) {
        if (s->is_paused || s->is_down || s->held.len == 0)
            continue;
        struct wbuf held = s->held;

        s->held = wbuf_init(0);
        s->base.ops.on_data(s->base.arg, wbuf_slice_of(&held));
        wbuf_free(&held);
        return true;
    }
    return false;
}

/* --- time --- */

static const struct loop_impl loop_impl = {
    .free = fake_free,
    .run = fake_run,
    .stop = fake_stop,
    .now_ms = fake_now_ms,
    .now_ns = fake_now_ns,
    .wall_us = fake_wall_us,
    .wake = fake_wake,
    .work = fake_work,
    .on_signal = fake_on_signal,
    .stream_open = fake_stream_open,
    .serial_open = fake_serial_open,
};

struct loop *
loop_fake_new(void)
{
    struct fake_loop *f = mem_alloc(sizeof *f);

    f->now_ms = 1000;
    f->wall_offset_us = 1700000000000000;
    f->work_tail = &f->work;
    loop_common_init(&f->base, &loop_impl, f->now_ms);
    return &f->base;
}

void
loop_fake_turn(struct loop *loop)
{
    struct fake_loop *f = fake_of(loop);

    assert(loop->impl == &loop_impl);
    while (loop_run_posted(loop) || loop_run_deferred(loop) || run_one_work(f) || feed_held(f) || tell_drained(f))
        ;
}

void
loop_fake_advance_ms(struct loop *loop, uint64_t ms)
{
    struct fake_loop *f = fake_of(loop);
    uint64_t end = f->now_ms + ms;

    loop_fake_turn(loop);
    while (f->now_ms < end) {
        uint64_t wait = wheel_next_ms(&loop->wheel, f->now_ms);
        uint64_t step = wait < end - f->now_ms ? wait : end - f->now_ms;

        f->now_ms += step ? step : 1;
        wheel_advance(&loop->wheel, f->now_ms);
        loop_fake_turn(loop);
    }
}

void
loop_fake_set_wall_us(struct loop *loop, int64_t wall_us)
{
    fake_of(loop)->wall_offset_us = wall_us - (int64_t)fake_of(loop)->now_ms * 1000;
}
