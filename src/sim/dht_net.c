/*
 * Calls. One goes half a round trip to its node, is answered there, and the answer goes the other half. It
 * goes again when the core wants that, as in src/net/rpc.c; one that is lost each time, or whose node is
 * gone, is closed as silent when its time is over. What it costs besides,
 * processor time, bytes, and round trips where hands are shaken, is in cost.h. Round trips
 * are those of the regions and access lines, with up to 0.4 % of jitter; nothing queues, since nothing
 * here is larger than a datagram.
 *
 * A record says in its bytes whether its signature would hold, whether its publisher is at the address in it,
 * what else is wrong with it and who made it, so that wrong ones can be counted wherever they get to. As
 * in the daemon a record in an answer is looked at before the core sees it: who gives one that is not signed
 * as it says has given nothing.
 */
#include "sim/dht_internal.h"

#include <stdlib.h>
#include <string.h>

#define JITTER_PART 256
#define PROVE_TIMEOUT (2 * STOQ_SEC)
#define RENEWAL_SHORT 32 /* records; that many fit the 512 bytes of a Store */
#define PATCH_SHORT 5    /* likewise */

/* Of a record's bytes. */
enum {
    AT_SIGNED,
    AT_PLACED,
    AT_WRONG,
    AT_MAKER = 4,
    AT_SEQUENCE = 8,
    RECORD_BYTES = 16,
};

uint32_t sim_dht_of(const struct sim_dht_world *w, stoq_contact_no contact)
{
    return (uint32_t)((uintptr_t)stoq_dht_book_get(w->book, contact)->data - 1);
}

stoq_ns sim_dht_rtt(const struct sim_dht_world *w, uint32_t a, uint32_t b)
{
    uint64_t pair = a < b ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
    struct stoq_prng mix = stoq_prng(w->cfg.seed ^ pair * UINT64_C(0x9e3779b97f4a7c15));
    const struct sim_dht_node *x = &w->nodes[a];
    const struct sim_dht_node *y = &w->nodes[b];
    return sim_region_rtt(x->region, y->region, stoq_prng_next(&mix)) + x->line_rtt_ns +
           y->line_rtt_ns;
}

/* One way, of this time. */
static stoq_ns one_way(struct sim_dht_world *w, uint32_t from, uint32_t to)
{
    stoq_ns rtt = sim_dht_rtt(w, from, to);
    return rtt / 2 + sim_dht_draw(w, from) % (rtt / JITTER_PART + 1);
}

static bool is_lost(struct sim_dht_world *w, uint32_t from)
{
    return w->cfg.loss_ppm > 0 && sim_dht_draw(w, from) % 1000000 < w->cfg.loss_ppm;
}

void sim_dht_letter_free(struct sim_dht_world *w, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    stoq_dht_book_drop(w->book, m->call.to);
    stoq_dht_record_drop(m->call.record);
    stoq_dht_renewal_drop(m->call.renewal);
    stoq_dht_patch_drop(m->call.patch);
    free(m->kept);
    for (uint32_t i = 0; i < m->contact_count; i++) {
        stoq_dht_book_drop(w->book, m->contacts[i]);
    }
    for (uint32_t i = 0; i < m->record_count; i++) {
        stoq_dht_record_drop(m->records[i]);
    }
    sim_pool_give(&w->letters, letter);
}

void sim_dht_feed(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_event *ev)
{
    enum stoq_status st = stoq_dht_feed(w->nodes[node].dht, ev, w->now);
    STOQ_ASSERT(st == STOQ_OK);
}

/* When it goes for the nth time, from 0 on, after the first: in vain so far. STOQ_NEVER: no more. A sealed
 * datagram does that; who calls by other means and is lost has had silence. */
static stoq_ns nth_send(const struct sim_dht_world *w, const struct stoq_dht_call *c, uint32_t n)
{
    stoq_ns at = n < 32 ? c->resend_ns * ((UINT64_C(1) << n) - 1) : STOQ_NEVER;
    bool goes_again =
        c->resend_ns > 0 && !w->cfg.shape.plain && w->cfg.by <= SIM_COST_DATAGRAM_FIRST;
    return n == 0 || (goes_again && at < c->timeout_ns) ? at : STOQ_NEVER;
}

