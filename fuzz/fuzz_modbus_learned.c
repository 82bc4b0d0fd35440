/* fuzz: modbus base */
/* The input is what a device is said to have taught us, from an earlier run of the program or from anywhere. What is
 * understood of it must be within bounds, and the same once written and read again. */
#include "modbus/modbus_facts.h"

#include "base/arena.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void *
alloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void
check(const struct modbus_facts *f)
{
    assert(f->regs.low <= f->regs.now && f->regs.now <= f->regs.high && f->regs.high <= 125 && f->regs.now >= 1);
    assert(f->bits.low <= f->bits.now && f->bits.now <= f->bits.high && f->bits.high <= 2000 && f->bits.now >= 1);
    for (uint32_t i = 1; i < f->hole_count; i++)
        assert(f->holes[i - 1].place <= f->holes[i].place);
    for (uint32_t i = 1; i < f->cut_count; i++)
        assert(f->cuts[i - 1] < f->cuts[i]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
    struct arena arena = {0};
    struct modbus_facts first = {.alloc = alloc, .arg = &arena}, second = first;
    struct wbuf a = wbuf_init(0), b = wbuf_init(0);

    if (len > NX_LEARNED_MAX)
        return 0;
    modbus_facts_init(&first, 125, 2000);
    modbus_facts_init(&second, 125, 2000);
    modbus_facts_read(&first, arena_strndup(&arena, p, len));
    check(&first);
    modbus_facts_write(&first, &a);
    assert(a.len <= NX_LEARNED_MAX);
    modbus_facts_read(&second, wbuf_cstr(&a));
    modbus_facts_write(&second, &b);
    assert(slice_eq(wbuf_slice_of(&a), wbuf_slice_of(&b)));
    wbuf_free(&a);
    wbuf_free(&b);
    arena_free(&arena);
    return 0;
}
