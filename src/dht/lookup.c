/*
 * A lookup asks its way to the nodes nearest to a target. Its candidates are kept nearest first; each belongs
 * to one of d paths: those that our table gives are dealt out in turn, and whom somebody names belongs to
 * the path of the first that named him, so that a liar steers one path and no other (S/Kademlia). A path
 * asks on until its share of the K nearest has answered. Then the K nearest of all paths, and everybody
 * within the radius in which K nodes are expected, are asked if they were not: a crowd around the key that
 * says nothing does not end it, since it does not make the radius smaller.
 *
 * Ten calls are waited for at a time. One that takes half as long again as this contact ever took is not
 * waited for any more, though its answer is still taken: a dead contact costs its own round trip. Since
 * datagrams are lost, one that would be among the K is asked up to three times before it is left out: the
 * first call goes four times by itself, so that the others are a datagram each.
 *
 * A lookup for records ends when it has enough of them, or three holders have told all that is known, to
 * the last page: one that says less, a copy left on the path say, is heard and not counted.
 * One that comes up empty begins again with twice the paths, from others of our table, up to eight. In a
 * small network it asks everybody, in the end or as soon as somebody is slow: all holders may have died at
 * once, and the provider has its own record.
 *
 * Answers that come in a datagram have room for a few contacts; those of some are turned page by page until
 * they reach as far as we need, else nobody would learn of the sixth to the twentieth: of the nearest, and
 * of the farthest that are wanted, which often belong to another slot, full for the nearest ones. Where there
 * is a crowd, everybody's are.
 *
 * How dense ids lie follows from our own neighbourhood, so it is known how many are to be expected within any
 * distance of a key. Somebody who wants to own a key needs more than that, and nearer: the 17th candidate of
 * a place where one is to be expected is left out, and the second hundred of ids that were ground for a
 * key gains nothing over the first sixteen. Honest ids come that close together about never.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define AGREE_ENOUGH 3
#define SOFT_EXTRA (15 * STOQ_MS)
#define MENDS_MAX 4 /* stale holders that one lookup gives what is newer */
#define ASKS_MAX 3  /* for one page of answers: datagrams are lost */
#define END_ALPHA 2 /* times as many calls at once when it is clear who is to be asked */
#define PAGES_FROM                                                                                 \
    6 /* of the nearest and of the last that are wanted: neighbours know each other */
#define REGION_MAX 128 /* candidates asked because they lie within the radius */
#define CROWD_SPARE 16 /* candidates anywhere, whatever is to be expected there ... */
#define CROWD_TIMES 2  /* ... and besides so many times those who are */

static void leave_out(struct stoq_dht *d, struct lookup *l, uint32_t at)
{
    stoq_dht_book_drop(d->cfg.book, l->v[at].contact);
    l->count--;
    memmove(&l->v[at], &l->v[at + 1], (l->count - at) * sizeof l->v[0]);
}

/* The candidate at `at` is new. The first one from there on that has too many before it for where it is goes,
 * or the new one, where that was asked already. */
static void thin_crowd(struct stoq_dht *d, struct lookup *l, uint32_t at)
{
    uint64_t radius = table_key_radius(d);
    uint64_t one = radius / (CROWD_TIMES * d->cfg.shape.k) + 1; /* more for each such distance */
    if (radius == UINT64_MAX || (d->cfg.without & STOQ_DHT_NO_CROWD) != 0) {
        return;
    }
    for (uint32_t i = at < CROWD_SPARE ? CROWD_SPARE : at; i < l->count; i++) {
        uint64_t distance = stoq_dht_distance(&l->target, dht_id_of(d, l->v[i].contact));
        if (i >= CROWD_SPARE + distance / one) {
            leave_out(d, l, l->v[i].state == CANDIDATE_FRESH ? i : at);
            return;
        }
    }
}

