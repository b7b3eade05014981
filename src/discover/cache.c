/* The discovery cache: three small tables, looked through from end to end. */
#include "discover/cache.h"

#include <string.h>

void stoq_discovery_init(struct stoq_discovery *d)
{
    memset(d, 0, sizeof *d);
}

/* Where an entry about this provider of this key goes: its own place, one that is over, the next in turn. */
static struct stoq_discovery_place *place_for(struct stoq_discovery *d, const struct stoq_hash *key,
                                              const struct stoq_provider *who, stoq_ns now)
{
    struct stoq_discovery_place *over = NULL;
    for (size_t i = 0; i < STOQ_PLACES_MAX; i++) {
        struct stoq_discovery_place *p = &d->places[i];
        if (stoq_hash_eq(&p->key, key) && stoq_hash_eq(&p->who.peer.h, &who->peer.h) &&
            memcmp(&p->who.addr, &who->addr, sizeof who->addr) == 0) {
            return p;
        }
        over = over == NULL && p->until <= now ? p : over;
    }
    return over != NULL ? over : &d->places[d->place_next++ % STOQ_PLACES_MAX];
}

void stoq_discovery_found(struct stoq_discovery *d, const struct stoq_hash *key,
                          const struct stoq_provider *who, stoq_ns until, stoq_ns now)
{
    *place_for(d, key, who, now) =
        (struct stoq_discovery_place){.key = *key, .who = *who, .until = until};
    for (size_t i = 0; i < STOQ_NOBODY_MAX; i++) {
        if (stoq_hash_eq(&d->nobody[i].key, key)) {
            d->nobody[i].until = 0;
        }
    }
}

void stoq_discovery_none(struct stoq_discovery *d, const struct stoq_hash *key, stoq_ns now)
{
    d->nobody[d->nobody_next++ % STOQ_NOBODY_MAX] =
        (struct stoq_discovery_nobody){.key = *key, .until = now + STOQ_NOBODY_FOR};
}

bool stoq_discovery_is_none(const struct stoq_discovery *d, const struct stoq_hash *key,
                            stoq_ns now)
{
    for (size_t i = 0; i < STOQ_NOBODY_MAX; i++) {
        if (d->nobody[i].until > now && stoq_hash_eq(&d->nobody[i].key, key)) {
            return true;
        }
    }
    return false;
}

/* Likewise, about a peer. */
static struct stoq_discovery_failed *failed_for(struct stoq_discovery *d,
                                                const struct stoq_peer_id *peer, stoq_ns now)
{
    struct stoq_discovery_failed *over = NULL;
    for (size_t i = 0; i < STOQ_FAILED_MAX; i++) {
        struct stoq_discovery_failed *f = &d->failed[i];
        if (stoq_hash_eq(&f->peer.h, &peer->h)) {
            return f;
        }
        over = over == NULL && f->until <= now ? f : over;
    }
    return over != NULL ? over : &d->failed[d->failed_next++ % STOQ_FAILED_MAX];
}

void stoq_discovery_failed(struct stoq_discovery *d, const struct stoq_peer_id *peer, stoq_ns now)
{
    *failed_for(d, peer, now) =
        (struct stoq_discovery_failed){.peer = *peer, .until = now + STOQ_FAILED_FOR};
}

void stoq_discovery_reached(struct stoq_discovery *d, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < STOQ_FAILED_MAX; i++) {
        if (stoq_hash_eq(&d->failed[i].peer.h, &peer->h)) {
            d->failed[i].until = 0;
        }
    }
}

bool stoq_discovery_is_failed(const struct stoq_discovery *d, const struct stoq_peer_id *peer,
                              stoq_ns now)
{
    for (size_t i = 0; i < STOQ_FAILED_MAX; i++) {
        if (d->failed[i].until > now && stoq_hash_eq(&d->failed[i].peer.h, &peer->h)) {
            return true;
        }
    }
    return false;
}

size_t stoq_discovery_list(const struct stoq_discovery *d, const struct stoq_hash *key, stoq_ns now,
                           struct stoq_provider *out, size_t out_max)
{
    size_t n = 0;
    for (size_t i = 0; i < STOQ_PLACES_MAX && n < out_max; i++) {
        const struct stoq_discovery_place *p = &d->places[i];
        if (p->until > now && stoq_hash_eq(&p->key, key) &&
            !stoq_discovery_is_failed(d, &p->who.peer, now)) {
            out[n++] = p->who;
        }
    }
    return n;
}
