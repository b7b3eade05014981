/*
 * Who is nearest. A target leaves our own id at some level; contacts that share more digits with it are in
 * one slot of that level, those that share as many in the others of it and below, those that share fewer
 * above. Taken in the order of the digits' XOR, these groups lie one behind the other, so the nearest are
 * found by sorting inside a few slots, whatever the table holds.
 *
 * How large the network is follows from our own neighbourhood: the i-th nearest of N ids lies at i / N of
 * the space, so the least-squares slope through the nearest K gives N, and with it the radius around any
 * key inside which K nodes are to be expected. Whoever crowds a key does not move it.
 */
#include "dht/dht_internal.h"

#include <string.h>

struct nearest {
    const struct stoq_hash *target;
    stoq_contact_no without;
    stoq_contact_no *v;
    uint32_t max;
    uint32_t count;
    uint32_t from; /* those before it are nearer than any that comes now */
    bool silent;   /* whoever has not answered lately counts too */
};

static void add_slot(const struct stoq_dht *d, struct nearest *near, const struct slot *s)
{
    for (unsigned i = 0; s != NULL && i < s->count; i++) {
        stoq_contact_no c = s->v[i].contact;
        const struct stoq_hash *id = dht_id_of(d, c);
        uint32_t at = near->count;
        if (c == near->without || (s->v[i].fails > 0 && !near->silent)) {
            continue;
        }
        while (at > near->from &&
               stoq_dht_nearer(near->target, id, dht_id_of(d, near->v[at - 1])) < 0) {
            at--;
        }
        if (at == near->max) {
            continue;
        }
        near->count += near->count < near->max;
        memmove(&near->v[at + 1], &near->v[at], (near->count - at - 1) * sizeof near->v[0]);
        near->v[at] = c;
    }
}

static void add_below(const struct stoq_dht *d, struct nearest *near, unsigned level)
{
    for (; level < DHT_LEVELS; level++) {
        for (unsigned k = 0; d->table.rows[level] != NULL && k < DHT_DIGITS; k++) {
            add_slot(d, near, d->table.rows[level]->slots[k]);
        }
    }
}

/* The slots of a level, the nearest first; what is below it, where the target leaves us there. */
static void add_level(const struct stoq_dht *d, struct nearest *near, unsigned level, bool leaves)
{
    unsigned ours = table_digit(d, &d->cfg.id, level);
    unsigned theirs = table_digit(d, near->target, level);
    for (unsigned x = 0; x < 1u << d->cfg.shape.digit_bits && near->count < near->max; x++) {
        unsigned digit = theirs ^ x;
        near->from = near->count;
        if (digit != ours && d->table.rows[level] != NULL) {
            add_slot(d, near, d->table.rows[level]->slots[digit]);
        } else if (digit == ours && leaves) {
            add_below(d, near, level + 1);
        }
    }
}

static uint32_t nearest(const struct stoq_dht *d, struct nearest *near)
{
    unsigned leaves = stoq_dht_common_bits(&d->cfg.id, near->target) / d->cfg.shape.digit_bits;
    leaves = leaves < DHT_LEVELS ? leaves : DHT_LEVELS - 1;
    for (unsigned level = leaves + 1; level > 0 && near->count < near->max; level--) {
        add_level(d, near, level - 1, level - 1 == leaves);
    }
    return near->count;
}

uint32_t table_nearest(const struct stoq_dht *d, const struct stoq_hash *target,
                       stoq_contact_no without, stoq_contact_no *out, uint32_t max)
{
    struct nearest near = {.target = target, .without = without, .max = max};
    near.v = out;
    return nearest(d, &near);
}

static void near_update(struct stoq_dht *d)
{
    stoq_contact_no near[STOQ_DHT_K] = {0};
    struct table *t = &d->table;
    uint32_t k = d->cfg.shape.k;
    if (t->near_known) {
        return;
    }
    /* A datagram is lost now and then: who has missed one is no less there than others. */
    struct nearest all = {.target = &d->cfg.id, .v = near, .max = STOQ_DHT_K, .silent = true};
    uint32_t n = nearest(d, &all);
    uint64_t squares = 0;
    uint64_t sum = 0;
    t->near_known = true;
    t->near_radius = UINT64_MAX;
    t->key_radius = UINT64_MAX;
    t->size = n + 1u;
    if (n == 0 || n < k) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint64_t distance = stoq_dht_distance(&d->cfg.id, dht_id_of(d, near[i])) >> 16;
        squares += (uint64_t)(i + 1) * (i + 1);
        sum += (i + 1) * distance;
    }
    t->near_radius = stoq_dht_distance(&d->cfg.id, dht_id_of(d, near[n - 1]));
    uint64_t step = sum / squares; /* between two ids, of 2^48 */
    t->size = step == 0 ? UINT64_MAX : ((uint64_t)1 << 48) / step;
    t->key_radius = step >= ((uint64_t)1 << 48) / k ? UINT64_MAX : (step * k) << 16;
}

uint64_t table_near_radius(struct stoq_dht *d)
{
    near_update(d);
    return d->table.near_radius;
}

uint64_t table_key_radius(struct stoq_dht *d)
{
    near_update(d);
    return d->table.key_radius;
}

uint64_t table_size(const struct stoq_dht *d)
{
    struct stoq_dht now = *d; /* an estimate changes nothing that others see */
    near_update(&now);
    return now.table.size;
}
