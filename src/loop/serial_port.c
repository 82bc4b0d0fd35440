#include "loop/serial_port.h"

#include "base/mem.h"
#include "base/wbuf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/serial.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define PTY_MAJOR_FIRST 136u /* Linux: devices.txt, "Unix98 PTY slaves" */
#define PTY_MAJOR_LAST  143u
#define STALL_MS        1000 /* nothing leaves for so long: the line is stuck */

/* --- baud rates --- */

#define RATE(n)                                                                                                        \
    {                                                                                                                  \
        n, B##n                                                                                                        \
    }

static const struct {
    uint32_t baud_rate;
    speed_t code;
} rates[] = {RATE(50),      RATE(75),      RATE(110),     RATE(134),     RATE(150),     RATE(200),
             RATE(300),     RATE(600),     RATE(1200),    RATE(1800),    RATE(2400),    RATE(4800),
             RATE(9600),    RATE(19200),   RATE(38400),   RATE(57600),   RATE(115200),  RATE(230400),
             RATE(460800),  RATE(500000),  RATE(576000),  RATE(921600),  RATE(1000000), RATE(1152000),
             RATE(1500000), RATE(2000000), RATE(2500000), RATE(3000000), RATE(3500000), RATE(4000000)};

static enum nx_err
find_rate(const struct serial_conf *conf, speed_t *code, struct nx_note *why)
{
    char list[240];
    struct wbuf w = wbuf_fixed(list, sizeof list - 1); /* one for the terminator */

    for (size_t i = 0; i < MEM_COUNT(rates); i++) {
        *code = rates[i].code;
        if (rates[i].baud_rate == conf->baud_rate)
            return NX_OK;
        wbuf_printf(&w, " %u", rates[i].baud_rate);
    }
    list[w.len] = '\0';
    return nx_fail(why, NX_E_CONFIG, "%s: no baud rate %u, use one of%s", conf->path, conf->baud_rate, list);
}

/* --- opening --- */

static const char *
open_remedy(int os_errno)
{
    switch (os_errno) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return "Is the adapter plugged in? Names under /dev/serial/by-id stay the same.";
    case EACCES:
    case EPERM:
        return "Let the user of this program read and write it, usually by the group dialout.";
    case EBUSY:
        return "Another program uses this line: stop it (fuser shows which).";
    case EMFILE:
    case ENFILE:
        return "Out of file descriptors: raise the limit (ulimit -n, LimitNOFILE).";
    default:
        return "";
    }
}

static enum nx_err
fail_open(const struct serial_conf *conf, int os_errno, struct nx_note *why)
{
    enum nx_err err = os_errno == ENODEV || os_errno == ENXIO ? NX_E_NOT_FOUND : nx_err_from_errno(os_errno);

    (void)nx_fail(why, err, "opening %s: %s. %s", conf->path, strerror(os_errno), open_remedy(os_errno));
    if (why)
        why->os_errno = os_errno;
    return err;
}

/* TIOCEXCL keeps others from opening the line from now on, the lock tells whether one of us already has it. */
static int
lock_port(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? EBUSY : errno;
    return ioctl(fd, TIOCEXCL) < 0 ? errno : 0;
}

static bool
is_pty(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && major(st.st_rdev) >= PTY_MAJOR_FIRST && major(st.st_rdev) <= PTY_MAJOR_LAST;
}

static void
fill_termios(struct termios *tio, const struct serial_conf *conf, speed_t rate)
{
    static const tcflag_t sizes[] = {CS5, CS6, CS7, CS8};

    cfmakeraw(tio);
    tio->c_cflag &= ~(tcflag_t)(CSIZE | CSTOPB | PARENB | PARODD | CRTSCTS | HUPCL);
    tio->c_cflag |= CLOCAL | CREAD | sizes[conf->data_bits - 5];
    if (conf->stop_bits == 2)
        tio->c_cflag |= CSTOPB;
    if (conf->parity != SERIAL_PARITY_NONE)
        tio->c_cflag |= PARENB;
    if (conf->parity == SERIAL_PARITY_ODD)
        tio->c_cflag |= PARODD;
    /* A byte with a parity error arrives as 0, so that the check sum of its frame fails; a break is silence. */
    tio->c_iflag = IGNBRK | (conf->parity == SERIAL_PARITY_NONE ? 0 : INPCK);
    tio->c_cc[VMIN] = 1;
    tio->c_cc[VTIME] = 0;
    (void)cfsetispeed(tio, rate);
    (void)cfsetospeed(tio, rate);
}

/* tcsetattr() is content when it could set anything at all. A pty has no bits on a wire and keeps only the speed. */
static bool
is_set(int fd, const struct termios *want)
{
    tcflag_t mask = is_pty(fd) ? 0 : CSIZE | CSTOPB | PARENB | PARODD;
    struct termios have;

    return tcgetattr(fd, &have) == 0 && cfgetospeed(&have) == cfgetospeed(want) &&
           (have.c_cflag & mask) == (want->c_cflag & mask);
}

static enum nx_err
set_up(int fd, const struct serial_conf *conf, speed_t rate, struct nx_note *why)
{
    static const char *const parities[] = {"no", "even", "odd"};
    struct termios tio;

    if (tcgetattr(fd, &tio) < 0)
        return fail_open(conf, errno, why);
    fill_termios(&tio, conf, rate);
    if (tcsetattr(fd, TCSANOW, &tio) == 0 && is_set(fd, &tio))
        return NX_OK;
    return nx_fail(why, NX_E_CONFIG, "%s: the device cannot do %u baud with %u data bits, %s parity, %u stop bits",
                   conf->path, conf->baud_rate, conf->data_bits, parities[conf->parity], conf->stop_bits);
}

