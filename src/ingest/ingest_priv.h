/* ingest_priv.h -- the ingest service between its own files: ingest.c (life, wiring), batches.c (batch messages, the
 * queue), writers.c (who stores what, results), writer.c (a job on a writer's thread), refused.c (batches that the
 * database refuses), acks.c (acknowledgements), foreign.c (tag messages and their spool), status.c (health, metrics).
 */
#ifndef INGEST_INGEST_PRIV_H
#define INGEST_INGEST_PRIV_H

#include "base/arena.h"
#include "historian/historian.h"
#include "http/http.h"
#include "ingest/dead_letter.h"
#include "ingest/ingest.h"
#include "ingest/ingest_conf.h"
#include "ingest/redelivery.h"
#include "ingest/refused.h"
#include "model/batch.h"
#include "model/tagmsg.h"
#include "mqtt/mqtt.h"
#include "obs/log.h"
#include "obs/metrics.h"
#include "spool/spool.h"

#include <uthash.h>

#define POINT_BYTES_QUEUED 16 /* for ingestion.buffer_size */
#define GATEWAY_MAX        64
#define RECEIVE_BATCHES    256 /* batch messages that the broker leaves with us unacknowledged */

/* What names a batch. The unused bytes of gateway are zero. */
struct batch_id {
    uint64_t epoch, seq;
    uint32_t lane, gateway_len;
    char gateway[GATEWAY_MAX];
};

/* One batch record on its way. Owned by the queue or by one job. */
struct item {
    struct item *prev, *next;
    UT_hash_handle hh; /* of ingest.known, by id; is_known */
    struct batch_id id;
    bool is_known;
    uint8_t *data;
    size_t len;
    uint32_t points;    /* as its header says */
    char *topic;        /* of the message; NULL: out of our spool */
    uint64_t token;     /* MQTT message to acknowledge */
    uint64_t spool_seq; /* record to free */
    struct nx_note bad; /* err is not 0: it could not be decoded */
    bool is_refused;    /* by the database: kept in a file, batch is a gap now, bad says why */
    bool is_done;       /* it is in the historian */
    struct batch batch;
};

/* What a gateway is told. */
struct ack {
    struct ack *next;
    char gateway[GATEWAY_MAX + 1];
    struct batch_ack body;
};

/* Items in order of arrival; owned by the loop, or by a writer's thread while it runs. */
struct job {
    struct job *next;
    struct writer *writer; /* that has it */
    struct item *items;
    size_t count, bytes;
    uint64_t points;
    uint64_t since_ms;    /* since when something waits */
    unsigned attempts;    /* that failed */
    uint64_t retry_at_ms; /* not before */
    /* results */
    struct arena arena; /* decoded batches */
    bool is_decoded;
    enum nx_err err;
    struct nx_note why;
    struct historian_commit_result result;
    struct ack *acks;
    unsigned refused_batches, refused_points;
    uint64_t work_ns;
};

/* A thread with a historian object of its own. */
struct writer {
    struct ingest *owner;
    struct loop_worker *thread;
    struct historian *historian; /* touched by the thread while a job runs */
    struct job *job;             /* being stored; NULL: idle */
    uint64_t began_ms;           /* its start */
    struct loop_timer retry;     /* runs: idle after a failure */
    uint64_t backoff_ms;         /* 0: its last job was stored */
    uint64_t points, failures;   /* stored; transactions that failed */
};

/* Seals, makes partitions, deletes what is too old: on a thread of its own, beside the writers. */
struct keeper {
    struct loop_worker *thread;
    struct historian *historian;
    struct loop_timer timer;
    bool is_running;
    uint64_t began_ms;
    struct nx_note now, result; /* under way; err is not 0: the last one failed, nothing is lost */
    struct damaged {
        unsigned files; /* set aside by the historian */
        struct nx_note what;
    } damaged_now, damaged; /* under way; as last seen */
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
    char *historian_url, *historian_shown; /* what to open; the same for people */
    struct mqtt *batches, *tags;
    struct nx_note batches_why, tags_why;
    struct http_server *http;
    struct dead_letter dead;
    struct foreign foreign;

