/* db_test.c -- connection, statements, transactions, migrations on real files. */
#include "db/db.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    char path[96];
    struct db *db;
};

static const struct db_migration steps[] = {
    {1, "items", "CREATE TABLE items(id TEXT PRIMARY KEY, n INTEGER, x REAL, b BLOB) STRICT"},
    {2, "kind", "ALTER TABLE items ADD COLUMN kind TEXT; CREATE INDEX items_kind ON items(kind)"},
};

static void
open_again(struct fixture *f)
{
    struct nx_note why = {0};

    assert_int_equal(NX_OK, db_open(&f->db, &(struct db_conf){.path = f->path, .busy_timeout_ms = 20}, &why));
}

static int
setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/nexus-db-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/t.db", f->dir);
    open_again(f);
    if (db_migrate(f->db, steps, 2, NULL) != NX_OK)
        return -1;
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char name[128];

    db_close(&f->db);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof name, "%s%s", f->path, (const char *[]){"", "-wal", "-shm"}[i]);
        (void)unlink(name);
    }
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static enum nx_err
insert(struct db *db, const char *id, int64_t n, struct nx_note *why)
{
    struct db_stmt *st = NULL;

    assert_int_equal(NX_OK, db_prepare(db, "INSERT INTO items(id, n, x, b) VALUES(?, ?, ?, ?)", &st, why));
    db_bind_text(st, 1, id);
    db_bind_i64(st, 2, n);
    db_bind_double(st, 3, 0.5);
    db_bind_blob(st, 4, slice("\0\1", 2));
    return db_run(st, why);
}

static int64_t
count(struct db *db)
{
    struct db_stmt *st = NULL;
    bool has_row = false;
    int64_t n;

    assert_int_equal(NX_OK, db_prepare(db, "SELECT count(*) FROM items", &st, NULL));
    assert_int_equal(NX_OK, db_step(st, &has_row, NULL));
    assert_true(has_row);
    n = db_col_i64(st, 0);
    db_reset(st);
    return n;
}

static void
values_come_back_as_bound(void **state)
{
    struct fixture *f = *state;
    struct db_stmt *st = NULL;
    bool has_row = false;

    assert_int_equal(NX_OK, insert(f->db, "a", INT64_MIN, NULL));
    assert_int_equal(1, db_changes(f->db));
    assert_int_equal(NX_OK, db_prepare(f->db, "SELECT id, n, x, b, kind FROM items", &st, NULL));
    assert_int_equal(NX_OK, db_step(st, &has_row, NULL));
    assert_true(has_row);
    assert_string_equal("a", db_col_text(st, 0));
    assert_true(db_col_i64(st, 1) == INT64_MIN);
    assert_true(db_col_double(st, 2) == 0.5);
    assert_true(slice_eq(slice("\0\1", 2), db_col_slice(st, 3)));
    assert_true(db_col_is_null(st, 4));
    assert_null(db_col_text(st, 4));
    assert_int_equal(DB_BLOB, db_col_type(st, 3));
    assert_int_equal(NX_OK, db_step(st, &has_row, NULL));
    assert_false(has_row);
    db_reset(st);
}

static void
unique_key_is_a_conflict_that_names_file_and_table(void **state)
{
    struct fixture *f = *state;
    struct nx_note why = {0};

    assert_int_equal(NX_OK, insert(f->db, "a", 1, NULL));
    assert_int_equal(NX_E_CONFLICT, insert(f->db, "a", 2, &why));
    assert_non_null(strstr(why.text, f->path));
    assert_non_null(strstr(why.text, "items.id"));
    assert_int_equal(1, count(f->db));
}

static void
rollback_leaves_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(NX_OK, db_begin(f->db, DB_WRITE, NULL));
    assert_int_equal(NX_OK, insert(f->db, "a", 1, NULL));
    db_rollback(f->db);
    db_rollback(f->db);
    assert_int_equal(0, count(f->db));
    assert_int_equal(NX_OK, db_begin(f->db, DB_WRITE, NULL));
    assert_int_equal(NX_OK, insert(f->db, "a", 1, NULL));
    assert_int_equal(NX_OK, db_commit(f->db, NULL));
    assert_int_equal(1, count(f->db));
}

