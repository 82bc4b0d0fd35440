/* s7_cpu.h -- one simulated S7 CPU: what it answers to S7comm messages, with the limits that real ones have.
 *
 * Setup (F0) negotiates the PDU length and the parallel jobs; read (04) and write (05) take up to 20 items and refuse
 * with 8500 what does not fit the PDU, in both directions; an item that fails has its own code (03 protected, 05
 * outside, 06 type, 07 type of data, 0A no such block) and the garbage length of real CPUs. Whatever else a client asks
 * for gets 8104, but for the few lists (SZL) that clients read when they connect. Pure but for the memory. One thread.
 */
#ifndef SIM_S7_CPU_H
#define SIM_S7_CPU_H

#include "sim/s7_memory.h"
#include "sim/s7_wire.h"

#include <stddef.h>

#define S7_ITEMS_MAX 79u /* more do not fit a request of 960 bytes */
#define S7_PDU_MIN   64u /* a client that wants less is refused */

enum s7sim_error {
    S7_E_RESOURCES = 0x8300, /* more jobs at once than negotiated */
    S7_E_SERVICE = 0x8400,   /* a request that cannot be read */
    S7_E_PDU = 0x8500,       /* request or reply over the PDU length, or too many items */
    S7_E_FUNCTION = 0x8104,  /* unknown function, or PUT/GET is off */
    S7_E_PASSWORD = 0xD241
};

struct s7sim_cpu_conf {
    const char *model;
    unsigned pdu_bytes, jobs_max; /* the most that it negotiates */
    unsigned items_max;           /* of one read or write; 0: what the PDU holds */
    unsigned connections_max;     /* 0: no limit */
    unsigned rack, slot;
    bool is_any_slot; /* takes every TSAP */
    bool is_put_get_off, needs_password;
};

/* Bytes of a data block that give an item error: a hole in the layout. code 0: none. */
struct s7sim_hole {
    unsigned db;
    uint32_t first, last;
    uint8_t code;
};

struct s7sim_cpu {
    struct s7sim_cpu_conf conf;
    struct s7sim_memory memory;
    struct s7sim_hole hole;
    unsigned connections;
    uint64_t requests, items, refused; /* messages, items answered well, messages with a header error */
};

/* One connection of a client. */
struct s7sim_session {
    unsigned pdu_bytes, jobs_max; /* 0 before setup */
    unsigned jobs_open;           /* answers that have not left yet; kept by the server */
};

/* Limits of the models "s7-300", "s7-400", "s7-1200", "s7-1500"; false when there is no such model. */
bool s7sim_cpu_model(const char *name, struct s7sim_cpu_conf *out);
/* Does the CPU take a connection to this TSAP? */
bool s7sim_cpu_accepts(const struct s7sim_cpu *cpu, unsigned tsap);
/* Answers one message (len bytes at in) into out; its length, or 0 when a CPU would drop the connection. */
size_t s7sim_cpu_answer(struct s7sim_cpu *cpu, struct s7sim_session *s, const uint8_t *in, size_t len,
                        uint8_t out[S7_PDU_MAX]);

#endif
