/* device_priv.h -- what the files of the device reader share. */
#ifndef MODEL_DEVICE_PRIV_H
#define MODEL_DEVICE_PRIV_H

#include "model/device.h"

#define DEVICE_TAGS_MAX  100000u
#define DEVICE_ENUMS_MAX 1024u

extern const struct conf_row device_rows[], device_tag_rows[];

/* The keys of map that rows name, as a map of their own for conf_fill(). A key that neither rows nor params know fails
 * with the near miss of both. */
NX_MUST_CHECK enum nx_err device_split(struct arena *a, const struct conf_node *map, const struct conf_row *rows,
                                       const struct nx_param *params, struct conf_node **out, struct nx_note *why);
/* The keys of rows, for conf_settings(): they are not the driver's. */
const char *const *device_known_keys(struct arena *a, const struct conf_row *rows);

/* Reads every tag of the list (NULL: none) into d. */
NX_MUST_CHECK enum nx_err device_read_tags(struct device *d, const char *uns_root, const struct conf_node *list,
                                           struct nx_note *why);
/* Canonical JSON of a definition that was read without a fault: sorted keys, one spelling of each value. */
char *device_to_json(struct arena *a, const struct conf_node *node, const struct nx_driver *driver);

#endif
