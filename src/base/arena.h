/* arena.h -- memory of one lifetime: a request, a parse, a read list. Freed all at once. One thread. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_block;

/* Zero-initialised is empty and valid. */
struct arena {
    struct arena_block *blocks;
    size_t used, cap;   /* of the newest block */
    size_t total_bytes; /* allocated from the system */
};

/* Zeroed, aligned to 16; never NULL. */
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *a, const void *p, size_t len) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s) __attribute__((returns_nonnull));
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((returns_nonnull, format(printf, 2, 3)));
/* Frees everything; the arena is empty and usable again. */
void arena_free(struct arena *a);
/* Forgets everything but keeps the newest block for reuse. */
void arena_reset(struct arena *a);

#endif
