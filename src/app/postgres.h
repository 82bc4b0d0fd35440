/* postgres.h -- the PostgreSQL of `nexus up --profile standard`, for who has no database server yet.
 *
 * The distribution's programs on a cluster of our own in <data>/postgres: loopback only, one user with a random
 * password, one database "nexus". PostgreSQL refuses to work as root: then it works as the user postgres, which its
 * package makes. Blocking (making the cluster takes some seconds); call it before the loop runs. */
#ifndef APP_POSTGRES_H
#define APP_POSTGRES_H

#include "nexus/err.h"

#include <stdint.h>

struct postgres_info {
    char program_path[512]; /* postgres */
    char cluster_dir[512];
    char user[64]; /* of the system, to work as; empty: as we do */
    uint16_t port;
    char url[128];           /* for historian.url; without the password */
    char password_path[512]; /* for database.password_file */
};

/* Finds the programs and makes the cluster when there is none. NX_E_NOT_FOUND when PostgreSQL is not installed, or not
 * the version that the cluster was made with; the note says what to install. */
NX_MUST_CHECK enum nx_err postgres_prepare(const char *data_dir, uint16_t wanted_port, struct postgres_info *out,
                                           struct nx_note *why);

#endif
