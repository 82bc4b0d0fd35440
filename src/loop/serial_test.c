/* Serial streams over a pty, whose master end plays the device. A pty has no RTS and no RS-485, so ioctl() is wrapped
 * by the linker: the test sees those requests and answers them. */
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the wrapped ioctl() --- */

static struct {
    bool has_rts, has_rs485;
    char seen[32]; /* 'R' raised, 'L' lowered, with the bytes the device had by then behind it */
    int master;    /* to count them */
    int waiting;   /* as last counted */
    struct serial_rs485 rs485;
} fake_line;

int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

/* A pty hands its bytes over in a kernel thread, and its tcdrain() does not wait for that as a real line's does. */
static int
bytes_at_device(bool more_are_due)
{
    int waiting = 0;

    for (int ms = 0; ms < 2000; ms++) {
        (void)__real_ioctl(fake_line.master, FIONREAD, &waiting);
        if (!more_are_due || waiting > fake_line.waiting)
            break;
        (void)usleep(1000);
    }
    return waiting;
}

static int
move_rts(char what)
{
    bool is_first = fake_line.seen[0] == '\0';

    if (!fake_line.has_rts) {
        errno = ENOTTY;
        return -1;
    }
    int waiting = bytes_at_device(what == 'L' && !is_first);
    fake_line.waiting = waiting;
    size_t len = strlen(fake_line.seen);
    (void)snprintf(fake_line.seen + len, sizeof fake_line.seen - len, "%c%d ", what, waiting);
    return 0;
}

int
__wrap_ioctl(int fd, unsigned long request, void *arg)
{
    switch (request) {
    case TIOCMBIS:
        return move_rts('R');
    case TIOCMBIC:
        return move_rts('L');
    case TIOCSRS485:
        if (fake_line.has_rs485) {
            fake_line.rs485 = *(struct serial_rs485 *)arg;
            return 0;
        }
        return __real_ioctl(fd, request, arg);
    default:
        return __real_ioctl(fd, request, arg);
    }
}

/* --- a line and its user --- */

struct line {
    struct loop *loop;
    struct stream *st;
    int master, slave; /* slave: kept open as a real device would be there, -1: only the stream has it */
    char path[64];
    struct serial_conf conf;
    bool is_open, is_down;
    unsigned drained;
    enum nx_err err;
    char reason[320], received[600];
    size_t received_len, expected;
};

static void
on_open(void *arg)
{
    struct line *l = arg;

    l->is_open = true;
    loop_stop(l->loop);
}

static void
on_data(void *arg, struct slice data)
{
    struct line *l = arg;

    assert_true(l->received_len + data.len <= sizeof l->received);
    memcpy(l->received + l->received_len, data.p, data.len);
    l->received_len += data.len;
    if (l->received_len >= l->expected)
        loop_stop(l->loop);
}

static void
on_down(void *arg, enum nx_err err, const struct nx_note *why)
{
    struct line *l = arg;

    assert_false(l->is_down);
    l->is_down = true;
    l->err = err;
    (void)snprintf(l->reason, sizeof l->reason, "%s", why->text);
    loop_stop(l->loop);
}

static void
on_drained(void *arg)
{
    struct line *l = arg;

    l->drained++;
    loop_stop(l->loop);
}

static const struct stream_ops ops = {on_open, on_data, on_down, on_drained};

static void
line_init(struct line *l)
{
    *l = (struct line){.loop = loop_new(), .expected = 1};
    memset(&fake_line, 0, sizeof fake_line);
    assert_int_equal(openpty(&l->master, &l->slave, l->path, NULL, NULL), 0);
    fake_line.master = l->master;
    l->conf = (struct serial_conf){.path = l->path, .baud_rate = 19200, .data_bits = 8, .stop_bits = 1};
}

static void
line_fini(struct line *l)
{
    stream_close(&l->st, false);
    loop_free(&l->loop);
    if (l->master >= 0)
        close(l->master);
    if (l->slave >= 0)
        close(l->slave);
}

static void
open_line(struct line *l)
{
    l->is_open = l->is_down = false;
    l->st = stream_open_serial(l->loop, &l->conf, &ops, l);
    assert_non_null(l->st);
    loop_run(l->loop);
}

static void
open_well(struct line *l)
{
    open_line(l);
    if (!l->is_open)
        fail_msg("%s", l->reason);
}

static void
expect_refusal(struct line *l, enum nx_err err, const char *part)
{
    open_line(l);
    assert_true(l->is_down && !l->is_open);
    if (l->err != err || !strstr(l->reason, part))
        fail_msg("%s: %s", nx_err_name(l->err), l->reason);
    stream_close(&l->st, false);
}

