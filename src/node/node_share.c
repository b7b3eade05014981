/*
 * Equal chunks. A package may hold the same chunk at many places, and several fetches may want it at the
 * same time: the same package asked for twice, two versions side by side. It is asked for once. All places
 * that want a chunk are a chain under its hash; the first of the chain is asked, which is what its fetch's
 * swarm sees to; the others wait, and the chunk's arrival ends the whole chain. When a fetch is over
 * before that, the next one in the chain asks.
 *
 * Two exceptions. A fetch whose reader waits for the bytes in order asks for itself, unless one of its own
 * places is asked: another fetch may come to that chunk in an hour. And a chunk that comes while the
 * store is being asked whether it has it would be missed between the two: what came last is remembered,
 * and looked up when the store's answer is in.
 */
#include "node/node_internal.h"

static struct stoq_map_key key_of(const struct stoq_hash *h)
{
    return (struct stoq_map_key){stoq_le64(h->b), stoq_le64(h->b + 8)};
}

static struct stoq_hash hash_of(const struct place *p)
{
    return window_chunk_at(p->shard, p->index).hash;
}

/* The chain of this very hash; NULL: none. */
static struct place *chain(const struct stoq_node *n, const struct stoq_hash *hash)
{
    struct place *p = stoq_map_get(&n->wants, key_of(hash));
    if (p == NULL) {
        return NULL;
    }
    struct stoq_hash first = hash_of(p);
    return stoq_hash_eq(&first, hash) ? p : NULL;
}

/* Make the place the first of its hash; without memory, or where the key is another hash's, it stays
 * alone and nobody waits for it. */
static void lead(struct stoq_node *n, const struct stoq_hash *hash, struct place *p)
{
    struct place *first = stoq_map_get(&n->wants, key_of(hash));
    p->state = PLACE_ASKED;
    if (first != NULL && chain(n, hash) == NULL) {
        p->shard = NULL;
        return;
    }
    p->next = first;
    if (stoq_map_put(&n->wants, key_of(hash), p) != STOQ_OK) {
        p->shard = NULL;
    }
}

enum place_state share_enter(struct shard *s, uint32_t i)
{
    struct fetch *f = s->fetch;
    struct stoq_hash hash = window_chunk_at(s, i).hash;
    struct place *first = chain(f->node, &hash);
    struct place *p = &s->places[s->place_count++];
    *p = (struct place){.shard = s, .index = (uint16_t)i};
    bool in_order = f->strategy == STOQ_SWARM_SEQUENTIAL;
    if (first == NULL || (in_order && first->shard->fetch != f)) {
        lead(f->node, &hash, p);
        return PLACE_ASKED;
    }
    p->state = first->shard->fetch == f ? PLACE_TWIN : PLACE_FOLLOWS;
    f->follows += p->state == PLACE_FOLLOWS;
    p->next = first->next;
    first->next = p;
    return p->state;
}

/* The chunk is here for this place too. */
static void settle(struct place *p, const struct shard *arrived)
{
    struct shard *s = p->shard;
    struct fetch *f = s->fetch;
    if (f->over || node_bit(s->got, p->index)) {
        return;
    }
    uint32_t bytes = window_chunk_at(s, p->index).bytes;
    node_bit_set(s->got, p->index);
    s->left--;
    f->follows -= p->state == PLACE_FOLLOWS;
    f->report.chunks_shared++;
    f->report.bytes_shared += bytes;
    swarm_moved(f);
    if (node_bit(s->owed, p->index)) {
        s->owed[p->index / 8] &= (uint8_t) ~(1u << (p->index & 7));
        s->owed_count--;
        f->owed--;
    } else if (p->state == PLACE_ASKED) {
        struct stoq_swarm_event ev = {
            .kind = STOQ_SWARM_CHUNK_OK,
            .u.chunk = {.index = s->first_chunk + p->index, .bytes = bytes}};
        swarm_tell(f, &ev);
    }
    if (s->left == 0 && s != arrived) {
        window_leave(s);
    }
}

