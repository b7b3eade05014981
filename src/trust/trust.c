/*
 * The score. Good things g halve every day, bad ones b every week:
 *
 *     g <- g 2^(-dt/24h) + x      x: verified MiB, at most 1 an interaction and 8 an hour
 *     b <- b 2^(-dt/7d) + y       y: timeout 0.2, failed transfer 0.1, violation 5, forged data 50
 *     m = (1 + g) / (2 + g + b)
 *     R = m - 1.28 sqrt(m (1 - m) / (3 + g + b))
 *     S = R - 0.1 max(0, n - 2)^2 - 0.05 v^2
 *
 * R is about the lower 90 % bound of a Beta distribution: a newcomer has 0.13, little, and usable. n are
 * the peers of its public subnet, v its violations, halving every week. To hold 0.8 an attacker needs a
 * quarter of bad to good at most: with 50 for a forged chunk and an hour's 8 MiB, that is no business.
 *
 * Silence lowers the score and so the choice, but never alone leads to a disconnect: an honest peer on a
 * bad path would be punished for the path. So b is kept twice, as a whole and as far as it is proven.
 *
 * All in 2^-32 parts with integers, so that every machine decides the same.
 */
#include "trust/trust.h"

#include "base/map.h"

#include <string.h>

#define ONE STOQ_Q32_ONE
#define GOOD_MAX (1024 * ONE) /* far above the 277 that 8 an hour can reach */
#define BAD_MAX (1048576 * ONE)
#define ALLOWANCE_MAX (8 * ONE)
#define BEHAVIOUR_MAX (64 * ONE)
#define NEIGHBOURS_MAX 64u
#define CUTS_MAX 64u /* disconnects not polled yet; those past it are left at their next event */

struct entry {
    struct stoq_trust_record r; /* as of at; quarantine_ns unused */
    stoq_ns at;
    stoq_ns quarantine_until;
};

struct stoq_trust {
    struct stoq_trust_config cfg;
    struct stoq_map by_id;
    struct entry **list;
    size_t count;
    size_t room;
    struct stoq_peer_id cuts[CUTS_MAX];
    uint32_t cut_count;
    uint64_t changes;
};

static const uint64_t weight[STOQ_TRUST_KINDS] = {
    [STOQ_TRUST_FAILED_TRANSFER] = ONE / 10,
    [STOQ_TRUST_INVALID_DATA] = 50 * ONE,
    [STOQ_TRUST_TIMEOUT] = ONE / 5,
    [STOQ_TRUST_VIOLATION] = 5 * ONE,
};

enum stoq_status stoq_trust_new(struct stoq_trust **out, const struct stoq_trust_config *cfg,
                                uint64_t seed)
{
    struct stoq_trust *t = stoq_alloc(&cfg->alloc, 1, sizeof *t);
    if (t == NULL) {
        return STOQ_NOMEM;
    }
    t->cfg = *cfg;
    if (t->cfg.minimum_reputation == 0) {
        t->cfg.minimum_reputation = ONE / 10;
    }
    if (t->cfg.minimum_trust_threshold == 0) {
        t->cfg.minimum_trust_threshold = 3 * ONE / 10;
    }
    stoq_map_init(&t->by_id, seed);
    *out = t;
    return STOQ_OK;
}

void stoq_trust_free(struct stoq_trust *t)
{
    if (t == NULL) {
        return;
    }
    struct stoq_alloc alloc = t->cfg.alloc;
    for (size_t i = 0; i < t->count; i++) {
        stoq_free(&alloc, t->list[i]);
    }
    stoq_free(&alloc, t->list);
    stoq_map_release(&t->by_id);
    stoq_free(&alloc, t);
}

static struct stoq_map_key key_of(const struct stoq_peer_id *id)
{
    return (struct stoq_map_key){stoq_le64(id->h.b), stoq_le64(id->h.b + 8)};
}

static uint64_t add_up_to(uint64_t a, uint64_t b, uint64_t max)
{
    return a < max && b < max - a ? a + b : max;
}

