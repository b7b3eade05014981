#ifndef STOQ_REPLICA_ACCEPT_H
#define STOQ_REPLICA_ACCEPT_H
/*
 * Whether to keep what a peer offers: the policy of the one who is asked, as a function of what it knows.
 */
#include "base/bytes.h"

#define STOQ_REPLICA_OFFERS_MAX 1024u /* taken and not over, of all peers; some 500 bytes each */
#define STOQ_REPLICA_OFFERS_PEER_MAX 256u         /* of one peer */
#define STOQ_REPLICA_DISK_RESERVE (64 * STOQ_MIB) /* of the disk's free bytes, left for others */

enum stoq_replica_policy {
    STOQ_REPLICA_ACCEPT_KNOWN, /* of peers that the configuration names */
    STOQ_REPLICA_ACCEPT_ALL,
    STOQ_REPLICA_ACCEPT_NONE,
};

/* What is known when an offer comes. */
struct stoq_replica_offer {
    enum stoq_replica_policy policy;
    bool is_known;             /* the configuration names the peer */
    uint64_t bytes;            /* that it says it offers */
    bool is_here;              /* all of it is here: no room is needed */
    uint64_t free_bytes_quota; /* UINT64_MAX: no quota */
    uint64_t free_bytes_disk;
    uint64_t promised_bytes; /* of offers taken before and not stored yet */
    uint32_t taken;          /* offers that are not over */
    uint32_t taken_peer;     /* of this peer */
};

enum stoq_replica_verdict {
    STOQ_REPLICA_TAKE,
    STOQ_REPLICA_BY_POLICY,
    STOQ_REPLICA_NO_QUOTA,
    STOQ_REPLICA_NO_DISK,
    STOQ_REPLICA_TOO_MANY, /* come again */
};

/* Policy first, so that nobody who is not welcome learns how full the disk is. */
enum stoq_replica_verdict stoq_replica_judge(const struct stoq_replica_offer *offer);
/* One sentence, static. */
const char *stoq_replica_verdict_str(enum stoq_replica_verdict verdict);

#endif
