/* up.c -- `nexus up`: the whole platform on one machine.
 *
 * Starts Mosquitto (and with --demo the simulated plant), then gateway, ingestion and core when the broker listens;
 * starts again whatever falls; stops in the order in which values flow, so that nothing waits in a pipe whose end is
 * already gone: gateway, ingestion, core, simulator, broker, and the PostgreSQL of the profile standard. Everything it
 * makes lies under --data. */
#include "app/broker.h"
#include "app/child.h"
#include "app/command.h"
#include "app/historian.h"
#include "app/postgres.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_EVERY_MS   20u
#define GATEWAY_PORT     8081
#define INGEST_PORT      8082
#define REPEATS_EVERY_MS 5000
#define DEMO_PORT        15020
#define DEMO_MACHINES    10

enum { CHILD_GATEWAY, CHILD_INGEST, CHILD_CORE, CHILD_SIM, CHILD_BROKER, CHILD_POSTGRES, CHILD_COUNT };

struct up {
    struct loop *loop;
    char exe[PATH_MAX], web_dir[PATH_MAX];
    const char *config, *bind;
    char data[PATH_MAX];
    bool is_demo, is_stopping;
    bool has_standard, has_own_store; /* --profile standard; the settings say where the values are */
    uint16_t http_port, gateway_port, ingest_port, demo_port;
    struct broker_info broker;
    struct postgres_info postgres; /* port 0: not ours */
    char devices_path[PATH_MAX + 32];
    int lock_fd;
    struct child children[CHILD_COUNT];
    unsigned stop_next;
    struct stream *probe;
    const char *probe_host;
    uint16_t probe_port;
    loop_cb *probe_ok;
    struct loop_timer probe_timer, repeats;
};

/* --- waiting for a port --- */

static void probe_again(struct loop_timer *t, void *arg);

static void
probe_open(void *arg)
{
    struct up *u = arg;

    stream_close(&u->probe, false);
    u->probe_ok(u);
}

static void
probe_data(void *arg, struct slice data)
{
    (void)arg;
    (void)data;
}

static void
probe_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct up *u = arg;

    (void)err;
    (void)why;
    stream_close(&u->probe, false);
    if (!u->is_stopping)
        loop_timer_start(u->loop, &u->probe_timer, PROBE_EVERY_MS, 0, probe_again, u);
}

static void
probe_again(struct loop_timer *t, void *arg)
{
    static const struct stream_ops ops = {.on_open = probe_open, .on_data = probe_data, .on_down = probe_down};
    struct up *u = arg;
    struct stream_conf conf = {.host = u->probe_host, .port = u->probe_port, .connect_timeout_ms = 1000};

    (void)t;
    u->probe = stream_open(u->loop, &conf, &ops, u);
}

/* Calls ok as soon as something listens there. */
static void
wait_for_port(struct up *u, const char *host, uint16_t port, loop_cb *ok)
{
    u->probe_host = host;
    u->probe_port = port;
    u->probe_ok = ok;
    probe_again(NULL, u);
}

/* --- what is started, in what order --- */

/* Where this machine reaches the core. */
static const char *
core_host(const struct up *u)
{
    bool is_any = strcmp(u->bind, "0.0.0.0") == 0 || strcmp(u->bind, "::") == 0;

    return is_any ? "127.0.0.1" : u->bind;
}

/* The core has said it already, but the log went on since. */
static void
print_setup_code(const struct up *u)
{
    char *path = mem_printf("%s/core/setup-code", u->data), *code;

    if (file_read_secret(path, &code, NULL) == NX_OK) {
        (void)printf("  First start: create the administrator with the set-up code %s\n", code);
        free(code);
    }
    free(path);
}

static void
on_core_listens(void *arg)
{
    struct up *u = arg;
    const char *host = core_host(u);
    bool is_v6 = strchr(host, ':') != NULL;

    (void)printf("\n  NEXUS Edge is running: http://%s%s%s:%u\n", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                 u->http_port);
    print_setup_code(u);
    (void)printf("  Data lies in %s. Ctrl-C stops everything.\n\n", u->data);
    (void)fflush(stdout);
}

