/*
 * Dialling. A peer may have several addresses; they are tried IPv6 first, then families in turn, each
 * DIAL_STAGGER after the one before or as soon as that one failed (happy eyeballs, RFC 8305 section 5).
 * The first that opens ends the others. All peers together have ENGINE_DIALS_MAX attempts under way that
 * began lately; whoever comes later waits in order, so that a list of dead addresses costs packets at a
 * bounded rate and never the connections that live. An attempt that has heard nothing for DIAL_SILENT
 * costs next to nothing: it goes on beside those, up to ENGINE_DIALS_SILENT_MAX, and holds nobody up.
 *
 * A peer is PEER_DIALLED from the first wish until an attempt opens or the last one failed, and for as
 * long it is in the list e->dialling and refers to itself.
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <string.h>

#define DIAL_STAGGER (250 * STOQ_MS)
#define DIAL_SILENT (500 * STOQ_MS) /* by then most that live have answered */

/* How many more attempts may begin now. */
struct dial_room {
    size_t left;
    size_t fresh; /* under way, not silent */
};

static struct dial_room room_at(const struct stoq_engine *e, stoq_ns now)
{
    struct dial_room room = {0};
    for (const struct peer *p = e->dialling; p != NULL; p = p->dial_next) {
        room.fresh += now < p->silent_at ? p->attempts : 0;
    }
    size_t all = ENGINE_DIALS_MAX + ENGINE_DIALS_SILENT_MAX;
    size_t fresh_left = room.fresh < ENGINE_DIALS_MAX ? ENGINE_DIALS_MAX - room.fresh : 0;
    size_t all_left = e->dials < all ? all - e->dials : 0;
    room.left = fresh_left < all_left ? fresh_left : all_left;
    return room;
}

void engine_peer_address(struct peer *p, const struct stoq_addr *addr)
{
    for (uint32_t i = 0; i < p->addr_count; i++) {
        if (stoq_addr_eq(&p->addrs[i], addr)) {
            return;
        }
    }
    if (p->state == PEER_DIALLED) {
        return; /* the list is in use; the next dial may hear of it */
    }
    if (p->addr_count == ENGINE_ADDRS_MAX) { /* the oldest goes */
        memmove(p->addrs, p->addrs + 1, sizeof p->addrs - sizeof p->addrs[0]);
        p->addr_count--;
    }
    p->addrs[p->addr_count++] = *addr;
}

/* IPv6 first, then one of each family in turn; within a family in the order they were named. */
static void order_addresses(struct peer *p)
{
    struct stoq_addr sorted[ENGINE_ADDRS_MAX];
    uint32_t at[2] = {0, 0}; /* where the search for the next of each family goes on */
    uint32_t n = 0;
    for (bool v4 = false; n < p->addr_count; v4 = !v4) {
        uint32_t *i = &at[v4];
        while (*i < p->addr_count && stoq_addr_is_v4(&p->addrs[*i]) != v4) {
            ++*i;
        }
        if (*i < p->addr_count) {
            sorted[n++] = p->addrs[(*i)++];
        }
    }
    memcpy(p->addrs, sorted, n * sizeof sorted[0]);
}

static void unlist(struct stoq_engine *e, struct peer *p)
{
    struct peer **at = &e->dialling;
    while (*at != NULL && *at != p) {
        at = &(*at)->dial_next;
    }
    if (*at == p) {
        *at = p->dial_next;
        if (*at == NULL) {
            e->dialling_last = at;
        }
        p->dial_next = NULL;
        engine_peer_unref(e, p);
    }
}

void engine_dial_begin(struct stoq_engine *e, struct peer *p, stoq_ns timeout_ns)
{
    if (p->addr_count == 0) {
        p->addrs[p->addr_count++] = p->addr;
    }
    order_addresses(p);
    p->state = PEER_DIALLED;
    p->addr_next = 0;
    p->attempt_at = 0;
    p->silent_at = 0;
    p->dial_timeout_ns = timeout_ns;
    p->dial_status = STOQ_NET;
    p->why[0] = '\0';
    p->forged = false;
    p->code = NULL;
    p->dial_next = NULL;
    *e->dialling_last = p;
    e->dialling_last = &p->dial_next;
    engine_peer_ref(p);
    engine_dials_run(e); /* a caller may look whether it failed at once */
}

static enum stoq_status attempt(struct stoq_engine *e, struct peer *p, const struct stoq_addr *addr)
{
    struct stoq_net_dial dial = {.addr = *addr,
                                 .pin = &p->id,
                                 .timeout_ns = p->dial_timeout_ns,
                                 .min_rtt_ns = engine_known_rtt(e, &p->id)};
    stoq_net_conn conn;
    if (!engine_allows(e, &p->id)) {
        (void)snprintf(p->why, sizeof p->why, "`allow` does not name this peer");
        p->code = "PeerUnreachable";
        p->dial_status = STOQ_NET;
        return STOQ_NET;
    }
    enum stoq_status st = stoq_net_dial(e->net, &dial, &conn);
    if (st == STOQ_OK && stoq_map_put(&e->conns, (struct stoq_map_key){conn, 0}, p) != STOQ_OK) {
        stoq_net_close(e->net, conn, STOQ_APP_GOING_AWAY, "out of memory");
        st = STOQ_NOMEM;
    }
    if (st != STOQ_OK) {
        (void)snprintf(p->why, sizeof p->why, "cannot dial: %s", stoq_status_str(st));
        p->dial_status = st;
        return st;
    }
    p->attempts++;
    engine_peer_ref(p);
    e->dials++;
    e->dials_begun++;
    e->dials_all_most = e->dials > e->dials_all_most ? e->dials : e->dials_all_most;
    if (stoq_net_early(e->net, conn)) {
        p->early_conn = conn;
        engine_pings_early(e, p, conn);
        struct stoq_node_event ev = {.kind = STOQ_NODE_LINK_EARLY, .u.link = {.peer = p->number}};
        (void)engine_feed(e, &ev);
    }
    return STOQ_OK;
}