/* How often it went before it was over just now. */
static uint32_t sends(const struct sim_dht_world *w, const struct sim_dht_letter *m)
{
    uint32_t n = 1;
    while (nth_send(w, &m->call, n) < w->now - m->sent_at) {
        n++;
    }
    return n;
}

/* Nobody will answer it. */
static void silence(struct sim_dht_world *w, uint32_t node, uint32_t other, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    stoq_ns over = m->sent_at + m->call.timeout_ns;
    m->outcome = STOQ_DHT_SILENT;
    sim_dht_put(w, over > w->now ? over : w->now, node, other, DHT_EV_REPLY, letter);
}

/* A renewal or a patch is as long as a Store, or as long as a datagram. */
static const struct sim_cost *cost_of(const struct sim_dht_world *w, const struct stoq_dht_call *c)
{
    enum sim_cost_kind kind = w->cfg.by;
    bool is_short = (c->renewal != NULL && c->renewal->count <= RENEWAL_SHORT) ||
                    (c->patch != NULL && c->patch->count <= PATCH_SHORT);
    if (kind == SIM_COST_DATAGRAM && c->ask != STOQ_DHT_PING) {
        kind = c->ask == STOQ_DHT_STORE || is_short ? SIM_COST_STORE : SIM_COST_FIND;
    }
    return sim_cost(kind);
}

/* What of its sends is not lost, at its node. */
static stoq_ns arrives_at(struct sim_dht_world *w, uint32_t node, uint32_t to,
                          const struct sim_dht_letter *m)
{
    const struct sim_cost *cost = cost_of(w, &m->call);
    stoq_ns rtt = sim_dht_rtt(w, node, to);
    stoq_ns before =
        sim_cost_cpu(cost, false) + w->cfg.extra_rtts * rtt + rtt * (cost->rtt_percent - 100) / 100;
    return m->sent_at + nth_send(w, &m->call, m->sends) + before + one_way(w, node, to);
}

void sim_dht_call(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_call *c,
                  bool is_unproven)
{
    uint32_t to = sim_dht_of(w, c->to);
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->call = *c;
    m->sent_at = w->now;
    m->life = w->nodes[node].life;
    m->is_unproven = is_unproven;
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
    while (is_lost(w, node)) {
        m->sends++;
        if (nth_send(w, c, m->sends) == STOQ_NEVER) {
            silence(w, node, to, letter);
            return;
        }
    }
    sim_dht_put(w, arrives_at(w, node, to, m), to, node, DHT_EV_REQUEST, letter);
}

/* The answer that went back for the mth send was lost: is another one's not? Its core is not asked once more,
 * since it would say the same. False: no. */
static bool is_answered_again(struct sim_dht_world *w, uint32_t node, uint32_t to,
                              struct sim_dht_letter *m)
{
    do {
        m->sends++;
        if (nth_send(w, &m->call, m->sends) == STOQ_NEVER) {
            return false;
        }
    } while (is_lost(w, to) || is_lost(w, node));
    return true;
}

void sim_dht_answer(struct sim_dht_world *w, uint32_t node, uint32_t to, uint32_t letter,
                    const struct stoq_dht_answer *a)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->is_answered = true;
    m->outcome = a->outcome;
    m->more = a->more;
    m->ttl_s = a->ttl_s;
    if (a->kept_count > 0) {
        m->kept = sim_alloc(a->kept_count, 1);
        m->kept_count = a->kept_count;
        memcpy(m->kept, a->kept, a->kept_count);
    }
    while (m->record_count < a->record_count && m->record_count < SIM_DHT_RECORD_ROOM) {
        m->records[m->record_count] = stoq_dht_record_hold(a->records[m->record_count]);
        m->record_count++;
    }
    m->more = m->more || m->record_count < a->record_count;
    while (m->contact_count < a->contact_count &&
           m->contact_count + m->record_count < w->cfg.room) {
        stoq_dht_book_hold(w->book, a->contacts[m->contact_count]);
        m->contacts[m->contact_count] = a->contacts[m->contact_count];
        m->contact_count++;
    }
    m->more = m->more || (m->record_count == 0 && m->contact_count < a->contact_count);
    stoq_ns here = w->now;
    if (is_lost(w, node)) {
        if (!is_answered_again(w, node, to, m)) {
            silence(w, to, node, letter);
            return;
        }
        here = arrives_at(w, to, node, m);
    }
    stoq_ns ready = here + sim_cost_cpu(cost_of(w, &m->call), true);
    stoq_ns over = m->sent_at + m->call.timeout_ns;
    stoq_ns at = ready + one_way(w, node, to);
    if (at < over) {
        sim_dht_put(w, at, to, node, DHT_EV_REPLY, letter);
    } else {
        silence(w, to, node, letter);
    }
}

