/* store.c -- opening and closing the PostgreSQL historian. */
#include "historian/postgres/store.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/num.h"

#define MAX_WRITERS 64

enum nx_err
pg_store_ready(struct pg_store *h, struct nx_note *why)
{
    enum nx_err err;

    if (pg_is_connected(&h->conn) && h->is_ready)
        return NX_OK;
    h->is_ready = false;
    pg_dict_forget(h); /* another server may have other numbers */
    if ((err = pg_connect(&h->conn, why)) == NX_OK && (err = pg_schema_ready(h, why)) == NX_OK)
        h->is_ready = true;
    else
        pg_disconnect(&h->conn);
    return err;
}

static void
pg_store_close(struct historian *base)
{
    struct pg_store *h = pg_store_of(base);

    pg_conn_fini(&h->conn);
    pg_dict_forget(h);
    pg_stage_free(&h->stage);
    free(h);
}

static bool
pg_store_is_connected(struct historian *base)
{
    return pg_is_alive(&pg_store_of(base)->conn);
}

/* --- the URL --- */

/* Takes "chunk_interval=<hours>" out of the parameters of a URL: libpq refuses what it does not know. */
static enum nx_err
take_chunk_interval(char *url, int64_t *chunk_us, struct nx_note *why)
{
    static const char key[] = "chunk_interval=";
    char *at = strstr(url, key), *end;
    uint64_t hours;

    if (!at || at == url || (at[-1] != '?' && at[-1] != '&'))
        return NX_OK;
    end = at + strcspn(at, "&");
    if (!num_u64(slice(at + sizeof key - 1, (size_t)(end - at) - (sizeof key - 1)), &hours) || hours < 1 ||
        hours > 8784)
        return nx_fail(why, NX_E_CONFIG, "historian.url: chunk_interval is a number of hours, 1 to 8784");
    *chunk_us = (int64_t)hours * PG_HOUR_US;
    if (*end == '&')
        memmove(at, end + 1, strlen(end + 1) + 1);
    else
        at[-1] = '\0';
    return NX_OK;
}

/* "postgres://..." is libpq's own; "postgres:host=... dbname=..." a list of its keywords. */
static const char *
libpq_part(const char *url)
{
    const char *colon = strchr(url, ':');

    return strncmp(colon, "://", 3) == 0 ? url : colon + 1;
}

static enum nx_err
init(struct pg_store *h, const struct historian_conf *conf, struct nx_note *why)
{
    char *url = mem_strdup(libpq_part(conf->url));
    enum nx_err err = take_chunk_interval(url, &h->want_chunk_us, why);

    if (err == NX_OK)
        err = pg_conn_init(&h->conn, url, conf->password, why);
    explicit_bzero(url, strlen(url));
    free(url);
    return err;
}

static enum nx_err
open_with(const struct historian_backend *backend, struct historian **out, const struct historian_conf *conf,
          struct nx_note *why)
{
    struct pg_store *h = mem_alloc(sizeof *h);
    enum nx_err err;

    *out = NULL;
    h->base.backend = backend;
    h->role = conf->role;
    h->retention_days = conf->retention_days;
    h->rollup_retention_days = conf->rollup_retention_days;
    h->use_insert = conf->use_insert;
    h->wall_us = conf->wall_us;
    h->stage = conf->role == HISTORIAN_WRITER ? pg_stage_new() : NULL;
    if ((err = init(h, conf, why)) != NX_OK || (err = pg_store_ready(h, why)) != NX_OK)
        pg_store_close(&h->base);
    else
        *out = &h->base;
    return err;
}

static enum nx_err
open_postgres(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    return open_with(&historian_postgres, out, conf, why);
}

static enum nx_err
open_postgresql(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    return open_with(&historian_postgresql, out, conf, why);
}

#define BACKEND(prefix, open_function)                                                                                 \
    {                                                                                                                  \
        .scheme = (prefix), .max_writers = MAX_WRITERS, .open = (open_function), .close = pg_store_close,              \
        .is_connected = pg_store_is_connected, .commit = pg_store_commit, .is_committed = pg_store_is_committed,       \
        .maintain = pg_store_maintain, .seal = pg_store_seal, .ledger = pg_store_ledger, .stats = pg_store_stats,      \
        .begin = pg_store_begin, .end = pg_store_end, .find = pg_store_find, .each_series = pg_store_each_series,      \
        .scan = pg_store_scan, .before = pg_store_before                                                               \
    }

const struct historian_backend historian_postgres = BACKEND("postgres:", open_postgres);
const struct historian_backend historian_postgresql = BACKEND("postgresql:", open_postgresql);
