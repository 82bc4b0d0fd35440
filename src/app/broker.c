/* broker.c -- everything that Mosquitto needs, written before it starts. */
#include "app/broker.h"
#include "app/secret.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/wbuf.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- who may do what (docs: contracts, MQTT topics) --- */

struct broker_user {
    const char *name;
    const char *rules; /* lines of Mosquitto's acl_file */
};

static const struct broker_user USERS[] = {
    {"gateway", "topic write uns/#\n"
                "topic write dev/#\n"
                "topic write spBv1.0/#\n"
                "topic write nexus/v1/batch/#\n"
                "topic read nexus/v1/ack/#\n"
                "topic write $nexus/status/#\n"
                "topic read $nexus/cmd/#\n"
                "topic write $nexus/cmd/response/#\n"
                "topic read $nexus/config/#\n"
                "topic write $nexus/config/sync/request\n"},
    {"ingest", "topic read #\n"
               "topic write nexus/v1/ack/#\n"},
    {"core", "topic read #\n"
             "topic read $nexus/#\n"
             "topic write $nexus/cmd/#\n"
             "topic write $nexus/config/#\n"},
    {"operator", "topic read #\n"
                 "topic read $nexus/#\n"
                 "topic read $SYS/#\n"
                 "topic write $nexus/cmd/#\n"},
};

/* --- passwords --- */

enum {
    SALT_BYTES = 12, /* as mosquitto_passwd of 2.0 writes and reads them */
    HASH_BYTES = 64,
    ITERATIONS = 101, /* enough: the passwords are random, nobody can guess them */
    FILE_MAX_BYTES = 4096,
};
#define BASE64_CAP(n) (((n) + 2) / 3 * 4 + 1)

static enum nx_err
password_of(const char *dir, const char *user, char **out, struct nx_note *why)
{
    char *path = mem_printf("%s/mqtt-%s", dir, user);
    enum nx_err err = secret_of(path, out, why);

    free(path);
    return err;
}

/* "user:$7$iterations$salt$hash": PBKDF2 with SHA-512, base64. */
static enum nx_err
put_password(struct wbuf *w, const char *user, const char *password, struct nx_note *why)
{
    uint8_t salt[SALT_BYTES], hash[HASH_BYTES];
    char salt64[BASE64_CAP(SALT_BYTES)], hash64[BASE64_CAP(HASH_BYTES)];

    if (RAND_bytes(salt, sizeof salt) != 1 || PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, sizeof salt,
                                                                ITERATIONS, EVP_sha512(), sizeof hash, hash) != 1)
        return nx_fail(why, NX_E_INTERNAL, "cannot hash the broker password of %s", user);
    (void)EVP_EncodeBlock((unsigned char *)salt64, salt, sizeof salt);
    (void)EVP_EncodeBlock((unsigned char *)hash64, hash, sizeof hash);
    wbuf_printf(w, "%s:$7$%d$%s$%s\n", user, ITERATIONS, salt64, hash64);
    return NX_OK;
}

static enum nx_err
put_passwords(struct wbuf *w, const char *secrets_dir, struct nx_note *why)
{
    enum nx_err err = NX_OK;

    for (size_t i = 0; i < MEM_COUNT(USERS) && !err; i++) {
        char *password;

        err = password_of(secrets_dir, USERS[i].name, &password, why);
        if (!err)
            err = put_password(w, USERS[i].name, password, why);
        free(password);
    }
    return err;
}

/* --- files --- */

static void
put_rules(struct wbuf *w)
{
    wbuf_str(w, "# Written by nexus at every start. What is not listed is denied.\n");
    for (size_t i = 0; i < MEM_COUNT(USERS); i++)
        wbuf_printf(w, "\nuser %s\n%s", USERS[i].name, USERS[i].rules);
}

/* Memory only: what a broker has acknowledged is not safe in any of them, so records stay in the gateway's spool until
 * the historian has them, and nothing is gained by writing them here as well. Queues are bounded by bytes. */
static void
put_config(struct wbuf *w, const char *dir, uint16_t port)
{
    wbuf_str(w,
             "# Written by nexus at every start: changes are lost. Use a broker of your own with mqtt.broker_url.\n");
    if (geteuid() == 0)
        wbuf_str(w, "user root\n"); /* else it changes to a user who cannot read these files */
    wbuf_str(w, "per_listener_settings false\n"
                "allow_anonymous false\n");
    wbuf_printf(w, "password_file %s/passwd\nacl_file %s/acl\nlistener %u 127.0.0.1\n", dir, dir, port);
    wbuf_str(w, "max_connections 1000\n"
                "max_keepalive 600\n"
                "max_inflight_messages 0\n"
                "max_queued_messages 0\n"
                "max_queued_bytes 268435456\n"
                "max_packet_size 16777216\n"
                "persistent_client_expiration 14d\n"
                "persistence false\n"
                "set_tcp_nodelay true\n"
                "sys_interval 10\n"
                "log_dest stderr\n"
                "log_timestamp_format %Y-%m-%dT%H:%M:%S\n"
                "log_type error\n"
                "log_type warning\n"
                "log_type notice\n"
                "connection_messages false\n");
}

