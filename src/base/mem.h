/* mem.h -- memory for sizes that we chose ourselves.
 *
 * Running out of memory is not an error that callers handle: everything we allocate has a bound, so it means the
 * bounds are wrong, and the process stops with a message. Sizes that come from outside are checked against a cap
 * before they get here. Memory is freed with free(). Any thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#define MEM_RETURNS __attribute__((returns_nonnull, warn_unused_result))

/* Zeroed memory; never NULL, also for size 0. */
void *mem_alloc(size_t size) MEM_RETURNS;
/* Zeroed array of n elements; stops the process when n * size overflows. */
void *mem_calloc(size_t n, size_t size) MEM_RETURNS;
/* Like realloc(); the grown part is not zeroed. */
void *mem_realloc(void *p, size_t size) MEM_RETURNS;
char *mem_strdup(const char *s) MEM_RETURNS;
/* Terminated copy of len bytes. */
char *mem_strndup(const void *p, size_t len) MEM_RETURNS;
/* Terminated text as of asprintf(). */
char *mem_printf(const char *fmt, ...) MEM_RETURNS __attribute__((format(printf, 1, 2)));

/* Frees a copy held by a `const char *` member. */
void mem_free_const(const void *p);

/* The object that embeds member. */
#define MEM_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MEM_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
