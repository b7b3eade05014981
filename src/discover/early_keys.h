#ifndef STOQ_DISCOVER_EARLY_KEYS_H
#define STOQ_DISCOVER_EARLY_KEYS_H
/* Keys to be announced once there is somebody to announce them to: a heap of 32 bytes each, with a cap. */
#include "base/bytes.h"

struct stoq_early {
    struct stoq_buf keys;
};

void stoq_early_init(struct stoq_early *early, size_t max); /* keys at most */
void stoq_early_release(struct stoq_early *early);
/* STOQ_OK; STOQ_FULL, STOQ_NOMEM: not taken in. One that is there already may be there twice. */
STOQ_WARN_UNUSED enum stoq_status stoq_early_add(struct stoq_early *early,
                                                 const struct stoq_hash *key);
/* It is not to be announced any more. */
void stoq_early_remove(struct stoq_early *early, const struct stoq_hash *key);
/* One of them, which is left out from then on; false: there is none. */
bool stoq_early_take(struct stoq_early *early, struct stoq_hash *out);

#endif
