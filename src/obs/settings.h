/* settings.h -- how a service logs: the settings logging.level and logging.format, the same for each of them. */
#ifndef OBS_SETTINGS_H
#define OBS_SETTINGS_H

#include "nexus/err.h"

struct log_settings {
    int level, format; /* indexes into the choices of their rows */
};

/* Rows of a settings table (conf/conf.h) whose struct has a log_settings at offset `at`. */
#define LOG_SETTINGS_ROWS(at, level_help, format_help)                                                                 \
    {.key = "logging.level",                                                                                           \
     .type = CONF_ENUM,                                                                                                \
     .def = "info",                                                                                                    \
     .choices = "error|warn|info|debug",                                                                               \
     .offset = (at) + offsetof(struct log_settings, level),                                                            \
     .help = level_help},                                                                                              \
    {                                                                                                                  \
        .key = "logging.format", .type = CONF_ENUM, .def = "json", .choices = "json|text",                             \
        .offset = (at) + offsetof(struct log_settings, format), .help = format_help                                    \
    }

/* log_init() on standard error, for the service of that name: a literal. */
NX_MUST_CHECK enum nx_err log_init_settings(const struct log_settings *s, const char *service, struct nx_note *why);

#endif
