#include "core/core.h"

#include "base/file.h"
#include "base/mem.h"
#include "core/core_priv.h"
#include "historian/historian.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define SWEEP_MS      60000
#define LIVE_CHECK_MS 1000
#define STOP_CHECK_MS 20
#define STOP_MOST     150 /* checks: 3 s */

const struct log_ctx core_log = {.module = "core"};

/* --- work on other threads ------------------------------------------------------------------------------------------
 */

struct work {
    struct core *core;
    loop_cb *work, *done;
    void *arg;
};

static void
work_run(void *arg)
{
    struct work *w = arg;

    w->work(w->arg);
}

static void
work_done(void *arg)
{
    struct work *w = arg;

    w->core->works--;
    w->done(w->arg);
    free(w);
}

void
core_work(struct core *core, loop_cb *work, loop_cb *done, void *arg)
{
    struct work *w = mem_alloc(sizeof *w);

    *w = (struct work){core, work, done, arg};
    core->works++;
    loop_work(core->loop, work_run, work_done, w);
}

static void
sweep_work(void *arg)
{
    users_sweep(arg);
    readers_sweep(((struct core *)arg)->readers);
}

static void
sweep_done(void *arg)
{
    (void)arg;
}

static void
on_sweep(struct loop_timer *t, void *arg)
{
    (void)t;
    core_work(arg, sweep_work, sweep_done, arg);
}

/* --- what the hub asks
 * ------------------------------------------------------------------------------------------------ */

static bool
hub_check_token(void *arg, const char *token, char session[HUB_SESSION_CAP])
{
    _Static_assert(HUB_SESSION_CAP == AUTH_DIGEST_CAP, "a session is known by its digest");
    return core_token_is_good(arg, token, session);
}

/* Whoever watches is there: the session does not end for idleness. */
static bool
hub_check_session(void *arg, const char *session)
{
    struct core *core = arg;
    struct session s;

    return sessions_use(core->sessions, session, core_now_us(), &s);
}

static void
on_live_check(struct loop_timer *t, void *arg)
{
    struct core *core = arg;

    (void)t;
    hub_check_sessions(core->hub);
}

static json_t *
hub_device_status(void *arg, const char *device_id)
{
    struct core *core = arg;
    struct known_device *d = NULL;

    HASH_FIND_STR(core->devices, device_id, d);
    return d ? status_device(core->status, device_id, d->is_enabled) : NULL;
}

static void
hub_each_device(void *arg, void (*each)(void *each_arg, const char *device_id), void *each_arg)
{
    struct core *core = arg;
    struct known_device *d, *next;

    HASH_ITER (hh, core->devices, d, next)
        each(each_arg, d->id);
}

/* --- health
 * ------------------------------------------------------------------------------------------------------------- */

static bool
is_ready(void *arg, struct nx_note *reason)
{
    return bus_is_online(arg, reason);
}

/* --- opening
 * ------------------------------------------------------------------------------------------------------------ */

static enum nx_err
open_settings(struct core *core, const struct conf_source *src, struct nx_note *why)
{
    enum nx_err err = conf_load(&core->settings, src, core_conf_rows, &core->conf, why);

    if (err != NX_OK)
        return err;
    core->device_options =
        (struct device_options){.uns_root = core->conf.uns_root, .default_interval_ms = 1000, .drivers = nx_drivers};
    return log_init_settings(&core->conf.logging, "core", why);
}

static void
make_parts(struct core *core)
{
    static const struct hub_ops ops = {hub_check_token, hub_check_session, hub_device_status, hub_each_device};

    core->started_us = core_now_us();
    core->metrics = metrics_new();
    core->live = live_new(core->conf.max_topics);
    core->status = status_new();
    core->sessions = sessions_new(core->conf.session_ttl_ms * 1000);
    core->hub = hub_new(core->loop, core->live, &ops, core);
    core->guard = auth_guard_new();
    core->routes = routes_make();
    core->health = (struct http_health){.is_ready = is_ready, .arg = core, .service = "core", .metrics = core->metrics};
}

static enum nx_err
open_data(struct core *core, struct nx_note *why)
{
    struct nx_note import_why = {0};
    enum nx_err err = file_make_dir(core->conf.data_dir, 0700, why);

    if (err == NX_OK)
        err = store_open(&core->store, core->conf.data_dir, why);
    if (err == NX_OK)
        err = auth_issuer_open(&core->issuer, core->conf.data_dir, "nexus-core", "nexus-api", why);
    if (err == NX_OK)
        err = users_start(core, why);
    if (err != NX_OK)
        return err;
    if (import_devices(core, &import_why) != NX_OK)
        log_error(&core_log, "devices.yaml was not taken over; correct it and start again", KV_NOTE(&import_why));
    return change_load_all(core, why);
}

