/*
 * Records that others leave here. Of one key and publisher there is one record, that with the highest
 * sequence; a key has many publishers' and they are told together. A record lives as long as it says,
 * but no longer than an hour, or as long as its publisher has kept one here without a gap, up to a day; and
 * as much longer, up to its own end, each time its publisher renews it. For that he names it by a digest,
 * among his own: whatever others say, a renewal finds nothing of his. What takes a record back is kept for
 * as long as that one is signed for, since whoever has a copy could bring it again.
 *
 * What a peer can make grow is bounded four times: by publisher (a bucket and a count), by key, by subnet
 * and in all, and every bound is looked at before the first signature is: a flood costs comparisons.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

struct held {
    struct stoq_heap_node expiry; /* first; key: when it expires */
    struct held *next;            /* of the same key */
    struct stoq_dht_record *record;
    stoq_ns first_at; /* since when this publisher has had one here */
    uint32_t taken_s; /* when this one was */
};

/* What a publisher has here; forgotten with its last record. */
struct publisher {
    uint32_t count;
    uint32_t tokens;
    stoq_ns filled_at;
};

void held_refuse(struct stoq_dht *d, enum stoq_dht_refusal why)
{
    d->store.refused[why]++;
}

uint32_t held_time_left(const struct stoq_dht *d, const struct stoq_dht_record *r)
{
    uint64_t wall = dht_wall(d);
    if ((d->cfg.without & STOQ_DHT_NO_CLOCK) != 0) {
        return r->ttl_s;
    }
    if (r->issued_at_s > wall + STOQ_DHT_SKEW_S || r->ttl_s == 0 || r->ttl_s > STOQ_DHT_TTL_MAX_S) {
        return 0;
    }
    uint64_t end = r->issued_at_s + r->ttl_s;
    uint64_t left = end > wall ? end - wall : 0;
    return (uint32_t)(left < r->ttl_s ? left : r->ttl_s);
}

static struct held *chain_of(const struct stoq_dht *d, const struct stoq_hash *key)
{
    return stoq_map_get(&d->store.keys, dht_map_key(key->b));
}

static struct held *find(const struct stoq_dht *d, const struct stoq_dht_record *r)
{
    struct held *h = chain_of(d, &r->key);
    while (h != NULL && (!stoq_hash_eq(&h->record->key, &r->key) ||
                         !stoq_hash_eq(&h->record->publisher.h, &r->publisher.h))) {
        h = h->next;
    }
    return h;
}

static uint32_t group_count(const struct stoq_dht *d, uint64_t group)
{
    return (uint32_t)(uintptr_t)stoq_map_get(&d->store.groups, (struct stoq_map_key){group, 0});
}

/* False: no memory to count one more. */
static bool group_add(struct stoq_dht *d, uint64_t group, int step)
{
    struct stoq_map_key key = {group, 0};
    uintptr_t n = (uintptr_t)stoq_map_get(&d->store.groups, key);
    if (group == 0) {
        return true;
    }
    n = step > 0 ? n + 1 : n - 1;
    if (n == 0) {
        (void)stoq_map_remove(&d->store.groups, key);
        return true;
    }
    return stoq_map_put(&d->store.groups, key, (void *)n) == STOQ_OK;
}

static uint32_t records_max(const struct stoq_dht *d)
{
    return d->cfg.records_max == 0 ? STOQ_DHT_RECORDS : d->cfg.records_max;
}

static struct publisher *publisher_of(const struct stoq_dht *d, const struct stoq_peer_id *id)
{
    return stoq_map_get(&d->store.publishers, dht_map_key(id->h.b));
}

static uint32_t now_s(const struct stoq_dht *d)
{
    return (uint32_t)(d->now / STOQ_SEC);
}

/* Under what a publisher's renewals find it. */
static struct stoq_map_key digest_key(const struct stoq_peer_id *publisher, uint64_t digest)
{
    return (struct stoq_map_key){stoq_le64(publisher->h.b), digest};
}

/* Without memory it is not found, and sent whole. */
static void index_add(struct stoq_dht *d, struct held *h)
{
    struct stoq_map_key at = digest_key(&h->record->publisher, h->record->digest);
    if (!h->record->withdrawn && stoq_map_get(&d->store.digests, at) == NULL) {
        (void)!stoq_map_put(&d->store.digests, at, h);
    }
}

