/*
 * What is known of peers, kept beside the fetches: every event and every action passes by here once, and
 * nothing of a fetch knows of it. Numbers of peers are the shell's and are used again; what is known
 * belongs to ids, so the shell says whom a number means before it says anything else of it. When
 * memory runs out a fact is lost, never a transfer.
 */
#include "node/node_internal.h"

#include "base/fixed.h"

/* A peer that brings nothing meanwhile fails at most once in this time. */
#define BROKEN_TOGETHER (60 * STOQ_SEC)

struct known {
    struct stoq_peer_id id;
    stoq_ns broke_at; /* charged for that, and nothing was brought since; 0: none */
};

/* A request for chunks that is under way. */
struct transfer {
    stoq_peer number;
    struct stoq_peer_id peer;
    stoq_ns began_at;
    uint64_t bytes; /* that verified */
    bool cancelled;
};

enum stoq_status standing_init(struct stoq_node *n, uint64_t seed)
{
    stoq_map_init(&n->standing.known, seed);
    stoq_map_init(&n->standing.transfers, seed + 1);
    struct stoq_trust_config trust = n->cfg.trust;
    trust.alloc = n->cfg.alloc;
    enum stoq_status st = stoq_peers_new(&n->standing.peers, &n->cfg.alloc, seed + 2);
    if (st == STOQ_OK) {
        st = stoq_trust_new(&n->standing.trust, &trust, seed + 3);
    }
    if (st != STOQ_OK) {
        standing_release(n);
    }
    return st;
}

static void release_map(struct stoq_node *n, struct stoq_map *map)
{
    size_t at = 0;
    void *value;
    while ((value = stoq_map_next(map, &at)) != NULL) {
        stoq_free(&n->cfg.alloc, value);
    }
    stoq_map_release(map);
}

void standing_release(struct stoq_node *n)
{
    release_map(n, &n->standing.known);
    release_map(n, &n->standing.transfers);
    stoq_peers_free(n->standing.peers);
    stoq_trust_free(n->standing.trust);
}

const struct stoq_peers *stoq_node_peers(const struct stoq_node *n)
{
    return n->standing.peers;
}

const struct stoq_trust *stoq_node_trust(const struct stoq_node *n)
{
    return n->standing.trust;
}

void stoq_node_standing(const struct stoq_node *n, const struct stoq_peer_id *id, stoq_ns now,
                        struct stoq_node_standing *out)
{
    const struct stoq_trust *trust = n->standing.trust;
    out->neighbours = stoq_peers_neighbours(n->standing.peers, id);
    stoq_trust_record(trust, id, now, &out->record);
    out->score = stoq_trust_score(&out->record, out->neighbours);
    out->is_trusted = stoq_trust_is_trusted(trust, &out->record, out->neighbours);
    out->is_cut = stoq_trust_is_cut(trust, &out->record, out->neighbours);
}

static const struct stoq_peer_id *id_of(const struct stoq_node *n, stoq_peer peer)
{
    const struct known *k = stoq_map_get(&n->standing.known, (struct stoq_map_key){peer, 0});
    return k == NULL ? NULL : &k->id;
}

static void tell_peers(struct stoq_node *n, struct stoq_peers_event ev,
                       const struct stoq_peer_id *peer)
{
    if (peer != NULL) {
        ev.peer = peer;
        enum stoq_status st = stoq_peers_feed(n->standing.peers, &ev, n->now);
        (void)st; /* no memory, or no room: not known, then */
    }
}

bool standing_is_cut(const struct stoq_node *n, stoq_peer peer)
{
    struct stoq_node_standing s;
    const struct stoq_peer_id *id = id_of(n, peer);
    if (id == NULL) {
        return false;
    }
    stoq_node_standing(n, id, n->now, &s);
    return s.is_cut;
}

uint32_t standing_chunks_max(const struct stoq_node *n, stoq_peer peer, uint32_t chunks_max)
{
    struct stoq_node_standing s;
    const struct stoq_peer_id *id = id_of(n, peer);
    if (id == NULL) {
        return chunks_max;
    }
    stoq_node_standing(n, id, n->now, &s);
    bool all = s.is_trusted || (chunks_max > 0 && chunks_max < STOQ_NODE_BUDGET_CHUNKS);
    return all ? chunks_max : STOQ_NODE_BUDGET_CHUNKS;
}

#define WEIGHT_LEAST 50 /* thousandths: who is worth little is still tried now and then */

