#include "ingest/ingest_fixture.h"
#include "base/test_dir.h"

/* --- the scripted client --- */

struct mqtt *clients[2];
unsigned client_count;

struct mqtt *
mqtt_new(struct loop *loop, const struct mqtt_conf *conf, const struct mqtt_ops *ops, void *arg)
{
    struct mqtt *m = mem_alloc(sizeof *m);

    (void)loop;
    assert_true(client_count < 2);
    assert_int_equal(client_count == 0, conf->clean_start);
    m->ops = *ops;
    m->arg = arg;
    clients[client_count++] = m;
    return m;
}

void
mqtt_start(struct mqtt *m)
{
    m->state = MQTT_ONLINE;
}

void
mqtt_stop(struct mqtt *m, bool with_will)
{
    (void)with_will;
    m->state = MQTT_STOPPED;
    m->ops.on_state(m->arg, MQTT_STOPPED, false, NULL);
}

void
mqtt_free(struct mqtt **m)
{
    free(*m);
    *m = NULL;
}

enum nx_err
mqtt_publish(struct mqtt *m, const struct mqtt_publication *pub, mqtt_done_cb *done, void *arg)
{
    (void)done;
    (void)arg;
    if (m->is_offline)
        return NX_E_OFFLINE;
    assert_true(m->published_count < MEM_COUNT(m->published));
    (void)snprintf(m->published_on[m->published_count], 128, "%.*s", SLICE_FMT(pub->topic));
    (void)snprintf(m->published[m->published_count++], 256, "%.*s", SLICE_FMT(pub->payload));
    return NX_OK;
}

void
mqtt_subscribe(struct mqtt *m, const char *filter, uint8_t qos)
{
    assert_int_equal(1, qos);
    (void)snprintf(m->filters[m->filter_count++], sizeof m->filters[0], "%s", filter);
}

void
mqtt_unsubscribe(struct mqtt *m, const char *filter)
{
    for (unsigned i = 0; i < m->filter_count; i++)
        if (strcmp(m->filters[i], filter) == 0)
            memmove(m->filters[i], m->filters[--m->filter_count], sizeof m->filters[0]);
}

void
mqtt_ack(struct mqtt *m, uint64_t token)
{
    if (token)
        m->acked[m->acked_count++] = token;
}

enum mqtt_state
mqtt_state_of(const struct mqtt *m)
{
    return m->state;
}

const struct mqtt_stats *
mqtt_stats_of(const struct mqtt *m)
{
    return &m->stats;
}

/* --- the fixture --- */

void
open_ingest(struct fixture *f, const char *extra)
{
    char disk[128], url[128];
    const char *overrides[] = {disk, url, "logging.level=error", extra, NULL};
    struct conf_source src = {.overrides = overrides, .foreign = ingest_conf_foreign};
    struct nx_note why;

    client_count = 0;
    f->is_stopped = false;
    (void)snprintf(disk, sizeof disk, "buffer.disk_path=%s", f->disk);
    (void)snprintf(url, sizeof url, "historian.url=%s", f->url);
    f->loop = loop_fake_new();
    loop_fake_set_wall_us(f->loop, START + 1000000);
    assert_int_equal(NX_OK, ingest_open(&f->g, f->loop, &src, &why));
}

void
on_stopped(void *arg)
{
    ((struct fixture *)arg)->is_stopped = true;
}

void
close_ingest(struct fixture *f, bool in_order)
{
    if (in_order) {
        ingest_stop(f->g, on_stopped, f);
        loop_fake_turn(f->loop);
        loop_fake_turn(f->loop);
        assert_true(f->is_stopped);
    }
    ingest_free(&f->g);
    loop_free(&f->loop);
}

int
setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/nexus-ingest-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->disk, sizeof f->disk, "%s/ing", f->dir);
    (void)snprintf(f->url, sizeof f->url, "sqlite:%s/hist", f->dir);
    *state = f;
    return 0;
}

int
teardown(void **state)
{
    struct fixture *f = *state;

    int err = test_dir_remove(f->dir);

    free(f);
    return err;
}

void
run(struct fixture *f, uint64_t ms)
{
    loop_fake_advance_ms(f->loop, ms);
    loop_fake_turn(f->loop);
}

void
receive(struct mqtt *m, const char *topic, struct slice payload, uint64_t token, bool retain)
{
    struct mqtt_message msg = {
        .topic = slice_str(topic), .payload = payload, .qos = 1, .retain = retain, .token = token};

    m->ops.on_message(m->arg, &msg);
}

void
receive_batch_of(const char *topic, uint64_t seq, uint64_t token, unsigned points)
{
    struct batch_header hdr = {slice_str("gw"), 7, 0, seq};
    struct series series = {.topic = slice_str("uns/a"), .data_type = NX_TYPE_DOUBLE};
    struct batch_writer *bw = batch_writer_new();
    struct wbuf w = wbuf_init(0);

    for (unsigned i = 0; i < points; i++) {
        struct point p = {.time_us = START + (int64_t)seq * 1000000 + i,
                          .quality = NX_Q_GOOD,
                          .value = nx_value_double((double)seq)};

        assert_true(batch_writer_add(bw, 0, &series, &p));
    }
    assert_int_equal(NX_OK, batch_writer_finish(bw, &hdr, false, &w));
    receive(clients[0], topic, wbuf_slice_of(&w), token, false);
    wbuf_free(&w);
    batch_writer_free(&bw);
}

void
receive_batch(const char *topic, uint64_t seq, uint64_t token)
{
    receive_batch_of(topic, seq, token, 1);
}

static bool
count_row(void *arg, const struct history_row *row)
{
    (void)row;
    ++*(unsigned *)arg;
    return true;
}

unsigned
stored(struct fixture *f, const char *topic)
{
    struct historian_conf conf = {.url = f->url, .role = HISTORIAN_READER};
    struct history_query q = {
        .topic = topic, .from_us = 0, .to_us = INT64_MAX / 2, .fn = HISTORY_RAW, .max_points = 1000};
    struct history_summary summary;
    struct historian *h;
    struct nx_note why;
    struct arena a = {0};
    unsigned n = 0;
    enum nx_err err;

    assert_int_equal(NX_OK, historian_open(&h, &conf, &why));
    err = historian_query(h, &q, &a, count_row, &n, &summary, &why);
    assert_true(err == NX_OK || err == NX_E_NOT_FOUND);
    historian_close(&h);
    arena_free(&a);
    return n;
}
