#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *stoq_status_str(enum stoq_status status)
{
    switch (status) {
    case STOQ_OK:
        return "ok";
    case STOQ_NOMEM:
        return "out of memory";
    case STOQ_FULL:
        return "limit reached";
    case STOQ_TRUNC:
        return "input ends too early";
    case STOQ_MALFORMED:
        return "malformed input";
    case STOQ_PROOF:
        return "integrity check failed";
    case STOQ_NOTFOUND:
        return "not found";
    case STOQ_IO:
        return "input/output error";
    case STOQ_BUSY:
        return "busy";
    case STOQ_VERSION:
        return "unsupported version";
    case STOQ_RANGE:
        return "out of range";
    case STOQ_NET:
        return "network failure";
    case STOQ_TIMEOUT:
        return "timed out";
    case STOQ_CANCELLED:
        return "cancelled";
    case STOQ_EXISTS:
        return "exists already";
    }
    return "unknown status";
}

static void fill(struct stoq_error *err, enum stoq_status status, int sys_errno, const char *code,
                 const char *fmt, va_list ap)
{
    if (err == NULL) {
        return;
    }
    err->status = status;
    err->sys_errno = sys_errno;
    err->code = code;
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    if (sys_errno != 0 && n >= 0 && (size_t)n < sizeof err->text) {
        char why[128];
        const char *s = strerror_r(sys_errno, why, sizeof why);
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", s);
    }
}

enum stoq_status stoq_fail(struct stoq_error *err, enum stoq_status status, int sys_errno,
                           const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, status, sys_errno, NULL, fmt, ap);
    va_end(ap);
    return status;
}

enum stoq_status stoq_fail_code(struct stoq_error *err, enum stoq_status status, const char *code,
                                const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fill(err, status, 0, code, fmt, ap);
    va_end(ap);
    return status;
}

void stoq_error_prefix(struct stoq_error *err, const char *fmt, ...)
{
    if (err == NULL) {
        return;
    }
    char old[sizeof err->text];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text) {
        (void)snprintf(err->text + n, sizeof err->text - (size_t)n, "%s", old);
    }
}

void stoq_assert_failed(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "stoq: bug: %s does not hold at %s:%d\n", expr, file, line);
    abort();
}
