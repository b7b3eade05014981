/*
 * What we announce. Our keys are kept in order, and a cursor goes round: whatever is due behind it is
 * announced next, together with its neighbours, so that one lookup serves as many keys as it can. It asks
 * for 64 nodes instead of 20, and then knows everybody within the distance of the last. The largest power
 * of two below that distance bounds a part of the space, keys and nodes with the same first bits; at least
 * half of the 64 or so are in it, and for any key of it the nearest K are among them. A daemon with 100,000
 * packages in a network of fifty so needs a few lookups, not 100,000.
 *
 * Where more is due than there is room for, what somebody waits for goes first, then what its holders
 * are about to drop, then what too few hold, and the renewals that can wait last: they are due again
 * after half of what a holder grants, so with very many packages a round of them never ends, and who
 * comes behind it would not be announced at all. What is done out of its turn leaves the cursor alone.
 *
 * A record goes to the K nearest of those that answered, two of one subnet at most, to everybody else within
 * the radius in which K nodes are expected, and stays here too when we are one of the K ourselves. It is
 * announced when a majority of the wanted hold it: of K, or of all there are. Else it is tried again soon.
 * Where there are fewer than K nodes in all, everybody holds it: whoever comes or goes makes it due again.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define JOBS_MAX 3
#define JOB_KEYS 512
#define JOB_WANT STOQ_DHT_WANT_MAX
#define STORES_MAX 192 /* of a record on its way: 100,000 keys, 20 holders, 170 ms: half an hour */
#define RETRY_FIRST (5 * STOQ_SEC)
#define RETRY_MAX (300 * STOQ_SEC)
#define RETRY_BUSY (60 * STOQ_SEC) /* a holder's bucket fills by one a second */
#define BUSY_TRIES 12
#define DOUBLINGS_MAX 10
#define WITHDRAW_TRIES 6
#define ALONE_AFTER (10 * STOQ_SEC)
#define NOT_MADE_AGAIN (60 * STOQ_SEC)
#define CHANGED_FIRST (5 * STOQ_SEC) /* others come at the same time, and are waited for */
#define CHANGED_MAX (300 * STOQ_SEC)

void provide_due(struct stoq_dht *d, struct own *o, stoq_ns at)
{
    o->due_at = at;
    if (at < d->provide.next_at) {
        d->provide.next_at = at;
    }
}

enum stoq_status provide_add(struct stoq_dht *d, const struct stoq_dht_announce *a)
{
    struct provide *pr = &d->provide;
    struct own *o = provide_own(d, &a->key);
    if (o == NULL) {
        if (pr->count >= STOQ_DHT_OWN_MAX) {
            return STOQ_FULL;
        }
        o = calloc(1, sizeof *o);
        if (o == NULL || own_make_room(pr) != STOQ_OK) {
            free(o);
            return STOQ_NOMEM;
        }
        o->key = a->key;
        if (pr->count - pr->sorted == OWN_LATE_MAX) {
            own_sort_in(pr);
        }
        pr->v[pr->count++] = o;
        provide_due(d, o, d->now + a->in_ns);
    }
    if (o->withdrawn || a->urgent) {
        o->digest = o->withdrawn ? 0 : o->digest;
        o->withdrawn = false;
        o->tries = 0;
        provide_due(d, o, d->now);
    }
    o->urgent = o->urgent || a->urgent;
    return STOQ_OK;
}

void provide_withdraw(struct stoq_dht *d, const struct stoq_hash *key)
{
    struct own *o = provide_own(d, key);
    if (o != NULL && !o->withdrawn) {
        o->withdrawn = true;
        o->tries = 0;
        o->urgent = true;
        o->here_until = 0;
        provide_due(d, o, d->now);
    }
}

static void forget(struct stoq_dht *d, struct own *o)
{
    struct provide *pr = &d->provide;
    uint32_t i = 0;
    while (pr->v[i] != o) {
        i++;
    }
    memmove(&pr->v[i], &pr->v[i + 1], (pr->count - i - 1) * sizeof(struct own *));
    pr->count--;
    pr->sorted -= i < pr->sorted;
    free(o);
}

