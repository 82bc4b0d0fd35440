#include "model/device.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

struct device *
device_ref(struct device *d)
{
    d->refs++;
    return d;
}

void
device_unref(struct device **d)
{
    if (*d && --(*d)->refs == 0) {
        arena_free(&(*d)->arena);
        free(*d);
    }
    *d = NULL;
}

const struct tag *
device_tag(const struct device *d, const char *tag_id)
{
    unsigned low = 0, high = d->tag_count;

    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct tag *t = &d->tags[d->tags_by_id[mid]];
        int order = strcmp(t->id, tag_id);

        if (order == 0)
            return t;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

bool
device_id_is_valid(const char *id)
{
    size_t n = 0;

    for (; id[n]; n++) {
        if (!isalnum((unsigned char)id[n]) && !strchr("_-.", id[n]))
            return false;
    }
    return n >= 1 && n <= 64;
}

/* Our names first, in the order of the enum; then those of IEC 61131-3 and of programming languages. */
static const struct {
    const char *name;
    enum nx_data_type type;
} type_names[] = {
    {"bool", NX_DT_BOOL},      {"int8", NX_DT_INT8},       {"uint8", NX_DT_UINT8},     {"int16", NX_DT_INT16},
    {"uint16", NX_DT_UINT16},  {"int32", NX_DT_INT32},     {"uint32", NX_DT_UINT32},   {"int64", NX_DT_INT64},
    {"uint64", NX_DT_UINT64},  {"float32", NX_DT_FLOAT32}, {"float64", NX_DT_FLOAT64}, {"string", NX_DT_STRING},
    {"boolean", NX_DT_BOOL},   {"bit", NX_DT_BOOL},        {"sint", NX_DT_INT8},       {"usint", NX_DT_UINT8},
    {"byte", NX_DT_UINT8},     {"int", NX_DT_INT16},       {"short", NX_DT_INT16},     {"uint", NX_DT_UINT16},
    {"word", NX_DT_UINT16},    {"ushort", NX_DT_UINT16},   {"dint", NX_DT_INT32},      {"udint", NX_DT_UINT32},
    {"dword", NX_DT_UINT32},   {"lint", NX_DT_INT64},      {"long", NX_DT_INT64},      {"ulint", NX_DT_UINT64},
    {"ulong", NX_DT_UINT64},   {"lword", NX_DT_UINT64},    {"float", NX_DT_FLOAT32},   {"real", NX_DT_FLOAT32},
    {"single", NX_DT_FLOAT32}, {"double", NX_DT_FLOAT64},  {"lreal", NX_DT_FLOAT64},   {"text", NX_DT_STRING},
};

enum nx_data_type
data_type_parse(const char *text)
{
    for (size_t i = 0; i < MEM_COUNT(type_names); i++) {
        if (strcasecmp(type_names[i].name, text) == 0)
            return type_names[i].type;
    }
    return NX_DT_COUNT;
}

const char *
data_type_name(enum nx_data_type t)
{
    return t < NX_DT_COUNT ? type_names[t].name : "unknown";
}

const char *
tag_function_name(enum tag_function f)
{
    static const char *const words[] = {
#define TAG_FUNCTION_WORD(name, word) word,
        TAG_FUNCTIONS(TAG_FUNCTION_WORD)
#undef TAG_FUNCTION_WORD
    };

    return f < TAG_FUNCTION_COUNT ? words[f] : "unknown";
}
