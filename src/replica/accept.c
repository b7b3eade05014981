#include "replica/accept.h"

/* Do bytes fit into what is free, besides what was promised before? */
static bool fits(uint64_t free_bytes, uint64_t promised, uint64_t bytes)
{
    return promised <= free_bytes && bytes <= free_bytes - promised;
}

enum stoq_replica_verdict stoq_replica_judge(const struct stoq_replica_offer *o)
{
    bool welcome = o->policy == STOQ_REPLICA_ACCEPT_ALL ||
                   (o->policy == STOQ_REPLICA_ACCEPT_KNOWN && o->is_known);
    if (!welcome) {
        return STOQ_REPLICA_BY_POLICY;
    }
    if (o->taken >= STOQ_REPLICA_OFFERS_MAX || o->taken_peer >= STOQ_REPLICA_OFFERS_PEER_MAX) {
        return STOQ_REPLICA_TOO_MANY;
    }
    if (o->is_here) {
        return STOQ_REPLICA_TAKE;
    }
    if (o->free_bytes_quota != UINT64_MAX &&
        !fits(o->free_bytes_quota, o->promised_bytes, o->bytes)) {
        return STOQ_REPLICA_NO_QUOTA;
    }
    uint64_t disk = o->free_bytes_disk > STOQ_REPLICA_DISK_RESERVE
                        ? o->free_bytes_disk - STOQ_REPLICA_DISK_RESERVE
                        : 0;
    return fits(disk, o->promised_bytes, o->bytes) ? STOQ_REPLICA_TAKE : STOQ_REPLICA_NO_DISK;
}

const char *stoq_replica_verdict_str(enum stoq_replica_verdict verdict)
{
    static const char *const text[] = {
        [STOQ_REPLICA_TAKE] = "accepted",
        [STOQ_REPLICA_BY_POLICY] = "distribute.accept here does not let this peer offer",
        [STOQ_REPLICA_NO_QUOTA] = "the quota here has no room for it",
        [STOQ_REPLICA_NO_DISK] = "the disk here has no room for it",
        [STOQ_REPLICA_TOO_MANY] = "too many offers are being taken",
    };
    return text[verdict];
}
