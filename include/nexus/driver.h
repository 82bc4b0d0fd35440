/* driver.h -- all that a device driver may use, and all that it must do.
 *
 * A driver turns addresses into frames and frames into values. It never blocks, starts no thread, keeps no
 * global, owns no policy: scheduling, deadlines, retry, back-off, circuit breaking, quality, scaling and metrics are
 * the host's. All functions run on the link's loop thread, except addr_parse and dissect, which are pure and may run
 * anywhere.
 *
 * A link (struct nx_link) is one connection; a device (struct nx_dev) is what is read and written over it. Devices
 * whose connection settings differ only in rows marked is_per_device share one link: units behind one gateway, stations
 * on one serial bus. A driver keeps the state of the connection in nx_link_state(), zeroed before each open(), and what
 * belongs to one device (unit id, limits, what was learned) in nx_dev_state(), which outlives reconnects.
 *
 * Life of a device: attach() -> operations -> gone. It holds no resources; its memory is the host's.
 * Life of a link:   open() -> nx_link_up() ... nx_link_down() -> close() -> nx_closed().
 *  - attach() reads the settings of a device; it fails only for settings that can never work. No I/O.
 *  - open() begins and returns at once; it fails like attach(). It ends in exactly one nx_link_up() or nx_link_down().
 *    After nx_link_down() the host calls close(), later open() again.
 *  - read(), write() and browse() are called only while the link is up, and each ends in exactly one nx_op_done(),
 *    at once or later. An operation that the host cancels ends in nx_op_done() before cancel() returns. Operations of
 *    several devices may be open on one link; the driver takes turns between them, request by request, higher
 *    op.priority and writes first.
 *  - The host gives an operation its timeout anew at each nx_op_alive(): the driver calls it when a request of the
 *    operation leaves and when an answer for it arrives. Before the first request, and after nx_op_rests(), it waits
 *    for its turn on the link and no timeout runs. A write ends after its timeout in any case.
 *  - close() is idempotent and never blocks. Operations still open end with NX_E_CANCELED, then nx_closed() is
 *    called exactly once; the driver touches no memory of the link after that.
 *  - A late answer to a cancelled operation is dropped by the driver and counted; it never reaches a tag.
 *
 * write, browse, explain and dissect may be NULL. The conformance suite (drivers/conformance) runs any driver against a
 * fake host in virtual time. */
#ifndef NEXUS_DRIVER_H
#define NEXUS_DRIVER_H

#include "nexus/err.h"
#include "nexus/value.h"

#include <stdint.h>

#define NX_DRIVER_ABI 2u

/* --- settings ------------------------------------------------------------------------------------------- */

enum nx_param_type { NX_PARAM_STRING, NX_PARAM_INT, NX_PARAM_DOUBLE, NX_PARAM_BOOL, NX_PARAM_DURATION, NX_PARAM_ENUM };

/* One setting of a connection or of a tag. One table gives the loader, the checks, the documentation and the
 * form in the UI. A duration is written "500ms", "2s", "1m" and is kept in milliseconds. */
struct nx_param {
    const char *key;
    enum nx_param_type type;
    const char *def;     /* default as text; NULL: required when NX_PARAM_REQUIRED, else absent */
    const char *choices; /* NX_PARAM_ENUM: "a|b|c" */
    double min, max;     /* numbers and durations (ms); both 0: unlimited */
    const char *unit;
    const char *help; /* one sentence */
    bool is_required;
    bool is_per_device; /* devices that differ only in such settings share one link */
};

/* The settings of one device or tag as the host read them, already checked against the table. */
struct nx_settings;
const char *nx_setting_string(const struct nx_settings *s, const char *key); /* NULL when absent */
int64_t nx_setting_int(const struct nx_settings *s, const char *key);        /* also bool, duration (ms) */
double nx_setting_double(const struct nx_settings *s, const char *key);
int nx_setting_enum(const struct nx_settings *s, const char *key); /* index into choices */

/* --- addresses ------------------------------------------------------------------------------------------ */