void share_arrived(struct shard *s, uint32_t i)
{
    struct stoq_node *n = s->fetch->node;
    struct stoq_hash hash = window_chunk_at(s, i).hash;
    n->recent[n->arrivals % RECENT_MAX] = hash;
    n->arrivals++;
    struct place *p = chain(n, &hash);
    if (p == NULL) {
        return;
    }
    (void)stoq_map_remove(&n->wants, key_of(&hash));
    while (p != NULL) {
        struct place *next = p->next; /* a shard that leaves takes its places along */
        settle(p, s);
        p = next;
    }
    n->drive_again = true;
}

bool share_came(const struct stoq_node *n, const struct stoq_hash *hash, uint64_t since)
{
    uint64_t at = n->arrivals - since > RECENT_MAX ? n->arrivals - RECENT_MAX : since;
    for (; at < n->arrivals; at++) {
        if (stoq_hash_eq(&n->recent[at % RECENT_MAX], hash)) {
            return true;
        }
    }
    return false;
}

/* Take all places of this fetch out of a chain; what is left of it. */
static struct place *without(struct place *p, const struct fetch *f)
{
    struct place *left = NULL;
    struct place **at = &left;
    while (p != NULL) {
        struct place *next = p->next;
        if (p->shard->fetch == f) {
            p->shard = NULL;
        } else {
            *at = p;
            at = &p->next;
        }
        p = next;
    }
    *at = NULL;
    return left;
}

/* Bring one that is asked to the front. Without any, the first asks from now on. */
static struct place *with_leader(struct place *first)
{
    struct place **at = &first;
    while (*at != NULL && (*at)->state != PLACE_ASKED) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        struct shard *s = first->shard;
        STOQ_ASSERT(first->state == PLACE_FOLLOWS);
        first->state = PLACE_ASKED;
        s->fetch->follows--;
        s->fetch->owed++;
        s->owed_count++;
        node_bit_set(s->owed, first->index);
        return first;
    }
    struct place *asked = *at;
    *at = asked->next;
    asked->next = first;
    return asked;
}

/* The fetch is over for this place and for all its others of the same chunk. */
static void drop(struct stoq_node *n, const struct fetch *f, struct place *p)
{
    struct stoq_hash hash = hash_of(p);
    struct place *first = chain(n, &hash);
    if (first == NULL) {
        return;
    }
    (void)stoq_map_remove(&n->wants, key_of(&hash));
    first = without(first, f);
    if (first != NULL) {
        /* The slot just freed is there: nothing is allocated. */
        STOQ_ASSERT(stoq_map_put(&n->wants, key_of(&hash), with_leader(first)) == STOQ_OK);
        n->drive_again = true;
    }
}

void share_drop(struct fetch *f)
{
    for (uint32_t k = 0; k < f->shard_count; k++) {
        struct shard *s = f->shards[k];
        for (uint32_t i = 0; i < s->place_count; i++) {
            if (s->places[i].shard != NULL) {
                drop(f->node, f, &s->places[i]);
            }
        }
    }
}

static void check_shard(const struct stoq_node *n, const struct shard *s, uint32_t *follows)
{
    uint32_t owed = 0;
    for (uint32_t i = s->lo; i < s->hi; i++) {
        owed += node_bit(s->owed, i);
        STOQ_ASSERT(!(node_bit(s->owed, i) && node_bit(s->got, i)));
    }
    STOQ_ASSERT(owed == s->owed_count);
    for (uint32_t i = 0; i < s->place_count; i++) {
        const struct place *p = &s->places[i];
        if (node_bit(s->got, p->index)) {
            continue;
        }
        *follows += p->state == PLACE_FOLLOWS;
        if (p->shard == NULL) {
            STOQ_ASSERT(p->state == PLACE_ASKED);
            continue;
        }
        struct stoq_hash hash = hash_of(p);
        const struct place *at = chain(n, &hash);
        STOQ_ASSERT(at != NULL && at->state == PLACE_ASKED);
        while (at != NULL && at != p) {
            at = at->next;
        }
        STOQ_ASSERT(at == p);
    }
}

void share_check(const struct stoq_node *n)
{
    for (const struct fetch *f = n->fetches; f != NULL; f = f->next) {
        uint32_t follows = 0;
        uint32_t owed = 0;
        for (uint32_t k = 0; !f->over && k < f->shard_count; k++) {
            check_shard(n, f->shards[k], &follows);
            owed += f->shards[k]->owed_count;
        }
        STOQ_ASSERT(f->over || (follows == f->follows && owed == f->owed));
    }
}
