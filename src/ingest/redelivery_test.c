#include "ingest/redelivery.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], path[96];

static int
setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/nexus-redelivery-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof path, "%s/redelivery", dir);
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(dir);
}

static struct redelivery *
open_at(uint64_t next_seq)
{
    struct nx_note why = {0};
    struct redelivery *r = redelivery_open(path, "mqtt://b c", next_seq, &why);

    assert_int_equal(NX_OK, why.err);
    return r;
}

static void
save(struct redelivery *r, uint64_t seq)
{
    struct nx_note why;

    assert_int_equal(NX_OK, redelivery_save(r, seq, &why));
}

static void
message_is_pending_then_stored(void **state)
{
    struct redelivery *r = open_at(5);

    (void)state;
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 7, 1234, 5));
    redelivery_add(r, 7, 1234);
    assert_int_equal(REDELIVERY_PENDING, redelivery_find(r, 7, 1234, 5));
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 7, 1235, 5));
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 8, 1234, 5));
    save(r, 5);
    assert_int_equal(REDELIVERY_PENDING, redelivery_find(r, 7, 1234, 5)); /* not appended yet */
    assert_int_equal(REDELIVERY_STORED, redelivery_find(r, 7, 1234, 6));
    redelivery_add(r, 7, 99); /* the id names another message now */
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 7, 1234, 6));
    redelivery_close(&r);
}

static void
only_what_the_spool_has_survives(void **state)
{
    struct redelivery *r = open_at(1);

    (void)state;
    redelivery_add(r, 1, 11);
    save(r, 1);
    redelivery_add(r, 2, 22);
    save(r, 2); /* and the process died before record 2 was appended */
    redelivery_add(r, 3, 33);
    redelivery_close(&r);
    r = open_at(2);
    assert_int_equal(REDELIVERY_STORED, redelivery_find(r, 1, 11, 2));
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 2, 22, 2));
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 3, 33, 2));
    redelivery_close(&r);
    r = open_at(3); /* number 2 was used by another record since */
    assert_int_equal(REDELIVERY_STORED, redelivery_find(r, 1, 11, 3));
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 2, 22, 3));
    redelivery_forget(r);
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 1, 11, 3));
    redelivery_close(&r);
    r = open_at(3);
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 1, 11, 3));
    redelivery_close(&r);
}

/* Ids go round, the ring goes round: the newest 8,192 are known, in memory and in the file. */
static void
newest_messages_are_kept(void **state)
{
    const unsigned total = 150000, kept = 8192;
    struct redelivery *r = open_at(1);
    uint64_t seq = 1;

    (void)state;
    for (unsigned i = 0; i < total; i++) {
        redelivery_add(r, (uint16_t)(i % 65535 + 1), i);
        if (i % 1000 == 0 || i == total - 1)
            save(r, seq++);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = total - 70000; i < total; i++) {
            enum redelivery_answer answer = redelivery_find(r, (uint16_t)(i % 65535 + 1), i, seq);

            assert_int_equal(i >= total - kept ? REDELIVERY_STORED : REDELIVERY_NEW, answer);
        }
        redelivery_close(&r);
        r = open_at(seq);
    }
    redelivery_add(r, 9, 9); /* and it goes on */
    save(r, seq++);
    redelivery_close(&r);
    r = open_at(seq);
    assert_int_equal(REDELIVERY_STORED, redelivery_find(r, 9, 9, seq));
    redelivery_close(&r);
}

static void
damage_is_not_believed(void **state)
{
    struct redelivery *r = open_at(1);
    int fd;

    (void)state;
    for (uint16_t id = 1; id <= 100; id++)
        redelivery_add(r, id, id);
    save(r, 1);
    redelivery_close(&r);
    fd = open(path, O_RDWR | O_CLOEXEC);
    for (off_t at = 0; at < 3300; at += 37)
        assert_int_equal(1, pwrite(fd, "\xA5", 1, at));
    assert_int_equal(0, ftruncate(fd, 3000)); /* some of the last ones are gone */
    (void)close(fd);
    r = open_at(2);
    for (uint16_t id = 1; id <= 100; id++)
        assert_true(redelivery_find(r, id, (uint64_t)id + 1, 2) == REDELIVERY_NEW);
    assert_int_equal(REDELIVERY_NEW, redelivery_find(r, 100, 100, 2));
    redelivery_close(&r);
}

static void
hash_knows_topic_payload_and_broker(void **state)
{
    struct nx_note why = {0};
    struct redelivery *a = open_at(1), *b;
    uint64_t h = redelivery_hash(a, slice_str("uns/a"), slice_str("12345678"));

    (void)state;
    b = redelivery_open("/dev/null/no", "mqtt://other c", 1, &why);
    assert_int_not_equal(NX_OK, why.err);
    assert_true(h == redelivery_hash(a, slice_str("uns/a"), slice_str("12345678")));
    assert_true(h != redelivery_hash(b, slice_str("uns/a"), slice_str("12345678")));
    assert_true(h != redelivery_hash(a, slice_str("uns/a1"), slice_str("2345678")));
    assert_true(h != redelivery_hash(a, slice_str("uns/a"), slice_str("12345679")));
    assert_true(h != redelivery_hash(a, slice_str("uns/a"), slice("12345678", 9)));
    redelivery_add(b, 1, 1); /* without a file, for as long as the process lives */
    save(b, 1);
    assert_int_equal(REDELIVERY_STORED, redelivery_find(b, 1, 1, 2));
    redelivery_close(&a);
    redelivery_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(message_is_pending_then_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(only_what_the_spool_has_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(newest_messages_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(hash_knows_topic_payload_and_broker, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