/* When the sweep may begin: once we have looked around, or nobody seems to be there. Before that we would
 * take ourselves for the whole network, and sign every record for nobody. */
static stoq_ns sweep_begins_at(const struct stoq_dht *d)
{
    return d->lookups_done > 0 ? 0 : d->provide.began_at + ALONE_AFTER;
}

enum turn {
    TURN_LAST, /* its holders have it for a while yet */
    TURN_NEW,  /* too few have it */
    TURN_OVER, /* they drop it soon */
    TURN_URGENT,
};

static enum turn turn_of(const struct stoq_dht *d, const struct own *o)
{
    stoq_ns soon = d->now + (stoq_ns)o->ttl_s * STOQ_SEC / 3;
    if (o->urgent) {
        return TURN_URGENT;
    }
    if (d->now < o->held_until && o->held_until <= soon) {
        return TURN_OVER;
    }
    return o->enough && d->now < o->held_until ? TURN_LAST : TURN_NEW;
}

struct stoq_hash provide_swept(const struct stoq_dht *d)
{
    const struct provide *pr = &d->provide;
    struct stoq_hash at = pr->cursor;
    uint32_t from = own_first_from(pr, &pr->cursor, 1);
    for (uint32_t k = 0; k < pr->count && pr->sorted == pr->count; k++) {
        const struct own *o = pr->v[(from + k) % pr->count];
        if (o->job != NULL || o->due_at <= d->now) {
            break;
        }
        at = o->key;
    }
    return at;
}

/* The next whose turn it is, in the order of the sweep; count: none is due. */
static uint32_t next_due(struct stoq_dht *d)
{
    struct provide *pr = &d->provide;
    enum turn turn = TURN_LAST;
    stoq_ns begins_at = sweep_begins_at(d);
    own_sort_in(pr);
    pr->cursor = provide_swept(d);
    uint32_t from = own_first_from(pr, &pr->cursor, 1);
    uint32_t found = pr->count;
    stoq_ns earliest = STOQ_NEVER;
    for (uint32_t k = 0; k < pr->count; k++) {
        uint32_t i = (from + k) % pr->count;
        const struct own *o = pr->v[i];
        if (o->job != NULL) {
            continue;
        }
        stoq_ns at = o->urgent || o->due_at > begins_at ? o->due_at : begins_at;
        earliest = at < earliest ? at : earliest;
        enum turn its = turn_of(d, o);
        if (at <= d->now && (found == pr->count || its > turn)) {
            found = i;
            turn = its;
            if (its == TURN_URGENT) {
                break;
            }
        }
    }
    pr->next_at = earliest;
    return found;
}

static void job_free(struct stoq_dht *d, struct job *j)
{
    struct job **at = &d->provide.jobs;
    renew_release(j);
    patch_release(j);
    while (*at != j) {
        at = &(*at)->next;
    }
    *at = j->next;
    d->provide.job_count--;
    for (uint32_t i = 0; i < j->near_count; i++) {
        stoq_dht_book_drop(d->cfg.book, j->near[i]);
    }
    free(j->v);
    free(j);
}

/* Announced not long after it is due, a record costs no more; announced a little before, it shares the
 * lookup of its neighbour that is due now. */
static stoq_ns slack(const struct own *o)
{
    return o->enough && o->tries == 0 && !o->withdrawn ? (stoq_ns)o->ttl_s * STOQ_SEC / 16 : 0;
}

/* Keys behind the first that are due with it, or soon, go along; behind the last comes the first again. */
static void gather(struct stoq_dht *d, struct job *j, uint32_t from)
{
    struct provide *pr = &d->provide;
    for (uint32_t k = 0; k < pr->count && j->count < JOB_KEYS; k++) {
        struct own *o = pr->v[(from + k) % pr->count];
        if (o->job == NULL && o->due_at <= d->now + slack(o)) {
            o->job = j;
            j->v[j->count++] = o;
        }
    }
}

