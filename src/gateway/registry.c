#include "gateway/registry.h"

#include "base/mem.h"

#include <malloc.h>
#include <stdlib.h>

void
registry_init(struct registry *r, struct engine *engine, const struct device_options *opt,
              const struct registry_ops *ops, void *arg)
{
    *r = (struct registry){.engine = engine, .opt = *opt, .ops = *ops, .arg = arg, .log = {.module = "registry"}};
}

static void
free_entry(struct registry *r, struct registry_entry *e)
{
    HASH_DEL(r->entries, e);
    device_unref(&e->conf);
    free(e->refused);
    free(e->id);
    free(e);
}

struct registry_entry *
registry_find(struct registry *r, const char *id)
{
    struct registry_entry *e;

    HASH_FIND_STR(r->entries, id, e);
    return e;
}

unsigned
registry_count_here(const struct registry *r)
{
    unsigned n = 0;

    for (const struct registry_entry *e = r->entries; e; e = e->hh.next)
        n += e->place == 0;
    return n;
}

static struct registry_entry *
find_or_add(struct registry *r, const char *id)
{
    struct registry_entry *e = registry_find(r, id);

    if (e)
        return e;
    e = mem_alloc(sizeof *e);
    e->id = mem_strdup(id);
    HASH_ADD_KEYPTR(hh, r->entries, e->id, strlen(e->id), e);
    return e;
}

static void
stop_dev(struct registry *r, struct registry_entry *e)
{
    if (!e->dev)
        return;
    r->ops.on_leave(r->arg, e->dev);
    dev_retire(&e->dev);
}

static void
let_go(struct registry *r, struct registry_entry *e, bool is_moved)
{
    stop_dev(r, e);
    if (e->place)
        r->ops.remove(r->arg, e->place, e->id, false);
    r->ops.on_removed(r->arg, e, is_moved || e->place);
    free_entry(r, e);
}

static void
start_dev(struct registry *r, struct registry_entry *e)
{
    unsigned place = e->conf->is_enabled && r->ops.place ? r->ops.place(r->arg, e->conf) : 0;
    struct device *ref;

    if (e->place && e->place != place)
        r->ops.remove(r->arg, e->place, e->id, true);
    e->place = place;
    if (place) {
        r->ops.put(r->arg, place, e->conf);
    } else if (e->conf->is_enabled) {
        ref = device_ref(e->conf);
        e->dev = dev_start(r->engine, &ref);
        r->started++;
    }
}

void
registry_move(struct registry *r, const char *id)
{
    struct registry_entry *e = registry_find(r, id);

    if (!e || !e->conf || !e->place || r->ops.place(r->arg, e->conf) == e->place)
        return;
    start_dev(r, e);
    r->ops.on_change(r->arg, e);
}

void
registry_put(struct registry *r, enum registry_source source, struct device **dp)
{
    struct device *d = *dp;
    struct registry_entry *e;

    *dp = NULL;
    if (r->ops.takes && !r->ops.takes(r->arg, d)) {
        registry_forget(r, d->id);
        device_unref(&d);
        return;
    }
    e = find_or_add(r, d->id);
    if (e->conf && e->source == REGISTRY_CORE && source == REGISTRY_FILE) {
        device_unref(&d);
        return;
    }
    bool was_refused = e->refused != NULL;
    bool is_same = e->conf && device_eq(e->conf, d) && e->conf->is_enabled == d->is_enabled;
    e->is_marked = false;
    e->source = source;
    e->version = d->version;
    free(e->refused);
    e->refused = NULL;
    if (is_same) {
        r->untouched++;
        device_unref(&d);
        if (was_refused && e->place)
            r->ops.put(r->arg, e->place, e->conf);
        if (was_refused)
            r->ops.on_change(r->arg, e);
        return;
    }
    stop_dev(r, e);
    device_unref(&e->conf);
    e->conf = d;
    start_dev(r, e);
    r->ops.on_change(r->arg, e);
}

void
registry_refuse(struct registry *r, enum registry_source source, const char *id, const char *reason)
{
    struct registry_entry *e;

    log_error(&r->log, "a device is refused; the others go on", KV_STR("device", id ? id : ""),
              KV_STR("reason", reason));
    if (!id || !device_id_is_valid(id))
        return;
    e = find_or_add(r, id);
    e->is_marked = false;
    if (!e->conf)
        e->source = source;
    free(e->refused);
    e->refused = mem_strdup(reason);
    if (e->place)
        r->ops.refuse(r->arg, e->place, id, reason);
    r->ops.on_change(r->arg, e);
}

void
registry_remove(struct registry *r, const char *id)
{
    struct registry_entry *e = registry_find(r, id);

    if (!e)
        return;
    log_info(&r->log, "device removed", KV_STR("device", id));
    let_go(r, e, false);
}

