/*
 * The routing table. A contact belongs to the slot (level, digit): level is how many digits of 4 bits its
 * id shares with ours, digit the first that differs. A slot has STOQ_DHT_SLOT contacts, of them two of one
 * subnet at most, so a hop of a lookup gains a digit and a choice of eight, and somebody with one subnet
 * fills nothing. The K nearest to us are kept whatever their slot holds: they are who stands in for us
 * and who knows our neighbours' records.
 *
 * Nobody comes in who has not answered us. One that is in and answers stays, unless a slot is full and a
 * newcomer is at least twice as near by the round trip that we measured: that cuts the time of a hop and
 * cannot be claimed. Who does not fit is kept as a spare, and asked when its place falls free.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define FAILS_MAX 2
#define SEEN_TICK (4 * STOQ_SEC)
#define UPKEEP_MIN (1 * STOQ_SEC)
#define NEARER 2 /* times, for a newcomer to take a place */
#define SLOT_MAX STOQ_DHT_K

/* Microseconds as exponent and three bits of mantissa; 0: not measured. */
static uint8_t rtt_put(stoq_ns rtt_ns)
{
    uint64_t us = rtt_ns / 1000 + 8;
    unsigned top = 63u - (unsigned)__builtin_clzll(us);
    uint64_t code = (uint64_t)(top - 3) * 8 + ((us >> (top - 3)) & 7) + 1;
    return rtt_ns == 0 ? 0 : code > 255 ? 255 : (uint8_t)code;
}

static stoq_ns rtt_get(uint8_t code)
{
    if (code == 0) {
        return 0;
    }
    unsigned shift = (unsigned)(code - 1) / 8;
    uint64_t us = ((uint64_t)(8 + (code - 1) % 8) << shift) + ((uint64_t)1 << shift) - 1;
    return (us > 8 ? us - 8 : 1) * 1000;
}

/* A quarter of the new one: a single late reply moves little. But it moves: a quarter of what is between the
 * two may be less than a step. */
static uint8_t rtt_next(uint8_t code, stoq_ns rtt_ns)
{
    stoq_ns old = rtt_get(code);
    uint8_t now = rtt_put(rtt_ns);
    uint8_t next = rtt_put(code == 0 ? rtt_ns : old - old / 4 + rtt_ns / 4);
    if (next == code && now != code) {
        next = (uint8_t)(now < code ? code - 1 : code + 1);
    }
    return next;
}

static uint16_t tick(const struct stoq_dht *d)
{
    return (uint16_t)(d->now / SEEN_TICK);
}

static stoq_ns age(const struct stoq_dht *d, const struct entry *e)
{
    return (stoq_ns)(uint16_t)(tick(d) - e->seen) * SEEN_TICK;
}

unsigned table_digit(const struct stoq_dht *d, const struct stoq_hash *id, unsigned level)
{
    unsigned bit = level * d->cfg.shape.digit_bits;
    return id->b[bit / 8] >> (8 - bit % 8 - d->cfg.shape.digit_bits) &
           ((1u << d->cfg.shape.digit_bits) - 1);
}

/* Where it belongs; false: it is our own id, or so near that only a digit past the table tells. */
static bool place_of(const struct stoq_dht *d, stoq_contact_no contact, unsigned *level,
                     unsigned *digit)
{
    const struct stoq_hash *id = dht_id_of(d, contact);
    unsigned bits = stoq_dht_common_bits(&d->cfg.id, id);
    *level = bits / d->cfg.shape.digit_bits;
    if (*level >= DHT_LEVELS) {
        return false;
    }
    *digit = table_digit(d, id, *level);
    return true;
}

static struct slot *slot_at(const struct stoq_dht *d, unsigned level, unsigned digit)
{
    return d->table.rows[level] == NULL ? NULL : d->table.rows[level]->slots[digit];
}

