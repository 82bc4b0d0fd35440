/* file.h -- small whole files: configuration, secrets, tokens. Blocking; not for data paths. Any thread. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/slice.h"
#include "nexus/err.h"

/* Reads a whole file of at most max_bytes into *out (terminated, free() it). */
NX_MUST_CHECK enum nx_err file_read(const char *path, size_t max_bytes, char **out, size_t *len, struct nx_note *why);
/* A secret: the same, refused when group or others may read or write it; trailing newlines are cut. */
NX_MUST_CHECK enum nx_err file_read_secret(const char *path, char **out, struct nx_note *why);
/* Replaces the file atomically (temporary file, fsync, rename, fsync of the directory) with the given mode. */
NX_MUST_CHECK enum nx_err file_write(const char *path, struct slice data, unsigned mode, struct nx_note *why);
/* mkdir -p. */
NX_MUST_CHECK enum nx_err file_make_dir(const char *path, unsigned mode, struct nx_note *why);

#endif
