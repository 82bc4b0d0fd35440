#include "mqtt/reason.h"

#include "base/mem.h"

struct reason {
    uint8_t code;
    enum nx_err err;
    const char *text, *fix;
};

static const char FIX_VERSION[] = "set mqtt.version to the one the broker speaks (3.1.1 or 5)";
static const char FIX_CLIENT_ID[] =
    "set mqtt.client_id to a name of letters, digits and dashes that no other client uses";
static const char FIX_LOGIN[] = "check mqtt.username and mqtt.password against the broker's user list";
static const char FIX_ACL[] = "allow it in the broker's access list (ACL) for mqtt.username";
static const char FIX_WAIT[] = "wait, or look at the broker's own log and load";
static const char FIX_REPORT[] = "please report it with a log at level debug";
static const char FIX_TOPIC[] = "correct the topic or filter in the settings";

static const struct reason REASONS[] = {
    {0x01, NX_E_UNSUPPORTED, "broker does not speak this version of MQTT", FIX_VERSION},
    {0x02, NX_E_CONFIG, "broker does not accept the client id", FIX_CLIENT_ID},
    {0x03, NX_E_BUSY, "broker is up but not available", FIX_WAIT},
    {0x04, NX_E_AUTH, "broker refused user name or password", FIX_LOGIN},
    {0x05, NX_E_AUTH, "broker does not allow this user to connect", FIX_LOGIN},
    {0x80, NX_E_DEVICE, "broker gives no reason", "look at the broker's log"},
    {0x81, NX_E_PROTO, "broker could not read our packet", FIX_REPORT},
    {0x82, NX_E_PROTO, "broker says we broke the protocol", FIX_REPORT},
    {0x83, NX_E_DEVICE, "broker refuses for reasons of its own", "look at the broker's log"},
    {0x84, NX_E_UNSUPPORTED, "broker does not speak this version of MQTT", FIX_VERSION},
    {0x85, NX_E_CONFIG, "broker does not accept the client id", FIX_CLIENT_ID},
    {0x86, NX_E_AUTH, "broker refused user name or password", FIX_LOGIN},
    {0x87, NX_E_DENIED, "not authorized", FIX_ACL},
    {0x88, NX_E_BUSY, "broker is up but not available", FIX_WAIT},
    {0x89, NX_E_BUSY, "broker is busy", FIX_WAIT},
    {0x8a, NX_E_DENIED, "broker has banned this client", "lift the ban in the broker's administration"},
    {0x8b, NX_E_CLOSED, "broker is shutting down", "start the broker again"},
    {0x8c, NX_E_AUTH, "broker wants another way to log in", "allow user name and password on the broker"},
    {0x8d, NX_E_TIMEOUT, "broker heard nothing from us for too long", "check the network, or raise mqtt.keep_alive"},
    {0x8e, NX_E_CONFLICT, "another client has connected with our client id", FIX_CLIENT_ID},
    {0x8f, NX_E_CONFIG, "broker does not accept the topic filter", FIX_TOPIC},
    {0x90, NX_E_CONFIG, "broker does not accept the topic", FIX_TOPIC},
    {0x91, NX_E_PROTO, "packet id is in use", FIX_REPORT},
    {0x92, NX_E_PROTO, "packet id is not known", FIX_REPORT},
    {0x93, NX_E_PROTO, "broker says we sent more than its Receive Maximum", FIX_REPORT},
    {0x94, NX_E_PROTO, "topic alias is not valid", FIX_REPORT},
    {0x95, NX_E_TOO_LARGE, "message is larger than the broker takes", "raise the broker's maximum packet size"},
    {0x96, NX_E_FULL, "broker says we send too fast", "raise the broker's rate limit, or publish less often"},
    {0x97, NX_E_FULL, "quota of the broker is used up", "raise the broker's quota for this client"},
    {0x98, NX_E_DENIED, "connection was closed by an administrator", "ask the broker's administrator"},
    {0x99, NX_E_CONFIG, "payload does not have the format it claims", FIX_REPORT},
    {0x9a, NX_E_UNSUPPORTED, "broker keeps no retained messages", "turn retain off, or allow it on the broker"},
    {0x9b, NX_E_UNSUPPORTED, "broker does not support this QoS", "lower mqtt.qos"},
    {0x9c, NX_E_CONFIG, "broker asks to use another server for now", "set mqtt.broker_url to the other server"},
    {0x9d, NX_E_CONFIG, "broker has moved to another server", "set mqtt.broker_url to the other server"},
    {0x9e, NX_E_UNSUPPORTED, "broker has no shared subscriptions", "use a broker with MQTT 5 shared subscriptions"},
    {0x9f, NX_E_BUSY, "broker takes no more connections at this rate", FIX_WAIT},
    {0xa0, NX_E_EXPIRED, "connection has lasted as long as the broker allows", "nothing: we connect again"},
    {0xa1, NX_E_UNSUPPORTED, "broker has no subscription identifiers", FIX_REPORT},
    {0xa2, NX_E_UNSUPPORTED, "broker has no wildcard subscriptions", "allow them on the broker"},
};

static const struct reason *
find(uint8_t code)
{
    static const struct reason unknown = {0, NX_E_DEVICE, "broker gives a reason that MQTT does not know",
                                          "look at the broker's log"};

    for (size_t i = 0; i < MEM_COUNT(REASONS); i++)
        if (REASONS[i].code == code)
            return &REASONS[i];
    return &unknown;
}

enum nx_err
mqtt_reason_err(uint8_t code)
{
    return code < 0x80 ? NX_OK : find(code)->err;
}

enum nx_err
mqtt_reason_note(struct nx_note *why, const char *place, uint8_t code, struct slice said)
{
    const struct reason *r = find(code);

    if (said.len == 0)
        return nx_fail(why, r->err, "%.120s: %s (0x%02x): %s", place, r->text, code, r->fix);
    return nx_fail(why, r->err, "%.120s: %s (0x%02x): %s; broker says \"%.*s\"", place, r->text, code, r->fix,
                   (int)(said.len < 100 ? said.len : 100), (const char *)said.p);
}
