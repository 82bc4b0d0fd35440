/* device.h -- devices and tags as people configure them: one reader for YAML files, API bodies and MQTT messages.
 *
 * Field names are those of devices.yaml (contracts, "Configuration"). A device with a fault is refused with the place
 * (file and line, or JSON pointer), the near miss and the remedy; the others of the file still load. Everything of a
 * device lives in its own arena. Immutable once made; share by reference counting on one thread. */
#ifndef MODEL_DEVICE_H
#define MODEL_DEVICE_H

#include "base/arena.h"
#include "conf/conf.h"
#include "nexus/driver.h"

enum deadband_type { DEADBAND_NONE, DEADBAND_ABSOLUTE, DEADBAND_PERCENT };
enum access_mode { ACCESS_READ, ACCESS_WRITE, ACCESS_READWRITE };
enum tag_priority { PRIORITY_TELEMETRY, PRIORITY_CONTROL, PRIORITY_SAFETY };

struct tag_enum {
    int64_t value;
    const char *text;
};

struct tag {
    const char *id, *name, *description;
    const char *address;   /* as written */
    const char *canonical; /* as the driver understood it */
    const void *addr;      /* the driver's parsed address */
    enum nx_data_type data_type;
    uint32_t count;              /* register_count; 0: the type's own size */
    double scale_factor, offset; /* engineering = raw * scale_factor + offset; 1 and 0 by default */
    bool is_scaled;
    const char *unit;
    bool has_clamp_min, has_clamp_max;
    double clamp_min, clamp_max;
    const struct tag_enum *enums; /* raw number -> text; enum_count 0: none */
    unsigned enum_count;
    enum deadband_type deadband_type;
    double deadband;
    int64_t max_silence_ms;   /* a value is sent at least this often although it did not change; 0: never */
    int64_t poll_interval_ms; /* 0: the device's */
    enum access_mode access_mode;
    enum tag_priority priority;
    const char *topic_suffix; /* the id by default */
    const char *topic;        /* complete UNS topic */
    bool is_enabled;
    const struct nx_settings *settings; /* of the driver's tag_params */
};

struct device {
    const char *id, *name, *description;
    const struct nx_driver *driver;
    bool is_enabled;
    const char *uns_prefix;
    int64_t poll_interval_ms;
    int64_t timeout_ms; /* connection.timeout, retry_count, retry_delay: the host's */
    int64_t retry_count, retry_delay_ms;
    const struct nx_settings *settings; /* of the driver's params */
    const struct tag *tags;
    unsigned tag_count;
    const uint32_t *tags_by_id; /* [tag_count], indexes sorted by id */
    uint64_t version;           /* of the configuration store; 0: from a file */
    const char *json;           /* canonical JSON of the definition, as the API shows it */

    struct arena arena;
    unsigned refs;
};

/* What every device has in its connection beside the settings of its driver. */
extern const struct conf_row device_connection_rows[];

struct device_options {
    const char *uns_root;                   /* "uns" */
    int64_t default_interval_ms;            /* polling.default_interval */
    const struct nx_driver *const *drivers; /* nx_drivers */
};

/* Makes a device from one map. On failure *out is NULL and why names the place and the remedy. One reference. */
NX_MUST_CHECK enum nx_err device_read(const struct device_options *opt, const struct conf_node *node,
                                      struct device **out, struct nx_note *why);
struct device *device_ref(struct device *d);
void device_unref(struct device **d);
const struct tag *device_tag(const struct device *d, const char *tag_id); /* NULL when there is none */
/* Do both say the same? (canonical JSON compared) */
bool device_eq(const struct device *a, const struct device *b);

/* Every device of a devices.yaml. Good ones are handed to each() (it takes the reference), bad ones to bad() with the
 * reason; both run inside the call. Duplicate ids are bad. NX_E_CONFIG only when the file as a whole cannot be read. */
struct device_list_ops {
    void (*each)(void *arg, struct device *d);
    void (*bad)(void *arg, const char *device_id, const struct nx_note *why);
};
NX_MUST_CHECK enum nx_err device_read_list(const struct device_options *opt, const struct conf_node *root,
                                           const struct device_list_ops *ops, void *arg, struct nx_note *why);

/* Ids: 1..64 of A-Z a-z 0-9 _ - . */
bool device_id_is_valid(const char *id);
/* "float32" and its usual aliases (float, real, int16, short, word, ...); NX_DT_COUNT when unknown. */
enum nx_data_type data_type_parse(const char *text);
const char *data_type_name(enum nx_data_type t);

#endif
