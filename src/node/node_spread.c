/*
 * Many who want the same of us. Where more is asked for than our line carries, every copy of a chunk that
 * leaves twice is one that another chunk waits for; and nobody who asks can know what the others were sent
 * a moment ago. We know. So while others wait, a chunk that went to one peer is not sent to the next ones
 * for eight seconds (a thousand who know thirty each need some four to hand it round): told Busy, they ask
 * for another one or come again, and meanwhile find it at the one who has it. That is what BitTorrent calls
 * super-seeding, without a word of its own in the protocol.
 *
 * So with metadata, which whoever has them serves as well: of a thousand who begin at the same moment a
 * few get each list from us, the others from them. Metadata do not wait behind chunks, so only a longer
 * queue counts, and who has been told to come again for two seconds may know nobody else: it gets what
 * it asks for.
 *
 * Who asks for chunks may know nobody else too. It is taken for such a one when it was sent away again and
 * again, and was given far less meanwhile than the others on average: who shares with them would have had
 * its turn by then, or found something that has not left yet. It is then served like the others, ten
 * times as long as it took to find out. (Before, two who did not know each other shared a line of 4 MB/s
 * 4 to 1, and left it idle for a quarter of the time: each was sent away for what the other one had.)
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

/* As long as many wait for us: is it something that they can have from one another? */
static bool is_for_others(const struct stoq_node *n, const struct stoq_package_id *id)
{
    return n->spread != NULL && !is_fetching(n, id);
}

/* Has every chunk of it gone to others of late? */
static bool went_to_others(const struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    for (uint32_t r = 0; r < q->range_count; r++) {
        for (uint32_t k = 0; k < q->ranges[r].count; k++) {
            if (!is_spread(n, key_of(&q->id, q->ranges[r].first + k), in->peer)) {
                return false;
            }
        }
    }
    return true;
}

/* Since it was first sent away the others were given much more, on average. */
static bool is_far_behind(struct stoq_node *n, const struct link *l)
{
    uint32_t chunks = 0;
    uint32_t peers = 0;
    uint32_t own = 0;
    n->spread_counts++;
    for (uint32_t i = 1; i <= SPREAD_MAX; i++) {
        const struct spread_chunk *c = &n->spread[(n->spread_next - i) % SPREAD_MAX];
        struct link *other = c->at == 0 ? NULL : node_link(n, c->peer);
        if (c->at == 0 || c->at < l->held_back_at) {
            break;
        }
        if (other == l) {
            own++;
            continue;
        }
        chunks++;
        if (other != NULL && other->counted != n->spread_counts) {
            other->counted = n->spread_counts;
            peers++;
        }
    }
    return chunks * 3 >= peers * (own + SPREAD_BEHIND) * 4;
}

bool spread_holds_back(struct stoq_node *n, struct link *l, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    if (in->queue_ns < SPREAD_QUEUE || q->chunk_count > SPREAD_MAX || !is_for_others(n, &q->id) ||
        n->now < l->alone_until || !went_to_others(n, in)) {
        return false;
    }
    if (n->now - l->held_back_last > SPREAD_PAUSE) {
        l->held_back = 0;
        l->held_back_at = n->now;
    }
    l->held_back_last = n->now;
    l->held_back++;
    if (l->held_back < SPREAD_TRIES || n->now - l->held_back_at < SPREAD_WAIT ||
        !is_far_behind(n, l)) {
        return true;
    }
    l->alone_until = n->now + SPREAD_ALONE * (n->now - l->held_back_at);
    return false;
}

static bool begin(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    if (n->spread == NULL && in->queue_ns > 0) {
        n->spread = stoq_alloc(&n->cfg.alloc, SPREAD_MAX, sizeof *n->spread);
    }
    return n->spread != NULL;
}

static void note(struct stoq_node *n, uint64_t key, stoq_peer peer)
{
    n->spread[n->spread_next++ % SPREAD_MAX] = (struct spread_chunk){key, n->now, peer};
}

void spread_note(struct stoq_node *n, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_chunk_request *q = &in->msg->u.chunk_request;
    if (!begin(n, in)) {
        return;
    }
    for (uint32_t r = 0; r < q->range_count; r++) {
        for (uint32_t k = 0; k < q->ranges[r].count; k++) {
            note(n, key_of(&q->id, q->ranges[r].first + k), in->peer);
        }
    }
}

/* What the query asks for comes in so many parts: lists, each by itself, or one thing. 0: something that is
 * answered whoever asks. */
static uint32_t part_count(const struct stoq_msg_metadata_query *q)
{
    switch (q->kind) {
    case STOQ_META_CHUNK_LISTS:
        return q->shards.count;
    case STOQ_META_MANIFEST:
    case STOQ_META_OPENING:
    case STOQ_META_SHARD_LIST:
        return 1;
    default:
        return 0;
    }
}

/* No chunk has that index. */
static uint64_t key_of_part(const struct stoq_msg_metadata_query *q, uint32_t i)
{
    return key_of(&q->id, (UINT64_C(8) + q->kind) << 56 | (q->shards.first + i));
}

bool spread_holds_back_meta(const struct stoq_node *n, struct link *l,
                            const struct stoq_node_inbound *in)
{
    const struct stoq_msg_metadata_query *q = &in->msg->u.metadata_query;
    uint32_t parts = part_count(q);
    if (in->queue_ns < SPREAD_META_QUEUE || parts == 0 || !is_for_others(n, &q->id)) {
        return false;
    }
    for (uint32_t i = 0; i < parts; i++) {
        if (!is_spread(n, key_of_part(q, i), in->peer)) {
            return false;
        }
    }
    l->sent_away_at = l->sent_away_at == 0 ? n->now : l->sent_away_at;
    return n->now - l->sent_away_at < SPREAD_META_WAIT;
}

void spread_note_meta(struct stoq_node *n, struct link *l, const struct stoq_node_inbound *in)
{
    const struct stoq_msg_metadata_query *q = &in->msg->u.metadata_query;
    uint32_t parts = part_count(q);
    if (parts == 0) {
        return;
    }
    l->sent_away_at = 0;
    if (begin(n, in)) {
        for (uint32_t i = 0; i < parts; i++) {
            note(n, key_of_part(q, i), in->peer);
        }
    }
}
