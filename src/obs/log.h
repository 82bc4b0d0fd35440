/* log.h -- structured logs: one JSON object a line (or a readable line), on standard error by default.
 *
 * A line says what happened and what we do next. Repeats of the same message from the same context within ten
 * seconds are counted and summarised, never a flood. No secret, no payload above debug. Any thread. */
#ifndef OBS_LOG_H
#define OBS_LOG_H

#include "nexus/driver.h" /* enum nx_log_level */
#include "nexus/err.h"

#include <stdint.h>

enum log_format { LOG_JSON, LOG_TEXT };

struct log_conf {
    const char *level;   /* "error" "warn" "info" "debug" */
    const char *format;  /* "json" "text" */
    const char *service; /* "gateway": in every line */
    int fd;              /* where to; 2 by default */
};

/* Identity of a long-lived object: embed it, pass its address. Zero-initialised is valid (no identity). */
struct log_ctx {
    const char *module; /* "modbus", "mqtt": a literal */
    const char *kind;   /* "device", "broker": a literal, NULL for none */
    const char *id;     /* borrowed; lives as long as the object */
};

/* Before any other thread exists. NX_E_CONFIG for an unknown level or format. */
NX_MUST_CHECK enum nx_err log_init(const struct log_conf *conf, struct nx_note *why);
void log_set_level(enum nx_log_level level);
bool log_is_on(enum nx_log_level level);
/* Waits for nothing: lines are written with one write(2) each, before the call returns. Also prints pending
 * summaries of repeats; call it at exit and every few seconds from a timer. */
void log_flush_repeats(void);

/* A key with a value, for the ends of log calls: log_info(&ctx, "reading failed", KV_ERR(err), KV_INT("reg", 40001)).
 */
enum log_kv_type { LOG_KV_END, LOG_KV_STR, LOG_KV_INT, LOG_KV_UINT, LOG_KV_DOUBLE };
struct log_kv {
    const char *key;
    enum log_kv_type type;
    union {
        const char *s;
        int64_t i;
        uint64_t u;
        double d;
    };
};
#define KV_STR(k, v)    ((struct log_kv){.key = (k), .type = LOG_KV_STR, .s = (v)})
#define KV_INT(k, v)    ((struct log_kv){.key = (k), .type = LOG_KV_INT, .i = (int64_t)(v)})
#define KV_UINT(k, v)   ((struct log_kv){.key = (k), .type = LOG_KV_UINT, .u = (uint64_t)(v)})
#define KV_DOUBLE(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_DOUBLE, .d = (v)})
#define KV_ERR(e)       KV_STR("error", nx_err_name(e))
#define KV_NOTE(n)      KV_STR("reason", (n)->text)

/* ctx may be NULL. msg is a literal; what varies goes into pairs. */
void log_write(enum nx_log_level level, const struct log_ctx *ctx, const char *msg, const struct log_kv *kv);

/* The first element is there so that a call without pairs leaves no empty list (GNU ##__VA_ARGS__). */
#define LOG_AT(level, ctx, msg, ...)                                                                                   \
    do {                                                                                                               \
        if (log_is_on(level))                                                                                          \
            log_write(level, ctx, msg,                                                                                 \
                      (const struct log_kv[]){{.type = LOG_KV_END}, ##__VA_ARGS__, {.type = LOG_KV_END}} + 1);         \
    } while (0)
#define log_error(ctx, msg, ...) LOG_AT(NX_LOG_ERROR, ctx, msg, ##__VA_ARGS__)
#define log_warn(ctx, msg, ...)  LOG_AT(NX_LOG_WARN, ctx, msg, ##__VA_ARGS__)
#define log_info(ctx, msg, ...)  LOG_AT(NX_LOG_INFO, ctx, msg, ##__VA_ARGS__)
#define log_debug(ctx, msg, ...) LOG_AT(NX_LOG_DEBUG, ctx, msg, ##__VA_ARGS__)

#endif
