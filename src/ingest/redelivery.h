/* redelivery.h -- which messages of the broker we have taken already, across kill -9.
 *
 * A broker sends a QoS 1 message again (DUP set, packet id kept) when our acknowledgement has not reached it, and it
 * cannot know that the message is in our spool. So the packet id and a hash of topic and payload of the last 8,192
 * messages are kept: in memory, and in a file of 32 bytes a message beside the spool. An entry names the spool record
 * that holds its message and is written just before that record is appended; at the next start entries of records that
 * the spool never got are thrown away. Together the two writes are all or nothing for whatever kills the process; after
 * a power cut nobody knows and everything is forgotten.
 *
 * Exact with brokers that count packet ids upwards (an id is used again after 65,535 messages, long after its entry).
 * With one that gives an id out again at once, a message that equals its predecessor in topic, payload and id and was
 * delivered but not yet taken when we died is mistaken for it. Without a writable file only the process's own memory
 * counts. One thread. */
#ifndef INGEST_REDELIVERY_H
#define INGEST_REDELIVERY_H

#include "base/slice.h"
#include "nexus/err.h"

struct redelivery;

enum redelivery_answer {
    REDELIVERY_NEW,
    REDELIVERY_PENDING, /* taken by this process, not yet in the spool */
    REDELIVERY_STORED,  /* in the spool, or already out of it */
};

/* broker: names the broker and the session; ids of another one mean nothing. next_seq: of the spool, now. Never NULL;
 * why->err is not 0 when the file cannot be used. */
struct redelivery *redelivery_open(const char *path, const char *broker, uint64_t next_seq, struct nx_note *why);
void redelivery_close(struct redelivery **r);
/* The broker has lost the session, or power was cut. */
void redelivery_forget(struct redelivery *r);

uint64_t redelivery_hash(const struct redelivery *r, struct slice topic, struct slice payload);
/* next_seq: of the spool, now. */
enum redelivery_answer redelivery_find(const struct redelivery *r, uint16_t packet_id, uint64_t hash,
                                       uint64_t next_seq);
/* Taken, pending. */
void redelivery_add(struct redelivery *r, uint16_t packet_id, uint64_t hash);
/* Everything pending goes into record seq, which is appended next. NX_E_IO: the file is of no use any more and was
 * emptied; a message that comes again after a kill is then stored again. */
NX_MUST_CHECK enum nx_err redelivery_save(struct redelivery *r, uint64_t seq, struct nx_note *why);

#endif