static void add(struct stoq_dht *d, struct lookup *l, stoq_contact_no contact, unsigned path,
                unsigned hop)
{
    uint32_t at = l->count;
    const struct stoq_hash *id = dht_id_of(d, contact);
    if (contact == d->cfg.self) {
        return;
    }
    while (at > 0) {
        int cmp = stoq_dht_nearer(&l->target, id, dht_id_of(d, l->v[at - 1].contact));
        if (cmp == 0) {
            return;
        }
        if (cmp > 0) {
            break;
        }
        at--;
    }
    if (l->count == DHT_CANDIDATES) {
        uint32_t out =
            l->count; /* the farthest that no answer is waited for: what it said is known */
        while (out > at && l->v[out - 1].state == CANDIDATE_ASKED) {
            out--;
        }
        if (out == at) {
            return;
        }
        leave_out(d, l, out - 1);
    }
    memmove(&l->v[at + 1], &l->v[at], (l->count - at) * sizeof l->v[0]);
    l->v[at] = (struct candidate){
        .contact = contact, .path = (uint8_t)path, .hop = (uint8_t)(hop > 255 ? 255 : hop)};
    l->count++;
    stoq_dht_book_hold(d->cfg.book, contact);
    thin_crowd(d, l, at);
}

/* Deal the table's nearest out to paths first .. end - 1. */
static void seed(struct stoq_dht *d, struct lookup *l, uint32_t first, uint32_t end)
{
    stoq_contact_no near[STOQ_DHT_K * STOQ_DHT_PATHS_MAX];
    uint32_t n = table_nearest(d, &l->target, 0, near, STOQ_DHT_K * end);
    for (uint32_t i = 0; i < n; i++) {
        add(d, l, near[i], first + i % (end - first), 1);
    }
}

struct lookup *lookup_new(struct stoq_dht *d, const struct stoq_hash *target, enum lookup_use use)
{
    if (d->lookup_count >= STOQ_DHT_LOOKS_MAX) {
        return NULL;
    }
    struct lookup *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return NULL;
    }
    l->use = use;
    l->pages = use != LOOKUP_UPKEEP || stoq_hash_eq(target, &d->cfg.id);
    l->target = *target;
    l->want = d->cfg.shape.k;
    l->paths = (d->cfg.without & STOQ_DHT_ONE_PATH) != 0 ? 1 : d->cfg.shape.paths;
    l->began_at = d->now;
    l->next = d->lookups;
    d->lookups = l;
    d->lookup_count++;
    seed(d, l, 0, l->paths);
    return l;
}

void lookup_free(struct stoq_dht *d, struct lookup *l)
{
    struct lookup **at = &d->lookups;
    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    d->lookup_count--;
    for (struct pending *p = d->pending_first; p != NULL; p = p->next) {
        if (p->lookup == l) {
            p->lookup = NULL;
            p->soft_at = STOQ_NEVER;
        }
    }
    for (uint32_t i = 0; i < l->count; i++) {
        stoq_dht_book_drop(d->cfg.book, l->v[i].contact);
    }
    for (uint32_t i = 0; i < l->record_count; i++) {
        stoq_dht_record_drop(l->records[i]);
    }
    for (uint32_t i = 0; i < l->told_count; i++) {
        stoq_dht_book_drop(d->cfg.book, l->told[i].contact);
        stoq_dht_record_drop(l->told[i].record);
    }
    free(l);
}

void lookup_free_over(struct stoq_dht *d)
{
    struct lookup *l = d->lookups;
    while (l != NULL) {
        struct lookup *next = l->next;
        if (l->over) {
            lookup_free(d, l);
        }
        l = next;
    }
}

void lookup_stop(struct stoq_dht *d, uint32_t number)
{
    for (struct lookup *l = d->lookups; l != NULL; l = l->next) {
        if (l->number == number && l->use == LOOKUP_SHELL) {
            l->over = true;
        }
    }
}

/* The first time it is waited for no longer than it should take, since another can be asked instead; who is
 * asked again has nobody to stand in for him. */
static stoq_ns patience(const struct stoq_dht *d, const struct lookup *l, const struct candidate *c)
{
    static const stoq_ns unknown[ASKS_MAX] = {STOQ_DHT_SOFT_FIRST, 400 * STOQ_MS, 1 * STOQ_SEC};
    stoq_ns rtt = table_rtt(d, c->contact);
    bool like_others = l->soft > 0 && (c->asks == 1 || l->everybody);
    stoq_ns soft = rtt > 0       ? c->asks * (rtt + rtt / 2 + SOFT_EXTRA)
                   : like_others ? c->asks * (2 * l->soft + SOFT_EXTRA)
                                 : unknown[c->asks - 1];
    return soft < STOQ_DHT_HARD && !d->cfg.shape.patient ? soft : STOQ_DHT_HARD;
}

