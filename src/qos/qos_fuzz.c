/*
 * Random events against the bandwidth core, with a naive model beside it: a flow is granted what it asked for
 * and nothing else, no cap is passed by more than its burst and one grant, nobody waits whom no cap
 * holds, and what is closed is gone. After each step the core recounts itself.
 */
#include "qos/qos_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MOVERS 24
#define PEERS 5
#define WANT_MAX 65536u

struct mover {
    stoq_qos_flow flow;
    enum stoq_qos_dir dir;
    enum stoq_priority priority;
    unsigned peer;
    uint64_t wanted;
    uint64_t granted;
};

/* A cap, and what went under it since it was set. */
struct cap {
    uint64_t rate;
    uint64_t moved;
    stoq_ns at;
};

struct model {
    struct stoq_qos *q;
    struct stoq_rd in;
    stoq_ns now;
    struct mover m[MOVERS];
    struct cap all[STOQ_QOS_DIRS];
    struct cap of_class[STOQ_QOS_DIRS][STOQ_PRIORITIES];
    struct cap of_peer[STOQ_QOS_DIRS][PEERS];
};

static struct stoq_peer_id id_of(unsigned n)
{
    struct stoq_peer_id id = {{{(uint8_t)n}}};
    return id;
}

static void count(struct model *m, struct cap *c, uint64_t bytes)
{
    if (c->rate == 0) {
        return;
    }
    c->moved += bytes;
    uint64_t us = (m->now - c->at) / 1000 + 1;
    uint64_t most = c->rate * us / 1000000 + c->rate / 10 + 1 + MOVERS * WANT_MAX;
    STOQ_ASSERT(c->moved <= most);
}

static void moved(struct model *m, const struct mover *f, uint64_t bytes)
{
    count(m, &m->all[f->dir], bytes);
    count(m, &m->of_class[f->dir][f->priority], bytes);
    count(m, &m->of_peer[f->dir][f->peer], bytes);
}

static bool is_held(const struct model *m, const struct mover *f)
{
    return m->all[f->dir].rate > 0 || m->of_class[f->dir][f->priority].rate > 0 ||
           m->of_peer[f->dir][f->peer].rate > 0;
}

static void drain(struct model *m)
{
    struct stoq_qos_grant g;
    while (stoq_qos_poll(m->q, m->now, &g)) {
        struct mover *f = g.user;
        STOQ_ASSERT(f->flow == g.flow && g.bytes == f->wanted && g.bytes > 0);
        f->wanted = 0;
        f->granted += g.bytes;
        moved(m, f, g.bytes);
    }
    bool is_waiting = false;
    for (size_t i = 0; i < MOVERS; i++) {
        const struct mover *f = &m->m[i];
        is_waiting = is_waiting || f->wanted > 0;
        STOQ_ASSERT(f->wanted == 0 || is_held(m, f));
    }
    stoq_ns at = stoq_qos_deadline(m->q);
    STOQ_ASSERT(is_waiting ? at > m->now && at != STOQ_NEVER : at == STOQ_NEVER);
    stoq_qos_check(m->q);
}

/* The views are what the model says, each once. */
static void look(const struct model *m)
{
    struct stoq_qos_view v;
    uint64_t wanted = 0;
    uint64_t granted = 0;
    size_t open = 0;
    for (size_t i = 0; i < MOVERS; i++) {
        open += m->m[i].flow != 0;
        wanted += m->m[i].wanted;
        granted += m->m[i].flow != 0 ? m->m[i].granted : 0;
    }
    size_t n = 0;
    for (; stoq_qos_at(m->q, n, m->now, &v); n++) {
        wanted -= v.wanted;
        granted -= v.granted;
    }
    STOQ_ASSERT(n == open && wanted == 0 && granted == 0);
}

