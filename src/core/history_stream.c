/* history_stream.c -- from the historian to the client, whatever the format: bounded memory, and no transaction of the
 * database waits for a client.
 *
 * Rows are read as long as the client takes them; when it does not, or after two seconds, a raw query is given up and
 * later asked anew behind its last row; so is one, once, whose server went away. Reductions cannot be asked in parts:
 * their rows, 300,000 a tag at most, are kept up to KEEP_BYTES, and only beyond that wait in the query. */
#include "core/history.h"

#include "base/timefmt.h"

#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#define PIECE_BYTES (64u << 10) /* what is handed to the connection at once */
#define KEEP_BYTES  (16u << 20)
#define READ_MS     2000u
#define MANY_ROWS   20000u

struct run {
    struct http_req *req;
    struct core *core;
    struct reader *reader;
    const struct history_ask *ask;
    const struct history_format *format;
    void *state;
    struct wbuf out;
    size_t sent; /* bytes of out that are on their way */
    bool is_begun, is_gone;
    uint64_t row_count;

    struct history_topic topic;
    struct history_summary summary; /* of the query under way */
    bool is_open;                   /* the format has begun the topic */
    bool is_paused;                 /* the query was given up for now */
    bool is_full;                   /* the format takes no more */
    bool is_second;                 /* another server is asked */
    int64_t last_us;                /* of the newest row */
    uint32_t left;                  /* raw rows that may follow; HISTORY_NO_LIMIT */
    uint64_t pause_at_ms;
};

static uint64_t
now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- to the client ------------------------------------------------------------------------------------------------ */

/* "20261123T104203Z" */
static void
put_compact_time(struct wbuf *w, int64_t time_us)
{
    char text[TIMEFMT_CAP];

    for (const char *c = timefmt_rfc3339(time_us / 1000000 * 1000000, text); *c; c++)
        if (*c != '-' && *c != ':')
            wbuf_char(w, *c);
}

static void
name_download(struct run *r)
{
    struct wbuf w = wbuf_init(256);

    wbuf_str(&w, "attachment; filename=\"history-");
    put_compact_time(&w, r->ask->from_us);
    wbuf_char(&w, '-');
    put_compact_time(&w, r->ask->to_us);
    wbuf_printf(&w, ".%s\"", r->format->suffix);
    http_set_header(r->req, "Content-Disposition", wbuf_cstr(&w));
    wbuf_free(&w);
}

static void
begin_stream(struct run *r)
{
    if (r->is_begun)
        return;
    r->is_begun = true;
    if (r->ask->is_download)
        name_download(r);
    http_set_header(r->req, "Vary", "Accept");
    http_stream_begin(r->req, 200, r->format->content_type);
}

static size_t
waiting(const struct run *r)
{
    return r->out.len - r->sent;
}

static void
send_piece(struct run *r, size_t n)
{
    r->is_gone = r->is_gone || !http_stream_write(r->req, slice(r->out.p + r->sent, n));
    r->sent += n;
    if (waiting(r) > r->sent)
        return;
    memmove(r->out.p, r->out.p + r->sent, waiting(r));
    r->out.len -= r->sent;
    r->sent = 0;
}

/* All of it, however long the client takes. Not within a query. */
static bool
send_all(struct run *r)
{
    begin_stream(r);
    while (!r->is_gone && waiting(r) > 0)
        send_piece(r, waiting(r) < PIECE_BYTES ? waiting(r) : PIECE_BYTES);
    return !r->is_gone;
}

/* How long the query may wait for room now. */
static uint32_t
patience(const struct run *r)
{
    uint64_t now = now_ms();

    if (r->ask->fn != HISTORY_RAW)
        return waiting(r) < KEEP_BYTES ? 0 : UINT32_MAX;
    return now < r->pause_at_ms ? (uint32_t)(r->pause_at_ms - now) : 0;
}

/* false: the query ends, because nobody listens or to let go of the database. */
static bool
send_some(struct run *r)
{
    begin_stream(r);
    while (!r->is_gone && waiting(r) >= PIECE_BYTES && http_stream_wait(r->req, patience(r)))
        send_piece(r, PIECE_BYTES);
    r->is_paused = r->ask->fn == HISTORY_RAW && r->left > 0 && patience(r) == 0;
    return !r->is_gone && !r->is_paused;
}

/* --- one topic ------------------------------------------------------------------------------------------------------
 */

static void
open_topic(struct run *r)
{
    if (r->is_open)
        return;
    r->is_open = true;
    r->topic.unit = r->summary.unit ? r->summary.unit : "";
    r->format->begin(r->state, &r->topic);
}

static bool
take_row(void *arg, const struct history_row *row)
{
    struct run *r = arg;

    open_topic(r);
    if (!r->format->row(r->state, row)) {
        r->is_full = true;
        return false;
    }
    r->last_us = row->time_us;
    r->row_count++;
    if (r->left != HISTORY_NO_LIMIT)
        r->left -= r->left > 0;
    return waiting(r) < PIECE_BYTES || send_some(r);
}

static bool
is_canceled(void *arg)
{
    struct run *r = arg;

    r->is_gone = r->is_gone || http_is_gone(r->req);
    return r->is_gone;
}