/* Data types that a tag can be declared with (`data_type`). */
enum nx_data_type {
    NX_DT_BOOL,
    NX_DT_INT8,
    NX_DT_UINT8,
    NX_DT_INT16,
    NX_DT_UINT16,
    NX_DT_INT32,
    NX_DT_UINT32,
    NX_DT_INT64,
    NX_DT_UINT64,
    NX_DT_FLOAT32,
    NX_DT_FLOAT64,
    NX_DT_STRING,
    NX_DT_COUNT
};

/* What a tag says about its address: the text, the declared type and the tag settings of the driver's table. */
struct nx_addr_spec {
    const char *address; /* "40001", "DB1.DBD0", ... */
    enum nx_data_type data_type;
    uint32_t count;   /* a string: its registers or bytes; 0: the type's own size */
    uint32_t element; /* the address of this element of an array, from 0; the text names the first one */
    const struct nx_settings *settings;
};

#define NX_CANONICAL_MAX 256

/* What addr_parse() made of it. */
struct nx_addr_info {
    char canonical[NX_CANONICAL_MAX]; /* one spelling of each address, for people and for comparing */
    uint32_t elements;                /* the text asks for an array of so many ("DB1.DBW0[10]"); 0: it does not */
};

/* --- operations ----------------------------------------------------------------------------------------- */

struct nx_link; /* the host's connection; the driver's state is nx_link_state(link) */
struct nx_dev;  /* the host's device; the driver's state is nx_dev_state(dev) */

enum nx_op_kind { NX_OP_READ, NX_OP_WRITE, NX_OP_BROWSE };

struct nx_op {
    enum nx_op_kind kind;
    struct nx_dev *dev;
    unsigned priority; /* 0 telemetry, 1 control, 2 safety: served in this order on a busy link */
    void *driver_data; /* the driver's, NULL at the start */
};

/* One tag inside a read list. addr is the driver's parsed address, tag is the host's own handle. */
struct nx_read_item {
    const void *addr;
    uint32_t tag;
};

/* A read list: the tags of one device that are due together. It stays the same from poll to poll, so a driver
 * compiles its request plan once, at the first read, into memory from nx_read_alloc(), and keeps it in plan.
 * When the tags change the host makes a new list; when the driver has learned something (a hole, a limit) it
 * calls nx_read_reset() and compiles again. op must be the first member. */
struct nx_read {
    struct nx_op op;
    const struct nx_read_item *items;
    uint32_t item_count;
    void *plan; /* the driver's; NULL until compiled */
};

struct nx_write {
    struct nx_op op;
    const void *addr;
    struct nx_value value; /* raw value, already reverse-scaled and converted to the declared data type */
};

/* --- what a driver says about itself, for people ------------------------------------------------------------ */

/* One request of a read plan. */
struct nx_plan_request {
    const char *text;             /* "read holding 0-124" */
    uint32_t bytes_out, bytes_in; /* on the wire, with all framing below the transport */
    uint32_t gap_bytes;           /* read although no tag wants them */
    const uint32_t *items;        /* indexes into the read list */
    uint32_t item_count;
    const char *hole; /* the device refuses it, for this reason; NULL: it is read in every poll */
};
struct nx_plan; /* where explain() writes to */

/* What went over a link: one request as the driver wrote it, and the bytes that arrived until the next one. */
struct nx_exchange {
    const uint8_t *out, *in;
    size_t out_len, in_len;
    const struct nx_settings *settings; /* of the device that is asked about */
};

/* --- the functions of a driver ------------------------------------------------------------------------------ */

/* Reads the address text of a tag into addr (addr_size zeroed bytes). NX_E_CONFIG with a note that names the part that
 * is wrong. Pure. */
typedef enum nx_err nx_addr_parse_f(const struct nx_addr_spec *spec, void *addr, struct nx_addr_info *info,
                                    struct nx_note *why);
/* learned: what nx_learned() was given last for this device, maybe in an earlier run of the program; NULL: nothing. It
 * may be old or of another version: what cannot be understood is ignored. */
typedef enum nx_err nx_attach_f(struct nx_dev *dev, const struct nx_settings *settings, const char *learned,
                                struct nx_note *why);
