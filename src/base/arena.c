#include "base/arena.h"

#include "base/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN       16u
#define ARENA_FIRST_BYTES 1024u
#define ARENA_MOST_BYTES  (256u * 1024u) /* blocks double up to this; larger requests get a block of their own */

struct arena_block {
    struct arena_block *older;
    alignas(ARENA_ALIGN) uint8_t data[];
};

static void
add_block(struct arena *a, size_t size)
{
    size_t cap = a->cap ? a->cap * 2 : ARENA_FIRST_BYTES;

    if (cap > ARENA_MOST_BYTES)
        cap = ARENA_MOST_BYTES;
    if (cap < size)
        cap = size;
    struct arena_block *b = mem_alloc(sizeof *b + cap);
    b->older = a->blocks;
    a->blocks = b;
    a->used = 0;
    a->cap = cap;
    a->total_bytes += cap;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (!a->blocks || size > a->cap - a->used)
        add_block(a, size);
    void *p = a->blocks->data + a->used;
    a->used += size;
    return p;
}

char *
arena_strndup(struct arena *a, const void *p, size_t len)
{
    char *s = arena_alloc(a, len + 1);

    if (len)
        memcpy(s, p, len);
    return s;
}

char *
arena_strdup(struct arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *s = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0)
        (void)vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

static void
free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *older = b->older;

        free(b);
        b = older;
    }
}

void
arena_free(struct arena *a)
{
    free_blocks(a->blocks);
    *a = (struct arena){0};
}

void
arena_reset(struct arena *a)
{
    if (!a->blocks)
        return;
    free_blocks(a->blocks->older);
    a->blocks->older = NULL;
    memset(a->blocks->data, 0, a->used);
    a->used = 0;
    a->total_bytes = a->cap;
}
