/* fuzz: gateway model base */
/* Write commands: the topic up to the first newline, the payload behind it. */
#include "gateway/command_parse.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    const uint8_t *end = len ? memchr(p, '\n', len) : NULL;
    struct slice topic = slice(p, end ? (size_t)(end - p) : len);
    struct slice payload = end ? slice(end + 1, len - topic.len - 1) : slice(p, 0);
    struct arena a = {0};
    const char *device = "", *tag = NULL;

    if (command_parse_topic(&a, "$nexus", topic, &device, &tag)) {
        struct command_text text = {.device = device};
        if (command_parse_payload(&a, tag, payload, &text, NULL) == NX_OK)
            for (unsigned i = 0; i < text.count; i++)
                assert(text.items[i].tag && text.items[i].value.type != NX_TYPE_NONE);
    }
    arena_free(&a);
    return 0;
}