typedef enum nx_err nx_open_f(struct nx_link *link, const struct nx_settings *settings, struct nx_note *why);
typedef void nx_close_f(struct nx_link *link);
typedef void nx_read_f(struct nx_dev *dev, struct nx_read *rd);
typedef void nx_cancel_f(struct nx_dev *dev, struct nx_op *op, enum nx_err err);
typedef void nx_write_f(struct nx_dev *dev, struct nx_write *wr);
typedef void nx_browse_f(struct nx_dev *dev, struct nx_op *op);
/* Tells the requests of a read list, each with nx_plan_add(); compiles the plan when there is none. The link may be
 * down: what only a connection can tell is then assumed. */
typedef void nx_explain_f(struct nx_dev *dev, struct nx_read *rd, struct nx_plan *plan);
/* addr NULL: text says what the exchange is ("unit 1 read holding 0-9: 20 bytes"). Else: does the exchange carry this
 * address? Then text has the raw bytes and their value ("00 2A = 42"). in may begin and end anywhere, and be of another
 * request. Pure. */
typedef bool nx_dissect_f(const struct nx_exchange *x, const void *addr, char *text, size_t cap);

struct nx_driver {
    uint32_t abi, size; /* NX_DRIVER_ABI, sizeof(struct nx_driver) */
    const char *name;   /* "modbus-tcp": the `protocol` of a device */
    const char *summary;
    const struct nx_param *params;         /* settings of a connection; ends with a row whose key is NULL */
    const struct nx_param *tag_params;     /* settings of a tag; ends with a row whose key is NULL */
    size_t link_size, dev_size, addr_size; /* the host allocates them, zeroed and aligned to 16 */

    nx_addr_parse_f *addr_parse;
    nx_attach_f *attach;
    nx_open_f *open;
    nx_close_f *close;
    nx_read_f *read;
    nx_cancel_f *cancel;
    nx_write_f *write;     /* NULL: a read-only protocol */
    nx_browse_f *browse;   /* NULL: a device cannot list its points */
    nx_explain_f *explain; /* NULL: no requests to tell of */
    nx_dissect_f *dissect; /* NULL: frames stay hexadecimal */
};

/* --- what the host offers ----------------------------------------------------------------------------------- */

/* The driver's own memory of this link (link_size bytes) and of this device (dev_size bytes). */
void *nx_link_state(struct nx_link *link);
void *nx_dev_state(struct nx_dev *dev);
struct nx_link *nx_link_of(struct nx_dev *dev);
/* The device of the link that was attached first: what it has learned is there before the link is open. */
struct nx_dev *nx_link_first_dev(struct nx_link *link);
/* Further memory of the device, zeroed; lives as long as the device. Never NULL. */
void *nx_dev_alloc(struct nx_dev *dev, size_t size);
/* Loop time in milliseconds; never goes back. */
uint64_t nx_now_ms(struct nx_link *link);

/* Life: see the head of this file. why may be NULL. */
void nx_link_up(struct nx_link *link);
void nx_link_down(struct nx_link *link, enum nx_err err, const struct nx_note *why);
void nx_closed(struct nx_link *link);

/* What the driver has learned about a device (holes, limits) as one line of text, at most NX_LEARNED_MAX bytes; copied.
 * The host keeps it over restarts and hands it to attach(). Call it when something changed, between polls. */
#define NX_LEARNED_MAX 65536
void nx_learned(struct nx_dev *dev, const char *text);

/* Memory that lives as long as the read list or until nx_read_reset(). Never NULL. */
void *nx_read_alloc(struct nx_read *rd, size_t size);
/* Frees the plan and sets rd->plan to NULL. */
void nx_read_reset(struct nx_read *rd);

/* Sets the result of item i of a read list. source_us: time of the device in microseconds since 1970, 0 when the
 * protocol has none. The value is copied. Items that were not set when the operation ends become bad. */
void nx_read_value(struct nx_read *rd, uint32_t i, const struct nx_value *value, uint16_t quality, int64_t source_us);
/* The same for an item that failed: the host derives the quality from err and keeps the note as the reason. */
void nx_read_failed(struct nx_read *rd, uint32_t i, enum nx_err err, const struct nx_note *why);
/* One request of explain(); rq is borrowed. */
void nx_plan_add(struct nx_plan *plan, const struct nx_plan_request *rq);
/* One node found by browse(); path is what addr_parse() accepts. */
void nx_browse_node(struct nx_op *op, const char *path, enum nx_data_type type, const char *description);
/* A request of op has left, or an answer has arrived while others are on the way: its timeout begins anew. */
void nx_op_alive(struct nx_op *op);
/* The last answer that was on the way has arrived, and op waits for its next turn on the link: no timeout runs until
 * then.
 */
