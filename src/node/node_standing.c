/*
 * What is known of peers, kept beside the fetches: every event and every action passes by here once, and
 * nothing of a fetch knows of it. Numbers of peers are the shell's and are used again; what is known
 * belongs to ids, so the shell says whom a number means before it says anything else of it. When
 * memory runs out a fact is lost, never a transfer.
 */
#include "node/node_internal.h"

struct known {
    struct stoq_peer_id id;
};

/* A request for chunks that is under way. */
struct transfer {
    struct stoq_peer_id peer;
};

enum stoq_status standing_init(struct stoq_node *n, uint64_t seed)
{
    stoq_map_init(&n->standing.known, seed);
    stoq_map_init(&n->standing.transfers, seed + 1);
    return stoq_peers_new(&n->standing.peers, &n->cfg.alloc, seed + 2);
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
}

const struct stoq_peers *stoq_node_peers(const struct stoq_node *n)
{
    return n->standing.peers;
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
    k->id = *ev->id;
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = ev->ip}, &k->id);
}

static void transfer_began(struct stoq_node *n, const struct stoq_node_ask_chunks *a)
{
    const struct stoq_peer_id *id = id_of(n, a->peer);
    struct transfer *t = id == NULL ? NULL : stoq_alloc(&n->cfg.alloc, 1, sizeof *t);
    if (t == NULL) {
        return;
    }
    t->peer = *id;
    if (stoq_map_put(&n->standing.transfers, (struct stoq_map_key){a->cookie, 0}, t) != STOQ_OK) {
        stoq_free(&n->cfg.alloc, t);
        return;
    }
    tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_BEGIN}, &t->peer);
}

static void chunk_came(struct stoq_node *n, const struct stoq_node_chunk *c)
{
    const struct transfer *t =
        stoq_map_get(&n->standing.transfers, (struct stoq_map_key){c->cookie, 0});
    if (t != NULL && c->status == STOQ_OK) {
        tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_BYTES, .u.bytes = c->wire_bytes},
                   &t->peer);
    }
}

static void transfer_ended(struct stoq_node *n, const struct stoq_node_ended *ended)
{
    struct transfer *t =
        stoq_map_remove(&n->standing.transfers, (struct stoq_map_key){ended->cookie, 0});
    if (t != NULL) {
        tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_END}, &t->peer);
        stoq_free(&n->cfg.alloc, t);
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
        tell_peers(n,
                   (struct stoq_peers_event){.kind = STOQ_PEERS_UP, .u.rtt_ns = ev->u.link.rtt_ns},
                   id_of(n, ev->u.link.peer));
        break;
    case STOQ_NODE_LINK_DOWN:
        tell_peers(n, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN},
                   id_of(n, ev->u.link.peer));
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
    }
}