static void open_or_close(struct model *m)
{
    uint8_t what = stoq_rd_u8(&m->in);
    struct mover *f = &m->m[what % MOVERS];
    if (f->flow != 0) {
        stoq_qos_close(m->q, f->flow);
        *f = (struct mover){0};
        return;
    }
    uint8_t how = stoq_rd_u8(&m->in);
    *f = (struct mover){.dir = (enum stoq_qos_dir)(how & 1),
                        .priority = (enum stoq_priority)((how >> 1) % STOQ_PRIORITIES),
                        .peer = (how >> 3) % PEERS};
    struct stoq_peer_id id = id_of(f->peer);
    struct stoq_qos_open open = {.dir = f->dir,
                                 .priority = f->priority,
                                 .peer = &id,
                                 .group = f->dir == STOQ_QOS_UP ? f->peer : what,
                                 .user = f};
    f->flow = stoq_qos_open(m->q, &open);
    STOQ_ASSERT(f->flow != 0);
}

static void want(struct model *m)
{
    struct mover *f = &m->m[stoq_rd_u8(&m->in) % MOVERS];
    uint64_t bytes = 1 + stoq_rd_u16(&m->in);
    if (f->flow == 0 || f->wanted + bytes > WANT_MAX) {
        return;
    }
    if (stoq_qos_want(m->q, f->flow, bytes, m->now)) {
        STOQ_ASSERT(!is_held(m, f) && f->wanted == 0);
        f->granted += bytes;
        moved(m, f, bytes);
    } else {
        f->wanted += bytes;
    }
}

static void unwant(struct model *m)
{
    struct mover *f = &m->m[stoq_rd_u8(&m->in) % MOVERS];
    if (f->flow != 0) {
        stoq_qos_unwant(m->q, f->flow);
        f->wanted = 0;
    }
}

static void limit(struct model *m)
{
    uint8_t how = stoq_rd_u8(&m->in);
    uint64_t rate = (uint64_t)stoq_rd_u16(&m->in) << (how >> 5);
    enum stoq_qos_dir dir = (enum stoq_qos_dir)(how & 1);
    unsigned of = how >> 3;
    struct stoq_peer_id id = id_of(of % PEERS);
    struct stoq_qos_whose whose = {(enum stoq_qos_scope)((how >> 1) % 3),
                                   (enum stoq_priority)(of % STOQ_PRIORITIES), &id};
    struct cap *c = whose.scope == STOQ_QOS_ALL     ? &m->all[dir]
                    : whose.scope == STOQ_QOS_CLASS ? &m->of_class[dir][whose.priority]
                                                    : &m->of_peer[dir][of % PEERS];
    STOQ_ASSERT(stoq_qos_limit(m->q, dir, &whose, rate, m->now) == STOQ_OK);
    if (whose.scope != STOQ_QOS_ALL || c->rate != rate) {
        *c = (struct cap){.rate = rate, .at = m->now};
    }
    STOQ_ASSERT(stoq_qos_rate(m->q, dir, &whose) == rate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stoq_alloc heap;
    if (size < 2 || size > 4096) {
        return 0;
    }
    struct model m = {.in = stoq_rd(stoq_span(data, size)), .now = 1};
    STOQ_ASSERT(stoq_qos_new(&m.q, &heap) == STOQ_OK);
    while (m.in.n > 0) {
        uint8_t op = stoq_rd_u8(&m.in);
        m.now += (stoq_ns)(op >> 3) * 3 * STOQ_MS;
        switch (op & 7) {
        case 0:
            limit(&m);
            break;
        case 1:
        case 2:
            open_or_close(&m);
            break;
        case 3:
            unwant(&m);
            break;
        default:
            want(&m);
            break;
        }
        drain(&m);
        look(&m);
    }
    for (size_t i = 0; i < MOVERS; i++) {
        stoq_qos_close(m.q, m.m[i].flow);
        m.m[i] = (struct mover){0};
    }
    look(&m);
    stoq_qos_free(m.q);
    return 0;
}
