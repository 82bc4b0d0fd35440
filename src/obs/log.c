#include "obs/log.h"
#include "obs/settings.h"

#include "base/timefmt.h"
#include "base/wbuf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_SLOTS     256u
#define REPEAT_WINDOW_MS 10000u
#define REPEAT_ALLOWED   3u /* the first few of a window are printed */
#define LINE_MAX_BYTES   8192u

/* One message of one object. Slots are chosen by hash; a collision only forgets a count early. */
struct repeat {
    uint64_t key;
    uint64_t window_began_ms;
    unsigned seen, suppressed;
    enum nx_log_level level;
    const char *msg; /* a literal */
    char id[64];
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char *service = "nexus";
static enum log_format format = LOG_TEXT;
static int out_fd = STDERR_FILENO;
static atomic_int max_level = NX_LOG_INFO;
static pthread_mutex_t repeat_lock = PTHREAD_MUTEX_INITIALIZER;
static struct repeat repeats[REPEAT_SLOTS];

static bool
parse_level(const char *text, enum nx_log_level *out)
{
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum nx_log_level)i;
            return true;
        }
    }
    return false;
}

enum nx_err
log_init(const struct log_conf *conf, struct nx_note *why)
{
    enum nx_log_level level = NX_LOG_INFO;

    if (conf->level && !parse_level(conf->level, &level))
        return nx_fail(why, NX_E_CONFIG, "logging.level: '%s' is none of error, warn, info, debug", conf->level);
    if (conf->format && strcmp(conf->format, "json") != 0 && strcmp(conf->format, "text") != 0)
        return nx_fail(why, NX_E_CONFIG, "logging.format: '%s' is neither json nor text", conf->format);
    format = conf->format && strcmp(conf->format, "json") == 0 ? LOG_JSON : LOG_TEXT;
    if (conf->service)
        service = conf->service;
    if (conf->fd)
        out_fd = conf->fd;
    log_set_level(level);
    return NX_OK;
}

enum nx_err
log_init_settings(const struct log_settings *s, const char *name, struct nx_note *why)
{
    static const char *const format_names[] = {"json", "text"};

    return log_init(
        &(struct log_conf){.level = level_names[s->level], .format = format_names[s->format], .service = name}, why);
}

