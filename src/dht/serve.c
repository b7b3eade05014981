/*
 * What is answered to others, and how a record comes in: quotas, then its signature, then, where somebody
 * else than its publisher brings it, a ping to the address that it names. A renewal names records that are
 * here: what has not been heard of for long is kept on if the one signature over all of it holds, and of the
 * rest it only asks whether it is here, which everybody may know.
 */
#include "dht/dht_internal.h"

#include <string.h>

static struct action_node *answer(struct stoq_dht *d, uint64_t request,
                                  enum stoq_dht_outcome outcome)
{
    struct action_node *o = dht_out(d, STOQ_DHT_ANSWER);
    if (o != NULL) {
        o->action.u.answer = (struct stoq_dht_answer){
            .request = request, .outcome = outcome, .contacts = o->contacts, .records = o->records};
    }
    return o;
}

/* Those nearest to the target, from the skip-th on. */
static void add_near(struct stoq_dht *d, struct action_node *o, const struct stoq_dht_request *r,
                     uint32_t skip, uint32_t want)
{
    stoq_contact_no near[STOQ_DHT_WANT_MAX + STOQ_DHT_ANSWER_MAX + 1];
    uint32_t max = skip + want + 1;
    max = max > STOQ_COUNT(near) ? (uint32_t)STOQ_COUNT(near) : max;
    uint32_t n = table_nearest(d, &r->target, r->sender, near, max);
    for (uint32_t i = skip; i < n && o->contact_count < want; i++) {
        dht_out_contact(d, o, near[i]);
    }
    o->action.u.answer.contact_count = o->contact_count;
    o->action.u.answer.more = n > skip + want;
}

static void find_node(struct stoq_dht *d, const struct stoq_dht_request *r)
{
    struct action_node *o = answer(d, r->request, STOQ_DHT_DONE);
    uint32_t want = r->want < STOQ_DHT_ANSWER_MAX ? r->want : STOQ_DHT_ANSWER_MAX;
    uint32_t skip = r->skip < STOQ_DHT_WANT_MAX ? r->skip : STOQ_DHT_WANT_MAX;
    if (o != NULL) {
        add_near(d, o, r, skip, want);
    }
}

void serve_value(struct stoq_dht *d, const struct stoq_dht_request *r, struct stoq_dht_record *ours)
{
    struct stoq_dht_record *list[1 + STOQ_DHT_KEY_RECORDS] = {ours};
    struct action_node *o = answer(d, r->request, STOQ_DHT_DONE);
    uint32_t want = r->want < STOQ_DHT_VALUES_MAX ? r->want : STOQ_DHT_VALUES_MAX;
    uint32_t n = ours != NULL;
    if (o == NULL) {
        return;
    }
    n += held_list(d, &r->target, false, list + n, STOQ_DHT_KEY_RECORDS);
    for (uint32_t i = r->skip; i < n && o->record_count < want; i++) {
        dht_out_record(o, list[i]);
    }
    add_near(d, o, r, n > 0 || r->skip > STOQ_DHT_WANT_MAX ? 0 : r->skip, STOQ_DHT_ANSWER_MAX);
    o->action.u.answer.record_count = o->record_count;
    if (n > 0) {
        o->action.u.answer.more = n > (uint64_t)r->skip + o->record_count;
    }
}

static void take(struct stoq_dht *d, const struct pending *p)
{
    bool taken = held_take(d, p->record, p->ttl_s);
    d->store.patched += taken && p->patched;
    struct action_node *o =
        p->answer ? answer(d, p->request, taken ? STOQ_DHT_DONE : STOQ_DHT_BUSY) : NULL;
    if (o != NULL) {
        o->action.u.answer.ttl_s = p->ttl_s;
    }
}

/* What becomes of those that a renewal names; good: it is signed as it says. */
static void answer_kept(struct stoq_dht *d, uint64_t request,
                        const struct stoq_dht_renewal *renewal, bool good)
{
    struct action_node *o = answer(d, request, STOQ_DHT_DONE);
    uint8_t kept[STOQ_DHT_RENEW_MAX] = {0};
    held_renew(d, renewal, good, kept);
    if (o != NULL) {
        memcpy(o->kept, kept, renewal->count);
        o->action.u.answer.kept = o->kept;
        o->action.u.answer.kept_count = renewal->count;
    }
}

static struct pending *await(struct stoq_dht *d, enum pending_kind kind,
                             struct stoq_dht_record *record, uint32_t ttl_s)
{
    struct action_node *o = dht_out(d, kind == PENDING_CHECK ? STOQ_DHT_CHECK : STOQ_DHT_PROVE);
    struct pending *p = o == NULL ? NULL : dht_pending(d, kind);
    if (p == NULL) {
        return NULL; /* an action without a cookie: the shell's answer finds nothing */
    }
    p->record = stoq_dht_record_hold(record);
    p->ttl_s = ttl_s;
    dht_out_record(o, record);
    o->action.u.check = (struct stoq_dht_check){.cookie = p->cookie, .record = record};
    return p;
}

