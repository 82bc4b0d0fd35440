/* topic.h -- Unified Namespace topics: {root}/{uns_prefix}/{topic_suffix}. Pure. */
#ifndef MODEL_TOPIC_H
#define MODEL_TOPIC_H

#include "base/slice.h"
#include "nexus/err.h"

#define TOPIC_MAX 512

/* Joins root, prefix and suffix with single slashes into out[cap]. The root is left out when the prefix already
 * starts with it. NX_E_CONFIG (note names the part) for wildcards, empty levels, control characters, NUL, bytes that
 * are not UTF-8, a leading '$', or more than TOPIC_MAX bytes. */
NX_MUST_CHECK enum nx_err topic_build(const char *root, const char *prefix, const char *suffix, char *out, size_t cap,
                                      struct nx_note *why);
/* One level made from any text: characters that a topic may not hold become '_'. */
void topic_level_from_text(const char *text, char *out, size_t cap);

#endif
