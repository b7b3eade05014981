/*
 * Many who want the same of us. Where more is asked for than our line carries, every copy of a chunk that
 * leaves twice is one that another chunk waits for; and nobody who asks can know what the others were sent
 * a moment ago. We know. So while others wait, a chunk that went to one peer is not sent to the next ones
 * for eight seconds (a thousand who know thirty each need some four to hand it round): told Busy, they ask
 * for another one or come again, and meanwhile find it at the one who has it. That is what BitTorrent calls
 * super-seeding, without a word of its own in the protocol.
 *
 * Only who holds the package whole does so: a chunk of one who is still fetching is asked for because it is
 * rare. And only while there is a queue: a line that has time sends what is wanted, however often, so that
 * those who cannot ask one another are served no slower.
 */
#include "node/node_internal.h"

static uint64_t key_of(const struct stoq_package_id *id, uint64_t index)
{
    return stoq_le64(id->h.b) + index * UINT64_C(0x9e3779b97f4a7c15);
}

/* Did it go to another peer of late? */
static bool is_spread(const struct stoq_node *n, uint64_t key, stoq_peer peer)
{
    for (uint32_t i = 1; i <= SPREAD_MAX; i++) {
        const struct spread_chunk *c = &n->spread[(n->spread_next - i) % SPREAD_MAX];
        if (c->at == 0 || n->now - c->at > SPREAD_FOR) {
            return false; /* and the rest is older */
        }
        if (c->key == key && c->peer != peer) {
            return true;
        }
    }
    return false;
}

static bool is_fetching(const struct stoq_node *n, const struct stoq_package_id *id)
{
    const struct fetch *f = n->fetches;
    while (f != NULL && (f->over || !stoq_hash_eq(&f->package.h, &id->h))) {
        f = f->next;
    }
    return f != NULL;
}

bool spread_holds_back(const struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    if (n->spread == NULL || in->queue_ns < SPREAD_QUEUE || q->chunk_count > SPREAD_MAX ||
        is_fetching(n, &q->id)) {
        return false;
    }
    for (uint32_t r = 0; r < q->range_count; r++) {
        for (uint32_t k = 0; k < q->ranges[r].count; k++) {
            if (!is_spread(n, key_of(&q->id, q->ranges[r].first + k), in->peer)) {
                return false;
            }
        }
    }
    return true;
}

void spread_note(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    if (n->spread == NULL && in->queue_ns > 0) {
        n->spread = stoq_alloc(&n->cfg.alloc, SPREAD_MAX, sizeof *n->spread);
    }
    for (uint32_t r = 0; r < q->range_count && n->spread != NULL; r++) {
        for (uint32_t k = 0; k < q->ranges[r].count; k++) {
            n->spread[n->spread_next++ % SPREAD_MAX] =
                (struct spread_chunk){key_of(&q->id, q->ranges[r].first + k), n->now, in->peer};
        }
    }
}
