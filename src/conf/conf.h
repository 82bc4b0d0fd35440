/* conf.h -- settings: tables in, structs out.
 *
 * A service declares one table of rows {key, type, default, bounds, help, offset}. The same rows load YAML files,
 * environment, flags and JSON bodies, print `nexus config explain`, the sample file and the form in the UI.
 * Precedence: flag > environment NEXUS_SECTION__KEY > conf.d files > file > default. ${VAR} and ${VAR:-default} are
 * expanded in scalars of files. An unknown key is an error that names file, line and the near miss. A wrong file
 * changes nothing. Text members of a filled struct are owned by the struct conf that filled it. Not thread-safe. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "base/arena.h"
#include "base/wbuf.h"
#include "nexus/driver.h"
#include "nexus/err.h"

#include <jansson.h>

/* --- a document: YAML or JSON as one kind of tree, with places for error messages --- */

enum conf_kind { CONF_NULL, CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf_node {
    enum conf_kind kind;
    const char *key;                         /* in a map; NULL else */
    const char *text;                        /* scalar, terminated; expanded */
    bool is_quoted;                          /* scalar was a quoted string */
    unsigned line;                           /* 1-based; 0 when the document was JSON */
    const char *source;                      /* file name, or what the caller named it */
    struct conf_node *parent, *child, *next; /* first child, next sibling; document order */
    unsigned count;                          /* children */
};

/* Parses YAML text (libyaml). Every node lives in a. Duplicate keys, anchors that nest more than 64 deep, and
 * documents of more than 5,000,000 nodes are errors. source names the document in messages. */
NX_MUST_CHECK enum nx_err conf_parse_yaml(struct arena *a, struct slice text, const char *source,
                                          struct conf_node **root, struct nx_note *why);
NX_MUST_CHECK enum nx_err conf_read_yaml(struct arena *a, const char *path, struct conf_node **root,
                                         struct nx_note *why);
/* The same tree from JSON; errors then name the JSON pointer instead of a line. */
struct conf_node *conf_from_json(struct arena *a, const json_t *json, const char *source);
/* And back: scalars become numbers/booleans when they were written so and not quoted. New reference. */
json_t *conf_to_json(const struct conf_node *node);

struct conf_node *conf_get(const struct conf_node *map, const char *key); /* NULL when absent */
/* "devices.yaml:12: devices[3].connection.port" or "/devices/3/connection/port". Returns buf. */
const char *conf_where(const struct conf_node *node, char *buf, size_t cap);
/* Fails with the place in front of the text. */
enum nx_err conf_fail(const struct conf_node *node, struct nx_note *why, const char *fmt, ...) NX_PRINTF(3, 4);

/* --- settings tables --- */

enum conf_type {
    CONF_STRING,   /* const char * (NULL when absent and no default) */
    CONF_SECRET,   /* const char *; also KEY_file; never printed */
    CONF_INT,      /* int64_t */
    CONF_DOUBLE,   /* double */
    CONF_BOOL,     /* bool */
    CONF_DURATION, /* int64_t milliseconds */
    CONF_BYTES,    /* uint64_t */
    CONF_ENUM,     /* int: index into choices */
    CONF_NODE,     /* const struct conf_node *: anything, read by its owner */
};

struct conf_row {
    const char *key; /* "mqtt.broker_url": dots are nesting */
    enum conf_type type;
    const char *def;     /* as text; NULL: absent (0/NULL) */
    const char *choices; /* CONF_ENUM: "a|b|c" */
    double min, max;     /* both 0: unlimited */
    const char *unit;
    const char *help;
    const char *env; /* further names of environment variables, "A|B"; NULL: none */
    size_t offset;
    bool is_reloadable;
    bool is_required;
};
#define CONF_ROW_END ((struct conf_row){.key = NULL})

/* Fills *target (rows' offsets) from one map, with defaults for what is absent. Unknown keys are errors with a near
 * miss. No environment. Text is copied into a. Used for devices, tags, bodies. */
NX_MUST_CHECK enum nx_err conf_fill(struct arena *a, const struct conf_row *rows, const struct conf_node *map,
                                    void *target, struct nx_note *why);

struct conf;
struct conf_source {
    const char *path;             /* file; NULL: none. <dir>/conf.d is merged over it */
    const char *const *overrides; /* "mqtt.port=1884" from flags; ends with NULL; may be NULL */
    /* Sections and dotted keys that belong to other services: accepted unread; ends with NULL. */
    const char *const *foreign;
};
/* Loads everything in order of precedence. tables: NULL-terminated list of row tables that share *target. */
NX_MUST_CHECK enum nx_err conf_load(struct conf **out, const struct conf_source *src, const struct conf_row *rows,
                                    void *target, struct nx_note *why);
void conf_free(struct conf **conf);
/* "mqtt.port = 1884  (environment NEXUS_MQTT__PORT; default 1883)\nTCP port of the broker". NOT_FOUND + near miss. */
NX_MUST_CHECK enum nx_err conf_explain(const struct conf *conf, const char *key, struct wbuf *out, struct nx_note *why);
/* A commented sample file of every key with its default. */
void conf_print_sample(const struct conf_row *rows, struct wbuf *out);

/* --- settings of drivers (struct nx_param tables of include/nexus/driver.h) --- */

/* Reads the keys of params out of map; keys that are not in the table are an error unless they are listed in known
 * (NULL-terminated, may be NULL). Missing ones get their default. Lives in a. */
NX_MUST_CHECK enum nx_err conf_settings(struct arena *a, const struct nx_param *params, const struct conf_node *map,
                                        const char *const *known, struct nx_settings **out, struct nx_note *why);
/* Appends " key=value" of each row that has a value and whose is_per_device is as given: two devices whose texts for
 * false are equal share one connection. Secrets included: not for people. */
void conf_settings_print(const struct nx_settings *s, bool is_per_device, struct wbuf *out);

#endif
