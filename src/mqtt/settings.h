/* settings.h -- which broker a service uses: the settings mqtt.*, as far as each of them has them. */
#ifndef MQTT_SETTINGS_H
#define MQTT_SETTINGS_H

#include "conf/conf.h"
#include "mqtt/mqtt.h"

struct mqtt_settings {
    const char *broker_url, *client_id, *username, *password;
    const char *ca_file, *cert_file, *key_file, *system_prefix;
    bool skip_verify;
    int version;          /* index into "5|3.1.1" */
    int64_t keepalive_ms; /* not among the rows below; 0: as mqtt_conf has it */
};

/* Rows of a settings table whose struct has a mqtt_settings at offset `at`. broker_env: names of environment variables
 * of mqtt.broker_url; id, id_help: default and help of mqtt.client_id; prefix_help: of mqtt.system_prefix. */
#define MQTT_SETTINGS_ROWS(at, broker_env, id, id_help, prefix_help)                                                   \
    {.key = "mqtt.broker_url",                                                                                         \
     .type = CONF_STRING,                                                                                              \
     .def = "mqtt://127.0.0.1:1883",                                                                                   \
     .env = broker_env,                                                                                                \
     .offset = (at) + offsetof(struct mqtt_settings, broker_url),                                                      \
     .help = "Address of the broker, mqtt:// or mqtts://."},                                                           \
        {.key = "mqtt.username",                                                                                       \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct mqtt_settings, username),                                                    \
         .help = "User at the broker."},                                                                               \
        {.key = "mqtt.password",                                                                                       \
         .type = CONF_SECRET,                                                                                          \
         .offset = (at) + offsetof(struct mqtt_settings, password),                                                    \
         .help = "Password at the broker."},                                                                           \
        {.key = "mqtt.client_id",                                                                                      \
         .type = CONF_STRING,                                                                                          \
         .def = id,                                                                                                    \
         .offset = (at) + offsetof(struct mqtt_settings, client_id),                                                   \
         .help = id_help},                                                                                             \
        {.key = "mqtt.version",                                                                                        \
         .type = CONF_ENUM,                                                                                            \
         .def = "5",                                                                                                   \
         .choices = "5|3.1.1",                                                                                         \
         .offset = (at) + offsetof(struct mqtt_settings, version),                                                     \
         .help = "Version of the MQTT protocol."},                                                                     \
        {.key = "mqtt.ca_file",                                                                                        \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct mqtt_settings, ca_file),                                                     \
         .help = "Certificates (PEM) that the broker is checked against; those of the system when absent."},           \
        {.key = "mqtt.cert_file",                                                                                      \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct mqtt_settings, cert_file),                                                   \
         .help = "Client certificate (PEM)."},                                                                         \
        {.key = "mqtt.key_file",                                                                                       \
         .type = CONF_STRING,                                                                                          \
         .offset = (at) + offsetof(struct mqtt_settings, key_file),                                                    \
         .help = "Key of the client certificate."},                                                                    \
        {.key = "mqtt.skip_verify",                                                                                    \
         .type = CONF_BOOL,                                                                                            \
         .def = "false",                                                                                               \
         .offset = (at) + offsetof(struct mqtt_settings, skip_verify),                                                 \
         .help = "Accepts any certificate of the broker. Only for trials."},                                           \
    {                                                                                                                  \
        .key = "mqtt.system_prefix", .type = CONF_STRING, .def = "$nexus",                                             \
        .offset = (at) + offsetof(struct mqtt_settings, system_prefix), .help = prefix_help                            \
    }

/* What a mqtt_conf points to until mqtt_new() has copied it. */
struct mqtt_peer {
    char host[256];
    struct stream_tls tls;
};

/* Sets what the settings say in *conf and leaves the rest of it; texts are borrowed from s, the others are in *peer.
 * NX_E_CONFIG for a bad address of the broker. */
NX_MUST_CHECK enum nx_err mqtt_settings_apply(const struct mqtt_settings *s, struct mqtt_conf *conf,
                                              struct mqtt_peer *peer, struct nx_note *why);

#endif
