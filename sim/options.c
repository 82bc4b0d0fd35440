#include "sim/options.h"

#include "base/mem.h"
#include "base/num.h"
#include "sim/control.h"
#include "sim/program.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define LOAD_MAX      20000
#define LOAD_TAGS_MAX 32768

enum { EXIT_USAGE = 2 };

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
        return program_number(text, 0, UINT16_MAX, &o->port);
    case O_ONE_PORT:
        o->is_one_port = true;
        return true;
    case O_FILE:
        o->devices_file = text;
        return true;
    case O_SEED:
        return num_u64(slice_str(text), &o->seed);
    case O_LOAD:
        return program_number(text, 0, LOAD_MAX, &o->load);
    case O_TAGS:
        return program_number(text, 0, LOAD_TAGS_MAX, &o->tags);
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
        return program_number(text, 0, 4000000, &o->baud);
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

int
sim_options_read(struct options *o, int argc, char **argv)
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
