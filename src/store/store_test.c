/* store_test.c -- versions, filters, cascades and conflicts of the configuration store, on real files. */
#include "store/store.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct store *store;
    struct store_tx *tx;
    struct arena a;
    struct nx_note why;
};

static int
setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    (void)snprintf(f->dir, sizeof f->dir, "/tmp/nexus-store-XXXXXX");
    if (!mkdtemp(f->dir) || store_open(&f->store, f->dir, &f->why) != NX_OK ||
        store_begin(f->store, STORE_WRITE, &f->tx, &f->why) != NX_OK) {
        print_error("%s\n", f->why.text);
        return -1;
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    static const char *const names[] = {"config.db", "config.db-wal", "config.db-shm"};
    struct fixture *f = *state;
    char path[128];

    store_rollback(&f->tx);
    store_close(&f->store);
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(f->dir);
    arena_free(&f->a);
    free(f);
    return 0;
}

static struct store_device
add_device(struct fixture *f, const char *id, const char *host)
{
    char settings[128];
    struct store_device dev = {.id = id, .protocol = "modbus-tcp", .name = "Press", .is_enabled = true};

    (void)snprintf(settings, sizeof settings, "{\"id\":\"%s\",\"connection\":{\"host\":\"%s\"}}", id, host);
    dev.settings = settings;
    assert_int_equal(NX_OK, store_device_insert(f->tx, &dev, 1000, &f->why));
    dev.settings = NULL;
    return dev;
}

static enum nx_err
put_tag(struct fixture *f, const char *device, const char *id, const char *topic, uint64_t *version)
{
    struct store_tag tag = {.device_id = device,
                            .id = id,
                            .topic = topic,
                            .data_type = "float32",
                            .unit = "bar",
                            .settings = "{\"address\":\"40001\",\"name\":\"Feed 100%\"}"};
    enum nx_err err = store_tag_put(f->tx, &tag, &f->why);

    if (version)
        *version = tag.version;
    return err;
}

static void
versions_only_grow(void **state)
{
    struct fixture *f = *state;
    struct store_device dev = add_device(f, "a", "h"), read;
    uint64_t first = dev.version, tag_version = 0, deleted = 0;

    assert_int_equal(NX_OK, put_tag(f, "a", "t", "uns/a/t", &tag_version));
    assert_true(tag_version > first);
    assert_int_equal(NX_OK, store_device_touch(f->tx, &dev, 2000, &f->why));
    assert_int_equal(NX_OK, store_device_get(f->tx, "a", &f->a, &read, &f->why));
    assert_true(read.version > tag_version);
    assert_true(read.settings_version == first);
    assert_int_equal(1, read.tag_count);
    assert_true(read.created_us == 1000 && read.updated_us == 2000);
    assert_int_equal(NX_OK, store_device_delete(f->tx, "a", &deleted, &f->why));
    assert_true(deleted > read.version);
    assert_true(add_device(f, "a", "h").version > deleted);
}

static void
taken_id_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct store_device again = {.id = "a", .protocol = "s7", .settings = "{}"};

    (void)add_device(f, "a", "h");
    assert_int_equal(NX_E_CONFLICT, store_device_insert(f->tx, &again, 1, &f->why));
    assert_non_null(strstr(f->why.text, "\"a\""));
}

