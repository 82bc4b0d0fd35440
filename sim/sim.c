/* sim.c -- options, servers and the clock of `nexus sim`. */
#include "sim/sim.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/num.h"
#include "sim/control.h"
#include "sim/devices_file.h"
#include "sim/line.h"
#include "sim/load.h"
#include "sim/plant.h"
#include "sim/s7_sim.h"
#include "sim/server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define STEP_MS       100
#define LOAD_MAX      20000
#define LOAD_TAGS_MAX 32768
#define MOVE_BY       10 /* registers, on SIGUSR1 */
#define COMMAND_MAX   1024

enum { EXIT_USAGE = 2 };

struct options {
    const char *host, *devices_file, *interval;
    const char *line; /* serial line or pty instead of TCP */
    unsigned port, load, tags, baud;
    uint64_t seed;
    enum load_kind kind;
    enum framing framing;
    bool is_one_port, is_pty, is_controlled;
    struct faults faults;
};

struct sim {
    struct options opt;
    uv_loop_t loop;
    uv_timer_t clock;
    uv_signal_t signals[3];
    uv_poll_t input; /* commands */
    struct plant plant;
    struct load load;
    struct server **servers;
    struct line *line;
    struct place *places;
    unsigned server_count, device_count;
    struct control control;
    char command[COMMAND_MAX];
    size_t command_len;
    bool has_input;
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
    "  --type T              uint16, float32, or proof: a uint32 of address << 16 | unit << 8 | reads % 256 (uint16)\n"
    "  --interval D          poll_interval in the devices file (1s)\n"
    "RTU instead of Modbus TCP (several devices on a line have the unit ids 1, 2, ...):\n"
    "  --framing F           tcp, or rtu: RTU frames over TCP (tcp)\n"
    "  --rtu PATH            on a serial line\n"
    "  --pty PATH            on a pseudo terminal; PATH becomes a symbolic link to it\n"
    "  --baud N              of the line (9600); a pty given a speed keeps its pace\n"
    "  --control             takes the commands below on standard input\n"
    "SIGUSR1 moves the registers up by 10, and back.\n"
    "Siemens S7 CPUs instead: nexus sim --s7-help\n"
    "faults:\n";

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
    O_FRAMING,
    O_RTU,
    O_PTY,
    O_BAUD,
    O_CONTROL,
    O_HELP,
    O_FAULT /* the first of faults_describe() */
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
    {"framing", required_argument, NULL, O_FRAMING},
    {"rtu", required_argument, NULL, O_RTU},
    {"pty", required_argument, NULL, O_PTY},
    {"baud", required_argument, NULL, O_BAUD},
    {"control", no_argument, NULL, O_CONTROL},
    {"help", no_argument, NULL, O_HELP},
};

#define OWN_OPTIONS   MEM_COUNT(long_options)
#define FAULT_OPTIONS 64u

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
read_choice(const char *option, const char *text, const char *const *choices, unsigned n, unsigned *out)
{
    for (*out = 0; *out < n; ++*out)
        if (strcmp(text, choices[*out]) == 0)
            return true;
    fprintf(stderr, "nexus sim: %s cannot be '%s'\n", option, text);
    return false;
}

static bool
read_type(const char *text, enum load_kind *kind)
{
    static const char *const names[] = {[LOAD_UINT16] = "uint16", [LOAD_FLOAT32] = "float32", [LOAD_PROOF] = "proof"};
    unsigned n;

    if (!read_choice("--type", text, names, MEM_COUNT(names), &n))
        return false;
    *kind = (enum load_kind)n;
    return true;
}

static bool
read_framing(const char *text, enum framing *framing)
{
    static const char *const names[] = {[FRAMING_TCP] = "tcp", [FRAMING_RTU] = "rtu"};
    unsigned n;

    if (!read_choice("--framing", text, names, MEM_COUNT(names), &n))
        return false;
    *framing = (enum framing)n;
    return true;
}

