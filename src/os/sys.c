#include "os/sys.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static stoq_ns read_clock(clockid_t id)
{
    struct timespec ts;
    STOQ_ASSERT(clock_gettime(id, &ts) == 0);
    return (stoq_ns)ts.tv_sec * STOQ_SEC + (stoq_ns)ts.tv_nsec;
}

stoq_ns stoq_now(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t stoq_wall_seconds(void)
{
    return read_clock(CLOCK_REALTIME) / STOQ_SEC;
}

stoq_ns stoq_cpu_ns(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void stoq_entropy(void *p, size_t n)
{
    uint8_t *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        if (got < 0) {
            STOQ_ASSERT(errno == EINTR);
            continue;
        }
        at += got;
        n -= (size_t)got;
    }
}
