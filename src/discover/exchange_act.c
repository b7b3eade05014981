/*
 * What to do next: ask who is connected and was dialled by us, then dial who was told of. Nothing of it waits
 * for anything but events and a look a minute.
 */
#include "discover/exchange_internal.h"

static bool next_ask(struct stoq_exchange *x, stoq_ns now, struct stoq_exchange_action *out)
{
    for (size_t i = 0; i < x->link_count; i++) {
        struct exchange_link *l = &x->links[i];
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
    const struct exchange_link *l = exchange_link_seen(x, peer);
    return l != NULL && l->up;
}

static void dial(struct stoq_exchange *x, struct exchange_contact *c, stoq_ns now,
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
        struct exchange_contact *c = &x->known[i];
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
        const struct exchange_link *l = &x->links[i];
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
    exchange_drop_expired(x, now);
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
    const struct exchange_contact *c = &x->known[i];
    *out = (struct stoq_exchange_view){.peer = c->peer, .met = exchange_is_met(c, now)};
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
