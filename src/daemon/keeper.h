#ifndef STOQ_DAEMON_KEEPER_H
#define STOQ_DAEMON_KEEPER_H
/*
 * Who sees to the store's room: a collection when much is dead, and when the store is fuller than the high
 * watermark, garbage first, then leftovers of fetches, then packages, until it is down to the low one.
 * In a daemon
 * a thread does so in the background; new content that finds no room has it done at once, in any process.
 */
#include "store/store.h"

struct stoq_host;
struct stoq_keeper;

/* Nothing runs yet; host is kept. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_keeper_new(struct stoq_keeper **out, struct stoq_host *host);
/* End its thread. It may still be called by the store's users, and
 * does nothing more. NULL is fine. */
void stoq_keeper_stop(struct stoq_keeper *k);
/* Stops it; the store is closed. NULL is fine. */
void stoq_keeper_free(struct stoq_keeper *k);
/* Begin to work in the background, once the host is open. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_keeper_start(struct stoq_keeper *k, struct stoq_error *err);

/* Something was added, removed or let go: look soon. Any thread, does not block. NULL is fine. */
void stoq_keeper_wake(struct stoq_keeper *k);

/* Make room for some bytes of new content, below the quota; false: there is none to be had. user is
 * the keeper;
 * for struct stoq_store_config. */
bool stoq_keeper_make_room(void *user, uint64_t bytes);

struct stoq_keeper_status {
    uint64_t used_bytes;
    uint64_t quota_bytes; /* 0: none */
    uint64_t high_bytes;
    uint64_t low_bytes;
    uint64_t collections; /* since the start, in the background or for room */
    uint64_t bytes_freed;
    uint64_t packages_given_up;
};
void stoq_keeper_status(struct stoq_keeper *k, struct stoq_keeper_status *out);

#endif
