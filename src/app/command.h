/* command.h -- the commands of the one executable: a row each, from main.c's table. */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include "conf/conf.h"
#include "loop/loop.h"

/* Exit codes (contracts, "Commands"). */
enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_DENIED = 4,
    EXIT_CONFLICT = 5,
    EXIT_UNAVAILABLE = 6,
};

/* argv[0] is the command's own name. Returns an exit code. */
typedef int command_f(int argc, char **argv);

command_f command_up, command_gateway, command_ingest, command_core, command_config, command_supervised;
command_f command_device, command_plan, command_tag, command_history, command_login, command_logout;

int exit_code_of(enum nx_err err);
/* Prints "nexus: <text>" for a person. Returns the exit code for err. */
int command_failed(enum nx_err err, const struct nx_note *why);

/* --- options: a small reader for "--name value" and "--name=value" --- */
struct option_spec {
    const char *name;   /* "data" */
    char letter;        /* 'o' for -o; 0: none */
    const char **value; /* where the text goes; for a flag a non-NULL text when given */
    bool is_flag;
    const char ***list; /* repeated option: grows a NULL-terminated list (free() it); value is ignored */
};
/* Reads options, up to "--" when there is one; the rest (operands) is moved to argv[1..] and *argc adjusted. false: a
 * message with a near miss was printed. specs ends with name NULL. */
bool options_read(int *argc, char **argv, const struct option_spec *specs);

/* --- roles: a service on a loop until SIGINT or SIGTERM --- */
struct role {
    const char *name;
    const struct conf_row *rows;
    const char *const *foreign; /* sections of the file that belong to other roles */
    enum nx_err (*open)(void **state, struct loop *loop, const struct conf_source *src, struct nx_note *why);
    /* Ends everything in order, then calls stopped. */
    void (*stop)(void *state, void (*stopped)(void *arg), void *arg);
    void (*free)(void **state);
};
extern const struct role role_gateway, role_ingest, role_core;
extern const struct role *const roles[]; /* all of them; ends with NULL */

/* What one shared file may hold for others: the role's foreign sections and every key that only other roles have.
 * NULL-terminated; free() it. */
const char **role_foreign_keys(const struct role *role);

/* `nexus <role> [--config FILE] [--set KEY=VALUE]...` */
int role_run(const struct role *role, int argc, char **argv);

#endif
