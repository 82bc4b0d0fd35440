/* s7_sim.c -- options, servers and commands of `nexus sim --s7...`. */
#include "sim/s7_sim.h"

#include "base/mem.h"
#include "sim/program.h"
#include "sim/s7_control.h"
#include "sim/s7_load.h"
#include "sim/s7_server.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LOAD_MAX      20000u
#define LOAD_TAGS_MAX 65536u
#define DBS_MAX       4096u
#define LINES_MAX     64u /* options of one kind that may be repeated */
#define LINE_CAP      2048u

enum { EXIT_USAGE = 2 };

struct options {
    const char *host, *devices_file, *interval;
    unsigned port, load, tags, dbs, db_bytes, area_bytes;
    bool is_int, is_controlled, has_provenance;
    struct s7sim_cpu_conf cpu;
    unsigned line_count;
    char *lines[LINES_MAX]; /* commands of s7_control.h, carried out before the start */
};

struct s7_sim {
    struct options opt;
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_pipe_t input;
    struct s7sim_load load; /* the CPUs, also without --s7-load */
    struct s7sim_faults faults;
    struct s7sim_control control;
    struct s7sim_server **servers;
    uint16_t *ports;
    unsigned server_count;
    bool is_stopping;
    size_t line_len;
    char line[LINE_CAP];
};

static const char help[] =
    "usage: nexus sim --s7 [options]\n"
    "Simulates Siemens S7 CPUs (S7comm over ISO-on-TCP).\n"
    "  --host ADDRESS          address to listen on (127.0.0.1)\n"
    "  --port PORT             first port; 0: free ports (0)\n"
    "  --s7-model M            limits of s7-300, s7-400, s7-1200 or s7-1500 (s7-1500)\n"
    "  --s7-pdu BYTES, --s7-jobs N, --s7-items N, --s7-connections N   the limits one by one; the last two: 0 is none\n"
    "  --s7-rack N, --s7-slot N, --s7-any-slot           who is let in\n"
    "  --s7-dbs N              data blocks (4)\n"
    "  --s7-db-bytes N         bytes of each (4096)\n"
    "  --s7-area-bytes N       bytes of I, Q and M (1024)\n"
    "  --s7-provenance         every word tells its own address\n"
    "  --s7-run 'COMMAND'      a command before the start, may be repeated (fault garbage on; db 2 optimized; ...)\n"
    "  --s7-control            commands on standard input while it runs; all of them: sim/s7_control.h\n"
    "benchmarks (248 CPUs on a port, by rack and slot; each tag counts its reads):\n"
    "  --s7-load CPUS          number of CPUs\n"
    "  --tags N                tags of each (10)\n"
    "  --s7-type T             real or int (real)\n"
    "  --interval D            poll_interval in the devices file (1s)\n"
    "  --devices-file FILE     writes the devices.yaml that reads it all\n";

enum {
    O_HOST = 256,
    O_PORT,
    O_FILE,
    O_INTERVAL,
    O_TAGS,
    O_S7,
    O_MODEL,
    O_PDU,
    O_JOBS,
    O_ITEMS,
    O_CONNECTIONS,
    O_RACK,
    O_SLOT,
    O_ANY_SLOT,
    O_DBS,
    O_DB_BYTES,
    O_AREA_BYTES,
    O_PROVENANCE,
    O_RUN,
    O_CONTROL,
    O_LOAD,
    O_TYPE,
    O_HELP
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, O_HOST},
    {"port", required_argument, NULL, O_PORT},
    {"devices-file", required_argument, NULL, O_FILE},
    {"interval", required_argument, NULL, O_INTERVAL},
    {"tags", required_argument, NULL, O_TAGS},
    {"s7", no_argument, NULL, O_S7},
    {"s7-model", required_argument, NULL, O_MODEL},
    {"s7-pdu", required_argument, NULL, O_PDU},
    {"s7-jobs", required_argument, NULL, O_JOBS},
    {"s7-items", required_argument, NULL, O_ITEMS},
    {"s7-connections", required_argument, NULL, O_CONNECTIONS},
    {"s7-rack", required_argument, NULL, O_RACK},
    {"s7-slot", required_argument, NULL, O_SLOT},
    {"s7-any-slot", no_argument, NULL, O_ANY_SLOT},
    {"s7-dbs", required_argument, NULL, O_DBS},
    {"s7-db-bytes", required_argument, NULL, O_DB_BYTES},
    {"s7-area-bytes", required_argument, NULL, O_AREA_BYTES},
    {"s7-provenance", no_argument, NULL, O_PROVENANCE},
    {"s7-run", required_argument, NULL, O_RUN},
    {"s7-control", no_argument, NULL, O_CONTROL},
    {"s7-load", required_argument, NULL, O_LOAD},
    {"s7-type", required_argument, NULL, O_TYPE},
    {"s7-help", no_argument, NULL, O_HELP},
    {NULL, 0, NULL, 0},
};