static void decay(struct stoq_trust_record *r, stoq_ns passed)
{
    uint64_t week = stoq_q32_decay(passed, STOQ_TRUST_BAD_HALF_LIFE);
    r->good = stoq_q32_mul(r->good, stoq_q32_decay(passed, STOQ_TRUST_GOOD_HALF_LIFE));
    r->bad = stoq_q32_mul(r->bad, week);
    r->proven = stoq_q32_mul(r->proven, week);
    r->behaviour = stoq_q32_mul(r->behaviour, week);
    stoq_ns hour = 3600 * STOQ_SEC;
    uint64_t back = passed >= hour ? ALLOWANCE_MAX : 8 * stoq_q32_div(passed, hour);
    r->allowance = add_up_to(r->allowance, back, ALLOWANCE_MAX);
    r->quarantine_ns = r->quarantine_ns > passed ? r->quarantine_ns - passed : 0;
}

static void as_of(const struct entry *e, stoq_ns now, struct stoq_trust_record *out)
{
    *out = e->r;
    decay(out, now > e->at ? now - e->at : 0);
    out->quarantine_ns = e->quarantine_until > now ? e->quarantine_until - now : 0;
}

static uint64_t evidence(const struct entry *e)
{
    return e->r.good + e->r.bad;
}

static void forget_least(struct stoq_trust *t)
{
    size_t least = 0;
    for (size_t i = 1; i < t->count; i++) {
        least = evidence(t->list[i]) < evidence(t->list[least]) ? i : least;
    }
    struct entry *gone = t->list[least];
    (void)stoq_map_remove(&t->by_id, key_of(&gone->r.peer));
    t->list[least] = t->list[--t->count];
    stoq_free(&t->cfg.alloc, gone);
}

static bool make_room(struct stoq_trust *t)
{
    if (t->count == STOQ_TRUST_MAX) {
        forget_least(t);
    }
    if (t->count < t->room) {
        return true;
    }
    size_t room = t->room == 0 ? 8 : 2 * t->room;
    struct entry **list = stoq_alloc(&t->cfg.alloc, room, sizeof *list);
    if (list == NULL) {
        return false;
    }
    if (t->count > 0) {
        memcpy(list, t->list, t->count * sizeof *list);
    }
    stoq_free(&t->cfg.alloc, t->list);
    t->list = list;
    t->room = room;
    return true;
}

static struct entry *find_or_add(struct stoq_trust *t, const struct stoq_peer_id *id, stoq_ns now)
{
    struct entry *e = stoq_map_get(&t->by_id, key_of(id));
    if (e != NULL || !make_room(t)) {
        return e;
    }
    e = stoq_alloc(&t->cfg.alloc, 1, sizeof *e);
    if (e == NULL || stoq_map_put(&t->by_id, key_of(id), e) != STOQ_OK) {
        stoq_free(&t->cfg.alloc, e);
        return NULL;
    }
    e->r.peer = *id;
    e->r.allowance = ALLOWANCE_MAX;
    e->at = now;
    t->list[t->count++] = e;
    return e;
}

static void credit(struct stoq_trust_record *r, uint64_t bytes)
{
    uint64_t x = bytes >= STOQ_MIB ? ONE : bytes * (ONE / STOQ_MIB);
    x = x < r->allowance ? x : r->allowance;
    r->allowance -= x;
    r->good = add_up_to(r->good, x, GOOD_MAX);
}

static void count(struct entry *e, const struct stoq_trust_event *ev, stoq_ns now)
{
    struct stoq_trust_record *r = &e->r;
    bool proven = ev->kind == STOQ_TRUST_INVALID_DATA || ev->kind == STOQ_TRUST_VIOLATION;
    r->bad = add_up_to(r->bad, weight[ev->kind], BAD_MAX);
    r->proven = add_up_to(r->proven, proven ? weight[ev->kind] : 0, BAD_MAX);
    switch (ev->kind) {
    case STOQ_TRUST_SUCCESSFUL_TRANSFER:
        r->successful_transfers++;
        credit(r, ev->bytes);
        break;
    case STOQ_TRUST_INVALID_DATA:
        r->invalid_data_count++;
        e->quarantine_until = now + (STOQ_TRUST_QUARANTINE << r->quarantines);
        r->quarantines += r->quarantines < STOQ_TRUST_QUARANTINES_MAX;
        break;
    case STOQ_TRUST_TIMEOUT:
        r->timeout_count++;
        break;
    case STOQ_TRUST_VIOLATION:
        r->violations++;
        r->behaviour = add_up_to(r->behaviour, ONE, BEHAVIOUR_MAX);
        r->failed_transfers++;
        break;
    default:
        r->failed_transfers++;
        break;
    }
}

