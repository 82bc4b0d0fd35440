/* worker.c -- a thread of its own that runs one call at a time for its loop. */
#include "base/mem.h"
#include "loop/loop_priv.h"

#include <assert.h>
#include <stdlib.h>

struct loop_worker {
    struct loop *loop;
    loop_cb *work, *done;
    void *arg;
    bool is_busy; /* loop thread */

    bool has_thread;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool has_call, is_ending; /* under lock */
};

static void
finish(void *arg)
{
    struct loop_worker *w = arg;

    w->is_busy = false;
    w->done(w->arg);
}

/* false: the end. */
static bool
wait_for_call(struct loop_worker *w)
{
    bool has_call;

    pthread_mutex_lock(&w->lock);
    while (!w->has_call && !w->is_ending)
        pthread_cond_wait(&w->wake, &w->lock);
    has_call = w->has_call;
    w->has_call = false;
    pthread_mutex_unlock(&w->lock);
    return has_call;
}

static void *
thread_main(void *arg)
{
    struct loop_worker *w = arg;

    while (wait_for_call(w)) {
        w->work(w->arg);
        loop_post(w->loop, finish, w);
    }
    return NULL;
}

struct loop_worker *
loop_worker_new(struct loop *loop)
{
    struct loop_worker *w = mem_alloc(sizeof *w);

    w->loop = loop;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->has_thread = loop_uv(loop) && pthread_create(&w->thread, NULL, thread_main, w) == 0;
    if (loop_uv(loop) && !w->has_thread)
        loop_worker_free(&w);
    return w;
}

static void
work_here(void *arg)
{
    struct loop_worker *w = arg;

    w->work(w->arg);
}

void
loop_worker_run(struct loop_worker *w, loop_cb *work, loop_cb *done, void *arg)
{
    assert(!w->is_busy);
    w->is_busy = true;
    w->work = work;
    w->done = done;
    w->arg = arg;
    if (!w->has_thread) {
        w->loop->impl->work(w->loop, work_here, finish, w);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->has_call = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void
loop_worker_free(struct loop_worker **out)
{
    struct loop_worker *w = *out;

    *out = NULL;
    if (!w)
        return;
    assert(!w->is_busy || !w->has_thread);
    pthread_mutex_lock(&w->lock);
    w->is_ending = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    if (w->has_thread)
        pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