uint32_t standing_weight(const struct stoq_node *n, stoq_peer peer)
{
    struct stoq_node_standing s = {0};
    const struct stoq_peer_id *id = id_of(n, peer);
    if (id != NULL) {
        stoq_node_standing(n, id, n->now, &s);
    }
    int64_t thousandths = s.score * 1000 / (int64_t)STOQ_Q32_ONE;
    return thousandths > WEIGHT_LEAST ? (uint32_t)thousandths : WEIGHT_LEAST;
}

static void leave(struct stoq_node *n, stoq_peer peer)
{
    struct link *l = node_link(n, peer);
    struct out *o = l != NULL && l->up ? node_out(n, STOQ_NODE_CLOSE) : NULL;
    if (o != NULL) {
        o->action.u.close = (struct stoq_node_close){.peer = peer, .why = STOQ_NODE_CUT};
    }
}

/* Whom the trust core wants left; by whatever numbers they have. */
static void leave_those_cut(struct stoq_node *n)
{
    struct stoq_peer_id id;
    while (stoq_trust_poll(n->standing.trust, &id)) {
        for (size_t i = 0; i < n->standing.known.capacity; i++) {
            const struct stoq_map_slot *slot = &n->standing.known.slots[i];
            const struct known *k = slot->value;
            if (k != NULL && stoq_hash_eq(&k->id.h, &id.h)) {
                leave(n, (stoq_peer)slot->key.a);
            }
        }
    }
}

static void tell_trust(struct stoq_node *n, const struct stoq_peer_id *peer,
                       enum stoq_trust_event_kind kind, uint64_t bytes)
{
    struct stoq_trust_event ev = {.kind = kind, .peer = peer, .bytes = bytes};
    if (peer != NULL) {
        enum stoq_status st = stoq_trust_feed(n->standing.trust, &ev, n->now);
        (void)st; /* no memory: it gets away with it once */
        leave_those_cut(n);
    }
}

static void charged(struct stoq_node *n, const struct stoq_node_charge *c)
{
    static const enum stoq_trust_event_kind kinds[] = {
        [STOQ_NODE_BAD_CHUNK] = STOQ_TRUST_INVALID_DATA,
        [STOQ_NODE_BAD_METADATA] = STOQ_TRUST_INVALID_DATA,
        [STOQ_NODE_BAD_REPLY] = STOQ_TRUST_VIOLATION,
        [STOQ_NODE_BAD_REQUEST] = STOQ_TRUST_VIOLATION,
        [STOQ_NODE_STALLED] = STOQ_TRUST_TIMEOUT,
    };
    tell_trust(n, id_of(n, c->peer), kinds[c->why], 0);
}

static void link_went_down(struct stoq_node *n, const struct stoq_node_link *ev)
{
    const struct stoq_peer_id *id = id_of(n, ev->peer);
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, id);
    if (ev->status == STOQ_TIMEOUT) {
        tell_trust(n, id, STOQ_TRUST_TIMEOUT, 0);
    }
}

static void link_came_up(struct stoq_node *n, const struct stoq_node_link *ev)
{
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_UP, .u.rtt_ns = ev->rtt_ns},
               id_of(n, ev->peer));
}

static void peer_is(struct stoq_node *n, const struct stoq_node_peer *ev)
{
    struct stoq_map_key key = {ev->peer, 0};
    struct known *k = stoq_map_get(&n->standing.known, key);
    if (k == NULL) {
        k = stoq_alloc(&n->cfg.alloc, 1, sizeof *k);
        if (k == NULL || stoq_map_put(&n->standing.known, key, k) != STOQ_OK) {
            stoq_free(&n->cfg.alloc, k);
            return;
        }
    }
    if (!stoq_hash_eq(&k->id.h, &ev->id->h)) {
        *k = (struct known){.id = *ev->id};
    }
    if (ev->ip != NULL) {
        tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = ev->ip}, &k->id);
    }
}

static void transfer_began(struct stoq_node *n, const struct stoq_node_ask_chunks *a)
{
    const struct stoq_peer_id *id = id_of(n, a->peer);
    struct transfer *t = id == NULL ? NULL : stoq_alloc(&n->cfg.alloc, 1, sizeof *t);
    if (t == NULL) {
        return;
    }
    t->number = a->peer;
    t->peer = *id;
    t->began_at = n->now;
    if (stoq_map_put(&n->standing.transfers, (struct stoq_map_key){a->cookie, 0}, t) != STOQ_OK) {
        stoq_free(&n->cfg.alloc, t);
        return;
    }
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_BEGIN}, &t->peer);
}

