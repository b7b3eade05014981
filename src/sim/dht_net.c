/*
 * Calls. One goes half a round trip to its node, is answered there, and the answer goes the other half; a
 * call that is lost, or whose node is gone, is closed as silent when its time is over. What it costs besides,
 * processor time, bytes, and round trips where hands are shaken, is in cost.h. Round trips
 * are those of the regions and access lines, with up to 0.4 % of jitter; nothing queues, since nothing
 * here is larger than a datagram.
 *
 * A record says in its first bytes whether its signature would hold and who made it, so that forged ones
 * can be counted wherever they get to. Foes name the nearest of their own kind and nobody else.
 */
#include "sim/dht_internal.h"

#include <string.h>

#define JITTER_PART 256
#define SHOWS 8
#define PROVE_TIMEOUT (2 * STOQ_SEC)

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

/* Nobody will answer it. */
static void silence(struct sim_dht_world *w, uint32_t node, uint32_t other, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->outcome = STOQ_DHT_SILENT;
    sim_dht_put(w, m->sent_at + m->call.timeout_ns, node, other, DHT_EV_REPLY, letter);
}

static const struct sim_cost *cost_of(const struct sim_dht_world *w, enum stoq_dht_ask ask)
{
    enum sim_cost_kind kind = w->cfg.by;
    if (kind == SIM_COST_DATAGRAM && ask != STOQ_DHT_PING) {
        kind = ask == STOQ_DHT_STORE ? SIM_COST_STORE : SIM_COST_FIND;
    }
    return sim_cost(kind);
}

static void call(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_call *c)
{
    uint32_t to = sim_dht_of(w, c->to);
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->call = *c;
    m->sent_at = w->now;
    m->life = w->nodes[node].life;
    stoq_dht_book_hold(w->book, c->to);
    if (c->record != NULL) {
        (void)stoq_dht_record_hold(c->record);
    }
    const struct sim_cost *cost = cost_of(w, c->ask);
    w->result->bytes += sim_cost_line_bytes(&cost->asker);
    if (is_lost(w, node)) {
        silence(w, node, to, letter);
        return;
    }
    stoq_ns rtt = sim_dht_rtt(w, node, to);
    stoq_ns before =
        sim_cost_cpu(cost, false) + w->cfg.extra_rtts * rtt + rtt * (cost->rtt_percent - 100) / 100;
    sim_dht_put(w, w->now + before + one_way(w, node, to), to, node, DHT_EV_REQUEST, letter);
}

static void answer(struct sim_dht_world *w, uint32_t node, uint32_t to, uint32_t letter,
                   const struct stoq_dht_answer *a)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->is_answered = true;
    m->outcome = a->outcome;
    m->more = a->more;
    m->ttl_s = a->ttl_s;
    while (m->record_count < a->record_count && m->record_count < SIM_DHT_RECORD_ROOM) {
        m->records[m->record_count] = stoq_dht_record_hold(a->records[m->record_count]);
        m->record_count++;
    }
    m->more = m->more || m->record_count < a->record_count;
    while (m->contact_count < a->contact_count &&
           m->contact_count + m->record_count < SIM_DHT_CONTACT_ROOM) {
        stoq_dht_book_hold(w->book, a->contacts[m->contact_count]);
        m->contacts[m->contact_count] = a->contacts[m->contact_count];
        m->contact_count++;
    }
    m->more = m->more || (m->record_count == 0 && m->contact_count < a->contact_count);
    const struct sim_cost *cost = cost_of(w, m->call.ask);
    w->result->bytes += sim_cost_line_bytes(&cost->asked);
    if (is_lost(w, node)) {
        silence(w, to, node, letter);
    } else {
        stoq_ns ready = w->now + sim_cost_cpu(cost, true);
        sim_dht_put(w, ready + one_way(w, node, to), to, node, DHT_EV_REPLY, letter);
    }
}

/* The foes nearest to the target, by their places in order: as good as is worth a liar's while. */
static uint32_t foes_near(struct sim_dht_world *w, uint32_t self, const struct stoq_hash *target,
                          stoq_contact_no *out)
{
    static const struct stoq_hash zero = {{0}};
    uint64_t at = stoq_dht_distance(target, &zero);
    uint32_t hi = 0;
    for (uint32_t span = w->foe_count; span > 0; span /= 2) {
        while (hi + span <= w->foe_count && w->foes[hi + span - 1].at < at) {
            hi += span;
        }
    }
    uint32_t lo = hi;
    uint32_t n = 0;
    while (n < SIM_DHT_CONTACT_ROOM && (lo > 0 || hi < w->foe_count)) {
        bool up = lo == 0 || (hi < w->foe_count && w->foes[hi].at - at < at - w->foes[lo - 1].at);
        uint32_t node = up ? w->foes[hi++].node : w->foes[--lo].node;
        if (node != self && w->nodes[node].contact != 0) {
            out[n++] = w->nodes[node].contact;
        }
    }
    return n;
}

static void lie(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    stoq_contact_no near[SIM_DHT_CONTACT_ROOM];
    struct stoq_dht_answer a = {
        .outcome = STOQ_DHT_DONE, .ttl_s = STOQ_DHT_TTL_S, .contacts = near};
    if (m->call.ask == STOQ_DHT_FIND_NODE || m->call.ask == STOQ_DHT_FIND_VALUE) {
        a.contact_count = foes_near(w, node, &m->call.target, near);
    }
    answer(w, node, from, letter, &a);
}