static enum nx_err
open_http(struct core *core, struct nx_note *why)
{
    return http_open(&core->http, core->loop,
                     &(struct http_conf){.bind = core->conf.http.bind,
                                         .port = (uint16_t)core->conf.http.port,
                                         .cert_file = core->conf.http.cert_file,
                                         .key_file = core->conf.http.key_file,
                                         .static_dir = core->conf.http.static_dir,
                                         .api_prefix = "/api",
                                         .max_connections = (uint32_t)core->conf.http.max_connections,
                                         .routes = core->routes,
                                         .arg = core,
                                         .guard = core_guard,
                                         .ws = &core_ws_ops,
                                         .metrics = core->metrics},
                     why);
}

static void
announce(struct core *core)
{
    log_info(&core_log, "listening", KV_STR("bind", core->conf.http.bind), KV_UINT("port", core_port(core)));
    if (!core->setup_code[0])
        return;
    (void)printf("Set-up code for the first administrator: %s (also in %s)\n", core->setup_code, core->setup_path);
    (void)fflush(stdout);
}

static enum nx_err
open_all(struct core *core, const struct conf_source *src, struct nx_note *why)
{
    enum nx_err err = open_settings(core, src, why);

    if (err != NX_OK)
        return err;
    make_parts(core);
    err = readers_new(&core->readers, &core->conf, why);
    if (err == NX_OK)
        err = open_data(core, why);
    if (err == NX_OK)
        err = bus_open(core, why);
    if (err == NX_OK)
        err = open_http(core, why);
    return err;
}

enum nx_err
core_open(struct core **out, struct loop *loop, const struct conf_source *src, struct nx_note *why)
{
    struct core *core = mem_alloc(sizeof *core);
    enum nx_err err;

    *out = NULL;
    core->loop = loop;
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    err = open_all(core, src, why);
    if (err != NX_OK) {
        core_free(&core);
        return err;
    }
    loop_timer_start(loop, &core->sweep_timer, SWEEP_MS, SWEEP_MS, on_sweep, core);
    loop_timer_start(loop, &core->live_timer, LIVE_CHECK_MS, LIVE_CHECK_MS, on_live_check, core);
    core_metrics_start(core);
    announce(core);
    *out = core;
    return NX_OK;
}

uint16_t
core_port(const struct core *core)
{
    return http_port(core->http);
}

/* --- closing
 * -------------------------------------------------------------------------------------------------------------- */

static void
on_stop_check(struct loop_timer *t, void *arg)
{
    struct core *core = arg;

    if (core->works > 0 && core->stop_checks++ < STOP_MOST)
        return;
    loop_timer_stop(t);
    core->stopped(core->stopped_arg);
}

void
core_stop(struct core *core, void (*stopped)(void *arg), void *arg)
{
    core->stopped = stopped;
    core->stopped_arg = arg;
    loop_timer_stop(&core->sweep_timer);
    loop_timer_stop(&core->metrics_timer);
    loop_timer_stop(&core->live_timer);
    http_close(&core->http);
    write_cancel_all(core);
    bus_stop(core);
    loop_timer_start(core->loop, &core->stop_timer, STOP_CHECK_MS, STOP_CHECK_MS, on_stop_check, core);
}

void
core_free(struct core **pcore)
{
    struct core *core = *pcore;

    *pcore = NULL;
    if (!core)
        return;
    loop_timer_stop(&core->sweep_timer);
    loop_timer_stop(&core->metrics_timer);
    loop_timer_stop(&core->live_timer);
    loop_timer_stop(&core->stop_timer);
    if (core->http)
        http_close(&core->http);
    write_cancel_all(core);
    bus_close(core);
    hub_free(&core->hub);
    change_forget_devices(core);
    readers_free(&core->readers);
    sessions_free(&core->sessions);
    status_free(&core->status);
    live_free(&core->live);
    auth_guard_free(&core->guard);
    auth_issuer_free(&core->issuer);
    store_close(&core->store);
    metrics_free(&core->metrics);
    conf_free(&core->settings);
    free(core->routes);
    free(core->setup_path);
    free(core);
    curl_global_cleanup();
}
