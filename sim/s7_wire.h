/* s7_wire.h -- the bytes of ISO-on-TCP (RFC 1006, ISO 8073 class 0) and of S7comm as the CPU's side sees them. Pure.
 * Shares no code with drivers/. */
#ifndef SIM_S7_WIRE_H
#define SIM_S7_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define S7_PDU_MAX     960u  /* the largest that a CPU negotiates */
#define S7_FRAME_MAX   1200u /* one TPKT */
#define S7_TPDU_HEADER 7u    /* TPKT and the head of a DT TPDU */

/* --- ISO-on-TCP --- */

enum s7sim_tpdu_kind { S7_TPDU_CONNECT = 0xE0, S7_TPDU_CONFIRM = 0xD0, S7_TPDU_REFUSE = 0x80, S7_TPDU_DATA = 0xF0 };

struct s7sim_tpdu {
    unsigned kind;
    bool is_last;     /* of a message (EOT) */
    const uint8_t *p; /* DATA: the payload. CONNECT: behind its kind */
    size_t len;
};

/* The first frame of in: its whole length; 0: more bytes are needed; -1: that is no ISO-on-TCP. */
int s7sim_tpdu_read(const uint8_t *in, size_t len, struct s7sim_tpdu *out);

struct s7sim_connect {
    unsigned source_ref, source_tsap, tsap; /* tsap: type << 8 | rack * 32 + slot */
    unsigned tpdu_bytes;                    /* the largest TPDU that the client takes */
};

bool s7sim_connect_read(const struct s7sim_tpdu *tpdu, struct s7sim_connect *out);
/* Both write a whole frame and return its length. */
size_t s7sim_connect_confirm(const struct s7sim_connect *c, uint8_t out[S7_FRAME_MAX]);
size_t s7sim_connect_refuse(const struct s7sim_connect *c, unsigned reason, uint8_t out[S7_FRAME_MAX]);
/* Puts a message into DT TPDUs of at most tpdu_bytes; out has room for 8 * S7_PDU_MAX; returns its length. */
size_t s7sim_data_frames(const uint8_t *message, size_t len, unsigned tpdu_bytes, uint8_t *out);

/* --- S7comm --- */

enum s7sim_rosctr { S7_JOB = 1, S7_ACK = 2, S7_ACK_DATA = 3, S7_USERDATA = 7 };

struct s7sim_message {
    unsigned kind, ref;
    const uint8_t *params, *data;
    size_t params_len, data_len;
};

bool s7sim_message_read(const uint8_t *in, size_t len, struct s7sim_message *out);
/* Header of 12 bytes (10 of USERDATA) in front of parameters and data that are in place; returns its length. */
size_t s7sim_header_write(uint8_t *out, unsigned kind, unsigned ref, size_t params_len, size_t data_len,
                          unsigned error);

enum s7sim_transport {
    S7_BIT = 1,
    S7_BYTE,
    S7_CHAR,
    S7_WORD,
    S7_INT,
    S7_DWORD,
    S7_DINT,
    S7_REAL,
    S7_COUNTER = 0x1C,
    S7_TIMER = 0x1D
};

/* Item of a read or write request: 12 0A 10 transport count(2) DB(2) area address(3). */
struct s7sim_item {
    bool is_any; /* else of a kind that the simulator does not know */
    unsigned transport, count, db, area, address;
};

/* The item at in: its length; 0 when it is cut off. */
size_t s7sim_item_read(const uint8_t *in, size_t len, struct s7sim_item *out);
/* Bytes of one element; 0: unknown. */
unsigned s7sim_element_bytes(unsigned transport);
/* Transport of the data in a reply, and whether its length counts bits. */
unsigned s7sim_data_transport(unsigned transport);
bool s7sim_data_counts_bits(unsigned data_transport);

#endif
