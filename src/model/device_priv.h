/* device_priv.h -- what the files of the device reader share. */
#ifndef MODEL_DEVICE_PRIV_H
#define MODEL_DEVICE_PRIV_H

#include "model/device.h"

#define DEVICE_TAGS_MAX  100000u
#define DEVICE_ENUMS_MAX 1024u

extern const struct conf_row device_rows[], device_breaker_rows[], device_tag_rows[], device_adaptive_rows[],
    device_aggregate_rows[], device_publish_rows[];

/* The keys of map that rows name, as a map of their own for conf_fill(). A key that neither rows nor params know fails
 * with the near miss of both. */
NX_MUST_CHECK enum nx_err device_split(struct arena *a, const struct conf_node *map, const struct conf_row *rows,
                                       const struct nx_param *params, struct conf_node **out, struct nx_note *why);
/* The keys of rows, for conf_settings(): they are not the driver's. */
const char *const *device_known_keys(struct arena *a, const struct conf_row *rows);

/* The section "connection" (NULL: it is absent) of the definition node into d. */
NX_MUST_CHECK enum nx_err device_read_connection(struct device *d, const struct conf_node *node,
                                                 const struct conf_node *connection, struct nx_note *why);
/* Reads every tag of the list (NULL: none) into d: arrays as a tag for each element, aggregates as tags of their own.
 */
NX_MUST_CHECK enum nx_err device_read_tags(struct device *d, const struct device_options *opt,
                                           const struct conf_node *list, struct nx_note *why);

/* A tag as it is written, before its address and its topic are known. */
struct tag_draft {
    struct tag tag;
    const char *address, *expression; /* NULL: none; they live as long as the document */
    uint32_t elements;                /* array; 0: none */
    unsigned functions;               /* bit for each enum tag_function */
};
/* One map of the list. scratch holds what is needed only while reading: a plant has 100,000 tags. */
NX_MUST_CHECK enum nx_err device_read_tag(struct device *d, const struct conf_node *map, struct arena *scratch,
                                          struct tag_draft *out, struct nx_note *why);
/* The place of a key, or of the map when it is absent. */
const struct conf_node *device_place_of(const struct conf_node *map, const char *key);

/* Canonical JSON of a definition that was read without a fault: sorted keys, one spelling of each value. */
struct slice device_pack_json(struct arena *a, const struct conf_node *node, const struct nx_driver *driver);

#endif
