/* secret.h -- passwords between processes of one installation: random, made on first use, kept in a file. Blocking. */
#ifndef APP_SECRET_H
#define APP_SECRET_H

#include "nexus/err.h"

/* Reads the secret of a file, which is made (mode 0600) when it does not exist. Its letters are those of URLs, so it
 * can stand in one and on a command line. free() it. */
NX_MUST_CHECK enum nx_err secret_of(const char *path, char **out, struct nx_note *why);

#endif
