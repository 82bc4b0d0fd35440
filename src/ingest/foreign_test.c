/* foreign_test.c -- tag messages of others: formats, several in one, redelivery, a spool that takes nothing, metrics.
 */
#include "ingest/ingest_fixture.h"
#include "ingest/ingest_priv.h"

#include <signal.h>
#include <sys/resource.h>

static void
receive_as(const char *topic, struct slice payload, uint16_t packet_id, uint64_t token, bool dup)
{
    struct mqtt_message msg = {
        .topic = slice_str(topic), .payload = payload, .qos = 1, .dup = dup, .packet_id = packet_id, .token = token};

    clients[1]->ops.on_message(clients[1]->arg, &msg);
}

static void
settle(struct fixture *f)
{
    for (unsigned i = 0; i < 5; i++)
        run(f, 100);
}

static double
skipped(const struct fixture *f, enum skip_reason reason)
{
    return metric_value(f->g->m_skipped[reason]);
}

static double
errors(const struct fixture *f, enum ingest_error type)
{
    return metric_value(f->g->m_errors[type]);
}

/* --- formats --- */

static void
messagepack_and_arrays_are_stored(void **state)
{
    static const char packed[] = "\x82\xa1v\xca\x3f\xc0\x00\x00\xa2ts\xce\x65\x53\xf1\x00";
    static const char packed_array[] =
        "\x92\x82\xa1v\x01\xa2ts\xce\x65\x53\xf1\x00\x82\xa1v\x02\xa2ts\xce\x65\x53\xf1\x01";
    struct fixture *f = *state;

    open_ingest(f, NULL);
    receive_as("uns/p", slice(packed, sizeof packed - 1), 1, 1, false);
    receive_as("uns/q", slice(packed_array, sizeof packed_array - 1), 2, 2, false);
    receive_as("uns/r",
               slice_str("[{\"v\":1,\"ts\":1700000000},{\"v\":2,\"ts\":1700000001},{\"v\":3,\"ts\":1700000000}]"), 3, 3,
               false);
    receive_as("uns/s", slice_str("[{\"v\":1},{\"v\":2}]"), 4, 4, false); /* no times */
    receive_as("uns/t", slice_str("[{\"v\":1,\"ts\":1700000000,\"seq\":1},{\"v\":2,\"ts\":1700000001}]"), 5, 5, false);
    receive_as("uns/u", slice_str("[{\"v\":1,\"ts\":1700000000,\"seq\":1}]"), 6, 6, false);
    settle(f);
    assert_int_equal(6, clients[1]->acked_count);
    assert_int_equal(1, stored(f, "uns/p"));
    assert_int_equal(2, stored(f, "uns/q"));
    assert_int_equal(2, stored(f, "uns/r")); /* one time, one point */
    assert_int_equal(0, stored(f, "uns/s"));
    assert_int_equal(1, stored(f, "uns/t"));
    assert_int_equal(0, stored(f, "uns/u"));
    assert_int_equal(4, f->g->foreign.stored_messages);
    assert_true(errors(f, ERROR_PARSE) == 1 && skipped(f, SKIP_SEQ) == 1);
    close_ingest(f, true);
}

/* --- redelivery --- */

/* Killed between the spool and the broker's knowing of it: the broker sends the same ids again, then goes on. */
static void
redelivered_value_without_time_is_stored_once(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    receive_as("uns/f", slice_str("1"), 1, 11, false);
    receive_as("uns/f", slice_str("2"), 2, 12, false);
    run(f, 30);
    assert_int_equal(2, clients[1]->acked_count);
    receive_as("uns/f", slice_str("3"), 3, 13, false); /* arrived, in no record */
    close_ingest(f, false);
    open_ingest(f, NULL);
    run(f, 5000); /* arrival times of their own, or the historian would know them */
    clients[1]->ops.on_state(clients[1]->arg, MQTT_ONLINE, true, NULL);
    receive_as("uns/f", slice_str("1"), 1, 21, true);
    run(f, 30);
    receive_as("uns/f", slice_str("2"), 2, 22, true);
    run(f, 30);
    receive_as("uns/f", slice_str("3"), 3, 23, true);
    run(f, 30);
    receive_as("uns/f", slice_str("3"), 4, 24, false); /* the same value once more */
    settle(f);
    assert_int_equal(4, clients[1]->acked_count);
    assert_int_equal(4, stored(f, "uns/f"));
    assert_true(skipped(f, SKIP_REDELIVERED) == 2);
    close_ingest(f, true);
}

static void
another_session_means_other_messages(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    receive_as("uns/f", slice_str("1"), 1, 11, false);
    run(f, 30);
    close_ingest(f, false);
    open_ingest(f, NULL);
    clients[1]->ops.on_state(clients[1]->arg, MQTT_ONLINE, false, NULL);
    run(f, 30);
    receive_as("uns/f", slice_str("1"), 1, 21, true);
    settle(f);
    assert_int_equal(2, stored(f, "uns/f"));
    close_ingest(f, true);
}

