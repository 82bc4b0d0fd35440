/* cli.h -- what the commands for people share: options, the way to the API, tables.
 *
 * A command group (`nexus device`) is a table of verbs. A verb answers an exit code; whoever finds a failure prints it
 * to standard error with the remedy, once. Standard output has the result only, in the form of --output. One thread. */
#ifndef APP_CLI_H
#define APP_CLI_H

#include "app/command.h"
#include "base/wbuf.h"

#include <jansson.h>
#include <stdio.h>

/* name, option, letter, placeholder (NULL: a flag), help */
#define CLI_OPTIONS(X)                                                                                                 \
    X(URL, "url", 0, "URL", "address of the core; also NEXUS_URL; http://127.0.0.1:8080 by default")                   \
    X(TOKEN, "token", 0, "TOKEN", "access token; also NEXUS_TOKEN (others can see arguments: prefer a file)")          \
    X(TOKEN_FILE, "token-file", 0, "FILE", "file with the token; also NEXUS_TOKEN_FILE; `nexus login` writes one")     \
    X(OUTPUT, "output", 'o', "FORMAT", "table, json or csv")                                                           \
    X(HELP, "help", 'h', NULL, "show this help")                                                                       \
    X(FILTER, "filter", 0, "TEXT", "only what contains this text")                                                     \
    X(PCAPNG, "pcapng", 0, "FILE", "write a capture file for Wireshark instead")                                       \
    X(FILE, "file", 0, "FILE", "write to this file instead of standard output")                                        \
    X(DEVICE, "device", 0, "DEVICE", "device of rows without a device_id")                                             \
    X(EXPECTED, "expected", 0, "VALUE", "write only when the tag has this value now")                                  \
    X(TTL, "ttl", 0, "TIME", "give up when the write could not begin in this time, as 5s")                             \
    X(REASON, "reason", 0, "TEXT", "why, for the log")                                                                 \
    X(INTERVAL, "interval", 0, "TIME", "how often to look, 1s by default")                                             \
    X(COUNT, "count", 0, "N", "end after so many lines")                                                               \
    X(DRY_RUN, "dry-run", 0, NULL, "check everything, change nothing")                                                 \
    X(BEST_EFFORT, "best-effort", 0, NULL, "take the good rows although others are refused")                           \
    X(FROM, "from", 0, "TIME", "since when: RFC 3339, a date, or how long ago, as 24h (the default)")                  \
    X(TO, "to", 0, "TIME", "until when; now by default")                                                               \
    X(FORMAT, "format", 0, "FORMAT", "csv, ndjson, parquet, binary or json; by default as FILE is called, else csv")   \
    X(FN, "fn", 0, "NAME", "raw (the default), minmax, avg, last, twa or lttb")                                        \
    X(POINTS, "max-points", 0, "N", "at most so many values a tag, or so many stretches of time")                      \
    X(USERNAME, "username", 'u', "NAME", "who logs in")                                                                \
    X(PASSWORD_FILE, "password-file", 0, "FILE", "file with the password; else it is asked for")

enum cli_option {
#define CLI_OPTION_ENUM(name, option, letter, placeholder, help) CLI_##name,
    CLI_OPTIONS(CLI_OPTION_ENUM)
#undef CLI_OPTION_ENUM
        CLI_OPTION_COUNT
};
#define CLI_BIT(name) (1u << CLI_##name)
#define CLI_COMMON    (CLI_BIT(URL) | CLI_BIT(TOKEN) | CLI_BIT(TOKEN_FILE) | CLI_BIT(OUTPUT) | CLI_BIT(HELP))

enum cli_format { CLI_AS_DEFAULT, CLI_AS_TABLE, CLI_AS_JSON, CLI_AS_CSV };

/* What a verb gets. Texts are those of the command line. */
struct cli {
    const char *option[CLI_OPTION_COUNT]; /* NULL: not given; a flag: "" */
    char **operands;                      /* ends with NULL */
    int operand_count;
    enum cli_format format;
    bool is_color;
    struct cli_http *http;
};

struct cli_verb {
    const char *name, *operands, *help, *examples;
    unsigned options; /* CLI_BIT()s beside the common ones */
    int min, max;     /* operands */
    int (*run)(struct cli *cli);
};

/* argv[0] is the group's name, argv[1] the verb. verbs ends with name NULL. */
int cli_main(const char *group, const struct cli_verb *verbs, int argc, char **argv);
/* A command that is one verb. */
int cli_main_verb(const struct cli_verb *verb, int argc, char **argv);
/* "nexus: ..." to standard error; answers code. */
int cli_fail(int code, const char *fmt, ...) NX_PRINTF(2, 3);
/* Opens --file for writing, or answers standard output; NULL: has complained. */
FILE *cli_output(const char *path);
/* Closes what cli_output() gave; an exit code: a full disk is a failure. */
int cli_output_close(FILE *f, const char *path);

