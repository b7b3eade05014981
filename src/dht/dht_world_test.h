#ifndef STOQ_DHT_DHT_WORLD_TEST_H
#define STOQ_DHT_DHT_WORLD_TEST_H
/*
 * For tests: up to some thousand DHT cores in one process and virtual time. A message takes the distance of
 * its ends on a map; answers have the room of a datagram. Signatures are played: the first byte of a
 * record says whether it holds, the second whether somebody answers at its address.
 */
#include "base/prng.h"
#include "dht/dht.h"
#include "hash/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_WALL 1700000000u
#define WORLD_CONTACT_ROOM 5
#define WORLD_RECORD_ROOM 4

enum world_role {
    WORLD_HONEST,
    WORLD_MISROUTES, /* names only others of its kind, and knows no records */
    WORLD_MUTE,      /* answers, with nothing; stores nothing though it says so */
    WORLD_LEFT,      /* takes part no more, and says so */
};

struct world_node {
    struct stoq_dht *dht;
    bool plain;      /* it knows no renewals */
    bool whole;      /* it knows no patches */
    uint32_t stores; /* sent to it */
    stoq_contact_no contact;
    struct stoq_hash id;
    struct stoq_peer_id peer;
    uint64_t group;
    enum world_role role;
    bool dead;
    bool client;
    int x;
    int y;
    stoq_ns wake_at;
};

enum world_what { WORLD_REQUEST, WORLD_REPLY, WORLD_WAKE };

struct world_msg {
    stoq_ns at;
    uint64_t order;
    enum world_what what;
    uint32_t from;
    uint32_t to;
    struct stoq_dht_call call;
    struct stoq_dht_reply reply;
    stoq_contact_no contacts[STOQ_DHT_ANSWER_MAX];
    struct stoq_dht_record *records[STOQ_DHT_VALUES_MAX];
    uint8_t kept[STOQ_DHT_RENEW_MAX];
};

struct world_look {
    bool over;
    uint32_t found;
    struct stoq_dht_record *records[STOQ_DHT_VALUES_MAX];
    stoq_contact_no near[STOQ_DHT_WANT_MAX];
    struct stoq_dht_looked end;
};

struct world {
    struct stoq_dht_book *book;
    struct world_node *nodes;
    uint32_t count;
    struct stoq_prng prng;
    stoq_ns now;
    uint64_t order;
    struct world_msg **heap;
    size_t heap_count;
    size_t heap_cap;
    uint32_t by_contact[1 << 16];
    struct world_look look;
    struct stoq_dht_announced told; /* the last one */
    uint32_t told_count;
    uint32_t calls;
    uint32_t stores;
    uint32_t renewals;
    uint32_t named; /* by them */
    uint32_t patches;
    uint32_t patched;                 /* records in them */
    bool changed;                     /* what records say: none comes out as before */
    uint8_t kept[STOQ_DHT_RENEW_MAX]; /* of the last answer to a renewal */
    uint32_t kept_count;
    /* An answer of the node that is being drained. */
    struct world_msg *asked;
    enum stoq_dht_outcome answered;
    uint32_t answered_ttl_s;
    bool patching;     /* a patch is being answered, record by record */
    bool unmeasured;   /* replies come too late to tell a round trip */
    stoq_ns resend_ns; /* of the last call */
    uint32_t usual;    /* calls that go again as they all do, ... */
    uint32_t failed;   /* ... as to who did not answer, ... */
    uint32_t once;     /* ... and not at all */
    uint32_t loss_percent;
    uint32_t lost_stores;  /* so many of the next are lost */
    uint32_t lost_patches; /* likewise */
    uint64_t trace;        /* hash of all that happened */
    enum stoq_dht_without without;
};

static inline void world_push(struct world *w, struct world_msg *m)
{
    if (w->heap_count == w->heap_cap) {
        w->heap_cap = w->heap_cap == 0 ? 1024 : w->heap_cap * 2;
        w->heap = realloc(w->heap, w->heap_cap * sizeof(struct world_msg *));
        assert_non_null(w->heap);
    }
    m->order = w->order++;
    size_t i = w->heap_count++;
    while (i > 0) {
        size_t up = (i - 1) / 2;
        struct world_msg *p = w->heap[up];
        if (p->at < m->at || (p->at == m->at && p->order < m->order)) {
            break;
        }
        w->heap[i] = p;
        i = up;
    }
    w->heap[i] = m;
}

