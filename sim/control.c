#include "sim/control.h"

#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

const char control_help[] =
    "commands with --control, one line each:\n"
    "  fault NAME [VALUE]    any of the faults; a kind or a switch also with off; none clears all\n"
    "  drawn                 tells how many replies suffered what\n"
    "  requests              tells how many requests came\n"
    "  drop                  resets every TCP connection\n"
    "  unplug, plug          the serial line is pulled out, and is back\n";

static bool
do_fault(struct control *c, char *name, char *value, struct wbuf *answer)
{
    (void)answer;
    return name && faults_set(c->faults, name, value);
}

static bool
do_drawn(struct control *c, char *name, char *value, struct wbuf *answer)
{
    (void)name;
    (void)value;
    wbuf_printf(answer, " good %" PRIu64, c->faults->drawn[FAULT_NONE]);
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        const char *kind, *argument, *help;

        (void)faults_describe(i, &kind, &argument, &help);
        if (c->faults->drawn[i] > 0)
            wbuf_printf(answer, " %s %" PRIu64, kind, c->faults->drawn[i]);
    }
    return true;
}

static bool
do_requests(struct control *c, char *name, char *value, struct wbuf *answer)
{
    uint64_t n = c->line ? line_requests(c->line) : 0;

    (void)name;
    (void)value;
    for (unsigned i = 0; i < c->server_count; i++)
        n += server_requests(c->servers[i]);
    wbuf_printf(answer, " %" PRIu64, n);
    return true;
}

static bool
do_drop(struct control *c, char *name, char *value, struct wbuf *answer)
{
    (void)name;
    (void)value;
    (void)answer;
    for (unsigned i = 0; i < c->server_count; i++)
        server_drop(c->servers[i]);
    return true;
}

static bool
do_unplug(struct control *c, char *name, char *value, struct wbuf *answer)
{
    (void)name;
    (void)value;
    (void)answer;
    return c->line && line_unplug(c->line);
}

static bool
do_plug(struct control *c, char *name, char *value, struct wbuf *answer)
{
    (void)name;
    (void)value;
    (void)answer;
    return c->line && line_plug(c->line);
}

static const struct {
    const char *verb;
    bool (*run)(struct control *c, char *name, char *value, struct wbuf *answer);
} commands[] = {
    {"fault", do_fault}, {"drawn", do_drawn},   {"requests", do_requests},
    {"drop", do_drop},   {"unplug", do_unplug}, {"plug", do_plug},
};

void
control_line(struct control *c, char *line, struct wbuf *answer)
{
    struct wbuf more = wbuf_init(0);
    char *rest = NULL, *verb = strtok_r(line, " \t\r\n", &rest);
    char *name = verb ? strtok_r(NULL, " \t\r\n", &rest) : NULL,
         *value = name ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
    bool is_done = false;

    for (size_t i = 0; verb && i < MEM_COUNT(commands); i++)
        if (strcmp(commands[i].verb, verb) == 0)
            is_done = commands[i].run(c, name, value, &more);
    if (is_done)
        wbuf_printf(answer, "ok%s\n", wbuf_cstr(&more));
    else
        wbuf_printf(answer, "error: %s %s %s: see nexus sim --help\n", verb ? verb : "", name ? name : "",
                    value ? value : "");
    wbuf_free(&more);
}