static void
deleting_a_device_takes_its_tags(void **state)
{
    struct fixture *f = *state;
    struct store_counts counts = {0};
    struct store_tag tag;
    uint64_t version = 0;

    (void)add_device(f, "a", "h");
    assert_int_equal(NX_OK, put_tag(f, "a", "t", "uns/a/t", NULL));
    assert_int_equal(NX_OK, store_device_delete(f->tx, "a", &version, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_tag_get(f->tx, "a", "t", &f->a, &tag, &f->why));
    assert_int_equal(NX_OK, store_count(f->tx, &counts, &f->why));
    assert_int_equal(0, counts.tags + counts.devices);
    assert_int_equal(NX_E_NOT_FOUND, store_device_delete(f->tx, "a", &version, &f->why));
}

static void
topic_belongs_to_one_tag_and_the_note_names_it(void **state)
{
    struct fixture *f = *state;

    (void)add_device(f, "a", "h");
    assert_int_equal(NX_OK, put_tag(f, "a", "t", "uns/x", NULL));
    assert_int_equal(NX_OK, put_tag(f, "a", "t", "uns/x", NULL));
    assert_int_equal(NX_E_CONFLICT, put_tag(f, "a", "u", "uns/x", NULL));
    assert_non_null(strstr(f->why.text, "tag \"t\" of device \"a\""));
}

static void
pages_follow_the_key(void **state)
{
    struct fixture *f = *state;
    struct store_tag_filter filter = {.limit = 2};
    struct store_tag *rows = NULL;
    size_t n = 0;

    (void)add_device(f, "a", "h");
    (void)add_device(f, "b", "h");
    assert_int_equal(NX_OK, put_tag(f, "b", "1", "uns/3", NULL));
    assert_int_equal(NX_OK, put_tag(f, "a", "2", "uns/2", NULL));
    assert_int_equal(NX_OK, put_tag(f, "a", "1", "uns/1", NULL));
    assert_int_equal(NX_OK, store_tag_list(f->tx, &filter, &f->a, &rows, &n, &f->why));
    assert_int_equal(2, n);
    assert_string_equal("1", rows[0].id);
    assert_string_equal("2", rows[1].id);
    filter.after_device = rows[1].device_id, filter.after_id = rows[1].id;
    assert_int_equal(NX_OK, store_tag_list(f->tx, &filter, &f->a, &rows, &n, &f->why));
    assert_int_equal(1, n);
    assert_string_equal("b", rows[0].device_id);
    filter = (struct store_tag_filter){.device_id = "a", .after_id = "1"};
    assert_int_equal(NX_OK, store_tag_list(f->tx, &filter, &f->a, &rows, &n, &f->why));
    assert_int_equal(1, n);
}

static void
search_takes_wildcards_as_text(void **state)
{
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"FEED", 1}, {"100%", 1}, {"1_0", 0}, {"40001", 1}, {"bar", 1}, {"%", 1}, {"\\", 0}, {"", 1}};
    struct fixture *f = *state;
    struct store_tag *rows = NULL;
    struct store_device *devices = NULL;
    size_t n = 0;

    (void)add_device(f, "a", "plc.local");
    assert_int_equal(NX_OK, put_tag(f, "a", "t", "uns/x", NULL));
    for (unsigned i = 0; i < MEM_COUNT(cases); i++) {
        struct store_tag_filter filter = {.search = cases[i].text};

        assert_int_equal(NX_OK, store_tag_list(f->tx, &filter, &f->a, &rows, &n, &f->why));
        assert_int_equal(cases[i].n, n);
    }
    assert_int_equal(NX_OK,
                     store_device_list(f->tx,
                                       &(struct store_device_filter){.search = "PLC.", .enabled = -1, .limit = 10},
                                       &f->a, &devices, &n, &f->why));
    assert_int_equal(1, n);
    assert_int_equal(NX_OK, store_device_list(f->tx, &(struct store_device_filter){.enabled = 0, .limit = 10}, &f->a,
                                              &devices, &n, &f->why));
    assert_int_equal(0, n);
}

