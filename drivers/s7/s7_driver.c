/* s7_driver.c -- Siemens S7 client: the functions of the driver and its settings. The connection is s7_conn, the
 * operations on it s7_link, a poll s7_read. */
#include "s7_driver.h"

#include "base/mem.h"
#include "base/num.h"
#include "s7_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USUAL_LOCAL_TSAP 0x0100u
#define RACK_TSAP        0x20u
#define RACK_MAX         7
#define SLOT_MAX         31

/* Slots in the order of how frequent they are: S7-1200 and 1500, S7-300, soft PLCs, S7-400. */
static const uint8_t usual_slots[] = {1, 2, 0, 3};

/* --- settings --------------------------------------------------------------------------------------------- */

/* "03.00", "0x0300" or "0300". False: neither. */
static bool
parse_tsap(const char *text, uint16_t *out)
{
    struct slice s = slice_str(text);
    char hex[8] = "0x";
    uint64_t n;

    if (s.len == 5 && s.p[2] == '.')
        snprintf(hex, sizeof hex, "0x%.2s%.2s", text, text + 3);
    else if (s.len == 4)
        snprintf(hex, sizeof hex, "0x%.4s", text);
    else if (s.len == 6 && s.p[0] == '0' && (s.p[1] | 0x20) == 'x')
        snprintf(hex, sizeof hex, "%.6s", text);
    if (!num_u64(slice_str(hex), &n) || n > UINT16_MAX)
        return false;
    *out = (uint16_t)n;
    return true;
}

static enum nx_err
read_tsap(const struct nx_settings *s, const char *key, uint16_t *out, bool *is_given, struct nx_note *why)
{
    const char *text = nx_setting_string(s, key);

    *is_given = text && text[0] != '\0';
    if (*is_given && !parse_tsap(text, out))
        return nx_fail(why, NX_E_CONFIG, "%s: '%.20s' is no TSAP: write two bytes in hexadecimal, like 03.00 or 0x0300",
                       key, text);
    return NX_OK;
}

static int64_t
either(const struct nx_settings *s, const char *key, const char *shorter)
{
    int64_t n = nx_setting_int(s, shorter);

    return n >= 0 ? n : nx_setting_int(s, key);
}

static void
add_tsap(struct s7_conn_conf *conf, unsigned tsap)
{
    for (unsigned i = 0; i < conf->tsap_count; i++)
        if (conf->tsaps[i] == tsap)
            return;
    if (conf->tsap_count < S7_TSAPS_MAX)
        conf->tsaps[conf->tsap_count++] = (uint16_t)tsap;
}

/* The slot that is given, or the usual ones, the one that worked last time first. */
static void
read_slots(const struct nx_settings *s, unsigned learned, struct s7_conn_conf *conf)
{
    unsigned type = (unsigned)nx_setting_enum(s, "connection_type") + 1;
    unsigned base = type << 8 | (unsigned)either(s, "s7_rack", "rack") * RACK_TSAP;
    int64_t slot = either(s, "s7_slot", "slot");

    if (slot >= 0) {
        add_tsap(conf, base + (unsigned)slot);
        return;
    }
    if (learned >> 8 == type)
        add_tsap(conf, learned);
    for (size_t i = 0; i < MEM_COUNT(usual_slots); i++)
        add_tsap(conf, base + usual_slots[i]);
}

static enum nx_err
read_conf(const struct nx_settings *s, unsigned learned_tsap, struct s7_conn_conf *conf, struct nx_note *why)
{
    bool is_given = false;
    uint16_t remote = 0;
    enum nx_err err;

    *conf = (struct s7_conn_conf){.port = (uint16_t)nx_setting_int(s, "port"), .local_tsap = USUAL_LOCAL_TSAP};
    if (snprintf(conf->host, sizeof conf->host, "%s", nx_setting_string(s, "host")) >= (int)sizeof conf->host)
        return nx_fail(why, NX_E_CONFIG, "host: a name has at most %zu bytes", sizeof conf->host - 1);
    conf->pdu = (unsigned)nx_setting_int(s, "pdu_size");
    conf->jobs = (unsigned)nx_setting_int(s, "max_jobs");
    conf->timeout_ms = (uint64_t)nx_setting_int(s, "handshake_timeout");
    err = read_tsap(s, "local_tsap", &conf->local_tsap, &is_given, why);
    if (err == NX_OK)
        err = read_tsap(s, "remote_tsap", &remote, &is_given, why);
    if (err == NX_OK && is_given)
        add_tsap(conf, remote);
    else if (err == NX_OK)
        read_slots(s, learned_tsap, conf);
    return err;
}

