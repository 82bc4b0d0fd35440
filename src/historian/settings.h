/* settings.h -- which store a service uses: the settings historian.url and database.*, the same for each of them. */
#ifndef HISTORIAN_SETTINGS_H
#define HISTORIAN_SETTINGS_H

#include "conf/conf.h"

struct historian_settings {
    const char *url; /* NULL: not set */
    const char *host, *database, *user, *password;
    int64_t port;
    int sslmode; /* index into the choices of database.sslmode */
    const char *ca_file, *cert_file, *key_file;
};

/* Rows of a settings table whose struct has a historian_settings at offset `at`. */
#define HISTORIAN_SETTINGS_ROWS(at)                                                                                    \
    {.key = "historian.url",                                                                                           \
     .type = CONF_STRING,                                                                                              \
     .offset = (at) + offsetof(struct historian_settings, url),                                                        \
     .help = "Where the values are stored: sqlite:<directory> or postgres://<user>@<host>:<port>/<database>. When "    \
             "absent: the server of database.host; sqlite:data/historian without one."},                               \
        {.key = "database.host",                                                                                       \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct historian_settings, host),                                                   \
         .help = "Server of PostgreSQL that keeps the values: a name, an address or the folder of its socket."},       \
        {.key = "database.port",                                                                                       \
         .type = CONF_INT,                                                                                             \
         .def = "5432",                                                                                                \
         .min = 1,                                                                                                     \
         .max = 65535,                                                                                                 \
         .offset = (at) + offsetof(struct historian_settings, port),                                                   \
         .help = "TCP port of the database server."},                                                                  \
        {.key = "database.database",                                                                                   \
         .type = CONF_STRING,                                                                                          \
         .def = "nexus",                                                                                               \
         .offset = (at) + offsetof(struct historian_settings, database),                                               \
         .help = "Name of the database; its tables are made in the schema hist."},                                     \
        {.key = "database.user",                                                                                       \
         .type = CONF_STRING,                                                                                          \
         .def = "nexus",                                                                                               \
         .offset = (at) + offsetof(struct historian_settings, user),                                                   \
         .help = "User at the database server."},                                                                      \
        {.key = "database.sslmode",                                                                                    \
         .type = CONF_ENUM,                                                                                            \
         .def = "auto",                                                                                                \
         .choices = "auto|disable|require|verify-ca|verify-full",                                                      \
         .offset = (at) + offsetof(struct historian_settings, sslmode),                                                \
         .help = "TLS to the database server, as libpq has it. auto: a server on another machine must prove itself "   \
                 "(verify-full)."},                                                                                    \
        {.key = "database.ca_file",                                                                                    \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct historian_settings, ca_file),                                                \
         .help = "Certificates (PEM) that the database server is checked against; those of the system when absent."},  \
        {.key = "database.cert_file",                                                                                  \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct historian_settings, cert_file),                                              \
         .help = "Client certificate (PEM) for the database server."},                                                 \
        {.key = "database.key_file",                                                                                   \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct historian_settings, key_file),                                               \
         .help = "Its key (PEM); only its owner may read the file."},                                                  \
    {                                                                                                                  \
        .key = "database.password", .type = CONF_SECRET, .env = "DB_PASSWORD",                                         \
        .offset = (at) + offsetof(struct historian_settings, password),                                                \
        .help = "Password at the database server, also for a historian.url without one."                               \
    }

/* Is anything said about where the values are? */
bool historian_settings_name_a_store(const struct historian_settings *s);
/* The URL to open, without the password; free() it. What database.* say of TLS is in it, as far as historian.url does
 * not say it; historian_settings_with_tls() does the same for another URL. */
char *historian_settings_url(const struct historian_settings *s);
char *historian_settings_with_tls(const struct historian_settings *s, const char *url);
/* The same with the password in it: for what takes only an URL. Not for people. */
char *historian_settings_secret_url(const struct historian_settings *s);

#endif
