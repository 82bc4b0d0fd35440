/* s7_faults.h -- what simulated S7 CPUs do wrong on purpose. Pure.
 *
 * Faults of a reply are drawn: of 1,000 replies `rate` suffer one of the `kinds`, chosen at random from the seed.
 * The rest (delay, split, ...) is true of every reply. May be changed while servers run. */
#ifndef SIM_S7_FAULTS_H
#define SIM_S7_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* KIND(name, text) */
#define S7_FAULTS(KIND)                                                                                                \
    KIND(GARBAGE, "garbage")     /* random bytes of the same length */                                                 \
    KIND(TRUNCATED, "truncated") /* the second half of the frame never leaves */                                       \
    KIND(CUT, "cut")             /* a well-formed frame around half of the message */                                  \
    KIND(WRONG_REF, "wrong-ref") /* another PDU reference */                                                           \
    KIND(COUNT, "wrong-count")   /* one item more than the request had */                                              \
    KIND(STALE, "stale")         /* the reply before this one instead */                                               \
    KIND(DUPLICATE, "duplicate") /* the reply twice */                                                                 \
    KIND(LATE, "late")           /* after late_ms; later replies overtake it */                                        \
    KIND(MUTE, "mute")           /* no reply */                                                                        \
    KIND(RST, "rst")             /* RST instead of the reply */                                                        \
    KIND(FIN, "fin")             /* FIN instead of the reply */

enum s7sim_fault {
#define MEMBER(name, text) S7_FAULT_##name,
    S7_FAULTS(MEMBER)
#undef MEMBER
        S7_FAULT_KINDS,
    S7_FAULT_NONE = S7_FAULT_KINDS
};

#define S7_RATE_MAX 1000u

struct s7sim_faults {
    unsigned kinds; /* bits by enum s7sim_fault */
    unsigned rate;  /* of S7_RATE_MAX */
    uint64_t seed;
    uint64_t drawn[S7_FAULT_KINDS + 1]; /* replies by what they suffered; the last: good ones */
    unsigned delay_ms, late_ms;
    unsigned coalesce_ms; /* replies wait so long for others and leave in one write */
    unsigned tpdu_bytes;  /* replies leave in fragments of this size; 0: as the client asked */
    bool is_split;        /* byte by byte, a turn of the loop between two */
    bool is_refusing;     /* connections are closed as soon as they are accepted */
    bool is_half_open;    /* takes connections and bytes and never says anything more */
};

/* Sets one by name: a kind ("garbage on"), "fault-rate", "seed", "delay-ms", "late-ms", "coalesce-ms", "tpdu-bytes"
 * with a number, "split", "refuse", "half-open" with on or off. A kind that is switched on while the rate is 0 hits
 * every reply. "none" clears all. False when there is no such name or the value cannot be. */
bool s7sim_faults_set(struct s7sim_faults *f, const char *name, const char *value);
/* What the next reply suffers. */
enum s7sim_fault s7sim_faults_draw(struct s7sim_faults *f);
/* Spoils a reply message (S7comm, without framing) in place; its new length. */
size_t s7sim_faults_spoil(struct s7sim_faults *f, enum s7sim_fault kind, uint8_t *message, size_t len);
/* How long a LATE reply waits: late_ms, or a second. */
unsigned s7sim_faults_late_ms(const struct s7sim_faults *f);

#endif