static uint8_t asks_max(const struct stoq_dht *d)
{
    return d->cfg.shape.plain ? 1 : ASKS_MAX;
}

/* Asked as often as it is worth, in vain so far. */
static bool is_given_up(const struct stoq_dht *d, const struct candidate *c)
{
    return c->state == CANDIDATE_BAD || (c->state == CANDIDATE_SLOW && c->asks >= asks_max(d));
}

static void ask(struct stoq_dht *d, struct lookup *l, struct candidate *c)
{
    struct stoq_dht_call call = {.ask = l->value ? STOQ_DHT_FIND_VALUE : STOQ_DHT_FIND_NODE,
                                 .target = l->target,
                                 .want = l->value ? STOQ_DHT_VALUES_MAX : STOQ_DHT_ANSWER_MAX,
                                 .skip = c->had,
                                 .resend_ns = c->asks > 0 ? STOQ_DHT_HARD : 0};
    struct pending *p = dht_call(d, c->contact, &call);
    if (p == NULL) {
        c->state = CANDIDATE_BAD;
        return;
    }
    c->more = false;
    c->state = CANDIDATE_ASKED;
    c->asks++;
    p->lookup = l;
    p->page = c->had;
    p->soft_at = d->now + patience(d, l, c);
    d->soft_at = p->soft_at < d->soft_at ? p->soft_at : d->soft_at;
    l->in_flight++;
    l->calls++;
}

/* The nearest of a path whose turn it is, while the path still wants answers. */
static struct candidate *pick_on_path(struct lookup *l, uint32_t alpha)
{
    uint32_t good[STOQ_DHT_PATHS_MAX] = {0};
    uint32_t asked[STOQ_DHT_PATHS_MAX] = {0};
    struct candidate *first[STOQ_DHT_PATHS_MAX] = {0};
    uint32_t share = (l->want + l->paths - 1) / l->paths;
    uint32_t at_once = (alpha + l->paths - 1) / l->paths;
    for (uint32_t i = 0; i < l->count; i++) {
        struct candidate *c = &l->v[i];
        asked[c->path] += c->state == CANDIDATE_ASKED;
        if (c->state == CANDIDATE_FRESH && good[c->path] < share && first[c->path] == NULL) {
            first[c->path] = c;
        }
        good[c->path] += c->state == CANDIDATE_GOOD;
    }
    for (uint32_t i = 0; i < l->paths; i++) {
        uint32_t path = (l->turn + i) % l->paths;
        if (first[path] != NULL && asked[path] < at_once) {
            l->turn = path + 1;
            return first[path];
        }
    }
    return NULL;
}

/* More of those around the target that answer than there should be. */
static bool is_crowded(const struct stoq_dht *d, const struct lookup *l, uint64_t radius)
{
    uint32_t inside = 0;
    for (uint32_t i = 0; i < l->count && radius != UINT64_MAX; i++) {
        inside += l->v[i].state == CANDIDATE_GOOD &&
                  stoq_dht_distance(&l->target, dht_id_of(d, l->v[i].contact)) <= radius;
    }
    return inside > d->cfg.shape.k + d->cfg.shape.k / 2u;
}

/* How far the nearest that are wanted reach, by what is known; lost: how many up to there are gone. */
static uint64_t reach_wanted(const struct stoq_dht *d, const struct lookup *l, uint32_t *lost)
{
    uint32_t rank = 0;
    *lost = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        rank += !is_given_up(d, &l->v[i]);
        *lost += is_given_up(d, &l->v[i]);
        if (rank == l->want) {
            return stoq_dht_distance(&l->target, dht_id_of(d, l->v[i].contact));
        }
    }
    return UINT64_MAX;
}

