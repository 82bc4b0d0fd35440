/* sim.c -- options, servers and the clock of `nexus sim`. */
#include "sim/sim.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "sim/devices_file.h"
#include "sim/load.h"
#include "sim/plant.h"
#include "sim/s7_sim.h"
#include "sim/server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define STEP_MS       100
#define LOAD_MAX      20000
#define LOAD_TAGS_MAX 32768

enum { EXIT_USAGE = 2 };

struct options {
    const char *host, *devices_file, *interval;
    unsigned port, load, tags;
    uint64_t seed;
    bool is_float, is_one_port;
    struct faults faults;
};

struct sim {
    struct options opt;
    uv_loop_t loop;
    uv_timer_t clock;
    uv_signal_t signals[2];
    struct plant plant;
    struct load load;
    struct server **servers;
    struct place *places;
    unsigned server_count, device_count;
    uint64_t last_ns;
};

static const char help[] =
    "usage: nexus sim [options]\n"
    "Simulates Modbus TCP devices: a bottling plant of ten machines, or many equal devices for benchmarks.\n"
    "  --host ADDRESS        address to listen on (127.0.0.1)\n"
    "  --port BASE           first port, the next device has the next one; 0: free ports (0)\n"
    "  --one-port            all machines of the plant behind one port, unit ids 1 to 10\n"
    "  --devices-file FILE   writes the devices.yaml that reads it all\n"
    "  --seed N              random numbers of the plant (1)\n"
    "benchmarks (instead of the plant; 247 devices on a port, by unit id; each tag counts its reads):\n"
    "  --load DEVICES        number of devices\n"
    "  --tags N              tags of each (10)\n"
    "  --type T              uint16 or float32 (uint16)\n"
    "  --interval D          poll_interval in the devices file (1s)\n"
    "faults:\n"
    "  --delay-ms MS         before every reply\n"
    "  --split               replies leave byte by byte\n"
    "  --exception REG       exception 2 for every request that touches this wire address\n"
    "  --refuse              closes connections at once\n"
    "  --mute                never replies\n"
    "  --garbage             random bytes instead of replies\n"
    "  --wrong-tid           replies carry another transaction identifier\n"
    "Siemens S7 CPUs instead: nexus sim --s7-help\n";

