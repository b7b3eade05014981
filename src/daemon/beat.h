#ifndef STOQ_DAEMON_BEAT_H
#define STOQ_DAEMON_BEAT_H
/* What a long operation does ten times a second: tell how far it is, and look whether it shall go on. */
#include "base/bytes.h"

/* True when the last time is a tenth of a second ago; *last is then now. 0: never yet. */
bool stoq_beat(stoq_ns *last);

/* STOQ_OK; STOQ_CANCELLED: cancelled, where there is one, says so. */
STOQ_WARN_UNUSED enum stoq_status stoq_go_on(bool (*cancelled)(void *user), void *user,
                                             struct stoq_error *err);

#endif
