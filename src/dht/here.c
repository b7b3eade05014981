/*
 * Records of ours that we are to have ourselves, as one of the nearest to their keys, or since the network is
 * small. They are not stored: whoever asks for one gets it signed again, which comes out as the same
 * bytes (renew.c), for what it costs to open his datagram. A copy of each would be most of the memory of a
 * daemon with thousands of packages, and hardly any is ever asked for here.
 *
 * What does not come out the same says something else by now: it is announced first, and given afterwards.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>

#define REMAKES_MAX 64 /* under way; a shell signs them at once, so there is one as a rule */

bool here_is(const struct own *o, stoq_ns now)
{
    return o != NULL && o->digest != 0 && !o->withdrawn && o->here_until > now;
}

void here_release(struct stoq_dht *d, struct remake *r)
{
    if (r != NULL) {
        d->provide.remakes--;
        stoq_dht_book_drop(d->cfg.book, r->request.sender);
        free(r);
    }
}

/* NULL: it is not here, or there is no room. */
static struct pending *ask(struct stoq_dht *d, const struct stoq_hash *key, enum remake_for what)
{
    const struct own *o = provide_own(d, key);
    if (!here_is(o, d->now) || d->provide.remakes >= REMAKES_MAX) {
        return NULL;
    }
    struct remake *r = calloc(1, sizeof *r);
    struct pending *p = r == NULL ? NULL : dht_pending(d, PENDING_MAKE);
    struct action_node *a = p == NULL ? NULL : dht_out(d, STOQ_DHT_MAKE);
    if (a == NULL) {
        free(r);
        if (p != NULL) {
            dht_pending_free(d, p);
        }
        return NULL;
    }
    *r = (struct remake){.what = what, .digest = o->digest};
    d->provide.remakes++;
    p->remake = r; /* taken */
    a->answers = what == REMAKE_ANSWER;
    provide_fill_make(d, &a->action.u.make, o, true);
    a->action.u.make.cookie = p->cookie;
    return p;
}

bool here_answer(struct stoq_dht *d, const struct stoq_dht_request *q)
{
    struct pending *p = ask(d, &q->target, REMAKE_ANSWER);
    if (p != NULL) {
        p->remake->request = *q;
        if (q->sender != 0) {
            stoq_dht_book_hold(d->cfg.book, q->sender);
        }
    }
    return p != NULL;
}

bool here_look(struct stoq_dht *d, struct lookup *l)
{
    struct pending *p = ask(d, &l->target, REMAKE_LOOK);
    if (p != NULL) {
        p->lookup = l;
    }
    return p != NULL;
}

bool here_hand(struct stoq_dht *d, const struct stoq_hash *key, stoq_contact_no to, uint32_t hands)
{
    struct pending *p = ask(d, key, REMAKE_HAND);
    if (p != NULL) {
        p->hands = hands;
        p->to = to;
        stoq_dht_book_hold(d->cfg.book, to);
    }
    return p != NULL;
}

/* Is it what was announced? */
static bool is_same(struct stoq_dht *d, const struct remake *r,
                    const struct stoq_dht_record *record)
{
    if (record == NULL || record->digest == r->digest) {
        return record != NULL;
    }
    struct own *o = provide_own(d, &record->key);
    if (o != NULL && o->digest == r->digest && o->job == NULL) {
        provide_due(d, o, d->now);
    }
    return false;
}

void here_made(struct stoq_dht *d, struct pending *p, struct stoq_dht_record *record)
{
    struct remake *r = p->remake;
    record = is_same(d, r, record) ? record : NULL;
    if (r->what == REMAKE_ANSWER) {
        serve_value(d, &r->request, record);
    } else if (r->what == REMAKE_HAND) {
        hand_made(d, p, record);
    } else if (p->lookup != NULL) {
        if (record != NULL) {
            (void)lookup_record(d, p->lookup, record);
        }
        lookup_drive(d, p->lookup);
    }
}

size_t stoq_dht_count(const struct stoq_dht *d, const struct stoq_hash *key, stoq_ns now)
{
    struct stoq_dht_record *list[STOQ_DHT_KEY_RECORDS];
    return stoq_dht_held(d, key, now, list, STOQ_DHT_KEY_RECORDS) +
           here_is(provide_own(d, key), now);
}
