/* fuzz: modbus conformance base */
/* First four bytes: data type, byte order, count, element. The rest: the address text. What parses has a canonical text
 * that means the same place, and a value of that type survives the way out and back. */
#include "conformance/fake_host.h"
#include "modbus/modbus_value.h"

#include <assert.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
check(const struct nx_addr_spec *spec, const struct modbus_addr *addr, const char *canonical)
{
    static const uint8_t wire[2 * 125] = {0x40, 0x49, 0x0F, 0xDB, 'a', 'b'};
    struct modbus_addr again = {0};
    char text[MODBUS_TEXT_MAX];
    struct nx_addr_info info = {0};
    struct nx_addr_spec second = *spec;
    struct nx_value v;
    uint8_t back[2 * 125];

    second.address = canonical;
    second.settings = NULL;
    second.element = 0;
    second.count = addr->type == NX_DT_STRING ? addr->count : 0;
    assert(modbus_addr_parse(&second, &again, &info, NULL) == NX_OK);
    assert(again.start == addr->start && again.table == addr->table && again.bit == addr->bit);
    assert(info.elements == 0 && strcmp(info.canonical, canonical) == 0);
    if (modbus_table_is_bits(addr->table) || addr->bit != MODBUS_NO_BIT)
        return;
    assert(addr->count >= 1 && addr->count <= 125);
    if (modbus_value_decode(addr, wire, text, &v, NULL) == NX_OK && addr->type != NX_DT_STRING)
        assert(modbus_value_encode(addr, &v, back, NULL) == NX_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const orders[] = {"byte_order=ABCD", "byte_order=CDAB", "byte_order=HGFEDCBA", "byte_order=BA"};
    static const char *const encodings[] = {"encoding=binary", "encoding=bcd"};
    char address[256];
    const char *pairs[] = {NULL, NULL, NULL};
    struct nx_settings settings = {modbus_tag_params, pairs};
    struct nx_addr_spec spec = {.address = address, .settings = &settings};
    struct nx_addr_info info = {0};
    struct modbus_addr addr = {0};

    if (len < 4 || len > 200)
        return 0;
    spec.data_type = (enum nx_data_type)(p[0] % NX_DT_COUNT);
    pairs[0] = orders[p[1] % 4];
    pairs[1] = encodings[p[1] / 4 % 2];
    spec.count = p[2] % 130;
    spec.element = p[3] == 255 ? UINT32_MAX : p[3];
    snprintf(address, sizeof address, "%.*s", (int)(len - 4), (const char *)p + 4);
    if (modbus_addr_parse(&spec, &addr, &info, NULL) != NX_OK)
        return 0;
    assert(addr.start + addr.count <= 65536u);
    assert(info.elements == 0 || spec.element < info.elements);
    check(&spec, &addr, info.canonical);
    return 0;
}
