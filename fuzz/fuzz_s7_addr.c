/* fuzz: s7 conformance base */
/* First two bytes: data type, element. Then 32 bytes of the CPU, then the address text. What parses has a canonical
 * text that means the same, and a value of it survives the way out and back. */
#include "conformance/fake_host.h"
#include "s7/s7_value.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES 32u

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static bool
is_same(const struct nx_value *a, const struct nx_value *b)
{
    if (a->type == NX_TYPE_STRING)
        return b->type == a->type && slice_eq(slice(a->s, a->len), slice(b->s, b->len));
    return a->type == b->type && (a->type == NX_TYPE_BOOL ? a->b == b->b : a->u == b->u);
}

/* Times of more than microseconds lose their end as text. */
static bool
is_exact(const struct s7_addr *a)
{
    return s7_types[a->type].kind != S7_KIND_MOMENT && s7_types[a->type].kind != S7_KIND_DURATION;
}

static void
check_value(const struct s7_addr *a, const uint8_t *cpu)
{
    char *text = mem_alloc(S7_TEXT_MAX), *text2 = mem_alloc(S7_TEXT_MAX);
    uint8_t *in = mem_alloc(a->bytes), *out = mem_alloc(a->bytes);
    struct nx_value v, again;
    unsigned skip, len;

    for (unsigned i = 0; i < a->bytes; i++)
        in[i] = cpu[i % BYTES];
    if (s7_value_decode(a, in, text, &v) == NX_OK) {
        assert(v.type != NX_TYPE_STRING || v.len <= S7_TEXT_MAX);
        if (s7_value_encode(a, &v, out, &skip, &len, NULL) == NX_OK && a->type != S7_BOOL && is_exact(a)) {
            assert(skip + len <= a->bytes);
            memcpy(in + skip, out, len);
            assert(s7_value_decode(a, in, text2, &again) == NX_OK && is_same(&v, &again));
        }
    }
    free(text);
    free(text2);
    free(in);
    free(out);
}

static void
check(const struct nx_addr_spec *spec, const struct s7_addr *a, const char *canonical)
{
    struct s7_addr again = {0};
    struct nx_addr_info info = {0};
    struct nx_addr_spec second = {.address = canonical, .data_type = spec->data_type};

    assert(s7_addr_parse(&second, &again, &info, NULL) == NX_OK);
    assert(strcmp(info.canonical, canonical) == 0 && info.elements == 0);
    assert(memcmp(a, &again, sizeof again) == 0);
    assert(a->bytes >= 1 && a->bytes <= S7_VALUE_BYTES && a->start <= 65535);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    char address[256];
    struct nx_addr_spec spec = {.address = address};
    struct nx_addr_info info = {0};
    struct nx_note why = {0};
    struct s7_addr addr = {0};

    if (len < 2 + BYTES || len > 200)
        return 0;
    spec.data_type = (enum nx_data_type)(p[0] % NX_DT_COUNT);
    spec.element = p[1];
    snprintf(address, sizeof address, "%.*s", (int)(len - 2 - BYTES), (const char *)p + 2 + BYTES);
    if (s7_addr_parse(&spec, &addr, &info, &why) != NX_OK) {
        assert(why.text[0] != '\0');
        return 0;
    }
    check(&spec, &addr, info.canonical);
    check_value(&addr, p + 2);
    return 0;
}