void sim_dht_request(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    if (w->nodes[node].dht == NULL) {
        silence(w, from, node, letter);
        return;
    }
    if (w->nodes[node].is_foe) {
        lie(w, node, from, letter);
        return;
    }
    struct stoq_dht_event ev = {.kind = STOQ_DHT_REQUEST};
    ev.u.request = (struct stoq_dht_request){
        .request = letter + 1u,
        .ask = m->call.ask,
        .target = m->call.target,
        .want = m->call.want,
        .skip = m->call.skip,
        .sender = w->nodes[from].contact,
        .record = m->call.record,
        .proven = true,
        .own = m->call.record != NULL &&
               stoq_hash_eq(&m->call.record->publisher.h, &w->nodes[from].peer.h)};
    w->asker = from;
    sim_dht_feed(w, node, &ev);
    sim_dht_drain(w, node);
    m = sim_pool_at(&w->letters, letter);
    if (!m->is_answered) { /* it had no room */
        silence(w, from, node, letter);
    }
}

void sim_dht_reply(struct sim_dht_world *w, uint32_t node, uint32_t from, uint32_t letter)
{
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    (void)from;
    if (w->nodes[node].dht != NULL && m->life == w->nodes[node].life) {
        struct stoq_dht_event ev = {.kind = STOQ_DHT_REPLY};
        ev.u.reply = (struct stoq_dht_reply){
            .cookie = m->call.cookie,
            .outcome = m->outcome,
            .contacts = m->contacts,
            .contact_count = m->contact_count,
            .records = m->records,
            .record_count = m->record_count,
            .more = m->more,
            .ttl_s = m->ttl_s,
            .rtt_ns = m->outcome == STOQ_DHT_SILENT ? 0 : w->now - m->sent_at};
        sim_dht_feed(w, node, &ev);
        sim_dht_drain(w, node);
    }
    sim_dht_letter_free(w, letter);
}

/* Who made a record is in its bytes. */
static uint32_t maker_of(const struct stoq_dht_record *r)
{
    return stoq_le32(r->bytes + 4);
}

static void make(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_make *ask)
{
    struct sim_dht_node *n = &w->nodes[node];
    uint8_t bytes[16] = {1};
    stoq_le32_put(bytes + 4, node);
    stoq_le64_put(bytes + 8, ++n->sequence);
    struct stoq_dht_record *r = stoq_dht_record_new(stoq_span(bytes, sizeof bytes));
    STOQ_ASSERT(r != NULL);
    r->key = ask->key;
    r->publisher = n->peer;
    r->group = node + 1u;
    r->sequence = n->sequence;
    r->issued_at_s = SIM_DHT_WALL_S + w->now / STOQ_SEC;
    r->ttl_s = w->cfg.survive_ns > 0 ? STOQ_DHT_TTL_MAX_S : ask->ttl_s;
    r->withdrawn = ask->withdrawn;
    struct stoq_dht_event ev = {.kind = STOQ_DHT_MADE,
                                .u.made = {.cookie = ask->cookie, .record = r}};
    sim_dht_feed(w, node, &ev);
    stoq_dht_record_drop(r);
}

static void check(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_check *c)
{
    struct stoq_dht_event ev = {.kind = STOQ_DHT_CHECKED};
    ev.u.checked.cookie = c->cookie;
    ev.u.checked.good = c->record->bytes[0] == 1;
    sim_dht_feed(w, node, &ev);
}

static void prove(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_check *c)
{
    uint32_t maker = maker_of(c->record);
    uint32_t letter = sim_pool_take(&w->letters);
    struct sim_dht_letter *m = sim_pool_at(&w->letters, letter);
    m->call.cookie = c->cookie;
    m->life = w->nodes[node].life;
    m->is_good = w->nodes[maker].dht != NULL;
    const struct sim_cost *cost = cost_of(w, STOQ_DHT_PING);
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
        ev.u.checked.good = m->is_good;
        sim_dht_feed(w, node, &ev);
        sim_dht_drain(w, node);
    }
    sim_dht_letter_free(w, letter);
}

void sim_dht_show(struct sim_dht_world *w, uint32_t node)
{
    for (int i = 0; i < SHOWS && w->nodes[node].dht != NULL; i++) {
        uint32_t to = sim_dht_some(w);
        struct stoq_dht_call c = {.cookie = UINT64_MAX, /* the answer is nobody's */
                                  .to = w->nodes[to].contact,
                                  .ask = STOQ_DHT_FIND_NODE,
                                  .target = w->nodes[node].id,
                                  .want = STOQ_DHT_ANSWER_MAX,
                                  .timeout_ns = STOQ_DHT_HARD};
        call(w, node, &c);
    }
    if (w->nodes[node].dht != NULL) {
        sim_dht_put(w, w->now + 10 * STOQ_SEC, node, node, DHT_EV_SHOW, 0);
    }
}

static void act(struct sim_dht_world *w, uint32_t node, const struct stoq_dht_action *a)
{
    switch (a->kind) {
    case STOQ_DHT_CALL:
        call(w, node, &a->u.call);
        break;
    case STOQ_DHT_ANSWER: /* it is the request that is being fed */
        answer(w, node, w->asker, (uint32_t)(a->u.answer.request - 1), &a->u.answer);
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
    if (w->nodes[node].dht == NULL) {
        return;
    }
    while (stoq_dht_poll(w->nodes[node].dht, w->now, &a)) {
        sim_dht_note(w, a.kind, node);
        act(w, node, &a);
    }
    struct sim_dht_node *n = &w->nodes[node];
    stoq_ns at = stoq_dht_deadline(n->dht);
    if (at != STOQ_NEVER && (at < n->wake_at || n->wake_at <= w->now)) {
        n->wake_at = at > w->now ? at : w->now + 1;
        sim_dht_put(w, n->wake_at, node, node, DHT_EV_WAKE, 0);
    }
}
