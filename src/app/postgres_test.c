#include "app/postgres.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/test_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int
make_data(void **state)
{
    char *dir = mem_strdup("/tmp/postgres-test-XXXXXX"), *secrets;

    assert_non_null(mkdtemp(dir));
    secrets = mem_printf("%s/secrets", dir);
    assert_int_equal(file_make_dir(secrets, 0700, NULL), NX_OK);
    free(secrets);
    *state = dir;
    return 0;
}

static int
remove_data(void **state)
{
    int err = test_dir_remove(*state);

    free(*state);
    return err;
}

static bool
has_file(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    bool found = access(path, F_OK) == 0;

    free(path);
    return found;
}

static void
write_text(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", dir, name), *parent = mem_strdup(path);

    *strrchr(parent, '/') = '\0';
    assert_int_equal(file_make_dir(parent, 0700, NULL), NX_OK);
    assert_int_equal(file_write(path, slice_str(text), 0600, NULL), NX_OK);
    free(parent);
    free(path);
}

static void
makes_a_cluster_once(void **state)
{
    const char *data = *state;
    struct postgres_info pg;
    struct nx_note why = {0};
    char *password, *again;

    write_text(data, "postgres.new/left-over", "of a making that was cut short");
    if (postgres_prepare(data, 0, &pg, &why) != NX_OK)
        fail_msg("%s", why.text);
    assert_true(has_file(data, "postgres/PG_VERSION"));
    assert_false(has_file(data, "postgres/left-over"));
    assert_int_equal(file_read_secret(pg.password_path, &password, NULL), NX_OK);
    assert_non_null(strstr(pg.url, "postgres://nexus@127.0.0.1:"));
    assert_null(strstr(pg.url, password));
    write_text(data, "postgres/mark", "kept");
    assert_int_equal(postgres_prepare(data, 0, &pg, &why), NX_OK);
    assert_true(has_file(data, "postgres/mark"));
    assert_int_equal(file_read_secret(pg.password_path, &again, NULL), NX_OK);
    assert_string_equal(password, again);
    free(password);
    free(again);
}

static void
a_cluster_of_another_version_is_left_alone(void **state)
{
    const char *data = *state;
    struct postgres_info pg;
    struct nx_note why = {0};

    write_text(data, "postgres/PG_VERSION", "9\n");
    assert_int_equal(postgres_prepare(data, 0, &pg, &why), NX_E_CONFIG); /* without its password */
    assert_non_null(strstr(why.text, "secrets/postgres"));
    write_text(data, "secrets/postgres", "kept");
    assert_int_equal(postgres_prepare(data, 0, &pg, &why), NX_E_NOT_FOUND);
    assert_non_null(strstr(why.text, "apt-get install postgresql-9"));
    assert_true(has_file(data, "postgres/PG_VERSION"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_a_cluster_once, make_data, remove_data),
        cmocka_unit_test_setup_teardown(a_cluster_of_another_version_is_left_alone, make_data, remove_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