static struct entry *find(const struct stoq_dht *d, stoq_contact_no contact, struct slot **slot)
{
    unsigned level;
    unsigned digit;
    *slot = NULL;
    if (!place_of(d, contact, &level, &digit)) {
        return NULL;
    }
    struct slot *s = slot_at(d, level, digit);
    *slot = s;
    for (unsigned i = 0; s != NULL && i < (unsigned)s->count + s->spare_count; i++) {
        if (s->v[i].contact == contact) {
            return &s->v[i];
        }
    }
    return NULL;
}

static bool is_spare(const struct slot *s, const struct entry *e)
{
    return e - s->v >= s->count;
}

/* Room for one more in its slot; NULL: no memory. */
static struct slot *slot_room(struct stoq_dht *d, stoq_contact_no contact)
{
    unsigned level;
    unsigned digit;
    if (!place_of(d, contact, &level, &digit)) {
        return NULL;
    }
    struct row **row = &d->table.rows[level];
    if (*row == NULL && (*row = calloc(1, sizeof **row)) == NULL) {
        return NULL;
    }
    struct slot *s = (*row)->slots[digit];
    unsigned used = s == NULL ? 0 : (unsigned)s->count + s->spare_count;
    if (s == NULL || used == s->cap) {
        unsigned cap = used < 2 ? 2 : used + 4;
        s = realloc(s, sizeof *s + cap * sizeof s->v[0]);
        if (s == NULL) {
            return NULL;
        }
        if (used == 0) {
            *s = (struct slot){0};
        }
        s->cap = (uint8_t)cap;
        (*row)->slots[digit] = s;
    }
    return s;
}

static void count_change(struct stoq_dht *d)
{
    d->table.near_known = false;
    provide_changed(d);
}

static void entry_out(struct stoq_dht *d, struct slot *s, struct entry *e)
{
    unsigned used = (unsigned)s->count + s->spare_count;
    unsigned i = (unsigned)(e - s->v);
    stoq_contact_no contact = e->contact;
    if (is_spare(s, e)) {
        s->spare_count--;
        d->table.spare_count--;
    } else {
        s->count--;
        d->table.count--;
        count_change(d);
    }
    memmove(e, e + 1, (used - i - 1) * sizeof *e);
    stoq_dht_book_drop(d->cfg.book, contact);
}

/* How many of this subnet are in the slot and in the table. */
static uint32_t group_in(const struct stoq_dht *d, const struct slot *s, uint64_t group)
{
    uint32_t n = 0;
    for (unsigned i = 0; s != NULL && i < s->count; i++) {
        n += dht_group_of(d, s->v[i].contact) == group;
    }
    return n;
}

static bool group_fits(const struct stoq_dht *d, const struct slot *s, stoq_contact_no contact)
{
    uint64_t group = dht_group_of(d, contact);
    uint32_t all = 0;
    if (group == 0 || (d->cfg.without & STOQ_DHT_NO_CAPS) != 0) {
        return true;
    }
    if (group_in(d, s, group) >= STOQ_DHT_GROUP_SLOT) {
        return false;
    }
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        for (unsigned i = 0; d->table.rows[level] != NULL && i < DHT_DIGITS; i++) {
            all += group_in(d, d->table.rows[level]->slots[i], group);
        }
    }
    return all < STOQ_DHT_GROUP_TABLE;
}

/* One of the K nearest to us, as far as we know? */
static bool is_near(struct stoq_dht *d, stoq_contact_no contact)
{
    return stoq_dht_distance(&d->cfg.id, dht_id_of(d, contact)) <= table_near_radius(d);
}

static bool slot_is_full(struct stoq_dht *d, const struct slot *s, stoq_contact_no contact)
{
    if (s == NULL || s->count < d->cfg.shape.slot) {
        return false;
    }
    return s->count >= SLOT_MAX || !is_near(d, contact);
}