static void
on_broker_listens(void *arg)
{
    struct up *u = arg;

    child_start(&u->children[CHILD_GATEWAY]);
    child_start(&u->children[CHILD_INGEST]);
    child_start(&u->children[CHILD_CORE]);
    wait_for_port(u, core_host(u), u->http_port, on_core_listens);
}

static void
wait_for_devices(struct loop_timer *t, void *arg)
{
    struct up *u = arg;

    (void)t;
    if (access(u->devices_path, R_OK) == 0)
        wait_for_port(u, "127.0.0.1", u->broker.port, on_broker_listens);
    else
        loop_timer_start(u->loop, &u->probe_timer, PROBE_EVERY_MS, 0, wait_for_devices, u);
}

static void
start_all(struct up *u)
{
    child_start(&u->children[CHILD_BROKER]);
    if (u->postgres.port > 0)
        child_start(&u->children[CHILD_POSTGRES]);
    if (u->is_demo) {
        (void)unlink(u->devices_path); /* the simulator writes it anew with this run's ports */
        child_start(&u->children[CHILD_SIM]);
        wait_for_devices(NULL, u);
    } else {
        wait_for_port(u, "127.0.0.1", u->broker.port, on_broker_listens);
    }
}

static void
stop_step(void *arg)
{
    struct up *u = arg;

    if (u->stop_next == CHILD_COUNT)
        loop_stop(u->loop);
    else
        child_stop(&u->children[u->stop_next++], stop_step, u);
}

static void
on_signal(void *arg)
{
    struct up *u = arg;

    if (u->is_stopping)
        return;
    u->is_stopping = true;
    log_info(NULL, "stopping everything in order");
    loop_timer_stop(&u->probe_timer);
    stream_close(&u->probe, false);
    stop_step(u);
}

static void
on_repeats(struct loop_timer *t, void *arg)
{
    (void)t;
    (void)arg;
    log_flush_repeats();
}

/* --- command lines of the children --- */

static void
set(struct child *c, const char *key, const char *value)
{
    child_arg(c, "--set");
    child_arg(c, "%s=%s", key, value);
}

static void
set_port(struct child *c, const char *key, uint16_t port)
{
    child_arg(c, "--set");
    child_arg(c, "%s=%u", key, port);
}

/* One log stream: readable on a terminal, JSON into a file or a pipe. */
static const char *
log_format(void)
{
    return isatty(STDERR_FILENO) ? "text" : "json";
}

static void
begin_role(struct up *u, struct child *c, const char *name)
{
    char text[PATH_MAX + 64];

    child_init(c, u->loop, name, u->exe);
    child_arg(c, "%s", u->exe);
    child_arg(c, "%s", name);
    if (u->config) {
        child_arg(c, "--config");
        child_arg(c, "%s", u->config);
    } else {
        set(c, "logging.format", log_format());
    }
    (void)snprintf(text, sizeof text, "mqtt://127.0.0.1:%u", u->broker.port);
    set(c, "mqtt.broker_url", text);
    set(c, "mqtt.username", name);
    (void)snprintf(text, sizeof text, "%s/mqtt-%s", u->broker.secrets_dir, name);
    set(c, "mqtt.password_file", text);
}

static void
set_path(struct up *u, struct child *c, const char *key, const char *format)
{
    char text[PATH_MAX + 64];

    (void)snprintf(text, sizeof text, "%s%s/%s", strcmp(format, "history") == 0 ? "sqlite:" : "", u->data, format);
    set(c, key, text);
}

/* What the settings say, else SQLite below --data; with the profile standard a PostgreSQL of our own. */
static void
set_store(struct up *u, struct child *c)
{
    if (u->has_own_store)
        return;
    if (u->has_standard) {
        set(c, "historian.url", u->postgres.url);
        set(c, "database.password_file", u->postgres.password_path);
    } else {
        set_path(u, c, "historian.url", "history");
    }
}

