#include "os/cond.h"

#include "base/status.h"

#include <errno.h>
#include <time.h>

void stoq_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    STOQ_ASSERT(pthread_condattr_init(&attr) == 0);
    STOQ_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    STOQ_ASSERT(pthread_cond_init(c, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

bool stoq_cond_wait_until(pthread_cond_t *c, pthread_mutex_t *lock, stoq_ns at)
{
    if (at == STOQ_NEVER) {
        return pthread_cond_wait(c, lock) == 0;
    }
    const struct timespec t = {.tv_sec = (time_t)(at / STOQ_SEC), .tv_nsec = (long)(at % STOQ_SEC)};
    return pthread_cond_timedwait(c, lock, &t) != ETIMEDOUT;
}
