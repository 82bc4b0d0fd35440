/* fuzz: conf base */
#include "conf/conf.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

struct target {
    const char *text;
    int64_t number;
    bool flag;
};

static const struct conf_row rows[] = {
    {.key = "mqtt.host", .type = CONF_STRING, .offset = offsetof(struct target, text)},
    {.key = "mqtt.port", .type = CONF_INT, .max = 65535, .offset = offsetof(struct target, number)},
    {.key = "enabled", .type = CONF_BOOL, .offset = offsetof(struct target, flag)},
    CONF_ROW_END,
};

/* Any text either fills the struct or gives a reason; a tree survives the way through JSON. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct arena a = {0};
    struct conf_node *root;
    struct target target;
    struct nx_note why;

    if (conf_parse_yaml(&a, slice(p, len), "fuzz.yaml", &root, &why) == NX_OK) {
        (void)!conf_fill(&a, rows, root, &target, &why);
        json_decref(conf_to_json(root));
    }
    arena_free(&a);
    return 0;
}
