/* api_test.c -- what needs no request: patches, versions, field errors, permissions, values. */
#include "base/mem.h"
#include "core/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void
merge_patch_follows_rfc_7396(void **state)
{
    /* Appendix A of the RFC: target, patch, result. */
    static const char *const rows[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };

    (void)state;
    for (unsigned i = 0; i < MEM_COUNT(rows); i++) {
        json_t *target = json_loads(rows[i][0], 0, NULL), *patch = json_loads(rows[i][1], 0, NULL);
        json_t *result = api_merge_patch(target, patch);
        char *text = json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS);

        assert_string_equal(rows[i][2], text);
        free(text);
        json_decref(result);
        json_decref(patch);
        json_decref(target);
    }
}

static void
etags_are_compared_whole(void **state)
{
    static const struct {
        const char *etag;
        bool is_same;
    } rows[] = {{"\"17\"", true}, {"17", true},       {"*", true},    {"\"1\"", false},    {"1", false},   {"", false},
                {"\"17", false},  {"\"171\"", false}, {"171", false}, {"W/\"17\"", false}, {"\"\"", false}};

    (void)state;
    for (unsigned i = 0; i < MEM_COUNT(rows); i++)
        assert_int_equal(rows[i].is_same, api_etag_is(rows[i].etag, 17));
}

static void
check_error(const char *text, const char *strip, const char *pointer, const char *code, const char *suggestion)
{
    struct nx_note why = {0};
    json_t *error;
    const char *found;

    (void)nx_fail(&why, NX_E_CONFIG, "%s", text);
    error = api_field_error(&why, strip);
    assert_string_equal(pointer, json_string_value(json_object_get(error, "pointer")));
    assert_string_equal(code, json_string_value(json_object_get(error, "code")));
    found = json_string_value(json_object_get(error, "suggestion"));
    assert_string_equal(suggestion, found ? found : "");
    json_decref(error);
}

static void
field_errors_point_into_the_body(void **state)
{
    (void)state;
    check_error("/connection/prot: unknown key 'prot'. Did you mean 'port'?", NULL, "/connection/prot",
                "unknown_member", "port");
    check_error("/tags/0/address: 'x' is no address", "/tags/0", "/address", "invalid", "");
    check_error("/tags/0: 'address' is missing: the place of the value", "/tags/0", "", "missing", "");
    check_error("/: 'id' is missing: the name", NULL, "", "missing", "");
    check_error("no place at all", NULL, "", "invalid", "");
    check_error("/a: unknown key 'a'. Did you mean 'b", NULL, "/a", "unknown_member", ""); /* cut note */
}

static void
permissions_grow_with_the_role(void **state)
{
    static const struct {
        enum permission p;
        const char *allowed; /* per role, viewer to admin */
    } rows[] = {{PERM_DEVICES_READ, "yyyy"}, {PERM_DEVICES_WRITE, "nnyy"}, {PERM_DEVICES_TEST, "nnyy"},
                {PERM_TAGS_WRITE, "nyyy"},   {PERM_HISTORY_READ, "yyyy"},  {PERM_SYSTEM_ADMIN, "nnny"},
                {PERM_LIVE_READ, "yyyy"},    {PERM_SYSTEM_READ, "yyyy"}};

    (void)state;
    for (unsigned i = 0; i < MEM_COUNT(rows); i++) {
        for (unsigned role = 0; role < AUTH_ROLE_COUNT; role++)
            assert_int_equal(rows[i].allowed[role] == 'y', permission_granted(rows[i].p, (enum auth_role)role));
    }
}

static void
check_value(struct nx_value value, uint16_t quality, const char *expected)
{
    json_t *json = api_value(&value, quality);
    char *text = json_dumps(json, JSON_ENCODE_ANY);

    assert_string_equal(expected, text);
    free(text);
    json_decref(json);
}

static void
values_of_bad_quality_are_null(void **state)
{
    (void)state;
    check_value(nx_value_int(-5), NX_Q_GOOD, "-5");
    check_value(nx_value_uint(UINT64_MAX), NX_Q_GOOD, "1.8446744073709552e19");
    check_value(nx_value_bool(true), NX_Q_UNCERTAIN, "true");
    check_value(nx_value_string("a\"b", 3), NX_Q_GOOD, "\"a\\\"b\"");
    check_value(nx_value_double(1.5), NX_Q_TIMEOUT, "null");
    check_value(nx_value_none(), NX_Q_GOOD, "null");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_patch_follows_rfc_7396),     cmocka_unit_test(etags_are_compared_whole),
        cmocka_unit_test(field_errors_point_into_the_body), cmocka_unit_test(permissions_grow_with_the_role),
        cmocka_unit_test(values_of_bad_quality_are_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
