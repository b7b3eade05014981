#ifndef STOQ_OS_NOTIFY_H
#define STOQ_OS_NOTIFY_H
/*
 * What a service manager is told: the sd_notify protocol, a datagram of NAME=value lines to the socket
 * that NOTIFY_SOCKET names, a path or (@) an abstract name. Without that variable nothing is sent.
 */
#include "base/bytes.h"

#include <sys/socket.h>
#include <sys/un.h>

struct stoq_notify {
    int fd; /* -1: nobody to tell */
    struct sockaddr_un to;
    socklen_t to_n;
    stoq_ns watchdog_ns; /* WATCHDOG=1 is wanted at least this often; 0: not at all */
};

/* From the environment (NOTIFY_SOCKET; WATCHDOG_USEC, unless WATCHDOG_PID names another process).
 * Cannot fail: a manager that cannot be told is not told. */
void stoq_notify_open(struct stoq_notify *n);
void stoq_notify_close(struct stoq_notify *n);
bool stoq_notify_on(const struct stoq_notify *n);
/* One message; lines are separated by newlines. What does not fit 1024 bytes is cut. Never blocks. */
void stoq_notify_send(const struct stoq_notify *n, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
