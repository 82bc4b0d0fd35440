#include "app/broker.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/test_dir.h"

#include <openssl/evp.h>

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char *
read_text(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name), *text;

    assert_int_equal(file_read(path, 65536, &text, NULL, NULL), NX_OK);
    free(path);
    return text;
}

/* What Mosquitto does with a line of its password file. */
static bool
password_fits(const char *line, const char *password)
{
    char salt64[32], want64[128], got64[128];
    unsigned char salt[32], hash[64];
    int iterations;

    assert_int_equal(sscanf(line, "%*[^:]:$7$%d$%31[^$]$%127[^\n]", &iterations, salt64, want64), 3);
    assert_int_equal(EVP_DecodeBlock(salt, (unsigned char *)salt64, (int)strlen(salt64)), 12);
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, 12, iterations, EVP_sha512(), sizeof hash,
                                       hash),
                     1);
    (void)EVP_EncodeBlock((unsigned char *)got64, hash, sizeof hash);
    return strcmp(want64, got64) == 0;
}

static void
passwords_fit_their_hashes(void **state)
{
    (void)state;
    static const char *const users[] = {"gateway", "ingest", "core", "operator"};
    char dir[] = "/tmp/broker-test-XXXXXX";
    struct broker_info info;
    struct nx_note why = {0};

    assert_non_null(mkdtemp(dir));
    if (broker_prepare(dir, 0, &info, &why) == NX_E_NOT_FOUND)
        fail_msg("%s", why.text); /* tools/deps installs it */
    char *hashes = mem_printf("%s/broker", dir), *lines = read_text(hashes, "passwd"), *line = lines;

    for (size_t i = 0; i < MEM_COUNT(users); i++) {
        char name[32];

        (void)snprintf(name, sizeof name, "mqtt-%s", users[i]);
        char *password = read_text(info.secrets_dir, name);
        assert_int_equal(strlen(password), 32);
        assert_memory_equal(line, users[i], strlen(users[i]));
        assert_true(password_fits(line, password));
        password[0] = password[0] == 'a' ? 'b' : 'a';
        assert_false(password_fits(line, password));
        free(password);
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "");
    free(lines);
    free(hashes);
    assert_int_equal(test_dir_remove(dir), 0);
}

static void
taken_port_is_replaced(void **state)
{
    (void)state;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
    uint16_t taken = ntohs(addr.sin_port), other = broker_free_port(taken);
    assert_true(other != 0 && other != taken);
    (void)close(fd);
    assert_int_equal(broker_free_port(taken), taken);
}

static void
unusable_folders_are_named(void **state)
{
    (void)state;
    char dir[] = "/tmp/broker-test-XXXXXX";
    struct broker_info info;
    struct nx_note why = {0};

    assert_non_null(mkdtemp(dir));
    char *file = mem_printf("%s/file", dir), *broken = mem_printf("%s/a\nb", dir);
    assert_int_equal(file_write(file, slice("", 0), 0600, NULL), NX_OK);
    assert_true(broker_prepare(file, 0, &info, &why) != NX_OK);
    assert_non_null(strstr(why.text, file));
    assert_int_equal(broker_prepare(broken, 0, &info, &why), NX_E_CONFIG);
    assert_non_null(strstr(why.text, "--data"));
    free(broken);
    free(file);
    assert_int_equal(test_dir_remove(dir), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passwords_fit_their_hashes),
        cmocka_unit_test(taken_port_is_replaced),
        cmocka_unit_test(unusable_folders_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