static void
users_change_and_end_their_logins(void **state)
{
    struct fixture *f = *state;
    struct store_user user = {.username = "ada", .role = 3, .password_hash = "h"}, read, *rows;
    struct store_session session;
    struct store_refresh refresh;
    uint64_t admins = 0;
    size_t n = 0;

    assert_int_equal(NX_OK, store_user_insert(f->tx, &user, 7, &f->why));
    for (unsigned i = 0; i < 2; i++) {
        const char *digest = i ? "d1" : "d0";

        assert_int_equal(NX_OK,
                         store_session_put(
                             f->tx, &(struct store_session){.digest = digest, .user_id = user.id, .expires_us = 50 + i},
                             &f->why));
        assert_int_equal(NX_OK, store_refresh_insert(f->tx,
                                                     &(struct store_refresh){.digest = digest,
                                                                             .chain = digest,
                                                                             .session_digest = digest,
                                                                             .user_id = user.id,
                                                                             .expires_us = 100},
                                                     &f->why));
    }
    assert_int_equal(NX_OK, store_user_end_logins(f->tx, user.id, "d1", &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_session_get(f->tx, "d0", 1, &f->a, &session, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_refresh_get(f->tx, "d0", 1, &f->a, &refresh, &f->why));
    assert_int_equal(NX_OK, store_session_get(f->tx, "d1", 1, &f->a, &session, &f->why));
    assert_int_equal(NX_OK,
                     store_session_put(f->tx,
                                       &(struct store_session){.digest = "d1", .user_id = user.id, .expires_us = 90},
                                       &f->why)); /* prolonged */
    assert_int_equal(NX_OK, store_session_get(f->tx, "d1", 80, &f->a, &session, &f->why));

    user.role = 1;
    user.password_hash = "other";
    assert_int_equal(NX_OK, store_user_update(f->tx, &user, &f->why));
    assert_int_equal(NX_OK, store_user_by_id(f->tx, user.id, &f->a, &read, &f->why));
    assert_true(read.role == 1 && read.created_us == 7);
    assert_string_equal("other", read.password_hash);
    assert_int_equal(NX_OK, store_user_count_role(f->tx, 3, &admins, &f->why));
    assert_int_equal(0, admins);
    assert_int_equal(NX_OK, store_user_list(f->tx, 10, &f->a, &rows, &n, &f->why));
    assert_int_equal(1, n);
    assert_int_equal(NX_OK, store_user_delete(f->tx, user.id, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_user_by_id(f->tx, user.id, &f->a, &read, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_session_get(f->tx, "d1", 1, &f->a, &session, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_refresh_get(f->tx, "d1", 1, &f->a, &refresh, &f->why));
}

static void
sessions_expire_and_chains_end(void **state)
{
    struct fixture *f = *state;
    struct store_user user = {.username = "Ada", .role = 3, .password_hash = "h"}, read;
    struct store_session session;
    struct store_refresh refresh;

    assert_int_equal(NX_OK, store_user_insert(f->tx, &user, 1, &f->why));
    assert_int_equal(NX_E_CONFLICT,
                     store_user_insert(f->tx, &(struct store_user){.username = "ada", .password_hash = ""}, 1,
                                       &f->why));
    assert_int_equal(NX_OK, store_user_get(f->tx, "ADA", &f->a, &read, &f->why));
    assert_true(read.id == user.id && read.role == 3);
    assert_int_equal(NX_OK,
                     store_session_put(f->tx,
                                       &(struct store_session){.digest = "d", .user_id = user.id, .expires_us = 100},
                                       &f->why));
    assert_int_equal(NX_OK, store_session_get(f->tx, "d", 99, &f->a, &session, &f->why));
    assert_string_equal("Ada", session.username);
    assert_int_equal(NX_E_NOT_FOUND, store_session_get(f->tx, "d", 100, &f->a, &session, &f->why));
    assert_int_equal(NX_OK, store_refresh_insert(f->tx,
                                                 &(struct store_refresh){.digest = "r",
                                                                         .chain = "c",
                                                                         .session_digest = "d",
                                                                         .user_id = user.id,
                                                                         .expires_us = 100},
                                                 &f->why));
    assert_int_equal(NX_OK, store_refresh_use(f->tx, "r", &f->why));
    assert_int_equal(NX_OK, store_refresh_get(f->tx, "r", 1, &f->a, &refresh, &f->why));
    assert_true(refresh.is_used);
    assert_int_equal(NX_OK, store_refresh_delete_chain(f->tx, "c", &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_refresh_get(f->tx, "r", 1, &f->a, &refresh, &f->why));
    assert_int_equal(NX_OK, store_expire(f->tx, 100, &f->why));
    assert_int_equal(NX_E_NOT_FOUND, store_session_get(f->tx, "d", 1, &f->a, &session, &f->why));
}

static void
rolled_back_and_committed(void **state)
{
    struct fixture *f = *state;
    const char *value = NULL;

    assert_int_equal(NX_OK, store_meta_set(f->tx, "k", "v", &f->why));
    store_rollback(&f->tx);
    assert_null(f->tx);
    assert_int_equal(NX_OK, store_begin(f->store, STORE_WRITE, &f->tx, &f->why));
    assert_int_equal(NX_OK, store_meta_get(f->tx, "k", &f->a, &value, &f->why));
    assert_null(value);
    assert_int_equal(NX_OK, store_meta_set(f->tx, "k", "v2", &f->why));
    assert_int_equal(NX_OK, store_commit(&f->tx, &f->why));
    assert_int_equal(NX_OK, store_begin(f->store, STORE_READ, &f->tx, &f->why));
    assert_int_equal(NX_OK, store_meta_get(f->tx, "k", &f->a, &value, &f->why));
    assert_string_equal("v2", value);
}

static void
file_is_private(void **state)
{
    struct fixture *f = *state;
    char path[128];
    struct stat sb;

    (void)snprintf(path, sizeof path, "%s/config.db", f->dir);
    assert_int_equal(0, stat(path, &sb));
    assert_int_equal(0600, sb.st_mode & 0777);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(versions_only_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(taken_id_is_a_conflict, setup, teardown),
        cmocka_unit_test_setup_teardown(deleting_a_device_takes_its_tags, setup, teardown),
        cmocka_unit_test_setup_teardown(topic_belongs_to_one_tag_and_the_note_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_follow_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(search_takes_wildcards_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(sessions_expire_and_chains_end, setup, teardown),
        cmocka_unit_test_setup_teardown(rolled_back_and_committed, setup, teardown),
        cmocka_unit_test_setup_teardown(file_is_private, setup, teardown),
        cmocka_unit_test_setup_teardown(users_change_and_end_their_logins, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
