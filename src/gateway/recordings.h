/* recordings.h -- captures that the flight recorder saved when something went wrong: files in one folder.
 *
 * Written on the worker pool, at most one a connection every RECORDINGS_PAUSE_MS; only the newest RECORDINGS_MAX stay.
 * The name says device and time, the file itself the reason. One loop thread; the reading functions any thread. */
#ifndef GATEWAY_RECORDINGS_H
#define GATEWAY_RECORDINGS_H

#include "gateway/engine.h"

#include <jansson.h>

#define RECORDINGS_MAX      100u
#define RECORDINGS_PAUSE_MS 60000u
#define RECORDINGS_EVERY_MS 500u /* for the whole gateway; the caller's business */

/* dir is made when the first capture is written. */
void recordings_save(struct loop *loop, const char *dir, struct nx_link *link, const struct nx_note *why);

/* {recordings: [{name, device_id, time_us, bytes, reason}]}, newest first. New reference. */
json_t *recordings_list_json(const char *dir);
/* One file, free() it. NX_E_NOT_FOUND for any name that is none of ours. */
NX_MUST_CHECK enum nx_err recordings_read(const char *dir, const char *name, char **out, size_t *len,
                                          struct nx_note *why);

#endif
