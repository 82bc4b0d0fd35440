/* ingest_test.c -- the whole service on the fake loop with real spool and historian; the MQTT client is scripted: this
 * file stands in for mqtt/client.c. */
#include "ingest/ingest.h"

#include "base/mem.h"
#include "historian/historian.h"
#include "model/batch.h"
#include "mqtt/mqtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define START (INT64_C(1700000000) * 1000000)

/* --- the scripted client --- */

struct mqtt {
    struct mqtt_ops ops;
    void *arg;
    enum mqtt_state state;
    struct mqtt_stats stats;
    char filters[4][128];
    unsigned filter_count;
    uint64_t acked[2048];
    unsigned acked_count;
    char published[16][256], published_on[16][128];
    unsigned published_count;
    bool is_offline;
};

static struct mqtt *clients[2]; /* batches, tags */
static unsigned client_count;

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

struct fixture {
    char dir[64], disk[96], url[96];
    struct loop *loop;
    struct ingest *g;
    bool is_stopped;
};

static void
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

static void
on_stopped(void *arg)
{
    ((struct fixture *)arg)->is_stopped = true;
}

static void
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

static int
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

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char command[128];

    (void)snprintf(command, sizeof command, "rm -r '%s'", f->dir);
    (void)!system(command);
    free(f);
    return 0;
}

static void
run(struct fixture *f, uint64_t ms)
{
    loop_fake_advance_ms(f->loop, ms);
    loop_fake_turn(f->loop);
}

static void
receive(struct mqtt *m, const char *topic, struct slice payload, uint64_t token, bool retain)
{
    struct mqtt_message msg = {
        .topic = slice_str(topic), .payload = payload, .qos = 1, .retain = retain, .token = token};

    m->ops.on_message(m->arg, &msg);
}

static void
receive_batch(const char *topic, uint64_t seq, uint64_t token)
{
    struct batch_header hdr = {slice_str("gw"), 7, 0, seq};
    struct series series = {.topic = slice_str("uns/a"), .data_type = NX_TYPE_DOUBLE};
    struct point p = {.time_us = START + (int64_t)seq * 1000,
                      .quality = NX_Q_GOOD,
                      .value = nx_value_double((double)seq)};
    struct batch_writer *bw = batch_writer_new();
    struct wbuf w = wbuf_init(0);

    assert_true(batch_writer_add(bw, 0, &series, &p));
    assert_int_equal(NX_OK, batch_writer_finish(bw, &hdr, false, &w));
    receive(clients[0], topic, wbuf_slice_of(&w), token, false);
    wbuf_free(&w);
    batch_writer_free(&bw);
}

static bool
count_row(void *arg, const struct history_row *row)
{
    (void)row;
    ++*(unsigned *)arg;
    return true;
}

static unsigned
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

/* --- tests --- */

static void
batch_is_acknowledged_after_the_commit(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    assert_string_equal("$share/ingestion/nexus/v1/batch/#", clients[0]->filters[0]);
    assert_string_equal("uns/#", clients[1]->filters[0]);
    receive_batch("nexus/v1/batch/gw/0", 1, 11);
    receive_batch("nexus/v1/batch/gw/0", 2, 12);
    assert_int_equal(0, clients[0]->acked_count);
    assert_int_equal(0, clients[0]->published_count);
    run(f, 150);
    assert_int_equal(2, clients[0]->acked_count);
    assert_int_equal(1, clients[0]->published_count);
    assert_string_equal("nexus/v1/ack/gw", clients[0]->published_on[0]);
    assert_non_null(strstr(clients[0]->published[0], "[[1,2]]"));
    assert_int_equal(2, stored(f, "uns/a"));
    receive_batch("nexus/v1/batch/gw/0", 2, 13); /* the acknowledgement got lost */
    run(f, 150);
    assert_int_equal(2, clients[0]->published_count);
    assert_non_null(strstr(clients[0]->published[1], "[[1,2]]"));
    assert_int_equal(2, stored(f, "uns/a"));
    close_ingest(f, true);
}

