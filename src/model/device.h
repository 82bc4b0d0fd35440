/* device.h -- devices and tags as people configure them: one reader for YAML files, API bodies and MQTT messages.
 *
 * Field names are those of devices.yaml (contracts, "Configuration"). A device with a fault is refused with the place
 * (file and line, or JSON pointer), the near miss and the remedy; the others of the file still load. Everything of a
 * device lives in its own arena. Immutable once made; share by reference counting on one thread. */
#ifndef MODEL_DEVICE_H
#define MODEL_DEVICE_H

#include "base/arena.h"
#include "conf/conf.h"
#include "model/expr.h"
#include "model/ratio.h"
#include "nexus/driver.h"

/* DEADBAND_RANGE is made DEADBAND_ABSOLUTE when a tag is read. */
enum deadband_type { DEADBAND_NONE, DEADBAND_ABSOLUTE, DEADBAND_PERCENT, DEADBAND_RANGE };
enum access_mode { ACCESS_READ, ACCESS_WRITE, ACCESS_READWRITE };
enum tag_priority { PRIORITY_TELEMETRY, PRIORITY_CONTROL, PRIORITY_SAFETY };

/* Where the values of a tag come from: only TAG_POLLED has an address and is read and written on the device. */
enum tag_kind {
    TAG_POLLED,
    TAG_AGGREGATE, /* one function over windows of another tag of the device */
    TAG_CALC,      /* an expression over other tags */
};

/* What a window of a tag is told as; "avg" becomes the tag `id.avg`. */
#define TAG_FUNCTIONS(X)                                                                                               \
    X(MIN, "min")                                                                                                      \
    X(MAX, "max")                                                                                                      \
    X(AVG, "avg") X(STDDEV, "stddev") X(COUNT, "count") X(FIRST, "first") X(LAST, "last") X(TIME_AVG, "time_avg")
enum tag_function {
#define TAG_FUNCTION_ENUM(name, word) TAG_##name,
    TAG_FUNCTIONS(TAG_FUNCTION_ENUM)
#undef TAG_FUNCTION_ENUM
        TAG_FUNCTION_COUNT
};

struct tag_enum {
    int64_t value;
    const char *text;
};

struct tag {
    const char *id, *name, *description;
    enum tag_kind kind;
    const char *address;   /* as written; TAG_POLLED only, like canonical and addr */
    const char *canonical; /* as the driver understood it */
    const void *addr;      /* the driver's parsed address */
    enum nx_data_type data_type;
    uint32_t count;              /* register_count; 0: the type's own size */
    double scale_factor, offset; /* engineering = raw * scale_factor + offset; 1 and 0 by default */
    bool is_scaled;              /* line is to be used: scale_factor and offset, then from unit to target_unit */
    struct line line;            /* engineering = (raw * p + n) / q */
    const char *unit;            /* of the engineering value */
    bool has_clamp_min, has_clamp_max;
    double clamp_min, clamp_max;
    const struct tag_enum *enums; /* number -> text, after all else; enum_count 0: none */
    unsigned enum_count;
    enum deadband_type deadband_type;
    double deadband;
    int64_t max_silence_ms;   /* a value is sent at least this often although it did not change; 0: never */
    int64_t poll_interval_ms; /* 0: the device's */
    int64_t adaptive_min_ms, adaptive_max_ms; /* bounds of adaptive polling; both 0: off */
    int64_t min_interval_ms;                  /* changes are sent at most this often; 0: each */
    enum access_mode access_mode;
    enum tag_priority priority;
    const char *topic_suffix; /* the id by default */
    const char *topic;        /* complete UNS topic */
    bool is_enabled;
    bool is_silent;               /* read, but only its aggregates and what is calculated from it are sent */
    const struct expr_text *expr; /* of its own value (one reference, "value") or, TAG_CALC, over other tags; NULL */
    int64_t window_ms;            /* of its aggregates, which follow it in the list, or TAG_AGGREGATE's; 0: none */
    uint32_t source;              /* TAG_AGGREGATE: index of the tag that it tells about */
    enum tag_function function;
    const char *base_id;                /* the id as written: of `id.0`, `id.avg` it is `id` */
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
    int64_t idle_timeout_ms;    /* a link without traffic for so long is given up; 0: never */
    int64_t health_interval_ms; /* a quiet link is probed this often; 0: never */
    int64_t max_requests_per_s; /* 0: unlimited */
    int64_t breaker_requests;   /* so many requests decide at the earliest; 0: no circuit breaker */
    int64_t breaker_failure_percent, breaker_open_ms, breaker_probes;
    const struct nx_settings *settings; /* of the driver's params */
    const struct tag *tags;
    unsigned tag_count;
    const uint32_t *tags_by_id; /* [tag_count], indexes sorted by id */
    uint64_t version;           /* of the configuration store; 0: from a file */
    struct slice packed;        /* canonical JSON of the definition, one zstd frame: device_json() */

    struct arena arena;
    unsigned refs;
};

/* What every device has in its connection beside the settings of its driver. */
extern const struct conf_row device_connection_rows[];

struct device_options {
    const char *uns_root;                   /* "uns" */
    int64_t default_interval_ms;            /* polling.default_interval */
    const struct nx_driver *const *drivers; /* nx_drivers */
    bool is_partial;                        /* only some tags of the device are there: an expression may name others */
};

/* Makes a device from one map. On failure *out is NULL and why names the place and the remedy. One reference. */
NX_MUST_CHECK enum nx_err device_read(const struct device_options *opt, const struct conf_node *node,
                                      struct device **out, struct nx_note *why);
struct device *device_ref(struct device *d);
void device_unref(struct device **d);
const struct tag *device_tag(const struct device *d, const char *tag_id); /* NULL when there is none */
/* The definition as canonical JSON, as the API shows it. The caller frees it. */
char *device_json(const struct device *d);
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
const char *tag_function_name(enum tag_function f);

#endif
