/* fake_settings.c -- nx_setting_*() over "key=value" texts and the driver's own table. */
#include "fake_host.h"

#include "base/num.h"

#include <assert.h>
#include <string.h>

static const struct nx_param *
find_param(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p = s->params;

    while (p->key && strcmp(p->key, key) != 0)
        p++;
    assert(p->key && "the driver asks for a setting that is not in its table");
    return p;
}

const char *
nx_setting_string(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p = find_param(s, key);
    size_t len = strlen(key);

    for (const char *const *pair = s->pairs; pair && *pair; pair++)
        if (strncmp(*pair, key, len) == 0 && (*pair)[len] == '=')
            return *pair + len + 1;
    return p->def;
}

int64_t
nx_setting_int(const struct nx_settings *s, const char *key)
{
    const struct nx_param *p = find_param(s, key);
    struct slice text = slice_str(nx_setting_string(s, key));
    int64_t v = 0;
    bool b = false, is_read = true;

    if (text.len == 0)
        return 0;
    if (p->type == NX_PARAM_DURATION)
        is_read = num_duration_ms(text, &v);
    else if (p->type == NX_PARAM_BOOL)
        is_read = num_bool(text, &b), v = b;
    else
        is_read = num_i64(text, &v);
    assert(is_read);
    return v;
}

double
nx_setting_double(const struct nx_settings *s, const char *key)
{
    double v = 0;

    (void)num_double(slice_str(nx_setting_string(s, key)), &v);
    return v;
}

int
nx_setting_enum(const struct nx_settings *s, const char *key)
{
    const char *choice = find_param(s, key)->choices, *text = nx_setting_string(s, key);
    size_t len = text ? strlen(text) : 0;

    for (int i = 0; text && choice; i++) {
        const char *end = strchrnul(choice, '|');
        if ((size_t)(end - choice) == len && memcmp(choice, text, len) == 0)
            return i;
        choice = *end ? end + 1 : NULL;
    }
    assert(!text && "not one of the choices");
    return 0;
}
