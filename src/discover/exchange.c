/*
 * Peer exchange. What may be believed of what a peer tells is little: that a record is its signer's own
 * word, since it is signed; not that the signer is where the record says. So:
 *
 *   told       only who was met within the hour: a connection of ours with that key, at an address that is
 *              in the record. What others say of others is passed on by nobody.
 *   to whom    a record goes to a peer only if that peer could use each address in it: private ones stay
 *              in their site, loopback ones on their host, link-local ones nowhere.
 *   dialled    likewise: what a sender could not know from where it stands is not dialled on its word, so
 *              nobody on the internet makes us knock at doors inside our network.
 *   kept       64 records of one sender until they are met, 4 of one public subnet, 512 in all: a list of
 *              strangers' addresses costs us a few dials and the strangers next to nothing.
 *
 * Where a peer stands is told by its connection: on loopback it is on this host, from a private address in
 * that private network, else outside; sites of the configuration count more than both.
 *
 * The dialler asks, once a connection and every ten minutes while it lasts; request and answer both carry
 * records. Whoever is heard of is dialled, a few at a time, until enough are met: the connection that
 * follows is an exchange again, so a newcomer that knows one peer of a network knows all of a small one
 * after a few round trips.
 */
#include "discover/exchange_internal.h"

#include "base/ip.h"

#include <string.h>

enum stoq_status stoq_exchange_new(struct stoq_exchange **out,
                                   const struct stoq_exchange_config *cfg)
{
    struct stoq_exchange *x = stoq_alloc(&cfg->alloc, 1, sizeof *x);
    if (x == NULL) {
        return STOQ_NOMEM;
    }
    x->cfg = *cfg;
    x->prng = stoq_prng(cfg->seed);
    *out = x;
    return STOQ_OK;
}

void stoq_exchange_free(struct stoq_exchange *x)
{
    if (x == NULL) {
        return;
    }
    for (size_t i = 0; i < x->count; i++) {
        stoq_free(&x->cfg.alloc, x->known[i].bytes);
    }
    stoq_free(&x->cfg.alloc, x);
}

const struct exchange_link *exchange_link_seen(const struct stoq_exchange *x,
                                               const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < x->link_count; i++) {
        const struct exchange_link *l = &x->links[i];
        if (l->used && stoq_hash_eq(&l->peer.h, &peer->h)) {
            return l;
        }
    }
    return NULL;
}

struct exchange_link *exchange_link(struct stoq_exchange *x, const struct stoq_peer_id *peer)
{
    const struct exchange_link *l = exchange_link_seen(x, peer);
    return l != NULL ? &x->links[l - x->links] : NULL;
}

/* A new place, or that of who was heard longest ago, those that are not connected first. */
static struct exchange_link *link_new(struct stoq_exchange *x)
{
    if (x->link_count < STOQ_EXCHANGE_LINKS_MAX) {
        return &x->links[x->link_count++];
    }
    struct exchange_link *oldest = &x->links[0];
    for (size_t i = 1; i < x->link_count; i++) {
        struct exchange_link *l = &x->links[i];
        bool rather = l->up != oldest->up ? !l->up : l->heard_at < oldest->heard_at;
        oldest = rather ? l : oldest;
    }
    return oldest;
}

bool exchange_shared(const struct exchange_link *l, const uint8_t *ip)
{
    enum stoq_ip_scope at = stoq_ip_scope(l->addr.b);
    switch (stoq_ip_scope(ip)) {
    case STOQ_IP_PUBLIC:
        return true;
    case STOQ_IP_PRIVATE:
        if (l->site != STOQ_SITE_UNKNOWN) {
            return l->site == STOQ_SITE_OURS;
        }
        return at == STOQ_IP_LOOPBACK || at == STOQ_IP_LINK ||
               (at == STOQ_IP_PRIVATE && stoq_ip_block(l->addr.b) == stoq_ip_block(ip));
    case STOQ_IP_LOOPBACK:
        return at == STOQ_IP_LOOPBACK && l->site != STOQ_SITE_OTHER;
    default:
        return false;
    }
}

bool stoq_exchange_may_see(const struct stoq_exchange *x, const struct stoq_peer_id *peer,
                           struct stoq_span addresses)
{
    const struct exchange_link *l = exchange_link_seen(x, peer);
    bool ok = l != NULL;
    for (size_t i = 0; ok && i < addresses.n; i += STOQ_EXCHANGE_ADDR_BYTES) {
        ok = exchange_shared(l, addresses.p + i);
    }
    return ok;
}

void stoq_exchange_up(struct stoq_exchange *x, const struct stoq_exchange_link *link, stoq_ns now)
{
    struct exchange_link *l = exchange_link(x, &link->peer);
    struct exchange_contact *c = exchange_contact(x, &link->peer);
    if (l == NULL) {
        l = link_new(x);
        *l = (struct exchange_link){.peer = link->peer, .used = true};
    }
    l->addr = link->addr;
    l->site = link->site;
    l->up = true;
    l->dialled = link->dialled;
    l->heard_at = now;
    stoq_ns again_at = l->asked_at + STOQ_EXCHANGE_PERIOD + STOQ_SEC;
    l->ask_at = l->asked && again_at > now ? again_at : now;
    if (c != NULL) {
        x->dialling -= c->dialling;
        c->dialling = false;
        c->tries = 0;
        exchange_meet(c, l, now);
    }
    x->next_at = 0;
}

void stoq_exchange_down(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    struct exchange_link *l = exchange_link(x, peer);
    struct exchange_contact *c = exchange_contact(x, peer);
    if (l != NULL && l->up && c != NULL) {
        exchange_meet(c, l, now);
    }
    if (l != NULL) {
        l->up = false;
        l->heard_at = now;
    }
    x->next_at = 0;
}

void stoq_exchange_unreachable(struct stoq_exchange *x, const struct stoq_peer_id *peer,
                               stoq_ns now)
{
    struct exchange_contact *c = exchange_contact(x, peer);
    if (c == NULL || !c->dialling) {
        return;
    }
    c->dialling = false;
    x->dialling--;
    x->next_at = 0;
    if (++c->tries == STOQ_EXCHANGE_TRIES_MAX) {
        exchange_drop(x, c);
    } else {
        c->next_at = now + (STOQ_EXCHANGE_RETRY << (c->tries - 1));
    }
}

bool stoq_exchange_may_answer(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    struct exchange_link *l = exchange_link(x, peer);
    if (l == NULL || !l->up || (l->answered && now < l->answered_at + STOQ_EXCHANGE_PERIOD)) {
        x->stats.refused++;
        return false;
    }
    l->answered = true;
    l->answered_at = now;
    x->stats.answered++;
    return true;
}

size_t stoq_exchange_pick(struct stoq_exchange *x, const struct stoq_peer_id *peer,
                          struct stoq_span *out, size_t out_max, stoq_ns now)
{
    uint16_t may[STOQ_EXCHANGE_KNOWN_MAX];
    size_t may_count = 0;
    size_t n = 0;
    exchange_drop_expired(x, now);
    for (size_t i = 0; i < x->count; i++) {
        const struct exchange_contact *c = &x->known[i];
        struct stoq_span addresses = stoq_span(c->addrs, c->addr_count * sizeof c->addrs[0]);
        if (exchange_is_met(c, now) && !stoq_hash_eq(&c->peer.h, &peer->h) &&
            stoq_exchange_may_see(x, peer, addresses)) {
            may[may_count++] = (uint16_t)i;
        }
    }
    while (n < out_max && n < may_count) {
        size_t k = n + (size_t)stoq_prng_below(&x->prng, may_count - n);
        uint16_t drawn = may[k];
        may[k] = may[n];
        out[n++] = stoq_span(x->known[drawn].bytes, x->known[drawn].n);
    }
    return n;
}