static void
unsent_acknowledgements_wait_for_the_broker(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    clients[0]->is_offline = true;
    receive_batch("nexus/v1/batch/gw/0", 1, 11);
    run(f, 150);
    receive_batch("nexus/v1/batch/gw/0", 2, 12);
    run(f, 150);
    assert_int_equal(0, clients[0]->published_count);
    clients[0]->is_offline = false;
    clients[0]->ops.on_ready(clients[0]->arg);
    assert_int_equal(1, clients[0]->published_count);
    assert_non_null(strstr(clients[0]->published[0], "[[1,2]]"));
    close_ingest(f, true);
}

static void
batch_on_the_topic_of_another_gateway_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];

    open_ingest(f, NULL);
    receive_batch("nexus/v1/batch/other/0", 1, 11);
    receive(clients[0], "nexus/v1/batch/gw/0", slice_str("garbage"), 12, false);
    run(f, 150);
    assert_int_equal(2, clients[0]->acked_count); /* the stream goes on */
    assert_int_equal(0, clients[0]->published_count);
    assert_int_equal(0, stored(f, "uns/a"));
    (void)snprintf(path, sizeof path, "%s/dead-letter.jsonl", f->disk);
    assert_int_equal(0, access(path, F_OK));
    close_ingest(f, true);
}

static void
failing_historian_stops_acknowledgements_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url};
    struct historian *other;
    struct nx_note why;

    assert_int_equal(NX_OK, historian_open(&other, &conf, &why)); /* holds the lock */
    open_ingest(f, NULL);
    receive_batch("nexus/v1/batch/gw/0", 1, 11);
    run(f, 150);
    run(f, 3000);
    receive_batch("nexus/v1/batch/gw/0", 2, 12);
    run(f, 3000);
    assert_int_equal(0, clients[0]->acked_count);
    historian_close(&other);
    for (unsigned i = 0; i < 10; i++)
        run(f, 5000);
    assert_int_equal(2, clients[0]->acked_count);
    assert_int_equal(2, stored(f, "uns/a"));
    close_ingest(f, true);
}

static void
full_buffer_leaves_batches_to_come_again(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url};
    struct historian *other;
    struct nx_note why;
    unsigned sent = 0;

    assert_int_equal(NX_OK, historian_open(&other, &conf, &why));
    open_ingest(f, "ingestion.buffer_size=1000");
    while (clients[0]->acked_count < 3 && sent < 1000) {
        receive_batch("nexus/v1/batch/gw/0", sent + 1, sent + 1);
        run(f, 1);
        sent++;
    }
    assert_in_range(sent, 10, 400); /* 16,000 bytes of records of some 80 */
    historian_close(&other);
    for (unsigned i = 0; i < 10; i++)
        run(f, 5000);
    assert_int_equal(sent - 3, stored(f, "uns/a"));
    ingest_stop(f->g, on_stopped, f);
    loop_fake_turn(f->loop);
    close_ingest(f, false);
}

static void
foreign_message_is_stored_once(void **state)
{
    struct fixture *f = *state;
    struct slice one = slice_str("{\"value\":1.5,\"timestamp\":1700000000000}");

    open_ingest(f, NULL);
    receive(clients[1], "uns/f", one, 21, false);
    assert_int_equal(0, clients[1]->acked_count);
    run(f, 30);
    assert_int_equal(1, clients[1]->acked_count); /* in the spool */
    receive(clients[1], "uns/f", one, 22, false);
    receive(clients[1], "uns/f", slice_str("{\"value\":2,\"timestamp\":1700000000001,\"seq\":4}"), 23, false);
    receive(clients[1], "uns/f", slice_str("7"), 24, true);
    receive(clients[1], "uns/f", slice_str("{nonsense"), 25, false);
    receive(clients[1], "nexus/v1/batch/gw/0", slice_str("1"), 26, false);
    receive(clients[1], "uns/f", slice_str("true"), 27, false);
    for (unsigned i = 0; i < 5; i++)
        run(f, 100);
    assert_int_equal(7, clients[1]->acked_count);
    assert_int_equal(2, stored(f, "uns/f")); /* 1.5, and true at its arrival */
    assert_int_equal(0, clients[0]->published_count);
    close_ingest(f, true);
}