static void index_remove(struct stoq_dht *d, const struct held *h)
{
    struct stoq_map_key at = digest_key(&h->record->publisher, h->record->digest);
    if (stoq_map_get(&d->store.digests, at) == h) {
        (void)stoq_map_remove(&d->store.digests, at);
    }
}

static struct held *by_digest(const struct stoq_dht *d, const struct stoq_peer_id *publisher,
                              uint64_t digest)
{
    struct held *h = stoq_map_get(&d->store.digests, digest_key(publisher, digest));
    bool his = h != NULL && stoq_hash_eq(&h->record->publisher.h, &publisher->h);
    return his && h->record->digest == digest && h->expiry.key > d->now ? h : NULL;
}

/* In its time: as many as a publisher may have here he may renew. */
static bool is_renewal(const struct stoq_dht *d, const struct held *before)
{
    return before != NULL && now_s(d) - before->taken_s >= STOQ_DHT_RENEWAL_S;
}

/* One token out of its bucket; false: it is empty. */
static bool spend(struct stoq_dht *d, struct publisher *p)
{
    uint64_t more = (d->now - p->filled_at) / STOQ_DHT_PUBLISHER_EVERY;
    if (more > 0) {
        uint64_t sum = p->tokens + more;
        p->tokens =
            (uint32_t)(sum < STOQ_DHT_PUBLISHER_BURST ? sum : (uint64_t)STOQ_DHT_PUBLISHER_BURST);
        p->filled_at += more * STOQ_DHT_PUBLISHER_EVERY;
    }
    if (p->tokens == 0) {
        return false;
    }
    p->tokens--;
    return true;
}

/* May a record of a publisher that has none of this key here come in? */
static bool has_room(struct stoq_dht *d, const struct stoq_dht_record *r, const struct publisher *p,
                     enum stoq_dht_refusal *why)
{
    uint32_t of_key = 0;
    uint32_t of_group = 0;
    for (const struct held *h = chain_of(d, &r->key); h != NULL; h = h->next) {
        of_key += stoq_hash_eq(&h->record->key, &r->key);
        of_group += r->group != 0 && h->record->group == r->group;
    }
    if (p != NULL && p->count >= STOQ_DHT_PUBLISHER_RECORDS) {
        *why = STOQ_DHT_PUBLISHER;
    } else if (of_key >= STOQ_DHT_KEY_RECORDS || of_group >= STOQ_DHT_KEY_GROUP) {
        *why = STOQ_DHT_KEY;
    } else if (r->group != 0 && group_count(d, r->group) >= records_max(d) / STOQ_DHT_GROUP_SHARE) {
        *why = STOQ_DHT_SUBNET;
    } else if (d->store.count >= records_max(d)) {
        *why = STOQ_DHT_ALL;
    } else {
        return true;
    }
    return false;
}

/* The longest that we keep one without hearing of it. */
static uint32_t grant(const struct stoq_dht *d, const struct held *before)
{
    uint64_t max = d->cfg.shape.ttl_s;
    if (before != NULL) {
        uint64_t known_s = (d->now - before->first_at) / STOQ_SEC;
        max = known_s > max ? known_s : max;
    }
    return (uint32_t)(max < STOQ_DHT_TTL_MAX_S ? max : STOQ_DHT_TTL_MAX_S);
}

static uint32_t clamp_ttl(const struct stoq_dht *d, const struct held *before, uint32_t left)
{
    uint32_t max = grant(d, before);
    return left < max ? left : max;
}

static bool same_bytes(const struct stoq_dht_record *a, const struct stoq_dht_record *b)
{
    return a == b || stoq_span_eq(stoq_span(a->bytes, a->n), stoq_span(b->bytes, b->n));
}

static bool is_older(const struct stoq_dht *d, const struct held *before,
                     const struct stoq_dht_record *r)
{
    return (d->cfg.without & STOQ_DHT_NO_ORDER) == 0 &&
           (r->sequence < before->record->sequence ||
            (r->sequence == before->record->sequence && !same_bytes(before->record, r)));
}

