/* ingest.h -- `nexus ingest`: batches and foreign tag messages from the broker into the historian.
 *
 * Two connections to the broker. The first shares the batches of all gateways with other instances; its session is
 * clean, because a gateway sends again whatever was not committed. A batch is acknowledged to its gateway
 * (nexus/v1/ack/{gateway}) after the historian has it, and again whenever it comes again. The second takes foreign tag
 * messages with a persistent session: they are appended to a spool of our own, then acknowledged to the broker, and
 * stored from the spool as numbered batches of the pseudo-gateway foreign.{client_id}, so what is in the spool is
 * stored once. A message that the broker delivers again, because our acknowledgement has not reached it, is recognised
 * by its packet id and content (redelivery.h); only after a power cut by its time alone. A value without a time gets
 * the time of its arrival.
 *
 * One loop thread, and ingestion.writer_count writers, each a thread with a historian object of its own (SQLite: one),
 * so that a database that blocks stops nothing else; upkeep has another one where the store can be kept beside its
 * writers. A free writer gets what is due: ingestion.batch_size points, or what has waited for
 * ingestion.flush_interval; more while transactions stay quick. What cannot be stored now is tried by another writer,
 * then again for ever; nothing of it is acknowledged. What the database refuses is divided until the batch is found
 * that is to blame: that one is kept whole in {buffer.disk_path}/refused, declared as a gap in the ledger, and
 * acknowledged.
 *
 * Bounds: ingestion.buffer_size in memory, the spool (buffer.disk_limit). Beyond the buffer batches are let go and
 * their messages stay unacknowledged, so the broker's window closes and others of the same shared subscription get what
 * comes. An instance whose historian does not take values does not listen at all. */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "conf/conf.h"
#include "loop/loop.h"
#include "nexus/err.h"

struct ingest;

extern const struct conf_row ingest_conf_rows[];
/* Top-level sections of the deployment's file that belong to other services. Ends with NULL. */
extern const char *const ingest_conf_foreign[];

/* Reads the settings, starts the log, opens spool, historian and admin port, and begins to connect. A historian that
 * cannot be opened just now is tried again; wrong settings fail here. */
NX_MUST_CHECK enum nx_err ingest_open(struct ingest **out, struct loop *loop, const struct conf_source *src,
                                      struct nx_note *why);
/* Ends what is under way; stopped runs once, later. */
void ingest_stop(struct ingest *g, void (*stopped)(void *arg), void *arg);
/* After stopped. *g is NULL on return. */
void ingest_free(struct ingest **g);

#endif
