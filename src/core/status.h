/* status.h -- states of devices and gateways as their gateways report them (retained messages).
 *
 * Written on the loop thread, read by any thread; one mutex. A device whose gateway is not online is shown as unknown:
 * its last state is old news. Bounds: STATUS_MAX devices and as many gateways, messages of at most 64 KiB. */
#ifndef CORE_STATUS_H
#define CORE_STATUS_H

#include "base/arena.h"
#include "base/slice.h"
#include "nexus/err.h"

#include <jansson.h>

#define STATUS_MAX 100000

enum status_kind { STATUS_DEVICE, STATUS_GATEWAY };

struct status;

struct status *status_new(void);
void status_free(struct status **s);

/* Takes a message {status, last_seen, last_error, since, gateway, stats}; an empty one forgets the id. Loop thread.
 * NX_E_PROTO with a note for anything else. */
NX_MUST_CHECK enum nx_err status_put(struct status *s, enum status_kind kind, const char *id, struct slice payload,
                                     struct nx_note *why);

/* DeviceStatus of openapi.yaml; new reference, never NULL. is_enabled false shows "disabled". */
json_t *status_device(struct status *s, const char *id, bool is_enabled);
/* Array of Gateway of openapi.yaml; new reference. */
json_t *status_gateways(struct status *s);
/* How many gateways are online, and how many there are. */
void status_count_gateways(struct status *s, unsigned *online, unsigned *all);

#endif
