#include "app/child.h"

#include "base/mem.h"
#include "obs/log.h"

#include <assert.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_MIN_MS   200u
#define BACKOFF_MAX_MS   10000u
#define STEADY_MS        30000u /* after running this long the next fall starts with the shortest back-off again */
#define STOP_PATIENCE_MS 10000u

static void
add(struct child *c, char *text)
{
    assert(c->argc + 1 < CHILD_MAX_ARGS);
    c->argv[c->argc++] = text;
}

void
child_init(struct child *c, struct loop *loop, const char *name, const char *exe)
{
    *c = (struct child){.name = name, .loop = loop, .backoff_ms = BACKOFF_MIN_MS, .stop_signal = SIGTERM};
    c->log = (struct log_ctx){.module = "up", .kind = "child", .id = name};
    add(c, mem_strdup(exe));
    add(c, mem_strdup("supervised"));
}

void
child_arg(struct child *c, const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    add(c, text);
}

static void
on_restart(struct loop_timer *t, void *arg)
{
    (void)t;
    child_start(arg);
}

static void
schedule_restart(struct child *c)
{
    if (loop_now_ms(c->loop) - c->started_ms > STEADY_MS)
        c->backoff_ms = BACKOFF_MIN_MS;
    loop_timer_start(c->loop, &c->restart, c->backoff_ms, 0, on_restart, c);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
    c->restarts++;
}

static void
on_exit_status(void *arg, int64_t exit_status, int signum)
{
    struct child *c = arg;

    c->process = NULL;
    loop_timer_stop(&c->kill);
    if (c->is_stopping) {
        log_info(&c->log, "child stopped");
        c->stopped(c->stopped_arg);
        return;
    }
    schedule_restart(c);
    log_error(&c->log, "child ended by itself and is started again", KV_INT("exit_status", exit_status),
              KV_INT("signal", signum), KV_UINT("in_ms", c->restart.due_ms - loop_now_ms(c->loop)));
}

void
child_start(struct child *c)
{
    struct process_conf conf = {.argv = (const char *const *)c->argv, .on_exit = on_exit_status, .arg = c};
    struct nx_note why;

    c->started_ms = loop_now_ms(c->loop);
    if (process_start(&c->process, c->loop, &conf, &why) != NX_OK) {
        log_error(&c->log, "cannot start child", KV_NOTE(&why));
        schedule_restart(c);
        return;
    }
    log_info(&c->log, "child started", KV_INT("pid", process_pid(c->process)));
}

static void
on_patience_over(struct loop_timer *t, void *arg)
{
    struct child *c = arg;

    (void)t;
    log_warn(&c->log, "child does not stop and is killed");
    process_signal(c->process, SIGKILL);
}

void
child_stop(struct child *c, void (*stopped)(void *arg), void *arg)
{
    c->is_stopping = true;
    c->stopped = stopped;
    c->stopped_arg = arg;
    loop_timer_stop(&c->restart);
    if (!c->process) {
        loop_defer(c->loop, stopped, arg);
        return;
    }
    process_signal(c->process, c->stop_signal);
    loop_timer_start(c->loop, &c->kill, STOP_PATIENCE_MS, 0, on_patience_over, c);
}

void
child_fini(struct child *c)
{
    assert(!c->process);
    loop_timer_stop(&c->restart);
    for (unsigned i = 0; i < c->argc; i++)
        free(c->argv[i]);
    c->argc = 0;
}
