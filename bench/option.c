#include "option.h"

#include "base/num.h"

#include <string.h>

const char *
option_text(int argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return NULL;
}

uint64_t
option(int argc, char **argv, const char *name, uint64_t fallback)
{
    const char *text = option_text(argc, argv, name);
    uint64_t value = fallback;

    if (text)
        (void)num_u64(slice_str(text), &value);
    return value;
}
