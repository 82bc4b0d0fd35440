#include "ingest/dead_letter.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "base/wbuf.h"

#define LINES_PER_SECOND 20u
#define MAX_BYTES        (8 << 20)
#define MAX_PAYLOAD      3072u

void
dead_letter_init(struct dead_letter *d, const char *dir)
{
    *d = (struct dead_letter){.path = mem_printf("%s/dead-letter.jsonl", dir)};
}

void
dead_letter_fini(struct dead_letter *d)
{
    free(d->path);
    d->path = NULL;
}

static bool
is_allowed(struct dead_letter *d, int64_t wall_us)
{
    if (d->second != wall_us / 1000000) {
        d->second = wall_us / 1000000;
        d->written_in_second = 0;
    }
    return d->written_in_second++ < LINES_PER_SECOND;
}

static void
encode_line(struct wbuf *w, int64_t wall_us, struct slice topic, struct slice payload, const char *reason)
{
    char time[TIMEFMT_CAP];
    unsigned char base64[MAX_PAYLOAD / 3 * 4 + 5];
    size_t kept = payload.len < MAX_PAYLOAD ? payload.len : MAX_PAYLOAD;

    wbuf_printf(w, "{\"time\":\"%s\",\"topic\":", timefmt_rfc3339(wall_us, time));
    wbuf_json_string(w, topic);
    wbuf_str(w, ",\"reason\":");
    wbuf_json_string(w, slice_str(reason));
    wbuf_printf(w, ",\"bytes\":%zu,\"payload\":\"", payload.len);
    if (kept > 0)
        wbuf_bytes(w, base64, (size_t)EVP_EncodeBlock(base64, payload.p, (int)kept));
    wbuf_str(w, "\"}\n");
}

static void
rotate(const struct dead_letter *d)
{
    struct stat sb;
    char *old;

    if (stat(d->path, &sb) != 0 || sb.st_size < MAX_BYTES)
        return;
    old = mem_printf("%s.1", d->path);
    (void)rename(d->path, old);
    free(old);
}

bool
dead_letter_put(struct dead_letter *d, int64_t wall_us, struct slice topic, struct slice payload, const char *reason)
{
    struct wbuf w = wbuf_init(0);
    bool ok = false;
    int fd;

    d->seen++;
    if (!is_allowed(d, wall_us))
        return false;
    rotate(d);
    fd = open(d->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd >= 0) {
        encode_line(&w, wall_us, topic, payload, reason);
        ok = write(fd, w.p, w.len) == (ssize_t)w.len;
        (void)close(fd);
    }
    wbuf_free(&w);
    d->kept += ok;
    return ok;
}

/* --- reading --- */

static json_t *
line_json(const char *line, size_t len)
{
    json_t *v = json_loadb(line, len, 0, NULL);

    if (json_is_string(json_object_get(v, "time")) && json_is_string(json_object_get(v, "reason")))
        return v;
    json_decref(v);
    return NULL;
}

/* From the end of the text to its beginning. */
static void
add_lines(json_t *list, const char *text, size_t len, size_t limit)
{
    while (len > 0 && json_array_size(list) < limit) {
        const char *before = memrchr(text, '\n', len - 1);
        size_t start = before ? (size_t)(before + 1 - text) : 0;
        json_t *v = line_json(text + start, len - start);

        if (v)
            json_array_append_new(list, v);
        len = start;
    }
}

static void
add_file(json_t *list, const char *path, size_t limit)
{
    char *text = NULL;
    size_t len = 0;

    if (file_read(path, 2 * MAX_BYTES, &text, &len, NULL) == NX_OK)
        add_lines(list, text, len, limit);
    free(text);
}

json_t *
dead_letter_list(const char *path, size_t limit)
{
    char *old = mem_printf("%s.1", path);
    json_t *list = json_array();

    add_file(list, path, limit);
    add_file(list, old, limit);
    free(old);
    return list;
}
