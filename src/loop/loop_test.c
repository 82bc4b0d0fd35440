#include "base/mem.h"
#include "base/num.h"
#include "loop/loop.h"
#include "loop/wheel.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- timers, in virtual time --- */

struct ticker {
    struct loop_timer timer;
    struct loop *loop;
    unsigned fired;
    uint64_t last_ms;
};

static void
on_tick(struct loop_timer *t, void *arg)
{
    struct ticker *k = arg;

    (void)t;
    k->fired++;
    k->last_ms = loop_now_ms(k->loop);
}

static void
timers_fire_on_time_and_keep_their_phase(void **state)
{
    static const uint64_t delays[] = {0, 1, 63, 64, 100, 4095, 4096, 4097, 10000, 3600000};
    struct loop *loop = loop_fake_new();
    struct ticker once[10] = {0}, every = {.loop = loop};
    uint64_t start = loop_now_ms(loop);

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        once[i].loop = loop;
        loop_timer_start(loop, &once[i].timer, delays[i], 0, on_tick, &once[i]);
    }
    loop_timer_start(loop, &every.timer, 30, 250, on_tick, &every);
    loop_fake_advance_ms(loop, 3600001);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(once[i].fired, 1);
        assert_int_equal(once[i].last_ms - start, delays[i] ? delays[i] : 1);
    }
    assert_int_equal(every.fired, 1 + (3600001 - 30) / 250);
    assert_int_equal((every.last_ms - start - 30) % 250, 0);
    loop_timer_stop(&every.timer);
    loop_timer_stop(&every.timer);
    loop_free(&loop);
}

static void
stop_the_other(struct loop_timer *t, void *arg)
{
    struct ticker *k = arg;

    (void)t;
    k->fired++;
    loop_timer_stop(&k[1].timer);
}

static void
a_timer_may_stop_one_that_is_due_in_the_same_tick(void **state)
{
    struct loop *loop = loop_fake_new();
    struct ticker k[2] = {{.loop = loop}, {.loop = loop}};

    (void)state;
    loop_timer_start(loop, &k[0].timer, 10, 0, stop_the_other, k);
    loop_timer_start(loop, &k[1].timer, 10, 0, on_tick, &k[1]);
    loop_fake_advance_ms(loop, 20);
    assert_int_equal(k[0].fired, 1);
    assert_int_equal(k[1].fired, 0);
    loop_free(&loop);
}

static void
ten_thousand_timers_each_fire_at_their_own_time(void **state)
{
    enum { N = 10000 };
    struct loop *loop = loop_fake_new();
    struct ticker *k = mem_calloc(N, sizeof *k);
    uint64_t seed = 7, start = loop_now_ms(loop);

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        k[i].loop = loop;
        loop_timer_start(loop, &k[i].timer, num_random(&seed) % 20000 + 1, 0, on_tick, &k[i]);
    }
    for (unsigned i = 0; i < N; i += 3)
        loop_timer_stop(&k[i].timer);
    loop_fake_advance_ms(loop, 20001);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(k[i].fired, i % 3 ? 1 : 0);
        assert_true(i % 3 == 0 || k[i].last_ms == k[i].timer.due_ms);
        assert_true(k[i].last_ms == 0 || k[i].last_ms > start);
    }
    free(k);
    loop_free(&loop);
}

/* --- the real loop --- */

struct steps {
    struct loop *loop;
    char text[64];
    _Atomic unsigned count; /* two threads write down their steps */
};

static void
put_step(struct steps *s, char step)
{
    s->text[s->count++] = step;
}

static void
add_b(void *arg)
{
    struct steps *s = arg;

    put_step(s, 'b');
    loop_stop(s->loop);
}

static void
add_d(void *arg)
{
    put_step(arg, 'd');
}

static void
add_w(void *arg)
{
    put_step(arg, 'w');
}

static void
add_a(void *arg)
{
    struct steps *s = arg;

    put_step(s, 'a');
    loop_defer(s->loop, add_d, s);
    loop_work(s->loop, add_w, add_b, s);
}

static void
posted_deferred_and_worked_calls_run_in_order(void **state)
{
    struct steps s = {.loop = loop_new()};

    (void)state;
    loop_post(s.loop, add_a, &s);
    loop_run(s.loop);
    /* The worker thread may be faster than the end of the turn, so only what is promised is checked. */
    assert_int_equal(s.text[0], 'a');
    assert_int_equal(s.text[3], 'b');
    assert_int_equal(strlen(s.text), 4);
    loop_free(&s.loop);
    assert_null(s.loop);
}

struct busy {
    struct loop *loop;
    struct loop_worker *worker;
    pthread_t thread;
    unsigned works, dones;
};

static void
note_thread(void *arg)
{
    struct busy *b = arg;

    b->thread = pthread_self();
    b->works++;
}

static void
run_once_more(void *arg)
{
    struct busy *b = arg;

    if (++b->dones < 3)
        loop_worker_run(b->worker, note_thread, run_once_more, b);
    else
        loop_stop(b->loop);
}