void nx_op_rests(struct nx_op *op);
/* Ends the operation. The driver must not touch op afterwards. */
void nx_op_done(struct nx_op *op, enum nx_err err, const struct nx_note *why);

/* A byte stream to the device, on the link's loop. Callbacks never run from inside a call of the driver. After
 * nx_stream_close() no callback runs. What goes through it is kept by the flight recorder. */
struct nx_stream;
struct nx_stream_ops {
    void (*on_open)(void *arg);
    /* len bytes at p, borrowed for the call. */
    void (*on_data)(void *arg, const uint8_t *p, size_t len);
    /* The stream is gone (also when it could not be opened); the driver still calls nx_stream_close(). */
    void (*on_down)(void *arg, enum nx_err err, const struct nx_note *why);
};
/* TCP to host:port. Never NULL; failure is reported by on_down. */
struct nx_stream *nx_stream_tcp(struct nx_link *link, const char *host, uint16_t port, const struct nx_stream_ops *ops,
                                void *arg);
/* A serial line. The device file is locked against other programs, and opened anew by the host's back-off when an
 * adapter was unplugged. */
enum nx_parity { NX_PARITY_NONE, NX_PARITY_EVEN, NX_PARITY_ODD };
enum nx_rs485 { NX_RS485_OFF, NX_RS485_KERNEL, NX_RS485_RTS }; /* TIOCSRS485, or RTS moved around each write */
struct nx_serial {
    const char *path; /* "/dev/ttyUSB0", "/dev/serial/by-id/..." */
    uint32_t baud_rate;
    uint8_t data_bits, stop_bits; /* 5..8, 1..2 */
    enum nx_parity parity;
    enum nx_rs485 rs485;
    uint32_t rts_delay_us; /* before and after sending, with rs485 */
};
/* conf is copied. Never NULL; failure is reported by on_down. */
struct nx_stream *nx_stream_serial(struct nx_link *link, const struct nx_serial *conf, const struct nx_stream_ops *ops,
                                   void *arg);
/* Queues a copy of the bytes; writes of one loop turn leave in one system call. NX_E_FULL past 256 KiB waiting. */
enum nx_err nx_stream_write(struct nx_stream *st, const uint8_t *p, size_t len);
void nx_stream_close(struct nx_stream **st);

/* One-shot timers; starting a running timer moves it. */
struct nx_timer;
typedef void nx_timer_cb(void *arg);
struct nx_timer *nx_timer_new(struct nx_link *link, nx_timer_cb *cb, void *arg);
void nx_timer_start(struct nx_timer *t, uint64_t delay_ms);
void nx_timer_stop(struct nx_timer *t);
void nx_timer_free(struct nx_timer **t);

enum nx_log_level { NX_LOG_ERROR, NX_LOG_WARN, NX_LOG_INFO, NX_LOG_DEBUG };
/* The host adds the identity of the link and limits repeats. */
void nx_log(struct nx_link *link, enum nx_log_level level, const char *fmt, ...) NX_PRINTF(3, 4);

/* Driver counters, shown per device and summed in /metrics. Bytes and stray answers belong to the link. */
enum nx_counter {
    NX_COUNT_REQUESTS,
    NX_COUNT_BYTES_OUT,
    NX_COUNT_BYTES_IN,
    NX_COUNT_STALE_REPLIES, /* answers that matched no open request: dropped */
    NX_COUNT_PROTO_ERRORS,
    NX_COUNT_EXCEPTIONS,
    NX_COUNT_SPLITS, /* blocks that were split because of one bad address */
    NX_COUNTERS
};
void nx_count(struct nx_dev *dev, enum nx_counter counter, uint64_t add);
void nx_count_link(struct nx_link *link, enum nx_counter counter, uint64_t add);

/* Every driver linked in, ends with NULL (drivers/drivers.def). */
extern const struct nx_driver *const nx_drivers[];

#endif
