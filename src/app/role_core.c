#include "app/command.h"

#include "base/mem.h"
#include "core/core.h"
#include "obs/log.h"

#include <stdlib.h>

/* The core takes its settings ready made; this object keeps them as long as it runs. */
struct core_role {
    struct loop *loop;
    struct core_conf settings;
    struct conf *conf;
    struct core *core;
};

static void
role_free(void **state)
{
    struct core_role *r = *state;

    if (!r)
        return;
    core_close(&r->core);
    conf_free(&r->conf);
    free(r);
    *state = NULL;
}

static enum nx_err
role_open(void **state, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct core_role *r = mem_alloc(sizeof *r);
    enum nx_err err = conf_load(&r->conf, src, core_conf_rows, &r->settings, why);

    r->loop = loop;
    if (err == NX_OK)
        err = log_init(&(struct log_conf){.level = core_log_levels[r->settings.logging.level],
                                          .format = core_log_formats[r->settings.logging.format],
                                          .service = "core"},
                       why);
    if (err == NX_OK)
        err = core_open(&r->core, loop, &r->settings, why);
    *state = r;
    if (err != NX_OK)
        role_free(state);
    return err;
}

static void
role_stop(void *state, void (*stopped)(void *arg), void *arg)
{
    struct core_role *r = state;

    core_close(&r->core);
    loop_defer(r->loop, stopped, arg);
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
    return role_run(&role_core, argc, argv);
}