/* Whose place it may take: one that has failed, or is much farther away by round trip. NULL: nobody's. */
static struct entry *weakest(struct stoq_dht *d, struct slot *s, stoq_ns rtt_ns)
{
    struct entry *worst = NULL;
    for (unsigned i = 0; i < s->count; i++) {
        if (s->v[i].fails > 0) {
            return &s->v[i];
        }
        if (!is_near(d, s->v[i].contact) &&
            (worst == NULL || rtt_get(s->v[i].rtt) > rtt_get(worst->rtt))) {
            worst = &s->v[i];
        }
    }
    bool gains = worst != NULL && rtt_ns > 0 && !d->cfg.shape.any_rtt &&
                 rtt_get(worst->rtt) > rtt_ns * NEARER;
    return gains ? worst : NULL;
}

static void put(struct stoq_dht *d, struct slot *s, unsigned at, stoq_contact_no contact,
                stoq_ns rtt_ns)
{
    unsigned used = (unsigned)s->count + s->spare_count;
    memmove(&s->v[at + 1], &s->v[at], (used - at) * sizeof s->v[0]);
    s->v[at] = (struct entry){.contact = contact, .seen = tick(d), .rtt = rtt_put(rtt_ns)};
    stoq_dht_book_hold(d->cfg.book, contact);
}

static void put_spare(struct stoq_dht *d, struct slot *s, stoq_contact_no contact, stoq_ns rtt_ns)
{
    if (s->spare_count == DHT_SPARES) {
        entry_out(d, s, &s->v[s->count]); /* the oldest */
    }
    put(d, s, (unsigned)s->count + s->spare_count, contact, rtt_ns);
    s->spare_count++;
    d->table.spare_count++;
}

/* It has answered and is nowhere in the table. */
static void enter(struct stoq_dht *d, stoq_contact_no contact, stoq_ns rtt_ns)
{
    struct slot *s = slot_room(d, contact);
    if (s == NULL) {
        return;
    }
    if (!group_fits(d, s, contact)) {
        return; /* not even as a spare: it could never move up */
    }
    if (slot_is_full(d, s, contact)) {
        struct entry *w = weakest(d, s, rtt_ns);
        if (w == NULL) {
            put_spare(d, s, contact, rtt_ns);
            return;
        }
        entry_out(d, s, w);
    }
    put(d, s, s->count, contact, rtt_ns);
    s->count++;
    d->table.count++;
    count_change(d);
    hand_met(d, contact);
}

void table_seen(struct stoq_dht *d, stoq_contact_no contact, stoq_ns rtt_ns)
{
    struct slot *s;
    struct entry *e = find(d, contact, &s);
    if (e == NULL) {
        enter(d, contact, rtt_ns);
        return;
    }
    e->seen = tick(d);
    e->fails = 0;
    if (rtt_ns > 0) {
        e->rtt = rtt_next(e->rtt, rtt_ns);
    }
    if (is_spare(s, e) && !slot_is_full(d, s, contact)) {
        stoq_dht_book_hold(d->cfg.book, contact);
        entry_out(d, s, e);
        enter(d, contact, rtt_ns);
        stoq_dht_book_drop(d->cfg.book, contact);
    }
}

static void ping(struct stoq_dht *d, stoq_contact_no contact)
{
    struct stoq_dht_call call = {.ask = STOQ_DHT_PING};
    struct pending *p = dht_call(d, contact, &call);
    if (p != NULL) {
        p->upkeep = true;
        d->table.checks++;
    }
}

void table_failed(struct stoq_dht *d, stoq_contact_no contact, bool gone)
{
    struct slot *s;
    struct entry *e = find(d, contact, &s);
    if (e == NULL) {
        return;
    }
    bool spare = is_spare(s, e);
    e->fails++;
    if (e->fails < FAILS_MAX && !gone && !spare) {
        return;
    }
    entry_out(d, s, e);
    if (!spare && s->spare_count > 0 && d->table.checks < DHT_CHECKS_MAX) {
        ping(d, s->v[(unsigned)s->count + s->spare_count - 1].contact);
    }
}

