/* loop.h -- the event loop: time, timers, work on other threads, streams. The only header that stands for libuv.
 *
 * One loop per thread, nothing shared. Rules:
 *  - Callbacks never run inside the call that registered them.
 *  - A due timer may start itself again. Stop is idempotent. After a close only the closed callback runs.
 *  - loop_post() is the only call that other threads may make; what it carries changes owner.
 * loop_new() runs on libuv and the real clock; loop_fake_new() has virtual time and scripted streams for tests. */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/slice.h"
#include "nexus/err.h"

struct loop;

/* --- life --- */
/* Ignores SIGPIPE in the whole process: a peer that is gone ends its stream with a reason, not the program. */
struct loop *loop_new(void);
/* Runs what is left to close, then frees; *loop is NULL afterwards. Timers and streams of users must be stopped. */
void loop_free(struct loop **loop);
/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
/* Ends loop_run() after the present turn. Loop thread. */
void loop_stop(struct loop *loop);
/* The libuv loop (uv_loop_t *) for libraries that bring their own integration (libwebsockets). NULL for a fake loop. */
void *loop_uv(struct loop *loop);

/* --- time --- */
/* Monotonic; cached once per turn. */
uint64_t loop_now_ms(struct loop *loop);
/* Monotonic, fresh, in nanoseconds; for measuring. */
uint64_t loop_now_ns(struct loop *loop);
/* Wall clock in microseconds since 1970; cached once per turn. */
int64_t loop_wall_us(struct loop *loop);

/* --- timers: embed, zero-initialise, keep alive while running --- */
struct loop_timer;
typedef void loop_timer_cb(struct loop_timer *t, void *arg);
struct loop_timer {
    struct loop_timer **link, *next; /* private: slot list of the wheel; link is NULL when not running */
    struct loop *loop;
    loop_timer_cb *cb;
    void *arg;
    uint64_t due_ms;
    uint64_t period_ms; /* 0: one shot */
};
/* (Re)starts: fires after delay_ms, then every period_ms when that is not 0. A period keeps its phase. */
void loop_timer_start(struct loop *loop, struct loop_timer *t, uint64_t delay_ms, uint64_t period_ms, loop_timer_cb *cb,
                      void *arg);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_is_running(const struct loop_timer *t);

/* --- later and elsewhere --- */
typedef void loop_cb(void *arg);
/* Runs cb at the end of the present turn (free objects here, never in their own callback). Loop thread. */
void loop_defer(struct loop *loop, loop_cb *cb, void *arg);
/* Runs cb on the loop's thread. Any thread. */
void loop_post(struct loop *loop, loop_cb *cb, void *arg);
/* Runs work on the worker pool, then done on the loop's thread. A fake loop runs both in loop_fake_turn(). */
void loop_work(struct loop *loop, loop_cb *work, loop_cb *done, void *arg);
/* A thread of its own for calls that may block for long (a database): the worker pool stays free for short work. It
 * runs work, then done on the loop's thread; one call at a time, the next one after done. On a fake loop both run in
 * loop_fake_turn(). new gives NULL when the system has no thread left; free waits for the thread to end, nothing may be
 * under way, *worker is NULL on return. */
struct loop_worker;
struct loop_worker *loop_worker_new(struct loop *loop);
void loop_worker_run(struct loop_worker *worker, loop_cb *work, loop_cb *done, void *arg);
void loop_worker_free(struct loop_worker **worker);
/* Calls cb on the loop when the process gets the signal (SIGINT, SIGTERM, SIGHUP). One per signal and process. */
void loop_on_signal(struct loop *loop, int signum, loop_cb *cb, void *arg);