void
registry_forget(struct registry *r, const char *id)
{
    struct registry_entry *e = registry_find(r, id);

    if (e)
        let_go(r, e, true);
}

void
registry_begin(struct registry *r, enum registry_source source)
{
    for (struct registry_entry *e = r->entries; e; e = e->hh.next)
        e->is_marked = e->source == source;
}

void
registry_end(struct registry *r, enum registry_source source)
{
    struct registry_entry *e, *tmp;

    HASH_ITER (hh, r->entries, e, tmp)
        if (e->is_marked && e->source == source)
            registry_remove(r, e->id);
    (void)malloc_trim(0); /* the document of a large set is many times as large as what is kept of it */
}

/* --- devices.yaml --- */

/* What a file says, read without touching the registry: on the pool when there are polls to disturb. */
struct outcome {
    struct device *d; /* NULL: refused */
    char *id, *reason;
    struct outcome *next;
};

struct reading {
    struct registry *r; /* NULL: it has ended meanwhile */
    struct device_options opt;
    char *path;
    struct outcome *first, **tail;
    enum nx_err err;
    struct nx_note why;
    void (*done)(void *arg, enum nx_err err, const struct nx_note *why);
    void *arg;
};

static struct outcome *
add_outcome(struct reading *rd)
{
    struct outcome *o = mem_alloc(sizeof *o);

    *rd->tail = o;
    rd->tail = &o->next;
    return o;
}

static void
on_good(void *arg, struct device *d)
{
    add_outcome(arg)->d = d;
}

static void
on_bad(void *arg, const char *device_id, const struct nx_note *why)
{
    struct outcome *o = add_outcome(arg);

    o->id = mem_strdup(device_id);
    o->reason = mem_strdup(why->text);
}

static void
read_file(void *arg)
{
    struct reading *rd = arg;
    struct arena a = {0};
    struct conf_node *root;

    rd->err = conf_read_yaml(&a, rd->path, &root, &rd->why);
    if (rd->err == NX_OK)
        rd->err =
            device_read_list(&rd->opt, root, &(struct device_list_ops){.each = on_good, .bad = on_bad}, rd, &rd->why);
    arena_free(&a);
}

static void
apply(struct registry *r, struct outcome *o)
{
    if (o->d)
        registry_put(r, REGISTRY_FILE, &o->d);
    else
        registry_refuse(r, REGISTRY_FILE, o->id, o->reason);
}

/* A file that cannot be read as a whole changes nothing. */
static void
end_reading(struct reading *rd)
{
    bool is_good = rd->r && rd->err == NX_OK;

    if (is_good)
        registry_begin(rd->r, REGISTRY_FILE);
    while (rd->first) {
        struct outcome *o = rd->first;
        rd->first = o->next;
        if (is_good)
            apply(rd->r, o);
        device_unref(&o->d);
        free(o->id);
        free(o->reason);
        free(o);
    }
    if (is_good)
        registry_end(rd->r, REGISTRY_FILE);
}

enum nx_err
registry_load_file(struct registry *r, const char *path, struct nx_note *why)
{
    struct reading rd = {.r = r, .opt = r->opt, .path = (char *)(uintptr_t)path, .tail = &rd.first};

    read_file(&rd);
    end_reading(&rd);
    if (why)
        *why = rd.why;
    return rd.err;
}

enum nx_err
registry_check_file(struct registry *r, const char *path, struct nx_note *why)
{
    struct reading rd = {.opt = r->opt, .path = (char *)(uintptr_t)path, .tail = &rd.first};

    read_file(&rd);
    end_reading(&rd);
    if (why)
        *why = rd.why;
    return rd.err;
}

static void
on_read(void *arg)
{
    struct reading *rd = arg;

    if (rd->r)
        rd->r->reading = NULL;
    end_reading(rd);
    if (rd->r)
        rd->done(rd->arg, rd->err, &rd->why);
    free(rd->path);
    free(rd);
}

bool
registry_reload_file(struct registry *r, const char *path,
                     void (*done)(void *arg, enum nx_err err, const struct nx_note *why), void *arg)
{
    struct reading *rd;

    if (r->reading)
        return false;
    r->reading = rd = mem_alloc(sizeof *rd);
    *rd =
        (struct reading){.r = r, .opt = r->opt, .path = mem_strdup(path), .tail = &rd->first, .done = done, .arg = arg};
    loop_work(r->engine->loop, read_file, on_read, rd);
    return true;
}

void
registry_fini(struct registry *r)
{
    struct registry_entry *e, *tmp;

    if (r->reading)
        r->reading->r = NULL;
    HASH_ITER (hh, r->entries, e, tmp)
        free_entry(r, e);
}
