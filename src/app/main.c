/* main.c -- `nexus COMMAND`: roles, the supervisor, and commands for people. */
#include "app/command.h"

#include "base/mem.h"
#include "base/num.h"
#include "sim/sim.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
    command_f *run;
} commands[] = {
    {"up", "run the whole platform on this machine (--demo: with a simulated plant)", command_up},
    {"gateway", "poll devices, publish their values, execute writes", command_gateway},
    {"ingest", "store what gateways publish", command_ingest},
    {"core", "serve the API and the web UI", command_core},
    {"sim", "simulate Modbus and Siemens S7 devices", sim_main},
    {"device", "list devices, test and explain them", command_device},
    {"plan", "how a device is read: requests, holes, achieved rates", command_plan},
    {"tag", "read, write, watch, import and export tags", command_tag},
    {"config", "check a configuration file, explain a setting, print a sample", command_config},
    {"device", "list, show, test, browse and record devices, and explain how they are read", command_device},
    {"plan", "how a device is read: requests, bytes, gaps, achieved rates", command_plan},
    {"tag", "read, write, watch, import and export tags", command_tag},
    {"history", "export stored values as CSV, NDJSON or Parquet", command_history},
    {"login", "keep a token for the commands above", command_login},
    {"logout", "end it", command_logout},
    {"supervised", NULL, command_supervised},
};

static void
print_help(FILE *to)
{
    (void)fprintf(to, "usage: nexus COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < MEM_COUNT(commands); i++) {
        if (commands[i].help)
            (void)fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].help);
    }
    (void)fprintf(to, "  %-10s %s\n", "version", "print the version");
}

static int
unknown_command(const char *name)
{
    const char *names[MEM_COUNT(commands)];

    for (size_t i = 0; i < MEM_COUNT(commands); i++)
        names[i] = commands[i].name;
    const char *near = num_near_miss(name, names, MEM_COUNT(names));
    if (near)
        (void)fprintf(stderr, "nexus: unknown command '%s'. Did you mean '%s'?\n", name, near);
    else
        (void)fprintf(stderr, "nexus: unknown command '%s'. 'nexus help' lists them.\n", name);
    return EXIT_USAGE;
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        print_help(stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) {
        (void)printf("nexus %s\n", NX_VERSION);
        return EXIT_OK;
    }
    for (size_t i = 0; i < MEM_COUNT(commands); i++) {
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_command(argv[1]);
}