bool
s7sim_is_meant(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--s7", 4) == 0)
            return true;
    return false;
}

/* --- options --- */

static bool
read_type(const char *text, bool *is_int)
{
    *is_int = strcmp(text, "int") == 0;
    if (!*is_int && strcmp(text, "real") != 0) {
        fprintf(stderr, "nexus sim: --s7-type must be real or int\n");
        return false;
    }
    return true;
}

static bool
read_model(const char *text, struct s7sim_cpu_conf *cpu)
{
    if (s7sim_cpu_model(text, cpu))
        return true;
    fprintf(stderr, "nexus sim: --s7-model must be s7-300, s7-400, s7-1200 or s7-1500\n");
    return false;
}

static bool
add_line(struct options *o, char *text)
{
    if (o->line_count == LINES_MAX) {
        fprintf(stderr, "nexus sim: too many --s7-run\n");
        return false;
    }
    o->lines[o->line_count++] = text;
    return true;
}

static bool
read_cpu_option(struct options *o, int key, const char *text)
{
    switch (key) {
    case O_MODEL:
        return read_model(text, &o->cpu);
    case O_PDU:
        return program_number(text, S7_PDU_MIN, S7_PDU_MAX, &o->cpu.pdu_bytes);
    case O_JOBS:
        return program_number(text, 1, UINT16_MAX, &o->cpu.jobs_max);
    case O_ITEMS:
        return program_number(text, 0, S7_ITEMS_MAX, &o->cpu.items_max);
    case O_CONNECTIONS:
        return program_number(text, 0, UINT16_MAX, &o->cpu.connections_max);
    case O_RACK:
        return program_number(text, 0, 7, &o->cpu.rack);
    case O_SLOT:
        return program_number(text, 0, 31, &o->cpu.slot);
    case O_ANY_SLOT:
        o->cpu.is_any_slot = true;
        return true;
    case O_DBS:
        return program_number(text, 0, DBS_MAX, &o->dbs);
    case O_DB_BYTES:
        return program_number(text, 1, S7_BLOCK_MAX, &o->db_bytes);
    case O_AREA_BYTES:
        return program_number(text, 0, S7_BLOCK_MAX, &o->area_bytes);
    default:
        return false;
    }
}

static bool
read_option(struct options *o, int key, char *text)
{
    switch (key) {
    case O_HOST:
        o->host = text;
        return true;
    case O_PORT:
        return program_number(text, 0, UINT16_MAX, &o->port);
    case O_FILE:
        o->devices_file = text;
        return true;
    case O_INTERVAL:
        o->interval = text;
        return true;
    case O_TAGS:
        return program_number(text, 1, LOAD_TAGS_MAX, &o->tags);
    case O_LOAD:
        return program_number(text, 0, LOAD_MAX, &o->load);
    case O_TYPE:
        return read_type(text, &o->is_int);
    case O_PROVENANCE:
        o->has_provenance = true;
        return true;
    case O_RUN:
        return add_line(o, text);
    case O_CONTROL:
        o->is_controlled = true;
        return true;
    case O_S7:
        return true;
    default:
        return read_cpu_option(o, key, text);
    }
}