static bool
read_fault(struct faults *f, unsigned i, const char *text)
{
    const char *name, *argument, *about;

    if (!faults_describe(i, &name, &argument, &about))
        return false;
    if (faults_set(f, name, text))
        return true;
    fprintf(stderr, "nexus sim: --%s cannot be '%s'\n", name, text ? text : "");
    return false;
}

static void
print_help(FILE *out)
{
    const char *name, *argument, *about;

    fputs(help, out);
    for (unsigned i = 0; faults_describe(i, &name, &argument, &about); i++) {
        int n = fprintf(out, "  --%s %s", name, argument ? argument : "");

        fprintf(out, "%*s%s\n", n < 24 ? 24 - n : 1, "", about);
    }
    fputs(control_help, out);
}

static bool
read_option(struct options *o, int key, const char *text)
{
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
        return read_type(text, &o->kind);
    case O_INTERVAL:
        o->interval = text;
        return true;
    case O_FRAMING:
        return read_framing(text, &o->framing);
    case O_RTU:
    case O_PTY:
        o->line = text;
        o->is_pty = key == O_PTY;
        return true;
    case O_BAUD:
        return read_number(text, 4000000, &o->baud);
    case O_CONTROL:
        o->is_controlled = true;
        return true;
    default:
        return key >= O_FAULT && read_fault(&o->faults, (unsigned)(key - O_FAULT), text);
    }
}

/* The options of sim.c and one for each fault. */
static void
list_options(struct option all[OWN_OPTIONS + FAULT_OPTIONS])
{
    const char *name, *argument, *about;
    unsigned i;

    memset(all, 0, (OWN_OPTIONS + FAULT_OPTIONS) * sizeof *all);
    memcpy(all, long_options, sizeof long_options);
    for (i = 0; faults_describe(i, &name, &argument, &about); i++)
        all[OWN_OPTIONS + i] =
            (struct option){name, argument ? required_argument : no_argument, NULL, O_FAULT + (int)i};
}

