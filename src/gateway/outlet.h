/* outlet.h -- the way out to the broker, as the parts of the gateway see it: mqtt_publish(), or a test. */
#ifndef GATEWAY_OUTLET_H
#define GATEWAY_OUTLET_H

#include "mqtt/mqtt.h"

struct outlet {
    /* As mqtt_publish(): on an error done does not run. */
    enum nx_err (*publish)(void *arg, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg);
    void *arg;
};

static inline enum nx_err
outlet_publish(const struct outlet *o, const struct mqtt_publication *pub, mqtt_done_cb *done, void *done_arg)
{
    return o->publish(o->arg, pub, done, done_arg);
}

#endif
