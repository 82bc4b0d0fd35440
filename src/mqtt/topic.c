/* topic.c -- topic names and filters (MQTT 5.0, 4.7, 4.8.2). Pure. */
#include "mqtt/codec_priv.h"

/* The level at the start of s; *rest is what follows its slash, *more says whether there was one. */
static struct slice
level(struct slice s, struct slice *rest, bool *more)
{
    const uint8_t *slash = s.len ? memchr(s.p, '/', s.len) : NULL;
    size_t len = slash ? (size_t)(slash - s.p) : s.len;

    *more = slash;
    *rest = slash ? slice_skip(s, len + 1) : slice(s.p, 0);
    return slice(s.p, len);
}

/* What is matched of "$share/group/filter". */
static struct slice
without_share(struct slice filter)
{
    struct slice rest, tail;
    bool more;

    if (!slice_starts_with(filter, slice_str("$share/")))
        return filter;
    level(filter, &rest, &more);
    level(rest, &tail, &more);
    return tail;
}

static bool
is_wild(struct slice s)
{
    return s.len == 1 && (s.p[0] == '+' || s.p[0] == '#');
}

bool
mqtt_topic_matches(struct slice filter, struct slice topic)
{
    bool filter_more = true, topic_more = true, is_first = true;

    filter = without_share(filter);
    while (filter_more && topic_more) {
        struct slice f = level(filter, &filter, &filter_more);
        struct slice t = level(topic, &topic, &topic_more);

        if (is_wild(f) && is_first && t.len && t.p[0] == '$')
            return false;
        if (slice_eq_str(f, "#"))
            return true;
        if (!slice_eq_str(f, "+") && !slice_eq(f, t))
            return false;
        is_first = false;
    }
    /* "a/#" also matches its parent "a" (4.7.1.2). */
    return filter_more == topic_more || (filter_more && slice_eq_str(filter, "#"));
}

bool
mqtt_topic_is_valid(struct slice topic)
{
    if (topic.len == 0 || topic.len > UINT16_MAX || memchr(topic.p, '+', topic.len) || memchr(topic.p, '#', topic.len))
        return false;
    return mqtt_text_is_valid(topic);
}

/* A share name is not empty and holds no wildcard (4.8.2). */
static bool
share_is_valid(struct slice filter)
{
    struct slice rest, name, inner;
    bool more;

    level(filter, &rest, &more);
    name = level(rest, &inner, &more);
    return name.len > 0 && more && inner.len > 0 && !memchr(name.p, '+', name.len) && !memchr(name.p, '#', name.len);
}

bool
mqtt_filter_is_valid(struct slice filter)
{
    bool more = true;

    if (filter.len == 0 || filter.len > UINT16_MAX || !mqtt_text_is_valid(filter))
        return false;
    if (slice_starts_with(filter, slice_str("$share/"))) {
        if (!share_is_valid(filter))
            return false;
        filter = without_share(filter);
    }
    while (more) {
        struct slice f = level(filter, &filter, &more);
        bool has_wildcard = f.len && (memchr(f.p, '+', f.len) || memchr(f.p, '#', f.len));

        if ((has_wildcard && f.len != 1) || (more && slice_eq_str(f, "#")))
            return false;
    }
    return true;
}
