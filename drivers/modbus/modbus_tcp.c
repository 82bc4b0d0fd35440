/* modbus_tcp.c -- the driver "modbus-tcp": MBAP or RTU frames over TCP. */
#include "modbus_device.h"
#include "modbus_driver.h"

static const struct nx_param params[] = {
    {.key = "host", .type = NX_PARAM_STRING, .is_required = true, .help = "Host name or address of the device."},
    {.key = "port", .type = NX_PARAM_INT, .def = "502", .min = 1, .max = 65535, .help = "TCP port."},
    {.key = "framing",
     .type = NX_PARAM_ENUM,
     .def = "tcp",
     .choices = "tcp|rtu",
     .help = "rtu: frames of a serial line, with checksum, sent over TCP, as transparent serial converters want them."},
    {.key = "pipeline",
     .type = NX_PARAM_INT,
     .def = "1",
     .min = 1,
     .max = MODBUS_PIPELINE_MAX,
     .unit = "requests",
     .help = "Requests on the way at the same time. More than 1 only for devices known to keep transaction "
             "identifiers, and never with framing rtu."},
    {.key = "tid_agnostic",
     .type = NX_PARAM_BOOL,
     .def = "false",
     .help = "For gateways that answer with another transaction identifier: unit, function and size must do."},
    {.key = "request_delay",
     .type = NX_PARAM_DURATION,
     .def = "0ms",
     .min = 0,
     .max = 10000,
     .help = "Least time from one request to the next, for devices that cannot follow."},
    {.key = "byte_timeout",
     .type = NX_PARAM_DURATION,
     .def = "500ms",
     .min = 10,
     .max = 10000,
     .help = "With framing rtu: an answer that stops in the middle for so long is given up."},
    MODBUS_DEVICE_PARAMS("16"),
    {.key = NULL},
};

static enum modbus_framing
framing_of(const struct nx_settings *s)
{
    return nx_setting_enum(s, "framing") == 1 ? MODBUS_RTU : MODBUS_MBAP;
}

static enum nx_err
tcp_attach(struct nx_dev *dev, const struct nx_settings *s, const char *learned, struct nx_note *why)
{
    return modbus_attach(dev, framing_of(s), s, learned, why);
}

static enum nx_err
tcp_open(struct nx_link *link, const struct nx_settings *s, struct nx_note *why)
{
    struct modbus_link *ln = nx_link_state(link);
    enum modbus_framing framing = framing_of(s);
    bool has_no_tid = framing == MODBUS_RTU || nx_setting_int(s, "tid_agnostic") != 0;
    struct modbus_link_conf conf = {
        .framing = framing,
        .window = (unsigned)nx_setting_int(s, "pipeline"),
        .has_no_tid = has_no_tid,
        .delay_ms = (uint64_t)nx_setting_int(s, "request_delay"),
        .byte_timeout_ms = (uint64_t)nx_setting_int(s, "byte_timeout"),
    };

    if (has_no_tid && conf.window > 1)
        return nx_fail(why, NX_E_CONFIG,
                       "pipeline must be 1 with framing rtu or tid_agnostic: answers could not be "
                       "told apart");
    modbus_link_open(ln, link, &conf);
    ln->stream = nx_stream_tcp(link, nx_setting_string(s, "host"), (uint16_t)nx_setting_int(s, "port"),
                               &modbus_link_stream_ops, ln);
    return NX_OK;
}

static bool
tcp_dissect(const struct nx_exchange *x, const void *addr, char *text, size_t cap)
{
    return modbus_dissect(framing_of(x->settings), nx_setting_int(x->settings, "tid_agnostic") != 0, x, addr, text,
                          cap);
}

const struct nx_driver modbus_tcp_driver = {
    .abi = NX_DRIVER_ABI,
    .size = sizeof(struct nx_driver),
    .name = "modbus-tcp",
    .summary = "Modbus TCP client: coils, discrete inputs, input and holding registers",
    .params = params,
    .tag_params = modbus_tag_params,
    .link_size = sizeof(struct modbus_link),
    .dev_size = sizeof(struct modbus_device),
    .addr_size = sizeof(struct modbus_addr),
    .addr_parse = modbus_addr_parse,
    .attach = tcp_attach,
    .open = tcp_open,
    .close = modbus_link_close,
    .read = modbus_read,
    .cancel = modbus_cancel,
    .write = modbus_write,
    .explain = modbus_explain,
    .dissect = tcp_dissect,
};
