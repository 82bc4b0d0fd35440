#include "sim/program.h"

#include "base/file.h"
#include "base/num.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

bool
program_number(const char *text, uint64_t min, uint64_t max, unsigned *out)
{
    uint64_t v;

    if (!num_u64(slice_str(text), &v) || v < min || v > max) {
        fprintf(stderr, "nexus sim: '%s' is no number from %llu to %llu\n", text, (unsigned long long)min,
                (unsigned long long)max);
        return false;
    }
    *out = (unsigned)v;
    return true;
}

/* Ten thousand clients need ten thousand descriptors. */
static void
raise_file_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &lim);
    }
}

void
program_start(uv_loop_t *loop)
{
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(loop);
}

void
program_watch(uv_loop_t *loop, uv_signal_t *handles, const int *signums, unsigned n, uv_signal_cb cb, void *arg)
{
    for (unsigned i = 0; i < n; i++) {
        uv_signal_init(loop, &handles[i]);
        handles[i].data = arg;
        uv_signal_start(&handles[i], cb, signums[i]);
    }
}

void
program_unwatch(uv_signal_t *handles, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        uv_close((uv_handle_t *)&handles[i], NULL);
}

void
program_say_no_port(const char *host, unsigned port, int why)
{
    fprintf(stderr, "nexus sim: cannot listen on %s port %u: %s\n", host, port, uv_strerror(why));
}

bool
program_save(const char *path, struct wbuf *text)
{
    struct nx_note why;
    enum nx_err err = file_write(path, slice(text->p, text->len), 0644, &why);

    wbuf_free(text);
    if (err != NX_OK)
        fprintf(stderr, "nexus sim: %s\n", why.text);
    return err == NX_OK;
}