enum {
    O_HOST = 256,
    O_PORT,
    O_ONE_PORT,
    O_FILE,
    O_SEED,
    O_LOAD,
    O_TAGS,
    O_TYPE,
    O_INTERVAL,
    O_DELAY,
    O_SPLIT,
    O_EXCEPTION,
    O_REFUSE,
    O_MUTE,
    O_GARBAGE,
    O_WRONG_TID,
    O_HELP
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, O_HOST},
    {"port", required_argument, NULL, O_PORT},
    {"one-port", no_argument, NULL, O_ONE_PORT},
    {"devices-file", required_argument, NULL, O_FILE},
    {"seed", required_argument, NULL, O_SEED},
    {"load", required_argument, NULL, O_LOAD},
    {"tags", required_argument, NULL, O_TAGS},
    {"type", required_argument, NULL, O_TYPE},
    {"interval", required_argument, NULL, O_INTERVAL},
    {"delay-ms", required_argument, NULL, O_DELAY},
    {"split", no_argument, NULL, O_SPLIT},
    {"exception", required_argument, NULL, O_EXCEPTION},
    {"refuse", no_argument, NULL, O_REFUSE},
    {"mute", no_argument, NULL, O_MUTE},
    {"garbage", no_argument, NULL, O_GARBAGE},
    {"wrong-tid", no_argument, NULL, O_WRONG_TID},
    {"help", no_argument, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

/* --- options --- */

static bool
read_number(const char *text, uint64_t max, unsigned *out)
{
    uint64_t v;

    if (!num_u64(slice_str(text), &v) || v > max) {
        fprintf(stderr, "nexus sim: '%s' is no number from 0 to %llu\n", text, (unsigned long long)max);
        return false;
    }
    *out = (unsigned)v;
    return true;
}

static bool
read_type(const char *text, bool *is_float)
{
    *is_float = strcmp(text, "float32") == 0;
    if (!*is_float && strcmp(text, "uint16") != 0) {
        fprintf(stderr, "nexus sim: --type must be uint16 or float32\n");
        return false;
    }
    return true;
}

static bool
read_option(struct options *o, int key, const char *text)
{
    unsigned n = 0;

    switch (key) {
    case O_HOST:
        o->host = text;
        return true;
    case O_PORT:
        return read_number(text, UINT16_MAX, &o->port);
    case O_ONE_PORT:
        o->is_one_port = true;
        return true;
    case O_FILE:
        o->devices_file = text;
        return true;
    case O_SEED:
        return num_u64(slice_str(text), &o->seed);
    case O_LOAD:
        return read_number(text, LOAD_MAX, &o->load);
    case O_TAGS:
        return read_number(text, LOAD_TAGS_MAX, &o->tags);
    case O_TYPE:
        return read_type(text, &o->is_float);
    case O_INTERVAL:
        o->interval = text;
        return true;
    case O_DELAY:
        return read_number(text, 3600000, &o->faults.delay_ms);
    case O_SPLIT:
        o->faults.is_split = true;
        return true;
    case O_EXCEPTION:
        if (!read_number(text, UINT16_MAX, &n))
            return false;
        o->faults.exception_reg = (int)n;
        return true;
    case O_REFUSE:
        o->faults.is_refusing = true;
        return true;
    case O_MUTE:
        o->faults.is_mute = true;
        return true;
    case O_GARBAGE:
        o->faults.is_garbage = true;
        return true;
    case O_WRONG_TID:
        o->faults.is_wrong_tid = true;
        return true;
    default:
        return false;
    }
}

/* -1: go on; else the exit code. */
static int
read_options(struct options *o, int argc, char **argv)
{
    int key;

    *o = (struct options){.host = "127.0.0.1", .tags = 10, .interval = "1s", .seed = 1, .faults.exception_reg = -1};
    optind = 0;
    while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (key == O_HELP) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (!read_option(o, key, optarg)) {
            fputs("Try 'nexus sim --help'.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || o->tags == 0) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    return -1;
}

/* --- servers --- */

static bool
open_server(struct sim *sim, struct memory *memories, unsigned count, unsigned *port)
{
    struct server_conf conf = {.host = sim->opt.host,
                               .port = (uint16_t)*port,
                               .memories = memories,
                               .memory_count = count,
                               .faults = &sim->opt.faults};
    int why;
    struct server *s = server_open(&sim->loop, &conf, &why);

    if (!s) {
        fprintf(stderr, "nexus sim: cannot listen on %s port %u: %s\n", conf.host, conf.port, uv_strerror(why));
        return false;
    }
    sim->servers[sim->server_count++] = s;
    for (unsigned i = 0; i < count; i++)
        sim->places[sim->device_count++] = (struct place){server_port(s), i + 1};
    if (*port != 0)
        ++*port;
    return true;
}

/* Groups of `each` memories share a port. */
static bool
open_servers(struct sim *sim, struct memory *memories, unsigned count, unsigned each)
{
    unsigned port = sim->opt.port;

    sim->servers = mem_calloc(count / each + 1, sizeof(struct server *));
    sim->places = mem_calloc(count, sizeof *sim->places);
    for (unsigned at = 0; at < count; at += each)
        if (!open_server(sim, memories + at, count - at < each ? count - at : each, &port))
            return false;
    return true;
}

static bool
write_devices_file(struct sim *sim)
{
    struct wbuf out = wbuf_init(0);
    struct nx_note why;
    enum nx_err err;

    if (sim->opt.load > 0)
        devices_file_load(&out, sim->opt.host, sim->places, &sim->load, sim->opt.interval);
    else
        devices_file_plant(&out, sim->opt.host, sim->places);
    err = file_write(sim->opt.devices_file, slice(out.p, out.len), 0644, &why);
    wbuf_free(&out);
    if (err != NX_OK)
        fprintf(stderr, "nexus sim: %s\n", why.text);
    return err == NX_OK;
}

/* --- running --- */

static void
on_clock(uv_timer_t *timer)
{
    struct sim *sim = timer->data;
    uint64_t now = uv_hrtime();

    plant_step(&sim->plant, (double)(now - sim->last_ns) / 1e9);
    sim->last_ns = now;
}

static void
stop(struct sim *sim)
{
    for (unsigned i = 0; i < sim->server_count; i++)
        server_close(&sim->servers[i]);
    uv_close((uv_handle_t *)&sim->clock, NULL);
    for (unsigned i = 0; i < MEM_COUNT(sim->signals); i++)
        uv_close((uv_handle_t *)&sim->signals[i], NULL);
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    stop(handle->data);
}

static void
start_handles(struct sim *sim)
{
    static const int signums[] = {SIGINT, SIGTERM};

    uv_timer_init(&sim->loop, &sim->clock);
    sim->clock.data = sim;
    for (unsigned i = 0; i < MEM_COUNT(sim->signals); i++) {
        uv_signal_init(&sim->loop, &sim->signals[i]);
        sim->signals[i].data = sim;
        uv_signal_start(&sim->signals[i], on_signal, signums[i]);
    }
}

static bool
start(struct sim *sim)
{
    const struct options *o = &sim->opt;

    start_handles(sim);
    if (o->load > 0) {
        load_init(&sim->load, o->load, o->tags, o->is_float);
        if (!open_servers(sim, sim->load.memories, o->load, LOAD_UNITS_PER_PORT))
            return false;
    } else {
        plant_init(&sim->plant, o->seed);
        if (!open_servers(sim, sim->plant.memories, PLANT_DEVICES, o->is_one_port ? PLANT_DEVICES : 1))
            return false;
        sim->last_ns = uv_hrtime();
        uv_timer_start(&sim->clock, on_clock, STEP_MS, STEP_MS);
    }
    if (o->devices_file && !write_devices_file(sim))
        return false;
    printf("simulating %u devices, %u tags on %s, ports %u to %u\n", sim->device_count,
           o->load > 0 ? o->load * o->tags : plant_point_count, o->host, sim->places[0].port,
           sim->places[sim->device_count - 1].port);
    fflush(stdout);
    return true;
}

/* Ten thousand clients need ten thousand descriptors. */
static void
raise_file_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
    }
}

int
sim_main(int argc, char **argv)
{
    struct sim *sim;
    int code;

    if (s7sim_is_meant(argc, argv))
        return s7sim_main(argc, argv);
    sim = mem_alloc(sizeof *sim);
    code = read_options(&sim->opt, argc, argv);

    if (code < 0) {
        raise_file_limit();
        signal(SIGPIPE, SIG_IGN);
        uv_loop_init(&sim->loop);
        code = start(sim) ? EXIT_SUCCESS : EXIT_FAILURE;
        if (code != EXIT_SUCCESS)
            stop(sim);
        uv_run(&sim->loop, UV_RUN_DEFAULT);
        uv_loop_close(&sim->loop);
        load_fini(&sim->load);
        plant_fini(&sim->plant);
        free(sim->servers);
        free(sim->places);
    }
    free(sim);
    return code;
}
