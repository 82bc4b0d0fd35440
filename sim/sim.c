/* sim.c -- servers, line and clock of `nexus sim`. */
#include "sim/sim.h"

#include "base/mem.h"
#include "sim/control.h"
#include "sim/devices_file.h"
#include "sim/line.h"
#include "sim/options.h"
#include "sim/plant.h"
#include "sim/program.h"
#include "sim/s7_sim.h"
#include "sim/server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEP_MS     100
#define MOVE_BY     10 /* registers, on SIGUSR1 */
#define COMMAND_MAX 1024

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
        program_say_no_port(conf.host, conf.port, why);
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

    if (sim->opt.load > 0)
        devices_file_load(&out, sim->opt.host, sim->places, &sim->load, sim->opt.interval);
    else
        devices_file_plant(&out, sim->opt.host, sim->places);
    return program_save(sim->opt.devices_file, &out);
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
    program_unwatch(sim->signals, MEM_COUNT(sim->signals));
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
    program_watch(&sim->loop, sim->signals, signums, MEM_COUNT(sim->signals), on_signal, sim);
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

int
sim_main(int argc, char **argv)
{
    struct sim *sim;
    int code;

    if (s7sim_is_meant(argc, argv))
        return s7sim_main(argc, argv);
    sim = mem_alloc(sizeof *sim);
    code = sim_options_read(&sim->opt, argc, argv);

    if (code < 0) {
        program_start(&sim->loop);
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
