/* modbus_rtu.c -- the driver "modbus-rtu": RTU frames on a serial line (MODBUS over Serial Line V1.02, "SL"). */
#include "modbus_device.h"
#include "modbus_driver.h"

#define FAST_BAUD 19200u /* above it the silence is fixed (SL 2.5.1.1) */

static const struct nx_param params[] = {
    {.key = "serial_port",
     .type = NX_PARAM_STRING,
     .is_required = true,
     .help = "Device file of the line; /dev/serial/by-id/... keeps its name when an adapter is plugged in again."},
    {.key = "baud_rate",
     .type = NX_PARAM_INT,
     .def = "9600",
     .min = 50,
     .max = 4000000,
     .unit = "bit/s",
     .help = "Speed of the line."},
    {.key = "parity", .type = NX_PARAM_ENUM, .def = "none", .choices = "none|even|odd", .help = "Parity bit."},
    {.key = "data_bits",
     .type = NX_PARAM_INT,
     .def = "8",
     .min = 8,
     .max = 8,
     .unit = "bits",
     .help = "Bits of a character; RTU needs 8."},
    {.key = "stop_bits",
     .type = NX_PARAM_INT,
     .def = "1",
     .min = 1,
     .max = 2,
     .unit = "bits",
     .help = "Stop bits; the standard asks for 2 without parity, most devices are set to 1."},
    {.key = "rs485",
     .type = NX_PARAM_ENUM,
     .def = "off",
     .choices = "off|kernel|rts",
     .help = "Who turns the line around: off: the adapter itself. kernel: the serial driver. rts: we move RTS."},
    {.key = "rts_delay",
     .type = NX_PARAM_INT,
     .def = "0",
     .min = 0,
     .max = 100000,
     .unit = "us",
     .help = "Microseconds between RTS and the first bit, and between the last bit and RTS, with rs485."},
    {.key = "echo",
     .type = NX_PARAM_BOOL,
     .def = "false",
     .help = "The adapter hears what we send (two-wire converters without echo suppression): it is dropped."},
    {.key = "request_delay",
     .type = NX_PARAM_DURATION,
     .def = "0ms",
     .min = 0,
     .max = 10000,
     .help = "Least time from one request to the next, for devices that cannot follow."},
    {.key = "turnaround",
     .type = NX_PARAM_DURATION,
     .def = "100ms",
     .min = 0,
     .max = 10000,
     .help = "Time that all devices get to carry out a broadcast (write with unit_id 0), which nobody answers."},
    {.key = "byte_timeout",
     .type = NX_PARAM_DURATION,
     .def = "50ms",
     .min = 5,
     .max = 10000,
     .help = "An answer that stops in the middle for so long is given up; USB adapters pause up to 20 ms."},
    MODBUS_DEVICE_PARAMS("8"),
    {.key = NULL},
};

/* Silence of 3.5 characters in whole milliseconds of a clock that may be up to one behind. */
static uint64_t
silence_ms(uint32_t baud_rate)
{
    return baud_rate > FAST_BAUD ? 3 : 1 + (3500 * 11 + baud_rate - 1) / baud_rate;
}

static enum nx_err
rtu_open(struct nx_link *link, const struct nx_settings *s, struct nx_note *why)
{
    static const enum nx_parity parities[] = {NX_PARITY_NONE, NX_PARITY_EVEN, NX_PARITY_ODD};
    static const enum nx_rs485 turns[] = {NX_RS485_OFF, NX_RS485_KERNEL, NX_RS485_RTS};
    struct modbus_link *ln = nx_link_state(link);
    struct nx_serial serial = {
        .path = nx_setting_string(s, "serial_port"),
        .baud_rate = (uint32_t)nx_setting_int(s, "baud_rate"),
        .data_bits = (uint8_t)nx_setting_int(s, "data_bits"),
        .stop_bits = (uint8_t)nx_setting_int(s, "stop_bits"),
        .parity = parities[nx_setting_enum(s, "parity")],
        .rs485 = turns[nx_setting_enum(s, "rs485")],
        .rts_delay_us = (uint32_t)nx_setting_int(s, "rts_delay"),
    };
    struct modbus_link_conf conf = {
        .framing = MODBUS_RTU,
        .window = 1,
        .has_no_tid = true,
        .is_serial = true,
        .has_echo = nx_setting_int(s, "echo") != 0,
        .baud_rate = serial.baud_rate,
        .silence_ms = silence_ms(serial.baud_rate),
        .byte_timeout_ms = (uint64_t)nx_setting_int(s, "byte_timeout"),
        .delay_ms = (uint64_t)nx_setting_int(s, "request_delay"),
        .turnaround_ms = (uint64_t)nx_setting_int(s, "turnaround"),
    };

    (void)why;
    modbus_link_open(ln, link, &conf);
    ln->stream = nx_stream_serial(link, &serial, &modbus_link_stream_ops, ln);
    return NX_OK;
}

static enum nx_err
rtu_attach(struct nx_dev *dev, const struct nx_settings *s, const char *learned, struct nx_note *why)
{
    return modbus_attach(dev, MODBUS_RTU, s, learned, why);
}

static bool
rtu_dissect(const struct nx_exchange *x, const void *addr, char *text, size_t cap)
{
    return modbus_dissect(MODBUS_RTU, true, x, addr, text, cap);
}

const struct nx_driver modbus_rtu_driver = {
    .abi = NX_DRIVER_ABI,
    .size = sizeof(struct nx_driver),
    .name = "modbus-rtu",
    .summary = "Modbus RTU on a serial line: coils, discrete inputs, input and holding registers",
    .params = params,
    .tag_params = modbus_tag_params,
    .link_size = sizeof(struct modbus_link),
    .dev_size = sizeof(struct modbus_device),
    .addr_size = sizeof(struct modbus_addr),
    .addr_parse = modbus_addr_parse,
    .attach = rtu_attach,
    .open = rtu_open,
    .close = modbus_link_close,
    .read = modbus_read,
    .cancel = modbus_cancel,
    .write = modbus_write,
    .explain = modbus_explain,
    .dissect = rtu_dissect,
};
