/* writers_test.c -- several writers, failures and refusals, with a scripted historian: this file stands in for it. */
#include "ingest/ingest_fixture.h"

#include "ingest/ingest_priv.h"

#include <dirent.h>

#define WRITERS 4u
#define TOPIC   "nexus/v1/batch/gw/0"
#define MAX_SEQ 1000u

/* --- the scripted historian --- */

struct historian {
    unsigned number; /* in the order of opening */
};

static struct {
    enum nx_err open_err;
    enum nx_err commit_err; /* of every commit */
    enum nx_err first_err;  /* of the writer opened first */
    enum nx_err poison_err; /* of a commit with seq poison, unless it is a gap */
    uint64_t poison;
    bool is_ambiguous; /* the next commit stores and fails */
    unsigned opened, open, commits, kept;
    uint64_t max_points;    /* of a commit */
    unsigned by_writer[64]; /* commits that succeeded */
    unsigned seen[MAX_SEQ]; /* how often a batch was brought, by seq */
    bool is_stored[MAX_SEQ], is_gap[MAX_SEQ];
    uint64_t points, fed_points, gap_points;
} db;

enum nx_err __wrap_historian_open(struct historian **out, const struct historian_conf *conf, struct nx_note *why);
void __wrap_historian_close(struct historian **h);
enum nx_err __wrap_historian_commit(struct historian *h, const struct batch *batches, size_t n,
                                    struct historian_commit_result *result, struct nx_note *why);
bool __wrap_historian_is_committed(const struct historian *h, const struct batch_header *hdr,
                                   struct batch_range *range);
enum nx_err __wrap_historian_maintain(struct historian *h, struct nx_note *why);
unsigned __wrap_historian_max_writers(const char *url);
unsigned __wrap_historian_damaged_files(struct historian *h, struct nx_note *what);

enum nx_err
__wrap_historian_open(struct historian **out, const struct historian_conf *conf, struct nx_note *why)
{
    *out = NULL;
    assert_true(conf->use_insert == false);
    if (db.open_err)
        return nx_fail(why, db.open_err, "scripted: cannot be opened");
    *out = mem_alloc(sizeof **out);
    (*out)->number = conf->role == HISTORIAN_KEEPER ? 63 : db.opened++;
    db.open++;
    return NX_OK;
}

void
__wrap_historian_close(struct historian **h)
{
    if (*h)
        db.open--;
    free(*h);
    *h = NULL;
}

static void
store(const struct batch *b, struct historian_commit_result *result)
{
    if (b->hdr.epoch != 7) { /* fed by hand */
        db.fed_points += b->point_count;
        return;
    }
    if (db.is_stored[b->hdr.seq]) {
        result->duplicate_batches++;
        return;
    }
    db.is_stored[b->hdr.seq] = true;
    db.is_gap[b->hdr.seq] = b->is_gap;
    db.points += b->point_count;
    db.gap_points += b->is_gap ? b->gap.points : 0;
    result->points += b->point_count;
}

static enum nx_err
refusal(const struct historian *h, const struct batch *batches, size_t n)
{
    if (db.commit_err)
        return db.commit_err;
    if (db.first_err && h->number == 0)
        return db.first_err;
    for (size_t i = 0; i < n; i++)
        if (db.poison_err && batches[i].hdr.seq == db.poison && batches[i].hdr.epoch == 7 && !batches[i].is_gap &&
            !db.is_stored[db.poison])
            return db.poison_err;
    return NX_OK;
}

enum nx_err
__wrap_historian_commit(struct historian *h, const struct batch *batches, size_t n,
                        struct historian_commit_result *result, struct nx_note *why)
{
    enum nx_err err = refusal(h, batches, n);
    uint64_t points = 0;

    *result = (struct historian_commit_result){0};
    for (size_t i = 0; i < n; i++) {
        points += batches[i].point_count;
        if (batches[i].hdr.epoch == 7)
            db.seen[batches[i].hdr.seq]++;
    }
    db.commits++;
    db.max_points = points > db.max_points ? points : db.max_points;
    if (err)
        return nx_fail(why, err, "scripted: %s", nx_err_name(err));
    for (size_t i = 0; i < n; i++)
        store(&batches[i], result);
    if (db.is_ambiguous) {
        db.is_ambiguous = false;
        return nx_fail(why, NX_E_OFFLINE, "scripted: lost while committing");
    }
    db.by_writer[h->number]++;
    return NX_OK;
}

bool
__wrap_historian_is_committed(const struct historian *h, const struct batch_header *hdr, struct batch_range *range)
{
    (void)h;
    *range = (struct batch_range){hdr->seq, hdr->seq};
    return hdr->epoch != 7 || db.is_stored[hdr->seq];
}

enum nx_err
__wrap_historian_maintain(struct historian *h, struct nx_note *why)
{
    (void)why;
    assert_int_equal(63, h->number); /* never in the way of commits */
    db.kept++;
    return NX_OK;
}

unsigned
__wrap_historian_damaged_files(struct historian *h, struct nx_note *what)
{
    (void)h;
    (void)what;
    return 0;
}

