/*
 * The table, and how a rate is measured. While at least one transfer from a peer is under way its clock
 * runs; bytes and running time are both halved every STOQ_PEERS_RATE_HALF_LIFE of real time, and their
 * quotient is the rate. So pauses do not count as slowness, and a path that becomes ten times slower has
 * lost 98 % of its old rate's weight within a minute. A rate nobody has measured for
 * STOQ_PEERS_RATE_STALE is not known any more.
 */
#include "peers/peers.h"

#include "base/fixed.h"
#include "base/ip.h"
#include "base/map.h"

#include <stdio.h>
#include <string.h>

struct entry {
    struct stoq_peer_id id;
    struct stoq_peers_place place;
    bool placed;
    enum stoq_peers_state state;
    stoq_ns state_at;
    bool seen;
    bool measured;
    uint8_t ip[16];
    struct stoq_rtt rtt;
    stoq_ns heard_at;
    uint64_t bytes_fetched;
    uint32_t busy; /* transfers under way */
    stoq_ns counted_at;
    uint64_t window_bytes; /* decayed */
    uint64_t window_ns;
    uint64_t rate_bytes_per_s;
    stoq_ns measured_at;
};

struct stoq_peers {
    struct stoq_alloc alloc;
    struct stoq_map by_id;
    struct stoq_map subnets; /* public ones -> how many peers, as a pointer */
    struct entry **list;
    size_t count;
    size_t room; /* of list */
};

enum stoq_status stoq_peers_new(struct stoq_peers **out, const struct stoq_alloc *alloc,
                                uint64_t seed)
{
    struct stoq_peers *p = stoq_alloc(alloc, 1, sizeof *p);
    if (p == NULL) {
        return STOQ_NOMEM;
    }
    p->alloc = *alloc;
    stoq_map_init(&p->by_id, seed);
    stoq_map_init(&p->subnets, seed + 1);
    *out = p;
    return STOQ_OK;
}

void stoq_peers_free(struct stoq_peers *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->count; i++) {
        stoq_free(&p->alloc, p->list[i]);
    }
    stoq_map_release(&p->by_id);
    stoq_map_release(&p->subnets);
    stoq_free(&p->alloc, p->list);
    stoq_free(&p->alloc, p);
}

/* Ids are hashes: 128 bits of one are nobody else's. */
static struct stoq_map_key key_of(const struct stoq_peer_id *id)
{
    return (struct stoq_map_key){stoq_le64(id->h.b), stoq_le64(id->h.b + 8)};
}

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* The subnet of an address of the open internet. A private network is one owner's anyway, and all its
 * peers are neighbours. */
static bool public_subnet(const struct entry *e, struct stoq_map_key *out)
{
    *out = (struct stoq_map_key){e->seen ? stoq_ip_subnet(e->ip) : 0, 0};
    return out->a != 0;
}

static void count_subnet(struct stoq_peers *p, const struct entry *e, int change)
{
    struct stoq_map_key key;
    if (!public_subnet(e, &key)) {
        return;
    }
    uintptr_t count = (uintptr_t)stoq_map_get(&p->subnets, key);
    count = change > 0 ? count + 1 : count - (count > 0);
    if (count == 0) {
        (void)stoq_map_remove(&p->subnets, key);
    } else {
        enum stoq_status st = stoq_map_put(&p->subnets, key, (void *)count);
        (void)st; /* no memory: one neighbour less is seen */
    }
}