static void
worker_has_a_thread_of_its_own(void **state)
{
    struct busy b = {.loop = loop_new()};

    (void)state;
    b.worker = loop_worker_new(b.loop);
    loop_worker_run(b.worker, note_thread, run_once_more, &b);
    loop_run(b.loop);
    assert_int_equal(3, b.works);
    assert_false(pthread_equal(b.thread, pthread_self()));
    loop_worker_free(&b.worker);
    assert_null(b.worker);
    loop_free(&b.loop);
}

static void
worker_of_a_fake_loop_runs_in_its_turn(void **state)
{
    struct busy b = {.loop = loop_fake_new()};

    (void)state;
    b.worker = loop_worker_new(b.loop);
    loop_worker_run(b.worker, note_thread, run_once_more, &b);
    assert_int_equal(0, b.works);
    loop_fake_turn(b.loop);
    assert_int_equal(3, b.works);
    assert_int_equal(3, b.dones);
    loop_worker_free(&b.worker);
    loop_free(&b.loop);
}

struct peer {
    struct loop *loop;
    struct stream *st;
    struct loop_timer timer;
    int listener, accepted;
    uint16_t port;
    bool is_open, is_down;
    enum nx_err err;
    char reason[320], steps[64];
    size_t received, expected;
};

static uint16_t
listen_on_any_port(int *fd, int backlog)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof sa;

    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (backlog)
        assert_int_equal(listen(*fd, backlog), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin_port);
}

static void
peer_open(void *arg)
{
    struct peer *p = arg;
    static const char chunk[1000];

    p->is_open = true;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(stream_write(p->st, slice(chunk, sizeof chunk)), NX_OK);
}

static void
peer_data(void *arg, struct slice data)
{
    struct peer *p = arg;

    p->received += data.len;
    if (p->received == p->expected)
        loop_stop(p->loop);
}

static void
peer_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct peer *p = arg;

    p->is_down = true;
    p->err = err;
    (void)snprintf(p->reason, sizeof p->reason, "%s", why->text);
    loop_stop(p->loop);
}

static void
peer_step(void *arg, const char *step, enum nx_err err, uint32_t elapsed_ms, const char *detail)
{
    struct peer *p = arg;

    (void)elapsed_ms;
    (void)detail;
    strcat(p->steps, step);
    strcat(p->steps, err == NX_OK ? "+" : "-");
}

static const struct stream_ops peer_ops = {.on_open = peer_open, .on_data = peer_data, .on_down = peer_down};

static void *
echo_100000(void *arg)
{
    struct peer *p = arg;
    char buf[4096];
    size_t total = 0;
    int fd = accept(p->listener, NULL, NULL);

    while (total < 100000) {
        ssize_t n = read(fd, buf, sizeof buf);

        if (n <= 0)
            break;
        total += (size_t)n;
        if (write(fd, buf, (size_t)n) != n)
            break;
    }
    p->accepted = fd;
    return NULL;
}

static void
streams_carry_bytes_both_ways_and_report_their_steps(void **state)
{
    struct peer p = {.loop = loop_new(), .expected = 100000};
    pthread_t thread;

    (void)state;
    p.port = listen_on_any_port(&p.listener, 5);
    assert_int_equal(pthread_create(&thread, NULL, echo_100000, &p), 0);
    struct stream_conf conf = {.host = "127.0.0.1", .port = p.port, .on_step = peer_step};
    p.st = stream_open(p.loop, &conf, &peer_ops, &p);
    loop_run(p.loop);
    assert_int_equal(p.received, 100000);
    assert_string_equal(p.steps, "resolve+tcp+");
    pthread_join(thread, NULL);
    close(p.accepted); /* the peer hangs up */
    loop_run(p.loop);
    assert_true(p.is_down);
    assert_int_equal(p.err, NX_E_CLOSED);
    stream_close(&p.st, false);
    close(p.listener);
    loop_free(&p.loop);
}

static void
a_refused_connection_names_place_and_remedy(void **state)
{
    struct peer p = {.loop = loop_new()};

    (void)state;
    p.port = listen_on_any_port(&p.listener, 0); /* bound, nobody listens */
    struct stream_conf conf = {.host = "127.0.0.1", .port = p.port, .on_step = peer_step};
    p.st = stream_open(p.loop, &conf, &peer_ops, &p);
    loop_run(p.loop);
    assert_int_equal(p.err, NX_E_REFUSED);
    assert_non_null(strstr(p.reason, "127.0.0.1 port"));
    assert_non_null(strstr(p.reason, "check the port"));
    assert_string_equal(p.steps, "resolve+tcp-");
    stream_close(&p.st, false);
    close(p.listener);
    loop_free(&p.loop);
}

/* Three descriptors are fewer than the process has; and of 1,024 it leaves none when all are to be spare. */
static void
open_without_descriptors(struct peer *p, const char *host, rlim_t limit)
{
    struct stream_conf conf = {.host = host, .port = 502, .spare_files = 1024, .on_step = peer_step};
    struct rlimit old, none;

    p->is_down = false;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = limit, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    p->st = stream_open(p->loop, &conf, &peer_ops, p);
    loop_run(p->loop);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(p->is_down);
    stream_close(&p->st, false);
}

