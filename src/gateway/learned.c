#include "gateway/learned.h"

#include "base/file.h"
#include "base/mem.h"
#include "gateway/saver.h"
#include "obs/log.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (64u << 20)

struct learned {
    json_t *texts; /* device id -> text */
    struct saver *saver;
    struct log_ctx log;
};

static char *
text_of(void *arg)
{
    const struct learned *l = arg;

    return json_dumps(l->texts, JSON_COMPACT | JSON_SORT_KEYS);
}

static json_t *
load(const struct learned *l, const char *path)
{
    struct nx_note why = {0};
    char *text;
    size_t len;
    json_t *json;

    if (file_read(path, FILE_MAX_BYTES, &text, &len, &why) != NX_OK) {
        if (why.err != NX_E_NOT_FOUND)
            log_warn(&l->log, "what was learned of devices cannot be read and is learned again", KV_NOTE(&why));
        return json_object();
    }
    json = json_loadb(text, len, 0, NULL);
    free(text);
    if (json_is_object(json))
        return json;
    log_warn(&l->log, "what was learned of devices is damaged and is learned again", KV_STR("path", path));
    json_decref(json);
    return json_object();
}

struct learned *
learned_open(struct loop *loop, const char *path)
{
    struct learned *l = mem_alloc(sizeof *l);

    l->log = (struct log_ctx){.module = "learned"};
    l->texts = load(l, path);
    l->saver =
        saver_new(loop, &(struct saver_conf){.path = path,
                                             .complaint =
                                                 "what was learned of devices is not saved; a restart learns it again",
                                             .delay_ms = LEARNED_WRITE_MS,
                                             .text = text_of,
                                             .arg = l});
    return l;
}

void
learned_close(struct learned **lp)
{
    struct learned *l = *lp;

    if (!l)
        return;
    saver_free(&l->saver);
    json_decref(l->texts);
    free(l);
    *lp = NULL;
}

const char *
learned_get(const struct learned *l, const char *device_id)
{
    return json_string_value(json_object_get(l->texts, device_id));
}

void
learned_put(struct learned *l, const char *device_id, const char *text)
{
    const char *before = learned_get(l, device_id);

    if (strcmp(before ? before : "", text) == 0)
        return;
    if (text[0])
        json_object_set_new(l->texts, device_id, json_string(text));
    else
        json_object_del(l->texts, device_id);
    saver_touch(l->saver);
}