static enum nx_err
write_file(const char *dir, const char *name, struct wbuf *w, struct nx_note *why)
{
    char *path = mem_printf("%s/%s", dir, name);
    enum nx_err err = file_write(path, wbuf_slice_of(w), 0600, why);

    free(path);
    wbuf_free(w);
    return err;
}

static enum nx_err
write_files(const char *dir, const char *secrets_dir, uint16_t port, struct nx_note *why)
{
    struct wbuf passwords = wbuf_init(0), rules = wbuf_init(0), config = wbuf_init(0);
    enum nx_err err = put_passwords(&passwords, secrets_dir, why);

    if (err) {
        wbuf_free(&passwords);
        return err;
    }
    put_rules(&rules);
    put_config(&config, dir, port);
    enum nx_err errs[] = {write_file(dir, "passwd", &passwords, why), write_file(dir, "acl", &rules, why),
                          write_file(dir, "mosquitto.conf", &config, why)};
    for (size_t i = 0; i < MEM_COUNT(errs) && !err; i++)
        err = errs[i];
    return err;
}

/* --- the program --- */

static bool
try_program(const char *dir, size_t len, char *out, size_t cap)
{
    struct stat st;
    int n = snprintf(out, cap, "%.*s/mosquitto", (int)len, dir);

    return len > 0 && n > 0 && (size_t)n < cap && stat(out, &st) == 0 && S_ISREG(st.st_mode) && access(out, X_OK) == 0;
}

/* Debian keeps it in /usr/sbin, which is not in everybody's PATH. */
static bool
find_program(char *out, size_t cap)
{
    static const char *const usual[] = {"/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"};
    const char *path = getenv("PATH");

    for (const char *p = path ? path : ""; *p;) {
        size_t len = strcspn(p, ":");

        if (try_program(p, len, out, cap))
            return true;
        p += len + (p[len] == ':');
    }
    for (size_t i = 0; i < MEM_COUNT(usual); i++)
        if (try_program(usual[i], strlen(usual[i]), out, cap))
            return true;
    return false;
}

static bool
port_is_free(uint16_t *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* As servers bind: connections of an earlier run that wait for their end do not count. */
    bool ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
              bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && listen(fd, 1) == 0 &&
              getsockname(fd, (struct sockaddr *)&addr, &len) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (ok)
        *port = ntohs(addr.sin_port);
    return ok;
}

uint16_t
broker_free_port(uint16_t wanted)
{
    uint16_t any = 0;

    if (wanted && port_is_free(&wanted))
        return wanted;
    return port_is_free(&any) ? any : 0;
}

/* --- all together --- */

/* dir as an absolute path, because Mosquitto reads its files from wherever it stands. */
static enum nx_err
make_dir(const char *data_dir, const char *name, char *out, size_t cap, struct nx_note *why)
{
    char *path = mem_printf("%s/%s", data_dir, name), full[PATH_MAX];
    enum nx_err err = file_make_dir(path, 0700, why);

    if (!err && !realpath(path, full))
        err = nx_fail_errno(why, NX_OK, errno, "cannot use the directory %s", path);
    if (!err && (strlen(full) >= cap - sizeof "/mosquitto.conf" || strpbrk(full, "\r\n")))
        err = nx_fail(why, NX_E_CONFIG, "the path %.100s... is too long or has a line break: choose another --data",
                      full);
    if (!err)
        (void)snprintf(out, cap, "%s", full);
    free(path);
    return err;
}

enum nx_err
broker_prepare(const char *data_dir, uint16_t wanted_port, struct broker_info *out, struct nx_note *why)
{
    char dir[sizeof out->config_path];
    enum nx_err err;

    *out = (struct broker_info){0};
    if (!find_program(out->program_path, sizeof out->program_path))
        return nx_fail(
            why, NX_E_NOT_FOUND,
            "the MQTT broker Mosquitto is not installed: apt-get install mosquitto, or set mqtt.broker_url to a "
            "broker of your own");
    err = make_dir(data_dir, "broker", dir, sizeof dir, why);
    if (!err)
        err = make_dir(data_dir, "secrets", out->secrets_dir, sizeof out->secrets_dir, why);
    if (err)
        return err;
    out->port = broker_free_port(wanted_port);
    if (out->port == 0)
        return nx_fail(why, NX_E_FULL, "no free TCP port on 127.0.0.1 for the broker");
    (void)snprintf(out->config_path, sizeof out->config_path, "%.490s/mosquitto.conf", dir);
    return write_files(dir, out->secrets_dir, out->port, why);
}
