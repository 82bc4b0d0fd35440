/* status.c -- what ingestion says about itself: metrics, health, status, bad messages. Loop thread. */
#include "base/num.h"
#include "ingest/ingest_priv.h"

static const double batch_buckets[] = {0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04,
                                       0.05,  0.07,  0.1,   0.2,  0.5,   1,    2,    5};

static const struct metric_desc
    points_desc = {"data_ingestion_points_total", METRIC_COUNTER, "Points stored by the historian.", {NULL}, NULL, 0},
    duration_desc = {"data_ingestion_batch_duration_seconds",
                     METRIC_HISTOGRAM,
                     "Decoding and committing one transaction.",
                     {NULL},
                     batch_buckets,
                     sizeof batch_buckets / sizeof batch_buckets[0]},
    usage_desc =
        {"data_ingestion_buffer_usage", METRIC_GAUGE, "Part of ingestion.buffer_size in use.", {NULL}, NULL, 0},
    errors_desc = {"data_ingestion_errors_total", METRIC_COUNTER, "Errors by type.", {"type", NULL}, NULL, 0},
    lag_desc = {"data_ingestion_lag_seconds",
                METRIC_GAUGE,
                "Age of the newest value of the last transaction when it was committed.",
                {NULL},
                NULL,
                0},
    batches_desc =
        {"nexus_ingest_batches_total", METRIC_COUNTER, "Batches taken, duplicates included.", {NULL}, NULL, 0},
    duplicates_desc = {"nexus_ingest_duplicate_batches_total",
                       METRIC_COUNTER,
                       "Batches that the historian had already.",
                       {NULL},
                       NULL,
                       0},
    skipped_desc =
        {"nexus_ingest_skipped_messages_total",
         METRIC_COUNTER,
         "Tag messages not stored: their point travels in a batch (seq), retained without time, system topic, "
         "redelivered.",
         {"reason", NULL},
         NULL,
         0},
    shed_desc = {"nexus_ingest_shed_batches_total",
                 METRIC_COUNTER,
                 "Batches left to be sent again because the buffer was full.",
                 {NULL},
                 NULL,
                 0},
    quarantined_desc =
        {"nexus_ingest_quarantined_points_total", METRIC_COUNTER, "Points put aside for their time.", {NULL}, NULL, 0},
    repeated_desc = {"nexus_ingest_repeated_batches_total",
                     METRIC_COUNTER,
                     "Batches that came again while the first copy was on its way.",
                     {NULL},
                     NULL,
                     0},
    refused_desc = {"nexus_ingest_refused_batches_total",
                    METRIC_COUNTER,
                    "Batches whose values the database refuses: put aside, declared as a gap.",
                    {NULL},
                    NULL,
                    0},
    retries_desc = {"nexus_ingest_commit_retries_total",
                    METRIC_COUNTER,
                    "Transactions that failed and were tried again.",
                    {NULL},
                    NULL,
                    0},
    busy_desc = {"nexus_ingest_writers_busy", METRIC_GAUGE, "Writers with a transaction under way.", {NULL}, NULL, 0},
    damaged_desc = {"nexus_ingest_historian_damaged_files",
                    METRIC_GAUGE,
                    "Files of the historian that were damaged and set aside: their values are missing.",
                    {NULL},
                    NULL,
                    0};

static const char *const error_types[] = {"parse", "write", "connection", "buffer", "spool"};
static const char *const skip_reasons[] = {"seq", "retained", "system", "redelivered"};
static const char *const mqtt_states[] = {"stopped", "connecting", "online", "waiting"};

void
ingest_count_error(struct ingest *g, enum ingest_error type)
{
    metric_inc(g->m_errors[type]);
}

void
ingest_bad_message(struct ingest *g, struct slice topic, struct slice payload, const struct nx_note *why)
{
    ingest_count_error(g, ERROR_PARSE);
    if (dead_letter_put(&g->dead, loop_wall_us(g->loop), topic, payload, why->text))
        log_warn(&g->log, "message put aside", KV_NOTE(why), KV_STR("file", g->dead.path));
}

static bool
is_ready(void *arg, struct nx_note *reason)
{
    struct ingest *g = arg;

    if (writers_trouble(g)->err != NX_OK)
        *reason = *writers_trouble(g);
    else if (mqtt_state_of(g->batches) != MQTT_ONLINE)
        (void)nx_fail(reason, NX_E_OFFLINE, "not connected to the broker %s: %s", g->conf.mqtt.broker_url,
                      g->batches_why.text);
    else if (g->foreign.trouble.err != NX_OK)
        *reason = g->foreign.trouble;
    else
        return true;
    return false;
}

static json_t *
trouble(const struct nx_note *note)
{
    return note->err == NX_OK ? json_null()
                              : json_pack("{s:s, s:s}", "error", nx_err_name(note->err), "reason", note->text);
}

static json_t *
connection(const struct mqtt *m, const struct nx_note *why)
{
    const struct mqtt_stats *s = mqtt_stats_of(m);

    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "state", mqtt_states[mqtt_state_of(m)], "reason",
                     mqtt_state_of(m) == MQTT_ONLINE ? "" : why->text, "received", (json_int_t)s->received, "bytes_in",
                     (json_int_t)s->bytes_in, "reconnects", (json_int_t)s->reconnects);
}

