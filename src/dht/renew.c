/*
 * A record is signed for a day and sent whole once. From then on its holders are only told that it still
 * holds, of as many records at once as fit a datagram, each named by a digest; who has one no more says so
 * and gets it whole. A record is made again for that, not kept: with the same sequence and time it comes
 * out as the same bytes, and if it does not, since what it says has changed, it is a new one. So an announced
 * key costs its provider no memory for the record.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>

bool renew_is_lasting(const struct stoq_dht *d, const struct own *o)
{
    uint64_t wall = dht_wall(d);
    uint32_t signed_s = d->cfg.shape.signed_s;
    uint32_t anew_s = signed_s / STOQ_DHT_ANEW_PART;
    anew_s = anew_s > STOQ_DHT_ANEW_S ? anew_s : STOQ_DHT_ANEW_S;
    return o->digest != 0 && !o->withdrawn && o->issued_at_s <= wall + STOQ_DHT_SKEW_S &&
           o->issued_at_s + signed_s > wall + anew_s;
}

/* False: no room, or no memory. */
static bool mend(struct stoq_dht *d, struct job *j, const struct miss *m)
{
    struct pending *p = provide_ask_make(d, j, m->own, true);
    if (p != NULL) {
        p->alone = true;
        p->to = m->to;
        stoq_dht_book_hold(d->cfg.book, p->to);
    }
    return p != NULL;
}

static void batch_send(struct stoq_dht *d, struct job *j, struct batch *b)
{
    struct stoq_dht_renewal *r = b->count == 0 ? NULL : stoq_dht_renewal_new(stoq_span(NULL, 0));
    struct own **owns = r == NULL ? NULL : calloc(b->count, sizeof *owns);
    struct pending *p = NULL;
    if (owns != NULL) {
        r->publisher = d->cfg.peer;
        r->issued_at_s = dht_wall(d);
        r->count = b->count;
        for (uint32_t i = 0; i < b->count; i++) {
            owns[i] = b->v[i];
            r->digests[i] = b->v[i]->digest;
        }
        struct stoq_dht_call call = {.ask = STOQ_DHT_RENEW, .renewal = r};
        p = dht_call(d, b->to, &call);
    }
    if (p != NULL) {
        p->job = j;
        p->owns = owns; /* taken */
        p->renewal = stoq_dht_renewal_hold(r);
    } else {
        free(owns);
    }
    for (uint32_t i = 0; i < b->count && p == NULL; i++) {
        provide_closed(d, j, b->v[i]);
    }
    b->count = 0;
    stoq_dht_renewal_drop(r);
}

bool renew_tell(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to)
{
    struct batch **at = &j->batches;
    while (*at != NULL && (*at)->to != to) {
        at = &(*at)->next;
    }
    if (*at == NULL && (*at = calloc(1, sizeof **at)) == NULL) {
        return false;
    }
    struct batch *b = *at;
    b->to = to;
    b->v[b->count++] = o;
    if (b->count == STOQ_DHT_RENEW_MAX) {
        batch_send(d, j, b);
    }
    return true;
}

void renew_made(struct stoq_dht *d, struct pending *p, struct stoq_dht_record *record)
{
    struct own *o = p->own;
    bool same = record != NULL && record->digest == o->digest;
    if (!same || !provide_store(d, p->job, o, p->to, record)) {
        provide_closed(d, p->job, o);
    }
    provide_drive(d);
}

/* False: no memory. */
static bool miss_add(struct job *j, struct own *o, stoq_contact_no to)
{
    if (j->miss_count == j->miss_cap) {
        uint32_t cap = j->miss_cap == 0 ? 16 : 2 * j->miss_cap;
        struct miss *v = realloc(j->misses, cap * sizeof *v);
        if (v == NULL) {
            return false;
        }
        j->misses = v;
        j->miss_cap = cap;
    }
    j->misses[j->miss_count++] = (struct miss){o, to};
    return true;
}

void renew_told(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply)
{
    struct job *j = p->job;
    bool answered = reply->outcome == STOQ_DHT_DONE;
    uint32_t count = p->patch != NULL ? p->patch->count : p->renewal->count;
    d->provide.stores -= p->patch != NULL ? count : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct own *o = p->owns[i];
        uint32_t kept = answered && i < reply->kept_count ? reply->kept[i] : 0;
        bool busy = p->patch != NULL && kept == STOQ_DHT_PATCH_BUSY;
        uint32_t kept_s = busy ? 0 : kept * STOQ_DHT_KEPT_S;
        bool spent = answered && kept == 0 && spent_is(d, p->to);
        if (answered && kept == 0 && !spent && miss_add(j, o, p->to)) {
            continue; /* it stays open until that is closed */
        }
        if (kept_s > 0) {
            d->provide.kept += p->patch == NULL;
            d->provide.anew += p->patch != NULL;
            o->taken++;
            o->ttl_s = kept_s < o->ttl_s ? kept_s : o->ttl_s;
        }
        o->busy += busy || spent || reply->outcome == STOQ_DHT_BUSY;
        provide_missed(d, o, reply->outcome);
        o->unheard = o->unheard || (p->patch != NULL && reply->outcome == STOQ_DHT_SILENT);
        provide_closed(d, j, o);
    }
    provide_drive(d);
}

void renew_drive(struct stoq_dht *d, struct job *j)
{
    while (j->miss_count > 0 && provide_has_room(d) && mend(d, j, &j->misses[j->miss_count - 1])) {
        j->miss_count--;
    }
    for (struct batch *b = j->batches; b != NULL && j->done == j->count && j->makes == 0;
         b = b->next) {
        batch_send(d, j, b);
    }
}

void renew_release(struct job *j)
{
    while (j->batches != NULL) {
        struct batch *next = j->batches->next;
        free(j->batches);
        j->batches = next;
    }
    free(j->misses);
}
