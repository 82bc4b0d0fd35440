#include "app/command.h"

#include "gateway/gateway.h"

static enum nx_err
role_open(void **state, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct gateway *g = NULL;
    enum nx_err err = gateway_open(&g, loop, src, why);

    *state = g;
    return err;
}

static void
role_stop(void *state, void (*stopped)(void *arg), void *arg)
{
    gateway_stop(state, stopped, arg);
}

static void
role_free(void **state)
{
    struct gateway *g = *state;

    gateway_free(&g);
    *state = NULL;
}

const struct role role_gateway = {
    .name = "gateway",
    .rows = gateway_conf_rows,
    .foreign = gateway_conf_foreign,
    .open = role_open,
    .stop = role_stop,
    .free = role_free,
};

int
command_gateway(int argc, char **argv)
{
    return role_run(&role_gateway, argc, argv);
}