enum stoq_dht_outcome held_offer(struct stoq_dht *d, const struct stoq_dht_request *q,
                                 uint32_t *ttl_s)
{
    struct stoq_dht_record *r = q->record;
    struct publisher *p = publisher_of(d, &r->publisher);
    const struct held *before = find(d, r);
    uint32_t left = held_time_left(d, r);
    enum stoq_dht_refusal why;
    bool caps = (d->cfg.without & STOQ_DHT_NO_CAPS) == 0;
    *ttl_s = left == 0 ? 0 : clamp_ttl(d, before, left);
    if (!q->proven && (d->cfg.without & STOQ_DHT_NO_TOKEN) == 0) {
        held_refuse(d, STOQ_DHT_NOT_PROVEN);
        return STOQ_DHT_REFUSED;
    }
    if (left == 0) {
        held_refuse(d, STOQ_DHT_WRONG_TIME);
        return STOQ_DHT_REJECTED;
    }
    /* A copy of ours that somebody kept is older than what we know, a withdrawal perhaps. */
    if ((before != NULL && is_older(d, before, r)) ||
        stoq_hash_eq(&r->publisher.h, &d->cfg.peer.h)) {
        held_refuse(d, STOQ_DHT_OLD);
        return STOQ_DHT_STALE;
    }
    if (caps && p != NULL && !is_renewal(d, before) && !spend(d, p)) {
        held_refuse(d, STOQ_DHT_RATE);
        return STOQ_DHT_BUSY;
    }
    if (caps && before == NULL && !has_room(d, r, p, &why)) {
        held_refuse(d, why);
        return STOQ_DHT_BUSY;
    }
    return STOQ_DHT_DONE;
}

enum stoq_dht_outcome stoq_dht_base(struct stoq_dht *d, const struct stoq_peer_id *publisher,
                                    uint64_t digest, bool proven, stoq_ns now,
                                    struct stoq_dht_record **out)
{
    *out = NULL;
    d->now = now > d->now ? now : d->now;
    if (d->cfg.self == 0) {
        return STOQ_DHT_REFUSED;
    }
    if (!proven && (d->cfg.without & STOQ_DHT_NO_TOKEN) == 0) {
        held_refuse(d, STOQ_DHT_NOT_PROVEN);
        return STOQ_DHT_REFUSED;
    }
    const struct held *h = by_digest(d, publisher, digest);
    if (h == NULL) {
        held_refuse(d, STOQ_DHT_NOT_HELD);
        return STOQ_DHT_DONE;
    }
    *out = h->record;
    return STOQ_DHT_DONE;
}

/* So many of those that a renewal names are here; ripe: some of them have not been heard of for long. */
static uint32_t count_named(const struct stoq_dht *d, const struct stoq_dht_renewal *renewal,
                            bool *ripe)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < renewal->count; i++) {
        const struct held *h = by_digest(d, &renewal->publisher, renewal->digests[i]);
        n += h != NULL;
        *ripe = *ripe || is_renewal(d, h);
    }
    return n;
}

static bool is_timely(const struct stoq_dht *d, const struct stoq_dht_renewal *renewal)
{
    uint64_t wall = dht_wall(d);
    return (d->cfg.without & STOQ_DHT_NO_CLOCK) != 0 ||
           (renewal->issued_at_s <= wall + STOQ_DHT_SKEW_S &&
            wall <= renewal->issued_at_s + STOQ_DHT_SKEW_S);
}

enum stoq_dht_outcome held_renew_offer(struct stoq_dht *d, const struct stoq_dht_request *q,
                                       bool *ripe)
{
    const struct stoq_dht_renewal *renewal = q->renewal;
    *ripe = false;
    if (!q->proven && (d->cfg.without & STOQ_DHT_NO_TOKEN) == 0) {
        held_refuse(d, STOQ_DHT_NOT_PROVEN);
        return STOQ_DHT_REFUSED;
    }
    if (!q->own && (d->cfg.without & STOQ_DHT_NO_PROOF) == 0) {
        held_refuse(d, STOQ_DHT_NOT_TO_US);
        return STOQ_DHT_REJECTED;
    }
    if (!is_timely(d, renewal)) {
        held_refuse(d, STOQ_DHT_WRONG_TIME);
        return STOQ_DHT_REJECTED;
    }
    d->store.refused[STOQ_DHT_NOT_HELD] += renewal->count - count_named(d, renewal, ripe);
    return STOQ_DHT_DONE;
}