/* --- streams: TCP, optionally with TLS on top, and serial lines --- */
struct stream;
struct stream_ops {
    void (*on_open)(void *arg);
    void (*on_data)(void *arg, struct slice data); /* borrowed for the call */
    /* The stream failed, could not be opened, or the peer closed it. The user still calls stream_close(). */
    void (*on_down)(void *arg, enum nx_err err, const struct nx_note *why);
    /* May be NULL. Everything queued was handed to the kernel. */
    void (*on_drained)(void *arg);
};
struct stream_tls {
    const char *ca_file;   /* PEM; NULL: the system's store */
    const char *cert_file; /* client certificate, PEM; NULL: none */
    const char *key_file;
    const char *server_name; /* checked against the certificate; NULL: the host */
    bool skip_verify;        /* only when a person has configured it */
};
struct stream_conf {
    const char *host; /* name or address */
    uint16_t port;
    uint32_t connect_timeout_ms;  /* 0: 5000. Covers name, TCP and TLS */
    const struct stream_tls *tls; /* NULL: plain. Copied. */
    size_t write_cap_bytes;       /* 0: 1 MiB. stream_write() past it answers NX_E_FULL */
    uint32_t keepalive_s;         /* TCP probes a peer that has been silent this long; 0: never */
    uint32_t spare_files;         /* NX_E_FULL rather than leave fewer file descriptors than that to the others */
    /* May be NULL: told about each step of the way ("resolve", "tcp", "tls") when it ends. */
    void (*on_step)(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail);
};
/* Begins to connect; never NULL: every failure arrives by on_down. conf is copied. */
struct stream *stream_open(struct loop *loop, const struct stream_conf *conf, const struct stream_ops *ops, void *arg);

enum serial_parity { SERIAL_PARITY_NONE, SERIAL_PARITY_EVEN, SERIAL_PARITY_ODD };
/* KERNEL: the driver switches the transceiver (TIOCSRS485). RTS: we do, by raising RTS around each write. */
enum rs485_mode { RS485_OFF, RS485_KERNEL, RS485_RTS };
struct serial_conf {
    const char *path;             /* "/dev/ttyUSB0", "/dev/serial/by-id/..." */
    uint32_t baud_rate;           /* one that termios names: 50 to 4000000 */
    uint8_t data_bits, stop_bits; /* 5..8, 1..2 */
    enum serial_parity parity;
    enum rs485_mode rs485;
    uint32_t rts_delay_us;  /* before and after sending, with rs485; the kernel's way rounds it up to milliseconds */
    size_t write_cap_bytes; /* 0: 256 KiB. stream_write() past it answers NX_E_FULL */
};
/* Opens a serial line, locks it against other programs and drops what it held; never NULL, and conf is copied. Ends in
 * on_open or on_down: NX_E_NOT_FOUND no such device now, NX_E_BUSY another program has it, NX_E_DENIED, NX_E_CONFIG a
 * setting that the device cannot have. NX_E_CLOSED later means that it was unplugged: open again when it is back. */
struct stream *stream_open_serial(struct loop *loop, const struct serial_conf *conf, const struct stream_ops *ops,
                                  void *arg);

/* Queues a copy; all writes of one loop turn leave in one system call at the end of the turn. */
enum nx_err stream_write(struct stream *st, struct slice data);
/* The same for two parts, without joining them first. */
enum nx_err stream_write2(struct stream *st, struct slice a, struct slice b);
/* Bytes queued and not yet in the kernel. */
size_t stream_pending(const struct stream *st);
/* Stops and resumes reading from the kernel: back-pressure. */
void stream_pause(struct stream *st);
void stream_resume(struct stream *st);
/* Drops what is queued unless flush, closes. No callback runs afterwards. *st is NULL on return. */
void stream_close(struct stream **st, bool flush);

/* --- the fake loop (tests) --- */
struct loop *loop_fake_new(void);
/* Runs everything that is due now: posted, deferred, work, stream events. */
void loop_fake_turn(struct loop *loop);
/* Moves the clock, stopping at each due timer on the way. */
void loop_fake_advance_ms(struct loop *loop, uint64_t ms);
/* Sets the wall clock (it then moves with the monotonic one). */
void loop_fake_set_wall_us(struct loop *loop, int64_t wall_us);
/* The stream opened last to host:port by the code under test, or NULL. Then: accept, refuse, feed, hang up. A serial
 * line has its path as host, and port 0. */
struct stream *loop_fake_stream(struct loop *loop, const char *host, uint16_t port);
void loop_fake_accept(struct stream *st);
void loop_fake_refuse(struct stream *st, enum nx_err err);
void loop_fake_feed(struct stream *st, struct slice data);
void loop_fake_hang_up(struct stream *st, enum nx_err err);
/* Takes what the code under test wrote since the last call; free() it. */
uint8_t *loop_fake_take_written(struct stream *st, size_t *len);
/* Streams opened so far (to count connection attempts). */
unsigned loop_fake_open_count(struct loop *loop);

#endif
