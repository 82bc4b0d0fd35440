/* doc.h -- from JSON documents of devices and tags to rows of the store and back. Any thread; pure but for the arena.
 */
#ifndef CORE_DOC_H
#define CORE_DOC_H

#include "core/core_priv.h"

/* A checked device. The rows point into the arena; versions are not set. */
struct doc {
    struct store_device device;
    struct store_tag *tags;
    size_t tag_count;
    enum access_mode access; /* of the first tag: what :write asks for */
    bool is_number, is_text; /* type of the first tag */
    bool has_enums;
};

/* Checks a whole document {id, protocol, connection, ..., tags} with the reader that gateways use. On failure why
 * begins with the JSON pointer. */
NX_MUST_CHECK enum nx_err doc_read(const struct device_options *opt, const json_t *doc, struct arena *a,
                                   struct doc *out, struct nx_note *why);
/* The same for one tag of a stored device: errors then name /tags/0/... */
#define DOC_TAG_PREFIX "/tags/0"
NX_MUST_CHECK enum nx_err doc_read_tag(const struct device_options *opt, const struct store_device *dev,
                                       const json_t *tag, struct arena *a, struct doc *out, struct nx_note *why);

/* Device and Tag of openapi.yaml; new references. */
json_t *doc_show_device(struct core *core, const struct store_device *dev);
json_t *doc_show_tag(struct core *core, const struct store_tag *tag, struct arena *a);
/* Settings text as JSON; new reference, an empty object when it is damaged. */
json_t *doc_settings(const char *text);

#endif