void held_renew(struct stoq_dht *d, const struct stoq_dht_renewal *renewal, bool good, uint8_t *out)
{
    uint64_t wall = dht_wall(d);
    uint64_t from = renewal->issued_at_s < wall ? renewal->issued_at_s : wall;
    for (uint32_t i = 0; i < renewal->count; i++) {
        struct held *h = by_digest(d, &renewal->publisher, renewal->digests[i]);
        if (h == NULL) {
            out[i] = 0;
            continue;
        }
        /* Counted from when it was said: the same words again bring nothing. */
        uint64_t over = h->record->issued_at_s + h->record->ttl_s;
        uint64_t end = from + grant(d, h);
        end = end < over || (d->cfg.without & STOQ_DHT_NO_CLOCK) != 0 ? end : over;
        stoq_ns until = end > wall ? d->now + (end - wall) * STOQ_SEC : 0;
        if (good && until > h->expiry.key) {
            stoq_heap_put(&d->store.expiry, &h->expiry, until);
            h->taken_s = now_s(d);
            d->store.renewed++;
        }
        end = wall + (h->expiry.key - d->now) / STOQ_SEC;
        uint64_t units =
            end > renewal->issued_at_s ? (end - renewal->issued_at_s) / STOQ_DHT_KEPT_S : 0;
        out[i] = (uint8_t)(units < UINT8_MAX ? units : UINT8_MAX);
    }
}

void held_forged(struct stoq_dht *d, const struct stoq_peer_id *publisher)
{
    struct publisher *p = publisher_of(d, publisher);
    held_refuse(d, STOQ_DHT_FORGED);
    if (p != NULL && p->tokens < STOQ_DHT_PUBLISHER_BURST) {
        p->tokens++;
    }
}

static void remove_held(struct stoq_dht *d, struct held *h)
{
    struct stoq_dht_record *r = h->record;
    struct stoq_map_key at = dht_map_key(r->key.b);
    struct held *first = stoq_map_get(&d->store.keys, at);
    if (first == h) {
        (void)stoq_map_remove(&d->store.keys, at);
        if (h->next != NULL) { /* the slot is there: this cannot fail */
            enum stoq_status st = stoq_map_put(&d->store.keys, at, h->next);
            STOQ_ASSERT(st == STOQ_OK);
        }
    } else {
        while (first->next != h) {
            first = first->next;
        }
        first->next = h->next;
    }
    stoq_heap_remove(&d->store.expiry, &h->expiry);
    index_remove(d, h);
    struct publisher *p = publisher_of(d, &r->publisher);
    STOQ_ASSERT(p != NULL);
    if (--p->count == 0) {
        (void)stoq_map_remove(&d->store.publishers, dht_map_key(r->publisher.h.b));
        free(p);
    }
    (void)group_add(d, r->group, -1);
    d->store.count--;
    stoq_dht_record_drop(r);
    free(h);
}

static struct publisher *publisher_want(struct stoq_dht *d, const struct stoq_peer_id *id)
{
    struct publisher *p = publisher_of(d, id);
    if (p != NULL) {
        return p;
    }
    p = calloc(1, sizeof *p);
    if (p == NULL || stoq_map_put(&d->store.publishers, dht_map_key(id->h.b), p) != STOQ_OK) {
        free(p);
        return NULL;
    }
    p->tokens = STOQ_DHT_PUBLISHER_BURST - 1;
    p->filled_at = d->now;
    return p;
}

static void publisher_leave(struct stoq_dht *d, const struct stoq_peer_id *id, struct publisher *p)
{
    if (p != NULL && p->count == 0) {
        (void)stoq_map_remove(&d->store.publishers, dht_map_key(id->h.b));
        free(p);
    }
}

/* NULL: no memory; nothing is changed then. */
static struct held *insert(struct stoq_dht *d, struct stoq_dht_record *r)
{
    struct held *h = calloc(1, sizeof *h);
    struct publisher *p = h == NULL ? NULL : publisher_want(d, &r->publisher);
    struct held *first = chain_of(d, &r->key);
    bool counted = p != NULL && group_add(d, r->group, 1);
    if (!counted || stoq_heap_reserve(&d->store.expiry, d->store.expiry.n + 1) != STOQ_OK ||
        stoq_map_put(&d->store.keys, dht_map_key(r->key.b), h) != STOQ_OK) {
        if (counted) {
            (void)group_add(d, r->group, -1);
        }
        publisher_leave(d, &r->publisher, p);
        free(h);
        return NULL;
    }
    *h = (struct held){.next = first, .first_at = d->now};
    p->count++;
    d->store.count++;
    return h;
}