static inline bool world_before(const struct world_msg *a, const struct world_msg *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static inline struct world_msg *world_pop(struct world *w)
{
    struct world_msg *top = w->heap[0];
    struct world_msg *last = w->heap[--w->heap_count];
    size_t i = 0;
    for (;;) {
        size_t k = 2 * i + 1;
        if (k >= w->heap_count) {
            break;
        }
        if (k + 1 < w->heap_count && world_before(w->heap[k + 1], w->heap[k])) {
            k++;
        }
        if (!world_before(w->heap[k], last)) {
            break;
        }
        w->heap[i] = w->heap[k];
        i = k;
    }
    w->heap[i] = last;
    return top;
}

static inline stoq_ns world_delay(struct world *w, uint32_t a, uint32_t b)
{
    int dx = abs(w->nodes[a].x - w->nodes[b].x);
    int dy = abs(w->nodes[a].y - w->nodes[b].y);
    return (stoq_ns)(2 + dx + dy) * STOQ_MS / 2 + stoq_prng_below(&w->prng, STOQ_MS);
}

static inline struct world_msg *world_msg(enum world_what what, uint32_t from, uint32_t to,
                                          stoq_ns at)
{
    struct world_msg *m = calloc(1, sizeof *m);
    assert_non_null(m);
    *m = (struct world_msg){.what = what, .from = from, .to = to, .at = at};
    return m;
}

static inline void world_msg_free(struct world *w, struct world_msg *m)
{
    if (m->what == WORLD_REQUEST) {
        stoq_dht_book_drop(w->book, m->call.to);
        stoq_dht_record_drop(m->call.record);
        stoq_dht_renewal_drop(m->call.renewal);
        stoq_dht_patch_drop(m->call.patch);
    }
    for (uint32_t i = 0; i < m->reply.contact_count; i++) {
        stoq_dht_book_drop(w->book, m->contacts[i]);
    }
    for (uint32_t i = 0; i < m->reply.record_count; i++) {
        stoq_dht_record_drop(m->records[i]);
    }
    free(m);
}

static inline struct stoq_dht_record *world_record(const struct stoq_hash *key,
                                                   const struct stoq_peer_id *publisher,
                                                   uint64_t sequence, uint64_t issued_s,
                                                   uint32_t ttl_s)
{
    uint8_t bytes[24] = {1, 1};
    stoq_le64_put(bytes + 8, sequence);
    memcpy(bytes + 16, key->b, 8);
    struct stoq_dht_record *r = stoq_dht_record_new(stoq_span(bytes, sizeof bytes));
    assert_non_null(r);
    r->key = *key;
    r->publisher = *publisher;
    r->sequence = sequence;
    r->issued_at_s = issued_s;
    r->ttl_s = ttl_s;
    return r;
}

static inline uint64_t world_wall(const struct world *w)
{
    return WORLD_WALL + w->now / STOQ_SEC;
}

static inline void world_feed(struct world *w, uint32_t n, const struct stoq_dht_event *ev)
{
    assert_int_equal(stoq_dht_feed(w->nodes[n].dht, ev, w->now), STOQ_OK);
}

static inline void world_call(struct world *w, uint32_t n, const struct stoq_dht_call *c)
{
    uint32_t to = w->by_contact[c->to];
    bool lost = w->loss_percent > 0 && stoq_prng_below(&w->prng, 100) < w->loss_percent;
    if (c->ask == STOQ_DHT_STORE && w->lost_stores > 0) {
        w->lost_stores--;
        lost = true;
    }
    if (c->ask == STOQ_DHT_PATCH && w->lost_patches > 0) {
        w->lost_patches--;
        lost = true;
    }
    w->calls++;
    w->resend_ns = c->resend_ns;
    w->usual += c->resend_ns == STOQ_DHT_RESEND;
    w->failed += c->resend_ns == STOQ_DHT_RESEND_FAILED;
    w->once += c->resend_ns >= c->timeout_ns;
    w->stores += c->ask == STOQ_DHT_STORE;
    w->nodes[to].stores += c->ask == STOQ_DHT_STORE;
    w->renewals += c->ask == STOQ_DHT_RENEW;
    w->named += c->renewal == NULL ? 0 : c->renewal->count;
    w->patches += c->ask == STOQ_DHT_PATCH;
    w->patched += c->patch == NULL ? 0 : c->patch->count;
    if (w->nodes[to].dead || lost) {
        struct world_msg *m = world_msg(WORLD_REPLY, to, n, w->now + c->timeout_ns);
        m->reply.cookie = c->cookie;
        m->reply.outcome = STOQ_DHT_SILENT;
        world_push(w, m);
        return;
    }
    struct world_msg *m = world_msg(WORLD_REQUEST, n, to, w->now + world_delay(w, n, to));
    m->call = *c;
    stoq_dht_book_hold(w->book, c->to);
    if (c->record != NULL) {
        (void)stoq_dht_record_hold(c->record);
    }
    if (c->renewal != NULL) {
        (void)stoq_dht_renewal_hold(c->renewal);
    }
    if (c->patch != NULL) {
        (void)stoq_dht_patch_hold(c->patch);
    }
    world_push(w, m);
}

static inline void world_send_reply(struct world *w, const struct world_msg *q,
                                    const struct stoq_dht_answer *a)
{
    struct world_msg *m =
        world_msg(WORLD_REPLY, q->to, q->from, w->now + world_delay(w, q->from, q->to));
    m->reply = (struct stoq_dht_reply){
        .cookie = q->call.cookie, .outcome = a->outcome, .ttl_s = a->ttl_s, .more = a->more};
    if (a->kept_count > 0) {
        memcpy(m->kept, a->kept, a->kept_count);
        m->reply.kept_count = a->kept_count;
    }
    for (uint32_t i = 0; i < a->record_count; i++) {
        if (m->reply.record_count == WORLD_RECORD_ROOM) {
            m->reply.more = true;
            break;
        }
        m->records[m->reply.record_count++] = stoq_dht_record_hold(a->records[i]);
    }
    uint32_t room = WORLD_CONTACT_ROOM - m->reply.record_count;
    for (uint32_t i = 0; i < a->contact_count; i++) {
        if (m->reply.contact_count >= room) {
            m->reply.more = m->reply.more || m->reply.record_count == 0;
            break;
        }
        stoq_dht_book_hold(w->book, a->contacts[i]);
        m->contacts[m->reply.contact_count++] = a->contacts[i];
    }
    world_push(w, m);
}

static inline void world_act(struct world *w, uint32_t n, const struct stoq_dht_action *a)
{
    struct stoq_dht_event ev = {0};
    struct world_node *node = &w->nodes[n];
    switch (a->kind) {
    case STOQ_DHT_CALL:
        world_call(w, n, &a->u.call);
        break;
    case STOQ_DHT_ANSWER:
        w->answered = a->u.answer.outcome;
        w->answered_ttl_s = a->u.answer.ttl_s;
        w->kept_count = a->u.answer.kept_count;
        if (w->kept_count > 0) {
            memcpy(w->kept, a->u.answer.kept, w->kept_count);
        }
        if (w->asked != NULL && !w->patching) {
            world_send_reply(w, w->asked, &a->u.answer);
        }
        break;
    case STOQ_DHT_CHECK:
    case STOQ_DHT_PROVE:
        ev.kind = STOQ_DHT_CHECKED;
        ev.u.checked.cookie = a->u.check.cookie;
        ev.u.checked.good = a->u.check.renewal != NULL
                                ? a->u.check.renewal->n == 0
                                : a->u.check.record->bytes[a->kind == STOQ_DHT_CHECK ? 0 : 1] == 1;
        world_feed(w, n, &ev);
        break;
    case STOQ_DHT_MAKE: {
        const struct stoq_dht_make *m = &a->u.make;
        bool same = m->digest != 0 && !w->changed;
        bool again = same && m->again;
        bool shared = same && !again && m->anew_s * 1000000 > m->sequence;
        uint64_t fresh =
            shared ? m->anew_s * 1000000 : WORLD_WALL * UINT64_C(1000000) + w->now / 1000;
        struct stoq_dht_record *r = world_record(&m->key, &node->peer, again ? m->sequence : fresh,
                                                 again    ? m->issued_at_s
                                                 : shared ? m->anew_s
                                                          : world_wall(w),
                                                 m->ttl_s);
        r->group = node->group;
        r->withdrawn = m->withdrawn;
        ev.kind = STOQ_DHT_MADE;
        ev.u.made.cookie = a->u.make.cookie;
        ev.u.made.record = r;
        ev.u.made.likewise = same && !again;
        world_feed(w, n, &ev);
        stoq_dht_record_drop(r);
        break;
    }
    case STOQ_DHT_FOUND:
        if (w->look.found < STOQ_DHT_VALUES_MAX) {
            w->look.records[w->look.found++] = stoq_dht_record_hold(a->u.found.record);
        }
        break;
    case STOQ_DHT_TRACE:
        break;
    case STOQ_DHT_LOOKED:
        w->look.over = true;
        w->look.end = a->u.looked;
        memcpy(w->look.near, a->u.looked.contacts,
               a->u.looked.contact_count * sizeof w->look.near[0]);
        break;
    case STOQ_DHT_ANNOUNCED:
        w->told = a->u.announced;
        w->told_count++;
        break;
    }
}

static inline void world_drain(struct world *w, uint32_t n)
{
    struct world_node *node = &w->nodes[n];
    struct stoq_dht_action a;
    while (stoq_dht_poll(node->dht, w->now, &a)) {
        w->trace = (w->trace ^ (uint64_t)a.kind ^ (w->now << 8) ^ n) * UINT64_C(0x100000001b3);
        world_act(w, n, &a);
    }
    stoq_ns at = stoq_dht_deadline(node->dht);
    if (at != STOQ_NEVER && (at < node->wake_at || node->wake_at <= w->now)) {
        node->wake_at = at > w->now ? at : w->now + 1;
        world_push(w, world_msg(WORLD_WAKE, n, n, node->wake_at));
    }
}

/* What the colluders say: the nearest of their own. */
static inline bool world_collude(struct world *w, const struct world_msg *m)
{
    struct stoq_dht_answer a = {.outcome = STOQ_DHT_DONE, .ttl_s = 3600};
    stoq_contact_no near[WORLD_CONTACT_ROOM];
    uint32_t n = 0;
    if (w->nodes[m->to].role == WORLD_HONEST) {
        return false;
    }
    for (uint32_t i = 0; w->nodes[m->to].role == WORLD_MISROUTES && i < w->count; i++) {
        uint32_t at = n;
        if (w->nodes[i].role != WORLD_MISROUTES || i == m->to) {
            continue;
        }
        while (at > 0 && stoq_dht_nearer(&m->call.target, &w->nodes[i].id,
                                         &stoq_dht_book_get(w->book, near[at - 1])->id) < 0) {
            at--;
        }
        if (at < WORLD_CONTACT_ROOM) {
            n += n < WORLD_CONTACT_ROOM;
            memmove(&near[at + 1], &near[at], (n - at - 1) * sizeof near[0]);
            near[at] = w->nodes[i].contact;
        }
    }
    a.contacts = near;
    bool finds = m->call.ask == STOQ_DHT_FIND_NODE || m->call.ask == STOQ_DHT_FIND_VALUE;
    a.outcome = w->nodes[m->to].role == WORLD_LEFT ? STOQ_DHT_REFUSED : a.outcome;
    a.contact_count = finds ? n : 0;
    world_send_reply(w, m, &a);
    return true;
}

/* One of a patch: what its holder says of it. */
static inline uint8_t world_patch_one(struct world *w, uint32_t n, uint64_t before,
                                      struct stoq_dht_record *record, bool proven)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    struct stoq_dht_record *base;
    w->answered = stoq_dht_base(w->nodes[n].dht, &record->publisher, before, proven, w->now, &base);
    if (base == NULL) {
        return 0;
    }
    ev.u.request = (struct stoq_dht_request){.request = 1,
                                             .ask = STOQ_DHT_STORE,
                                             .record = record,
                                             .proven = proven,
                                             .own = true,
                                             .patched = true};
    w->patching = true;
    world_feed(w, n, &ev);
    world_drain(w, n);
    w->patching = false;
    return stoq_dht_patch_kept(w->answered, w->answered_ttl_s);
}

