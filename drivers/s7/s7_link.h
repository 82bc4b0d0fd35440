/* s7_link.h -- the operations of all devices on one connection: whose turn it is, which jobs are on the way, which
 * reply belongs to which.
 *
 * Writes go before reads, then higher op.priority; operations of the same rank take turns, job by job. There are never
 * more jobs on the way than the CPU has agreed to. A reply finds its job by its reference; references of cancelled jobs
 * are remembered, so that their late replies are known for what they are. */
#ifndef S7_LINK_H
#define S7_LINK_H

#include "s7_conn.h"
#include "s7_learned.h"
#include "s7_plan.h"
#include "s7_write.h"

#define S7_JOBS_MAX    16u
#define S7_EXPIRED_MAX 32u

/* What an operation of the host is for us. First member of struct s7_read and struct s7_writing. */
struct s7_run {
    struct nx_op *op;
    struct s7_run *prev, *next; /* in s7_link.reads or .writes, higher priority first */
    unsigned in_flight;
};

/* Lives in the plan memory of its read list. */
struct s7_read {
    struct s7_run run;
    struct s7_plan plan;
    uint32_t next_request;
    struct s7_part *again; /* halves of split blocks, and probes: asked before the next request */
    uint32_t again_count;
    bool is_undecided; /* an item was neither read nor refused in this poll */
};

struct s7_writing {
    struct s7_run run;
    struct s7_write write; /* ends in its data: last member */
};

/* A job on the way. */
struct s7_job {
    struct s7_run *run; /* NULL: cancelled, the CPU still works on it */
    bool is_used;
    uint16_t ref;
    uint32_t n; /* parts of a read */
    struct s7_part parts[S7_ITEMS_MAX];
};

struct s7_link {
    struct s7_conn conn;
    struct s7_run *reads, *writes;
    struct s7_job jobs[S7_JOBS_MAX];
    unsigned live, strikes; /* live: jobs with a run */
    uint16_t expired[S7_EXPIRED_MAX];
    unsigned expired_count; /* ever; the ring holds the last S7_EXPIRED_MAX */
};

struct s7_device {
    struct nx_dev *dev;
    struct s7_limits limits; /* pdu: of the last connection, or less when the CPU did not keep it */
    uint64_t probe_ms;
    struct s7_learned learned;
};

extern const struct s7_conn_ops s7_link_conn_ops;

/* Takes an operation into the order of the link. */
void s7_link_add(struct s7_link *l, struct s7_run *run);
/* Ends an operation: its jobs on the way are no longer wanted. */
void s7_link_finish(struct s7_link *l, struct s7_run *run, enum nx_err err, const struct nx_note *why);
void s7_link_finish_all(struct s7_link *l, enum nx_err err, const struct nx_note *why);
/* Sends what may be sent, ends what has nothing left to wait for. */
void s7_link_pump(struct s7_link *l);

/* --- reads (s7_read.c) --- */

/* Compiles the plan of a read list when there is none for the present PDU. */
struct s7_read *s7_read_of(struct s7_device *d, struct nx_read *rd);
/* Begins a poll. */
void s7_read_start(struct s7_device *d, struct s7_read *r);
/* The parts of the next job; 0: everything was asked. */
uint32_t s7_read_next(struct s7_read *r, struct s7_part parts[S7_ITEMS_MAX]);
/* The reply to a job; may end the operation. */
void s7_read_reply(struct s7_link *l, struct s7_read *r, const struct s7_job *job, const struct s7_reply *reply,
                   const struct s7_result *results);
/* A job was answered with nonsense. */
void s7_read_failed(struct s7_read *r, const struct s7_job *job, enum nx_err err, const struct nx_note *why);
/* The poll is complete: learns what there is to learn. */
void s7_read_end(struct s7_device *d, struct s7_read *r);
/* Tells the host what was learned, when something has changed. */
void s7_device_learned(struct s7_device *d);
/* "DB1.DBD4 was refused by the CPU: code 05, address out of range ..." */
enum nx_err s7_refusal(struct nx_note *why, const struct s7_addr *addr, unsigned code, const char *what);

static inline struct s7_device *
s7_run_device(const struct s7_run *run)
{
    return nx_dev_state(run->op->dev);
}

static inline struct nx_read *
s7_run_read(const struct s7_run *run)
{
    return (struct nx_read *)(void *)run->op;
}

/* --- for people (s7_explain.c) --- */

nx_explain_f s7_explain;
nx_dissect_f s7_dissect;

#endif