static void job_narrow(struct stoq_dht *d, struct job *j, unsigned bits);

/* It needs no lookup. */
static void job_take_around(struct stoq_dht *d, struct job *j, const struct around *a)
{
    j->looked = true;
    j->remembers = true;
    j->near_count = a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        stoq_dht_book_hold(d->cfg.book, a->near[i]);
        j->near[i] = a->near[i];
    }
    job_narrow(d, j, a->bits);
    provide_drive(d);
}

/* False: not now. */
static bool job_begin(struct stoq_dht *d, uint32_t from)
{
    struct provide *pr = &d->provide;
    struct job *j = calloc(1, sizeof *j);
    struct own **v = calloc(JOB_KEYS, sizeof(struct own *));
    const struct around *a = around_of(d, &pr->v[from]->key);
    struct lookup *l =
        j == NULL || v == NULL || a != NULL ? NULL : lookup_new(d, &pr->v[from]->key, LOOKUP_JOB);
    if (j == NULL || v == NULL || (l == NULL && a == NULL)) {
        free(v);
        free(j);
        return false;
    }
    j->v = v;
    j->key = pr->v[from]->key;
    j->anew_s = dht_wall(d);
    struct job **last = &pr->jobs; /* the oldest comes first, and is done first */
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = j;
    pr->job_count++;
    gather(d, j, from);
    if (a != NULL) {
        job_take_around(d, j, a);
        return true;
    }
    bool few = d->table.count < STOQ_DHT_SMALL; /* it costs no more to hear of all of them */
    l->job = j;
    l->want = j->count > 1 || few ? JOB_WANT : d->cfg.shape.k;
    lookup_drive(d, l);
    return true;
}

/* How many first bits a key must share with the job's for its nearest K to be known. */
static unsigned covered_bits(const struct stoq_dht *d, const struct job *j, uint32_t want)
{
    uint32_t inside = 0;
    if (j->near_count < want) {
        return 0; /* that is the whole network */
    }
    uint64_t farthest = stoq_dht_distance(&j->key, dht_id_of(d, j->near[want - 1]));
    unsigned bits = farthest == 0 ? 64 : (unsigned)__builtin_clzll(farthest) + 1;
    for (uint32_t i = 0; i < j->near_count; i++) {
        inside += stoq_dht_common_bits(&j->key, dht_id_of(d, j->near[i])) >= bits;
    }
    return inside >= d->cfg.shape.k ? bits : STOQ_DHT_ID_BITS;
}

/* Leave out the keys that this lookup says nothing of. */
static void job_narrow(struct stoq_dht *d, struct job *j, unsigned bits)
{
    uint32_t n = 0;
    STOQ_ASSERT(j->count > 0); /* at least the key it began with */
    for (uint32_t i = 0; i < j->count; i++) {
        struct own *o = j->v[i];
        if (i == 0 || stoq_dht_common_bits(&o->key, &j->key) >= bits) {
            j->v[n++] = o;
        } else {
            o->job = NULL;
            provide_due(d, o, o->due_at);
        }
    }
    j->count = n;
}

bool provide_has_room(const struct stoq_dht *d)
{
    return d->provide.stores + STOQ_DHT_K * d->provide.makes < STORES_MAX;
}

void provide_fill_make(const struct stoq_dht *d, struct stoq_dht_make *make, const struct own *o,
                       bool again)
{
    *make = (struct stoq_dht_make){.key = o->key,
                                   .ttl_s = d->cfg.shape.signed_s,
                                   .withdrawn = o->withdrawn,
                                   .digest = o->withdrawn ? 0 : o->digest,
                                   .sequence = o->sequence,
                                   .issued_at_s = o->issued_at_s,
                                   .again = again};
}