static inline void world_patch(struct world *w, struct world_msg *m)
{
    uint8_t kept[STOQ_DHT_PATCH_MAX];
    const struct stoq_dht_patch *patch = m->call.patch;
    struct stoq_dht_answer a = {.kept = kept, .kept_count = patch->count};
    for (uint32_t i = 0; i < patch->count; i++) {
        kept[i] = world_patch_one(w, m->to, patch->before[i], patch->records[i], true);
    }
    world_send_reply(w, m, &a);
}

static inline void world_deliver(struct world *w, struct world_msg *m)
{
    struct world_node *to = &w->nodes[m->to];
    struct stoq_dht_event ev = {0};
    if (to->dead) {
        if (m->what == WORLD_REQUEST) { /* died meanwhile */
            struct world_msg *r = world_msg(WORLD_REPLY, m->to, m->from, w->now + 2 * STOQ_SEC);
            r->reply.cookie = m->call.cookie;
            r->reply.outcome = STOQ_DHT_SILENT;
            world_push(w, r);
        }
        return;
    }
    if (m->what == WORLD_REPLY) {
        ev.kind = STOQ_DHT_REPLY;
        ev.u.reply = m->reply;
        ev.u.reply.contacts = m->contacts;
        ev.u.reply.records = m->records;
        ev.u.reply.kept = m->kept;
        ev.u.reply.rtt_ns = m->reply.outcome == STOQ_DHT_SILENT || w->unmeasured
                                ? 0
                                : 2 * world_delay(w, m->from, m->to);
        world_feed(w, m->to, &ev);
    } else if (m->what == WORLD_REQUEST) {
        if (world_collude(w, m)) {
            return;
        }
        if (m->call.ask == STOQ_DHT_RENEW && to->plain) {
            world_send_reply(w, m, &(struct stoq_dht_answer){.outcome = STOQ_DHT_DONE});
            return;
        }
        if (m->call.ask == STOQ_DHT_PATCH) {
            if (to->whole) {
                world_send_reply(w, m, &(struct stoq_dht_answer){.outcome = STOQ_DHT_DONE});
            } else {
                world_patch(w, m);
            }
            world_drain(w, m->to);
            return;
        }
        ev.kind = STOQ_DHT_REQUEST;
        ev.u.request = (struct stoq_dht_request){
            .request = 1,
            .ask = m->call.ask,
            .target = m->call.target,
            .want = m->call.want,
            .skip = m->call.skip,
            .sender = w->nodes[m->from].client ? 0 : w->nodes[m->from].contact,
            .record = m->call.record,
            .renewal = m->call.renewal,
            .proven = true,
            .own = m->call.record == NULL ||
                   stoq_hash_eq(&m->call.record->publisher.h, &w->nodes[m->from].peer.h)};
        world_feed(w, m->to, &ev);
        w->asked = m;
    }
    world_drain(w, m->to);
    w->asked = NULL;
}