void
log_set_level(enum nx_log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

bool
log_is_on(enum nx_log_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

static int64_t
wall_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static uint64_t
mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
json_member(struct wbuf *w, const char *key, const char *value)
{
    wbuf_char(w, ',');
    wbuf_json_string(w, slice_str(key));
    wbuf_char(w, ':');
    wbuf_json_string(w, slice_str(value ? value : ""));
}

static void
put_number(struct wbuf *w, const struct log_kv *kv)
{
    switch (kv->type) {
    case LOG_KV_INT:
        wbuf_i64(w, kv->i);
        break;
    case LOG_KV_UINT:
        wbuf_u64(w, kv->u);
        break;
    default:
        wbuf_double(w, kv->d);
        break;
    }
}

static void
write_json(struct wbuf *w, enum nx_log_level level, const struct log_ctx *ctx, const char *msg, const struct log_kv *kv)
{
    char time_text[TIMEFMT_CAP];

    wbuf_printf(w, "{\"time\":\"%s\",\"level\":\"%s\",\"service\":\"%s\"", timefmt_rfc3339(wall_us(), time_text),
                level_names[level], service);
    if (ctx && ctx->module)
        json_member(w, "module", ctx->module);
    if (ctx && ctx->kind && ctx->id)
        json_member(w, ctx->kind, ctx->id);
    json_member(w, "msg", msg);
    for (; kv->type != LOG_KV_END; kv++) {
        if (kv->type == LOG_KV_STR) {
            json_member(w, kv->key, kv->s);
            continue;
        }
        wbuf_char(w, ',');
        wbuf_json_string(w, slice_str(kv->key));
        wbuf_char(w, ':');
        put_number(w, kv);
    }
    wbuf_char(w, '}');
}

static void
write_text(struct wbuf *w, enum nx_log_level level, const struct log_ctx *ctx, const char *msg, const struct log_kv *kv)
{
    char time_text[TIMEFMT_CAP];

    timefmt_rfc3339(wall_us() / 1000 * 1000, time_text);
    wbuf_printf(w, "%s %-5s %-8s %s", time_text, level_names[level], service, msg);
    if (ctx && ctx->kind && ctx->id)
        wbuf_printf(w, " %s=%s", ctx->kind, ctx->id);
    for (; kv->type != LOG_KV_END; kv++) {
        wbuf_printf(w, " %s=", kv->key);
        if (kv->type != LOG_KV_STR)
            put_number(w, kv);
        else if (kv->s && strpbrk(kv->s, " \"\n\r\t"))
            wbuf_json_string(w, slice_str(kv->s));
        else
            wbuf_str(w, kv->s ? kv->s : "");
    }
}

static void
emit(enum nx_log_level level, const struct log_ctx *ctx, const char *msg, const struct log_kv *kv)
{
    struct wbuf w = wbuf_init(LINE_MAX_BYTES);

    if (format == LOG_JSON)
        write_json(&w, level, ctx, msg, kv);
    else
        write_text(&w, level, ctx, msg, kv);
    wbuf_char(&w, '\n');
    if (w.failed) { /* longer than any line should be: what it is about still counts */
        wbuf_reset(&w);
        if (format == LOG_JSON)
            write_json(&w, level, ctx, msg, (const struct log_kv[]){{.type = LOG_KV_END}});
        else
            write_text(&w, level, ctx, msg, (const struct log_kv[]){{.type = LOG_KV_END}});
        wbuf_char(&w, '\n');
    }
    if (write(out_fd, w.p, w.len) < 0) {
        /* nowhere left to say it */
    }
    wbuf_free(&w);
}

static uint64_t
hash_text(uint64_t h, const char *s)
{
    for (; s && *s; s++)
        h = (h ^ (uint8_t)*s) * 0x100000001B3ull; /* FNV-1a */
    return h;
}

static void
emit_summary(const struct repeat *r)
{
    struct log_ctx ctx = {.kind = r->id[0] ? "of" : NULL, .id = r->id};

    emit(r->level, &ctx, "repeated",
         (const struct log_kv[]){KV_STR("message", r->msg), KV_UINT("times", r->suppressed), {.type = LOG_KV_END}});
}

/* Should this line be printed? Counts it if not. */
static bool
admit(enum nx_log_level level, const struct log_ctx *ctx, const char *msg)
{
    const char *id = ctx && ctx->id ? ctx->id : "";
    uint64_t key = hash_text(hash_text(0xCBF29CE484222325ull, msg), id);
    uint64_t now = mono_ms();
    struct repeat *r = &repeats[key % REPEAT_SLOTS], done = {0};
    bool is_admitted = true;

    pthread_mutex_lock(&repeat_lock);
    if (r->key != key || now - r->window_began_ms > REPEAT_WINDOW_MS) {
        done = *r;
        *r = (struct repeat){.key = key, .window_began_ms = now, .level = level, .msg = msg};
        (void)snprintf(r->id, sizeof r->id, "%s", id);
    }
    if (++r->seen > REPEAT_ALLOWED) {
        r->suppressed++;
        is_admitted = false;
    }
    pthread_mutex_unlock(&repeat_lock);
    if (done.suppressed)
        emit_summary(&done);
    return is_admitted;
}

void
log_write(enum nx_log_level level, const struct log_ctx *ctx, const char *msg, const struct log_kv *kv)
{
    if (level == NX_LOG_DEBUG || admit(level, ctx, msg))
        emit(level, ctx, msg, kv);
}

void
log_flush_repeats(void)
{
    uint64_t now = mono_ms();

    for (unsigned i = 0; i < REPEAT_SLOTS; i++) {
        struct repeat done = {0};

        pthread_mutex_lock(&repeat_lock);
        if (repeats[i].suppressed && now - repeats[i].window_began_ms > REPEAT_WINDOW_MS) {
            done = repeats[i];
            repeats[i] = (struct repeat){0};
        }
        pthread_mutex_unlock(&repeat_lock);
        if (done.suppressed)
            emit_summary(&done);
    }
}
