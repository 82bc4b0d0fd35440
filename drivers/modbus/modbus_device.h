/* modbus_device.h -- the state of one device, its settings, and the operations on it. */
#ifndef MODBUS_DEVICE_H
#define MODBUS_DEVICE_H

#include "modbus_link.h"
#include "modbus_plan.h"

/* Cuts and limits are doubted once in so many probe intervals. */
#define MODBUS_RELEARN_PROBES 60

struct modbus_device {
    struct modbus_peer peer;
    struct modbus_limits limits;
    struct modbus_facts facts;
    enum modbus_framing framing;
    bool is_multiple_only;
    uint64_t probe_ms, relearn_ms; /* relearn_ms: when cuts and limits are put to the test again */
};

/* Settings of a device, alike for every transport; default_gap is a text. For the tables of the drivers. */
#define MODBUS_DEVICE_PARAMS(default_gap)                                                                              \
    {.key = "unit_id",                                                                                                 \
     .type = NX_PARAM_INT,                                                                                             \
     .def = "1",                                                                                                       \
     .min = 0,                                                                                                         \
     .max = 255,                                                                                                       \
     .is_per_device = true,                                                                                            \
     .help =                                                                                                           \
         "Unit identifier: 1 to 247 on a serial line or behind a gateway, often 1 or 255 for a device of its own. "    \
         "0 on a serial line is a broadcast: it can only be written."},                                                \
        {.key = "slave_id",                                                                                            \
         .type = NX_PARAM_INT,                                                                                         \
         .def = "-1",                                                                                                  \
         .min = -1,                                                                                                    \
         .max = 255,                                                                                                   \
         .is_per_device = true,                                                                                        \
         .help = "Older name of unit_id; wins when it is not -1."},                                                    \
        {.key = "max_registers",                                                                                       \
         .type = NX_PARAM_INT,                                                                                         \
         .def = "125",                                                                                                 \
         .min = 1,                                                                                                     \
         .max = MODBUS_READ_REGS_MAX,                                                                                  \
         .unit = "registers",                                                                                          \
         .is_per_device = true,                                                                                        \
         .help = "Most registers in one request. A smaller limit of the device is learned by itself."},                \
        {.key = "max_bits",                                                                                            \
         .type = NX_PARAM_INT,                                                                                         \
         .def = "2000",                                                                                                \
         .min = 1,                                                                                                     \
         .max = MODBUS_READ_BITS_MAX,                                                                                  \
         .unit = "bits",                                                                                               \
         .is_per_device = true,                                                                                        \
         .help = "Most coils or discrete inputs in one request."},                                                     \
        {.key = "gap",                                                                                                 \
         .type = NX_PARAM_INT,                                                                                         \
         .def = default_gap,                                                                                           \
         .min = 0,                                                                                                     \
         .max = MODBUS_READ_REGS_MAX,                                                                                  \
         .unit = "registers",                                                                                          \
         .is_per_device = true,                                                                                        \
         .help = "Two tags are read in one request when at most this many unused registers lie between them; 0 for "   \
                 "devices that answer wrongly when unused registers are read."},                                       \
        {.key = "forbidden",                                                                                           \
         .type = NX_PARAM_STRING,                                                                                      \
         .is_per_device = true,                                                                                        \
         .help = "Wire addresses that are never read to fill a gap: \"holding:100-110, input:5\"."},                   \
        {.key = "probe_interval",                                                                                      \
         .type = NX_PARAM_DURATION,                                                                                    \
         .def = "60s",                                                                                                 \
         .min = 1000,                                                                                                  \
         .max = 86400000,                                                                                              \
         .is_per_device = true,                                                                                        \
         .help = "How often a register that the device has refused is asked for again."},                              \
    {                                                                                                                  \
        .key = "write_multiple", .type = NX_PARAM_BOOL, .def = "false", .is_per_device = true,                         \
        .help = "Write single coils and registers with functions 15 and 16 too, for devices without 5 and 6."          \
    }

/* nx_attach_f, in the framing of the driver. */
NX_MUST_CHECK enum nx_err modbus_attach(struct nx_dev *dev, enum modbus_framing framing, const struct nx_settings *s,
                                        const char *learned, struct nx_note *why);
nx_read_f modbus_read;
nx_write_f modbus_write;
nx_cancel_f modbus_cancel;
nx_explain_f modbus_explain;

/* nx_dissect_f in the given framing; has_no_tid: identifiers do not count. */
bool modbus_dissect(enum modbus_framing framing, bool has_no_tid, const struct nx_exchange *x, const void *addr,
                    char *text, size_t cap);

uint8_t modbus_unit_of(const struct nx_settings *s);
/* The plan of a read list, compiled when there is none; *items is room for the items of a block. */
struct modbus_plan *modbus_read_plan(struct nx_dev *dev, struct nx_read *rd, uint32_t **items);
/* The function that reads a table. */
uint8_t modbus_read_fc(unsigned table);

#endif