/* -1: go on; else the exit code. */
static int
read_options(struct options *o, int argc, char **argv)
{
    struct option all[OWN_OPTIONS + FAULT_OPTIONS];
    int key;

    *o = (struct options){.host = "127.0.0.1", .tags = 10, .interval = "1s", .seed = 1};
    faults_init(&o->faults, o->seed);
    list_options(all);
    optind = 0;
    while ((key = getopt_long(argc, argv, "", all, NULL)) != -1) {
        if (key == O_HELP) {
            print_help(stdout);
            return EXIT_SUCCESS;
        }
        if (!read_option(o, key, optarg)) {
            fputs("Try 'nexus sim --help'.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc || o->tags == 0 || (o->line && o->load > LOAD_UNITS_PER_PORT)) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    o->faults.seed = o->seed ? o->seed : 1;
    return -1;
}

/* --- servers --- */

static struct station
station_of(struct sim *sim, struct memory *memories, unsigned count)
{
    return (struct station){.framing = sim->opt.line ? FRAMING_RTU : sim->opt.framing,
                            .memories = memories,
                            .memory_count = count,
                            .faults = &sim->opt.faults};
}

static bool
open_server(struct sim *sim, struct memory *memories, unsigned count, unsigned *port)
{
    struct server_conf conf = {.host = sim->opt.host,
                               .port = (uint16_t)*port,
                               .station = station_of(sim, memories, count)};
    int why;
    struct server *s = server_open(&sim->loop, &conf, &why);

    if (!s) {
        fprintf(stderr, "nexus sim: cannot listen on %s port %u: %s\n", conf.host, conf.port, uv_strerror(why));
        return false;
    }
    sim->servers[sim->server_count++] = s;
    for (unsigned i = 0; i < count; i++)
        sim->places[sim->device_count++] =
            (struct place){.port = server_port(s), .unit = i + 1, .is_rtu = sim->opt.framing == FRAMING_RTU};
    if (*port != 0)
        ++*port;
    return true;
}

static bool
open_line(struct sim *sim, struct memory *memories, unsigned count)
{
    const struct options *o = &sim->opt;
    struct line_conf conf = {.path = o->line,
                             .is_pty = o->is_pty,
                             .baud = o->baud,
                             .station = station_of(sim, memories, count)};

    sim->line = line_open(&sim->loop, &conf);
    for (unsigned i = 0; i < count; i++)
        sim->places[sim->device_count++] =
            (struct place){.line = o->line, .unit = i + 1, .baud = o->baud ? o->baud : LINE_BAUD};
    return sim->line != NULL;
}

/* Groups of `each` memories share a port; all share a line. */
static bool
open_servers(struct sim *sim, struct memory *memories, unsigned count, unsigned each)
{
    unsigned port = sim->opt.port;

    sim->servers = mem_calloc(count / each + 1, sizeof(struct server *));
    sim->places = mem_calloc(count, sizeof *sim->places);
    if (sim->opt.line)
        return open_line(sim, memories, count);
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
    line_close(&sim->line);
    uv_close((uv_handle_t *)&sim->clock, NULL);
    for (unsigned i = 0; i < MEM_COUNT(sim->signals); i++)
        uv_close((uv_handle_t *)&sim->signals[i], NULL);
    if (sim->has_input)
        uv_close((uv_handle_t *)&sim->input, NULL);
    sim->has_input = false;
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct sim *sim = handle->data;

    if (signum == SIGUSR1)
        sim->opt.faults.move = sim->opt.faults.move ? 0 : MOVE_BY;
    else
        stop(sim);
}

static void
obey(struct sim *sim, char *line)
{
    struct wbuf answer = wbuf_init(0);

    control_line(&sim->control, line, &answer);
    fputs(wbuf_cstr(&answer), stdout);
    fflush(stdout);
    wbuf_free(&answer);
}

static void
on_input(uv_poll_t *poll, int status, int events)
{
    struct sim *sim = poll->data;
    size_t room = sizeof sim->command - 1 - sim->command_len;
    ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, sim->command + sim->command_len, room);
    char *end;

    (void)events;
    if (n <= 0) {
        uv_poll_stop(poll);
        return;
    }
    sim->command_len += (size_t)n;
    sim->command[sim->command_len] = '\0';
    while ((end = strchr(sim->command, '\n')) != NULL) {
        *end = '\0';
        obey(sim, sim->command);
        sim->command_len -= (size_t)(end + 1 - sim->command);
        memmove(sim->command, end + 1, sim->command_len + 1);
    }
    if (sim->command_len == sizeof sim->command - 1) /* no command is so long */
        sim->command_len = 0;
}

static void
start_control(struct sim *sim)
{
    sim->control = (struct control){&sim->opt.faults, sim->servers, sim->server_count, sim->line};
    if (!sim->opt.is_controlled || uv_poll_init(&sim->loop, &sim->input, STDIN_FILENO) != 0)
        return;
    sim->has_input = true;
    sim->input.data = sim;
    uv_poll_start(&sim->input, UV_READABLE, on_input);
}

static void
start_handles(struct sim *sim)
{
    static const int signums[] = {SIGINT, SIGTERM, SIGUSR1};

    uv_timer_init(&sim->loop, &sim->clock);
    sim->clock.data = sim;
    for (unsigned i = 0; i < MEM_COUNT(sim->signals); i++) {
        uv_signal_init(&sim->loop, &sim->signals[i]);
        sim->signals[i].data = sim;
        uv_signal_start(&sim->signals[i], on_signal, signums[i]);
    }
}

static void
say_where(const struct sim *sim)
{
    const struct options *o = &sim->opt;

    printf("simulating %u devices, %u tags on ", sim->device_count,
           o->load > 0 ? o->load * o->tags : plant_point_count);
    if (o->line)
        printf("%s\n", o->line);
    else
        printf("%s, ports %u to %u\n", o->host, sim->places[0].port, sim->places[sim->device_count - 1].port);
    fflush(stdout);
}

static bool
start(struct sim *sim)
{
    const struct options *o = &sim->opt;

    start_handles(sim);
    if (o->load > 0) {
        load_init(&sim->load, o->load, o->tags, o->kind);
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
    start_control(sim);
    say_where(sim);
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
