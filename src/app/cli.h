/* cli.h -- what the commands for people share: requests to the API, tables, and values as text. One thread, blocking.
 *
 * Where the API is: --url or NEXUS_URL (http://127.0.0.1:8080). Who asks: --token, NEXUS_TOKEN, or --user with
 * NEXUS_PASSWORD. Answers go to standard output, complaints with their remedy to standard error; the exit code tells
 * what went wrong (command.h). */
#ifndef APP_CLI_H
#define APP_CLI_H

#include "app/command.h"
#include "base/wbuf.h"

#include <jansson.h>

enum cli_output { CLI_TABLE, CLI_JSON, CLI_CSV };

struct cli {
    const char *url, *token, *user, *output_name;
    enum cli_output output;
    char *session; /* token of a login */
    int exit_code; /* of the request that failed */
};

/* Options that every such command takes, for its table. */
#define CLI_OPTIONS(c)                                                                                                 \
    {.name = "url", .value = &(c)->url}, {.name = "token", .value = &(c)->token},                                      \
        {.name = "user", .value = &(c)->user},                                                                         \
    {                                                                                                                  \
        .name = "output", .letter = 'o', .value = &(c)->output_name                                                    \
    }

/* Reads environment and options, logs in when asked to. False: a message was printed, exit_code is set. */
bool cli_begin(struct cli *c);
void cli_end(struct cli *c);

/* One request. body may be NULL (a reference is taken). NULL: the problem was printed, exit_code is set. An answer
 * without a body is an empty object. New reference. path is formatted; use cli_escape() for parts that a person has
 * typed. */
json_t *cli_call(struct cli *c, const char *method, json_t *body, const char *path, ...)
    __attribute__((format(printf, 4, 5)));
/* Every page of a list: an array. NULL as above. */
json_t *cli_list(struct cli *c, const char *path, ...) __attribute__((format(printf, 2, 3)));
/* A file. False as above. */
bool cli_download(struct cli *c, const char *path, struct wbuf *out);
/* For a URL; free() it. */
char *cli_escape(const char *text);

/* --- output --- */

struct cli_column {
    const char *title;
    const char *key;                                                /* of each item; "status.state" goes down */
    const char *(*text)(const json_t *item, char *buf, size_t cap); /* instead of key; may be NULL */
};
/* Prints items as --output says: a table with columns, CSV (RFC 4180), or the whole JSON. columns ends with title NULL.
 */
void cli_print_list(const struct cli *c, const json_t *items, const struct cli_column *columns);
void cli_print_json(const json_t *json);
/* A value as people write it, with up to 9 significant digits; "-" for none. */
const char *cli_value(const json_t *value, char *buf, size_t cap);
/* good, uncertain, bad, of the OPC number. */
const char *cli_quality(const json_t *quality);

/* Chooses a verb: argv[1]. Prints help or the near miss; -1 when it has. */
struct cli_verb {
    const char *name, *operands, *help;
    int (*run)(struct cli *c, int argc, char **argv); /* argv[0] is the verb */
};
int cli_run(const char *noun, const struct cli_verb *verbs, int argc, char **argv);
/* "nexus <noun> <verb>: usage ...": EXIT_USAGE. */
int cli_usage(const char *noun, const struct cli_verb *verb);

#endif
