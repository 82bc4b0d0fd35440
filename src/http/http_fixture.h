/* http_fixture.h -- for the tests of the HTTP server: a real one on a real loop in a thread of its own, with a route
 * for every kind of answer, and clients on plain sockets. Whatever fails ends the test. */
#ifndef HTTP_HTTP_FIXTURE_H
#define HTTP_HTTP_FIXTURE_H

#include "http/http.h"

#include <pthread.h>
#include <stdatomic.h>

struct fixture {
    struct http_health health; /* first: the health handlers find it here */
    struct loop *loop;
    struct http_server *server;
    struct metrics *metrics;
    pthread_t thread;
    uint16_t port;
    char dir[64];
    struct http_req *held;
    struct http_ws *ws;
    _Atomic unsigned gone, drained, ws_open, ws_closed, worker_runs, stream_failed;
    _Atomic size_t streamed;
};

extern const struct http_route server_routes[];
/* On a free port of loopback, with the site and the routes of http_fixture.c. */
void server_start_with(struct fixture *f, struct http_conf conf);
void server_start(struct fixture *f);
void server_stop(struct fixture *f);

struct reply {
    int status;
    char *head, *body;
    size_t body_len;
};

/* Receives for at most 20 s. receive_buffer: bytes, 0: the system's. The caller closes. */
int client_dial(const struct fixture *f, int receive_buffer);
/* A server that has closed is no error: the reply tells. */
void client_put(int fd, const void *p, size_t len);
void client_put_text(int fd, const char *text);
bool client_get_bytes(int fd, void *p, size_t len);
bool client_is_at_end(int fd);
/* status 0: the connection ended before an answer. reply_free() it. */
struct reply client_read(int fd, bool is_head);
/* A connection for one request. */
struct reply client_ask(const struct fixture *f, const char *request);
struct reply client_get(const struct fixture *f, const char *path);
int client_status(const struct fixture *f, const char *path);
/* NULL: there is none. Valid until the next call. */
char *reply_header(const struct reply *r, const char *name);
void reply_free(struct reply *r);
/* Until it has reached n, for 5 s. */
void wait_for_count(_Atomic unsigned *counter, unsigned n);

#endif
