/* fuzz: modbus conformance base */
/* First three bytes: data type, byte order, count. The rest: the address text. What parses has a canonical text that
 * means the same place, and a value of that type survives the way out and back. */
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
    char canonical2[64], text[MODBUS_TEXT_MAX];
    struct nx_addr_spec second = *spec;
    struct nx_value v;
    uint8_t back[2 * 125];

    second.address = canonical;
    second.settings = NULL;
    second.count = addr->type == NX_DT_STRING ? addr->count : 0;
    assert(modbus_addr_parse(&second, &again, canonical2, sizeof canonical2, NULL) == NX_OK);
    assert(again.start == addr->start && again.table == addr->table && again.bit == addr->bit);
    if (modbus_table_is_bits(addr->table) || addr->bit != MODBUS_NO_BIT)
        return;
    assert(addr->count >= 1 && addr->count <= 125);
    if (modbus_value_decode(addr, wire, text, &v) == NX_OK && addr->type != NX_DT_STRING)
        assert(modbus_value_encode(addr, &v, back, NULL) == NX_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const char *const orders[] = {"byte_order=ABCD", "byte_order=CDAB", "byte_order=HGFEDCBA", "byte_order=BA"};
    char address[256], canonical[64];
    const char *pairs[] = {NULL, NULL};
    struct nx_settings settings = {modbus_tag_params, pairs};
    struct nx_addr_spec spec = {.address = address, .settings = &settings};
    struct modbus_addr addr = {0};

    if (len < 3 || len > 200)
        return 0;
    spec.data_type = (enum nx_data_type)(p[0] % NX_DT_COUNT);
    pairs[0] = orders[p[1] % 4];
    spec.count = p[2] % 130;
    snprintf(address, sizeof address, "%.*s", (int)(len - 3), (const char *)p + 3);
    if (modbus_addr_parse(&spec, &addr, canonical, sizeof canonical, NULL) == NX_OK)
        check(&spec, &addr, canonical);
    return 0;
}
