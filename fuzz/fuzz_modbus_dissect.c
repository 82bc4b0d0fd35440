/* fuzz: modbus conformance base */
/* First byte: the framing, room for the text, and where the request ends. The rest: the request, then what arrived. */
#include "conformance/fake_host.h"
#include "modbus/modbus_addr.h"
#include "modbus/modbus_driver.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
dissect(const struct nx_driver *driver, const struct nx_exchange *x, const void *addr, size_t cap)
{
    char *text = malloc(cap);

    memset(text, 'x', cap);
    (void)driver->dissect(x, addr, text, cap);
    assert(memchr(text, 0, cap));
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const tcp[] = {"host=x", NULL}, *const agnostic[] = {"host=x", "tid_agnostic=true", NULL};
    static const char *const rtu[] = {"host=x", "framing=rtu", NULL}, *const line[] = {"serial_port=/dev/x", NULL};
    static const struct {
        const char *const *pairs;
        const struct nx_driver *driver;
    } kinds[] = {{tcp, &modbus_tcp_driver},
                 {agnostic, &modbus_tcp_driver},
                 {rtu, &modbus_tcp_driver},
                 {line, &modbus_rtu_driver}};
    static const struct modbus_addr addrs[] = {
        {.table = MODBUS_HOLDING, .type = NX_DT_FLOAT32, .bit = MODBUS_NO_BIT, .start = 1, .count = 2},
        {.table = MODBUS_HOLDING, .type = NX_DT_STRING, .bit = MODBUS_NO_BIT, .start = 0, .count = 60},
        {.table = MODBUS_INPUT, .type = NX_DT_UINT32, .bit = MODBUS_NO_BIT, .start = 0, .count = 2, .is_bcd = true},
        {.table = MODBUS_HOLDING, .type = NX_DT_BOOL, .bit = 3, .start = 2, .count = 1},
        {.table = MODBUS_COIL, .type = NX_DT_BOOL, .bit = MODBUS_NO_BIT, .start = 9, .count = 1},
    };
    size_t cap = len > 0 ? 1 + p[0] / 4 % 8 * 30 : 1, cut;

    if (len < 2)
        return 0;
    cut = p[1] < len - 2 ? p[1] : len - 2;
    struct nx_settings settings = {kinds[p[0] % 4].driver->params, kinds[p[0] % 4].pairs};
    struct nx_exchange x = {p + 2, p + 2 + cut, cut, len - 2 - cut, &settings};
    dissect(kinds[p[0] % 4].driver, &x, NULL, cap);
    for (size_t i = 0; i < sizeof addrs / sizeof addrs[0]; i++)
        dissect(kinds[p[0] % 4].driver, &x, &addrs[i], cap);
    return 0;
}