static void
running_out_of_descriptors_ends_in_a_reason(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "a-plc.invalid", "127.0.0.1"};
    static const rlim_t limits[] = {3, 3, 1024};

    (void)state;
    for (size_t i = 0; i < MEM_COUNT(hosts); i++) {
        struct peer p = {.loop = loop_new()};

        open_without_descriptors(&p, hosts[i], limits[i]);
        assert_int_equal(p.err, NX_E_FULL);
        assert_non_null(strstr(p.reason, hosts[i]));
        assert_non_null(strstr(p.reason, "raise the limit (ulimit -n, LimitNOFILE)"));
        loop_free(&p.loop);
    }
}

static void
stop_when_open(void *arg)
{
    loop_stop(((struct peer *)arg)->loop);
}

/* Of the socket that is connected to the peer. */
static int
option_of_stream(struct peer *p, int level, int name)
{
    struct sockaddr_in sa = {0};
    socklen_t len = sizeof sa;
    int value = -1;

    for (int fd = 3; fd < 256; fd++) {
        len = sizeof sa;
        if (getpeername(fd, (struct sockaddr *)&sa, &len) == 0 && ntohs(sa.sin_port) == p->port) {
            len = sizeof value;
            assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
        }
    }
    return value;
}

static void
keepalive_is_as_the_user_wants_it(void **state)
{
    static const struct stream_ops ops = {.on_open = stop_when_open, .on_data = peer_data, .on_down = peer_down};
    struct peer p = {.loop = loop_new()};

    (void)state;
    p.port = listen_on_any_port(&p.listener, 5);
    for (unsigned keepalive_s = 0; keepalive_s <= 45; keepalive_s += 45) {
        struct stream_conf conf = {.host = "127.0.0.1", .port = p.port, .keepalive_s = keepalive_s};

        p.st = stream_open(p.loop, &conf, &ops, &p);
        loop_run(p.loop);
        assert_false(p.is_down);
        assert_int_equal(option_of_stream(&p, SOL_SOCKET, SO_KEEPALIVE), keepalive_s > 0);
        if (keepalive_s)
            assert_int_equal(option_of_stream(&p, IPPROTO_TCP, TCP_KEEPIDLE), keepalive_s);
        assert_int_equal(option_of_stream(&p, IPPROTO_TCP, TCP_NODELAY), 1);
        stream_close(&p.st, false);
        loop_post(p.loop, stop_when_open, &p); /* the socket closes at the end of the turn */
        loop_run(p.loop);
    }
    close(p.listener);
    loop_free(&p.loop);
}

static void
a_stream_closed_before_it_is_open_says_nothing(void **state)
{
    struct peer p = {.loop = loop_new()};

    (void)state;
    p.port = listen_on_any_port(&p.listener, 5);
    struct stream_conf conf = {.host = "localhost", .port = p.port};
    p.st = stream_open(p.loop, &conf, &peer_ops, &p);
    stream_close(&p.st, false);
    loop_free(&p.loop); /* runs what is left */
    assert_false(p.is_open);
    assert_false(p.is_down);
    close(p.listener);
}

static void
writing_past_the_cap_is_refused(void **state)
{
    struct loop *loop = loop_fake_new();
    struct peer p = {.loop = loop};
    struct stream_conf conf = {.host = "plc", .port = 502, .write_cap_bytes = 10};
    static const struct stream_ops ops = {.on_open = peer_open, .on_data = peer_data, .on_down = peer_down};
    size_t len;

    (void)state;
    p.st = stream_open(loop, &conf, &ops, &p);
    assert_ptr_equal(loop_fake_stream(loop, "plc", 502), p.st);
    assert_int_equal(stream_write(p.st, slice_str("12345678")), NX_OK);
    assert_int_equal(stream_write(p.st, slice_str("9ab")), NX_E_FULL);
    uint8_t *sent = loop_fake_take_written(p.st, &len);
    assert_int_equal(len, 8);
    free(sent);
    stream_close(&p.st, false);
    loop_free(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_on_time_and_keep_their_phase),
        cmocka_unit_test(a_timer_may_stop_one_that_is_due_in_the_same_tick),
        cmocka_unit_test(ten_thousand_timers_each_fire_at_their_own_time),
        cmocka_unit_test(posted_deferred_and_worked_calls_run_in_order),
        cmocka_unit_test(worker_has_a_thread_of_its_own),
        cmocka_unit_test(worker_of_a_fake_loop_runs_in_its_turn),
        cmocka_unit_test(streams_carry_bytes_both_ways_and_report_their_steps),
        cmocka_unit_test(a_refused_connection_names_place_and_remedy),
        cmocka_unit_test(running_out_of_descriptors_ends_in_a_reason),
        cmocka_unit_test(keepalive_is_as_the_user_wants_it),
        cmocka_unit_test(a_stream_closed_before_it_is_open_says_nothing),
        cmocka_unit_test(writing_past_the_cap_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
