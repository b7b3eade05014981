#include "daemon/beat.h"

#include "os/sys.h"

#define BEAT_NS (100 * STOQ_MS)

bool stoq_beat(stoq_ns *last)
{
    stoq_ns now = stoq_now();
    if (now - *last < BEAT_NS) {
        return false;
    }
    *last = now;
    return true;
}

enum stoq_status stoq_go_on(bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    if (cancelled != NULL && cancelled(user)) {
        return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
    }
    return STOQ_OK;
}
