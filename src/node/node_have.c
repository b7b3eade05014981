/*
 * What partial holders have. A source is taken to have everything until it says "missing" once; so one
 * that has, which most have, costs nothing. From then on its map of the shards at hand is asked for,
 * again and again while it fetches too: every quarter of a second, seldomer where many sources are
 * asked or where the last map brought nothing that is wanted here, until a map shows all of them.
 *
 *     missing -> map asked -> bits to the swarm -> asked again after have_every() .. HAVE_IDLE
 *
 * One query asks for many shards, all at hand where they are not too many; else for some of them, and
 * the next one goes on behind them.
 *
 * Polled and not pushed: who asks knows what it is still short of, and the one who serves keeps no list of
 * who wants to be told.
 */
#include "node/node_internal.h"

#define HAVE_EVERY (250 * STOQ_MS)
#define HAVE_SHARE (10 * STOQ_MS) /* of the time between two maps, per source that is asked */
#define HAVE_IDLE (1 * STOQ_SEC)  /* nothing new comes from it at present */
#define HAVE_CHUNKS                                                                                \
    16384u /* in one map, some gigabyte: each is looked up there. The rest in the next one */

static bool is_mapped(const struct source *s)
{
    return s->is_partial && s->state == SOURCE_USABLE && s->in_swarm;
}

static stoq_ns have_every(const struct fetch *f)
{
    stoq_ns shared = 0;
    for (uint32_t i = 0; i < f->source_count; i++) {
        shared += is_mapped(&f->sources[i]) ? HAVE_SHARE : 0;
    }
    return shared > HAVE_EVERY ? shared : HAVE_EVERY;
}

/* Nothing is known of what it has of this shard: it is not asked for any of it before a map comes. */
static void forget(struct fetch *f, const struct source *s, const struct shard *shard)
{
    static const uint8_t none[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_PEER_HAS,
        .u.has = {.peer = s->peer,
                  .chunks = {shard->first_chunk, (uint32_t)shard->entry.chunks},
                  .bits = none}};
    swarm_tell(f, &ev);
}

void have_missing(struct fetch *f, struct source *s, const struct shard *shard)
{
    const struct link *l = node_link(f->node, s->peer);
    if (l == NULL || (l->said.features & STOQ_FEATURE_HAVE) == 0 || s->said_damaged) {
        return;
    }
    if (!s->is_partial) {
        s->is_partial = true;
        s->map_at = f->node->now;
        s->map_wait = 0;
        for (uint32_t i = 0; i < f->shard_count && !f->over; i++) {
            forget(f, s, f->shards[i]);
        }
    } else if (shard != NULL) {
        forget(f, s, shard);
    }
}

void have_opened(struct fetch *f, const struct shard *shard)
{
    for (uint32_t i = 0; i < f->source_count && !f->over; i++) {
        if (is_mapped(&f->sources[i])) {
            forget(f, &f->sources[i], shard);
        }
    }
}

/* The next shards at hand that its map is asked for, from where the last one ended, and how many bits tell of
 * them. Behind the last it begins anew. */
static struct stoq_range next_shards(const struct fetch *f, struct source *s, uint64_t *first_chunk,
                                     uint64_t *bits)
{
    uint32_t i = 0;
    while (i < f->shard_count && f->shards[i]->index < s->map_shard) {
        i++;
    }
    i = i == f->shard_count ? 0 : i;
    s->map_whole = s->map_whole || i == 0;
    const struct shard *first = f->shards[i];
    const struct shard *last = first;
    for (; i < f->shard_count; i++) {
        const struct shard *shard = f->shards[i];
        uint64_t span = shard->first_chunk + shard->entry.chunks - first->first_chunk;
        if (shard->index - first->index >= STOQ_META_LISTS_MAX ||
            (span > HAVE_CHUNKS && shard != first)) {
            break;
        }
        last = shard;
    }
    s->map_shard = last->index + 1;
    *first_chunk = first->first_chunk;
    *bits = last->first_chunk + last->entry.chunks - first->first_chunk;
    return (struct stoq_range){first->index, (uint32_t)(last->index - first->index + 1)};
}

static void ask_map(struct fetch *f, struct source *s)
{
    struct stoq_node *n = f->node;
    uint64_t bits;
    uint64_t first_chunk;
    struct stoq_range shards = next_shards(f, s, &first_chunk, &bits);
    struct pending *p = node_pending(n, PENDING_META, f);
    struct out *o = p == NULL ? NULL : node_out(n, STOQ_NODE_ASK);
    if (o == NULL) {
        if (p != NULL) {
            node_pending_close(n, p);
        }
        s->map_at = n->now + HAVE_EVERY;
        return;
    }
    p->peer = s->peer;
    p->meta = STOQ_META_HAVE_CHUNKS;
    p->shards = shards;
    p->first_chunk = first_chunk;
    p->deadline = n->now + STOQ_NODE_META_TIMEOUT;
    o->msg = (struct stoq_message){
        .type = STOQ_MSG_METADATA_QUERY,
        .request_id = p->cookie,
        .u.metadata_query = {.id = f->package, .kind = p->meta, .shards = shards}};
    o->action.u.ask = (struct stoq_node_ask){.peer = s->peer,
                                             .cookie = p->cookie,
                                             .msg = &o->msg,
                                             .payload_max = (uint32_t)((bits + 7) / 8)};
    s->map_at = STOQ_NEVER; /* the reply says when next */
}

