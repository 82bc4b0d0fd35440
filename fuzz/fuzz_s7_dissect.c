/* fuzz: s7 conformance base */
/* First two bytes: room for the text, and where the request ends. The rest: the request, then what arrived; and the
 * same as what a CPU is said to have taught us in an earlier run. */
#include "conformance/fake_host.h"
#include "s7/s7_driver.h"
#include "s7/s7_learned.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
dissect(const struct nx_exchange *x, const void *addr, size_t cap)
{
    char *text = mem_alloc(cap);

    memset(text, 'x', cap);
    (void)s7_driver.dissect(x, addr, text, cap);
    assert(memchr(text, 0, cap));
    free(text);
}

static void
learn(struct slice text)
{
    static const char *const pairs[] = {"host=x", NULL};
    struct fake_host *h = fake_host_new(&s7_driver, pairs);
    char *copy = mem_strndup(text.p, text.len);
    struct s7_learned first, second;
    struct wbuf a = wbuf_init(0), b = wbuf_init(0);

    s7_learned_read(&first, fake_host_dev(h), copy);
    for (uint32_t i = 0; i < first.hole_count; i++)
        assert(first.holes[i].code != 0 && (i == 0 || first.holes[i - 1].area <= first.holes[i].area));
    s7_learned_write(&first, &a);
    s7_learned_read(&second, fake_host_dev(h), wbuf_cstr(&a));
    s7_learned_write(&second, &b);
    assert(a.len <= NX_LEARNED_MAX && slice_eq(wbuf_slice_of(&a), wbuf_slice_of(&b)));
    wbuf_free(&a);
    wbuf_free(&b);
    free(copy);
    fake_host_free(&h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    static const struct s7_addr addrs[] = {
        {.area = S7_DB, .type = S7_REAL, .data_type = NX_DT_FLOAT32, .db = 1, .bytes = 4, .start = 2},
        {.area = S7_DB, .type = S7_STRING, .data_type = NX_DT_STRING, .db = 1, .chars = 20, .bytes = 22},
        {.area = S7_DB, .type = S7_BOOL, .data_type = NX_DT_BOOL, .bit = 3, .db = 1, .bytes = 1, .start = 4},
        {.area = S7_MEMORY, .type = S7_DTL, .data_type = NX_DT_STRING, .bytes = 12},
        {.area = S7_TIMER_AREA, .type = S7_TIMER, .data_type = NX_DT_INT32, .bytes = 2, .start = 5},
    };
    size_t cut;

    if (len < 2)
        return 0;
    cut = p[1] < len - 2 ? p[1] : len - 2;
    struct nx_exchange x = {p + 2, p + 2 + cut, cut, len - 2 - cut, NULL};
    dissect(&x, NULL, 1u + p[0]);
    for (size_t i = 0; i < MEM_COUNT(addrs); i++)
        dissect(&x, &addrs[i], 1u + p[0]);
    learn(slice(p + 2, len - 2));
    return 0;
}
