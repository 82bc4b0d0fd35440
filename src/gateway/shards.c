#include "gateway/shards.h"

#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#define TOTALS_EVERY_MS 1000u
#define SHARDS_MAX      64u

struct shard {
    struct shards *owner;
    unsigned index;
    pthread_t thread;
    struct loop *loop; /* made by the head, run by the thread */
    struct gateway *g; /* the thread's */
    struct loop_timer tick;
    struct gateway_totals totals; /* the head's copy */
    bool is_over;                 /* the head knows that the thread has ended */
};

/* A device that some expression connects with another; once is for ever: it costs nothing. */
struct linked {
    char *id;
    UT_hash_handle hh;
};

struct shards {
    struct gateway *head;
    struct linked *linked;
    unsigned count, running; /* count: without the head */
    bool is_stopping;        /* their loops may be gone: nothing is sent any more */
    void (*done)(void *arg);
    void *arg;
    struct shard list[]; /* [0] is shard 1 */
};

unsigned
shards_count(const struct gateway_conf *conf)
{
    unsigned n = (unsigned)conf->polling.threads;
    struct stat st;

    while (conf->publish.batches && n < SHARDS_MAX) {
        char *dir = mem_printf("%s.%u", conf->buffer.disk_path, n);
        bool is_there = stat(dir, &st) == 0;
        free(dir);
        if (!is_there)
            break;
        n++;
    }
    return n;
}

/* --- who belongs where --- */

static bool
is_linked(const struct shards *s, const char *id)
{
    struct linked *l;

    HASH_FIND_STR(s->linked, id, l);
    return l != NULL;
}

/* False: it was linked already. */
static bool
add_linked(struct shards *s, const char *id)
{
    struct linked *l;

    if (is_linked(s, id))
        return false;
    l = mem_alloc(sizeof *l);
    l->id = mem_strdup(id);
    HASH_ADD_KEYPTR(hh, s->linked, l->id, strlen(l->id), l);
    return true;
}

static void
link_devices(struct shards *s, const struct device *d, void (*moved)(void *arg, const char *id), void *arg)
{
    for (unsigned i = 0; i < d->tag_count; i++) {
        const struct expr_text *expr = d->tags[i].expr;

        for (unsigned k = 0; expr && k < expr->ref_count; k++) {
            const char *other = expr->refs[k].device;
            if (!other || strcmp(other, d->id) == 0)
                continue;
            (void)add_linked(s, d->id);
            if (add_linked(s, other))
                moved(arg, other);
        }
    }
}

unsigned
shards_place(struct shards *s, const struct device *d, void (*moved)(void *arg, const char *id), void *arg)
{
    if (moved)
        link_devices(s, d, moved, arg);
    return is_linked(s, d->id) ? 0 : assign_part(d, (unsigned)s->head->conf.polling.threads);
}

/* --- to a shard --- */

enum message_kind { MESSAGE_PUT, MESSAGE_REFUSE, MESSAGE_REMOVE, MESSAGE_FORGET, MESSAGE_STOP };

struct message {
    struct shard *shard;
    enum message_kind kind;
    char *id, *text; /* text: the definition as JSON, or the reason */
    uint64_t version;
};

static void on_stopped(void *arg);

static void
put(struct gateway *g, const struct message *m)
{
    struct arena a = {0};
    json_t *json = json_loads(m->text, 0, NULL);
    struct nx_note why = {0};
    struct device *d;

    if (device_read(&g->registry.opt, conf_from_json(&a, json, m->id), &d, &why) == NX_OK) {
        d->version = m->version;
        registry_put(&g->registry, REGISTRY_FILE, &d);
    } else {
        registry_refuse(&g->registry, REGISTRY_FILE, m->id, why.text);
    }
    json_decref(json);
    arena_free(&a);
}

static void
on_message(void *arg)
{
    struct message *m = arg;
    struct shard *sh = m->shard;

    switch (m->kind) {
    case MESSAGE_PUT:
        put(sh->g, m);
        break;
    case MESSAGE_REFUSE:
        registry_refuse(&sh->g->registry, REGISTRY_FILE, m->id, m->text);
        break;
    case MESSAGE_REMOVE:
        registry_remove(&sh->g->registry, m->id);
        break;
    case MESSAGE_FORGET:
        registry_forget(&sh->g->registry, m->id);
        break;
    case MESSAGE_STOP:
        loop_timer_stop(&sh->tick);
        gateway_stop(sh->g, on_stopped, sh);
        break;
    }
    free(m->id);
    free(m->text);
    free(m);
}

static void
send(struct shards *s, unsigned shard, enum message_kind kind, const char *id, const char *text, uint64_t version)
{
    struct message *m;

    if (s->is_stopping)
        return;
    m = mem_alloc(sizeof *m);
    assert(shard > 0 && shard <= s->count);
    *m = (struct message){.shard = &s->list[shard - 1], .kind = kind, .version = version};
    m->id = id ? mem_strdup(id) : NULL;
    m->text = text ? mem_strdup(text) : NULL;
    loop_post(m->shard->loop, on_message, m);
}

void
shards_put(struct shards *s, unsigned shard, const struct device *d)
{
    char *text = device_json(d);

    send(s, shard, MESSAGE_PUT, d->id, text, d->version);
    free(text);
}