void table_hint(struct stoq_dht *d, stoq_contact_no contact)
{
    struct slot *s;
    struct entry *e = find(d, contact, &s);
    unsigned level;
    unsigned digit;
    if (e != NULL || d->table.checks >= DHT_CHECKS_MAX || !place_of(d, contact, &level, &digit)) {
        return;
    }
    if (!group_fits(d, s, contact) ||
        (slot_is_full(d, s, contact) && s->spare_count == DHT_SPARES)) {
        return;
    }
    ping(d, contact);
}

stoq_ns table_rtt(const struct stoq_dht *d, stoq_contact_no contact)
{
    struct slot *s;
    const struct entry *e = find(d, contact, &s);
    return e == NULL ? 0 : rtt_get(e->rtt);
}

bool table_has_failed(const struct stoq_dht *d, stoq_contact_no contact)
{
    struct slot *s;
    const struct entry *e = find(d, contact, &s);
    return e != NULL && e->fails > 0;
}

stoq_ns table_upkeep(struct stoq_dht *d)
{
    const struct entry *oldest = NULL;
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            const struct slot *s = d->table.rows[level]->slots[k];
            for (unsigned i = 0; s != NULL && i < s->count; i++) {
                if (oldest == NULL || age(d, &s->v[i]) > age(d, oldest)) {
                    oldest = &s->v[i];
                }
            }
        }
    }
    if (oldest == NULL) {
        return STOQ_NEVER;
    }
    stoq_ns silent = age(d, oldest);
    if (silent < STOQ_DHT_QUIET) {
        stoq_ns wait = STOQ_DHT_QUIET - silent;
        return d->now + (wait < UPKEEP_MIN ? UPKEEP_MIN : wait);
    }
    if (d->table.checks < DHT_CHECKS_MAX) {
        ping(d, oldest->contact);
    }
    return d->now + UPKEEP_MIN;
}

uint32_t table_levels(const struct stoq_dht *d)
{
    uint32_t n = 0;
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            const struct slot *s = d->table.rows[level]->slots[k];
            n = s != NULL && s->count > 0 ? level + 1 : n;
        }
    }
    return n;
}

uint64_t table_bytes(const struct stoq_dht *d)
{
    uint64_t n = 0;
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        n += d->table.rows[level] != NULL ? sizeof(struct row) : 0;
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            const struct slot *s = d->table.rows[level]->slots[k];
            n += s != NULL ? sizeof *s + s->cap * sizeof s->v[0] : 0;
        }
    }
    return n;
}

bool stoq_dht_at(const struct stoq_dht *d, size_t at, stoq_ns now, struct stoq_dht_contact *out)
{
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            const struct slot *s = d->table.rows[level]->slots[k];
            size_t used = s == NULL ? 0 : (size_t)s->count + s->spare_count;
            if (at >= used) {
                at -= used;
                continue;
            }
            const struct entry *e = &s->v[at];
            *out = (struct stoq_dht_contact){
                .contact = e->contact,
                .level = level,
                .rtt_ns = rtt_get(e->rtt),
                .seen_ns = (stoq_ns)(uint16_t)((uint16_t)(now / SEEN_TICK) - e->seen) * SEEN_TICK,
                .fails = e->fails,
                .spare = is_spare(s, e)};
            return true;
        }
    }
    return false;
}

void table_release(struct stoq_dht *d)
{
    for (unsigned level = 0; level < DHT_LEVELS; level++) {
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            struct slot *s = d->table.rows[level]->slots[k];
            for (unsigned i = 0; s != NULL && i < (unsigned)s->count + s->spare_count; i++) {
                stoq_dht_book_drop(d->cfg.book, s->v[i].contact);
            }
            free(s);
        }
        free(d->table.rows[level]);
        d->table.rows[level] = NULL;
    }
}