static void
second_writer_gets_busy_and_reader_does_not(void **state)
{
    struct fixture *f = *state;
    struct nx_note why = {0};
    struct db *other = NULL;

    assert_int_equal(NX_OK, db_open(&other, &(struct db_conf){.path = f->path, .busy_timeout_ms = 10}, NULL));
    assert_int_equal(NX_OK, db_begin(f->db, DB_WRITE, NULL));
    assert_int_equal(NX_OK, insert(f->db, "a", 1, NULL));
    assert_int_equal(NX_E_BUSY, db_begin(other, DB_WRITE, &why));
    assert_non_null(strstr(why.text, "locked"));
    assert_int_equal(0, count(other));
    assert_int_equal(NX_OK, db_commit(f->db, NULL));
    assert_int_equal(1, count(other));
    db_close(&other);
}

static void
migrations_run_once_and_refuse_a_newer_file(void **state)
{
    struct fixture *f = *state;
    struct nx_note why = {0};
    unsigned version = 0;

    assert_int_equal(NX_OK, db_migrate(f->db, steps, 2, &why));
    assert_int_equal(NX_OK, db_schema_version(f->db, &version, &why));
    assert_int_equal(2, version);
    assert_int_equal(NX_E_UNSUPPORTED, db_migrate(f->db, steps, 1, &why));
    assert_non_null(strstr(why.text, "newer"));
}

static void
failed_migration_leaves_the_old_schema(void **state)
{
    static const struct db_migration bad[] = {{1, "items", ""},
                                              {2, "kind", ""},
                                              {3, "bad", "CREATE TABLE more(id); INSERT INTO nowhere VALUES(1)"}};
    struct fixture *f = *state;
    struct nx_note why = {0};
    unsigned version = 0;

    assert_int_not_equal(NX_OK, db_migrate(f->db, bad, 3, &why));
    assert_int_equal(NX_OK, db_schema_version(f->db, &version, NULL));
    assert_int_equal(2, version);
    assert_int_not_equal(NX_OK, db_exec(f->db, "SELECT * FROM more", NULL));
}

static void
open_says_which_file_and_what_to_do(void **state)
{
    struct fixture *f = *state;
    struct nx_note why = {0};
    struct db *db = NULL;
    char path[128];
    FILE *file;

    assert_int_not_equal(NX_OK, db_open(&db, &(struct db_conf){.path = "/nonexistent/x.db"}, &why));
    assert_null(db);
    assert_non_null(strstr(why.text, "/nonexistent/x.db"));
    assert_non_null(strstr(why.text, "folder"));
    (void)snprintf(path, sizeof path, "%s/text", f->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    for (unsigned i = 0; i < 200; i++)
        (void)fputs("this is not a database\n", file);
    (void)fclose(file);
    assert_int_equal(NX_E_CORRUPT, db_open(&db, &(struct db_conf){.path = path}, &why));
    assert_int_equal(0, unlink(path));
}

static void
binding_out_of_range_shows_at_the_step(void **state)
{
    struct fixture *f = *state;
    struct db_stmt *st = NULL;

    assert_int_equal(NX_OK, db_prepare(f->db, "SELECT * FROM items WHERE id = ?", &st, NULL));
    db_bind_i64(st, 7, 1);
    assert_int_not_equal(NX_OK, db_run(st, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_come_back_as_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(unique_key_is_a_conflict_that_names_file_and_table, setup, teardown),
        cmocka_unit_test_setup_teardown(rollback_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(second_writer_gets_busy_and_reader_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(migrations_run_once_and_refuse_a_newer_file, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_migration_leaves_the_old_schema, setup, teardown),
        cmocka_unit_test_setup_teardown(open_says_which_file_and_what_to_do, setup, teardown),
        cmocka_unit_test_setup_teardown(binding_out_of_range_shows_at_the_step, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