/* When the paths are at their ends: the nearest of all that have not been asked, or not to the end. */
static struct candidate *pick_at_end(struct stoq_dht *d, struct lookup *l)
{
    bool near_only = l->use == LOOKUP_UPKEEP || d->cfg.shape.plain;
    uint64_t radius = near_only ? 0 : l->everybody ? UINT64_MAX : table_key_radius(d);
    uint32_t lost;
    uint64_t reach = reach_wanted(d, l, &lost);
    /* Whoever wants more than the K nearest needs those who know the farther ones. */
    bool crowded = is_crowded(d, l, radius);
    uint32_t pages = crowded || l->want > d->cfg.shape.k ? DHT_CANDIDATES : PAGES_FROM;
    uint32_t useless = lost + (crowded ? CROWD_SPARE : 0); /* others name them all the same */
    reach = crowded && reach < radius ? radius : reach;
    uint32_t rank = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        struct candidate *c = &l->v[i];
        bool wanted =
            rank < l->want || (rank < REGION_MAX &&
                               stoq_dht_distance(&l->target, dht_id_of(d, c->contact)) <= radius);
        if (!wanted) {
            return NULL;
        }
        bool next_page = c->state == CANDIDATE_GOOD && c->more && c->had < l->want + useless &&
                         c->reach < reach && l->pages &&
                         (rank < pages || (rank < l->want && rank + pages >= l->want));
        bool again = c->state == CANDIDATE_SLOW && !is_given_up(d, c);
        if (c->state == CANDIDATE_FRESH || again || next_page) {
            return c;
        }
        rank += !is_given_up(d, c);
    }
    return NULL;
}

/* More of what a holder has. */
static struct candidate *pick_page(struct lookup *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct candidate *c = &l->v[i];
        if (c->state == CANDIDATE_GOOD && c->gave && c->more && c->had < STOQ_DHT_VALUES_MAX) {
            return c;
        }
    }
    return NULL;
}

/* How many have told every record that is known, and know no more. */
static uint32_t agreeing(const struct lookup *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct candidate *c = &l->v[i];
        n += c->state == CANDIDATE_GOOD && !c->more && c->told == l->record_count;
    }
    return n;
}

static bool is_content(const struct stoq_dht *d, const struct lookup *l)
{
    return l->value && !l->deep && l->record_count > 0 &&
           (l->record_count >= l->want || d->cfg.shape.plain || agreeing(l) >= AGREE_ENOUGH);
}

/* In a small network: whoever is known at all. False: that is so already, or would be too many. */
static bool ask_everybody(struct stoq_dht *d, struct lookup *l)
{
    stoq_contact_no all[STOQ_DHT_SMALL];
    if (!l->value || l->everybody || d->table.count >= STOQ_DHT_SMALL) {
        return false;
    }
    uint32_t n = table_nearest(d, &l->target, 0, all, STOQ_DHT_SMALL);
    for (uint32_t i = 0; i < n; i++) {
        add(d, l, all[i], i % l->paths, 1);
    }
    l->everybody = true;
    return true;
}

/* Nothing was found: the same again with more paths, from others. */
static bool widen(struct stoq_dht *d, struct lookup *l)
{
    uint32_t before = l->count;
    if (!l->value || l->record_count > 0 || l->paths * 2 > STOQ_DHT_PATHS_MAX ||
        (d->cfg.without & STOQ_DHT_ONE_PATH) != 0) {
        return false;
    }
    seed(d, l, l->paths, l->paths * 2);
    l->paths *= 2;
    return l->count > before;
}

/* Leave a record with the nearest node that lacks it: the next one who asks finds it sooner. In a small
 * network everybody is one hop away, and such copies would only speak for a provider that is gone. */
static void leave_on_path(struct stoq_dht *d, struct lookup *l)
{
    if (d->table.count < STOQ_DHT_SMALL || d->cfg.shape.plain) {
        return;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        const struct candidate *c = &l->v[i];
        if (c->state == CANDIDATE_GOOD && !c->gave) {
            struct stoq_dht_call call = {.ask = STOQ_DHT_STORE, .record = l->records[0]};
            (void)dht_call(d, c->contact, &call);
            return;
        }
    }
}

static void note_told(struct stoq_dht *d, struct lookup *l, stoq_contact_no who,
                      struct stoq_dht_record *r)
{
    if (l->told_count < DHT_TOLD_MAX && stoq_hash_eq(&r->key, &l->target)) {
        stoq_dht_book_hold(d->cfg.book, who);
        l->told[l->told_count++] = (struct told){who, stoq_dht_record_hold(r)};
    }
}

/* Of the same publisher, and newer than this one; NULL: none is known. */
static struct stoq_dht_record *newer_of(const struct lookup *l, const struct stoq_dht_record *r)
{
    for (uint32_t i = 0; i < l->record_count; i++) {
        struct stoq_dht_record *known = l->records[i];
        if (known->sequence > r->sequence && stoq_hash_eq(&known->publisher.h, &r->publisher.h)) {
            return known;
        }
    }
    return NULL;
}

