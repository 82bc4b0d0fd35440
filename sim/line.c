#include "sim/line.h"

#include "base/mem.h"
#include "sim/replies.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define IN_CAP     1024u
#define SILENCE_MS 50 /* no gap inside a request is so long */

/* Handles cannot be used again before libuv has closed them, so each plugging makes a new one. */
struct plug {
    struct line *line;
    int fd, slave; /* slave: kept open, else the master would read errors while nobody else has it */
    uv_poll_t poll;
    struct replies replies;
    unsigned handles;
    uint64_t last_in_ms;
    size_t in_len;
    uint8_t in[IN_CAP];
};

struct line {
    uv_loop_t *loop;
    struct line_conf conf;
    struct plug *plug; /* NULL: unplugged */
};

/* --- files --- */

static bool
complain(const char *what, const char *path)
{
    fprintf(stderr, "nexus sim: %s %s: %s\n", what, path, strerror(errno));
    return false;
}

static bool
set_raw(int fd, unsigned baud)
{
    struct termios tio;

    if (tcgetattr(fd, &tio) < 0)
        return false;
    cfmakeraw(&tio);
    tio.c_cflag |= CLOCAL | CREAD;
    if (baud && cfsetspeed(&tio, baud) < 0)
        return false;
    return tcsetattr(fd, TCSANOW, &tio) == 0;
}

static bool
link_to(const char *target, const char *path)
{
    struct stat st;

    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
        (void)unlink(path);
    return symlink(target, path) == 0 || complain("cannot link", path);
}

static bool
open_pty(struct plug *p, const char *path)
{
    char name[64];

    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) < 0 || unlockpt(p->fd) < 0 || ptsname_r(p->fd, name, sizeof name) != 0)
        return complain("no pty for", path);
    p->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->slave < 0 || !set_raw(p->slave, 0) || fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0)
        return complain("cannot set up", name);
    return link_to(name, path);
}

static bool
open_device(struct plug *p, const struct line_conf *conf)
{
    p->fd = open(conf->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (p->fd < 0 || !set_raw(p->fd, conf->baud ? conf->baud : LINE_BAUD))
        return complain("cannot open", conf->path);
    return true;
}

/* --- the end --- */

static void
plug_unref(void *arg)
{
    struct plug *p = arg;

    if (--p->handles == 0)
        free(p);
}

static void
on_poll_closed(uv_handle_t *handle)
{
    plug_unref(handle->data);
}

static void
close_files(struct plug *p, const struct line_conf *conf)
{
    if (p->fd >= 0)
        close(p->fd);
    if (p->slave >= 0)
        close(p->slave);
    if (conf->is_pty)
        (void)unlink(conf->path);
}

bool
line_unplug(struct line *l)
{
    struct plug *p = l->plug;

    if (!p)
        return false;
    l->plug = NULL;
    uv_close((uv_handle_t *)&p->poll, on_poll_closed);
    replies_close(&p->replies);
    close_files(p, &l->conf);
    return true;
}

/* A line has no connection to end. */
static void
ignore_cut(void *arg, bool is_reset)
{
    (void)arg;
    (void)is_reset;
}

/* --- bytes --- */

/* What the line does not take is lost, as on a wire. */
static void
plug_write(void *arg, const uint8_t *p, size_t len)
{
    struct plug *plug = arg;

    if (write(plug->fd, p, len) < 0 && errno != EAGAIN)
        (void)line_unplug(plug->line);
}

static void
plug_answer(struct plug *p, const uint8_t *in, size_t len)
{
    uint8_t out[STATION_FRAME_MAX];
    enum fault fault;
    size_t n = station_answer(&p->line->conf.station, in, len, out, &fault);

    if (n > 0)
        (void)replies_push(&p->replies, out, n, fault, len);
}

static void
plug_serve(struct plug *p)
{
    struct line *l = p->line;
    size_t at = 0;

    while (l->plug == p) {
        int len = station_frame_length(&l->conf.station, p->in + at, p->in_len - at);

        if (len == 0)
            break;
        if (len < 0) { /* noise */
            p->in_len = at;
            break;
        }
        plug_answer(p, p->in + at, (size_t)len);
        at += (size_t)len;
    }
    memmove(p->in, p->in + at, p->in_len - at);
    p->in_len -= at;
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct plug *p = poll->data;
    uint64_t now = uv_now(poll->loop);
    ssize_t n;

    (void)events;
    if (now - p->last_in_ms > SILENCE_MS || p->in_len == sizeof p->in)
        p->in_len = 0;
    p->last_in_ms = now;
    n = status < 0 ? 0 : read(p->fd, p->in + p->in_len, sizeof p->in - p->in_len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        (void)line_unplug(p->line);
        return;
    }
    p->in_len += (size_t)n;
    plug_serve(p);
}

/* --- the line --- */

bool
line_plug(struct line *l)
{
    static const struct replies_ops ops = {plug_write, ignore_cut, plug_unref};
    struct plug *p;

    if (l->plug)
        return false;
    p = mem_alloc(sizeof *p);
    p->line = l;
    p->fd = p->slave = -1;
    if (!(l->conf.is_pty ? open_pty(p, l->conf.path) : open_device(p, &l->conf)) ||
        uv_poll_init(l->loop, &p->poll, p->fd) != 0) {
        close_files(p, &l->conf);
        free(p);
        return false;
    }
    p->handles = 2;
    p->poll.data = p;
    p->replies.faults = l->conf.station.faults;
    p->replies.baud = l->conf.is_pty ? l->conf.baud : 0;
    replies_init(&p->replies, l->loop, &ops, p);
    uv_poll_start(&p->poll, UV_READABLE, on_poll);
    l->plug = p;
    return true;
}

struct line *
line_open(uv_loop_t *loop, const struct line_conf *conf)
{
    struct line *l = mem_alloc(sizeof *l);

    l->loop = loop;
    l->conf = *conf;
    if (!line_plug(l)) {
        free(l);
        return NULL;
    }
    return l;
}

uint64_t
line_requests(const struct line *l)
{
    return l->conf.station.requests;
}

void
line_close(struct line **l)
{
    if (!*l)
        return;
    (void)line_unplug(*l);
    free(*l);
    *l = NULL;
}