unsigned
__wrap_historian_max_writers(const char *url)
{
    (void)url;
    return 0; /* as many as one likes */
}

static int
start(void **state)
{
    memset(&db, 0, sizeof db);
    return setup(state);
}

/* --- tests --- */

static unsigned
stored_batches(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < MAX_SEQ; i++)
        n += db.is_stored[i];
    return n;
}

static void
batches_go_to_several_writers(void **state)
{
    struct fixture *f = *state;
    unsigned used = 0;

    open_ingest(f, NULL);
    for (uint64_t seq = 1; seq <= 40; seq++)
        receive_batch_of(TOPIC, seq, seq, 1000);
    run(f, 0);
    for (unsigned i = 0; i < WRITERS; i++)
        used += db.by_writer[i] > 0;
    assert_int_equal(WRITERS, used);
    run(f, 150);
    assert_int_equal(40, stored_batches());
    assert_int_equal(40, clients[0]->acked_count);
    assert_in_range(db.max_points, 5000, 16 * 5000);
    run(f, 3000);
    assert_true(db.kept > 0);
    close_ingest(f, true);
    assert_int_equal(0, db.open);
}

static void
many_small_batches_do_not_wait_for_points(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    for (uint64_t seq = 1; seq < 64; seq++)
        receive_batch(TOPIC, seq, seq);
    run(f, 0);
    assert_int_equal(0, db.commits);
    receive_batch(TOPIC, 64, 64);
    run(f, 0);
    assert_int_equal(64, stored_batches());
    close_ingest(f, true);
}

static void
failed_transaction_is_tried_by_another_writer_at_once(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    db.first_err = NX_E_IO;
    receive_batch_of(TOPIC, 1, 1, 5000);
    run(f, 0);
    assert_true(db.is_stored[1]);
    assert_int_equal(1, clients[0]->acked_count);
    assert_int_equal(1, db.by_writer[1]);
    receive_batch_of(TOPIC, 2, 2, 5000);
    run(f, 0);
    assert_true(db.is_stored[2]);
    assert_true(clients[0]->filter_count == 1);
    close_ingest(f, true);
}

static void
nothing_is_asked_for_while_the_historian_is_away(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    db.commit_err = db.open_err = NX_E_OFFLINE;
    for (uint64_t seq = 1; seq <= 20; seq++)
        receive_batch_of(TOPIC, seq, seq, 1000);
    for (unsigned i = 0; i < 3600; i++) /* an hour */
        run(f, 1000);
    assert_int_equal(0, clients[0]->acked_count);
    assert_int_equal(0, clients[0]->filter_count);
    assert_in_range(db.commits, 1, 50);
    db.commit_err = db.open_err = NX_OK;
    for (unsigned i = 0; i < 6; i++)
        run(f, 1000);
    assert_int_equal(20, stored_batches());
    assert_int_equal(20, clients[0]->acked_count);
    assert_int_equal(1, clients[0]->filter_count);
    close_ingest(f, true);
}

static void
historian_of_somebody_else_takes_no_batches_away(void **state)
{
    struct fixture *f = *state;

    db.open_err = NX_E_CONFLICT;
    open_ingest(f, NULL);
    run(f, 60000);
    assert_int_equal(0, clients[0]->filter_count);
    assert_int_equal(1, clients[1]->filter_count); /* tag messages have our own spool */
    db.open_err = NX_OK;
    run(f, 6000);
    assert_int_equal(1, clients[0]->filter_count);
    close_ingest(f, true);
}

static unsigned
read_refused(struct fixture *f, char *path, size_t cap)
{
    char dir[128];
    unsigned n = 0;

    (void)snprintf(dir, sizeof dir, "%s/refused", f->disk);
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strstr(e->d_name, ".batch")) {
            (void)snprintf(path, cap, "%s/%.200s", dir, e->d_name);
            n++;
        }
    if (d)
        (void)closedir(d);
    return n;
}

static void
feed_again(const char *path)
{
    uint8_t bytes[4096];
    FILE *file = fopen(path, "rb");
    size_t len;

    assert_non_null(file);
    len = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    receive(clients[0], TOPIC, slice(bytes, len), 999, false);
}

/* Only the batch that is to blame is put aside, whole; it is declared in the books, and can be fed again. */
static void
refused_batch_is_put_aside_and_the_others_are_stored(void **state)
{
    struct fixture *f = *state;
    char path[512];

    open_ingest(f, NULL);
    db.poison_err = NX_E_RANGE;
    db.poison = 6;
    for (uint64_t seq = 1; seq <= 8; seq++)
        receive_batch_of(TOPIC, seq, seq, 10);
    run(f, 150);
    assert_int_equal(8, stored_batches());
    for (unsigned seq = 1; seq <= 8; seq++)
        assert_int_equal(seq == 6, db.is_gap[seq]);
    assert_int_equal(70, db.points);
    assert_int_equal(10, db.gap_points);
    assert_int_equal(8, clients[0]->acked_count);
    assert_non_null(strstr(clients[0]->published[0], "[[1,8]]"));
    assert_int_equal(1, read_refused(f, path, sizeof path));
    receive_batch_of(TOPIC, 6, 20, 10); /* the acknowledgement got lost */
    run(f, 150);
    assert_int_equal(1, read_refused(f, path, sizeof path));
    feed_again(path);
    run(f, 150);
    assert_int_equal(10, db.fed_points);
    close_ingest(f, true);
}