/* --- cli_http.c: the API --- */
struct cli_http;
/* Reads address and token. EXIT_OK or has complained. */
int cli_http_open(struct cli_http **out, const struct cli *cli);
void cli_http_close(struct cli_http **http);
const char *cli_http_url(const struct cli_http *http);
/* Calls the API; a 2xx answer is *out (new reference, NULL when it has no JSON; out may be NULL). Else it has printed
 * the problem with its remedy. An access token from a file of `nexus login` is renewed on the way. */
int cli_call(struct cli_http *http, const char *method, const char *path, const json_t *body, json_t **out);
/* The same for any bytes. */
int cli_download(struct cli_http *http, const char *path, struct wbuf *out);
/* The same for any number of them: a 2xx answer goes to a file as it comes, for as long as something comes. What was
 * written before a failure is not the whole. */
int cli_fetch(struct cli_http *http, const char *method, const char *path, const json_t *body, FILE *to);
/* Every item of a list of pages, in order; path without limit and cursor. EXIT_OK, or the first failure. */
int cli_each(struct cli_http *http, const char *path, int (*each)(void *arg, json_t *item), void *arg);
/* The whole list as an array; new reference. */
int cli_list(struct cli_http *http, const char *path, json_t **out);
/* A path of text and operands, each percent-encoded: cli_path("/devices/", id, "/tags", NULL). free() it. */
char *cli_path(const char *part, ...);
int cli_exit_code_of_status(long status);

/* --- cli_table.c: rows of text, for people and for spreadsheets --- */
struct cli_table;
/* Titles end with NULL; one that begins with '>' is aligned to the right. */
struct cli_table *cli_table_new(const char *const *titles);
void cli_table_free(struct cli_table **t);
/* The next cell, row by row. NULL is an empty one. */
void cli_table_text(struct cli_table *t, const char *text);
void cli_table_printf(struct cli_table *t, const char *fmt, ...) NX_PRINTF(2, 3);
/* Texts as they are, numbers shortest, others as JSON; null is empty. */
void cli_table_json(struct cli_table *t, const json_t *value);
/* Without line breaks and control characters inside a cell; a table with no rows has its titles only. */
void cli_table_print(const struct cli_table *t, struct wbuf *out, bool is_color);
void cli_table_csv(const struct cli_table *t, struct wbuf *out);
/* Prints doc when the format is JSON, else the table. Frees the table. */
int cli_show(const struct cli *cli, const json_t *doc, struct cli_table **t);
int cli_show_json(const json_t *doc);
/* Text of a value as in a cell; free() it. */
char *cli_text(const json_t *value);
const char *cli_quality(const json_t *quality);
/* Members of an answer, borrowed: NULL when absent; "" when it is no text. */
json_t *cli_at(const json_t *object, const char *key);
const char *cli_text_at(const json_t *object, const char *key);
/* "10:42:03.123" of microseconds since 1970, UTC. */
char *cli_clock(int64_t time_us, char out[16]);

/* --- cli_csv.c: RFC 4180 --- */
struct cli_csv {
    char ***rows; /* [row_count], each ends with NULL */
    size_t row_count;
    unsigned *lines; /* of the file, where each row begins */
};
/* Separator , or ; (whichever the first line has more of); a UTF-8 byte order mark is skipped. */
NX_MUST_CHECK enum nx_err cli_csv_read(struct slice text, struct cli_csv *out, struct nx_note *why);
void cli_csv_free(struct cli_csv *csv);
void cli_csv_cell(struct wbuf *out, const char *text);

/* --- cli_token.c: who asks --- */
struct cli_token {
    char *url;              /* NULL: not said */
    char *access, *refresh; /* refresh NULL: cannot be renewed */
    char *path;             /* of its file; NULL: from an option or the environment */
};
int cli_token_read(const struct cli *cli, struct cli_token *out);
/* Replaces the file (0600). EXIT_OK or has complained. */
int cli_token_write(const char *path, const char *url, const json_t *pair);
/* The file that `nexus login` writes; free() it. */
char *cli_token_path(const struct cli *cli);
void cli_token_free(struct cli_token *t);

/* --- cli_plan.c --- */
int cli_plan(struct cli *cli);
int cli_plan_print(const struct cli *cli, const json_t *plan, struct wbuf *out);

/* --- cli_tag_file.c --- */
int cli_tag_import(struct cli *cli);
int cli_tag_export(struct cli *cli);
/* A cell as the setting `key` of a tag; NULL: empty. New reference. */
json_t *cli_tag_setting(const char *key, const char *cell);

#endif
