/*
 * Which records are believed and kept; exchange.c says why so few. The cheap questions come first, and the
 * signature, which is the shell's to check between judge and take, last.
 */
#include "discover/exchange_internal.h"

#include "base/ip.h"

#include <string.h>

struct exchange_contact *exchange_contact(struct stoq_exchange *x, const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < x->count; i++) {
        if (stoq_hash_eq(&x->known[i].peer.h, &peer->h)) {
            return &x->known[i];
        }
    }
    return NULL;
}

void exchange_drop(struct stoq_exchange *x, struct exchange_contact *c)
{
    x->dialling -= c->dialling;
    x->memory -= c->n;
    stoq_free(&x->cfg.alloc, c->bytes);
    *c = x->known[--x->count];
}

bool exchange_is_met(const struct exchange_contact *c, stoq_ns now)
{
    return c->met && now - c->met_at <= STOQ_EXCHANGE_MET_FOR;
}

bool stoq_exchange_is_met(struct stoq_exchange *x, const struct stoq_peer_id *peer, stoq_ns now)
{
    const struct exchange_contact *c = exchange_contact(x, peer);
    return c != NULL && exchange_is_met(c, now);
}

void exchange_drop_expired(struct stoq_exchange *x, stoq_ns now)
{
    for (size_t i = 0; i < x->count;) {
        if (x->known[i].until <= now) {
            exchange_drop(x, &x->known[i]);
        } else {
            i++;
        }
    }
}

/* Who was never met goes first, then who was met longest ago. */
static void make_room(struct stoq_exchange *x, size_t bytes)
{
    while (x->count == STOQ_EXCHANGE_KNOWN_MAX || x->memory + bytes > STOQ_EXCHANGE_MEMORY_MAX) {
        struct exchange_contact *worst = &x->known[0];
        for (size_t i = 1; i < x->count; i++) {
            struct exchange_contact *c = &x->known[i];
            stoq_ns at = c->met ? c->met_at : c->added_at;
            stoq_ns worst_at = worst->met ? worst->met_at : worst->added_at;
            bool rather = c->met != worst->met ? !c->met : at < worst_at;
            worst = rather ? c : worst;
        }
        exchange_drop(x, worst);
    }
}

void exchange_meet(struct exchange_contact *c, const struct exchange_link *l, stoq_ns now)
{
    for (uint32_t i = 0; i < c->addr_count; i++) {
        if (memcmp(c->addrs[i].b, l->addr.b, sizeof l->addr.b) == 0) {
            c->met = true;
            c->met_at = now;
            c->met_addr = l->addr;
        }
    }
}

static bool has_port(const uint8_t *addr)
{
    return addr[16] != 0 || addr[17] != 0;
}

/* The addresses that may be dialled on this sender's word, a bit each. */
static uint32_t dialable(const struct exchange_link *from, struct stoq_span addresses)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < addresses.n / STOQ_EXCHANGE_ADDR_BYTES; i++) {
        const uint8_t *a = addresses.p + (size_t)i * STOQ_EXCHANGE_ADDR_BYTES;
        bits |= exchange_shared(from, a) && has_port(a) ? 1u << i : 0;
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
        const struct exchange_contact *c = &x->known[i];
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
    const struct exchange_link *l = exchange_link_seen(x, from);
    const struct exchange_contact *c = exchange_contact(x, &rec->peer);
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
    exchange_drop_expired(x, now);
    enum stoq_exchange_verdict v = judge(x, from, rec);
    x->stats.verdicts[v]++;
    return v;
}

void stoq_exchange_forged(struct stoq_exchange *x, const struct stoq_peer_id *from)
{
    struct exchange_link *l = exchange_link(x, from);
    x->stats.verdicts[STOQ_EXCHANGE_FORGED]++;
    if (l != NULL) {
        l->muted = true;
    }
}

enum stoq_status stoq_exchange_take(struct stoq_exchange *x, const struct stoq_peer_id *from,
                                    const struct stoq_exchange_record *rec, stoq_ns now)
{
    const struct exchange_link *sender = exchange_link_seen(x, from);
    uint8_t *bytes = stoq_alloc(&x->cfg.alloc, 1, rec->bytes.n);
    STOQ_ASSERT(sender != NULL && rec->addresses.n <= sizeof x->known[0].addrs);
    if (bytes == NULL) {
        return STOQ_NOMEM;
    }
    memcpy(bytes, rec->bytes.p, rec->bytes.n);
    struct exchange_contact *c = exchange_contact(x, &rec->peer);
    if (c == NULL) {
        make_room(x, rec->bytes.n);
        c = &x->known[x->count++];
        *c = (struct exchange_contact){.peer = rec->peer, .added_at = now};
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
    struct exchange_link before = {.addr = c->met_addr};
    bool was_met = c->met;
    c->met = false;
    if (was_met) {
        exchange_meet(c, &before, c->met_at);
    }
    const struct exchange_link *own = exchange_link_seen(x, &rec->peer);
    if (own != NULL && own->up) {
        exchange_meet(c, own, now);
    }
    x->stats.taken++;
    x->next_at = 0;
    return STOQ_OK;
}