void have_drive(struct fetch *f)
{
    for (uint32_t i = 0; i < f->source_count && f->shard_count > 0 && !f->swarm_done; i++) {
        struct source *s = &f->sources[i];
        if (is_mapped(s) && s->map_at <= f->node->now) {
            ask_map(f, s);
        }
    }
}

stoq_ns have_deadline(const struct fetch *f)
{
    stoq_ns at = STOQ_NEVER;
    for (uint32_t i = 0; i < f->source_count && f->shard_count > 0 && !f->swarm_done; i++) {
        const struct source *s = &f->sources[i];
        if (is_mapped(s) && s->map_at > f->node->now && s->map_at < at) {
            at = s->map_at;
        }
    }
    return at;
}

/* What a map says of one shard goes to the swarm. */
static void tell_shard(struct fetch *f, const struct source *s, const struct shard *shard,
                       struct stoq_span map, uint64_t offset, bool *is_useful, bool *is_whole)
{
    uint8_t bits[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8] = {0};
    for (uint32_t i = 0; i < shard->entry.chunks; i++) {
        bool holds = node_bit(map.p, (uint32_t)(offset + i));
        if (holds) {
            node_bit_set(bits, i);
        }
        bool is_wanted = i >= shard->lo && i < shard->hi && !node_bit(shard->got, i);
        *is_useful = *is_useful || (holds && is_wanted);
        *is_whole = *is_whole && (holds || !is_wanted);
    }
    struct stoq_swarm_event ev = {
        .kind = STOQ_SWARM_PEER_HAS,
        .u.has = {.peer = s->peer,
                  .chunks = {shard->first_chunk, (uint32_t)shard->entry.chunks},
                  .bits = bits}};
    swarm_tell(f, &ev);
}

static void take_map(struct fetch *f, struct source *s, const struct pending *p,
                     struct stoq_span map)
{
    bool is_useful = false;
    bool is_whole = true;
    for (uint32_t i = 0; i < f->shard_count && !f->over; i++) {
        const struct shard *shard = f->shards[i];
        bool is_told =
            shard->index >= p->shards.first && shard->index - p->shards.first < p->shards.count;
        if (is_told && shard->state == SHARD_OPEN) {
            tell_shard(f, s, shard, map, shard->first_chunk - p->first_chunk, &is_useful,
                       &is_whole);
        }
    }
    s->map_whole = s->map_whole && is_whole;
    if (f->shard_count == 0 || f->shards[f->shard_count - 1]->index < s->map_shard) {
        s->is_partial = !s->map_whole; /* of all shards at hand, in as many maps as they took */
    }
    s->map_wait = is_useful || s->map_wait == 0 ? have_every(f) : 2 * s->map_wait;
    s->map_wait = s->map_wait < HAVE_IDLE ? s->map_wait : HAVE_IDLE;
    s->map_at = f->node->now + s->map_wait;
    f->stuck = f->stuck && !is_useful;
}

static uint64_t bits_of(const struct fetch *f, const struct pending *p)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < p->shards.count; i++) {
        bits += stoq_merkle_shard_at(node_blob_span(f->shard_list), (size_t)(p->shards.first + i))
                    .chunks;
    }
    return bits;
}

void have_reply(struct stoq_node *n, const struct pending *p, const struct stoq_node_reply *reply)
{
    struct fetch *f = p->fetch;
    struct source *s = fetch_source(f, p->peer);
    if (s == NULL) {
        return;
    }
    s->map_at = n->now + HAVE_IDLE;
    bool was_whole = s->map_whole;
    s->map_whole = false;
    if (reply->status != STOQ_OK || reply->msg->type == STOQ_MSG_ERROR || p->cancelled) {
        return; /* it has its reasons; what it says is missing is known besides */
    }
    f->report.bytes_wire += reply->payload.n;
    bool fits = reply->msg->type == STOQ_MSG_RESPONSE &&
                reply->msg->u.response.kind == STOQ_META_HAVE_CHUNKS &&
                reply->payload.n == (bits_of(f, p) + 7) / 8;
    if (!fits) {
        node_charge(n, p->peer, STOQ_NODE_BAD_REPLY, true);
        fetch_source_fail(f, s, STOQ_MALFORMED);
    } else if (s->in_swarm) {
        s->map_whole = was_whole;
        take_map(f, s, p, reply->payload);
    }
}