static void
bytes_go_both_ways_unchanged(void **state)
{
    struct line l;
    uint8_t all[256], back[256];

    (void)state;
    line_init(&l);
    open_well(&l);
    for (unsigned i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i; /* XON, XOFF, CR, NUL, ^C, 0xFF among them */
    assert_int_equal(stream_write2(l.st, slice(all, 100), slice(all + 100, 156)), NX_OK);
    assert_int_equal(stream_pending(l.st), 256);
    loop_run(l.loop);
    assert_int_equal(l.drained, 1);
    assert_int_equal(stream_pending(l.st), 0);
    for (size_t got = 0; got < sizeof back;) {
        ssize_t n = read(l.master, back + got, sizeof back - got);

        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(back, all, sizeof all);
    l.expected = sizeof all;
    assert_int_equal(write(l.master, all, sizeof all), sizeof all);
    loop_run(l.loop);
    assert_int_equal(l.received_len, sizeof all);
    assert_memory_equal(l.received, all, sizeof all);
    line_fini(&l);
}

static void
the_line_is_raw_with_the_speed_that_was_asked_for(void **state)
{
    static const struct {
        uint32_t baud_rate;
        speed_t code;
    } rates[] = {{1200, B1200}, {9600, B9600}, {115200, B115200}, {921600, B921600}};
    struct line l;
    struct termios have;

    (void)state;
    line_init(&l);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        l.conf.baud_rate = rates[i].baud_rate;
        l.conf.stop_bits = 2;
        l.conf.parity = SERIAL_PARITY_ODD;
        open_well(&l);
        assert_int_equal(tcgetattr(l.slave, &have), 0);
        assert_int_equal(cfgetospeed(&have), rates[i].code);
        assert_int_equal(cfgetispeed(&have), rates[i].code);
        assert_int_equal(have.c_lflag & (ICANON | ECHO | ISIG), 0);
        assert_int_equal(have.c_iflag & (IXON | IXOFF | ICRNL | INLCR | BRKINT), 0);
        assert_int_equal(have.c_oflag & OPOST, 0);
        assert_int_equal(have.c_cflag & (CSTOPB | PARODD | CLOCAL | CREAD), CSTOPB | PARODD | CLOCAL | CREAD);
        assert_true(have.c_iflag & INPCK);
        stream_close(&l.st, false);
    }
    line_fini(&l);
}

static void
settings_that_cannot_be_are_refused_with_the_choice(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    l.conf.baud_rate = 31250;
    expect_refusal(&l, NX_E_CONFIG, " 19200 38400 ");
    expect_refusal(&l, NX_E_CONFIG, " 4000000");
    l.conf.baud_rate = 9600;
    l.conf.data_bits = 9;
    expect_refusal(&l, NX_E_CONFIG, "data bits");
    l.conf.data_bits = 8;
    l.conf.stop_bits = 3;
    expect_refusal(&l, NX_E_CONFIG, "stop bits");
    line_fini(&l);
}

static void
a_path_that_is_no_line_is_told_with_the_remedy(void **state)
{
    char file[] = "/tmp/serial_test.XXXXXX";
    struct line l;
    int fd = mkstemp(file);

    (void)state;
    assert_true(fd >= 0);
    line_init(&l);
    l.conf.path = file;
    expect_refusal(&l, NX_E_CONFIG, "no serial line");
    l.conf.path = "/dev/null";
    expect_refusal(&l, NX_E_CONFIG, "/dev/null is no serial line");
    close(fd);
    unlink(file);
    l.conf.path = file;
    expect_refusal(&l, NX_E_NOT_FOUND, "plugged in");
    line_fini(&l);
}

static void
a_line_has_one_user_at_a_time(void **state)
{
    struct line first, second;

    (void)state;
    line_init(&first);
    line_init(&second);
    open_well(&first);
    second.conf.path = first.path;
    expect_refusal(&second, NX_E_BUSY, "Another program uses this line");
    stream_close(&first.st, false);
    open_well(&second); /* free again, for anybody */
    line_fini(&second);
    line_fini(&first);
}

static void
a_program_that_locks_the_line_is_respected(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    assert_int_equal(flock(l.slave, LOCK_EX | LOCK_NB), 0);
    expect_refusal(&l, NX_E_BUSY, "fuser");
    assert_int_equal(flock(l.slave, LOCK_UN), 0);
    open_well(&l);
    line_fini(&l);
}

static void
what_was_left_in_the_line_is_dropped(void **state)
{
    struct line l;
    struct termios raw;

    (void)state;
    line_init(&l);
    assert_int_equal(tcgetattr(l.slave, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(l.slave, TCSANOW, &raw), 0);
    assert_int_equal(write(l.master, "stale", 5), 5);
    open_well(&l);
    assert_int_equal(write(l.master, "fresh", 5), 5);
    l.expected = 5;
    loop_run(l.loop);
    assert_int_equal(l.received_len, 5);
    assert_memory_equal(l.received, "fresh", 5);
    line_fini(&l);
}

static void
unplugging_ends_the_stream_and_it_opens_again(void **state)
{
    struct line l, again;

    (void)state;
    line_init(&l);
    open_well(&l);
    close(l.master); /* hangs up all who have the slave */
    l.master = -1;
    loop_run(l.loop);
    assert_true(l.is_down);
    assert_int_equal(l.err, NX_E_CLOSED);
    assert_non_null(strstr(l.reason, l.path));
    assert_non_null(strstr(l.reason, "unplugged"));
    assert_int_equal(stream_write(l.st, slice_str("x")), NX_E_OFFLINE);
    stream_close(&l.st, false);
    close(l.slave);
    l.slave = -1;
    expect_refusal(&l, NX_E_NOT_FOUND, "plugged in");
    line_init(&again);
    l.conf.path = again.path; /* as a name under by-id would */
    open_well(&l);
    assert_int_equal(write(again.master, "back", 4), 4);
    l.expected = 4;
    loop_run(l.loop);
    assert_memory_equal(l.received, "back", 4);
    line_fini(&l);
    line_fini(&again);
}

static void
a_paused_line_gives_nothing_until_it_is_resumed(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    open_well(&l);
    stream_pause(l.st);
    assert_int_equal(write(l.master, "later", 5), 5);
    assert_int_equal(stream_write(l.st, slice_str("x")), NX_OK);
    loop_run(l.loop); /* until it has drained: a whole turn with input waiting */
    assert_int_equal(l.received_len, 0);
    stream_resume(l.st);
    l.expected = 5;
    loop_run(l.loop);
    assert_int_equal(l.received_len, 5);
    line_fini(&l);
}

static void
stop_loop(void *arg)
{
    loop_stop(arg);
}

static void
run_one_turn(struct loop *loop)
{
    loop_post(loop, stop_loop, loop);
    loop_run(loop);
}

/* Nobody reads the master: the kernel takes a part, the cap refuses, all arrives once somebody does. */
static void
a_slow_line_keeps_what_it_cannot_send(void **state)
{
    static uint8_t block[60000], back[60000];
    struct line l;
    size_t got = 0;

    (void)state;
    line_init(&l);
    l.conf.write_cap_bytes = sizeof block;
    open_well(&l);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (uint8_t)(i * 7 + i / 256);
    assert_int_equal(stream_write(l.st, slice(block, sizeof block)), NX_OK);
    assert_int_equal(stream_write(l.st, slice_str("more")), NX_E_FULL);
    stream_pause(l.st);
    assert_int_equal(fcntl(l.master, F_SETFL, O_NONBLOCK), 0);
    run_one_turn(l.loop);
    assert_int_equal(l.drained, 0);
    assert_true(stream_pending(l.st) > 0);
    while (got < sizeof back) {
        ssize_t n = read(l.master, back + got, sizeof back - got);

        got += n > 0 ? (size_t)n : 0;
        run_one_turn(l.loop);
    }
    assert_memory_equal(back, block, sizeof block);
    assert_int_equal(l.drained, 1);
    line_fini(&l);
}

static void
closing_with_flush_sends_the_rest(void **state)
{
    struct line l;
    char back[16];

    (void)state;
    line_init(&l);
    open_well(&l);
    assert_int_equal(stream_write(l.st, slice_str("goodbye")), NX_OK);
    stream_close(&l.st, true);
    loop_free(&l.loop);
    assert_int_equal(read(l.master, back, sizeof back), 7);
    assert_memory_equal(back, "goodbye", 7);
    close(l.master);
    close(l.slave);
}

static void
closing_before_it_is_open_says_nothing(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    l.st = stream_open_serial(l.loop, &l.conf, &ops, &l);
    assert_int_equal(stream_write(l.st, slice_str("x")), NX_OK);
    stream_close(&l.st, false);
    loop_free(&l.loop);
    assert_false(l.is_open || l.is_down);
    assert_int_equal(flock(l.slave, LOCK_EX | LOCK_NB), 0); /* nothing holds it any more */
    close(l.master);
    close(l.slave);
}

/* --- RS-485 --- */

static void
rts_is_up_around_each_write(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    fake_line.has_rts = true;
    l.conf.rs485 = RS485_RTS;
    l.conf.rts_delay_us = 100;
    open_well(&l);
    assert_string_equal(fake_line.seen, "L0 "); /* it listens */
    assert_int_equal(stream_write(l.st, slice_str("request")), NX_OK);
    loop_run(l.loop);
    assert_int_equal(l.drained, 1);
    assert_string_equal(fake_line.seen, "L0 R0 L7 ");
    assert_int_equal(write(l.master, "answer", 6), 6);
    l.expected = 6;
    loop_run(l.loop);
    assert_memory_equal(l.received, "answer", 6);
    assert_int_equal(stream_write(l.st, slice_str("last")), NX_OK);
    stream_close(&l.st, true);
    loop_free(&l.loop);
    assert_string_equal(fake_line.seen, "L0 R0 L7 R7 L11 ");
    close(l.master);
    close(l.slave);
}

static void
a_line_without_rts_or_rs485_says_what_to_do(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    l.conf.rs485 = RS485_RTS;
    expect_refusal(&l, NX_E_CONFIG, "rs485: off");
    l.conf.rs485 = RS485_KERNEL;
    expect_refusal(&l, NX_E_CONFIG, "rs485: rts");
    line_fini(&l);
}

static void
the_kernel_is_told_to_switch(void **state)
{
    struct line l;

    (void)state;
    line_init(&l);
    fake_line.has_rs485 = true;
    l.conf.rs485 = RS485_KERNEL;
    l.conf.rts_delay_us = 1200;
    open_well(&l);
    assert_int_equal(fake_line.rs485.flags, SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND);
    assert_int_equal(fake_line.rs485.delay_rts_before_send, 2);
    assert_int_equal(fake_line.rs485.delay_rts_after_send, 2);
    line_fini(&l);
}

/* --- limits, and the loop of the tests --- */

static void
running_out_of_descriptors_ends_in_a_reason(void **state)
{
    struct line l;
    struct rlimit old, none;

    (void)state;
    line_init(&l);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    open_line(&l);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_int_equal(l.err, NX_E_FULL);
    assert_non_null(strstr(l.reason, "ulimit -n"));
    stream_close(&l.st, false);
    open_well(&l);
    line_fini(&l);
}

static void
the_fake_loop_finds_a_line_by_its_path(void **state)
{
    struct loop *loop = loop_fake_new();
    struct line l = {.loop = loop, .conf = {.path = "/dev/ttyS9"}};
    size_t len;

    (void)state;
    l.st = stream_open_serial(loop, &l.conf, &ops, &l);
    assert_ptr_equal(loop_fake_stream(loop, "/dev/ttyS9", 0), l.st);
    assert_int_equal(loop_fake_open_count(loop), 1);
    loop_fake_accept(l.st);
    assert_true(l.is_open);
    assert_int_equal(stream_write(l.st, slice_str("ab")), NX_OK);
    free(loop_fake_take_written(l.st, &len));
    assert_int_equal(len, 2);
    loop_fake_hang_up(l.st, NX_E_CLOSED);
    assert_string_equal(l.reason, "/dev/ttyS9: connection closed by the peer");
    stream_close(&l.st, false);
    loop_free(&loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_unchanged),
        cmocka_unit_test(the_line_is_raw_with_the_speed_that_was_asked_for),
        cmocka_unit_test(settings_that_cannot_be_are_refused_with_the_choice),
        cmocka_unit_test(a_path_that_is_no_line_is_told_with_the_remedy),
        cmocka_unit_test(a_line_has_one_user_at_a_time),
        cmocka_unit_test(a_program_that_locks_the_line_is_respected),
        cmocka_unit_test(what_was_left_in_the_line_is_dropped),
        cmocka_unit_test(unplugging_ends_the_stream_and_it_opens_again),
        cmocka_unit_test(a_paused_line_gives_nothing_until_it_is_resumed),
        cmocka_unit_test(a_slow_line_keeps_what_it_cannot_send),
        cmocka_unit_test(closing_with_flush_sends_the_rest),
        cmocka_unit_test(closing_before_it_is_open_says_nothing),
        cmocka_unit_test(rts_is_up_around_each_write),
        cmocka_unit_test(a_line_without_rts_or_rs485_says_what_to_do),
        cmocka_unit_test(the_kernel_is_told_to_switch),
        cmocka_unit_test(running_out_of_descriptors_ends_in_a_reason),
        cmocka_unit_test(the_fake_loop_finds_a_line_by_its_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
