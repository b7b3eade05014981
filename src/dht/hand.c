/*
 * Hand-over. A record lies with the nodes nearest to its key. Who comes to the network later may be nearer
 * than some of them, and would be asked for what it does not have until the record is announced again. So
 * whoever holds a record and meets somebody new near its key gives it a copy: not all K do, but the two
 * that are nearest to the newcomer, whom it asks first and who thus know it; one that is out of order is
 * not missed. The copy is like any that another than the publisher
 * brings: the newcomer looks at quotas, signature and whether the publisher answers.
 *
 * What waits is bounded and goes a few at a time, for the newcomer's sake; what does not fit is left to the
 * next announcement.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>

#define HANDS_MAX 2048 /* copies that wait */
#define HANDS_AT_ONCE 4
#define GIVERS 2
#define TRIES 3
#define BUSY_AGAIN (2 * STOQ_SEC)

struct hand {
    struct hand *next;
    stoq_contact_no to;             /* held */
    struct stoq_dht_record *record; /* held; NULL: ours, which is made then */
    struct stoq_hash key;
    uint32_t tries;
};

/* record NULL: ours of this key. */
static void push(struct stoq_dht *d, stoq_contact_no to, const struct stoq_hash *key,
                 struct stoq_dht_record *record, uint32_t tries)
{
    struct hands *hs = &d->hands;
    struct hand *h = hs->count >= HANDS_MAX ? NULL : calloc(1, sizeof *h);
    if (h == NULL) {
        return;
    }
    stoq_dht_book_hold(d->cfg.book, to);
    *h = (struct hand){.to = to, .record = record, .key = *key, .tries = tries};
    if (record != NULL) {
        (void)stoq_dht_record_hold(record);
    }
    *hs->last = h;
    hs->last = &h->next;
    hs->count++;
}

static struct hand *shift(struct hands *hs)
{
    struct hand *h = hs->first;
    hs->first = h->next;
    hs->last = hs->first == NULL ? &hs->first : hs->last;
    hs->count--;
    return h;
}

static void hand_free(struct stoq_dht *d, struct hand *h)
{
    stoq_dht_book_drop(d->cfg.book, h->to);
    stoq_dht_record_drop(h->record);
    free(h);
}

/* Is it for us to give a record of this key to the newcomer? near: the nearest to us. */
static bool is_ours_to_give(const struct stoq_dht *d, const struct stoq_hash *key,
                            stoq_contact_no newcomer, const stoq_contact_no *near, uint32_t count)
{
    const struct stoq_hash *id = dht_id_of(d, newcomer);
    uint32_t before_us = 0;
    uint32_t before_it = stoq_dht_nearer(key, &d->cfg.id, id) < 0;
    for (uint32_t i = 0; i < count; i++) {
        if (near[i] != newcomer) {
            const struct stoq_hash *other = dht_id_of(d, near[i]);
            bool holds = stoq_dht_nearer(key, other, id) < 0;
            before_it += holds;
            before_us += holds && stoq_dht_nearer(id, other, &d->cfg.id) < 0;
        }
    }
    return before_us < GIVERS && before_it < d->cfg.shape.k;
}

void hand_met(struct stoq_dht *d, stoq_contact_no newcomer)
{
    stoq_contact_no near[2 * STOQ_DHT_K];
    struct held_walk walk = {0};
    struct stoq_dht_record *r;
    if (d->cfg.self == 0 || (d->store.keys.count == 0 && d->provide.count == 0)) {
        return;
    }
    uint64_t radius = table_key_radius(d);
    radius = radius > UINT64_MAX / 4 ? UINT64_MAX / 4 : radius;
    if (stoq_dht_distance(&d->cfg.id, dht_id_of(d, newcomer)) > 4 * radius) {
        return;
    }
    uint32_t n = table_nearest(d, &d->cfg.id, 0, near, STOQ_COUNT(near));
    while (d->hands.count < HANDS_MAX && (r = held_next(d, &walk)) != NULL) {
        if (stoq_dht_distance(&d->cfg.id, &r->key) <= 2 * radius &&
            is_ours_to_give(d, &r->key, newcomer, near, n)) {
            push(d, newcomer, &r->key, r, 0);
        }
    }
    bool few = d->table.count < d->cfg.shape.k; /* ours are announced again then */
    for (uint32_t i = 0; i < d->provide.count && !few && d->hands.count < HANDS_MAX; i++) {
        const struct own *o = d->provide.v[i];
        if (here_is(o, d->now) && stoq_dht_distance(&d->cfg.id, &o->key) <= 2 * radius &&
            is_ours_to_give(d, &o->key, newcomer, near, n)) {
            push(d, newcomer, &o->key, NULL, 0);
        }
    }
}

/* False: it could not. */
static bool give(struct stoq_dht *d, stoq_contact_no to, struct stoq_dht_record *record,
                 uint32_t hands)
{
    struct stoq_dht_call call = {.ask = STOQ_DHT_STORE, .target = record->key, .record = record};
    struct pending *p = held_time_left(d, record) == 0 ? NULL : dht_call(d, to, &call);
    if (p != NULL) {
        p->hands = hands;
        p->record = stoq_dht_record_hold(record);
    }
    return p != NULL;
}

void hand_made(struct stoq_dht *d, const struct pending *p, struct stoq_dht_record *record)
{
    bool given = record != NULL && give(d, p->to, record, p->hands);
    d->hands.flying -= !given;
}

void hand_run(struct stoq_dht *d)
{
    struct hands *hs = &d->hands;
    while (hs->first != NULL && hs->flying < HANDS_AT_ONCE && hs->again_at <= d->now) {
        struct hand *h = shift(hs);
        hs->flying += h->record == NULL ? here_hand(d, &h->key, h->to, h->tries + 1)
                                        : give(d, h->to, h->record, h->tries + 1);
        hand_free(d, h);
    }
}

void hand_closed(struct stoq_dht *d, const struct pending *p, enum stoq_dht_outcome outcome)
{
    d->hands.flying--;
    d->hands.given += outcome == STOQ_DHT_DONE;
    if (outcome == STOQ_DHT_BUSY && p->hands < TRIES) {
        push(d, p->to, &p->record->key, p->record, p->hands);
        d->hands.again_at = d->now + BUSY_AGAIN;
    }
}

stoq_ns hand_deadline(const struct stoq_dht *d)
{
    bool waits = d->hands.first != NULL && d->hands.flying < HANDS_AT_ONCE;
    return waits ? d->hands.again_at : STOQ_NEVER;
}

void hand_release(struct stoq_dht *d)
{
    while (d->hands.first != NULL) {
        hand_free(d, shift(&d->hands));
    }
}
