#include "gateway/answers.h"

#include "base/crc32c.h"
#include "base/mem.h"
#include "obs/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* Head of an answer in the file; topic, correlation and text follow. size 0: free. */
struct place {
    uint32_t size; /* of everything behind the head */
    uint32_t topic_len, correlation_len;
    uint32_t crc; /* of the head before it and all that follows */
};

#define PLACE_TEXT_MAX (ANSWERS_FILE_BYTES - sizeof(struct place))

struct answer {
    struct answers *owner; /* NULL: the owner has gone, the broker still has the message */
    struct answer *prev, *next;
    char *topic, *text, *correlation;
    size_t correlation_len;
    int place; /* in the file; -1: none */
    bool is_final;
};

struct answers {
    struct outlet out;
    struct answer *owed, *final; /* final and not sent; sent ones are in `sent` */
    struct answer *sent;
    int fd; /* -1: memory only */
    unsigned file_max, free_count;
    int *free_places; /* stack */
    struct answers_stats stats;
};

static const struct log_ctx answers_log = {.module = "commands"};

/* --- the file --- */

static void
file_failed(struct answers *a, const char *call)
{
    log_error(&answers_log, "answers cannot be kept on disk; those of a crash would be lost", KV_STR("call", call),
              KV_STR("reason", strerror(errno)));
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

static uint32_t
crc_of(const uint8_t *bytes, size_t len)
{
    uint32_t crc = crc32c(0, bytes, offsetof(struct place, crc));

    return crc32c(crc, bytes + sizeof(struct place), len - sizeof(struct place));
}

static void
write_place(struct answers *a, int place, const uint8_t *bytes, size_t len)
{
    if (a->fd >= 0 && pwrite(a->fd, bytes, len, (off_t)place * (off_t)ANSWERS_FILE_BYTES) != (ssize_t)len)
        file_failed(a, "write");
}

static void
clear_place(struct answer *ans)
{
    static const struct place none;

    if (ans->place < 0)
        return;
    write_place(ans->owner, ans->place, (const uint8_t *)&none, sizeof none);
    ans->owner->free_places[ans->owner->free_count++] = ans->place;
    ans->place = -1;
}

static void
store(struct answer *ans)
{
    uint8_t bytes[ANSWERS_FILE_BYTES];
    size_t topic_len = strlen(ans->topic), text_len = strlen(ans->text);
    struct place head = {.size = (uint32_t)(topic_len + ans->correlation_len + text_len),
                         .topic_len = (uint32_t)topic_len,
                         .correlation_len = (uint32_t)ans->correlation_len};
    uint8_t *p = bytes + sizeof head;

    if (ans->place < 0)
        return;
    if (topic_len + ans->correlation_len + text_len > PLACE_TEXT_MAX) {
        clear_place(ans);
        return;
    }
    memcpy(bytes, &head, sizeof head);
    memcpy(p, ans->topic, topic_len);
    memcpy(p + topic_len, ans->correlation, ans->correlation_len);
    memcpy(p + topic_len + ans->correlation_len, ans->text, text_len);
    head.crc = crc_of(bytes, sizeof head + head.size);
    memcpy(bytes, &head, sizeof head);
    write_place(ans->owner, ans->place, bytes, sizeof head + head.size);
}

static struct answer *new_answer(struct answers *a, struct slice topic, struct slice correlation, struct slice text);

/* One answer that an earlier run still owed; false: there is none or it is damaged. */
static bool
load_place(struct answers *a, int place)
{
    uint8_t bytes[ANSWERS_FILE_BYTES] = {0};
    struct place head;
    ssize_t n = pread(a->fd, bytes, sizeof bytes, (off_t)place * (off_t)ANSWERS_FILE_BYTES);

    memcpy(&head, bytes, sizeof head);
    if (n < (ssize_t)sizeof head || head.size == 0 || head.size > PLACE_TEXT_MAX || head.topic_len > head.size ||
        head.correlation_len > head.size - head.topic_len || head.crc != crc_of(bytes, sizeof head + head.size))
        return false;
    const uint8_t *p = bytes + sizeof head;
    size_t before = head.topic_len + head.correlation_len;
    struct answer *ans = new_answer(a, slice(p, head.topic_len), slice(p + head.topic_len, head.correlation_len),
                                    slice(p + before, head.size - before));
    ans->place = place;
    ans->is_final = true;
    DL_APPEND(a->final, ans);
    a->stats.waiting++;
    return true;
}

static void
open_file(struct answers *a, const char *path)
{
    a->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (a->fd < 0) {
        file_failed(a, "open");
        return;
    }
    a->free_places = mem_calloc(a->file_max, sizeof *a->free_places);
    for (unsigned i = a->file_max; i > 0; i--)
        if (!load_place(a, (int)(i - 1)))
            a->free_places[a->free_count++] = (int)(i - 1);
    if (a->stats.waiting > 0)
        log_warn(&answers_log, "commands of an earlier run are answered now", KV_UINT("answers", a->stats.waiting));
}

/* --- answers --- */

static struct answer *
new_answer(struct answers *a, struct slice topic, struct slice correlation, struct slice text)
{
    struct answer *ans = mem_alloc(sizeof *ans);

    ans->owner = a;
    ans->topic = mem_strndup(topic.p, topic.len);
    ans->text = mem_strndup(text.p, text.len);
    ans->correlation = mem_strndup(correlation.len ? (const void *)correlation.p : "", correlation.len);
    ans->correlation_len = correlation.len;
    ans->place = -1;
    a->stats.unsettled++;
    return ans;
}

static void
free_answer(struct answer *ans)
{
    if (ans->owner)
        ans->owner->stats.unsettled--;
    free(ans->topic);
    free(ans->text);
    free(ans->correlation);
    free(ans);
}

/* The broker has it, or never will. */
static void
on_sent(void *arg, enum nx_err err)
{
    struct answer *ans = arg;
    struct answers *a = ans->owner;

    if (a) {
        DL_DELETE(a->sent, ans);
        if (err != NX_OK && err != NX_E_CANCELED) {
            a->stats.lost++;
            log_warn(&answers_log, "the broker refuses a response", KV_ERR(err), KV_STR("topic", ans->topic));
        }
        if (err != NX_E_CANCELED) /* we are stopping: the next run sends it again */
            clear_place(ans);
    }
    free_answer(ans);
}

/* Settled answers leave `final`; false: the broker takes no more. */
static bool
try_send(struct answer *ans)
{
    struct answers *a = ans->owner;
    struct mqtt_publication pub = {.topic = slice_str(ans->topic),
                                   .payload = slice_str(ans->text),
                                   .qos = 1,
                                   .correlation = slice(ans->correlation, ans->correlation_len)};

    DL_DELETE(a->final, ans);
    DL_APPEND(a->sent, ans); /* before: done may run inside the call */
    enum nx_err err = outlet_publish(&a->out, &pub, on_sent, ans);
    if (err == NX_E_FULL || err == NX_E_OFFLINE) {
        DL_DELETE(a->sent, ans);
        DL_PREPEND(a->final, ans);
        return false;
    }
    a->stats.waiting--;
    if (err != NX_OK)
        on_sent(ans, err);
    return true;
}

void
answers_ready(struct answers *a)
{
    while (a->final && try_send(a->final)) {
    }
}

struct answer *
answers_owe(struct answers *a, const char *topic, struct slice correlation, const char *text, bool is_kept)
{
    struct answer *ans;

    if (a->stats.unsettled >= ANSWERS_MAX) {
        if (a->stats.lost++ == 0)
            log_warn(&answers_log, "too many responses wait for the broker; further ones are lost",
                     KV_STR("topic", topic));
        return NULL;
    }
    ans = new_answer(a, slice_str(topic), correlation, slice_str(text));
    DL_APPEND(a->owed, ans);
    if (is_kept && a->fd >= 0 && a->free_count > 0)
        ans->place = a->free_places[--a->free_count];
    store(ans);
    return ans;
}

void
answer_change(struct answer *ans, const char *text)
{
    free(ans->text);
    ans->text = mem_strdup(text);
    store(ans);
}

void
answer_send(struct answer *ans, const char *text)
{
    struct answers *a = ans->owner;

    answer_change(ans, text);
    ans->is_final = true;
    DL_DELETE(a->owed, ans);
    DL_APPEND(a->final, ans);
    a->stats.waiting++;
    answers_ready(a);
}

/* --- life --- */

struct answers *
answers_open(const char *path, unsigned file_max, const struct outlet *out)
{
    struct answers *a = mem_alloc(sizeof *a);

    a->out = *out;
    a->file_max = file_max < ANSWERS_MAX ? file_max : ANSWERS_MAX;
    a->fd = -1;
    if (path)
        open_file(a, path);
    return a;
}

static void
free_list(struct answer **list)
{
    while (*list) {
        struct answer *ans = *list;
        DL_DELETE(*list, ans);
        free_answer(ans);
    }
}

void
answers_close(struct answers **ap)
{
    struct answers *a = *ap;

    *ap = NULL;
    if (!a)
        return;
    free_list(&a->owed);
    free_list(&a->final);
    while (a->sent) {
        struct answer *ans = a->sent;
        DL_DELETE(a->sent, ans);
        ans->owner = NULL; /* on_sent() frees it */
    }
    if (a->fd >= 0)
        (void)close(a->fd);
    free(a->free_places);
    free(a);
}

struct answers_stats
answers_stats_of(const struct answers *a)
{
    return a->stats;
}
