#include "gateway/fake_slots.h"

#include "base/mem.h"
#include "base/num.h"
#include "gateway/normalize.h"

#include <stdio.h>
#include <stdlib.h>

static enum nx_err
parse(const struct nx_addr_spec *spec, void *addr, struct nx_addr_info *info, struct nx_note *why)
{
    uint64_t n;

    if (!num_u64(slice_str(spec->address), &n))
        return nx_fail(why, NX_E_CONFIG, "address '%s' is not a number", spec->address);
    *(uint64_t *)addr = n + spec->element;
    (void)snprintf(info->canonical, sizeof info->canonical, "%u", (unsigned)n);
    return NX_OK;
}

static struct device *
read_device(const char *json)
{
    static const struct nx_driver driver = {.name = "fake", .addr_size = sizeof(uint64_t), .addr_parse = parse};
    static const struct nx_driver *const drivers[] = {&driver, NULL};
    const struct device_options options = {.uns_root = "uns", .default_interval_ms = 1000, .drivers = drivers};
    struct arena a = {0};
    struct nx_note why = {0};
    struct device *d = NULL;
    char *text = mem_strdup(json);

    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p == '`' ? '\'' : *p;
    json_t *root = json_loads(text, 0, NULL);
    if (!root || device_read(&options, conf_from_json(&a, root, "test"), &d, &why) != NX_OK) {
        fprintf(stderr, "%s: %s\n", json, why.text);
        abort();
    }
    json_decref(root);
    free(text);
    arena_free(&a);
    return d;
}

struct nx_dev *
fake_slots_new(const char *json, uint32_t first_key)
{
    struct nx_dev *dev = mem_alloc(sizeof *dev);

    dev->conf = read_device(json);
    dev->slots = mem_calloc(dev->conf->tag_count, sizeof *dev->slots);
    for (unsigned i = 0; i < dev->conf->tag_count; i++) {
        const struct tag *tag = &dev->conf->tags[i];

        dev->slots[i] = (struct slot){.tag = tag,
                                      .dev = dev,
                                      .key = first_key + i,
                                      .series = {.topic = slice_str(tag->topic),
                                                 .device_id = slice_str(dev->conf->id),
                                                 .tag_id = slice_str(tag->id),
                                                 .unit = slice_str(tag->unit),
                                                 .data_type = (uint8_t)normalize_type(tag)}};
    }
    return dev;
}

void
fake_slots_free(struct nx_dev **dev)
{
    if (!*dev)
        return;
    for (unsigned i = 0; i < (*dev)->conf->tag_count; i++) {
        free((*dev)->slots[i].text);
        free((*dev)->slots[i].reason);
    }
    free((*dev)->slots);
    device_unref(&(*dev)->conf);
    free(*dev);
    *dev = NULL;
}

struct slot *
fake_slot(struct nx_dev *dev, const char *tag_id)
{
    const struct tag *tag = device_tag(dev->conf, tag_id);

    return tag ? &dev->slots[tag - dev->conf->tags] : NULL;
}
