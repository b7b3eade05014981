/*
 * How the parts go together. Requests of others end in the table and among the records held; our lookups
 * and stores are calls, and every call teaches the table who is there and how near. Nothing here waits:
 * a call that is not answered is closed by the shell, and what is waited for less long than that has its
 * own soft time.
 *
 * The first contact begins a lookup for our own id, which fills the table towards us and makes us known to
 * those who will hold records beside us; then one goes to each level. It is done again soon, since
 * others join at the same time, and then rarer and rarer, down to once an hour.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define REFRESH_MAX (3600 * STOQ_SEC)
#define PENDING_KEPT 16 /* places of the map, however few calls there are */

const char *stoq_dht_refusal_str(enum stoq_dht_refusal r)
{
    static const char *const text[STOQ_DHT_REFUSALS] = {[STOQ_DHT_NOT_PROVEN] = "not_proven",
                                                        [STOQ_DHT_WRONG_TIME] = "wrong_time",
                                                        [STOQ_DHT_OLD] = "old",
                                                        [STOQ_DHT_RATE] = "rate",
                                                        [STOQ_DHT_PUBLISHER] = "publisher",
                                                        [STOQ_DHT_KEY] = "key",
                                                        [STOQ_DHT_SUBNET] = "subnet",
                                                        [STOQ_DHT_ALL] = "all",
                                                        [STOQ_DHT_FORGED] = "forged",
                                                        [STOQ_DHT_NOT_THERE] = "not_there",
                                                        [STOQ_DHT_NOT_TO_US] = "not_to_us",
                                                        [STOQ_DHT_NOT_HELD] = "not_held"};
    return r < STOQ_DHT_REFUSALS ? text[r] : "?";
}

static void fill_shape(struct stoq_dht_shape *s)
{
    s->digit_bits = s->digit_bits == 0 ? 4 : s->digit_bits;
    s->slot = s->slot == 0 ? STOQ_DHT_SLOT : s->slot;
    s->k = s->k == 0 ? STOQ_DHT_K : s->k;
    s->alpha = s->alpha == 0 ? STOQ_DHT_ALPHA : s->alpha;
    s->paths = s->paths == 0 ? STOQ_DHT_PATHS : s->paths;
    s->ttl_s = s->ttl_s == 0 ? STOQ_DHT_TTL_S : s->ttl_s;
    s->signed_s = s->signed_s == 0 ? STOQ_DHT_SIGNED_S : s->signed_s;
}

enum stoq_status stoq_dht_new(struct stoq_dht **out, const struct stoq_dht_config *cfg)
{
    struct stoq_dht *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return STOQ_NOMEM;
    }
    d->cfg = *cfg;
    d->prng = stoq_prng(cfg->seed);
    d->wall_s = cfg->wall_s;
    d->out_last = &d->out_first;
    d->hands.last = &d->hands.first;
    fill_shape(&d->cfg.shape);
    d->soft_at = STOQ_NEVER;
    d->upkeep_at = STOQ_NEVER;
    d->refresh_at = STOQ_NEVER;
    stoq_map_init(&d->pending_map, cfg->seed + 1);
    stoq_map_init(&d->store.keys, cfg->seed + 2);
    stoq_map_init(&d->store.publishers, cfg->seed + 3);
    stoq_map_init(&d->store.groups, cfg->seed + 4);
    stoq_map_init(&d->store.digests, cfg->seed + 6);
    provide_init(d);
    if (cfg->self != 0) {
        stoq_dht_book_hold(cfg->book, cfg->self);
    }
    *out = d;
    return STOQ_OK;
}

static void action_free(struct stoq_dht *d, struct action_node *o)
{
    for (uint32_t i = 0; o != NULL && i < o->contact_count; i++) {
        stoq_dht_book_drop(d->cfg.book, o->contacts[i]);
    }
    for (uint32_t i = 0; o != NULL && i < o->record_count; i++) {
        stoq_dht_record_drop(o->records[i]);
    }
    if (o != NULL) {
        stoq_dht_renewal_drop(o->renewal);
        stoq_dht_patch_drop(o->patch);
    }
    free(o);
}