static enum nx_err
query(struct run *r, int64_t from_us, struct arena *a, struct nx_note *why)
{
    const struct history_query q = {.topic = r->topic.topic,
                                    .from_us = from_us,
                                    .to_us = r->ask->to_us,
                                    .fn = r->ask->fn,
                                    .max_points = r->left,
                                    .fill = r->ask->fill,
                                    .resolution = r->ask->resolution,
                                    .is_canceled = is_canceled,
                                    .cancel_arg = r};
    enum nx_err err;

    r->is_paused = false;
    r->pause_at_ms = now_ms() + READ_MS;
    if (!r->reader->h && (err = readers_take(r->core->readers, READERS_ANY, r->reader, why)) != NX_OK)
        return err;
    err = historian_query(r->reader->h, &q, a, take_row, r, &r->summary, why);
    return err == NX_E_NOT_FOUND ? NX_OK : err; /* never stored: its tag may be new */
}

/* The server went away, or is a standby that ended the query to go on replaying: the primary tells the rest. What was
 * told of a reduction cannot be continued. */
static enum nx_err
query_or_primary(struct run *r, int64_t from_us, struct arena *a, struct nx_note *why)
{
    uint64_t rows = r->row_count;
    enum nx_err err = query(r, from_us, a, why);
    uint64_t told = r->row_count - rows;

    if (err != NX_E_OFFLINE || r->is_second || r->is_gone || (told > 0 && r->ask->fn != HISTORY_RAW))
        return err;
    r->is_second = true;
    log_warn(&core_log, "a history query is asked again", KV_STR("topic", r->topic.topic), KV_NOTE(why));
    readers_give(r->core->readers, *r->reader, false);
    if ((err = readers_take(r->core->readers, READERS_PRIMARY, r->reader, why)) != NX_OK)
        return err;
    err = query(r, told > 0 ? r->last_us + 1 : from_us, a, why);
    r->summary.raw_count += told;
    return err;
}

/* Reads the topic in as many queries as its client makes necessary; what they say together is r->summary. */
static enum nx_err
read_topic(struct run *r, struct arena *a, struct nx_note *why)
{
    uint64_t raw_count = 0;
    enum nx_err err = query_or_primary(r, r->ask->from_us, a, why);

    while (err == NX_OK && r->is_paused && send_all(r) && r->last_us + 1 < r->ask->to_us) {
        raw_count += r->summary.raw_count;
        err = query_or_primary(r, r->last_us + 1, a, why);
    }
    r->summary.raw_count += raw_count;
    if (err == NX_OK && r->is_full)
        err = nx_fail(why, NX_E_TOO_LARGE, "the values of this tag take more than 64 MiB: ask for a shorter time");
    return err;
}

static bool
run_topic(struct run *r, unsigned index, struct nx_note *why)
{
    const char *tag = r->ask->tags[index], *topic = live_tag_topic(r->core->live, tag);
    struct arena a = {0};
    enum nx_err err;

    r->topic = (struct history_topic){.index = index, .tag = tag, .topic = topic ? topic : tag};
    r->is_open = r->is_full = r->is_second = false;
    r->left = r->ask->max_points;
    err = read_topic(r, &a, why);
    if (!r->is_gone && (err == NX_OK || r->format->is_columns)) {
        open_topic(r);
        r->format->end(r->state, &r->summary, err == NX_OK ? NULL : why->text);
    }
    arena_free(&a);
    return err == NX_OK;
}

/* --- the whole ------------------------------------------------------------------------------------------------------
 */

/* Nothing has left yet: an honest status. Else the client must notice that the end is missing. */
static void
fail(struct run *r, const struct nx_note *why)
{
    log_warn(&core_log, "a history query broke off", KV_STR("topic", r->topic.topic), KV_NOTE(why));
    if (r->is_begun)
        http_stream_cut(r->req);
    else
        http_respond_problem(r->req, &(struct http_problem){.status = 503,
                                                            .code = "history_unreadable",
                                                            .title = "The history cannot be read",
                                                            .detail = why->text,
                                                            .cause_layer = "storage"});
}

static void
finish(struct run *r)
{
    r->format->finish(r->state);
    if (send_all(r))
        http_stream_end(r->req);
}

/* false: the historian failed. */
static bool
run_topics(struct run *r)
{
    bool is_good = true;
    struct nx_note why = {0};

    for (unsigned i = 0; i < r->ask->tag_count && !r->is_gone; i++) {
        bool is_read = run_topic(r, i, &why) || r->is_gone;

        is_good = is_good && (is_read || r->is_full);
        if (!is_read && !r->format->is_columns) {
            fail(r, &why);
            return false;
        }
        if (waiting(r) >= PIECE_BYTES)
            (void)send_all(r);
    }
    if (r->is_gone && !r->is_begun) /* nobody reads it */
        http_respond_empty(r->req, 499);
    else if (!r->is_gone)
        finish(r);
    return is_good;
}

bool
history_answer(struct http_req *req, struct core *core, struct reader *reader, const struct history_ask *ask)
{
    struct run r = {.req = req, .core = core, .reader = reader, .ask = ask, .format = ask->format, .out = wbuf_init(0)};
    bool is_good = true;

    if (http_method_of(req) == HTTP_HEAD) { /* the work of an answer that nobody sees is not done */
        begin_stream(&r);
        return is_good;
    }
    r.state = r.format->open(ask, &r.out);
    is_good = run_topics(&r);
    r.format->close(r.state);
    wbuf_free(&r.out);
    if (r.row_count > MANY_ROWS) /* else each thread of the pool keeps megabytes for its next one */
        (void)malloc_trim(0);
    return is_good;
}