/* --- devices ------------------------------------------------------------------------------------------------ */

static enum nx_err
driver_attach(struct nx_dev *dev, const struct nx_settings *s, const char *learned, struct nx_note *why)
{
    struct s7_device *d = nx_dev_state(dev);
    struct s7_conn_conf conf;
    const char *forbidden = nx_setting_string(s, "forbidden");
    enum nx_err err = read_conf(s, 0, &conf, why);

    *d = (struct s7_device){.dev = dev};
    if (err == NX_OK)
        err = s7_ranges_parse(&d->limits, forbidden ? forbidden : "", why);
    d->limits.pdu = S7_PDU_USUAL; /* until a CPU has told */
    d->limits.gap = (uint16_t)nx_setting_int(s, "gap");
    d->probe_ms = (uint64_t)nx_setting_int(s, "probe_interval");
    s7_learned_read(&d->learned, dev, learned);
    return err;
}

/* The PDU and the slot that the connection has, for a device that may have known others. */
static void
note_connection(struct s7_device *d, const struct s7_conn *c)
{
    uint16_t tsap = c->conf.tsaps[c->tsap], learned = d->learned.pdu;

    d->limits.pdu = (uint16_t)(learned && learned < c->pdu ? learned : c->pdu);
    if (c->conf.tsap_count > 1 && d->learned.tsap != tsap) {
        d->learned.tsap = tsap;
        d->learned.is_changed = true;
        s7_device_learned(d);
    }
}

/* --- the functions of the driver ---------------------------------------------------------------------------- */

static enum nx_err
driver_open(struct nx_link *link, const struct nx_settings *s, struct nx_note *why)
{
    struct s7_link *l = nx_link_state(link);
    struct nx_dev *first = nx_link_first_dev(link);
    struct s7_device *d = first ? nx_dev_state(first) : NULL;
    struct s7_conn_conf conf;
    enum nx_err err = read_conf(s, d ? d->learned.tsap : 0, &conf, why);

    if (err == NX_OK)
        s7_conn_open(&l->conn, link, &conf, &s7_link_conn_ops, l);
    return err;
}

static void
driver_close(struct nx_link *link)
{
    struct s7_link *l = nx_link_state(link);

    if (l->conn.state == S7_CLOSED)
        return;
    s7_conn_enter(&l->conn);
    s7_conn_close(&l->conn);
    s7_link_finish_all(l, NX_E_CANCELED, NULL);
    s7_conn_leave(&l->conn);
}

static void
begin(struct s7_link *l, struct s7_run *run, struct nx_op *op)
{
    *run = (struct s7_run){.op = op};
    op->driver_data = run;
    s7_link_add(l, run);
}

static void
driver_read(struct nx_dev *dev, struct nx_read *rd)
{
    struct s7_link *l = nx_link_state(nx_link_of(dev));
    struct s7_device *d = nx_dev_state(dev);
    struct s7_read *r;

    if (l->conn.state != S7_UP) {
        nx_op_done(&rd->op, NX_E_OFFLINE, NULL);
        return;
    }
    s7_conn_enter(&l->conn);
    note_connection(d, &l->conn);
    r = s7_read_of(d, rd);
    begin(l, &r->run, &rd->op);
    s7_read_start(d, r);
    s7_link_pump(l);
    s7_conn_leave(&l->conn);
}

static void
driver_write(struct nx_dev *dev, struct nx_write *op)
{
    struct s7_link *l = nx_link_state(nx_link_of(dev));
    struct s7_writing *wr;
    struct nx_note why;
    enum nx_err err;

    if (l->conn.state != S7_UP) {
        nx_op_done(&op->op, NX_E_OFFLINE, NULL);
        return;
    }
    wr = mem_alloc(offsetof(struct s7_writing, write) + s7_write_size(op->addr));
    err = s7_write_init(&wr->write, op->addr, &op->value, l->conn.pdu, &why);
    if (err != NX_OK) {
        free(wr);
        nx_op_done(&op->op, err, &why);
        return;
    }
    s7_conn_enter(&l->conn);
    begin(l, &wr->run, &op->op);
    s7_link_pump(l);
    s7_conn_leave(&l->conn);
}

