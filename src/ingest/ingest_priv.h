/* ingest_priv.h -- the ingest service between its own files: ingest.c (life, wiring), batches.c (batch messages, jobs,
 * acknowledgements), writer.c (a job on the worker), foreign.c (tag messages and their spool), status.c (health,
 * metrics). */
#ifndef INGEST_INGEST_PRIV_H
#define INGEST_INGEST_PRIV_H

#include "base/arena.h"
#include "historian/historian.h"
#include "http/http.h"
#include "ingest/dead_letter.h"
#include "ingest/ingest.h"
#include "ingest/ingest_conf.h"
#include "ingest/redelivery.h"
#include "model/batch.h"
#include "model/tagmsg.h"
#include "mqtt/mqtt.h"
#include "obs/log.h"
#include "obs/metrics.h"
#include "spool/spool.h"

#include <uthash.h>

#define POINT_BYTES_QUEUED 16 /* for ingestion.buffer_size */
#define POINT_BYTES_BATCH  8  /* for ingestion.batch_size: what a point costs in a batch message */
#define GATEWAY_MAX        64

/* One batch record on its way. Owned by one job. */
struct item {
    uint8_t *data;
    size_t len;
    char *topic;        /* of the message; NULL: out of our spool */
    uint64_t token;     /* MQTT message to acknowledge */
    uint64_t spool_seq; /* record to free */
    struct nx_note bad; /* err is not 0: it could not be decoded */
    struct batch batch;
};

/* What a gateway is told. */
struct ack {
    struct ack *next;
    char gateway[GATEWAY_MAX + 1];
    struct batch_ack body;
};

/* Items in order; owned by the loop while gathered, by the worker while it runs. */
struct job {
    struct ingest *owner;
    struct item *items;
    size_t count, cap;
    size_t bytes;
    uint64_t since_ms; /* first item */
    /* results */
    struct arena arena; /* decoded batches */
    bool is_decoded;
    enum nx_err err;
    struct nx_note why, upkeep; /* upkeep.err: sealing or expiry failed; nothing is lost */
    struct historian_commit_result result;
    struct ack *acks;
    uint64_t work_ns;
};

enum skip_reason { SKIP_SEQ, SKIP_RETAINED, SKIP_SYSTEM, SKIP_REDELIVERED, SKIP_COUNT };
enum ingest_error { ERROR_PARSE, ERROR_WRITE, ERROR_CONNECTION, ERROR_BUFFER, ERROR_SPOOL, ERROR_COUNT };

struct foreign_topic;

/* Foreign tag messages between their arrival and the spool. */
struct foreign {
    struct spool *spool;
    struct batch_writer *writer;
    struct foreign_topic *topics; /* by topic; number is the writer's key */
    uint32_t topic_count;
    uint64_t *tokens; /* to acknowledge when the record is in the spool */
    size_t token_count, token_cap;
    struct wbuf record; /* encoded and not yet appended: the spool refused it */
    uint32_t record_points;
    size_t record_tokens;
    uint64_t gathered_messages, record_messages;
    struct wbuf scratch;
    struct tagmsg_list messages; /* of the MQTT message at hand */
    struct redelivery *redelivery;
    bool was_cut; /* the power, before this start */
    bool is_away; /* from the broker: no room */
    struct loop_timer timer;
    struct batch_gap gap; /* dropped by the spool and not yet declared; to_seq 0: nothing */
    uint64_t read_next;   /* spool sequence to hand to the next job */
    char gateway[GATEWAY_MAX + 1];
    struct nx_note trouble; /* of the spool; err 0: none */
    uint64_t stored_messages, dropped_points;
};

struct ingest {
    struct http_health health; /* first: see http.h */
    struct loop *loop;
    struct conf *conf_memory;
    struct ingest_conf conf;
    struct log_ctx log;
    char *client_id_tags;
    struct mqtt *batches, *tags;
    struct nx_note batches_why, tags_why;
    struct http_server *http;
    struct dead_letter dead;
    struct foreign foreign;

    /* touched by the running job only */
    struct historian *historian;
    struct nx_note upkeep;
    uint64_t upkeep_at_ns;
    struct job *gathering, *running;
    struct loop_timer flush, retry, tick;
    uint64_t backoff_ms;
    struct nx_note storage; /* err is not 0: the last commit, or the upkeep after it, failed */
    bool is_failing;        /* the last commit failed */
    uint64_t storage_since_ms;
    int64_t newest_us;
    struct ack *unsent; /* acknowledgements that the broker connection had no room for */

    uint64_t batches_total, points_total, duplicate_batches, duplicate_points, quarantined, shed, acks_sent;
    struct metrics *metrics;
    struct metric *m_points, *m_duration, *m_usage, *m_errors[ERROR_COUNT], *m_lag, *m_batches, *m_duplicates,
        *m_skipped[SKIP_COUNT], *m_shed, *m_quarantined;

    bool is_stopping, is_disconnecting, is_stopped;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* batches.c */
void batches_on_message(void *arg, const struct mqtt_message *msg);
void batches_send_acks(struct ingest *g);
/* Starts a job when the writer is free and there is reason to. force: also without one (upkeep). */
void batches_pump(struct ingest *g, bool force);
void job_free(struct job **job);
void item_add(struct job *job, const struct item *item);

/* writer.c: runs on the worker pool. */
void writer_run(void *job);

/* foreign.c */
NX_MUST_CHECK enum nx_err foreign_open(struct ingest *g, struct nx_note *why);
void foreign_close(struct ingest *g);
void foreign_on_message(void *arg, const struct mqtt_message *msg);
/* The connection for tag messages is there (again). */
void foreign_online(struct ingest *g, bool session_present);
/* Appends what was gathered to the spool. */
void foreign_flush(struct ingest *g);
/* Puts waiting spool records into the job until it is full. */
void foreign_fill(struct ingest *g, struct job *job);
void foreign_committed(struct ingest *g, const struct item *item);

/* status.c */
void status_init(struct ingest *g);
void ingest_count_error(struct ingest *g, enum ingest_error type);
/* Counts, samples to the log, keeps in the dead-letter file. */
void ingest_bad_message(struct ingest *g, struct slice topic, struct slice payload, const struct nx_note *why);
void ingest_check_stopped(struct ingest *g);
extern const struct http_route ingest_routes[];

#endif