/* The connection was lost while a message was gathered: it comes again before its record is in the spool. */
static void
redelivery_to_the_same_process_is_acknowledged_with_its_record(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    receive_as("uns/f", slice_str("1"), 1, 11, false);
    clients[1]->ops.on_state(clients[1]->arg, MQTT_ONLINE, true, NULL);
    receive_as("uns/f", slice_str("1"), 1, 21, true);
    assert_int_equal(0, clients[1]->acked_count);
    run(f, 30);
    assert_int_equal(1, clients[1]->acked_count); /* 11 is of the old connection */
    assert_int_equal(21, clients[1]->acked[0]);
    receive_as("uns/f", slice_str("1"), 1, 31, true); /* the acknowledgement got lost */
    assert_int_equal(31, clients[1]->acked[1]);
    settle(f);
    assert_int_equal(1, stored(f, "uns/f"));
    close_ingest(f, true);
}

/* --- a spool that takes nothing --- */

static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(0, getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(0, setrlimit(RLIMIT_FSIZE, &limit));
}

static void
send_arrays(unsigned from, unsigned to)
{
    for (unsigned a = from; a < to && clients[1]->state == MQTT_ONLINE; a++) {
        struct wbuf w = wbuf_init(0);

        wbuf_char(&w, '[');
        for (unsigned i = 0; i < 4000; i++)
            wbuf_printf(&w, "%s{\"v\":%u,\"ts\":%u}", i ? "," : "", i, 1600000000 + a * 4000 + i);
        wbuf_char(&w, ']');
        receive_as("uns/f", wbuf_slice_of(&w), (uint16_t)(a + 1), a + 1, false);
        wbuf_free(&w);
    }
}

static void
full_disk_keeps_us_away_from_the_broker(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    limit_files(1);
    receive_as("uns/g", slice_str("1"), 65000, 65000, false);
    run(f, 30);
    assert_int_equal(0, clients[1]->acked_count);
    assert_true(errors(f, ERROR_SPOOL) == 1);
    send_arrays(0, 20); /* more than the memory for a record takes */
    run(f, 30);
    assert_true(f->g->foreign.is_away && errors(f, ERROR_BUFFER) >= 1);
    assert_int_equal(MQTT_STOPPED, clients[1]->state);
    run(f, 1100);
    assert_int_equal(MQTT_STOPPED, clients[1]->state);
    limit_files(RLIM_INFINITY);
    run(f, 1100);
    assert_int_equal(MQTT_ONLINE, clients[1]->state);
    assert_false(f->g->foreign.is_away);
    settle(f);
    assert_int_equal(1, stored(f, "uns/g"));
    assert_int_equal(17, clients[1]->acked_count);
    assert_true(stored(f, "uns/f") > 0);
    close_ingest(f, true);
}

/* --- metrics of R-C5 --- */

static void
every_metric_moves(void **state)
{
    struct fixture *f = *state;
    struct historian_conf conf = {.url = f->url};
    struct historian *other;
    struct nx_note why = {.err = NX_E_OFFLINE, .text = "refused"};

    open_ingest(f, NULL);
    receive_batch("nexus/v1/batch/gw/0", 1, 11);
    assert_true(metric_value(f->g->m_usage) > 0);
    run(f, 150);
    receive_batch("nexus/v1/batch/gw/0", 1, 12);
    run(f, 150);
    assert_true(metric_value(f->g->m_usage) == 0);
    assert_true(metric_value(f->g->m_points) == 1 && metric_value(f->g->m_batches) == 2);
    assert_true(metric_value(f->g->m_duplicates) == 1);
    assert_true(metric_value(f->g->m_lag) > 0);
    receive(clients[1], "uns/f", slice_str("{\"v\":1,\"seq\":3}"), 21, false);
    receive(clients[1], "uns/f", slice_str("1"), 22, true);
    receive(clients[1], "nexus/v1/x", slice_str("1"), 23, false);
    receive(clients[1], "uns/f", slice_str("nonsense"), 24, false);
    assert_true(skipped(f, SKIP_SEQ) == 1 && skipped(f, SKIP_RETAINED) == 1 && skipped(f, SKIP_SYSTEM) == 1);
    assert_true(errors(f, ERROR_PARSE) == 1);
    receive(clients[1], "uns/f", slice_str("{\"v\":1,\"ts\":4000000000}"), 25, false); /* in 2096 */
    settle(f);
    assert_true(metric_value(f->g->m_quarantined) == 1);
    clients[1]->ops.on_state(clients[1]->arg, MQTT_WAITING, false, &why);
    assert_true(errors(f, ERROR_CONNECTION) == 1);
    close_ingest(f, true);
    assert_int_equal(NX_OK, historian_open(&other, &conf, &why)); /* holds the lock */
    open_ingest(f, NULL);
    receive_batch("nexus/v1/batch/gw/0", 2, 11);
    run(f, 150);
    run(f, 3000);
    assert_true(errors(f, ERROR_WRITE) >= 1 && metric_value(f->g->m_usage) > 0);
    historian_close(&other);
    for (unsigned i = 0; i < 10; i++)
        run(f, 5000);
    assert_true(metric_value(f->g->m_points) == 1 && metric_value(f->g->m_usage) == 0);
    close_ingest(f, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messagepack_and_arrays_are_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(redelivered_value_without_time_is_stored_once, setup, teardown),
        cmocka_unit_test_setup_teardown(another_session_means_other_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(redelivery_to_the_same_process_is_acknowledged_with_its_record, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(full_disk_keeps_us_away_from_the_broker, setup, teardown),
        cmocka_unit_test_setup_teardown(every_metric_moves, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
