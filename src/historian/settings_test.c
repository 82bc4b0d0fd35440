/* settings_test.c -- which URL settings come to, and what of an URL people see. */
#include "historian/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "historian/historian.h"

static void
check(struct historian_settings s, const char *url)
{
    char *text = historian_settings_url(&s);

    assert_string_equal(url, text);
    free(text);
}

static void
the_url_wins_then_the_host(void **state)
{
    struct historian_settings s = {.port = 5432, .database = "nexus", .user = "nexus"};

    (void)state;
    check(s, "sqlite:data/historian");
    assert_false(historian_settings_name_a_store(&s));
    s.host = "db.plant";
    check(s, "postgres://nexus@db.plant:5432/nexus");
    assert_true(historian_settings_name_a_store(&s));
    s.url = "";
    check(s, "postgres://nexus@db.plant:5432/nexus");
    s.url = "sqlite:/var/lib/x";
    check(s, "sqlite:/var/lib/x");
}

static void
parts_are_encoded(void **state)
{
    struct historian_settings s = {.host = "/run/postgresql", .port = 5433, .database = "a b/c", .user = "me@here"};

    (void)state;
    check(s, "postgres://me%40here@%2Frun%2Fpostgresql:5433/a%20b%2Fc");
    s.host = "fe80::1";
    check(s, "postgres://me%40here@[fe80::1]:5433/a%20b%2Fc");
}

static void
tls_goes_in_where_the_url_does_not_say_it(void **state)
{
    struct historian_settings s = {.host = "h", .port = 1, .database = "d", .user = "u", .sslmode = 4};

    (void)state;
    check(s, "postgres://u@h:1/d?sslmode=verify-full");
    s.ca_file = "/etc/my ca.pem";
    s.cert_file = "c";
    s.key_file = "k";
    check(s, "postgres://u@h:1/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fmy%20ca.pem&sslcert=c&sslkey=k");
    s.url = "postgres://u@h/d?sslmode=require";
    s.cert_file = s.key_file = NULL;
    check(s, "postgres://u@h/d?sslmode=require&sslrootcert=%2Fetc%2Fmy%20ca.pem");
    s.url = "postgres:host=h dbname=d";
    s.ca_file = "it's";
    check(s, "postgres:host=h dbname=d sslmode='verify-full' sslrootcert='it\\'s'");
    s.url = "sqlite:x";
    check(s, "sqlite:x");
}

static void
check_secret(struct historian_settings s, const char *url)
{
    char *text = historian_settings_secret_url(&s);

    assert_string_equal(url, text);
    free(text);
}

static void
a_password_goes_in_where_it_is_needed(void **state)
{
    struct historian_settings s = {.url = "postgres://u@h/d", .password = "a&b"};

    (void)state;
    check_secret(s, "postgres://u@h/d?password=a%26b");
    s.url = "postgres://u@h/d?sslmode=require";
    check_secret(s, "postgres://u@h/d?sslmode=require&password=a%26b");
    s.url = "postgres:host=h";
    check_secret(s, "postgres:host=h password='a&b'");
    s.url = "sqlite:x";
    check_secret(s, "sqlite:x");
}

static void
passwords_are_not_shown(void **state)
{
    static const char *const cases[][2] = {
        {"postgres://u:secret@h:1/d", "postgres://u:***@h:1/d"},
        {"postgres://u:se:c@h/d?x=1&password=secret&y=2", "postgres://u:***@h/d?x=1&password=***&y=2"},
        {"postgres://u@h/d?password=secret", "postgres://u@h/d?password=***"},
        {"postgres:host=h password=secret dbname=d", "postgres:host=h password=*** dbname=d"},
        {"postgres://u@h:5432/d", "postgres://u@h:5432/d"},
        {"sqlite:a:b@c", "sqlite:a:b@c"},
    };
    char text[120], small[12];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(cases[i][1], historian_shown_url(cases[i][0], text, sizeof text));
    assert_string_equal("", historian_shown_url(NULL, text, sizeof text));
    (void)historian_shown_url("postgres://user:secret@host/d", small, sizeof small);
    assert_true(strlen(small) < sizeof small);
    assert_null(strstr(small, "sec"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_url_wins_then_the_host),
        cmocka_unit_test(parts_are_encoded),
        cmocka_unit_test(tls_goes_in_where_the_url_does_not_say_it),
        cmocka_unit_test(a_password_goes_in_where_it_is_needed),
        cmocka_unit_test(passwords_are_not_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