/* Who told an older record than others has not heard of the newer one, or was given the older again by
 * somebody who likes it better. He is given the newest: he will refuse the older from then on. */
static void mend_stale(struct stoq_dht *d, struct lookup *l)
{
    uint32_t mended = 0;
    for (uint32_t i = 0; i < l->told_count && mended < MENDS_MAX; i++) {
        struct stoq_dht_record *newest = newer_of(l, l->told[i].record);
        if (newest != NULL) {
            struct stoq_dht_call call = {
                .ask = STOQ_DHT_STORE, .target = l->target, .record = newest};
            (void)dht_call(d, l->told[i].contact, &call);
            mended++;
        }
    }
    d->mended += mended;
}

static void tell_looked(struct stoq_dht *d, struct lookup *l)
{
    struct action_node *o = dht_out(d, STOQ_DHT_LOOKED);
    uint32_t hops_all = 0;
    if (o == NULL) {
        return;
    }
    for (uint32_t i = 0; i < l->count && o->contact_count < l->want; i++) {
        if (l->v[i].state == CANDIDATE_GOOD) {
            dht_out_contact(d, o, l->v[i].contact);
            l->hops = l->hops == 0 ? l->v[i].hop : l->hops;
            hops_all = l->v[i].hop > hops_all ? l->v[i].hop : hops_all;
        }
    }
    o->action.u.looked = (struct stoq_dht_looked){.look = l->number,
                                                  .contacts = o->contacts,
                                                  .contact_count = o->contact_count,
                                                  .records = l->record_count,
                                                  .calls = l->calls,
                                                  .silent = l->silent,
                                                  .hops = l->hops,
                                                  .hops_all = hops_all,
                                                  .hops_walk = l->deepest,
                                                  .paths = l->paths,
                                                  .took_ns = d->now - l->began_at};
}

static void finish(struct stoq_dht *d, struct lookup *l)
{
    l->over = true;
    if (d->lookups_done++ == 0) {
        d->provide.next_at = d->now; /* the sweep has waited for it */
    }
    if (l->record_count > 0 && !l->deep) {
        leave_on_path(d, l);
    }
    mend_stale(d, l);
    if (l->use == LOOKUP_SHELL) {
        tell_looked(d, l);
    } else if (l->use == LOOKUP_JOB) {
        provide_looked(d, l);
    }
}

void lookup_drive(struct stoq_dht *d, struct lookup *l)
{
    uint32_t alpha = d->cfg.shape.alpha;
    while (!l->over) {
        struct candidate *c = NULL;
        if (is_content(d, l)) {
            finish(d, l);
            return;
        }
        if (l->in_flight < alpha) {
            c = l->value && l->record_count > 0 ? pick_page(l) : NULL;
            c = c == NULL ? pick_on_path(l, alpha) : c;
        }
        if (c == NULL && l->in_flight < (d->cfg.shape.plain ? 1 : END_ALPHA) * alpha) {
            c = pick_at_end(d, l);
        }
        if (c != NULL) {
            ask(d, l, c);
        } else if (l->in_flight > 0) {
            return;
        } else if (!ask_everybody(d, l) && !widen(d, l)) {
            finish(d, l);
        }
    }
}

static struct candidate *candidate_of(struct lookup *l, stoq_contact_no contact)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->v[i].contact == contact) {
            return &l->v[i];
        }
    }
    return NULL;
}

void lookup_slow(struct stoq_dht *d, struct pending *p)
{
    struct lookup *l = p->lookup;
    struct candidate *c = candidate_of(l, p->to);
    p->soft_at = STOQ_NEVER;
    if (c != NULL && c->state == CANDIDATE_ASKED) {
        c->state = CANDIDATE_SLOW;
        l->in_flight--;
        /* Holders may be dead: no time is lost with those that are left. */
        (void)ask_everybody(d, l);
    }
    lookup_drive(d, l);
}

