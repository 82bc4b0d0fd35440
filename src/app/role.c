/* role.c -- runs one service in this process. */
#include "app/command.h"

#include "base/mem.h"
#include "obs/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPEATS_EVERY_MS 5000

const struct role *const roles[] = {&role_gateway, &role_ingest, &role_core, NULL};

struct running {
    const struct role *role;
    struct loop *loop;
    void *state;
    bool is_stopping;
    struct loop_timer repeats;
};

static void
on_repeats(struct loop_timer *t, void *arg)
{
    (void)t;
    (void)arg;
    log_flush_repeats();
}

static void
on_stopped(void *arg)
{
    struct running *r = arg;

    loop_stop(r->loop);
}

static void
on_signal(void *arg)
{
    struct running *r = arg;

    if (r->is_stopping) /* asked twice: at once, like kill -9, which every role survives */
        _exit(EXIT_FAILED);
    r->is_stopping = true;
    log_info(NULL, "stopping");
    r->role->stop(r->state, on_stopped, r);
}

static bool
has_row(const struct conf_row *rows, const char *key)
{
    while (rows->key && strcmp(rows->key, key) != 0)
        rows++;
    return rows->key;
}

const char **
role_foreign_keys(const struct role *role)
{
    size_t n = 0, cap = 1;

    while (role->foreign[cap - 1])
        cap++;
    for (const struct role *const *other = roles; *other; other++) {
        for (const struct conf_row *row = (*other)->rows; row->key; row++)
            cap++;
    }
    const char **keys = mem_calloc(cap, sizeof *keys);
    while (role->foreign[n]) {
        keys[n] = role->foreign[n];
        n++;
    }
    for (const struct role *const *other = roles; *other; other++) {
        for (const struct conf_row *row = (*other)->rows; row->key; row++) {
            if (!has_row(role->rows, row->key))
                keys[n++] = row->key;
        }
    }
    return keys;
}

int
role_run(const struct role *role, int argc, char **argv)
{
    const char *config = NULL, **sets = NULL;
    const struct option_spec specs[] = {{.name = "config", .value = &config}, {.name = "set", .list = &sets}, {0}};
    struct running r = {.role = role};
    struct nx_note why = {0};

    if (!options_read(&argc, argv, specs))
        return EXIT_USAGE;
    if (argc > 1) {
        (void)fprintf(stderr, "nexus %s: unexpected '%s'. Usage: nexus %s [--config FILE] [--set KEY=VALUE]...\n",
                      role->name, argv[1], role->name);
        return EXIT_USAGE;
    }
    const char **foreign = role_foreign_keys(role);
    struct conf_source src = {.path = config, .overrides = sets, .foreign = foreign};
    enum nx_err err = log_init(&(struct log_conf){.service = role->name}, &why);
    if (err != NX_OK)
        return command_failed(err, &why);
    r.loop = loop_new();
    /* Before anything is opened: a signal that comes meanwhile waits for the loop instead of killing us. */
    loop_on_signal(r.loop, SIGTERM, on_signal, &r);
    loop_on_signal(r.loop, SIGINT, on_signal, &r);
    err = role->open(&r.state, r.loop, &src, &why);
    if (err == NX_OK) {
        loop_timer_start(r.loop, &r.repeats, REPEATS_EVERY_MS, REPEATS_EVERY_MS, on_repeats, NULL);
        loop_run(r.loop);
        loop_timer_stop(&r.repeats);
        role->free(&r.state);
    } else {
        log_error(NULL, "cannot start", KV_NOTE(&why));
    }
    loop_free(&r.loop);
    log_flush_repeats();
    free(sets);
    free(foreign);
    return exit_code_of(err);
}