/* ---- records ---- */

struct stoq_dht_record *sim_dht_record(const struct sim_dht_world *w, const struct sim_dht_says *s)
{
    uint8_t bytes[RECORD_BYTES] = {0};
    bytes[AT_SIGNED] = !s->is_unsigned;
    bytes[AT_PLACED] = s->wrong != SIM_DHT_THIRD_PARTY;
    bytes[AT_WRONG] = (uint8_t)s->wrong;
    stoq_le32_put(bytes + AT_MAKER, s->publisher);
    stoq_le64_put(bytes + AT_SEQUENCE, s->sequence);
    struct stoq_dht_record *r = stoq_dht_record_new(stoq_span(bytes, sizeof bytes));
    STOQ_ASSERT(r != NULL);
    r->key = *s->key;
    r->publisher = w->nodes[s->publisher].peer;
    r->group = s->publisher + 1u;
    r->sequence = s->sequence;
    r->issued_at_s = s->issued_at_s;
    r->ttl_s = s->ttl_s;
    r->withdrawn = s->withdrawn;
    return r;
}

enum sim_dht_wrong sim_dht_wrong_of(const struct stoq_dht_record *r)
{
    return (enum sim_dht_wrong)r->bytes[AT_WRONG];
}

static bool is_placed(const struct stoq_dht_record *r)
{
    return r->bytes[AT_PLACED] == 1;
}

static bool is_signed(const struct sim_dht_world *w, const struct stoq_dht_record *r)
{
    return r->bytes[AT_SIGNED] == 1 || (w->cfg.without & STOQ_DHT_NO_SIGNATURE) != 0;
}

/* ---- calls, at both ends ---- */

/* The node answers it at once, or has no room. */
static void request(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter,
                    struct stoq_dht_record *record)
{
    const struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    ev.u.request = (struct stoq_dht_request){
        .request = letter + 1u,
        .ask = m->call.patch != NULL ? STOQ_DHT_STORE : m->call.ask,
        .target = m->call.target,
        .want = m->call.want,
        .skip = m->call.skip,
        .sender = w->nodes[from].contact,
        .record = record,
        .renewal = m->call.renewal,
        .proven = !m->is_unproven,
        .own = record == NULL ||
               (is_placed(record) && stoq_hash_eq(&record->publisher.h, &w->nodes[from].peer.h)),
        .patched = m->call.patch != NULL};
    sim_dht_feed(w, node, &ev);
    sim_dht_drain(w, node);
}

/* Of each of its records as much as is said of it: the record, where the one before is there. */
static void take_patch(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    const struct stoq_dht_patch *patch = m->call.patch;
    bool proven = !m->is_unproven;
    uint8_t kept[STOQ_DHT_PATCH_MAX] = {0};
    struct stoq_dht_answer a = {.kept = kept, .kept_count = patch->count};
    for (uint32_t i = 0; i < patch->count; i++) {
        struct stoq_dht_record *base;
        struct stoq_dht_answer each = {.outcome = STOQ_DHT_STALE};
        enum stoq_dht_outcome outcome =
            stoq_dht_base(w->nodes[node].dht, &patch->records[i]->publisher, patch->before[i],
                          proven, w->now, &base);
        if (base != NULL) {
            w->patched = &each;
            request(w, node, from, letter, patch->records[i]);
            w->patched = NULL;
            outcome = each.outcome;
        }
        if (outcome == STOQ_DHT_REFUSED) {
            a = (struct stoq_dht_answer){.outcome = outcome};
            break;
        }
        kept[i] = base == NULL ? 0 : stoq_dht_patch_kept(outcome, each.ttl_s);
        if (outcome == STOQ_DHT_REJECTED) {
            break;
        }
    }
    sim_dht_answer(w, node, from, letter, &a);
}

