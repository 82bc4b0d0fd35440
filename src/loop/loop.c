/* loop.c -- the real loop, on libuv. */
#include "base/mem.h"
#include "loop/loop_uv.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define DEFER_ROUNDS 16 /* then the kernel gets a turn */

struct signal_watch {
    struct signal_watch *next;
    uv_signal_t handle;
    loop_cb *cb;
    void *arg;
};

struct work_item {
    uv_work_t req;
    loop_cb *work, *done;
    void *arg;
};

static void
move_wheel(struct loop_uv *l)
{
    wheel_advance(&l->base.wheel, uv_now(&l->uv));
}

static void
on_timer(uv_timer_t *handle)
{
    struct loop_uv *l = handle->data;

    l->armed_ms = UINT64_MAX;
    move_wheel(l);
}

static void
on_idle(uv_idle_t *handle)
{
    (void)handle; /* its presence is what counts */
}

static void
end_turn(struct loop_uv *l)
{
    unsigned rounds = 0;

    l->wall_us = 0;
    while (rounds < DEFER_ROUNDS && loop_run_deferred(&l->base))
        rounds++;
    if (l->base.deferred.count)
        uv_idle_start(&l->idle, on_idle);
    else
        uv_idle_stop(&l->idle);
}

static void
arm(struct loop_uv *l)
{
    uint64_t now = uv_now(&l->uv);
    uint64_t wait = wheel_next_ms(&l->base.wheel, now);
    uint64_t due = wait == UINT64_MAX ? UINT64_MAX : now + wait;

    if (due == l->armed_ms)
        return;
    l->armed_ms = due;
    if (due == UINT64_MAX)
        uv_timer_stop(&l->timer);
    else
        uv_timer_start(&l->timer, on_timer, wait, 0);
}

static void
on_prepare(uv_prepare_t *handle)
{
    struct loop_uv *l = handle->data;

    end_turn(l);
    arm(l);
}

static void
on_check(uv_check_t *handle)
{
    end_turn(handle->data);
}

static void
on_wake(uv_async_t *handle)
{
    struct loop_uv *l = handle->data;

    (void)loop_run_posted(&l->base);
}

static void
uv_wake(struct loop *loop)
{
    uv_async_send(&loop_uv_of(loop)->wake);
}

static void
run(struct loop *loop)
{
    struct loop_uv *l = loop_uv_of(loop);

    l->is_stopping = false;
    uv_update_time(&l->uv);
    while (!l->is_stopping)
        uv_run(&l->uv, UV_RUN_DEFAULT);
}

static void
stop(struct loop *loop)
{
    struct loop_uv *l = loop_uv_of(loop);

    l->is_stopping = true;
    uv_stop(&l->uv);
}

static uint64_t
now_ms(struct loop *loop)
{
    return uv_now(&loop_uv_of(loop)->uv);
}

static uint64_t
now_ns(struct loop *loop)
{
    (void)loop;
    return uv_hrtime();
}

static int64_t
wall_us(struct loop *loop)
{
    struct loop_uv *l = loop_uv_of(loop);

    if (l->wall_us == 0) {
        struct timespec ts;

        clock_gettime(CLOCK_REALTIME, &ts);
        l->wall_us = (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
    }
    return l->wall_us;
}

static void
on_work(uv_work_t *req)
{
    struct work_item *w = req->data;

    w->work(w->arg);
}

static void
on_work_done(uv_work_t *req, int status)
{
    struct work_item *w = req->data;

    (void)status; /* never canceled by us */
    if (w->done)
        w->done(w->arg);
    free(w);
}

static void
queue_work(struct loop *loop, loop_cb *work, loop_cb *done, void *arg)
{
    struct work_item *w = mem_alloc(sizeof *w);

    *w = (struct work_item){.work = work, .done = done, .arg = arg};
    w->req.data = w;
    int rc = uv_queue_work(&loop_uv_of(loop)->uv, &w->req, on_work, on_work_done);
    assert(rc == 0);
    (void)rc;
}

static void
on_uv_signal(uv_signal_t *handle, int signum)
{
    struct signal_watch *s = handle->data;

    (void)signum;
    s->cb(s->arg);
}

static void
watch_signal(struct loop *loop, int signum, loop_cb *cb, void *arg)
{
    struct loop_uv *l = loop_uv_of(loop);
    struct signal_watch *s = mem_alloc(sizeof *s);

    s->cb = cb;
    s->arg = arg;
    s->handle.data = s;
    s->next = l->signals;
    l->signals = s;
    uv_signal_init(&l->uv, &s->handle);
    uv_signal_start(&s->handle, on_uv_signal, signum);
    uv_unref((uv_handle_t *)&s->handle);
}

static void
close_signals(struct loop_uv *l)
{
    for (struct signal_watch *s = l->signals; s; s = s->next)
        uv_close((uv_handle_t *)&s->handle, NULL);
}

static void
free_signals(struct loop_uv *l)
{
    while (l->signals) {
        struct signal_watch *s = l->signals;

        l->signals = s->next;
        free(s);
    }
}

static void
free_loop(struct loop *loop)
{
    struct loop_uv *l = loop_uv_of(loop);

    /* What is still on its way (posted calls, work, closing streams) gets its callbacks before the handles go. */
    uv_unref((uv_handle_t *)&l->wake);
    (void)loop_run_posted(loop);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    while (loop_run_deferred(loop) || loop_run_posted(loop))
        uv_run(&l->uv, UV_RUN_NOWAIT);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
    close_signals(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0); /* a user left a handle open */
    (void)rc;
    free_signals(l);
    loop_common_fini(loop);
    free(l->read_buffer);
    free(l);
}

static const struct loop_impl impl = {
    .free = free_loop,
    .run = run,
    .stop = stop,
    .now_ms = now_ms,
    .now_ns = now_ns,
    .wall_us = wall_us,
    .wake = uv_wake,
    .work = queue_work,
    .on_signal = watch_signal,
    .stream_open = stream_tcp_open,
    .serial_open = stream_serial_open,
};

static void
init_handles(struct loop_uv *l)
{
    uv_timer_init(&l->uv, &l->timer);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->idle);
    uv_async_init(&l->uv, &l->wake, on_wake);
    l->timer.data = l->prepare.data = l->check.data = l->idle.data = l->wake.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    /* The wake handle alone keeps loop_run() going. */
    uv_unref((uv_handle_t *)&l->timer);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    uv_unref((uv_handle_t *)&l->idle);
}

struct loop *
loop_new(void)
{
    struct loop_uv *l = mem_alloc(sizeof *l);
    int rc = uv_loop_init(&l->uv);

    assert(rc == 0);
    (void)rc;
    (void)signal(SIGPIPE, SIG_IGN);
    l->armed_ms = UINT64_MAX;
    l->read_buffer = malloc(LOOP_READ_BYTES); /* not zeroed: pages appear as they are used */
    assert(l->read_buffer);
    loop_common_init(&l->base, &impl, uv_now(&l->uv));
    init_handles(l);
    return &l->base;
}

void *
loop_uv(struct loop *loop)
{
    return loop->impl == &impl ? &loop_uv_of(loop)->uv : NULL;
}