void stoq_dht_free(struct stoq_dht *d)
{
    if (d == NULL) {
        return;
    }
    while (d->lookups != NULL) {
        lookup_free(d, d->lookups);
    }
    while (d->pending_first != NULL) {
        dht_pending_free(d, d->pending_first);
    }
    while (d->out_first != NULL) {
        struct action_node *next = d->out_first->next;
        action_free(d, d->out_first);
        d->out_first = next;
    }
    action_free(d, d->taken);
    provide_release(d);
    hand_release(d);
    held_release(d);
    table_release(d);
    stoq_dht_book_drop(d->cfg.book, d->cfg.self);
    stoq_map_release(&d->pending_map);
    free(d);
}

/* How much an action of a kind lends at most. */
static const struct {
    uint16_t contacts;
    uint16_t records;
    uint16_t kept;
} lends[] = {
    [STOQ_DHT_CALL] = {1, 1, 0},
    [STOQ_DHT_ANSWER] = {STOQ_DHT_ANSWER_MAX, STOQ_DHT_VALUES_MAX, STOQ_DHT_RENEW_MAX},
    [STOQ_DHT_CHECK] = {0, 1, 0},
    [STOQ_DHT_PROVE] = {0, 1, 0},
    [STOQ_DHT_MAKE] = {0, 0, 0},
    [STOQ_DHT_FOUND] = {0, 1, 0},
    [STOQ_DHT_TRACE] = {1, 0, 0},
    [STOQ_DHT_LOOKED] = {STOQ_DHT_WANT_MAX, 0, 0},
    [STOQ_DHT_ANNOUNCED] = {0, 0, 0},
};

struct action_node *dht_out(struct stoq_dht *d, enum stoq_dht_action_kind kind)
{
    size_t records = lends[kind].records * sizeof(struct stoq_dht_record *);
    size_t contacts = lends[kind].contacts * sizeof(stoq_contact_no);
    struct action_node *o = NULL;
    if (d->out_count < DHT_ACTIONS_MAX) {
        o = calloc(1, sizeof *o + records + contacts + lends[kind].kept);
    }
    if (o != NULL) {
        o->action.kind = kind;
        o->contacts = (stoq_contact_no *)&o->records[lends[kind].records];
        o->kept = (uint8_t *)&o->contacts[lends[kind].contacts];
        *d->out_last = o;
        d->out_last = &o->next;
        d->out_count++;
    }
    return o;
}

void dht_out_contact(struct stoq_dht *d, struct action_node *o, stoq_contact_no contact)
{
    stoq_dht_book_hold(d->cfg.book, contact);
    STOQ_ASSERT(o->contact_count < lends[o->action.kind].contacts);
    o->contacts[o->contact_count++] = contact;
}

void dht_out_record(struct action_node *o, struct stoq_dht_record *record)
{
    STOQ_ASSERT(o->record_count < lends[o->action.kind].records);
    o->records[o->record_count++] = stoq_dht_record_hold(record);
}

struct pending *dht_pending(struct stoq_dht *d, enum pending_kind kind)
{
    struct pending *p = calloc(1, sizeof *p);
    uint64_t cookie = d->last_cookie + 1;
    if (p == NULL ||
        stoq_map_put(&d->pending_map, (struct stoq_map_key){cookie, 0}, p) != STOQ_OK) {
        free(p);
        return NULL;
    }
    d->last_cookie = cookie;
    *p = (struct pending){.kind = kind,
                          .cookie = cookie,
                          .next = d->pending_first,
                          .sent_at = d->now,
                          .soft_at = STOQ_NEVER};
    if (p->next != NULL) {
        p->next->prev = p;
    }
    d->pending_first = p;
    return p;
}