void sim_dht_request(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    if (!sim_dht_is_here(&w->nodes[node])) {
        silence(w, from, node, letter);
        return;
    }
    if (w->nodes[node].is_foe) {
        sim_dht_lie(w, node, from, letter);
        return;
    }
    sim_dht_need(w, node);
    w->asker = from;
    if (m->call.patch != NULL) {
        take_patch(w, node, from, letter);
    } else {
        request(w, node, from, letter, m->call.record);
    }
    m = sim_pool_at(&w->letters, letter);
    if (!m->is_answered) { /* it had no room */
        silence(w, from, node, letter);
    }
}

/* Of a call that is over and went so often, and of what came back. */
static void count_bytes(struct sim_dht_world *w, uint32_t asked, const struct sim_dht_letter *m,
                        uint32_t n)
{
    const struct sim_cost *cost = cost_of(w, &m->call);
    w->result->resent += n - 1;
    w->result->bytes += (uint64_t)n * sim_cost_line_bytes(&cost->asker);
    if (m->is_answered && sim_dht_is_here(&w->nodes[asked])) {
        w->result->bytes += (uint64_t)n * sim_cost_line_bytes(&cost->asked);
    }
}

void sim_dht_reply(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    bool is_away = !sim_dht_is_here(&w->nodes[node]); /* and will be back, perhaps */
    uint32_t n = sends(w, m);
    count_bytes(w, from, m, n);
    if (w->nodes[node].dht != NULL && m->life == w->nodes[node].life) {
        struct stoq_dht_record *good[SIM_DHT_RECORD_ROOM];
        struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY};
        ev.u.reply = (struct stoq_dht_reply){
            .cookie = m->call.cookie,
            .outcome = is_away ? STOQ_DHT_SILENT : m->outcome,
            .contacts = m->contacts,
            .contact_count = m->contact_count,
            .records = good,
            .more = m->more,
            .ttl_s = m->ttl_s,
            .kept = m->kept,
            .kept_count = m->kept_count,
            .rtt_ns = m->outcome == STOQ_DHT_SILENT || n > 1 ? 0 : w->now - m->sent_at};
        for (uint32_t i = 0; i < m->record_count; i++) {
            if (is_signed(w, m->records[i])) {
                good[ev.u.reply.record_count++] = m->records[i];
            } else {
                ev.u.reply.bad_count++;
                w->result->bad_answers++;
            }
        }
        sim_dht_feed(w, node, &ev);
        sim_dht_drain(w, node);
    }
    sim_dht_letter_free(w, letter);
}

static void make(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_make *ask)
{
    bool again = ask->again && ask->digest != 0;
    bool likewise = !again && ask->digest != 0 && !ask->withdrawn;
    uint64_t *last = &w->nodes[node].sequence;
    uint64_t anew = ask->anew_s * UINT64_C(1000000);
    bool shared = likewise && anew > ask->sequence;
    uint64_t sequence = again ? ask->sequence : shared ? anew : *last + 1;
    *last = sequence > *last ? sequence : *last;
    struct sim_dht_says s = {.key = &ask->key,
                             .publisher = node,
                             .sequence = sequence,
                             .issued_at_s = again    ? ask->issued_at_s
                                            : shared ? ask->anew_s
                                                     : SIM_DHT_WALL_S + w->now / STOQ_SEC,
                             .ttl_s = w->cfg.survive_ns > 0 ? STOQ_DHT_TTL_MAX_S : ask->ttl_s,
                             .withdrawn = ask->withdrawn};
    struct stoq_dht_record *r = sim_dht_record(w, &s);
    struct stoq_dht_event ev = {
        .kind = STOQ_DHT_MADE,
        .u.made = {.cookie = ask->cookie, .record = r, .likewise = likewise}};
    sim_dht_feed(w, node, &ev);
    stoq_dht_record_drop(r);
}