static inline void world_run(struct world *w, stoq_ns until)
{
    while (w->heap_count > 0 && w->heap[0]->at <= until) {
        struct world_msg *m = world_pop(w);
        w->now = m->at;
        world_deliver(w, m);
        world_msg_free(w, m);
    }
    w->now = until;
}

static inline void world_node_new(struct world *w, uint32_t i, bool client)
{
    struct world_node *n = &w->nodes[i];
    uint8_t name[4];
    stoq_le32_put(name, i);
    static const struct stoq_dht_rules rules = {.epoch = 1, .work_bits = 0};
    n->peer.h = stoq_hash_blake3(stoq_span(name, sizeof name));
    n->id = stoq_dht_node_id(&rules, &n->peer, 0);
    n->x = (int)stoq_prng_below(&w->prng, 100);
    n->y = (int)stoq_prng_below(&w->prng, 100);
    n->client = client;
    n->wake_at = STOQ_NEVER;
    struct stoq_dht_about about = {.id = n->id, .group = n->group};
    assert_int_equal(stoq_dht_book_add(w->book, &about, &n->contact), STOQ_OK);
    assert_true(n->contact < STOQ_COUNT(w->by_contact));
    w->by_contact[n->contact] = i;
    struct stoq_dht_config cfg = {.book = w->book,
                                  .id = n->id,
                                  .self = client ? 0 : n->contact,
                                  .peer = n->peer,
                                  .seed = i + 7,
                                  .wall_s = WORLD_WALL,
                                  .without = w->without};
    assert_int_equal(stoq_dht_new(&n->dht, &cfg), STOQ_OK);
}

