#include "loop/process.h"

#include "base/mem.h"
#include "loop/loop_uv.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
    uv_process_t handle;
    void (*on_exit)(void *arg, int64_t exit_status, int signum);
    void *arg;
    int64_t exit_status;
    int signum;
};

static void
on_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;

    p->on_exit(p->arg, p->exit_status, p->signum);
    free(p);
}

static void
on_exit_status(uv_process_t *handle, int64_t exit_status, int signum)
{
    struct process *p = handle->data;

    p->exit_status = exit_status;
    p->signum = signum;
    uv_close((uv_handle_t *)handle, on_closed);
}

static void
free_unstarted(uv_handle_t *handle)
{
    free(handle->data);
}

/* Our environment with the additions in front, where they win. */
static char **
join_env(const char *const *extra)
{
    size_t n = 0, own = 0;

    while (extra && extra[n])
        n++;
    while (environ[own])
        own++;
    char **env = mem_calloc(n + own + 1, sizeof *env);
    for (size_t i = 0; i < n; i++)
        memcpy(&env[i], &extra[i], sizeof env[i]);
    memcpy(env + n, environ, own * sizeof *env);
    return env;
}

enum nx_err
process_start(struct process **out, struct loop *loop, const struct process_conf *conf, struct nx_note *why)
{
    struct process *p = mem_alloc(sizeof *p);
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = 1},
        {.flags = UV_INHERIT_FD, .data.fd = 2},
    };
    uv_process_options_t options = {.exit_cb = on_exit_status, .stdio_count = 3, .stdio = stdio};
    char **env = join_env(conf->env);

    p->on_exit = conf->on_exit;
    p->arg = conf->arg;
    p->handle.data = p;
    options.file = conf->argv[0];
    memcpy(&options.args, &conf->argv, sizeof options.args);
    options.env = env;
    int rc = uv_spawn(&loop_uv_of(loop)->uv, &p->handle, &options);
    free(env);
    *out = rc == 0 ? p : NULL;
    if (rc == 0)
        return NX_OK;
    uv_close((uv_handle_t *)&p->handle, free_unstarted);
    return nx_fail_errno(why, NX_OK, -rc, "cannot start %s", conf->argv[0]);
}

int
process_pid(const struct process *p)
{
    return p->handle.pid;
}

void
process_signal(struct process *p, int signum)
{
    (void)uv_process_kill(&p->handle, signum);
}
