/* gateway_api.c -- what only the gateway knows of a device: its read plan, its last frames, the recordings that errors
 * have left, the points it lists itself. Asked for at the gateway's admin port. */
#include "core/api.h"
#include "core/gateway_call.h"
#include "core/handlers.h"

#include <ctype.h>

#define ASKS_MAX       2 /* each holds a worker thread while it waits */
#define ASK_TIMEOUT_MS 10000

static void
ask(struct http_req *req, struct core *core, struct gateway_call *call)
{
    call->timeout_ms = ASK_TIMEOUT_MS;
    if (__atomic_add_fetch(&core->asks_running, 1, __ATOMIC_RELAXED) > ASKS_MAX) {
        http_set_header(req, "Retry-After", "2");
        http_respond_problem(req, &(struct http_problem){.status = 503,
                                                         .code = "gateway_busy",
                                                         .title = "The gateway is being asked already",
                                                         .detail = "two questions to the gateway are under way",
                                                         .fixes = {"Try again in a moment."}});
    } else {
        gateway_call(req, core, call);
    }
    (void)__atomic_sub_fetch(&core->asks_running, 1, __ATOMIC_RELAXED);
}

static bool
load(struct http_req *req, struct core *core, struct store_device *dev)
{
    struct store_tx *tx = api_begin(req, core, STORE_READ);
    struct nx_note why = {0};
    enum nx_err err;

    if (!tx)
        return false;
    err = store_device_get(tx, http_param(req, "device_id"), http_arena(req), dev, &why);
    store_rollback(&tx);
    if (err != NX_OK)
        http_respond_err(req, err, err == NX_E_NOT_FOUND ? "device_not_found" : "store_unavailable", &why);
    return err == NX_OK;
}

/* The device as it is stored, when a gateway can be asked about it; false: answered. */
static bool
load_enabled(struct http_req *req, struct core *core, struct store_device *dev)
{
    if (!load(req, core, dev))
        return false;
    if (dev->is_enabled)
        return true;
    http_respond_problem(req,
                         &(struct http_problem){.status = 409,
                                                .code = "device_disabled",
                                                .title = "The device is disabled",
                                                .detail = arena_printf(http_arena(req),
                                                                       "device \"%s\" is disabled: no gateway runs it",
                                                                       dev->id),
                                                .fixes = {"Enable the device."}});
    return false;
}

void
device_plan(struct http_req *req, void *arg)
{
    struct store_device dev;

    if (load_enabled(req, arg, &dev))
        ask(req, arg,
            &(struct gateway_call){.path = arena_printf(http_arena(req), "/admin/v1/devices/%s/plan", dev.id),
                                   .member = "lists",
                                   .what = "a read plan",
                                   .step = "devices:plan"});
}

/* --- the flight recorder --- */

void
device_recorder(struct http_req *req, void *arg)
{
    struct store_device dev;

    if (load_enabled(req, arg, &dev))
        ask(req, arg,
            &(struct gateway_call){.path = arena_printf(http_arena(req), "/admin/v1/devices/%s/recorder", dev.id),
                                   .member = "exchanges",
                                   .what = "a recording",
                                   .step = "devices/recorder"});
}

void
device_recorder_pcapng(struct http_req *req, void *arg)
{
    struct arena *a = http_arena(req);
    struct store_device dev;

    if (load_enabled(req, arg, &dev))
        ask(req, arg,
            &(struct gateway_call){.path = arena_printf(a, "/admin/v1/devices/%s/recorder.pcapng", dev.id),
                                   .what = "a recording",
                                   .step = "devices/recorder",
                                   .content_type = "application/octet-stream",
                                   .file_name = arena_printf(a, "%s.pcapng", dev.id)});
}

void
recordings_list(struct http_req *req, void *arg)
{
    ask(req, arg,
        &(struct gateway_call){.path = "/admin/v1/recordings",
                               .member = "recordings",
                               .what = "a list of recordings",
                               .step = "recordings"});
}

/* Nothing that could name another file or another route of the gateway. */
static bool
is_recording_name(const char *name)
{
    size_t n = 0;

    if (name[0] == '.')
        return false;
    for (; name[n]; n++)
        if (!isalnum((unsigned char)name[n]) && !strchr("_.-", name[n]))
            return false;
    return n > 0 && n <= 200;
}

void
recording_show(struct http_req *req, void *arg)
{
    const char *name = http_param(req, "name");

    if (!is_recording_name(name)) {
        http_respond_problem(req, &(struct http_problem){.status = 404,
                                                         .code = "recording_not_found",
                                                         .detail = "a name of a recording has letters, digits, _ . -",
                                                         .fixes = {"See GET /api/v1/recordings."}});
        return;
    }
    ask(req, arg,
        &(struct gateway_call){.path = arena_printf(http_arena(req), "/admin/v1/recordings/%s", name),
                               .what = "a recording",
                               .step = "recordings",
                               .content_type = "application/octet-stream",
                               .file_name = name});
}

/* --- browse --- */

static const struct nx_driver *
driver_of(const struct core *core, const char *protocol)
{
    const struct nx_driver *const *d = core->device_options.drivers;

    while (*d && strcmp((*d)->name, protocol) != 0)
        d++;
    return *d;
}

void
device_browse(struct http_req *req, void *arg)
{
    struct arena *a = http_arena(req);
    struct store_device dev;

    if (!load_enabled(req, arg, &dev))
        return;
    const struct nx_driver *driver = driver_of(arg, dev.protocol);
    if (driver && driver->browse) {
        json_t *everything = json_object();
        ask(req, arg,
            &(struct gateway_call){.path = arena_printf(a, "/admin/v1/devices/%s:browse", dev.id),
                                   .body = everything,
                                   .member = "nodes",
                                   .what = "a list of points",
                                   .step = "devices:browse"});
        json_decref(everything);
        return;
    }
    http_respond_problem(
        req,
        &(struct http_problem){.status = 422,
                               .code = "browse_unsupported",
                               .title = "The protocol cannot list points",
                               .detail = arena_printf(a, "a %s device does not tell which points it has", dev.protocol),
                               .cause_layer = "protocol",
                               .cause_step = "devices:browse",
                               .fixes = {"Take the addresses from the manual or the program of the device.",
                                         "Import a list of tags: nexus tag import."}});
}
