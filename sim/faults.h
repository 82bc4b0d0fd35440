/* faults.h -- what simulated Modbus devices do wrong on purpose. One thread.
 *
 * Faults of a reply are drawn: `rate` of 1,000 replies suffer one of the `kinds`, chosen at random from the seed. The
 * rest (delay, limits, missing registers, ...) holds for every reply. One struct for all devices of the process; it may
 * be changed while they run. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* KIND(name, text, help). What the framing does not have (a CRC on TCP, a transaction on RTU) is never drawn. */
#define FAULTS(KIND)                                                                                                   \
    KIND(SPLIT, "split", "replies leave byte by byte")                                                                 \
    KIND(LATE, "late", "replies leave late-ms later; those behind overtake")                                           \
    KIND(MUTE, "mute", "no reply")                                                                                     \
    KIND(GARBAGE, "garbage", "random bytes instead of replies")                                                        \
    KIND(TRUNCATED, "truncated", "the second half never leaves")                                                       \
    KIND(OVERSIZE, "oversize", "random bytes behind replies")                                                          \
    KIND(DUPLICATE, "duplicate", "replies leave twice")                                                                \
    KIND(STALE, "stale", "the reply before it instead")                                                                \
    KIND(FIN, "fin", "half a reply, then the connection ends")                                                         \
    KIND(RST, "rst", "half a reply, then the connection is reset")                                                     \
    KIND(WRONG_TID, "wrong-tid", "another transaction identifier")                                                     \
    KIND(WRONG_UNIT, "wrong-unit", "another unit identifier")                                                          \
    KIND(WRONG_FC, "wrong-fc", "another function code")                                                                \
    KIND(WRONG_COUNT, "wrong-count", "a byte count that does not fit the data")                                        \
    KIND(BAD_CRC, "bad-crc", "RTU: a check sum that does not fit")                                                     \
    KIND(STORM, "storm", "a random exception instead of the reply")                                                    \
    KIND(BUSY, "busy", "exception 6 instead of the reply")

enum fault {
#define MEMBER(name, text, help) FAULT_##name,
    FAULTS(MEMBER)
#undef MEMBER
        FAULT_KINDS,
    FAULT_NONE = FAULT_KINDS
};

#define FAULT_BIT(name) (1u << FAULT_##name)
#define FAULT_NO_REG    65536u /* no such register */

struct faults {
    unsigned kinds; /* bits by enum fault */
    unsigned rate;  /* of 1000 */
    uint64_t seed;
    uint64_t drawn[FAULT_KINDS + 1]; /* replies by what they suffered; the last: good ones */
    unsigned delay_ms, jitter_ms;    /* every reply waits delay_ms and up to jitter_ms more */
    unsigned late_ms;
    unsigned is_refusing;   /* connections are closed as soon as they are accepted */
    unsigned is_half_open;  /* connections are taken and never read */
    unsigned stop_after;    /* a connection is not read any more after so many requests; 0: always read */
    unsigned max_conns;     /* more are closed at once; 0: any number */
    unsigned max_regs;      /* a request for more registers (or 16 times as many bits) gets exception 3; 0: any */
    unsigned exception_reg; /* a request that touches this address gets exception 2 */
    unsigned vanish_reg;    /* this address and all behind it are missing: exception 2 */
    unsigned move;          /* what was at register r is at r + move; the first ones are missing */
    uint32_t dead[8];       /* units that never answer, as a bitmap */
};

void faults_init(struct faults *f, uint64_t seed);
/* Sets one by name; value NULL: on. "none" clears all. False when there is no such name or the value cannot be. */
bool faults_set(struct faults *f, const char *name, const char *value);
/* Name, argument (NULL: none needed) and help of the i-th; false behind the last. */
bool faults_describe(unsigned i, const char **name, const char **argument, const char **help);
/* What the next reply suffers; possible: the kinds that its framing has. */
enum fault faults_draw(struct faults *f, unsigned possible);
/* Nothing is wrong with replies and nothing delays them. */
bool faults_spare_replies(const struct faults *f);
bool faults_unit_is_dead(const struct faults *f, unsigned unit);
/* 0 to n - 1, n > 0. */
unsigned faults_random(struct faults *f, unsigned n);

#endif
