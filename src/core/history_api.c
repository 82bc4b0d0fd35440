/* history_api.c -- stored values: who may ask how much at once. */
#include "core/handlers.h"
#include "core/history.h"

#define QUERIES_MAX 8 /* each keeps a worker until its client has read the answer */
#define EXPORTS_MAX 4 /* of them without an end in sight: charts still get through */

static void
deny_no_historian(struct http_req *req, const struct nx_note *why)
{
    http_respond_problem(req, &(struct http_problem){.status = 503,
                                                     .code = "historian_unavailable",
                                                     .title = "No history",
                                                     .detail = why->text,
                                                     .cause_layer = "storage",
                                                     .fixes = {"Check that ingestion is running: it makes the store.",
                                                               "Check historian.url of ingestion and of the core."}});
}

static void
deny_crowd(struct http_req *req, const char *detail, const char *fix)
{
    http_set_header(req, "Retry-After", "1");
    http_respond_problem(req, &(struct http_problem){.status = 503,
                                                     .code = "too_many_queries",
                                                     .title = "Other queries are running",
                                                     .detail = detail,
                                                     .fixes = {fix}});
}

static void
run(struct http_req *req, struct core *core, const struct history_ask *ask)
{
    struct reader reader;
    struct nx_note why = {0};
    bool is_good;

    if (readers_take(core->readers, READERS_ANY, &reader, &why) != NX_OK) {
        deny_no_historian(req, &why);
        return;
    }
    is_good = history_answer(req, core, &reader, ask);
    readers_give(core->readers, reader, is_good);
}

static void
run_export(struct http_req *req, struct core *core, const struct history_ask *ask)
{
    if (__atomic_add_fetch(&core->exports_running, 1, __ATOMIC_RELAXED) > EXPORTS_MAX)
        deny_crowd(req, "as many exports are running as may at once", "Wait until one of them has ended.");
    else
        run(req, core, ask);
    (void)__atomic_sub_fetch(&core->exports_running, 1, __ATOMIC_RELAXED);
}

static void
answer(struct http_req *req, struct core *core, const struct history_ask *ask)
{
    if (__atomic_add_fetch(&core->queries_running, 1, __ATOMIC_RELAXED) > QUERIES_MAX)
        deny_crowd(req, "as many history queries are running as may at once",
                   "Try again in a second, or ask for a shorter time.");
    else if (ask->max_points == HISTORY_NO_LIMIT)
        run_export(req, core, ask);
    else
        run(req, core, ask);
    (void)__atomic_sub_fetch(&core->queries_running, 1, __ATOMIC_RELAXED);
}

void
history_get(struct http_req *req, void *arg)
{
    struct history_ask ask;

    if (history_ask_query(req, &ask))
        answer(req, arg, &ask);
}

void
history_post(struct http_req *req, void *arg)
{
    json_t *body = api_body(req, history_ask_members);
    struct history_ask ask;

    if (body && history_ask_body(req, body, &ask))
        answer(req, arg, &ask);
}