static void
make_postgres(struct up *u)
{
    struct child *c = &u->children[CHILD_POSTGRES];

    child_init(c, u->loop, "postgres", u->exe);
    if (u->postgres.user[0]) {
        child_arg(c, "--user");
        child_arg(c, "%s", u->postgres.user);
    }
    c->stop_signal = SIGINT; /* SIGTERM would wait until every client has gone */
    child_arg(c, "--interrupt");
    child_arg(c, "%s", u->postgres.program_path);
    child_arg(c, "-D");
    child_arg(c, "%s", u->postgres.cluster_dir);
    child_arg(c, "--listen_addresses=127.0.0.1");
    child_arg(c, "--port=%u", u->postgres.port);
    child_arg(c, "--unix_socket_directories=");
    child_arg(c, "--max_wal_size=4GB");
    child_arg(c, "--checkpoint_timeout=15min"); /* each one is felt by the commits beside it */
    child_arg(c, "--wal_compression=lz4");
}

static void
make_children(struct up *u)
{
    struct child *gateway = &u->children[CHILD_GATEWAY], *ingest = &u->children[CHILD_INGEST];
    struct child *core = &u->children[CHILD_CORE], *sim = &u->children[CHILD_SIM], *broker = &u->children[CHILD_BROKER];
    char text[PATH_MAX + 64];

    begin_role(u, gateway, "gateway");
    set_port(gateway, "http.port", u->gateway_port);
    set_path(u, gateway, "buffer.disk_path", "spool/gateway");
    begin_role(u, ingest, "ingest");
    set_port(ingest, "http.port", u->ingest_port);
    set_store(u, ingest);
    set_path(u, ingest, "buffer.disk_path", "spool/ingest");
    begin_role(u, core, "core");
    set_port(core, "http.port", u->http_port);
    set(core, "http.bind", u->bind);
    if (u->web_dir[0])
        set(core, "http.static_dir", u->web_dir);
    set_path(u, core, "core.data_dir", "core");
    set_store(u, core);
    (void)snprintf(text, sizeof text, "http://127.0.0.1:%u", u->gateway_port);
    set(core, "core.gateway_url", text);
    (void)snprintf(text, sizeof text, "http://127.0.0.1:%u", u->ingest_port);
    set(core, "core.ingest_url", text);
    if (access(u->devices_path, R_OK) == 0 || u->is_demo)
        set(core, "devices.config_path", u->devices_path);
    child_init(broker, u->loop, "broker", u->exe);
    child_arg(broker, "%s", u->broker.program_path);
    child_arg(broker, "-c");
    child_arg(broker, "%s", u->broker.config_path);
    make_postgres(u);
    child_init(sim, u->loop, "sim", u->exe);
    child_arg(sim, "%s", u->exe);
    child_arg(sim, "sim");
    child_arg(sim, "--port");
    child_arg(sim, "%u", u->demo_port);
    child_arg(sim, "--devices-file");
    child_arg(sim, "%s", u->devices_path);
}

/* --- preparation --- */

/* The web UI lies beside a build in the source tree, or where the package puts it. */
static void
find_web(struct up *u)
{
    static const char *const places[] = {"/../../web/dist", "/../share/nexus-edge/web"};
    char dir[PATH_MAX];

    (void)snprintf(dir, sizeof dir, "%s", u->exe);
    *strrchr(dir, '/') = '\0';
    for (size_t i = 0; i < MEM_COUNT(places); i++) {
        char *path = mem_printf("%s%s/index.html", dir, places[i]);
        char *found = realpath(path, NULL);

        free(path);
        if (!found)
            continue;
        *strrchr(found, '/') = '\0';
        (void)snprintf(u->web_dir, sizeof u->web_dir, "%s", found);
        free(found);
        return;
    }
    log_warn(NULL, "the web UI was not built: only the API is served. 'make' builds both.");
}

