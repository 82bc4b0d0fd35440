/* s7_conn.h -- one connection to a CPU: from a name and a port to a negotiated PDU, and messages after that.
 *
 *   CLOSED --open--> CONNECTING --TCP--> ISO --confirm--> SETUP --reply--> UP --lost--> DOWN --close--> CLOSED
 *                        ^                |__refused________|
 *                        |__WAIT <--------|   while there is another slot to try
 *
 * A CPU has few connections: there is never more than one, and the next slot is tried only after the last try is
 * closed. Callbacks of the host may close us from inside: each function of ours that can end in one runs between enter
 * and leave, which holds nx_closed() back, and looks at the state again afterwards. Memory of a message stays until
 * leave. */
#ifndef S7_CONN_H
#define S7_CONN_H

#include "base/wbuf.h"
#include "nexus/driver.h"
#include "s7_codec.h"

#define S7_TSAPS_MAX 8
#define S7_HOST_MAX  256

enum s7_conn_state { S7_CLOSED, S7_WAIT, S7_CONNECTING, S7_ISO, S7_SETTING_UP, S7_UP, S7_DOWN };

struct s7_conn_conf {
    char host[S7_HOST_MAX];
    uint16_t port, local_tsap;
    uint16_t tsaps[S7_TSAPS_MAX]; /* of the CPU, tried in this order */
    unsigned tsap_count;
    unsigned pdu, jobs;  /* asked for */
    uint64_t timeout_ms; /* of each step of the handshake */
};

struct s7_conn_ops {
    void (*on_up)(void *arg);
    void (*on_message)(void *arg, struct slice message); /* borrowed for the call */
    void (*on_idle)(void *arg);                          /* all messages of one piece of data were given */
    void (*on_down)(void *arg, enum nx_err err, const struct nx_note *why); /* the stream is closed already */
};

struct s7_conn {
    struct nx_link *link;
    const struct s7_conn_ops *ops;
    void *arg;
    struct s7_conn_conf conf;
    enum s7_conn_state state;
    unsigned pdu, jobs; /* negotiated */
    unsigned tsap;      /* index of the one that is tried */
    struct nx_stream *stream;
    struct nx_timer *timer;
    struct wbuf rx, message; /* a piece of a packet; TPDUs that are not the last */
    uint16_t tpdu_bytes, ref;
    unsigned depth;
    bool is_closed_due;
};

void s7_conn_open(struct s7_conn *c, struct nx_link *link, const struct s7_conn_conf *conf,
                  const struct s7_conn_ops *ops, void *arg);
/* nx_closed() follows, at the latest when the outermost function is left. */
void s7_conn_close(struct s7_conn *c);
void s7_conn_enter(struct s7_conn *c);
void s7_conn_leave(struct s7_conn *c);
/* Ends an open connection: on_down, no further callback. No-op unless it is being opened or up. */
void s7_conn_fail(struct s7_conn *c, enum nx_err err, const struct nx_note *why);
/* A reference for the next job. */
uint16_t s7_conn_next_ref(struct s7_conn *c);
/* Sends a message of at most the negotiated PDU; when that fails the connection is down afterwards. */
void s7_conn_send(struct s7_conn *c, struct slice message);

#endif