static void
foreign_message_survives_the_process(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url};
    struct historian *other;
    struct nx_note why;

    assert_int_equal(NX_OK, historian_open(&other, &conf, &why));
    open_ingest(f, NULL);
    receive(clients[1], "uns/f", slice_str("{\"value\":1.5,\"timestamp\":1700000000000}"), 21, false);
    run(f, 30);
    assert_int_equal(1, clients[1]->acked_count);
    run(f, 1000);
    ingest_stop(f->g, on_stopped, f);
    loop_fake_turn(f->loop);
    close_ingest(f, false); /* the historian never took it */
    historian_close(&other);
    for (unsigned round = 0; round < 2; round++) {
        open_ingest(f, NULL);
        for (unsigned i = 0; i < 60; i++)
            run(f, 100);
        assert_int_equal(1, stored(f, "uns/f"));
        close_ingest(f, true);
    }
}

/* Numbers that a start jumps over are declared: the ledger does not miss them. */
static void
jump_of_the_foreign_numbers_is_declared(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url, .role = HISTORIAN_READER};
    struct historian_ledger_row *rows;
    struct historian *h;
    struct arena a = {0};
    struct nx_note why;
    char path[128];
    size_t n;

    open_ingest(f, NULL);
    receive(clients[1], "uns/f", slice_str("{\"value\":1.5,\"timestamp\":1700000000000}"), 21, false);
    run(f, 30);
    close_ingest(f, true);
    (void)snprintf(path, sizeof path, "%s/spool/state", f->disk);
    assert_int_equal(0, unlink(path));
    open_ingest(f, NULL);
    receive(clients[1], "uns/f", slice_str("{\"value\":2.5,\"timestamp\":1700000000001}"), 22, false);
    for (unsigned i = 0; i < 60; i++)
        run(f, 100);
    assert_int_equal(2, stored(f, "uns/f"));
    assert_int_equal(NX_OK, historian_open(&h, &conf, &why));
    assert_int_equal(NX_OK, historian_ledger(h, &a, &rows, &n, &why));
    assert_int_equal(1, n);
    assert_true(rows[0].last_seq > 65536);
    assert_int_equal(0, rows[0].missing);
    historian_close(&h);
    arena_free(&a);
    close_ingest(f, true);
}

static void
wrong_settings_are_refused(void **state)
{
    struct fixture *f = *state;
    char disk[128];
    const char *overrides[] = {disk, "historian.url=oracle:x", "logging.level=error", NULL};
    struct conf_source src = {.overrides = overrides};
    struct nx_note why = {0};

    (void)snprintf(disk, sizeof disk, "buffer.disk_path=%s", f->disk);
    f->loop = loop_fake_new();
    assert_int_equal(NX_E_CONFIG, ingest_open(&f->g, f->loop, &src, &why));
    assert_null(f->g);
    assert_non_null(strstr(why.text, "historian.url"));
    overrides[1] = "ingestion.batch_filter=a/#/b";
    client_count = 0;
    assert_int_equal(NX_E_CONFIG, ingest_open(&f->g, f->loop, &src, &why));
    assert_non_null(strstr(why.text, "ingestion.batch_filter"));
    loop_free(&f->loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batch_is_acknowledged_after_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(unsent_acknowledgements_wait_for_the_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(batch_on_the_topic_of_another_gateway_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(failing_historian_stops_acknowledgements_and_recovers, setup, teardown),
        cmocka_unit_test_setup_teardown(full_buffer_leaves_batches_to_come_again, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_message_is_stored_once, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_message_survives_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(jump_of_the_foreign_numbers_is_declared, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_settings_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
