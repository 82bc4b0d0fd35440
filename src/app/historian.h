/* historian.h -- what the verbs of `nexus historian` share. One thread. */
#ifndef APP_HISTORIAN_H
#define APP_HISTORIAN_H

#include "app/command.h"
#include "historian/historian.h"
#include "historian/settings.h"

/* Opens the store behind an URL, or has complained: *code is the exit code then. */
struct historian *historian_of(const char *url, enum historian_role role, int *code);
/* What a configuration says about the store (historian.url, database.*), as an URL with its password: free() it.
 * *is_named: it says anything. */
NX_MUST_CHECK enum nx_err historian_read_settings(const char *config, const char **sets, char **url, bool *is_named,
                                                  struct nx_note *why);
/* Copies every value of one store to another. An exit code. */
int historian_migrate(const char *from, const char *to);

#endif
