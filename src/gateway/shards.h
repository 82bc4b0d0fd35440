/* shards.h -- further I/O threads of a gateway (`polling.threads`).
 *
 * A shard is a gateway of its own for a part of the devices: its own thread and loop, connection to the broker, spool
 * and lane. Nothing is shared between threads; what crosses them are messages that carry ownership (loop_post). The
 * first shard, the head, is the gateway that gateway_open() gives: it alone reads the configuration, says which shard
 * has which device, serves the admin port and speaks for the whole.
 *
 * Which shard: by hash of the connection, so that devices on one connection stay together. Spools of earlier runs with
 * more threads are served by shards without devices until they are empty. All functions: the head's thread. */
#ifndef GATEWAY_SHARDS_H
#define GATEWAY_SHARDS_H

#include "gateway/gateway_priv.h"

struct shards;

/* Starts the threads; each reports back once it polls. NX_E_IO and the errors of the spool, with why. */
NX_MUST_CHECK enum nx_err shards_start(struct gateway *head, unsigned count, struct nx_note *why);
/* How many the configuration asks for, or more when there are spools to empty. */
unsigned shards_count(const struct gateway_conf *conf);
/* Ends them in order; done runs when all threads have ended. */
void shards_stop(struct shards *s, void (*done)(void *arg), void *arg);
void shards_free(struct shards **s);

/* The shard that a device belongs to; 0 is the head. Devices that expressions connect belong to the head, where they
 * see each other: moved() is called for each one that was placed before an expression named it; NULL: this is only a
 * question. */
unsigned shards_place(struct shards *s, const struct device *d, void (*moved)(void *arg, const char *id), void *arg);
/* A definition, a refusal of a newer one, or the end of a device, for the shard that has it. is_moved: it goes on in
 * another shard, its status stays. */
void shards_put(struct shards *s, unsigned shard, const struct device *d);
void shards_refuse(struct shards *s, unsigned shard, const char *id, const char *reason);
void shards_remove(struct shards *s, unsigned shard, const char *id, bool is_moved);

/* What all the others have counted, added to what is in t. At most a second old. */
void shards_add_totals(const struct shards *s, struct gateway_totals *t);

/* Runs work(gateway, arg) on each shard in turn, the head first, then done(arg) on the head. only: this shard alone;
 * -1: all. A shard that ends meanwhile is passed over. */
void shards_visit(struct gateway *head, int only, void (*work)(struct gateway *g, void *arg), void (*done)(void *arg),
                  void *arg);

#endif