/* What takes the one before back stays as long as that could come again. */
static stoq_ns kept_until(const struct stoq_dht *d, const struct held *before,
                          const struct stoq_dht_record *r, uint32_t ttl_s)
{
    stoq_ns until = d->now + ttl_s * STOQ_SEC;
    if (!r->withdrawn || before == NULL) {
        return until;
    }
    stoq_ns end = d->now + held_time_left(d, r) * STOQ_SEC;
    stoq_ns its = before->record->withdrawn ? before->expiry.key
                                            : d->now + held_time_left(d, before->record) * STOQ_SEC;
    its = its < end ? its : end;
    return its > until ? its : until;
}

bool held_take(struct stoq_dht *d, struct stoq_dht_record *r, uint32_t ttl_s)
{
    struct held *h = find(d, r);
    enum stoq_dht_refusal why;
    if (h != NULL && is_older(d, h, r)) {
        return false; /* another came while this one was checked */
    }
    stoq_ns until = kept_until(d, h, r, ttl_s);
    if (h == NULL) {
        /* Room was there when it was offered; several may have been checked since. */
        if ((d->cfg.without & STOQ_DHT_NO_CAPS) == 0 &&
            !has_room(d, r, publisher_of(d, &r->publisher), &why)) {
            held_refuse(d, why);
            return false;
        }
        h = insert(d, r);
        if (h == NULL) {
            return false;
        }
    } else {
        index_remove(d, h);
        stoq_dht_record_drop(h->record);
    }
    h->record = stoq_dht_record_hold(r);
    h->taken_s = now_s(d);
    index_add(d, h);
    stoq_heap_put(&d->store.expiry, &h->expiry, until);
    d->store.taken++;
    return true;
}

uint32_t held_list(const struct stoq_dht *d, const struct stoq_hash *key, bool withdrawn,
                   struct stoq_dht_record **out, uint32_t max)
{
    uint32_t n = 0;
    for (const struct held *h = chain_of(d, key); h != NULL && n < max; h = h->next) {
        if (h->expiry.key > d->now && stoq_hash_eq(&h->record->key, key) &&
            (withdrawn || !h->record->withdrawn)) {
            out[n++] = h->record;
        }
    }
    return n;
}

struct stoq_dht_record *held_next(const struct stoq_dht *d, struct held_walk *walk)
{
    do {
        walk->held = walk->held != NULL ? walk->held->next : NULL;
        walk->held = walk->held != NULL ? walk->held : stoq_map_next(&d->store.keys, &walk->at);
    } while (walk->held != NULL &&
             (walk->held->expiry.key <= d->now || walk->held->record->withdrawn));
    return walk->held != NULL ? walk->held->record : NULL;
}

size_t stoq_dht_held(const struct stoq_dht *d, const struct stoq_hash *key, stoq_ns now,
                     struct stoq_dht_record **out, size_t max)
{
    size_t n = 0;
    for (const struct held *h = chain_of(d, key); h != NULL && n < max; h = h->next) {
        if (h->expiry.key > now && stoq_hash_eq(&h->record->key, key) && !h->record->withdrawn) {
            out[n++] = h->record;
        }
    }
    return n;
}

void held_expire(struct stoq_dht *d)
{
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&d->store.expiry)) != NULL && top->key <= d->now) {
        remove_held(d, (struct held *)top);
    }
}

uint64_t held_bytes(const struct stoq_dht *d)
{
    const struct store *s = &d->store;
    size_t places =
        s->keys.capacity + s->publishers.capacity + s->groups.capacity + s->digests.capacity;
    return s->expiry.n * sizeof(struct held) + s->expiry.cap * sizeof(struct stoq_heap_node *) +
           s->publishers.count * sizeof(struct publisher) + places * sizeof(struct stoq_map_slot);
}

void held_release(struct stoq_dht *d)
{
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&d->store.expiry)) != NULL) {
        remove_held(d, (struct held *)top);
    }
    stoq_heap_release(&d->store.expiry);
    stoq_map_release(&d->store.keys);
    stoq_map_release(&d->store.publishers);
    stoq_map_release(&d->store.groups);
    stoq_map_release(&d->store.digests);
}
