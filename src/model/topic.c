#include "model/topic.h"

#include "base/utf8.h"
#include "base/wbuf.h"

/* One slash at either end is a habit of people; more of them is an empty level. */
static struct slice
trim_slashes(struct slice s)
{
    if (s.len && s.p[0] == '/')
        s = slice_skip(s, 1);
    if (s.len && s.p[s.len - 1] == '/')
        s.len--;
    return s;
}

static bool
starts_with_level(struct slice topic, struct slice level)
{
    return slice_starts_with(topic, level) && (topic.len == level.len || topic.p[level.len] == '/');
}

/* Why this part may not stand in a topic, or NULL (MQTT 3.1.1, 4.7). */
static const char *
fault_of(struct slice s)
{
    if (s.len == 0)
        return "has an empty level";
    if (!utf8_is_valid(s))
        return "is not valid UTF-8";
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '+' || s.p[i] == '#')
            return "holds a wildcard (+ or #)";
        if (s.p[i] < 0x20 || s.p[i] == 0x7F)
            return "holds a control character";
        if (s.p[i] == '/' && (i == 0 || i + 1 == s.len || s.p[i - 1] == '/'))
            return "has an empty level";
    }
    return NULL;
}

enum nx_err
topic_build(const char *root, const char *prefix, const char *suffix, char *out, size_t cap, struct nx_note *why)
{
    static const char *const names[] = {"root topic", "uns_prefix", "topic_suffix"};
    struct slice parts[] = {trim_slashes(slice_str(root)), trim_slashes(slice_str(prefix)),
                            trim_slashes(slice_str(suffix))};
    size_t limit = cap - 1 < TOPIC_MAX ? cap - 1 : TOPIC_MAX;
    struct wbuf w = wbuf_fixed(out, limit);

    if (parts[0].len && starts_with_level(parts[1], parts[0]))
        parts[0].len = 0;
    for (size_t i = 0; i < 3; i++) {
        /* Root and prefix may be absent; what was written must be sound. */
        bool may_be_absent = i == 0 || (i == 1 && (!prefix || !*prefix));
        if (may_be_absent && parts[i].len == 0)
            continue;
        const char *fault = fault_of(parts[i]);
        if (fault)
            return nx_fail(why, NX_E_CONFIG, "%s \"%.*s\" %s; write levels of text joined by single slashes", names[i],
                           SLICE_FMT(parts[i]), fault);
        if (w.len)
            wbuf_char(&w, '/');
        wbuf_slice(&w, parts[i]);
    }
    if (w.failed)
        return nx_fail(why, NX_E_CONFIG,
                       "topic of uns_prefix \"%.*s\" and topic_suffix \"%.*s\" is longer than %zu bytes",
                       SLICE_FMT(parts[1]), SLICE_FMT(parts[2]), limit);
    if (out[0] == '$')
        return nx_fail(why, NX_E_CONFIG, "topic \"%.*s\" starts with '$', which brokers keep for themselves",
                       (int)w.len, out);
    out[w.len] = '\0';
    return NX_OK;
}

void
topic_level_from_text(const char *text, char *out, size_t cap)
{
    struct slice s = slice_str(text);
    size_t n = 0;

    while (s.len) {
        size_t step = utf8_step(s);
        bool is_plain = step > 1 || (step == 1 && s.p[0] >= 0x20 && s.p[0] != 0x7F && !strchr("/+#", s.p[0]) &&
                                     !(s.p[0] == '$' && n == 0));
        size_t len = is_plain ? step : 1;

        if (n + len >= cap)
            break;
        if (is_plain)
            memcpy(out + n, s.p, len);
        else
            out[n] = '_';
        n += len;
        s = slice_skip(s, step ? step : 1);
    }
    if (n == 0 && cap > 1)
        out[n++] = '_';
    out[n] = '\0';
}