void dht_pending_free(struct stoq_dht *d, struct pending *p)
{
    (void)stoq_map_remove(&d->pending_map, (struct stoq_map_key){p->cookie, 0});
    if (d->pending_map.count == 0 && d->pending_map.capacity > PENDING_KEPT) {
        stoq_map_release(
            &d->pending_map); /* a burst is over: a quiet node keeps none of its room */
    }
    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        d->pending_first = p->next;
    }
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
    stoq_dht_book_drop(d->cfg.book, p->to);
    stoq_dht_record_drop(p->record);
    stoq_dht_renewal_drop(p->renewal);
    stoq_dht_patch_drop(p->patch);
    here_release(d, p->remake);
    free(p->owns);
    free(p);
}

struct pending *dht_call(struct stoq_dht *d, stoq_contact_no to, const struct stoq_dht_call *call)
{
    struct pending *p = dht_pending(d, PENDING_CALL);
    struct action_node *o = p == NULL ? NULL : dht_out(d, STOQ_DHT_CALL);
    if (o == NULL) {
        if (p != NULL) {
            dht_pending_free(d, p);
        }
        return NULL;
    }
    p->ask = call->ask;
    p->to = to;
    stoq_dht_book_hold(d->cfg.book, to);
    o->action.u.call = *call;
    o->action.u.call.cookie = p->cookie;
    o->action.u.call.to = to;
    o->action.u.call.timeout_ns = STOQ_DHT_HARD;
    if (call->resend_ns == 0) {
        o->action.u.call.resend_ns =
            table_has_failed(d, to) ? STOQ_DHT_RESEND_FAILED : STOQ_DHT_RESEND;
    }
    dht_out_contact(d, o, to);
    if (call->record != NULL) {
        dht_out_record(o, call->record);
    }
    if (call->renewal != NULL) {
        o->renewal = stoq_dht_renewal_hold(call->renewal);
    }
    if (call->patch != NULL) {
        o->patch = stoq_dht_patch_hold(call->patch);
    }
    return p;
}

uint64_t dht_wall(const struct stoq_dht *d)
{
    return d->wall_s + (d->now - d->wall_at) / STOQ_SEC;
}

/* The table has changed from nobody to somebody, or grows old. */
static void met(struct stoq_dht *d, stoq_contact_no contact, stoq_ns rtt_ns)
{
    uint32_t before = d->table.count;
    table_seen(d, contact, rtt_ns);
    if (before == 0 && d->table.count > 0 && !d->cfg.shape.still) {
        d->refreshes = 0;
        d->refresh_at = d->now;
        d->upkeep_at = d->now + STOQ_DHT_QUIET;
    }
}

/* What was asked of it before and stays without an answer was lost on the way, and says nothing of it. */
static void mark_heard(struct stoq_dht *d, stoq_contact_no contact)
{
    for (struct pending *p = d->pending_first; p != NULL; p = p->next) {
        p->heard = p->heard || p->to == contact;
    }
}

/* The round trip of a call that went twice, if it can be known to which of the two the reply is. Where none
 * is known it is taken for that of the first, which it was at the most. 0: not known. */
static stoq_ns measured(const struct stoq_dht *d, const struct pending *p)
{
    stoq_ns known = table_rtt(d, p->to);
    stoq_ns took = d->now - p->sent_at;
    bool is_find = p->ask == STOQ_DHT_FIND_NODE || p->ask == STOQ_DHT_FIND_VALUE;
    if (!is_find) {
        return 0; /* it may have waited here, or there */
    }
    if (known > 0 && known + known / 4 <= STOQ_DHT_RESEND) {
        return 0; /* it goes twice when something is lost */
    }
    return known == 0 || took < STOQ_DHT_RESEND + known * 3 / 4 ? took : 0;
}