uint32_t stoq_peers_neighbours(const struct stoq_peers *p, const struct stoq_peer_id *id)
{
    const struct entry *e = stoq_map_get(&p->by_id, key_of(id));
    struct stoq_map_key key;
    if (e == NULL || !public_subnet(e, &key)) {
        return 1;
    }
    uintptr_t count = (uintptr_t)stoq_map_get(&p->subnets, key);
    return count < 1 ? 1 : count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

static bool forget_one(struct stoq_peers *p)
{
    size_t oldest = SIZE_MAX;
    for (size_t i = 0; i < p->count; i++) {
        const struct entry *e = p->list[i];
        bool may_go = e->state != STOQ_PEERS_CONNECTED && !e->placed && e->busy == 0;
        if (may_go && (oldest == SIZE_MAX || e->heard_at < p->list[oldest]->heard_at)) {
            oldest = i;
        }
    }
    if (oldest == SIZE_MAX) {
        return false;
    }
    struct entry *gone = p->list[oldest];
    (void)stoq_map_remove(&p->by_id, key_of(&gone->id));
    memmove(&p->list[oldest], &p->list[oldest + 1], (p->count - oldest - 1) * sizeof *p->list);
    p->count--;
    count_subnet(p, gone, -1);
    stoq_free(&p->alloc, gone);
    return true;
}

static bool make_room(struct stoq_peers *p)
{
    if (p->count < p->room) {
        return true;
    }
    size_t room = p->room == 0 ? 8 : 2 * p->room;
    struct entry **list = stoq_alloc(&p->alloc, room, sizeof *list);
    if (list == NULL) {
        return false;
    }
    if (p->count > 0) {
        memcpy(list, p->list, p->count * sizeof *list);
    }
    stoq_free(&p->alloc, p->list);
    p->list = list;
    p->room = room;
    return true;
}

static enum stoq_status find_or_add(struct stoq_peers *p, const struct stoq_peer_id *id,
                                    struct entry **out)
{
    *out = stoq_map_get(&p->by_id, key_of(id));
    if (*out != NULL) {
        return STOQ_OK;
    }
    if (p->count == STOQ_PEERS_MAX && !forget_one(p)) {
        return STOQ_FULL;
    }
    struct entry *e = make_room(p) ? stoq_alloc(&p->alloc, 1, sizeof *e) : NULL;
    if (e == NULL) {
        return STOQ_NOMEM;
    }
    e->id = *id;
    if (stoq_map_put(&p->by_id, key_of(id), e) != STOQ_OK) {
        stoq_free(&p->alloc, e);
        return STOQ_NOMEM;
    }
    p->list[p->count++] = e;
    *out = e;
    return STOQ_OK;
}

/* Let the time since the last count pass. */
static void pass(struct entry *e, stoq_ns now)
{
    stoq_ns passed = now > e->counted_at ? now - e->counted_at : 0;
    uint64_t left = stoq_q32_decay(passed, STOQ_PEERS_RATE_HALF_LIFE);
    e->window_bytes = stoq_q32_mul(e->window_bytes, left);
    e->window_ns = stoq_q32_mul(e->window_ns, left) + (e->busy > 0 ? passed : 0);
    e->counted_at = now;
}

static void measure(struct entry *e, stoq_ns now)
{
    uint64_t us = e->window_ns / 1000;
    bool enough = e->window_ns >= STOQ_PEERS_RATE_BUSY || e->window_bytes >= STOQ_PEERS_RATE_BYTES;
    if (!enough || us == 0 || e->window_bytes > UINT64_MAX / 1000000) {
        return;
    }
    e->rate_bytes_per_s = e->window_bytes * 1000000 / us;
    e->measured = true;
    e->measured_at = now;
}

const char *stoq_peers_state_str(enum stoq_peers_state state)
{
    static const char *const names[STOQ_PEERS_STATES] = {[STOQ_PEERS_UNTRIED] = "untried",
                                                         [STOQ_PEERS_CONNECTED] = "connected",
                                                         [STOQ_PEERS_IDLE] = "idle",
                                                         [STOQ_PEERS_UNREACHABLE] = "unreachable"};
    return names[state];
}

static void set_state(struct entry *e, enum stoq_peers_state state, stoq_ns now)
{
    if (e->state != state) {
        e->state = state;
        e->state_at = now;
    }
}

enum stoq_status stoq_peers_feed(struct stoq_peers *p, const struct stoq_peers_event *ev,
                                 stoq_ns now)
{
    struct entry *e;
    enum stoq_status st = find_or_add(p, ev->peer, &e);
    if (st != STOQ_OK) {
        return st;
    }
    e->state_at = e->heard_at == 0 ? now : e->state_at;
    e->heard_at = now;
    switch (ev->kind) {
    case STOQ_PEERS_PLACE:
        e->place = *ev->u.place;
        e->placed = e->place.host[0] != '\0' || e->place.site[0] != '\0' ||
                    e->place.rack[0] != '\0' || e->place.region[0] != '\0';
        break;
    case STOQ_PEERS_SEEN:
        count_subnet(p, e, -1);
        memcpy(e->ip, ev->u.ip, sizeof e->ip);
        e->seen = true;
        count_subnet(p, e, 1);
        break;
    case STOQ_PEERS_UP:
        set_state(e, STOQ_PEERS_CONNECTED, now);
        (void)stoq_rtt_sample(&e->rtt, ev->u.rtt_ns, now);
        break;
    case STOQ_PEERS_RTT:
        (void)stoq_rtt_sample(&e->rtt, ev->u.rtt_ns, now);
        break;
    case STOQ_PEERS_DOWN:
        set_state(e, e->state == STOQ_PEERS_CONNECTED ? STOQ_PEERS_IDLE : STOQ_PEERS_UNREACHABLE,
                  now);
        break;
    case STOQ_PEERS_BEGIN:
        pass(e, now);
        e->busy++;
        break;
    case STOQ_PEERS_BYTES:
        pass(e, now);
        e->window_bytes += ev->u.bytes;
        e->bytes_fetched += ev->u.bytes;
        measure(e, now);
        break;
    case STOQ_PEERS_END:
        pass(e, now);
        measure(e, now);
        e->busy -= e->busy > 0;
        break;
    }
    return STOQ_OK;
}

bool stoq_peers_place(const struct stoq_peers *p, const struct stoq_peer_id *id,
                      struct stoq_peers_place *out)
{
    const struct entry *e = stoq_map_get(&p->by_id, key_of(id));
    if (e != NULL) {
        *out = e->place;
    }
    return e != NULL;
}

size_t stoq_peers_count(const struct stoq_peers *p)
{
    return p->count;
}

static void write_subnet(const struct entry *e, char out[STOQ_PEERS_DOMAIN_MAX])
{
    const uint8_t *ip = e->ip;
    out[0] = '\0';
    if (!e->seen) {
        return;
    }
    if (memcmp(ip, mapped, sizeof mapped) == 0) {
        (void)snprintf(out, STOQ_PEERS_DOMAIN_MAX, "%u.%u.%u.0/24", ip[12], ip[13], ip[14]);
        return;
    }
    (void)snprintf(out, STOQ_PEERS_DOMAIN_MAX, "%x:%x:%x::/48", (unsigned)(ip[0] << 8 | ip[1]),
                   (unsigned)(ip[2] << 8 | ip[3]), (unsigned)(ip[4] << 8 | ip[5]));
}

static void write_domain(const struct stoq_peers_view *v, char out[STOQ_PEERS_DOMAIN_MAX])
{
    const struct {
        const char *kind;
        const char *name;
    } levels[] = {{"site", v->place.site},
                  {"rack", v->place.rack},
                  {"host", v->place.host},
                  {"subnet", v->subnet}};
    out[0] = '\0';
    for (size_t i = 0; i < STOQ_COUNT(levels) && out[0] == '\0'; i++) {
        if (levels[i].name[0] != '\0') {
            (void)snprintf(out, STOQ_PEERS_DOMAIN_MAX, "%s:%s", levels[i].kind, levels[i].name);
        }
    }
}

bool stoq_peers_at(const struct stoq_peers *p, size_t i, stoq_ns now, struct stoq_peers_view *out)
{
    if (i >= p->count) {
        return false;
    }
    const struct entry *e = p->list[i];
    *out = (struct stoq_peers_view){.id = e->id,
                                    .place = e->place,
                                    .connected = e->state == STOQ_PEERS_CONNECTED,
                                    .state = e->state,
                                    .state_age_ns = now - e->state_at,
                                    .rtt_ns = e->rtt.held_ns,
                                    .rtt_latest_ns = e->rtt.latest_ns,
                                    .rtt_age_ns = now - e->rtt.changed_at,
                                    .rtt_changes = e->rtt.changes,
                                    .bytes_fetched = e->bytes_fetched};
    write_subnet(e, out->subnet);
    write_domain(out, out->domain);
    stoq_ns age = now > e->measured_at ? now - e->measured_at : 0;
    if (e->measured && age <= STOQ_PEERS_RATE_STALE) {
        out->rate_known = true;
        out->rate_bytes_per_s = e->rate_bytes_per_s;
        out->rate_age_ns = age;
    }
    return true;
}
