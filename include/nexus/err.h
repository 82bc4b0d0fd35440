/* err.h -- how every part of NEXUS Edge says that something went wrong.
 *
 * A function that can fail because of the world (a device, a network, a file, a user) returns enum nx_err.
 * NX_OK is 0. The class of an error decides what happens next: a scheduler retries NX_CLASS_RETRY, shows
 * NX_CLASS_CONFIG to a person and slows down, and so on. A mistake of our own is an assert, never an nx_err.
 *
 * Where a person will read the reason, the function also takes a struct nx_note * (NULL is allowed). Its text
 * names the place and, where there is one, the remedy. */
#ifndef NEXUS_ERR_H
#define NEXUS_ERR_H

#include <stdbool.h>
#include <stddef.h>

#define NX_MUST_CHECK        __attribute__((warn_unused_result))
#define NX_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum nx_class {
    NX_CLASS_OK,
    NX_CLASS_RETRY,  /* the same call may work later */
    NX_CLASS_CONFIG, /* a setting or an address is wrong: a person must act */
    NX_CLASS_PEER,   /* the other side broke the protocol or refused */
    NX_CLASS_LIMIT,  /* a stated bound was reached */
    NX_CLASS_CALLER, /* the request cannot be served as it was asked */
};

/* name, text, class. Enum, text and class come from this list. */
#define NX_ERRORS(ERR)                                                                                                 \
    ERR(TIMEOUT, "no answer in time", RETRY)                                                                           \
    ERR(REFUSED, "connection refused", RETRY)                                                                          \
    ERR(UNREACHABLE, "host or network unreachable", RETRY)                                                             \
    ERR(RESOLVE, "host name not found", CONFIG)                                                                        \
    ERR(CLOSED, "connection closed by the peer", RETRY)                                                                \
    ERR(OFFLINE, "not connected", RETRY)                                                                               \
    ERR(BUSY, "peer is busy", RETRY)                                                                                   \
    ERR(IO, "input/output error", RETRY)                                                                               \
    ERR(TLS, "TLS handshake or certificate failed", CONFIG)                                                            \
    ERR(AUTH, "credentials were refused", CONFIG)                                                                      \
    ERR(PROTO, "peer broke the protocol", PEER)                                                                        \
    ERR(DEVICE, "device reports a failure", PEER)                                                                      \
    ERR(ADDRESS, "address does not exist on the device", CONFIG)                                                       \
    ERR(UNSUPPORTED, "not supported by the device or protocol", CONFIG)                                                \
    ERR(CONFIG, "setting is wrong", CONFIG)                                                                            \
    ERR(VALUE, "value is not acceptable", CALLER)                                                                      \
    ERR(RANGE, "value is out of range", CALLER)                                                                        \
    ERR(DENIED, "not allowed", CALLER)                                                                                 \
    ERR(NOT_FOUND, "not found", CALLER)                                                                                \
    ERR(CONFLICT, "conflicts with the present state", CALLER)                                                          \
    ERR(EXPIRED, "too late: time to live is over", CALLER)                                                             \
    ERR(FULL, "a stated bound was reached", LIMIT)                                                                     \
    ERR(DISK_FULL, "no space left on the disk", LIMIT)                                                                 \
    ERR(TOO_LARGE, "larger than the stated limit", LIMIT)                                                              \
    ERR(CORRUPT, "stored data is damaged", PEER)                                                                       \
    ERR(MORE, "more input is needed", RETRY)                                                                           \
    ERR(CANCELED, "canceled", CALLER)                                                                                  \
    ERR(INTERNAL, "internal error", CALLER)

enum nx_err {
    NX_OK = 0,
#define NX_ERR_ENUM(name, text, class) NX_E_##name,
    NX_ERRORS(NX_ERR_ENUM)
#undef NX_ERR_ENUM
        NX_E_COUNT
};

/* A reason for a person. text is always terminated; long texts are cut at a UTF-8 boundary. */
struct nx_note {
    enum nx_err err;
    int os_errno; /* 0 when no system call was involved */
    char text[320];
};

/* "TIMEOUT", "no answer in time", NX_CLASS_RETRY. Valid for every enum nx_err. Any thread. */
const char *nx_err_name(enum nx_err err);
const char *nx_err_text(enum nx_err err);
enum nx_class nx_err_class(enum nx_err err);

/* Fills why (may be NULL) and returns err, so that `return nx_fail(why, NX_E_CONFIG, "...")` reads well. */
enum nx_err nx_fail(struct nx_note *why, enum nx_err err, const char *fmt, ...) NX_PRINTF(3, 4);

/* The same with the text of an errno appended ("...: No space left on device") and err chosen from it when err
 * is NX_OK (ENOSPC -> DISK_FULL, ECONNREFUSED -> REFUSED, ETIMEDOUT -> TIMEOUT, EACCES -> DENIED, ...). */
enum nx_err nx_fail_errno(struct nx_note *why, enum nx_err err, int os_errno, const char *fmt, ...) NX_PRINTF(4, 5);

/* enum nx_err for an errno value; NX_E_IO when nothing fits better. */
enum nx_err nx_err_from_errno(int os_errno);

#endif