static void learn(struct stoq_dht *d, const struct pending *p, const struct stoq_dht_reply *reply)
{
    switch (reply->outcome) {
    case STOQ_DHT_SILENT:
        if (!p->heard) {
            table_failed(d, p->to, false);
        }
        break;
    case STOQ_DHT_BROKEN:
    case STOQ_DHT_REFUSED: /* it does not take part */
        table_failed(d, p->to, true);
        break;
    default:
        if (reply->bad_count > 0) {
            table_failed(d, p->to, true);
        } else {
            met(d, p->to, reply->rtt_ns > 0 ? reply->rtt_ns : measured(d, p));
            mark_heard(d, p->to);
        }
    }
}

static void close_call(struct stoq_dht *d, const struct stoq_dht_reply *reply)
{
    struct pending *p = stoq_map_get(&d->pending_map, (struct stoq_map_key){reply->cookie, 0});
    if (p == NULL || p->kind != PENDING_CALL) {
        return;
    }
    d->table.checks -= p->upkeep;
    learn(d, p, reply);
    if (p->owns != NULL) {
        renew_told(d, p, reply);
    } else if (p->own != NULL) {
        provide_stored(d, p, reply);
    } else if (p->hands > 0) {
        hand_closed(d, p, reply->outcome);
    } else if (p->lookup != NULL) {
        lookup_reply(d, p, reply);
    }
    dht_pending_free(d, p);
}

static void close_made(struct stoq_dht *d, const struct stoq_dht_made *made)
{
    struct pending *p = stoq_map_get(&d->pending_map, (struct stoq_map_key){made->cookie, 0});
    if (p == NULL || p->kind != PENDING_MAKE) {
        return;
    }
    if (p->remake != NULL) {
        here_made(d, p, made->record);
    } else {
        provide_made(d, p, made);
    }
    dht_pending_free(d, p);
}

static void close_check(struct stoq_dht *d, const struct stoq_dht_checked *c)
{
    struct pending *p = stoq_map_get(&d->pending_map, (struct stoq_map_key){c->cookie, 0});
    if (p != NULL && (p->kind == PENDING_CHECK || p->kind == PENDING_PROVE)) {
        serve_checked(d, p, c->good);
        dht_pending_free(d, p);
    }
}

static enum stoq_status look(struct stoq_dht *d, const struct stoq_dht_look *ask)
{
    struct lookup *l = lookup_new(d, &ask->target, LOOKUP_SHELL);
    if (l == NULL) {
        return STOQ_FULL;
    }
    uint32_t want = ask->want > 0 ? ask->want : ask->value ? STOQ_DHT_ENOUGH : d->cfg.shape.k;
    l->number = ask->look;
    l->value = ask->value;
    l->deep = ask->deep;
    l->trace = ask->trace;
    l->want = want < STOQ_DHT_WANT_MAX ? want : STOQ_DHT_WANT_MAX;
    if (l->value) { /* what we hold ourselves costs nothing */
        struct stoq_dht_record *here[STOQ_DHT_VALUES_MAX];
        uint32_t n = held_list(d, &l->target, false, here, STOQ_DHT_VALUES_MAX);
        for (uint32_t i = 0; i < n; i++) {
            (void)lookup_record(d, l, here[i]);
        }
    }
    if (!l->value || !here_look(d, l)) {
        lookup_drive(d, l);
    }
    return STOQ_OK;
}