/* NULL: its number is another peer's by now. */
static struct known *known_of(const struct stoq_node *n, const struct transfer *t)
{
    struct known *k = stoq_map_get(&n->standing.known, (struct stoq_map_key){t->number, 0});
    return k != NULL && stoq_hash_eq(&k->id.h, &t->peer.h) ? k : NULL;
}

static void chunk_came(struct stoq_node *n, const struct stoq_node_chunk *c)
{
    struct transfer *t = stoq_map_get(&n->standing.transfers, (struct stoq_map_key){c->cookie, 0});
    if (t == NULL || c->status != STOQ_OK) {
        return;
    }
    struct known *k = known_of(n, t);
    if (k != NULL && t->began_at > k->broke_at) {
        k->broke_at = 0; /* it serves again */
    }
    t->bytes += c->wire_bytes;
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_BYTES, .u.bytes = c->wire_bytes},
               &t->peer);
}

/* One incident is one transfer that failed, however fast either side is. A peer on its way out refuses
 * one request after the other while those before them end, its connection breaks with all that is left,
 * and so may the next one if it is dialled at once. It is over when a request that began later has brought
 * a chunk, or some time after. */
static bool broke_anew(struct stoq_node *n, const struct transfer *t)
{
    struct known *k = known_of(n, t);
    bool anew = k == NULL || k->broke_at == 0 || n->now - k->broke_at >= BROKEN_TOGETHER;
    if (k != NULL && anew) {
        k->broke_at = n->now;
    }
    return anew;
}

/* What a transfer's end says of the peer. Busy and "I lack it" are honest answers. */
static void judge(struct stoq_node *n, const struct transfer *t, enum stoq_status status)
{
    if (t->bytes > 0 && (status == STOQ_OK || t->cancelled)) {
        tell_trust(n, &t->peer, STOQ_TRUST_SUCCESSFUL_TRANSFER, t->bytes);
    } else if (status == STOQ_NET && !t->cancelled && broke_anew(n, t)) {
        tell_trust(n, &t->peer, STOQ_TRUST_FAILED_TRANSFER, 0);
    }
}

static void transfer_ended(struct stoq_node *n, const struct stoq_node_ended *ended)
{
    struct transfer *t =
        stoq_map_remove(&n->standing.transfers, (struct stoq_map_key){ended->cookie, 0});
    if (t != NULL) {
        tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_END}, &t->peer);
        judge(n, t, ended->status);
        stoq_free(&n->cfg.alloc, t);
    }
}

static void restore(struct stoq_node *n, const struct stoq_node_trust *ev)
{
    enum stoq_status st = stoq_trust_restore(n->standing.trust, ev->record, ev->passed_ns, n->now);
    (void)st; /* it is learned again */
}

void standing_linked(struct stoq_node *n, stoq_peer peer)
{
    if (standing_is_cut(n, peer)) {
        leave(n, peer);
    }
}

void standing_event(struct stoq_node *n, const struct stoq_node_event *ev)
{
    switch (ev->kind) {
    case STOQ_NODE_PEER:
        peer_is(n, &ev->u.peer);
        break;
    case STOQ_NODE_PLACE:
        tell_peers(
            n, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = ev->u.place.place},
            ev->u.place.id);
        break;
    case STOQ_NODE_LINK_UP:
        link_came_up(n, &ev->u.link);
        break;
    case STOQ_NODE_RTT:
        tell_peers(n,
                   (struct stoq_peers_event){.kind = STOQ_PEERS_RTT, .u.rtt_ns = ev->u.link.rtt_ns},
                   id_of(n, ev->u.link.peer));
        break;
    case STOQ_NODE_LINK_DOWN:
        link_went_down(n, &ev->u.link);
        break;
    case STOQ_NODE_TRUST:
        restore(n, &ev->u.trust);
        break;
    case STOQ_NODE_CHUNK:
        chunk_came(n, &ev->u.chunk);
        break;
    case STOQ_NODE_ASK_ENDED:
        transfer_ended(n, &ev->u.ended);
        break;
    default:
        break;
    }
}

void standing_action(struct stoq_node *n, const struct stoq_node_action *a)
{
    if (a->kind == STOQ_NODE_ASK_CHUNKS) {
        transfer_began(n, &a->u.ask_chunks);
    } else if (a->kind == STOQ_NODE_CHARGE) {
        charged(n, &a->u.charge);
    } else if (a->kind == STOQ_NODE_CANCEL) {
        struct transfer *t =
            stoq_map_get(&n->standing.transfers, (struct stoq_map_key){a->u.cancel.cookie, 0});
        if (t != NULL) {
            t->cancelled = true;
        }
    }
}
