/*
 * Who of those that answered a lookup is to hold a record: the K nearest to its key, two of one subnet at
 * most, and everybody else within the radius in which K nodes are expected.
 */
#include "dht/dht_internal.h"

/* Nearest to the key first. */
static void sort_near(const struct stoq_dht *d, const struct job *j, const struct stoq_hash *key,
                      stoq_contact_no *out)
{
    for (uint32_t i = 0; i < j->near_count; i++) {
        uint32_t at = i;
        while (at > 0 &&
               stoq_dht_nearer(key, dht_id_of(d, j->near[i]), dht_id_of(d, out[at - 1])) < 0) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = j->near[i];
    }
}

static bool group_fits(const struct stoq_dht *d, const struct holders *h, stoq_contact_no c)
{
    uint64_t group = dht_group_of(d, c);
    uint32_t same = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        same += group != 0 && dht_group_of(d, h->v[i]) == group;
    }
    return same < STOQ_DHT_GROUP_HOLD || (d->cfg.without & STOQ_DHT_NO_CAPS) != 0;
}

void holders_choose(struct stoq_dht *d, const struct job *j, const struct stoq_hash *key,
                    struct holders *h)
{
    stoq_contact_no near[DHT_CANDIDATES];
    uint64_t radius = table_key_radius(d);
    sort_near(d, j, key, near);
    *h = (struct holders){0};
    for (uint32_t i = 0; i < j->near_count && h->count < HOLDERS_MAX; i++) {
        const struct stoq_hash *id = dht_id_of(d, near[i]);
        if (!h->self && d->cfg.self != 0 && h->wanted < d->cfg.shape.k &&
            stoq_dht_nearer(key, &d->cfg.id, id) < 0) {
            h->self = true;
            h->wanted++;
        }
        bool fits = group_fits(d, h, near[i]);
        if (h->wanted < d->cfg.shape.k && fits) {
            h->v[h->count++] = near[i];
            h->wanted++;
        } else if (stoq_dht_distance(key, id) <= radius && !d->cfg.shape.plain) {
            h->v[h->count++] = near[i];
        }
    }
    if (!h->self && d->cfg.self != 0 && h->wanted < d->cfg.shape.k) {
        h->self = true;
        h->wanted++;
    }
}