enum stoq_status stoq_dht_feed(struct stoq_dht *d, const struct stoq_dht_event *ev, stoq_ns now)
{
    enum stoq_status st = STOQ_OK;
    d->now = now > d->now ? now : d->now;
    if (d->provide.began_at == 0) {
        d->provide.began_at = d->now;
    }
    switch (ev->kind) {
    case STOQ_DHT_MET:
        met(d, ev->u.met.contact, ev->u.met.rtt_ns);
        break;
    case STOQ_DHT_HINT:
        table_hint(d, ev->u.met.contact);
        break;
    case STOQ_DHT_REQUEST:
        serve_request(d, &ev->u.request);
        break;
    case STOQ_DHT_REPLY:
        close_call(d, &ev->u.reply);
        break;
    case STOQ_DHT_CHECKED:
        close_check(d, &ev->u.checked);
        break;
    case STOQ_DHT_MADE:
        close_made(d, &ev->u.made);
        break;
    case STOQ_DHT_LOOK:
        st = look(d, &ev->u.look);
        break;
    case STOQ_DHT_STOP:
        lookup_stop(d, ev->u.stop.look);
        break;
    case STOQ_DHT_ANNOUNCE:
        st = provide_add(d, &ev->u.announce);
        break;
    case STOQ_DHT_WITHDRAW:
        provide_withdraw(d, &ev->u.announce.key);
        break;
    case STOQ_DHT_CLOCK:
        d->wall_s = ev->u.clock.wall_s;
        d->wall_at = d->now;
        break;
    }
    lookup_free_over(d);
    return st;
}

/* An id that shares `bits` bits with ours and differs in the next. */
static struct stoq_hash id_beside(struct stoq_dht *d, unsigned bits)
{
    struct stoq_hash id;
    for (size_t i = 0; i < sizeof id.b; i += 8) {
        stoq_le64_put(id.b + i, stoq_prng_next(&d->prng));
    }
    for (unsigned i = 0; i <= bits && i < STOQ_DHT_ID_BITS; i++) {
        uint8_t mask = (uint8_t)(0x80u >> (i % 8));
        uint8_t ours = d->cfg.id.b[i / 8] & mask;
        id.b[i / 8] = (uint8_t)((id.b[i / 8] & ~mask) | (i < bits ? ours : (uint8_t)(ours ^ mask)));
    }
    return id;
}

static void look_for(struct stoq_dht *d, const struct stoq_hash *target)
{
    struct lookup *l = lookup_new(d, target, LOOKUP_UPKEEP);
    if (l != NULL) {
        lookup_drive(d, l);
    }
}

static void refresh(struct stoq_dht *d)
{
    static const stoq_ns soon[] = {2 * STOQ_SEC, 10 * STOQ_SEC, 60 * STOQ_SEC, 600 * STOQ_SEC};
    uint32_t levels = table_levels(d);
    look_for(d, &d->cfg.id);
    for (uint32_t level = 0; level < levels; level++) {
        /* All of them when we are new, one of them later. */
        if (d->refreshes < STOQ_COUNT(soon) || level == d->refreshes % levels) {
            struct stoq_hash id = id_beside(d, level * d->cfg.shape.digit_bits);
            look_for(d, &id);
        }
    }
    stoq_ns wait = d->refreshes < STOQ_COUNT(soon) ? soon[d->refreshes] : REFRESH_MAX;
    d->refreshes++;
    d->refresh_at = d->now + wait + stoq_prng_below(&d->prng, wait / 4 + 1);
}

static stoq_ns sooner(stoq_ns a, stoq_ns b)
{
    return a < b ? a : b;
}

static void run_soft(struct stoq_dht *d)
{
    struct pending *p = d->pending_first;
    if (d->soft_at > d->now) {
        return;
    }
    d->soft_at = STOQ_NEVER; /* what is asked meanwhile brings its own */
    while (p != NULL) {
        struct pending *next = p->next;
        if (p->soft_at <= d->now && p->lookup != NULL) {
            lookup_slow(d, p);
        }
        p = next;
    }
    for (p = d->pending_first; p != NULL; p = p->next) {
        d->soft_at = sooner(d->soft_at, p->soft_at);
    }
}

