#include "os/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX 1024
#define USEC_MAX (STOQ_NEVER / 1000)

static bool number(const char *name, unsigned long long *out)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static stoq_ns watchdog(void)
{
    unsigned long long usec;
    unsigned long long pid;
    if (!number("WATCHDOG_USEC", &usec) || usec > USEC_MAX) {
        return 0;
    }
    if (number("WATCHDOG_PID", &pid) && pid != (unsigned long long)getpid()) {
        return 0;
    }
    return usec * 1000;
}

void stoq_notify_open(struct stoq_notify *n)
{
    const char *name = getenv("NOTIFY_SOCKET");
    *n = (struct stoq_notify){.fd = -1};
    if (name == NULL || (name[0] != '/' && name[0] != '@')) {
        return;
    }
    size_t length = strlen(name);
    if (length < 2 || length >= sizeof n->to.sun_path) {
        return;
    }
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, length);
    if (name[0] == '@') {
        n->to.sun_path[0] = '\0'; /* an abstract name: it ends where the address does */
    }
    n->to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    n->watchdog_ns = n->fd >= 0 ? watchdog() : 0;
}

void stoq_notify_close(struct stoq_notify *n)
{
    if (n->fd >= 0) {
        close(n->fd);
        n->fd = -1;
    }
}

bool stoq_notify_on(const struct stoq_notify *n)
{
    return n->fd >= 0;
}

void stoq_notify_send(const struct stoq_notify *n, const char *fmt, ...)
{
    char text[MESSAGE_BYTES_MAX];
    va_list ap;
    if (n->fd < 0) {
        return;
    }
    va_start(ap, fmt);
    int length = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (length < 0) {
        return;
    }
    size_t bytes = (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    /* Nobody there, or its queue is full: it learns the rest from our exit. */
    (void)sendto(n->fd, text, bytes, MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->to_n);
}
