/* ingest_test.c -- ingestion on a fake loop with a real SQLite historian. */
#include "ingest/ingest_fixture.h"

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
    unsigned taken;

    assert_int_equal(NX_OK, historian_open(&other, &conf, &why));
    open_ingest(f, "ingestion.buffer_size=1000");
    for (unsigned i = 1; i <= 400; i++) {
        receive_batch("nexus/v1/batch/gw/0", i, i);
        run(f, 1);
    }
    assert_int_equal(0, clients[0]->acked_count); /* the broker's window closes */
    historian_close(&other);
    for (unsigned i = 0; i < 10; i++)
        run(f, 5000);
    taken = stored(f, "uns/a");
    assert_in_range(taken, 150, 300); /* 16,000 bytes of records of some 80 */
    assert_int_equal(400, clients[0]->acked_count);
    for (unsigned i = taken + 1; i <= 400; i++) { /* their gateway sends them again */
        receive_batch("nexus/v1/batch/gw/0", i, 400 + i);
        run(f, 20);
    }
    run(f, 500);
    assert_int_equal(400, stored(f, "uns/a"));
    close_ingest(f, true);
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
    struct historian_books books;
    struct historian *h;
    struct arena a = {0};
    struct nx_note why;
    char path[128];

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
    assert_int_equal(NX_OK, historian_ledger(h, &a, &books, &why));
    assert_int_equal(1, books.n);
    assert_true(books.rows[0].last_seq > 65536);
    assert_int_equal(0, books.rows[0].missing);
    historian_close(&h);
    arena_free(&a);
    close_ingest(f, true);
}

static void
wrong_settings_are_refused(void **state)
{
    struct fixture *f = *state;
    char disk[128];
    const char *overrides[] = {disk, "historian.url=oracle:x", "logging.level=error", NULL, NULL};
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
    overrides[1] = "historian.retention_days=30";
    overrides[3] = "historian.rollup_retention_days=7";
    assert_int_equal(NX_E_CONFIG, ingest_open(&f->g, f->loop, &src, &why));
    assert_non_null(strstr(why.text, "historian.rollup_retention_days"));
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