/* -1: go on; else the exit code. */
static int
read_options(struct options *o, int argc, char **argv)
{
    int key;

    *o = (struct options){
        .host = "127.0.0.1", .tags = 10, .interval = "1s", .dbs = 4, .db_bytes = 4096, .area_bytes = 1024};
    (void)s7sim_cpu_model("s7-1500", &o->cpu);
    optind = 0;
    while ((key = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (key == O_HELP) {
            fputs(help, stdout);
            return EXIT_SUCCESS;
        }
        if (!read_option(o, key, optarg)) {
            fputs("Try 'nexus sim --s7-help'.\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(help, stderr);
        return EXIT_USAGE;
    }
    return -1;
}

/* --- CPUs and their ports --- */

/* One CPU with the blocks of the options, kept like a load of one. */
static void
make_one(struct s7_sim *sim)
{
    struct s7sim_cpu *cpu = mem_alloc(sizeof *cpu);

    cpu->conf = sim->opt.cpu;
    s7sim_memory_init(&cpu->memory, sim->opt.dbs, sim->opt.db_bytes, sim->opt.area_bytes);
    sim->load = (struct s7sim_load){.cpus = cpu, .cpu_count = 1};
}

static void
drop_all(void *arg)
{
    struct s7_sim *sim = arg;

    for (unsigned i = 0; i < sim->server_count; i++)
        s7sim_server_drop(sim->servers[i]);
}

static void
make_cpus(struct s7_sim *sim)
{
    const struct options *o = &sim->opt;

    if (o->load > 0)
        s7sim_load_init(&sim->load, o->load, o->tags, o->is_int, &o->cpu);
    else
        make_one(sim);
    for (unsigned i = 0; i < sim->load.cpu_count && o->has_provenance; i++)
        s7sim_memory_fill_provenance(&sim->load.cpus[i].memory);
    sim->control =
        (struct s7sim_control){sim->load.cpus, sim->load.cpu_count, o->db_bytes, &sim->faults, drop_all, sim};
}

static bool
run_lines(struct s7_sim *sim)
{
    struct wbuf answer = wbuf_init(0);
    bool is_fine = true;

    for (unsigned i = 0; i < sim->opt.line_count && is_fine; i++) {
        wbuf_reset(&answer);
        s7sim_control_line(&sim->control, sim->opt.lines[i], &answer);
        is_fine = slice_starts_with(wbuf_slice_of(&answer), slice_str("ok"));
        if (!is_fine)
            fprintf(stderr, "nexus sim: --s7-run %s: %s", sim->opt.lines[i], wbuf_cstr(&answer));
    }
    wbuf_free(&answer);
    return is_fine;
}

static bool
open_server(struct s7_sim *sim, unsigned first)
{
    unsigned left = sim->load.cpu_count - first;
    struct s7sim_server_conf conf = {.host = sim->opt.host,
                                     .port = (uint16_t)(sim->opt.port ? sim->opt.port + sim->server_count : 0),
                                     .cpus = sim->load.cpus + first,
                                     .cpu_count = left < S7_LOAD_PER_PORT ? left : S7_LOAD_PER_PORT,
                                     .faults = &sim->faults};
    int why;
    struct s7sim_server *s = s7sim_server_open(&sim->loop, &conf, &why);

    if (!s) {
        program_say_no_port(conf.host, conf.port, why);
        return false;
    }
    sim->ports[sim->server_count] = s7sim_server_port(s);
    sim->servers[sim->server_count++] = s;
    return true;
}

static bool
open_servers(struct s7_sim *sim)
{
    unsigned groups = (sim->load.cpu_count + S7_LOAD_PER_PORT - 1) / S7_LOAD_PER_PORT;

    sim->servers = mem_calloc(groups, sizeof *sim->servers);
    sim->ports = mem_calloc(groups, sizeof *sim->ports);
    for (unsigned at = 0; at < sim->load.cpu_count; at += S7_LOAD_PER_PORT)
        if (!open_server(sim, at))
            return false;
    return true;
}

static bool
write_devices_file(const struct s7_sim *sim)
{
    struct wbuf out = wbuf_init(0);

    s7sim_load_devices(&out, &sim->load, sim->opt.host, sim->ports, sim->opt.interval);
    return program_save(sim->opt.devices_file, &out);
}

/* --- commands on standard input --- */

static void
run_command(struct s7_sim *sim)
{
    struct wbuf answer = wbuf_init(0);

    sim->line[sim->line_len] = '\0';
    sim->line_len = 0;
    s7sim_control_line(&sim->control, sim->line, &answer);
    fputs(wbuf_cstr(&answer), stdout);
    fflush(stdout);
    wbuf_free(&answer);
}

static void
on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    static char bytes[LINE_CAP];

    (void)handle;
    (void)hint;
    *buf = uv_buf_init(bytes, sizeof bytes);
}

static void
on_input(uv_stream_t *input, ssize_t n, const uv_buf_t *buf)
{
    struct s7_sim *sim = input->data;

    if (n < 0)
        (void)uv_read_stop(input);
    for (ssize_t i = 0; i < n; i++) {
        if (buf->base[i] == '\n')
            run_command(sim);
        else if (sim->line_len + 1 < sizeof sim->line)
            sim->line[sim->line_len++] = buf->base[i];
    }
}

static bool
listen_to_input(struct s7_sim *sim)
{
    int err = uv_pipe_open(&sim->input, 0);

    if (err == 0)
        err = uv_read_start((uv_stream_t *)&sim->input, on_alloc, on_input);
    if (err != 0)
        fprintf(stderr, "nexus sim: standard input: %s\n", uv_strerror(err));
    return err == 0;
}

/* --- running --- */

static void
stop(struct s7_sim *sim)
{
    if (sim->is_stopping)
        return;
    sim->is_stopping = true;
    for (unsigned i = 0; i < sim->server_count; i++)
        s7sim_server_close(&sim->servers[i]);
    uv_close((uv_handle_t *)&sim->input, NULL);
    program_unwatch(sim->signals, MEM_COUNT(sim->signals));
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    (void)signum;
    stop(handle->data);
}

static void
start_handles(struct s7_sim *sim)
{
    static const int signums[] = {SIGINT, SIGTERM};

    uv_pipe_init(&sim->loop, &sim->input, 0);
    sim->input.data = sim;
    program_watch(&sim->loop, sim->signals, signums, MEM_COUNT(sim->signals), on_signal, sim);
}

static bool
start(struct s7_sim *sim)
{
    const struct options *o = &sim->opt;

    start_handles(sim);
    make_cpus(sim);
    if (!run_lines(sim) || !open_servers(sim))
        return false;
    if (o->devices_file && !write_devices_file(sim))
        return false;
    if (o->is_controlled && !listen_to_input(sim))
        return false;
    printf("simulating %u S7 CPUs on %s, ports %u to %u\n", sim->load.cpu_count, o->host, sim->ports[0],
           sim->ports[sim->server_count - 1]);
    fflush(stdout);
    return true;
}

int
s7sim_main(int argc, char **argv)
{
    struct s7_sim *sim = mem_alloc(sizeof *sim);
    int code = read_options(&sim->opt, argc, argv);

    if (code < 0) {
        program_start(&sim->loop);
        code = start(sim) ? EXIT_SUCCESS : EXIT_FAILURE;
        if (code != EXIT_SUCCESS)
            stop(sim);
        uv_run(&sim->loop, UV_RUN_DEFAULT);
        uv_loop_close(&sim->loop);
        s7sim_load_fini(&sim->load);
        free(sim->servers);
        free(sim->ports);
    }
    free(sim);
    return code;
}