static void
driver_cancel(struct nx_dev *dev, struct nx_op *op, enum nx_err err)
{
    struct s7_link *l = nx_link_state(nx_link_of(dev));

    if (!op->driver_data)
        return;
    s7_conn_enter(&l->conn);
    s7_link_finish(l, op->driver_data, err, NULL);
    s7_link_pump(l);
    s7_conn_leave(&l->conn);
}

static const struct nx_param params[] = {
    {.key = "host", .type = NX_PARAM_STRING, .is_required = true, .help = "Host name or address of the CPU."},
    {.key = "port", .type = NX_PARAM_INT, .def = "102", .min = 1, .max = 65535, .help = "TCP port."},
    {.key = "s7_rack", .type = NX_PARAM_INT, .def = "0", .min = 0, .max = RACK_MAX, .help = "Rack of the CPU."},
    {.key = "s7_slot",
     .type = NX_PARAM_INT,
     .def = "-1",
     .min = -1,
     .max = SLOT_MAX,
     .help =
         "Slot of the CPU: 1 for S7-1200 and S7-1500, 2 for S7-300. -1: 1, 2, 0 and 3 are tried one after the other "
         "and the one that works is remembered."},
    {.key = "rack",
     .type = NX_PARAM_INT,
     .def = "-1",
     .min = -1,
     .max = RACK_MAX,
     .help = "Shorter name of s7_rack; wins when it is not -1."},
    {.key = "slot",
     .type = NX_PARAM_INT,
     .def = "-1",
     .min = -1,
     .max = SLOT_MAX,
     .help = "Shorter name of s7_slot; wins when it is not -1."},
    {.key = "connection_type",
     .type = NX_PARAM_ENUM,
     .def = "op",
     .choices = "pg|op|basic",
     .help = "Which of the CPU's connections are used: op leaves those of engineering stations (pg) free."},
    {.key = "local_tsap",
     .type = NX_PARAM_STRING,
     .help = "Our TSAP, two bytes in hexadecimal like 01.00 (the default) or 0x1000, for S7-200 and LOGO!."},
    {.key = "remote_tsap",
     .type = NX_PARAM_STRING,
     .help = "TSAP of the CPU, instead of connection_type, rack and slot: 03.00 or 0x2000 for S7-200 and LOGO!."},
    {.key = "pdu_size",
     .type = NX_PARAM_INT,
     .def = "960",
     .min = S7_PDU_MIN,
     .max = S7_PDU_MAX,
     .unit = "bytes",
     .help = "Longest message that is asked for; the CPU answers what it has: 240, 480 or 960."},
    {.key = "max_jobs",
     .type = NX_PARAM_INT,
     .def = "8",
     .min = 1,
     .max = S7_JOBS_MAX,
     .unit = "jobs",
     .help = "Jobs on the way at the same time that are asked for; the CPU answers what it has."},
    {.key = "handshake_timeout",
     .type = NX_PARAM_DURATION,
     .def = "5s",
     .min = 100,
     .max = 60000,
     .help = "Time for each step of connecting, before the next slot is tried."},
    {.key = "gap",
     .type = NX_PARAM_INT,
     .def = "16",
     .min = 0,
     .max = 1024,
     .unit = "bytes",
     .is_per_device = true,
     .help = "Two tags are read in one item when at most this many unused bytes lie between them: an item of its own "
             "costs 16 bytes and one of the 20 items of a job."},
    {.key = "forbidden",
     .type = NX_PARAM_STRING,
     .is_per_device = true,
     .help = "Bytes that are never read to fill a gap: \"DB1.DBB100-110, MB5\"."},
    {.key = "probe_interval",
     .type = NX_PARAM_DURATION,
     .def = "60s",
     .min = 1000,
     .max = 86400000,
     .is_per_device = true,
     .help = "How often an address that the CPU has refused is asked for again."},
    {.key = NULL},
};

const struct nx_driver s7_driver = {
    .abi = NX_DRIVER_ABI,
    .size = sizeof(struct nx_driver),
    .name = "s7",
    .summary = "Siemens S7 client over ISO-on-TCP: data blocks, inputs, outputs, memory, timers, counters",
    .params = params,
    .tag_params = s7_tag_params,
    .link_size = sizeof(struct s7_link),
    .dev_size = sizeof(struct s7_device),
    .addr_size = sizeof(struct s7_addr),
    .addr_parse = s7_addr_parse,
    .attach = driver_attach,
    .open = driver_open,
    .close = driver_close,
    .read = driver_read,
    .cancel = driver_cancel,
    .write = driver_write,
    .explain = s7_explain,
    .dissect = s7_dissect,
};