static void check(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_check *c)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_CHECKED};
    ev.u.checked.cookie = c->cookie;
    ev.u.checked.good = c->renewal != NULL || c->record->bytes[AT_SIGNED] == 1;
    sim_dht_feed(w, node, &ev);
}

static void prove(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_check *c)
{
    uint32_t maker = stoq_le32(c->record->bytes + AT_MAKER);
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->call.cookie = c->cookie;
    m->life = w->nodes[node].life;
    m->is_good = is_placed(c->record) && sim_dht_is_here(&w->nodes[maker]);
    const struct sim_cost *cost = cost_of(w, &m->call);
    stoq_ns work = sim_cost_cpu(cost, false) + sim_cost_cpu(cost, true);
    stoq_ns wait = m->is_good ? sim_dht_rtt(w, node, maker) + work : PROVE_TIMEOUT;
    w->result->bytes += sim_cost_line_bytes(&cost->asker);
    w->result->bytes += m->is_good ? sim_cost_line_bytes(&cost->asked) : 0;
    sim_dht_put(w, w->now + wait, node, maker, DHT_EV_PROVED, letter);
}

void sim_dht_proved(struct sim_dht_world *w, uint32_t node, uint32_t letter)
{
    const struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    if (w->nodes[node].dht != NULL && m->life == w->nodes[node].life) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_CHECKED};
        ev.u.checked.cookie = m->call.cookie;
        ev.u.checked.good = m->is_good && sim_dht_is_here(&w->nodes[node]);
        sim_dht_feed(w, node, &ev);
        sim_dht_drain(w, node);
    }
    sim_dht_letter_free(w, letter);
}

static void act(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_action *a)
{
    switch (a->kind) {
    case STOQ_DHT_CALL:
        sim_dht_call(w, node, &a->u.call, false);
        break;
    case STOQ_DHT_ANSWER: /* it is the request that is being fed */
        if (w->patched != NULL) {
            *w->patched = a->u.answer;
            break;
        }
        sim_dht_answer(w, node, w->asker, (uint32_t)(a->u.answer.request - 1), &a->u.answer);
        break;
    case STOQ_DHT_CHECK:
        check(w, node, &a->u.check);
        break;
    case STOQ_DHT_PROVE:
        prove(w, node, &a->u.check);
        break;
    case STOQ_DHT_MAKE:
        make(w, node, &a->u.make);
        break;
    case STOQ_DHT_FOUND:
        sim_dht_found(w, &a->u.found);
        break;
    case STOQ_DHT_TRACE:
        break;
    case STOQ_DHT_LOOKED:
        sim_dht_looked(w, &a->u.looked);
        break;
    case STOQ_DHT_ANNOUNCED:
        sim_dht_announced(w, node, &a->u.announced);
        break;
    }
}

void sim_dht_drain(struct sim_dht_world *w, uint32_t node)
{
    struct stoq_dht_action a;
    if (w->nodes[node].dht == NULL || !sim_dht_is_here(&w->nodes[node])) {
        return;
    }
    bool has_joined = w->nodes[node].has_joined;
    while (has_joined ? stoq_dht_poll(w->nodes[node].dht, w->now, &a)
                      : stoq_dht_poll_answer(w->nodes[node].dht, &a)) {
        sim_dht_note(w, a.kind, node);
        act(w, node, &a);
    }
    if (!has_joined) {
        return;
    }
    struct sim_dht_node *n = &w->nodes[node];
    stoq_ns at = stoq_dht_deadline(n->dht);
    if (at != STOQ_NEVER && (at < n->wake_at || n->wake_at <= w->now)) {
        n->wake_at = at > w->now ? at : w->now + 1;
        sim_dht_put(w, n->wake_at, node, node, DHT_EV_WAKE, 0);
    }
}
