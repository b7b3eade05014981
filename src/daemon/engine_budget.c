/*
 * Bandwidth. What we send waits piece by piece for its grant before it goes to the transport. What we
 * receive is there when we see it, so its flow-control credit waits instead: the peer may send as much
 * again only when the bytes are within the caps. Nothing blocks; a grant lets the waiting go on.
 */
#include "daemon/engine_internal.h"

#include <stdlib.h>

/* Credit that a peer does not have back yet. */
struct debt {
    struct budget budget; /* first */
    struct debt *next;
    struct debt *prev;
    stoq_net_conn conn;
    stoq_net_stream stream;
    uint64_t bytes;
};

enum stoq_status engine_budget_open(struct stoq_engine *e)
{
    static const struct stoq_alloc heap;
    enum stoq_status st = stoq_qos_new(&e->qos, &heap);
    if (st == STOQ_OK) {
        st = stoq_qos_limit(e->qos, STOQ_QOS_UP, NULL, e->cfg.up_bytes_per_s, stoq_now());
    }
    if (st == STOQ_OK) {
        st = stoq_qos_limit(e->qos, STOQ_QOS_DOWN, NULL, e->cfg.down_bytes_per_s, stoq_now());
    }
    return st;
}

static void drop_debt(struct stoq_engine *e, struct debt *d)
{
    *(d->prev != NULL ? &d->prev->next : &e->debts) = d->next;
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    stoq_qos_close(e->qos, d->budget.flow);
    free(d);
}

void engine_budget_close(struct stoq_engine *e)
{
    while (e->debts != NULL) {
        drop_debt(e, e->debts);
    }
    stoq_qos_free(e->qos);
    e->qos = NULL;
}

bool engine_budget_send(struct inbound *in, uint64_t bytes)
{
    struct stoq_engine *e = in->engine;
    struct budget *b = &in->budget;
    if (b->flow == 0) {
        b->serve = in;
        b->flow = stoq_qos_open(e->qos, STOQ_QOS_UP, &in->peer->id, b);
    }
    if (b->granted || b->flow == 0) { /* 0: no room for one more, it goes unlimited */
        b->granted = false;
        return true;
    }
    if (!b->waits) {
        b->waits = !stoq_qos_want(e->qos, b->flow, bytes, stoq_now());
    }
    return !b->waits;
}

void engine_budget_received(struct ask *a, uint64_t bytes)
{
    struct stoq_engine *e = a->engine;
    struct debt *d = bytes > 0 ? calloc(1, sizeof *d) : NULL;
    if (d != NULL) {
        *d = (struct debt){.conn = a->conn, .stream = a->stream, .bytes = bytes, .next = e->debts};
        d->budget.flow = stoq_qos_open(e->qos, STOQ_QOS_DOWN, &a->peer->id, &d->budget);
        if (d->next != NULL) {
            d->next->prev = d;
        }
        e->debts = d;
        if (d->budget.flow != 0 && !stoq_qos_want(e->qos, d->budget.flow, bytes, stoq_now())) {
            return;
        }
        drop_debt(e, d);
    }
    stoq_net_consumed(e->net, a->conn, a->stream, bytes);
}

void engine_budget_run(struct stoq_engine *e, stoq_ns now)
{
    struct stoq_qos_grant g;
    while (stoq_qos_poll(e->qos, now, &g)) {
        struct budget *b = g.user;
        if (b->serve != NULL) {
            b->waits = false;
            b->granted = true;
            b->serve->moved_at = now;
            engine_pump_later(b->serve);
        } else {
            struct debt *d = (struct debt *)b;
            stoq_net_consumed(e->net, d->conn, d->stream, d->bytes);
            drop_debt(e, d);
        }
    }
}

struct limit_call {
    const struct stoq_peer_id *peer;
    uint64_t rate[STOQ_QOS_DIRS];
    bool set[STOQ_QOS_DIRS];
    enum stoq_status status;
};

static void set_limit(struct stoq_engine *e, void *arg)
{
    struct limit_call *c = arg;
    for (int dir = 0; dir < STOQ_QOS_DIRS && c->status == STOQ_OK; dir++) {
        if (c->set[dir]) {
            c->status =
                stoq_qos_limit(e->qos, (enum stoq_qos_dir)dir, c->peer, c->rate[dir], stoq_now());
        }
    }
}

enum stoq_status stoq_engine_limit(struct stoq_engine *e, const struct stoq_peer_id *peer,
                                   const uint64_t *up, const uint64_t *down)
{
    struct limit_call c = {.peer = peer, .set = {up != NULL, down != NULL}};
    c.rate[STOQ_QOS_UP] = up != NULL ? *up : 0;
    c.rate[STOQ_QOS_DOWN] = down != NULL ? *down : 0;
    engine_call(e, set_limit, &c);
    return c.status;
}

static void take_budget(struct stoq_engine *e, void *arg)
{
    struct stoq_engine_budget *out = arg;
    struct stoq_peer_id id;
    for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
        out->rate[dir] = stoq_qos_rate(e->qos, (enum stoq_qos_dir)dir, NULL);
    }
    for (size_t i = 0; stoq_qos_peer_at(e->qos, i, &id); i++) {
        out->peers[i].peer = id;
        for (int dir = 0; dir < STOQ_QOS_DIRS; dir++) {
            out->peers[i].rate[dir] = stoq_qos_rate(e->qos, (enum stoq_qos_dir)dir, &id);
        }
        out->peer_count = i + 1;
    }
    while (out->flow_count < STOQ_QOS_FLOWS_MAX &&
           stoq_qos_at(e->qos, out->flow_count, &out->flows[out->flow_count])) {
        out->flow_count++;
    }
}

void stoq_engine_budget(struct stoq_engine *e, struct stoq_engine_budget *out)
{
    *out = (struct stoq_engine_budget){0};
    engine_call(e, take_budget, out);
}