/* Nothing more can be tried. */
static void failed(struct stoq_engine *e, struct peer *p)
{
    p->state = PEER_IDLE;
    engine_peer_ref(p); /* until everybody is told */
    unlist(e, p);
    engine_dht_down(e, p, false);
    engine_exchange_down(e, p, false);
    engine_link_down(e, p, p->dial_status);
    engine_peer_unref(e, p);
}

/* Begin what may begin now; false: the peer has nothing under way and nothing left. */
static bool peer_run(struct stoq_engine *e, struct peer *p, stoq_ns now, struct dial_room *room)
{
    bool wanted = p->refs > 1 + p->attempts && !e->draining; /* by others than this dial */
    while (wanted && p->addr_next < p->addr_count && now >= p->attempt_at && room->left > 0) {
        if (attempt(e, p, &p->addrs[p->addr_next++]) == STOQ_OK) {
            p->attempt_at = now + DIAL_STAGGER;
            p->silent_at = now + DIAL_SILENT;
            room->left--;
            room->fresh++;
        }
    }
    return p->attempts > 0 || (wanted && p->addr_next < p->addr_count);
}

/* It looks at the clock itself: with a time from before the last look, what was silent then would be taken
 * for fresh again, beside what began in its place. */
void engine_dials_run(struct stoq_engine *e)
{
    stoq_ns now = stoq_now();
    struct dial_room room = room_at(e, now);
    struct peer *p = e->dialling;
    while (p != NULL) {
        struct peer *next = p->dial_next;
        if (!peer_run(e, p, now, &room)) {
            failed(e, p);
        }
        p = next;
    }
    e->dials_most = room.fresh > e->dials_most ? (uint32_t)room.fresh : e->dials_most;
}

stoq_ns engine_dials_deadline(const struct stoq_engine *e)
{
    stoq_ns now = stoq_now();
    struct dial_room room = room_at(e, now);
    bool is_full = e->dials >= ENGINE_DIALS_MAX + ENGINE_DIALS_SILENT_MAX;
    stoq_ns next_at = STOQ_NEVER;   /* somebody's next attempt is due */
    stoq_ns silent_at = STOQ_NEVER; /* somebody's place becomes free */
    for (const struct peer *p = e->dialling; p != NULL && !is_full; p = p->dial_next) {
        if (p->addr_next < p->addr_count && p->attempt_at < next_at) {
            next_at = p->attempt_at;
        }
        if (p->attempts > 0 && p->silent_at > now && p->silent_at < silent_at) {
            silent_at = p->silent_at;
        }
    }
    if (next_at == STOQ_NEVER || room.left > 0) {
        return next_at;
    }
    return silent_at > next_at ? silent_at : next_at;
}

/* Another attempt has opened: what else is under way there is not needed. */
static void end_others(struct stoq_engine *e, const struct peer *p)
{
    for (size_t i = 0; i < e->conns.capacity; i++) {
        const struct stoq_map_slot *slot = &e->conns.slots[i];
        struct stoq_net_info info;
        if (slot->value == p && stoq_net_info(e->net, slot->key.a, &info) && !info.inbound &&
            !info.opened) {
            stoq_net_close(e->net, slot->key.a, STOQ_APP_NONE, "another address was quicker");
        }
    }
}

void engine_dial_opened(struct stoq_engine *e, struct peer *p, bool inbound)
{
    if (!inbound) {
        STOQ_ASSERT(p->attempts > 0 && e->dials > 0);
        p->attempts--; /* its reference is the connection's now */
        e->dials--;
        end_others(e, p);
    }
    /* What the peer dialled at the same time stays beside ours, or each side would end the other's. */
    p->addr_next = p->addr_count;
    unlist(e, p);
}

void engine_dial_failed(struct stoq_engine *e, struct peer *p, enum stoq_status status)
{
    STOQ_ASSERT(p->attempts > 0 && e->dials > 0);
    p->attempts--;
    e->dials--;
    p->dial_status = status;
    p->attempt_at = 0; /* the next one need not wait */
    engine_peer_unref(e, p);
    engine_dials_run(e);
}

size_t engine_dials_waiting(const struct stoq_engine *e)
{
    size_t n = 0;
    for (const struct peer *p = e->dialling; p != NULL; p = p->dial_next) {
        n += p->attempts == 0;
    }
    return n;
}
