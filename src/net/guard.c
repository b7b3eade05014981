/*
 * Buckets are kept as one time stamp each: "full again at". A token moves it ahead by the price of
 * one; the bucket is empty when it lies further ahead than the burst. That is the virtual scheduling
 * form of the leaky bucket (ITU-T I.371, generic cell rate algorithm) and needs no refill pass.
 */
#include "net/guard.h"

void net_guard_init(struct net_guard *g, uint64_t seed, uint32_t per_s, size_t open_max,
                    size_t open_prefix_max)
{
    STOQ_ASSERT(per_s > 0);
    *g = (struct net_guard){.seed = seed,
                            .token_ns = STOQ_SEC / per_s,
                            .burst_ns = 2 * STOQ_SEC,
                            .open_max = open_max,
                            .open_prefix_max = open_prefix_max};
}

static struct net_guard_slot *slot_of(struct net_guard *g, uint64_t prefix)
{
    uint64_t h = (prefix ^ g->seed) * UINT64_C(0x9e3779b97f4a7c15);
    h ^= h >> 29;
    h *= g->seed | 1;
    return &g->slots[(h >> 40) % NET_GUARD_SLOTS];
}

static bool take(stoq_ns *full_at, stoq_ns now, stoq_ns token_ns, stoq_ns burst_ns)
{
    stoq_ns at = *full_at > now ? *full_at : now;
    if (at + token_ns > now + burst_ns) {
        return false;
    }
    *full_at = at + token_ns;
    return true;
}

bool net_guard_admit(struct net_guard *g, uint64_t prefix, stoq_ns now)
{
    return take(&slot_of(g, prefix)->full_at, now, g->token_ns, g->burst_ns);
}

bool net_guard_reply(struct net_guard *g, stoq_ns now)
{
    return take(&g->reply_full_at, now, STOQ_SEC / NET_GUARD_REPLIES_PER_S, STOQ_SEC / 10);
}

bool net_guard_rpc(struct net_guard *g, uint64_t payer, stoq_ns now)
{
    return take(&slot_of(g, payer)->rpc_full_at, now, STOQ_SEC / NET_GUARD_RPCS_PREFIX_PER_S,
                STOQ_SEC) &&
           take(&g->rpc_full_at, now, STOQ_SEC / NET_GUARD_RPCS_PER_S, STOQ_SEC / 10);
}

bool net_guard_enter(struct net_guard *g, uint64_t prefix)
{
    struct net_guard_slot *slot = slot_of(g, prefix);
    if (g->open >= g->open_max || slot->open >= g->open_prefix_max) {
        return false;
    }
    g->open++;
    slot->open++;
    return true;
}

void net_guard_leave(struct net_guard *g, uint64_t prefix)
{
    struct net_guard_slot *slot = slot_of(g, prefix);
    STOQ_ASSERT(g->open > 0 && slot->open > 0);
    g->open--;
    slot->open--;
}

bool net_guard_wary(const struct net_guard *g)
{
    return g->open >= g->open_max / 4;
}