static inline void world_met(struct world *w, uint32_t n, uint32_t who)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_MET};
    ev.u.met.contact = w->nodes[who].contact;
    world_feed(w, n, &ev);
    world_drain(w, n);
}

/* count nodes; each joins by a random one that is there, 20 ms after the last. */
static inline struct world *world_new_without(uint32_t count, uint64_t seed,
                                              enum stoq_dht_without without)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->prng = stoq_prng(seed);
    w->without = without;
    w->nodes = calloc(count + 512, sizeof *w->nodes);
    assert_non_null(w->nodes);
    w->count = count;
    assert_int_equal(stoq_dht_book_new(&w->book, 1 << 20, seed, NULL, NULL), STOQ_OK);
    for (uint32_t i = 0; i < count; i++) {
        world_node_new(w, i, false);
        if (i > 0) {
            world_met(w, i, (uint32_t)stoq_prng_below(&w->prng, i));
        }
        world_run(w, w->now + 20 * STOQ_MS);
    }
    world_run(w, w->now + 120 * STOQ_SEC);
    return w;
}

static inline struct world *world_new(uint32_t count, uint64_t seed)
{
    return world_new_without(count, seed, STOQ_DHT_WITH_ALL);
}

static inline void world_look_clear(struct world *w)
{
    for (uint32_t i = 0; i < w->look.found; i++) {
        stoq_dht_record_drop(w->look.records[i]);
    }
    w->look = (struct world_look){0};
}

