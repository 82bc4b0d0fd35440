/* ingest_fixture.h -- ingestion on a fake loop for tests; the MQTT client is scripted: ingest_fixture.c stands in for
 * mqtt/client.c. */
#ifndef INGEST_INGEST_FIXTURE_H
#define INGEST_INGEST_FIXTURE_H

#include "base/mem.h"
#include "historian/historian.h"
#include "ingest/ingest.h"
#include "model/batch.h"
#include "mqtt/mqtt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define START (INT64_C(1700000000) * 1000000)

struct mqtt {
    struct mqtt_ops ops;
    void *arg;
    enum mqtt_state state;
    struct mqtt_stats stats;
    char filters[4][128];
    unsigned filter_count;
    uint64_t acked[2048];
    unsigned acked_count;
    char published[64][256], published_on[64][128];
    unsigned published_count;
    bool is_offline;
};

extern struct mqtt *clients[2]; /* batches, tags */
extern unsigned client_count;

struct fixture {
    char dir[64], disk[96], url[96];
    struct loop *loop;
    struct ingest *g;
    bool is_stopped;
};

int setup(void **state);
int teardown(void **state);
void open_ingest(struct fixture *f, const char *extra);
void on_stopped(void *fixture);
void close_ingest(struct fixture *f, bool in_order);
/* Lets time pass, then everything that is due run. */
void run(struct fixture *f, uint64_t ms);
void receive(struct mqtt *m, const char *topic, struct slice payload, uint64_t token, bool retain);
/* A batch of gateway "gw", epoch 7, lane 0, with so many points of uns/a at times of their own. */
void receive_batch_of(const char *topic, uint64_t seq, uint64_t token, unsigned points);
void receive_batch(const char *topic, uint64_t seq, uint64_t token);
/* Points of a topic in the historian. */
unsigned stored(struct fixture *f, const char *topic);

#endif
