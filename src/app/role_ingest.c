#include "app/command.h"

#include "ingest/ingest.h"

static enum nx_err
role_open(void **state, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct ingest *g = NULL;
    enum nx_err err = ingest_open(&g, loop, src, why);

    *state = g;
    return err;
}

static void
role_stop(void *state, void (*stopped)(void *arg), void *arg)
{
    ingest_stop(state, stopped, arg);
}

static void
role_free(void **state)
{
    struct ingest *g = *state;

    ingest_free(&g);
    *state = NULL;
}

const struct role role_ingest = {
    .name = "ingest",
    .rows = ingest_conf_rows,
    .foreign = ingest_conf_foreign,
    .open = role_open,
    .stop = role_stop,
    .free = role_free,
};

int
command_ingest(int argc, char **argv)
{
    return role_run(&role_ingest, argc, argv);
}
