#include "daemon/known.h"

#include "base/map.h"
#include "base/types.h"
#include "wire/form.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1

struct stoq_known {
    struct stoq_map by_id;
    struct stoq_known_peer *peers;
    size_t count;
    size_t cap;
};

enum stoq_status stoq_known_new(struct stoq_known **out, uint64_t seed)
{
    struct stoq_known *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return STOQ_NOMEM;
    }
    stoq_map_init(&k->by_id, seed);
    *out = k;
    return STOQ_OK;
}

void stoq_known_free(struct stoq_known *k)
{
    if (k != NULL) {
        stoq_map_release(&k->by_id);
        free(k->peers);
        free(k);
    }
}

size_t stoq_known_count(const struct stoq_known *k)
{
    return k->count;
}

/* Sixteen bytes of a hash; two peers that share them share an entry, which costs them a lookup. */
static struct stoq_map_key key_of(const struct stoq_peer_id *id)
{
    struct stoq_map_key key;
    memcpy(&key.a, id->h.b, sizeof key.a);
    memcpy(&key.b, id->h.b + sizeof key.a, sizeof key.b);
    return key;
}

/* The map's values are places in the table, counted from 1. */
static size_t place_of(const struct stoq_known *k, const struct stoq_peer_id *id)
{
    return (size_t)(uintptr_t)stoq_map_get(&k->by_id, key_of(id));
}

const struct stoq_known_peer *stoq_known_find(const struct stoq_known *k,
                                              const struct stoq_peer_id *id)
{
    size_t place = place_of(k, id);
    const struct stoq_known_peer *p = place == 0 ? NULL : &k->peers[place - 1];
    return p != NULL && stoq_hash_eq(&p->id.h, &id->h) ? p : NULL;
}

static size_t oldest(const struct stoq_known *k)
{
    size_t at = 0;
    for (size_t i = 1; i < k->count; i++) {
        at = k->peers[i].seen_s < k->peers[at].seen_s ? i : at;
    }
    return at;
}

static enum stoq_status grow(struct stoq_known *k)
{
    size_t cap = k->cap == 0 ? 16 : k->cap * 2;
    if (k->count < k->cap) {
        return STOQ_OK;
    }
    struct stoq_known_peer *peers = realloc(k->peers, cap * sizeof *peers);
    if (peers == NULL) {
        return STOQ_NOMEM;
    }
    k->peers = peers;
    k->cap = cap;
    return STOQ_OK;
}

/* A place for a peer that has none. 0: no memory. */
static size_t new_place(struct stoq_known *k, const struct stoq_peer_id *id)
{
    size_t i = k->count;
    if (k->count == STOQ_KNOWN_MAX) {
        i = oldest(k);
        (void)stoq_map_remove(&k->by_id, key_of(&k->peers[i].id));
    } else if (grow(k) != STOQ_OK) {
        return 0;
    }
    if (stoq_map_put(&k->by_id, key_of(id), (void *)(uintptr_t)(i + 1)) != STOQ_OK) {
        /* Only a growing map can fail; the evicted one's slot is free. */
        STOQ_ASSERT(i == k->count);
        return 0;
    }
    k->count += i == k->count;
    k->peers[i] = (struct stoq_known_peer){.id = *id};
    return i + 1;
}

enum stoq_status stoq_known_note(struct stoq_known *k, const struct stoq_known_peer *peer)
{
    size_t place = place_of(k, &peer->id);
    if (place == 0) {
        place = new_place(k, &peer->id);
    }
    if (place == 0) {
        return STOQ_NOMEM;
    }
    struct stoq_known_peer *p = &k->peers[place - 1];
    struct stoq_known_peer before = *p;
    bool same = stoq_hash_eq(&before.id.h, &peer->id.h);
    *p = *peer;
    if (same && !peer->has_rpc && before.has_rpc) {
        p->has_rpc = true;
        memcpy(p->rpc, before.rpc, sizeof p->rpc);
    }
    if (same && !peer->has_addr && before.has_addr) {
        p->has_addr = true;
        memcpy(p->addr, before.addr, sizeof p->addr);
    }
    if (same && peer->min_rtt_us == 0) {
        p->min_rtt_us = before.min_rtt_us;
    }
    return STOQ_OK;
}

size_t stoq_known_forget(struct stoq_known *k, uint64_t before_s)
{
    size_t gone = 0;
    for (size_t i = 0; i < k->count;) {
        if (k->peers[i].seen_s >= before_s) {
            i++;
            continue;
        }
        (void)stoq_map_remove(&k->by_id, key_of(&k->peers[i].id));
        k->peers[i] = k->peers[--k->count];
        if (i < k->count) { /* the map has it: it does not grow */
            enum stoq_status st =
                stoq_map_put(&k->by_id, key_of(&k->peers[i].id), (void *)(uintptr_t)(i + 1));
            STOQ_ASSERT(st == STOQ_OK);
        }
        gone++;
    }
    return gone;
}

size_t stoq_known_recent(const struct stoq_known *k, struct stoq_known_peer *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < k->count; i++) {
        const struct stoq_known_peer *p = &k->peers[i];
        size_t at = n;
        while (at > 0 && out[at - 1].seen_s < p->seen_s) {
            at--;
        }
        if (!p->has_addr || at == max) {
            continue;
        }
        n += n < max;
        memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof out[0]);
        out[at] = *p;
    }
    return n;
}

const struct stoq_known_peer *stoq_known_at(const struct stoq_known *k, size_t i)
{
    return i < k->count ? &k->peers[i] : NULL;
}

static const struct stoq_field peer_fields[] = {
    {1, STOQ_IS_HASH(struct stoq_known_peer, id.h)},
    {2, STOQ_IS_UINT(struct stoq_known_peer, seen_s, 0, UINT64_MAX)},
    {3, STOQ_IS_UINT(struct stoq_known_peer, min_rtt_us, 1, UINT32_MAX), .optional = true},
    {4, STOQ_IS_ARRAY(struct stoq_known_peer, rpc), STOQ_SETS(struct stoq_known_peer, has_rpc)},
    {5, STOQ_IS_ARRAY(struct stoq_known_peer, addr), STOQ_SETS(struct stoq_known_peer, has_addr)},
};
static const struct stoq_form peer_form = STOQ_FORM(peer_fields);

enum stoq_status stoq_known_encode(const struct stoq_known *k, struct stoq_buf *out)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    bool fits = true;
    stoq_cbor_put_uint(&w, VERSION);
    for (size_t i = 0; i < k->count; i++) {
        const struct stoq_known_peer *p = &k->peers[i];
        fits = stoq_form_put(&w, &peer_form, p, stoq_form_keys(&peer_form, p)) && fits;
    }
    STOQ_ASSERT(fits);
    return stoq_cbor_wr_done(&w);
}

enum stoq_status stoq_known_decode(struct stoq_known *k, struct stoq_span bytes)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    uint64_t version = stoq_cbor_rd_uint(&r);
    if (r.status == STOQ_OK && version != VERSION) {
        return STOQ_VERSION;
    }
    while (stoq_cbor_rd_more(&r)) {
        struct stoq_known_peer p = {0};
        (void)stoq_form_get(&r, &peer_form, &p, NULL);
        if (r.status != STOQ_OK) {
            break;
        }
        enum stoq_status st = stoq_known_note(k, &p);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return stoq_cbor_rd_done(&r);
}
