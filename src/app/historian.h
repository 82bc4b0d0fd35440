/* historian.h -- what the verbs of `nexus historian` share. One thread. */
#ifndef APP_HISTORIAN_H
#define APP_HISTORIAN_H

#include "app/command.h"
#include "historian/historian.h"

/* Opens the store behind an URL, or has complained: *code is the exit code then. */
struct historian *historian_of(const char *url, enum historian_role role, int *code);
/* Copies every value of one store to another. An exit code. */
int historian_migrate(const char *from, const char *to);

#endif