struct pending *provide_ask_make(struct stoq_dht *d, struct job *j, struct own *o, bool again)
{
    struct pending *p = dht_pending(d, PENDING_MAKE);
    struct action_node *a = p == NULL ? NULL : dht_out(d, STOQ_DHT_MAKE);
    if (a == NULL) {
        if (p != NULL) {
            dht_pending_free(d, p);
        }
        return NULL;
    }
    d->provide.makes++;
    p->job = j;
    p->own = o;
    provide_fill_make(d, &a->action.u.make, o, again);
    a->action.u.make.anew_s = j->anew_s;
    a->action.u.make.cookie = p->cookie;
    return p;
}

static void job_drive(struct stoq_dht *d, struct job *j)
{
    while (j->done < j->count && provide_has_room(d)) {
        struct own *o = j->v[j->done];
        if (provide_ask_make(d, j, o, renew_is_lasting(d, o)) == NULL) {
            break;
        }
        o->urgent = false;
        j->done++;
        j->makes++;
        j->open++;
    }
    renew_drive(d, j);
    patch_drive(d, j);
    if (j->looked && j->done == j->count && j->open == 0) {
        job_free(d, j);
    }
}

void provide_drive(struct stoq_dht *d)
{
    for (struct job *j = d->provide.jobs, *next; j != NULL; j = next) {
        next = j->next;
        if (j->looked) {
            job_drive(d, j);
        }
    }
}

void provide_looked(struct stoq_dht *d, struct lookup *l)
{
    struct job *j = l->job;
    j->looked = true;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->v[i].state == CANDIDATE_GOOD) {
            stoq_dht_book_hold(d->cfg.book, l->v[i].contact);
            j->near[j->near_count++] = l->v[i].contact;
        }
    }
    unsigned bits = covered_bits(d, j, l->want);
    job_narrow(d, j, bits);
    around_keep(d, j, bits);
    provide_drive(d);
}

static void tell(struct stoq_dht *d, const struct own *o)
{
    struct action_node *a = dht_out(d, STOQ_DHT_ANNOUNCED);
    if (a != NULL) {
        a->action.u.announced = (struct stoq_dht_announced){.key = o->key,
                                                            .wanted = o->wanted,
                                                            .got = o->got,
                                                            .enough = o->enough,
                                                            .withdrawn = o->withdrawn,
                                                            .again_in_ns = o->due_at - d->now};
    }
}

/* When to try again what has not reached enough. Somebody with a spent quota has asked us to go slower; one
 * that has none after an hour is full. */
static stoq_ns retry_after(const struct own *o, stoq_ns life)
{
    bool full = o->busy > 0 && o->tries >= BUSY_TRIES;
    stoq_ns max = full || life < RETRY_MAX ? life : RETRY_MAX;
    stoq_ns first = o->busy > 0 ? RETRY_BUSY : RETRY_FIRST;
    stoq_ns again = first << (o->tries < DOUBLINGS_MAX ? o->tries : DOUBLINGS_MAX);
    return again < max ? again : max;
}

/* Those that were too busy for this record have the one before, as long as that lives. */
static uint32_t old_ones(const struct stoq_dht *d, const struct own *o)
{
    uint32_t old = d->now < o->held_until && o->got > o->taken ? o->got - o->taken : 0;
    return o->busy < old ? o->busy : old;
}

/* All its stores are closed. */
static void settle(struct stoq_dht *d, struct own *o)
{
    stoq_ns life = (stoq_ns)o->ttl_s * STOQ_SEC / 2;
    uint32_t majority = o->asked / 2 + 1;
    bool renewed = o->asked > 0 && o->taken >= majority;
    if (!renewed && o->lost && o->job->remembers) {
        /* They were there when others were announced. Who is there now is found out first. */
        o->job = NULL;
        o->urgent = true;
        provide_due(d, o, d->now);
        return;
    }
    if (!renewed) {
        o->taken += old_ones(d, o);
    }
    o->enough = o->asked > 0 && o->taken >= majority;
    o->held_until = renewed ? d->now + 2 * life : o->held_until;
    o->wanted = o->asked;
    o->got = o->taken + o->beside;
    stoq_ns next = o->unheard && life > RETRY_MAX ? RETRY_MAX : life;
    stoq_ns again = renewed ? next : retry_after(o, life);
    o->tries = renewed ? 0 : o->tries + 1;
    o->known = d->table.count;
    o->job = NULL;
    if (o->withdrawn !=
        o->taken_back) { /* withdrawn, or announced again, while this was under way */
        o->tries = 0;
        provide_due(d, o, d->now);
        return;
    }
    /* Spread, so that what began together does not stay together: an eighth less at most. */
    provide_due(d, o, d->now + again - stoq_prng_below(&d->prng, again / 8 + 1));
    tell(d, o);
    if (o->withdrawn && (o->enough || o->tries >= WITHDRAW_TRIES)) {
        forget(d, o);
    }
}

