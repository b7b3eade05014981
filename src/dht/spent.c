/*
 * Holders that say Busy again and again: our quota with them is spent, or they have no room. They are sent
 * no more records for a minute, in which such a quota grows by sixty, else everything that waits would go
 * there whole each time only to be refused. Of what they keep they are still told by its digest. A few Busy
 * in a row say nothing yet: one key or one subnet may be full, and others are taken.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define IN_A_ROW 8
#define PAUSE (60 * STOQ_SEC)

static uint64_t first_bits(const struct stoq_dht *d, stoq_contact_no who)
{
    uint64_t bits;
    memcpy(&bits, dht_id_of(d, who)->b, sizeof bits);
    return bits;
}

static struct spent_holder *find(struct spent *s, uint64_t id)
{
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        if (s->v[i].id == id) {
            return &s->v[i];
        }
    }
    return NULL;
}

/* A place for one more, of the one whose pause ends first where all are taken. */
static struct spent_holder *add(struct spent *s, uint64_t id)
{
    struct spent_holder *h = &s->v[0];
    if (s->count < SPENT_MAX) {
        h = &s->v[s->count++];
    } else {
        for (uint32_t i = 1; i < s->count; i++) {
            h = s->v[i].until < h->until ? &s->v[i] : h;
        }
    }
    *h = (struct spent_holder){.id = id};
    return h;
}

void spent_told(struct stoq_dht *d, stoq_contact_no to, enum stoq_dht_outcome outcome)
{
    struct provide *pr = &d->provide;
    uint64_t id = first_bits(d, to);
    struct spent_holder *h = find(pr->spent, id);
    if (outcome == STOQ_DHT_DONE && h != NULL) {
        *h = pr->spent->v[--pr->spent->count];
    }
    if (outcome != STOQ_DHT_BUSY) {
        return;
    }
    if (pr->spent == NULL) {
        pr->spent = calloc(1, sizeof *pr->spent);
    }
    if (pr->spent == NULL) {
        return; /* everything is sent to everybody */
    }
    h = h != NULL ? h : add(pr->spent, id);
    if (++h->in_a_row >= IN_A_ROW) {
        h->until = d->now + PAUSE;
    }
}

bool spent_is(const struct stoq_dht *d, stoq_contact_no to)
{
    const struct spent_holder *h = find(d->provide.spent, first_bits(d, to));
    return h != NULL && d->now < h->until;
}