    struct writer *writers;
    unsigned writer_count;
    struct keeper keeper;
    struct refused refused;
    struct job *queue;       /* arrived, and not taken by a writer; never NULL while open */
    struct job *returned;    /* could not be stored and wait to be tried again */
    struct item *known;      /* batches in the queue and in jobs, by id */
    uint64_t held_bytes;     /* of all of them */
    uint64_t held_points;    /* of all of them */
    uint64_t cap_points;     /* of a transaction: moved towards COMMIT_TARGET */
    struct loop_timer flush; /* the next thing is due */
    struct loop_timer tick;
    struct nx_note storage; /* err is not 0: no writer can store */
    uint64_t storage_since_ms;
    struct nx_note stuck; /* err is not 0: no transaction ends */
    bool is_listening;    /* subscribed to the gateways' batches: only while the historian takes them */
    int64_t newest_us;
    uint64_t shed_tokens[4 * RECEIVE_BATCHES]; /* content was let go; acknowledged when there is room again */
    size_t shed_count;
    struct ack *unsent; /* acknowledgements that the broker connection had no room for */

    uint64_t batches_total, points_total, duplicate_batches, duplicate_points, quarantined, shed, acks_sent;
    uint64_t repeated, refused_batches, refused_points, retries;
    struct metrics *metrics;
    struct metric *m_points, *m_duration, *m_usage, *m_errors[ERROR_COUNT], *m_lag, *m_batches, *m_duplicates,
        *m_skipped[SKIP_COUNT], *m_shed, *m_quarantined, *m_repeated, *m_refused, *m_retries, *m_busy, *m_damaged;

    bool is_stopping, is_disconnecting, is_stopped;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* batches.c */
/* The gateway of ".../batch/{gateway}/{lane}"; empty: the topic is another one. */
struct slice batch_topic_gateway(struct slice topic);
void batches_on_message(void *arg, const struct mqtt_message *msg);
/* Items of the pool of all: item_add takes over what it points to. */
void item_add(struct ingest *g, struct job *job, const struct item *item);
struct job *job_new(struct ingest *g);
void job_free(struct ingest *g, struct job **job);
/* The next transaction when one is due; NULL: nothing is. */
struct job *batches_take(struct ingest *g);
/* When batches_take() will have something; UINT64_MAX: not before more arrives. */
uint64_t batches_due_ms(const struct ingest *g);
/* Part of the buffer in use. */
double batches_usage(const struct ingest *g);
/* Acknowledges what was shed when there is room again. */
void batches_readmit(struct ingest *g);

/* acks.c */
/* Adds a stretch of committed numbers to the acknowledgement of its gateway and lane in the list. */
void acks_add(struct ack **acks, const struct batch_header *hdr, struct batch_range range);
/* Takes the acknowledgements over and sends what the connection takes. */
void acks_send(struct ingest *g, struct ack **acks);
void acks_free(struct ack **acks);

/* writers.c */
NX_MUST_CHECK enum nx_err writers_open(struct ingest *g, struct nx_note *why);
void writers_close(struct ingest *g);
/* Starts what is due on every writer that is free. */
void writers_pump(struct ingest *g);
void writers_stop(struct ingest *g);
bool writers_are_idle(const struct ingest *g);
/* Listens to the gateways while the historian takes values, and not while it does not. */
void writers_listen(struct ingest *g);
/* err is not 0: values or upkeep do not get through. */
const struct nx_note *writers_trouble(const struct ingest *g);
json_t *writers_status(const struct ingest *g);
uint64_t writers_next_cap(uint64_t cap, uint64_t points, uint64_t work_ns, uint64_t batch_size);

/* writer.c: runs on the writer's thread. */
void writer_run(void *job);
NX_MUST_CHECK enum nx_err writer_open(struct ingest *g, struct historian **h, enum historian_role role,
                                      struct nx_note *why);
void keeper_run(void *ingest);

/* foreign.c */
NX_MUST_CHECK enum nx_err foreign_open(struct ingest *g, struct nx_note *why);
void foreign_close(struct ingest *g);
void foreign_on_message(void *arg, const struct mqtt_message *msg);
/* The connection for tag messages is there (again). */
void foreign_online(struct ingest *g, bool session_present);
/* Appends what was gathered to the spool. */
void foreign_flush(struct ingest *g);
/* Puts waiting spool records into the job until it holds max_points. */
void foreign_fill(struct ingest *g, struct job *job, uint64_t max_points);
bool foreign_is_waiting(const struct ingest *g);
void foreign_committed(struct ingest *g, const struct item *item);

/* status.c */
void status_init(struct ingest *g);
void ingest_count_error(struct ingest *g, enum ingest_error type);
/* Counts, samples to the log, keeps in the dead-letter file. */
void ingest_bad_message(struct ingest *g, struct slice topic, struct slice payload, const struct nx_note *why);
void ingest_check_stopped(struct ingest *g);
extern const struct http_route ingest_routes[];

#endif
