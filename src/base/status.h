#ifndef STOQ_BASE_STATUS_H
#define STOQ_BASE_STATUS_H
/*
 * Outcomes, errors and assertions. Four kinds of failure are never mixed: our bug (STOQ_ASSERT), the
 * world's failure (a status), a peer's fault (an action that charges the peer), nothing yet (false
 * from a poll).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum stoq_status {
    STOQ_OK = 0,
    STOQ_NOMEM = -1,      /* out of memory */
    STOQ_FULL = -2,       /* a cap, quota or disk is reached; try later or raise it */
    STOQ_TRUNC = -3,      /* input ends too early; with more bytes it could be fine */
    STOQ_MALFORMED = -4,  /* input breaks its format */
    STOQ_PROOF = -5,      /* bytes do not match their hash, proof or signature */
    STOQ_NOTFOUND = -6,   /* no such thing here */
    STOQ_IO = -7,         /* the operating system refused; errno tells */
    STOQ_BUSY = -8,       /* held by someone else now */
    STOQ_VERSION = -9,    /* a format or protocol version we do not speak */
    STOQ_RANGE = -10,     /* an argument lies outside its documented range */
    STOQ_NET = -11,       /* peer unreachable, connection lost, handshake refused */
    STOQ_TIMEOUT = -12,   /* a wait reached its limit */
    STOQ_CANCELLED = -13, /* asked to stop */
    STOQ_EXISTS = -14,    /* it is there already and must not be overwritten */
};

#define STOQ_WARN_UNUSED __attribute__((warn_unused_result))

/* A short lower-case English phrase, static storage; "unknown status" for values not in the enum. */
const char *stoq_status_str(enum stoq_status status);

/*
 * What a shell adds to a status: the errno and one sentence, built where the failure was first seen.
 * code is one of the specification's error names ("ContentNotFound", ...) or NULL; static storage.
 */
struct stoq_error {
    enum stoq_status status;
    int sys_errno;
    const char *code;
    char text[512];
};

/* Fill err (NULL is fine) and return status, so that a failure is one statement. sys_errno 0: none;
 * otherwise ": " and its message are appended to the text. */
enum stoq_status stoq_fail(struct stoq_error *err, enum stoq_status status, int sys_errno,
                           const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Same, and names the specification's error code (static string). */
enum stoq_status stoq_fail_code(struct stoq_error *err, enum stoq_status status, const char *code,
                                const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Put text before err's sentence: "open store: permission denied". NULL is fine. */
void stoq_error_prefix(struct stoq_error *err, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Our own bug: print where, and abort, in release builds too. */
_Noreturn void stoq_assert_failed(const char *expr, const char *file, int line);
#define STOQ_ASSERT(x) ((x) ? (void)0 : stoq_assert_failed(#x, __FILE__, __LINE__))
#ifdef STOQ_SLOW_CHECKS
#define STOQ_SLOW_ASSERT(x) STOQ_ASSERT(x)
#else
#define STOQ_SLOW_ASSERT(x) ((void)0)
#endif

#define STOQ_KIB ((uint64_t)1024)
#define STOQ_MIB (1024 * STOQ_KIB)
#define STOQ_GIB (1024 * STOQ_MIB)
#define STOQ_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif
