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
#include "discover/exchange.h"

#include "base/ip.h"

#include <string.h>

struct link {
    struct stoq_peer_id peer;
    struct stoq_exchange_addr addr;
    enum stoq_exchange_site site;
    bool used; /* a place that was ever taken */
    bool up;
    bool dialled;
    bool muted;    /* it passed on what nobody signed */
    bool asked;    /* ever */
    bool answered; /* ever */
    stoq_ns asked_at;
    stoq_ns answered_at;
    stoq_ns ask_at; /* next */
    stoq_ns heard_at;
};

struct contact {
    struct stoq_peer_id peer;
    struct stoq_peer_id from; /* whose word it is */
    uint64_t sequence;
    stoq_ns until; /* its TTL */
    stoq_ns added_at;
    uint8_t *bytes;
    size_t n;
    struct stoq_exchange_addr addrs[STOQ_EXCHANGE_ADDRS_MAX];
    uint32_t addr_count;
    uint32_t dialable; /* a bit each */
    bool met;
    struct stoq_exchange_addr met_addr;
    stoq_ns met_at;
    bool dialling;
    uint32_t tries;
    stoq_ns next_at;
};

struct stoq_exchange {
    struct stoq_exchange_config cfg;
    struct stoq_prng prng;
    struct link links[STOQ_EXCHANGE_LINKS_MAX];
    size_t link_count; /* places ever taken */
    struct contact known[STOQ_EXCHANGE_KNOWN_MAX];
    size_t count;
    size_t memory;
    uint32_t dialling;
    stoq_ns next_at; /* nothing to do before */
    struct stoq_exchange_stats stats;
};

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

/* ---- links ---- */

static struct link *link_find(const struct stoq_exchange *x, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < x->link_count; i++) {
        const struct link *l = &x->links[i];
        if (l->used && stoq_hash_eq(&l->peer.h, &peer->h)) {
            return (struct link *)(uintptr_t)l;
        }
    }
    return NULL;
}

/* A new place, or that of who was heard longest ago, those that are not connected first. */
static struct link *link_new(struct stoq_exchange *x)
{
    if (x->link_count < STOQ_EXCHANGE_LINKS_MAX) {
        return &x->links[x->link_count++];
    }
    struct link *oldest = &x->links[0];
    for (size_t i = 1; i < x->link_count; i++) {
        struct link *l = &x->links[i];
        bool rather = l->up != oldest->up ? !l->up : l->heard_at < oldest->heard_at;
        oldest = rather ? l : oldest;
    }
    return oldest;
}

/* Is an address worth something to this peer, and its word about it to us? */
static bool shared(const struct link *l, const uint8_t *ip)
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

static bool has_port(const uint8_t *addr)
{
    return addr[16] != 0 || addr[17] != 0;
}

bool stoq_exchange_may_see(const struct stoq_exchange *x, const struct stoq_peer_id *peer,
                           struct stoq_span addresses)
{
    const struct link *l = link_find(x, peer);
    bool ok = l != NULL;
    for (size_t i = 0; ok && i < addresses.n; i += STOQ_EXCHANGE_ADDR_BYTES) {
        ok = shared(l, addresses.p + i);
    }
    return ok;
}

/* ---- contacts ---- */

static struct contact *contact_find(struct stoq_exchange *x, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < x->count; i++) {
        if (stoq_hash_eq(&x->known[i].peer.h, &peer->h)) {
            return &x->known[i];
        }
    }
    return NULL;
}

static void contact_drop(struct stoq_exchange *x, struct contact *c)
{
    x->dialling -= c->dialling;
    x->memory -= c->n;
    stoq_free(&x->cfg.alloc, c->bytes);
    *c = x->known[--x->count];
}

static bool is_met(const struct contact *c, stoq_ns now)
{
    return c->met && now - c->met_at <= STOQ_EXCHANGE_MET_FOR;
}

bool stoq_exchange_is_met(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    const struct contact *c = contact_find(x, peer);
    return c != NULL && is_met(c, now);
}

static void drop_expired(struct stoq_exchange *x, stoq_ns now)
{
    for (size_t i = 0; i < x->count;) {
        if (x->known[i].until <= now) {
            contact_drop(x, &x->known[i]);
        } else {
            i++;
        }
    }
}

/* Who was never met goes first, then who was met longest ago. */
static void make_room(struct stoq_exchange *x, size_t bytes)
{
    while (x->count == STOQ_EXCHANGE_KNOWN_MAX || x->memory + bytes > STOQ_EXCHANGE_MEMORY_MAX) {
        struct contact *worst = &x->known[0];
        for (size_t i = 1; i < x->count; i++) {
            struct contact *c = &x->known[i];
            stoq_ns at = c->met ? c->met_at : c->added_at;
            stoq_ns worst_at = worst->met ? worst->met_at : worst->added_at;
            bool rather = c->met != worst->met ? !c->met : at < worst_at;
            worst = rather ? c : worst;
        }
        contact_drop(x, worst);
    }
}

/* Its key is at the other end of a connection with an address that it names itself. */
static void meet(struct contact *c, const struct link *l, stoq_ns now)
{
    for (uint32_t i = 0; i < c->addr_count; i++) {
        if (memcmp(c->addrs[i].b, l->addr.b, sizeof l->addr.b) == 0) {
            c->met = true;
            c->met_at = now;
            c->met_addr = l->addr;
        }
    }
}

/* The addresses that may be dialled on this sender's word, a bit each. */
static uint32_t dialable(const struct link *from, struct stoq_span addresses)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < addresses.n / STOQ_EXCHANGE_ADDR_BYTES; i++) {
        const uint8_t *a = addresses.p + (size_t)i * STOQ_EXCHANGE_ADDR_BYTES;
        bits |= shared(from, a) && has_port(a) ? 1u << i : 0;
    }
    return bits;
}

/* Does one more stranger on this sender's word fit, and in each of its subnets? */
static bool has_share(const struct stoq_exchange *x, const struct stoq_peer_id *from,
                      struct stoq_span addresses)
{
    size_t of_sender = 0;
    size_t of_subnet[STOQ_EXCHANGE_ADDRS_MAX] = {0};
    size_t addr_count = addresses.n / STOQ_EXCHANGE_ADDR_BYTES;
    for (size_t i = 0; i < x->count; i++) {
        const struct contact *c = &x->known[i];
        if (c->met) {
            continue;
        }
        of_sender += stoq_hash_eq(&c->from.h, &from->h);
        for (size_t k = 0; k < addr_count; k++) {
            uint64_t subnet = stoq_ip_subnet(addresses.p + k * STOQ_EXCHANGE_ADDR_BYTES);
            bool in = false;
            for (uint32_t j = 0; j < c->addr_count && subnet != 0; j++) {
                in = in || stoq_ip_subnet(c->addrs[j].b) == subnet;
            }
            of_subnet[k] += in;
        }
    }
    bool fits = of_sender < STOQ_EXCHANGE_SENDER_MAX;
    for (size_t k = 0; k < addr_count; k++) {
        fits = fits && of_subnet[k] < STOQ_EXCHANGE_SUBNET_MAX;
    }
    return fits;
}

static enum stoq_exchange_verdict judge(struct stoq_exchange *x, const struct stoq_peer_id *from,
                                        const struct stoq_exchange_record *rec)
{
    const struct link *l = link_find(x, from);
    const struct contact *c = contact_find(x, &rec->peer);
    if (stoq_hash_eq(&rec->peer.h, &x->cfg.self.h) || (c != NULL && c->sequence >= rec->sequence)) {
        return STOQ_EXCHANGE_KNOWN;
    }
    if (rec->ttl_ns == 0) {
        return STOQ_EXCHANGE_EXPIRED;
    }
    if (l == NULL || !l->up || dialable(l, rec->addresses) == 0) {
        return STOQ_EXCHANGE_FOREIGN;
    }
    if (l->muted) {
        return STOQ_EXCHANGE_FORGED;
    }
    bool fits = rec->bytes.n <= STOQ_EXCHANGE_BYTES_MAX &&
                (c != NULL || has_share(x, from, rec->addresses));
    return fits ? STOQ_EXCHANGE_WANTED : STOQ_EXCHANGE_FULL;
}

enum stoq_exchange_verdict stoq_exchange_judge(struct stoq_exchange *x,
                                               const struct stoq_peer_id *from,
                                               const struct stoq_exchange_record *rec, stoq_ns now)
{
    drop_expired(x, now);
    enum stoq_exchange_verdict v = judge(x, from, rec);
    x->stats.verdicts[v]++;
    return v;
}

void stoq_exchange_forged(struct stoq_exchange *x, const struct stoq_peer_id *from)
{
    struct link *l = link_find(x, from);
    x->stats.verdicts[STOQ_EXCHANGE_FORGED]++;
    if (l != NULL) {
        l->muted = true;
    }
}

enum stoq_status stoq_exchange_take(struct stoq_exchange *x, const struct stoq_peer_id *from,
                                    const struct stoq_exchange_record *rec, stoq_ns now)
{
    const struct link *sender = link_find(x, from);
    uint8_t *bytes = stoq_alloc(&x->cfg.alloc, 1, rec->bytes.n);
    STOQ_ASSERT(sender != NULL && rec->addresses.n <= sizeof x->known[0].addrs);
    if (bytes == NULL) {
        return STOQ_NOMEM;
    }
    memcpy(bytes, rec->bytes.p, rec->bytes.n);
    struct contact *c = contact_find(x, &rec->peer);
    if (c == NULL) {
        make_room(x, rec->bytes.n);
        c = &x->known[x->count++];
        *c = (struct contact){.peer = rec->peer, .added_at = now};
    }
    x->memory += rec->bytes.n - c->n;
    stoq_free(&x->cfg.alloc, c->bytes);
    c->bytes = bytes;
    c->n = rec->bytes.n;
    c->from = *from;
    c->sequence = rec->sequence;
    c->until = now + rec->ttl_ns;
    memcpy(c->addrs, rec->addresses.p, rec->addresses.n);
    c->addr_count = (uint32_t)(rec->addresses.n / STOQ_EXCHANGE_ADDR_BYTES);
    c->dialable = dialable(sender, rec->addresses);
    /* Met at an address that it does not name any more: to be met again. */
    struct link before = {.addr = c->met_addr};
    bool was_met = c->met;
    c->met = false;
    if (was_met) {
        meet(c, &before, c->met_at);
    }
    const struct link *own = link_find(x, &rec->peer);
    if (own != NULL && own->up) {
        meet(c, own, now);
    }
    x->stats.taken++;
    x->next_at = 0;
    return STOQ_OK;
}

/* ---- connections ---- */

void stoq_exchange_up(struct stoq_exchange *x, const struct stoq_exchange_link *link, stoq_ns now)
{
    struct link *l = link_find(x, &link->peer);
    struct contact *c = contact_find(x, &link->peer);
    if (l == NULL) {
        l = link_new(x);
        *l = (struct link){.peer = link->peer, .used = true};
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
        meet(c, l, now);
    }
    x->next_at = 0;
}