static json_t *
spool_status(const struct foreign *f)
{
    struct spool_stats s = spool_stats_of(f->spool);

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "records", (json_int_t)s.records, "points", (json_int_t)s.points,
                     "bytes", (json_int_t)s.bytes, "stored_messages", (json_int_t)f->stored_messages, "dropped_points",
                     (json_int_t)f->dropped_points, "trouble", trouble(&f->trouble));
}

static json_t *
status(void *arg)
{
    struct ingest *g = arg;

    return json_pack("{s:{s:s, s:o, s:o}, s:{s:s, s:o, s:o, s:o}, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}}",
                     "broker", "url", g->conf.mqtt.broker_url, "batches", connection(g->batches, &g->batches_why),
                     "tags", connection(g->tags, &g->tags_why), "historian", "url", g->historian_shown, "trouble",
                     trouble(writers_trouble(g)), "damage", trouble(&g->keeper.damaged.what), "writers",
                     writers_status(g), "foreign", spool_status(&g->foreign), "totals", "batches",
                     (json_int_t)g->batches_total, "points", (json_int_t)g->points_total, "duplicate_batches",
                     (json_int_t)g->duplicate_batches, "duplicate_points", (json_int_t)g->duplicate_points,
                     "quarantined_points", (json_int_t)g->quarantined, "shed_batches", (json_int_t)g->shed, "acks_sent",
                     (json_int_t)g->acks_sent, "buffer_usage", metric_value(g->m_usage));
}

/* Quantiles: the upper bounds of the histogram's buckets that they lie in. */
static json_t *
batch_duration(const struct ingest *g)
{
    const struct metric *m = g->m_duration;

    return json_pack("{s:I, s:f, s:f}", "count", (json_int_t)metric_value(m), "p50_s", metric_quantile(m, 0.5), "p95_s",
                     metric_quantile(m, 0.95));
}

/* What was not understood, or could not be done. */
static json_t *
full_status(void *arg)
{
    struct ingest *g = arg;
    json_t *all = status(g), *errors = json_object(), *skipped = json_object();

    for (unsigned i = 0; i < ERROR_COUNT; i++)
        json_object_set_new(errors, error_types[i], json_integer((json_int_t)metric_value(g->m_errors[i])));
    for (unsigned i = 0; i < SKIP_COUNT; i++)
        json_object_set_new(skipped, skip_reasons[i], json_integer((json_int_t)metric_value(g->m_skipped[i])));
    json_object_set_new(all, "errors", errors);
    json_object_set_new(all, "skipped_messages", skipped);
    json_object_set_new(all, "dead_letters",
                        json_pack("{s:I, s:I}", "seen", (json_int_t)g->dead.seen, "kept", (json_int_t)g->dead.kept));
    json_object_set_new(all, "batch_duration", batch_duration(g));
    json_object_set_new(all, "lag_seconds", json_real(metric_value(g->m_lag)));
    return all;
}

/* GET /admin/v1/dead-letters?limit= */
static void
serve_dead_letters(struct http_req *req, void *arg)
{
    struct ingest *g = arg;
    const char *text = http_query(req, "limit");
    uint64_t limit = 100;

    if (text && (!num_u64(slice_str(text), &limit) || limit < 1 || limit > DEAD_LETTERS_MAX)) {
        http_respond_problem(req, &(struct http_problem){.status = 422,
                                                         .code = "limit_invalid",
                                                         .detail = "limit is a number from 1 to 1000"});
        return;
    }
    http_respond_json(req, 200, json_pack("{s:o}", "items", dead_letter_list(g->dead.path, (size_t)limit)));
}

void
status_init(struct ingest *g)
{
    struct metrics *m = g->metrics = metrics_new();

    g->m_points = metrics_get(m, &points_desc, NULL);
    g->m_duration = metrics_get(m, &duration_desc, NULL);
    g->m_usage = metrics_get(m, &usage_desc, NULL);
    g->m_lag = metrics_get(m, &lag_desc, NULL);
    g->m_batches = metrics_get(m, &batches_desc, NULL);
    g->m_duplicates = metrics_get(m, &duplicates_desc, NULL);
    g->m_shed = metrics_get(m, &shed_desc, NULL);
    g->m_quarantined = metrics_get(m, &quarantined_desc, NULL);
    g->m_repeated = metrics_get(m, &repeated_desc, NULL);
    g->m_refused = metrics_get(m, &refused_desc, NULL);
    g->m_retries = metrics_get(m, &retries_desc, NULL);
    g->m_busy = metrics_get(m, &busy_desc, NULL);
    g->m_damaged = metrics_get(m, &damaged_desc, NULL);
    for (unsigned i = 0; i < ERROR_COUNT; i++)
        g->m_errors[i] = metrics_get(m, &errors_desc, &error_types[i]);
    for (unsigned i = 0; i < SKIP_COUNT; i++)
        g->m_skipped[i] = metrics_get(m, &skipped_desc, &skip_reasons[i]);
    g->health =
        (struct http_health){.is_ready = is_ready, .status = full_status, .arg = g, .service = "ingest", .metrics = m};
}

const struct http_route ingest_routes[] = {
    HTTP_HEALTH_ROUTES,
    {.method = HTTP_GET, .path = "/admin/v1/dead-letters", .handler = serve_dead_letters, .where = HTTP_ON_WORKER},
    {.path = NULL},
};
