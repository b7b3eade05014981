/*
 * Who answered the last lookup of a sweep. Packages that are published one by one, and the parts of a long
 * sweep, have holders that were named a moment ago: where the first bits of a key are those that the lookup
 * spoke of, or it named the whole network, another would say the same. It is forgotten when somebody comes,
 * goes or does not answer; a record that too few took for that goes at once to those who answer now, since
 * only they count.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>

/* So long those who answered a lookup are asked without another ... */
#define AROUND_FOR (30 * STOQ_SEC)
/* ... and so long where they are everybody in a small network: who comes or goes there is noticed, and
 * what they gave us with their answers, so that we may leave something with them, is good for 300 s. */
#define AROUND_ALL_FOR (240 * STOQ_SEC)

void around_drop(struct stoq_dht *d)
{
    struct around *a = d->provide.around;
    for (uint32_t i = 0; a != NULL && i < a->count; i++) {
        stoq_dht_book_drop(d->cfg.book, a->near[i]);
    }
    free(a);
    d->provide.around = NULL;
}

void around_keep(struct stoq_dht *d, const struct job *j, unsigned bits)
{
    struct around *a = bits == STOQ_DHT_ID_BITS ? NULL : calloc(1, sizeof *a);
    around_drop(d);
    if (a == NULL) {
        return;
    }
    *a = (struct around){.key = j->key, .bits = bits, .at = d->now, .count = j->near_count};
    for (uint32_t i = 0; i < j->near_count; i++) {
        stoq_dht_book_hold(d->cfg.book, j->near[i]);
        a->near[i] = j->near[i];
    }
    d->provide.around = a;
}

const struct around *around_of(const struct stoq_dht *d, const struct stoq_hash *key)
{
    const struct around *a = d->provide.around;
    if (a == NULL) {
        return NULL;
    }
    bool all = a->bits == 0 && d->table.count < STOQ_DHT_SMALL && a->count >= d->table.count;
    bool good = d->now - a->at <= (all ? AROUND_ALL_FOR : AROUND_FOR) &&
                stoq_dht_common_bits(key, &a->key) >= a->bits;
    return good ? a : NULL;
}
