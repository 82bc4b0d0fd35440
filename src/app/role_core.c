#include "app/command.h"

#include "core/core.h"

#include <stdlib.h>

static enum nx_err
role_open(void **state, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct core *g = NULL;
    enum nx_err err = core_open(&g, loop, src, why);

    *state = g;
    return err;
}

static void
role_stop(void *state, void (*stopped)(void *arg), void *arg)
{
    core_stop(state, stopped, arg);
}

static void
role_free(void **state)
{
    struct core *g = *state;

    core_free(&g);
    *state = NULL;
}

const struct role role_core = {
    .name = "core",
    .rows = core_conf_rows,
    .foreign = core_conf_foreign,
    .open = role_open,
    .stop = role_stop,
    .free = role_free,
};

int
command_core(int argc, char **argv)
{
    /* Workers wait for disks, passwords, gateways and slow clients; each of these has a limit (LOGINS_MAX, TESTS_MAX,
     * QUERIES_MAX), and together they leave some of the workers to everybody else. */
    (void)setenv("UV_THREADPOOL_SIZE", "16", 0);
    return role_run(&role_core, argc, argv);
}
