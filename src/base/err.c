#include "nexus/err.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *text;
    enum nx_class class;
} errors[NX_E_COUNT] = {[NX_OK] = {"OK", "ok", NX_CLASS_OK},
#define NX_ERR_ROW(err_name, err_text, err_class)                                                                      \
    [NX_E_##err_name] = {.name = #err_name, .text = err_text, .class = NX_CLASS_##err_class},
                        NX_ERRORS(NX_ERR_ROW)
#undef NX_ERR_ROW
};

static const struct {
    int os_errno;
    enum nx_err err;
} errno_map[] = {
    {ENOSPC, NX_E_DISK_FULL},
    {EDQUOT, NX_E_DISK_FULL},
    {ECONNREFUSED, NX_E_REFUSED},
    {ETIMEDOUT, NX_E_TIMEOUT},
    {EACCES, NX_E_DENIED},
    {EPERM, NX_E_DENIED},
    {ENOENT, NX_E_NOT_FOUND},
    {EADDRINUSE, NX_E_CONFLICT},
    {EEXIST, NX_E_CONFLICT},
    {EHOSTUNREACH, NX_E_UNREACHABLE},
    {ENETUNREACH, NX_E_UNREACHABLE},
    {ENETDOWN, NX_E_UNREACHABLE},
    {ECONNRESET, NX_E_CLOSED},
    {EPIPE, NX_E_CLOSED},
    {EBUSY, NX_E_BUSY},
    {EAGAIN, NX_E_BUSY},
    {EMFILE, NX_E_FULL},
    {ENFILE, NX_E_FULL},
    {EFBIG, NX_E_TOO_LARGE},
    {EROFS, NX_E_IO},
    {EIO, NX_E_IO},
};

const char *
nx_err_name(enum nx_err err)
{
    return err < NX_E_COUNT ? errors[err].name : "UNKNOWN";
}

const char *
nx_err_text(enum nx_err err)
{
    return err < NX_E_COUNT ? errors[err].text : "unknown error";
}

enum nx_class
nx_err_class(enum nx_err err)
{
    return err < NX_E_COUNT ? errors[err].class : NX_CLASS_CALLER;
}

enum nx_err
nx_err_from_errno(int os_errno)
{
    for (size_t i = 0; i < sizeof errno_map / sizeof errno_map[0]; i++) {
        if (errno_map[i].os_errno == os_errno)
            return errno_map[i].err;
    }
    return NX_E_IO;
}

/* snprintf() may have cut a character in two. */
static void
cut_clean(struct nx_note *why)
{
    size_t len = strlen(why->text);

    why->text[utf8_cut(slice(why->text, len), len)] = '\0';
}

enum nx_err
nx_fail(struct nx_note *why, enum nx_err err, const char *fmt, ...)
{
    va_list ap;

    if (!why)
        return err;
    why->err = err;
    why->os_errno = 0;
    va_start(ap, fmt);
    (void)vsnprintf(why->text, sizeof why->text, fmt, ap);
    va_end(ap);
    cut_clean(why);
    return err;
}

enum nx_err
nx_fail_errno(struct nx_note *why, enum nx_err err, int os_errno, const char *fmt, ...)
{
    va_list ap;
    size_t len;

    if (err == NX_OK)
        err = nx_err_from_errno(os_errno);
    if (!why)
        return err;
    why->err = err;
    why->os_errno = os_errno;
    va_start(ap, fmt);
    (void)vsnprintf(why->text, sizeof why->text, fmt, ap);
    va_end(ap);
    len = strlen(why->text);
    (void)snprintf(why->text + len, sizeof why->text - len, ": %s", strerror(os_errno));
    cut_clean(why);
    return err;
}