static inline void world_free(struct world *w)
{
    world_look_clear(w);
    while (w->heap_count > 0) {
        world_msg_free(w, world_pop(w));
    }
    for (uint32_t i = 0; i < w->count; i++) {
        stoq_dht_free(w->nodes[i].dht);
        stoq_dht_book_drop(w->book, w->nodes[i].contact);
    }
    assert_int_equal(stoq_dht_book_count(w->book), 0); /* everybody has let go */
    stoq_dht_book_free(w->book);
    free(w->nodes);
    free(w->heap);
    free(w);
}

static inline void world_look(struct world *w, uint32_t n, const struct stoq_hash *target,
                              bool value, bool deep)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_LOOK};
    world_look_clear(w);
    ev.u.look = (struct stoq_dht_look){.look = 1, .target = *target, .value = value, .deep = deep};
    world_feed(w, n, &ev);
    world_drain(w, n);
    for (int i = 0; i < 3000 && !w->look.over; i++) {
        world_run(w, w->now + 10 * STOQ_MS);
    }
    assert_true(w->look.over);
}

static inline void world_announce(struct world *w, uint32_t n, const struct stoq_hash *key)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE};
    uint32_t before = w->told_count;
    ev.u.announce.key = *key;
    ev.u.announce.urgent = true;
    world_feed(w, n, &ev);
    world_drain(w, n);
    for (int i = 0; i < 3000 && w->told_count == before; i++) {
        world_run(w, w->now + 10 * STOQ_MS);
    }
    assert_true(w->told_count > before);
}

static inline struct stoq_hash world_key(uint32_t i)
{
    struct stoq_package_id id;
    uint8_t name[8] = "package";
    name[7] = (uint8_t)i;
    id.h = stoq_hash_blake3_2(stoq_span(name, sizeof name), stoq_span(&i, sizeof i));
    return stoq_dht_key(&id);
}

/* The live ones nearest to the target, by looking at all of them. */
static inline uint32_t world_nearest(const struct world *w, const struct stoq_hash *target,
                                     uint32_t *out, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t at = n;
        if (w->nodes[i].dead || w->nodes[i].client) {
            continue;
        }
        while (at > 0 && stoq_dht_nearer(target, &w->nodes[i].id, &w->nodes[out[at - 1]].id) < 0) {
            at--;
        }
        if (at == max) {
            continue;
        }
        n += n < max;
        memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof out[0]);
        out[at] = i;
    }
    return n;
}

/* How many live nodes have the record. */
static inline uint32_t world_holders(const struct world *w, const struct stoq_hash *key)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->count; i++) {
        n += !w->nodes[i].dead && stoq_dht_count(w->nodes[i].dht, key, w->now) > 0;
    }
    return n;
}

#endif
