#ifndef STOQ_DAEMON_REPLICATOR_H
#define STOQ_DAEMON_REPLICATOR_H
/*
 * Keeping what others offer: an Offer that is accepted (replica/accept.h) is pulled from the one who made it,
 * made durable, read again from the disk, and answered with a signed receipt. A few threads do so, in the
 * order of the offers. What became of an offer is remembered for a while, for those who ask again.
 */
#include "daemon/engine.h"

struct stoq_host;
struct stoq_replicator;

/* Nothing runs yet; host is kept. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_replicator_new(struct stoq_replicator **out,
                                                      struct stoq_host *host);
/* End its threads; pulls under way are given up, what is verified of them stays. Offers are refused from
 * then on. NULL is fine. */
void stoq_replicator_stop(struct stoq_replicator *r);
/* Stops it; the engine has ended. NULL is fine. */
void stoq_replicator_free(struct stoq_replicator *r);
/* Begin to work, once the host's engine runs. */
void stoq_replicator_start(struct stoq_replicator *r);

/* For struct stoq_engine_config; user is the replicator. */
uint64_t stoq_replicator_offered(void *user, const struct stoq_offer *offer,
                                 struct stoq_error *why);

struct stoq_replicator_status {
    uint64_t waiting;
    uint64_t at_work;
    uint64_t kept;    /* since the start: read again and receipted */
    uint64_t failed;  /* accepted, and came to nothing */
    uint64_t refused; /* not accepted */
    uint64_t bytes_kept;
};
void stoq_replicator_status(struct stoq_replicator *r, struct stoq_replicator_status *out);

#endif