/* holds: as one of the K. */
static void keep_here(struct stoq_dht *d, struct own *o, bool holds)
{
    o->here_until = d->now + (stoq_ns)o->ttl_s * STOQ_SEC;
    o->taken += holds;
    o->beside = !holds;
}

bool provide_store(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to,
                   struct stoq_dht_record *record)
{
    struct stoq_dht_call call = {.ask = STOQ_DHT_STORE, .target = o->key, .record = record};
    bool spent = spent_is(d, to);
    struct pending *p = spent ? NULL : dht_call(d, to, &call);
    o->busy += spent;
    if (p != NULL) {
        p->job = j;
        p->own = o;
        d->provide.stores++;
        d->provide.sent++;
    }
    return p != NULL;
}

void provide_closed(struct stoq_dht *d, struct job *j, struct own *o)
{
    o->open--;
    j->open--;
    if (o->open == 0) {
        settle(d, o);
    }
}

/* To each of them, whole, or as much of it as it has not. */
static void tell_holders(struct stoq_dht *d, struct job *j, struct own *o, const struct holders *h,
                         const struct telling *t)
{
    o->open = h->count + 1; /* it is not settled before all of them are told */
    j->open += o->open;
    for (uint32_t i = 0; i < h->count; i++) {
        bool told = t->renews && renew_tell(d, j, o, h->v[i]);
        told = told || (t->before != 0 && patch_tell(d, j, o, h->v[i], t));
        told = told || provide_store(d, j, o, h->v[i], t->record);
        if (!told) {
            provide_closed(d, j, o);
        }
    }
    provide_closed(d, j, o);
}

void provide_made(struct stoq_dht *d, struct pending *p, const struct stoq_dht_made *made)
{
    struct stoq_dht_record *record = made->record;
    struct own *o = p->own;
    struct job *j = p->job;
    struct holders h;
    d->provide.makes--;
    if (p->alone) {
        renew_made(d, p, record);
        return;
    }
    j->open--;
    j->makes--;
    if (record == NULL) {
        o->job = NULL;
        provide_due(d, o, d->now + NOT_MADE_AGAIN);
        provide_drive(d);
        return;
    }
    holders_choose(d, j, &o->key, &h);
    o->asked = h.wanted;
    o->taken_back = record->withdrawn;
    o->taken = 0;
    o->beside = false;
    o->lost = false;
    o->busy = 0;
    o->unheard = false;
    o->ttl_s = held_time_left(d, record);
    struct telling t = {.record = record,
                        .renews = o->digest != 0 && record->digest == o->digest && o->got > 1,
                        .before = made->likewise && !record->withdrawn ? o->digest : 0};
    o->digest = record->withdrawn ? 0 : record->digest;
    o->sequence = record->sequence;
    o->issued_at_s = record->issued_at_s;
    bool small = d->table.count < STOQ_DHT_SMALL && d->cfg.self != 0;
    if ((h.self || small) && !record->withdrawn) {
        keep_here(d, o, h.self);
    } else {
        o->here_until = 0;
        o->taken += h.self; /* taken back here already */
    }
    tell_holders(d, j, o, &h, &t);
    provide_drive(d);
}