/* Nothing is dropped when the refused batch cannot be written down. */
static void
refused_batch_waits_for_its_file(void **state)
{
    struct fixture *f = *state;
    char path[512], dir[128];
    FILE *file;

    open_ingest(f, NULL);
    (void)snprintf(dir, sizeof dir, "%s/refused", f->disk);
    file = fopen(dir, "w"); /* in the way of the directory */
    assert_non_null(file);
    (void)fclose(file);
    db.poison_err = NX_E_PROTO;
    db.poison = 2;
    receive_batch(TOPIC, 1, 1);
    receive_batch(TOPIC, 2, 2);
    run(f, 150);
    run(f, 20000);
    assert_false(db.is_stored[2]);
    assert_int_equal(0, clients[0]->acked_count);
    assert_int_equal(0, unlink(dir));
    run(f, 20000);
    assert_true(db.is_gap[2]);
    assert_int_equal(2, db.seen[1]); /* with the other one, then alone; stored, and not brought again */
    assert_int_equal(2, clients[0]->acked_count);
    assert_int_equal(1, read_refused(f, path, sizeof path));
    close_ingest(f, true);
}

/* A writer that waits for the keeper must not keep it from its work. */
static void
upkeep_goes_on_while_nothing_is_stored(void **state)
{
    struct fixture *f = *state;
    unsigned before;

    open_ingest(f, NULL);
    db.commit_err = NX_E_BUSY;
    receive_batch_of(TOPIC, 1, 1, 5000);
    run(f, 3000);
    before = db.kept;
    run(f, 10000);
    assert_in_range(db.kept, before + 8, before + 12);
    assert_int_equal(0, clients[0]->acked_count);
    db.commit_err = NX_OK;
    run(f, 300); /* soon */
    assert_true(db.is_stored[1]);
    close_ingest(f, true);
}

static void
unknown_outcome_is_asked_for_again(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    db.is_ambiguous = true;
    receive_batch_of(TOPIC, 1, 1, 5000);
    run(f, 0);
    assert_int_equal(2, db.seen[1]);
    assert_int_equal(5000, db.points);
    assert_int_equal(1, clients[0]->acked_count);
    assert_non_null(strstr(clients[0]->published[0], "[[1,1]]"));
    close_ingest(f, true);
}

static void
batch_that_is_on_its_way_is_not_taken_twice(void **state)
{
    struct fixture *f = *state;

    open_ingest(f, NULL);
    receive_batch(TOPIC, 1, 1);
    receive_batch(TOPIC, 1, 2);
    receive_batch(TOPIC, 2, 3);
    assert_int_equal(1, clients[0]->acked_count);
    assert_int_equal(2, clients[0]->acked[0]);
    run(f, 150);
    assert_int_equal(1, db.seen[1]);
    assert_int_equal(3, clients[0]->acked_count);
    receive_batch(TOPIC, 1, 4);
    run(f, 150);
    assert_int_equal(2, db.seen[1]); /* the books know it */
    assert_int_equal(4, clients[0]->acked_count);
    close_ingest(f, true);
}

static void
transactions_grow_while_they_are_quick(void **state)
{
    uint64_t cap = 5000;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        cap = writers_next_cap(cap, cap, 1000000, 5000);
    assert_int_equal(80000, cap);
    assert_int_equal(80000, writers_next_cap(cap, 100, 1000000000, 5000)); /* small ones tell nothing */
    assert_int_equal(80000, writers_next_cap(cap, cap, 15000000, 5000));
    for (unsigned i = 0; i < 100; i++)
        cap = writers_next_cap(cap, cap, 40000000, 5000);
    assert_int_equal(5000, cap);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_go_to_several_writers, start, teardown),
        cmocka_unit_test_setup_teardown(many_small_batches_do_not_wait_for_points, start, teardown),
        cmocka_unit_test_setup_teardown(failed_transaction_is_tried_by_another_writer_at_once, start, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_asked_for_while_the_historian_is_away, start, teardown),
        cmocka_unit_test_setup_teardown(historian_of_somebody_else_takes_no_batches_away, start, teardown),
        cmocka_unit_test_setup_teardown(refused_batch_is_put_aside_and_the_others_are_stored, start, teardown),
        cmocka_unit_test_setup_teardown(refused_batch_waits_for_its_file, start, teardown),
        cmocka_unit_test_setup_teardown(upkeep_goes_on_while_nothing_is_stored, start, teardown),
        cmocka_unit_test_setup_teardown(unknown_outcome_is_asked_for_again, start, teardown),
        cmocka_unit_test_setup_teardown(batch_that_is_on_its_way_is_not_taken_twice, start, teardown),
        cmocka_unit_test(transactions_grow_while_they_are_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