/* USB adapters otherwise keep what they received for up to 16 ms. Not every driver can, and none must. */
static void
ask_for_low_latency(int fd)
{
    struct serial_struct info;

    if (ioctl(fd, TIOCGSERIAL, &info) < 0)
        return;
    info.flags |= ASYNC_LOW_LATENCY;
    (void)ioctl(fd, TIOCSSERIAL, &info);
}

/* --- RS-485 --- */

static int
set_rts(int fd, bool is_on)
{
    int rts = TIOCM_RTS;

    return ioctl(fd, is_on ? TIOCMBIS : TIOCMBIC, &rts) < 0 ? errno : 0;
}

static enum nx_err
use_kernel_rs485(int fd, const struct serial_conf *conf, struct nx_note *why)
{
    uint32_t delay_ms = (conf->rts_delay_us + 999) / 1000;
    struct serial_rs485 rs = {.flags = SER_RS485_ENABLED | SER_RS485_RTS_ON_SEND,
                              .delay_rts_before_send = delay_ms,
                              .delay_rts_after_send = delay_ms};

    if (ioctl(fd, TIOCSRS485, &rs) == 0)
        return NX_OK;
    return nx_fail(
        why, NX_E_CONFIG,
        "%s: its kernel driver cannot switch RS-485 (%s). Use rs485: off when the adapter switches by itself, "
        "else rs485: rts.",
        conf->path, strerror(errno));
}

static enum nx_err
set_rs485(int fd, const struct serial_conf *conf, struct nx_note *why)
{
    int os_errno;

    if (conf->rs485 == RS485_KERNEL)
        return use_kernel_rs485(fd, conf, why);
    if (conf->rs485 == RS485_OFF)
        return NX_OK;
    os_errno = set_rts(fd, false); /* listen */
    if (os_errno == 0)
        return NX_OK;
    return nx_fail(why, NX_E_CONFIG, "%s has no RTS line (%s). Use rs485: off, or kernel when its driver can.",
                   conf->path, strerror(os_errno));
}

static enum nx_err
prepare(int fd, const struct serial_conf *conf, speed_t rate, struct nx_note *why)
{
    enum nx_err err = set_up(fd, conf, rate, why);

    if (err == NX_OK)
        err = set_rs485(fd, conf, why);
    if (err != NX_OK)
        return err;
    ask_for_low_latency(fd);
    (void)tcflush(fd, TCIOFLUSH);
    return NX_OK;
}

static enum nx_err
open_locked(const struct serial_conf *conf, int *fd, struct nx_note *why)
{
    enum nx_err err;

    *fd = open(conf->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (*fd < 0)
        return fail_open(conf, errno, why);
    if (!isatty(*fd)) {
        err = nx_fail(why, NX_E_CONFIG, "%s is no serial line: check the path", conf->path);
    } else {
        int os_errno = lock_port(*fd);

        err = os_errno == 0 ? NX_OK : fail_open(conf, os_errno, why);
    }
    if (err != NX_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return err;
}

static enum nx_err
check_conf(const struct serial_conf *conf, struct nx_note *why)
{
    if (conf->data_bits < 5 || conf->data_bits > 8)
        return nx_fail(why, NX_E_CONFIG, "%s: data bits must be 5 to 8, not %u", conf->path, conf->data_bits);
    if (conf->stop_bits < 1 || conf->stop_bits > 2)
        return nx_fail(why, NX_E_CONFIG, "%s: stop bits must be 1 or 2, not %u", conf->path, conf->stop_bits);
    return NX_OK;
}

enum nx_err
serial_port_open(const struct serial_conf *conf, int *fd, struct nx_note *why)
{
    speed_t rate = B0;
    enum nx_err err = check_conf(conf, why);

    *fd = -1;
    if (err == NX_OK)
        err = find_rate(conf, &rate, why);
    if (err == NX_OK)
        err = open_locked(conf, fd, why);
    if (err != NX_OK)
        return err;
    err = prepare(*fd, conf, rate, why);
    if (err != NX_OK) {
        serial_port_close(*fd, false);
        *fd = -1;
    }
    return err;
}

/* --- sending, on a worker thread --- */

static void
sleep_us(uint32_t us)
{
    struct timespec ts = {us / 1000000, (long)(us % 1000000) * 1000};

    (void)nanosleep(&ts, NULL);
}

static int
wait_for_room(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    return poll(&p, 1, STALL_MS) == 0 ? ETIMEDOUT : 0;
}

int
serial_port_send(int fd, struct slice data)
{
    int os_errno = 0;

    while (data.len > 0 && os_errno == 0) {
        ssize_t n = write(fd, data.p, data.len);

        if (n >= 0)
            data = slice_skip(data, (size_t)n);
        else if (errno == EAGAIN)
            os_errno = wait_for_room(fd);
        else if (errno != EINTR)
            os_errno = errno;
    }
    if (os_errno != 0)
        return os_errno;
    return tcdrain(fd) < 0 ? errno : 0;
}

int
serial_port_send_rts(int fd, struct slice data, uint32_t delay_us)
{
    int os_errno = set_rts(fd, true);

    if (os_errno != 0)
        return os_errno;
    sleep_us(delay_us);
    os_errno = serial_port_send(fd, data);
    sleep_us(delay_us);
    int lowered = set_rts(fd, false);
    return os_errno ? os_errno : lowered;
}

void
serial_port_close(int fd, bool is_drained)
{
    if (!is_drained)
        (void)tcflush(fd, TCOFLUSH); /* close() would wait until it is out */
    (void)ioctl(fd, TIOCNXCL);       /* it would outlive us on a pty */
    (void)close(fd);
}