void provide_missed(struct stoq_dht *d, struct own *o, enum stoq_dht_outcome outcome)
{
    if (outcome == STOQ_DHT_SILENT || outcome == STOQ_DHT_REFUSED) {
        o->lost = true;
        around_drop(d); /* it may be gone, and another nearer than the rest */
    }
}

void provide_stored(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply)
{
    struct own *o = p->own;
    struct job *j = p->job;
    d->provide.stores--;
    o->busy += reply->outcome == STOQ_DHT_BUSY;
    spent_told(d, p->to, reply->outcome);
    provide_missed(d, o, reply->outcome);
    if (reply->outcome == STOQ_DHT_DONE) {
        o->taken++;
        o->ttl_s = reply->ttl_s > 0 && reply->ttl_s < o->ttl_s ? reply->ttl_s : o->ttl_s;
    }
    provide_closed(d, j, o);
    provide_drive(d);
}

void provide_changed(struct stoq_dht *d)
{
    struct provide *pr = &d->provide;
    around_drop(d);
    if (pr->count == 0 || d->table.count > STOQ_DHT_SMALL || pr->changed_at != STOQ_NEVER) {
        return;
    }
    bool calm = d->now - pr->changed_last > 2 * CHANGED_MAX;
    stoq_ns wait = calm || pr->changed_wait == 0 ? CHANGED_FIRST : 2 * pr->changed_wait;
    pr->changed_wait = wait < CHANGED_MAX ? wait : CHANGED_MAX;
    pr->changed_at = d->now + pr->changed_wait;
}

/* What everybody holds, because there are few: some have come or gone since it was announced. */
static void announce_to_few(struct stoq_dht *d)
{
    struct provide *pr = &d->provide;
    pr->changed_at = STOQ_NEVER;
    pr->changed_last = d->now;
    for (uint32_t i = 0; i < pr->count; i++) {
        struct own *o = pr->v[i];
        if (o->enough && o->wanted < d->cfg.shape.k && o->known != d->table.count) {
            provide_due(d, o, d->now);
        }
    }
}

static bool is_open(const struct provide *pr)
{
    return pr->job_count < JOBS_MAX && pr->stores < STORES_MAX;
}

void provide_run(struct stoq_dht *d)
{
    struct provide *pr = &d->provide;
    if (pr->changed_at <= d->now) {
        announce_to_few(d);
    }
    provide_drive(d); /* one may have waited for the stores of another */
    while (is_open(pr) && pr->next_at <= d->now) {
        uint32_t i = next_due(d);
        if (i == pr->count) {
            return;
        }
        if (!job_begin(d, i)) {
            pr->next_at = d->now + STOQ_SEC;
            return;
        }
    }
}

stoq_ns provide_deadline(const struct stoq_dht *d)
{
    stoq_ns next_at = is_open(&d->provide) ? d->provide.next_at : STOQ_NEVER;
    return next_at < d->provide.changed_at ? next_at : d->provide.changed_at;
}

bool stoq_dht_own(const struct stoq_dht *d, const struct stoq_hash *key, stoq_ns now,
                  struct stoq_dht_announced *out)
{
    const struct own *o = provide_own(d, key);
    if (o == NULL) {
        return false;
    }
    *out = (struct stoq_dht_announced){.key = o->key,
                                       .wanted = o->wanted,
                                       .got = o->got,
                                       .enough = o->enough,
                                       .withdrawn = o->withdrawn,
                                       .again_in_ns = o->due_at > now ? o->due_at - now : 0};
    return true;
}

void provide_init(struct stoq_dht *d)
{
    d->provide.next_at = STOQ_NEVER;
    d->provide.changed_at = STOQ_NEVER;
    d->provide.cursor = d->cfg.sweep_from;
}

void provide_release(struct stoq_dht *d)
{
    around_drop(d);
    while (d->provide.jobs != NULL) {
        job_free(d, d->provide.jobs);
    }
    for (uint32_t i = 0; i < d->provide.count; i++) {
        free(d->provide.v[i]);
    }
    free(d->provide.v);
    free(d->provide.spent);
}