static enum nx_err
lock_data(struct up *u, const char *dir, struct nx_note *why)
{
    enum nx_err err = file_make_dir(dir, 0700, why);

    if (err != NX_OK)
        return err;
    if (!realpath(dir, u->data))
        return nx_fail_errno(why, NX_OK, errno, "cannot use the data directory %s", dir);
    char *path = mem_printf("%s/lock", u->data);
    u->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(path);
    if (u->lock_fd < 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot write into the data directory %s", u->data);
    if (flock(u->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return nx_fail(why, NX_E_CONFLICT,
                       "another 'nexus up' already works in %s. Stop it, or give this one its own --data DIR.",
                       u->data);
    return NX_OK;
}

static enum nx_err
choose_ports(struct up *u, const char *port_text, struct nx_note *why)
{
    uint64_t port = 0;

    if (!num_u64(slice_str(port_text), &port) || port == 0 || port > 65535)
        return nx_fail(why, NX_E_VALUE, "--port: '%s' is not a port number (1..65535)", port_text);
    u->http_port = broker_free_port((uint16_t)port);
    if (u->http_port != port)
        return nx_fail(why, NX_E_CONFLICT, "port %u is in use by another program. Choose another one: --port %u",
                       (unsigned)port, u->http_port);
    u->gateway_port = broker_free_port(GATEWAY_PORT);
    u->ingest_port = broker_free_port(INGEST_PORT);
    return NX_OK;
}

static bool
are_free(uint16_t first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (broker_free_port((uint16_t)(first + i)) != first + i)
            return false;
    }
    return true;
}

/* The ports of the simulated machines stay the same from start to start: the devices in the store point to them. */
static enum nx_err
choose_demo_ports(struct up *u, struct nx_note *why)
{
    char *path = mem_printf("%s/demo/port", u->data), *text = NULL, fresh[16];
    uint64_t port = DEMO_PORT;
    enum nx_err err = NX_OK;

    if (file_read(path, sizeof fresh, &text, NULL, NULL) == NX_OK && num_u64(slice_str(text), &port) && port < 65000) {
        if (!are_free((uint16_t)port, DEMO_MACHINES))
            err =
                nx_fail(why, NX_E_CONFLICT, "the demo plant needs the ports %u to %u of this machine and one is in use",
                        (unsigned)port, (unsigned)port + DEMO_MACHINES - 1);
    } else {
        port = DEMO_PORT;
        while (port < 60000 && !are_free((uint16_t)port, DEMO_MACHINES))
            port += DEMO_MACHINES;
        (void)snprintf(fresh, sizeof fresh, "%u", (unsigned)port);
        err = file_write(path, slice_str(fresh), 0600, why);
    }
    u->demo_port = (uint16_t)port;
    free(text);
    free(path);
    return err;
}

static enum nx_err
find_devices(struct up *u, const char *config_dir, struct nx_note *why)
{
    if (u->is_demo) {
        (void)snprintf(u->devices_path, sizeof u->devices_path, "%s/demo", u->data);
        enum nx_err err = file_make_dir(u->devices_path, 0700, why);
        if (err != NX_OK)
            return err;
        (void)snprintf(u->devices_path, sizeof u->devices_path, "%s/demo/devices.yaml", u->data);
        return choose_demo_ports(u, why);
    } else if (config_dir) {
        (void)snprintf(u->devices_path, sizeof u->devices_path, "%s/devices.yaml", config_dir);
    }
    return NX_OK;
}

static enum nx_err
find_config(struct up *u, const char *config_dir, struct nx_note *why)
{
    char path[PATH_MAX];
    struct stat st;

    if (!config_dir)
        return NX_OK;
    if (stat(config_dir, &st) != 0)
        return nx_fail_errno(why, NX_OK, errno, "--config %s", config_dir);
    if (!S_ISDIR(st.st_mode))
        return nx_fail(why, NX_E_CONFIG, "--config %s: give the directory that holds nexus.yaml and devices.yaml",
                       config_dir);
    (void)snprintf(path, sizeof path, "%s/nexus.yaml", config_dir);
    if (access(path, R_OK) == 0)
        u->config = mem_strdup(path);
    return NX_OK;
}

static enum nx_err
find_store(struct up *u, struct nx_note *why)
{
    char *url;
    enum nx_err err = historian_read_settings(u->config, NULL, &url, &u->has_own_store, why);

    if (err == NX_OK && u->has_own_store && u->has_standard && historian_max_writers(url) == 1)
        err =
            nx_fail(why, NX_E_CONFIG,
                    "the profile standard keeps values in PostgreSQL, but historian.url names %.*s: set database.host,"
                    " or leave the profile away",
                    (int)strcspn(url, ":"), url);
    free(url);
    return err;
}

static enum nx_err
prepare(struct up *u, const char *data, const char *config_dir, const char *port, struct nx_note *why)
{
    ssize_t n = readlink("/proc/self/exe", u->exe, sizeof u->exe - 1);

    if (n <= 0)
        return nx_fail_errno(why, NX_OK, errno, "cannot find the nexus program");
    u->exe[n] = '\0';
    enum nx_err err = lock_data(u, data, why);
    if (err == NX_OK)
        err = find_config(u, config_dir, why);
    if (err == NX_OK)
        err = find_store(u, why);
    if (err == NX_OK)
        err = choose_ports(u, port, why);
    if (err == NX_OK)
        err = broker_prepare(u->data, 1883, &u->broker, why);
    if (err == NX_OK && u->has_standard && !u->has_own_store)
        err = postgres_prepare(u->data, 5432, &u->postgres, why);
    if (err == NX_OK)
        err = find_devices(u, config_dir, why);
    if (err == NX_OK)
        find_web(u);
    return err;
}

static void
run(struct up *u)
{
    u->loop = loop_new();
    make_children(u);
    loop_on_signal(u->loop, SIGTERM, on_signal, u);
    loop_on_signal(u->loop, SIGINT, on_signal, u);
    loop_timer_start(u->loop, &u->repeats, REPEATS_EVERY_MS, REPEATS_EVERY_MS, on_repeats, NULL);
    start_all(u);
    loop_run(u->loop);
    loop_timer_stop(&u->repeats);
    for (unsigned i = 0; i < CHILD_COUNT; i++)
        child_fini(&u->children[i]);
    loop_free(&u->loop);
}

static int
check_profile(const char *profile)
{
    if (!profile || strcmp(profile, "minimal") == 0 || strcmp(profile, "standard") == 0)
        return EXIT_OK;
    (void)fprintf(stderr, "nexus up: this version has the profiles 'minimal' and 'standard', not '%s'\n", profile);
    return EXIT_USAGE;
}

int
command_up(int argc, char **argv)
{
    const char *profile = NULL, *config_dir = NULL, *data = "data", *demo = NULL, *port = "8080";
    struct up *u = mem_alloc(sizeof *u);
    struct nx_note why = {0};
    const struct option_spec specs[] = {{.name = "profile", .value = &profile},
                                        {.name = "config", .value = &config_dir},
                                        {.name = "data", .value = &data},
                                        {.name = "demo", .value = &demo, .is_flag = true},
                                        {.name = "port", .value = &port},
                                        {.name = "bind", .value = &u->bind},
                                        {0}};

    u->bind = "127.0.0.1";
    u->lock_fd = -1;
    int code = options_read(&argc, argv, specs) ? check_profile(profile) : EXIT_USAGE;
    if (code == EXIT_OK && argc > 1) {
        (void)fprintf(stderr,
                      "usage: nexus up [--profile minimal|standard] [--config DIR] [--data DIR] [--demo] [--port N] "
                      "[--bind ADDRESS]\n");
        code = EXIT_USAGE;
    }
    if (code == EXIT_OK) {
        u->is_demo = demo != NULL;
        u->has_standard = profile && strcmp(profile, "standard") == 0;
        (void)signal(SIGPIPE, SIG_IGN);
        (void)!log_init(&(struct log_conf){.service = "up", .format = log_format()}, &why);
        enum nx_err err = prepare(u, data, config_dir, port, &why);
        if (err == NX_OK)
            run(u);
        else
            code = command_failed(err, &why);
    }
    if (u->lock_fd >= 0)
        (void)close(u->lock_fd);
    mem_free_const(u->config);
    free(u);
    return code;
}