static void run(struct stoq_dht *d)
{
    run_soft(d);
    held_expire(d);
    if (d->refresh_at <= d->now) {
        if (d->table.count > 0) {
            refresh(d);
        } else {
            d->refresh_at = STOQ_NEVER; /* until somebody is met */
        }
    }
    if (d->upkeep_at <= d->now) {
        d->upkeep_at = table_upkeep(d);
    }
    hand_run(d);
    provide_run(d);
    lookup_free_over(d);
}

bool stoq_dht_poll(struct stoq_dht *d, stoq_ns now, struct stoq_dht_action *out)
{
    d->now = now > d->now ? now : d->now;
    action_free(d, d->taken);
    d->taken = NULL;
    if (d->out_first == NULL) {
        run(d);
    }
    struct action_node *o = d->out_first;
    if (o == NULL) {
        return false;
    }
    d->out_first = o->next;
    if (d->out_first == NULL) {
        d->out_last = &d->out_first;
    }
    d->out_count--;
    d->taken = o;
    *out = o->action;
    return true;
}

bool stoq_dht_poll_answer(struct stoq_dht *d, struct stoq_dht_action *out)
{
    struct action_node **at = &d->out_first;
    while (*at != NULL && (*at)->action.kind != STOQ_DHT_ANSWER &&
           (*at)->action.kind != STOQ_DHT_CHECK && !(*at)->answers) {
        at = &(*at)->next;
    }
    struct action_node *o = *at;
    if (o == NULL) {
        return false;
    }
    *at = o->next;
    if (o->next == NULL) {
        d->out_last = at;
    }
    d->out_count--;
    action_free(d, d->taken);
    d->taken = o;
    *out = o->action;
    return true;
}

stoq_ns stoq_dht_deadline(const struct stoq_dht *d)
{
    const struct stoq_heap_node *top = stoq_heap_top(&d->store.expiry);
    stoq_ns at = sooner(d->upkeep_at, d->refresh_at);
    at = sooner(at, provide_deadline(d));
    at = sooner(at, hand_deadline(d));
    at = top == NULL ? at : sooner(at, top->key);
    at = sooner(at, d->soft_at);
    return d->out_first != NULL ? d->now : at;
}

size_t stoq_dht_nearest(const struct stoq_dht *d, const struct stoq_hash *target,
                        stoq_contact_no *out, size_t max)
{
    return table_nearest(d, target, 0, out, max > DHT_CANDIDATES ? DHT_CANDIDATES : (uint32_t)max);
}

void stoq_dht_stats(const struct stoq_dht *d, struct stoq_dht_stats *out)
{
    *out = (struct stoq_dht_stats){.contacts = d->table.count,
                                   .spare = d->table.spare_count,
                                   .levels = table_levels(d),
                                   .looks = d->lookup_count,
                                   .network_size = table_size(d),
                                   .records = d->store.count,
                                   .own = d->provide.count,
                                   .sweep_at = provide_swept(d),
                                   .lookups = d->lookups_done,
                                   .stores = d->store.taken,
                                   .renewed = d->store.renewed,
                                   .patched = d->store.patched,
                                   .sent = d->provide.sent,
                                   .kept = d->provide.kept,
                                   .anew = d->provide.anew,
                                   .handed = d->hands.given,
                                   .mended = d->mended,
                                   .signatures = d->store.signatures};
    for (uint32_t i = 0; i < d->provide.count; i++) {
        out->own_held += d->provide.v[i]->enough;
        out->own_due += d->provide.v[i]->due_at <= d->now;
        out->own_fresh += d->provide.v[i]->enough && d->provide.v[i]->due_at > d->now;
    }
    memcpy(out->refused, d->store.refused, sizeof out->refused);
    out->bytes = sizeof *d + table_bytes(d) + held_bytes(d) +
                 d->pending_map.capacity * sizeof(struct stoq_map_slot) +
                 d->pending_map.count * sizeof(struct pending) +
                 d->lookup_count * sizeof(struct lookup) + d->provide.count * sizeof(struct own) +
                 d->provide.capacity * sizeof(struct own *);
}