enum stoq_status stoq_trust_feed(struct stoq_trust *t, const struct stoq_trust_event *ev,
                                 stoq_ns now)
{
    struct entry *e = find_or_add(t, ev->peer, now);
    if (e == NULL) {
        return STOQ_NOMEM;
    }
    as_of(e, now, &e->r);
    e->at = now;
    if (e->r.quarantine_ns > 0) {
        return STOQ_OK;
    }
    count(e, ev, now);
    t->changes++;
    struct stoq_trust_record r;
    as_of(e, now, &r);
    if (stoq_trust_is_cut(t, &r, 1) && t->cut_count < CUTS_MAX) {
        t->cuts[t->cut_count++] = *ev->peer;
    }
    return STOQ_OK;
}

uint64_t stoq_trust_changes(const struct stoq_trust *t)
{
    return t->changes;
}

bool stoq_trust_poll(struct stoq_trust *t, struct stoq_peer_id *out)
{
    if (t->cut_count == 0) {
        return false;
    }
    *out = t->cuts[--t->cut_count];
    return true;
}

void stoq_trust_record(const struct stoq_trust *t, const struct stoq_peer_id *peer, stoq_ns now,
                       struct stoq_trust_record *out)
{
    const struct entry *e = stoq_map_get(&t->by_id, key_of(peer));
    if (e == NULL) {
        *out = (struct stoq_trust_record){.peer = *peer, .allowance = ALLOWANCE_MAX};
        return;
    }
    as_of(e, now, out);
}

/* Of at most BEHAVIOUR_MAX. */
static uint64_t square(uint64_t v)
{
    uint64_t whole = v >> 32;
    uint64_t part = v & UINT32_MAX;
    return (whole * whole << 32) + 2 * whole * part + (part * part >> 32);
}

int64_t stoq_trust_score(const struct stoq_trust_record *r, uint32_t neighbours)
{
    uint64_t all = r->good + r->bad;
    uint64_t m = stoq_q32_div(ONE + r->good, 2 * ONE + all);
    uint64_t root = stoq_q32_sqrt(stoq_q32_div(stoq_q32_mul(m, ONE - m), 3 * ONE + all));
    uint64_t crowd = neighbours < NEIGHBOURS_MAX ? neighbours : NEIGHBOURS_MAX;
    crowd = crowd > STOQ_TRUST_NEIGHBOURS_FREE ? crowd - STOQ_TRUST_NEIGHBOURS_FREE : 0;
    return (int64_t)m - (int64_t)(root * 128 / 100) - (int64_t)(crowd * crowd * (ONE / 10)) -
           (int64_t)(square(r->behaviour) / 20);
}

bool stoq_trust_is_trusted(const struct stoq_trust *t, const struct stoq_trust_record *r,
                           uint32_t neighbours)
{
    return r->quarantine_ns == 0 &&
           stoq_trust_score(r, neighbours) > (int64_t)t->cfg.minimum_trust_threshold;
}

bool stoq_trust_is_cut(const struct stoq_trust *t, const struct stoq_trust_record *r,
                       uint32_t neighbours)
{
    return r->quarantine_ns > 0 || (r->proven >= ONE && stoq_trust_score(r, neighbours) <
                                                            (int64_t)t->cfg.minimum_reputation);
}

bool stoq_trust_at(const struct stoq_trust *t, size_t i, stoq_ns now, struct stoq_trust_record *out)
{
    if (i >= t->count) {
        return false;
    }
    as_of(t->list[i], now, out);
    return true;
}

enum stoq_status stoq_trust_restore(struct stoq_trust *t, const struct stoq_trust_record *record,
                                    stoq_ns passed, stoq_ns now)
{
    stoq_ns longest = STOQ_TRUST_QUARANTINE << STOQ_TRUST_QUARANTINES_MAX;
    if (record->good > GOOD_MAX || record->bad > BAD_MAX || record->proven > record->bad ||
        record->behaviour > BEHAVIOUR_MAX || record->allowance > ALLOWANCE_MAX ||
        record->quarantines > STOQ_TRUST_QUARANTINES_MAX || record->quarantine_ns > longest) {
        return STOQ_RANGE;
    }
    struct entry *e = find_or_add(t, &record->peer, now);
    if (e == NULL) {
        return STOQ_NOMEM;
    }
    t->changes++;
    e->r = *record;
    decay(&e->r, passed);
    e->at = now;
    e->quarantine_until = e->r.quarantine_ns > 0 ? now + e->r.quarantine_ns : 0;
    return STOQ_OK;
}