bool lookup_record(struct stoq_dht *d, struct lookup *l, struct stoq_dht_record *r)
{
    bool of_key = stoq_hash_eq(&r->key, &l->target) || (d->cfg.without & STOQ_DHT_NO_KEY) != 0;
    if (held_time_left(d, r) == 0 || !of_key) {
        return false;
    }
    for (uint32_t i = 0; i < l->record_count; i++) {
        if (!stoq_hash_eq(&l->records[i]->publisher.h, &r->publisher.h)) {
            continue;
        }
        if (r->sequence <= l->records[i]->sequence) {
            return r->sequence == l->records[i]->sequence;
        }
        stoq_dht_record_drop(l->records[i]); /* a newer one of the same peer */
        l->records[i] = l->records[--l->record_count];
    }
    if (l->record_count == STOQ_DHT_VALUES_MAX) {
        return false;
    }
    l->records[l->record_count++] = stoq_dht_record_hold(r);
    struct action_node *o = l->use == LOOKUP_SHELL ? dht_out(d, STOQ_DHT_FOUND) : NULL;
    if (o != NULL) {
        dht_out_record(o, r);
        o->action.u.found = (struct stoq_dht_found){.look = l->number, .record = r};
    }
    return true;
}

static void trace(struct stoq_dht *d, const struct lookup *l, const struct candidate *c,
                  const struct pending *p, const struct stoq_dht_reply *reply)
{
    struct action_node *o = l->trace ? dht_out(d, STOQ_DHT_TRACE) : NULL;
    if (o != NULL) {
        dht_out_contact(d, o, c->contact);
        o->action.u.trace = (struct stoq_dht_trace){.look = l->number,
                                                    .contact = c->contact,
                                                    .outcome = reply->outcome,
                                                    .hop = c->hop,
                                                    .path = c->path,
                                                    .contacts = reply->contact_count,
                                                    .records = reply->record_count,
                                                    .took_ns = d->now - p->sent_at};
    }
}

static void take_answer(struct stoq_dht *d, struct lookup *l, struct candidate *c,
                        const struct stoq_dht_reply *reply)
{
    uint32_t hop = c->hop;
    uint32_t path = c->path;
    uint32_t had = c->had + (reply->record_count > 0 ? reply->record_count : reply->contact_count);
    c->had = (uint8_t)(had > 255 ? 255 : had);
    c->more = reply->more && reply->record_count + reply->contact_count > 0;
    l->deepest = hop > l->deepest ? hop : l->deepest;
    bool gives = false; /* what is over, of another key or not the newest is nothing given */
    for (uint32_t i = 0; i < reply->record_count; i++) {
        bool counts = lookup_record(d, l, reply->records[i]);
        note_told(d, l, c->contact, reply->records[i]);
        c->told = (uint8_t)(c->told + counts);
        gives = gives || counts;
    }
    if (gives) {
        l->hops = l->hops == 0 ? hop : l->hops;
        c->gave = true;
    }
    for (uint32_t i = 0; i < reply->contact_count; i++) {
        uint64_t far = stoq_dht_distance(&l->target, dht_id_of(d, reply->contacts[i]));
        c->reach = far > c->reach ? far : c->reach;
    }
    for (uint32_t i = 0; i < reply->contact_count; i++) {
        add(d, l, reply->contacts[i], path, hop + 1); /* c may have moved */
    }
}

void lookup_reply(struct stoq_dht *d, struct pending *p, const struct stoq_dht_reply *reply)
{
    struct lookup *l = p->lookup;
    struct candidate *c = candidate_of(l, p->to);
    if (c == NULL) {
        return; /* it made room for nearer ones, who is not waited for any more */
    }
    trace(d, l, c, p, reply);
    if (c->state == CANDIDATE_GOOD || p->page != c->had) {
        return; /* it was asked twice, and this is the second answer */
    }
    if (c->state == CANDIDATE_ASKED) {
        l->in_flight--;
    }
    if (reply->outcome == STOQ_DHT_DONE && reply->bad_count == 0) {
        stoq_ns took = d->now - p->sent_at;
        l->soft = took > l->soft ? took : l->soft;
        c->state = CANDIDATE_GOOD;
        c->asks = 0;
        take_answer(d, l, c, reply);
    } else {
        bool again = reply->outcome == STOQ_DHT_SILENT && c->asks < asks_max(d);
        l->silent += reply->outcome == STOQ_DHT_SILENT;
        c->state = c->gave ? CANDIDATE_GOOD : again ? CANDIDATE_SLOW : CANDIDATE_BAD;
        c->more = false;
    }
    lookup_drive(d, l);
}