void stoq_exchange_down(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    struct link *l = link_find(x, peer);
    struct contact *c = contact_find(x, peer);
    if (l != NULL && l->up && c != NULL) {
        meet(c, l, now);
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
    struct contact *c = contact_find(x, peer);
    if (c == NULL || !c->dialling) {
        return;
    }
    c->dialling = false;
    x->dialling--;
    x->next_at = 0;
    if (++c->tries == STOQ_EXCHANGE_TRIES_MAX) {
        contact_drop(x, c);
    } else {
        c->next_at = now + (STOQ_EXCHANGE_RETRY << (c->tries - 1));
    }
}

bool stoq_exchange_may_answer(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    struct link *l = link_find(x, peer);
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
    drop_expired(x, now);
    for (size_t i = 0; i < x->count; i++) {
        const struct contact *c = &x->known[i];
        struct stoq_span addresses = stoq_span(c->addrs, c->addr_count * sizeof c->addrs[0]);
        if (is_met(c, now) && !stoq_hash_eq(&c->peer.h, &peer->h) &&
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

/* ---- what to do ---- */

static bool next_ask(struct stoq_exchange *x, stoq_ns now, struct stoq_exchange_action *out)
{
    for (size_t i = 0; i < x->link_count; i++) {
        struct link *l = &x->links[i];
        if (l->up && l->dialled && now >= l->ask_at) {
            l->asked = true;
            l->asked_at = now;
            l->ask_at = now + STOQ_EXCHANGE_AGAIN;
            x->stats.asked++;
            *out = (struct stoq_exchange_action){.kind = STOQ_EXCHANGE_ASK, .peer = l->peer};
            return true;
        }
    }
    return false;
}

/* How many were met so lately. */
static size_t count_met(const struct stoq_exchange *x, stoq_ns within, stoq_ns now)
{
    size_t n = 0;
    for (size_t i = 0; i < x->count; i++) {
        n += x->known[i].met && now - x->known[i].met_at <= within;
    }
    return n;
}

static bool is_up(const struct stoq_exchange *x, const struct stoq_peer_id *peer)
{
    const struct link *l = link_find(x, peer);
    return l != NULL && l->up;
}

static void dial(struct stoq_exchange *x, struct contact *c, stoq_ns now,
                 struct stoq_exchange_action *out)
{
    *out = (struct stoq_exchange_action){.kind = STOQ_EXCHANGE_DIAL, .peer = c->peer};
    for (uint32_t i = 0; i < c->addr_count; i++) {
        if ((c->dialable & 1u << i) != 0) {
            out->addrs[out->addr_count++] = c->addrs[i];
        }
    }
    c->dialling = true;
    c->next_at = now + STOQ_EXCHANGE_RETRY;
    x->dialling++;
    x->stats.dialled++;
}

static bool next_dial(struct stoq_exchange *x, stoq_ns now, struct stoq_exchange_action *out)
{
    bool few = count_met(x, STOQ_EXCHANGE_MET_FOR, now) < STOQ_EXCHANGE_ENOUGH;
    bool stale = count_met(x, STOQ_EXCHANGE_RENEW, now) < STOQ_EXCHANGE_FRESH;
    for (size_t i = 0; i < x->count && x->dialling < STOQ_EXCHANGE_DIALS_MAX; i++) {
        struct contact *c = &x->known[i];
        bool old = c->met && now - c->met_at > STOQ_EXCHANGE_RENEW;
        bool wanted = c->met ? old && stale : few;
        if (wanted && !c->dialling && now >= c->next_at && !is_up(x, &c->peer)) {
            dial(x, c, now, out);
            return true;
        }
    }
    return false;
}

/* Time alone changes little here: a look a minute is enough, and none where nobody is known. */
static void rest(struct stoq_exchange *x, stoq_ns now)
{
    x->next_at = x->count > 0 ? now + STOQ_EXCHANGE_PERIOD : STOQ_NEVER;
    for (size_t i = 0; i < x->link_count; i++) {
        const struct link *l = &x->links[i];
        if (l->up && l->dialled && l->ask_at < x->next_at) {
            x->next_at = l->ask_at;
        }
    }
}

bool stoq_exchange_poll(struct stoq_exchange *x, stoq_ns now, struct stoq_exchange_action *out)
{
    if (now < x->next_at) {
        return false;
    }
    drop_expired(x, now);
    if (next_ask(x, now, out) || next_dial(x, now, out)) {
        return true;
    }
    rest(x, now);
    return false;
}

stoq_ns stoq_exchange_deadline(const struct stoq_exchange *x)
{
    return x->next_at;
}

bool stoq_exchange_at(const struct stoq_exchange *x, size_t i, stoq_ns now,
                      struct stoq_exchange_view *out)
{
    if (i >= x->count) {
        return false;
    }
    const struct contact *c = &x->known[i];
    *out = (struct stoq_exchange_view){.peer = c->peer, .met = is_met(c, now)};
    out->met_ns = c->met ? now - c->met_at : 0;
    out->addr = c->met_addr;
    for (uint32_t k = c->addr_count; k > 0 && !c->met; k--) {
        out->addr = (c->dialable & 1u << (k - 1)) != 0 ? c->addrs[k - 1] : out->addr;
    }
    return true;
}

void stoq_exchange_stats(const struct stoq_exchange *x, stoq_ns now,
                         struct stoq_exchange_stats *out)
{
    *out = x->stats;
    out->known = x->count;
    out->met = count_met(x, STOQ_EXCHANGE_MET_FOR, now);
}
