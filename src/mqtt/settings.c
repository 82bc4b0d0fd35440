/* settings.c -- from the settings of a service to a client. Pure. */
#include "mqtt/settings.h"

enum nx_err
mqtt_settings_apply(const struct mqtt_settings *s, struct mqtt_conf *conf, struct mqtt_peer *peer, struct nx_note *why)
{
    bool is_tls;
    enum nx_err err = mqtt_parse_url(s->broker_url, peer->host, sizeof peer->host, &conf->port, &is_tls, why);

    peer->tls = (struct stream_tls){.ca_file = s->ca_file,
                                    .cert_file = s->cert_file,
                                    .key_file = s->key_file,
                                    .skip_verify = s->skip_verify};
    conf->host = peer->host;
    conf->tls = err == NX_OK && is_tls ? &peer->tls : NULL;
    conf->version = s->version == 0 ? MQTT_V5 : MQTT_V311;
    conf->client_id = s->client_id;
    conf->username = s->username;
    conf->password = s->password;
    conf->keepalive_s = (uint16_t)(s->keepalive_ms / 1000);
    return err;
}