void
shards_refuse(struct shards *s, unsigned shard, const char *id, const char *reason)
{
    send(s, shard, MESSAGE_REFUSE, id, reason, 0);
}

void
shards_remove(struct shards *s, unsigned shard, const char *id, bool is_moved)
{
    send(s, shard, is_moved ? MESSAGE_FORGET : MESSAGE_REMOVE, id, NULL, 0);
}

/* --- from a shard --- */

struct report {
    struct shard *shard;
    struct gateway_totals totals;
};

static void
on_report(void *arg)
{
    struct report *r = arg;

    r->shard->totals = r->totals;
    free(r);
}

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct shard *sh = arg;
    struct report *r = mem_alloc(sizeof *r);

    (void)t;
    r->shard = sh;
    r->totals = gateway_totals_of(sh->g);
    loop_post(sh->owner->head->loop, on_report, r);
}

void
shards_add_totals(const struct shards *s, struct gateway_totals *t)
{
    for (unsigned i = 0; i < s->count; i++)
        gateway_totals_add(t, &s->list[i].totals);
}

/* --- visits --- */

struct visit {
    struct gateway *head;
    unsigned next, last;
    void (*work)(struct gateway *g, void *arg);
    void (*done)(void *arg);
    void *arg;
};

static void go_on(void *arg);

static void
on_visit(void *arg)
{
    struct visit *v = arg;
    struct shard *sh = &v->head->shards->list[v->next - 1];

    v->work(sh->g, v->arg);
    v->next++;
    loop_post(v->head->loop, go_on, v);
}

static void
go_on(void *arg)
{
    struct visit *v = arg;
    struct shards *s = v->head->shards;

    if (v->next == 0) {
        v->work(v->head, v->arg);
        v->next++;
    }
    while (v->next <= v->last && (!s || s->is_stopping || s->list[v->next - 1].is_over))
        v->next++;
    if (v->next <= v->last) {
        loop_post(s->list[v->next - 1].loop, on_visit, v);
        return;
    }
    v->done(v->arg);
    free(v);
}

void
shards_visit(struct gateway *head, int only, void (*work)(struct gateway *g, void *arg), void (*done)(void *arg),
             void *arg)
{
    struct visit *v = mem_alloc(sizeof *v);

    *v = (struct visit){.head = head, .work = work, .done = done, .arg = arg};
    v->next = only > 0 ? (unsigned)only : 0;
    v->last = only >= 0 ? (unsigned)only : head->shards ? head->shards->count : 0;
    loop_defer(head->loop, go_on, v);
}

/* --- the thread --- */

static void
on_over(void *arg)
{
    struct shard *sh = arg;
    struct shards *s = sh->owner;

    (void)pthread_join(sh->thread, NULL);
    sh->is_over = true;
    if (--s->running == 0 && s->done)
        s->done(s->arg);
}

static void
on_stopped(void *arg)
{
    struct shard *sh = arg;

    loop_stop(sh->loop);
}

static void *
run(void *arg)
{
    struct shard *sh = arg;
    struct loop *head = sh->owner->head->loop;

    loop_timer_start(sh->loop, &sh->tick, 0, TOTALS_EVERY_MS, on_tick, sh);
    loop_run(sh->loop);
    gateway_free(&sh->g);
    loop_free(&sh->loop);
    loop_post(head, on_over, sh);
    return NULL;
}

static enum nx_err
start_one(struct shard *sh, struct nx_note *why)
{
    enum nx_err err;

    sh->loop = loop_new();
    err = gateway_open_part(&sh->g, sh->loop, sh->owner->head, sh->index, why);
    if (err == NX_OK && pthread_create(&sh->thread, NULL, run, sh) != 0) {
        gateway_free(&sh->g);
        err = nx_fail(why, NX_E_IO,
                      "no further thread can be started: lower polling.threads, or raise the limit of "
                      "threads (ulimit -u)");
    }
    if (err != NX_OK)
        loop_free(&sh->loop);
    return err;
}

enum nx_err
shards_start(struct gateway *head, unsigned count, struct nx_note *why)
{
    struct shards *s = mem_alloc(sizeof *s + count * sizeof s->list[0]);

    s->head = head;
    head->shards = s;
    for (unsigned i = 1; i < count; i++) {
        s->list[i - 1] = (struct shard){.owner = s, .index = i};
        enum nx_err err = start_one(&s->list[i - 1], why);
        if (err != NX_OK)
            return err;
        s->count++;
        s->running++;
    }
    return NX_OK;
}

void
shards_stop(struct shards *s, void (*done)(void *arg), void *arg)
{
    s->done = done;
    s->arg = arg;
    for (unsigned i = 1; i <= s->count; i++)
        send(s, i, MESSAGE_STOP, NULL, NULL, 0);
    s->is_stopping = true;
    if (s->running == 0)
        loop_defer(s->head->loop, done, arg);
}

void
shards_free(struct shards **s)
{
    struct linked *l, *tmp;

    if (!*s)
        return;
    HASH_ITER (hh, (*s)->linked, l, tmp) {
        HASH_DEL((*s)->linked, l);
        free(l->id);
        free(l);
    }
    free(*s);
    *s = NULL;
}