static void store(struct stoq_dht *d, const struct stoq_dht_request *r)
{
    uint32_t ttl_s;
    bool own = r->own || (d->cfg.without & STOQ_DHT_NO_PROOF) != 0;
    enum stoq_dht_outcome outcome = held_offer(d, r, &ttl_s);
    struct pending now = {.record = r->record,
                          .ttl_s = ttl_s,
                          .request = r->request,
                          .answer = true,
                          .patched = r->patched};
    if (outcome != STOQ_DHT_DONE) {
        (void)answer(d, r->request, outcome);
        return;
    }
    if ((d->cfg.without & STOQ_DHT_NO_SIGNATURE) != 0) {
        take(d, &now);
        return;
    }
    struct pending *p = await(d, PENDING_CHECK, r->record, ttl_s);
    if (p == NULL) {
        (void)answer(d, r->request, STOQ_DHT_BUSY);
        return;
    }
    d->store.signatures++;
    p->request = r->request;
    p->answer = own;
    p->patched = r->patched;
    p->upkeep = !own;
}

static void renew(struct stoq_dht *d, const struct stoq_dht_request *r)
{
    bool ripe;
    bool unchecked = (d->cfg.without & STOQ_DHT_NO_SIGNATURE) != 0;
    enum stoq_dht_outcome outcome = held_renew_offer(d, r, &ripe);
    if (outcome != STOQ_DHT_DONE) {
        (void)answer(d, r->request, outcome);
        return;
    }
    if (!ripe || unchecked) {
        answer_kept(d, r->request, r->renewal, unchecked);
        return;
    }
    struct pending *p = dht_pending(d, PENDING_CHECK);
    struct action_node *o = p == NULL ? NULL : dht_out(d, STOQ_DHT_CHECK);
    if (o == NULL) {
        if (p != NULL) {
            dht_pending_free(d, p);
        }
        (void)answer(d, r->request, STOQ_DHT_BUSY);
        return;
    }
    d->store.signatures++;
    p->request = r->request;
    p->renewal = stoq_dht_renewal_hold(r->renewal);
    o->renewal = stoq_dht_renewal_hold(r->renewal);
    o->action.u.check = (struct stoq_dht_check){.cookie = p->cookie, .renewal = r->renewal};
}

static void renewal_checked(struct stoq_dht *d, const struct pending *p, bool good)
{
    if (good) {
        answer_kept(d, p->request, p->renewal, true);
    } else {
        held_refuse(d, STOQ_DHT_FORGED);
        (void)answer(d, p->request, STOQ_DHT_REJECTED);
    }
}

static void checked(struct stoq_dht *d, struct pending *p, bool good)
{
    if (p->renewal != NULL) {
        renewal_checked(d, p, good);
        return;
    }
    if (!good) {
        held_forged(d, &p->record->publisher);
        (void)answer(d, p->request, STOQ_DHT_REJECTED);
        return;
    }
    if (!p->upkeep) {
        take(d, p);
        return;
    }
    /* Brought by another: it counts once its publisher has shown itself. */
    struct pending *next =
        d->store.proves < DHT_PROVES_MAX ? await(d, PENDING_PROVE, p->record, p->ttl_s) : NULL;
    struct action_node *o = answer(d, p->request, next == NULL ? STOQ_DHT_BUSY : STOQ_DHT_DONE);
    if (next != NULL) {
        next->patched = p->patched;
        d->store.proves++;
    }
    if (o != NULL) {
        o->action.u.answer.ttl_s = p->ttl_s;
    }
}

void serve_checked(struct stoq_dht *d, struct pending *p, bool good)
{
    if (p->kind == PENDING_CHECK) {
        checked(d, p, good);
        return;
    }
    d->store.proves--;
    if (good) {
        take(d, p);
    } else {
        held_refuse(d, STOQ_DHT_NOT_THERE);
    }
}

uint8_t stoq_dht_patch_kept(enum stoq_dht_outcome outcome, uint32_t ttl_s)
{
    uint32_t units = ttl_s / STOQ_DHT_KEPT_S;
    if (outcome != STOQ_DHT_DONE) {
        return outcome == STOQ_DHT_BUSY ? STOQ_DHT_PATCH_BUSY : 0;
    }
    units = units < STOQ_DHT_PATCH_BUSY ? units : STOQ_DHT_PATCH_BUSY - 1;
    return (uint8_t)(units > 0 ? units : 1);
}

void serve_request(struct stoq_dht *d, const struct stoq_dht_request *r)
{
    if (d->cfg.self == 0) {
        (void)answer(d, r->request, STOQ_DHT_REFUSED);
        return;
    }
    switch (r->ask) {
    case STOQ_DHT_PING:
        (void)answer(d, r->request, STOQ_DHT_DONE);
        break;
    case STOQ_DHT_FIND_NODE:
        find_node(d, r);
        break;
    case STOQ_DHT_FIND_VALUE:
        if (!here_answer(d, r)) {
            serve_value(d, r, NULL);
        }
        break;
    case STOQ_DHT_STORE:
        store(d, r);
        break;
    case STOQ_DHT_RENEW:
        renew(d, r);
        break;
    case STOQ_DHT_PATCH: /* its records come one by one */
        (void)answer(d, r->request, STOQ_DHT_REFUSED);
        break;
    }
    if (r->sender != 0) {
        table_hint(d, r->sender);
    }
}
