#ifndef STOQ_NET_NET_PIPE_H
#define STOQ_NET_NET_PIPE_H
/*
 * Two endpoints on a path that exists in memory only, in virtual time: what one sends the other gets
 * later, twice, damaged, or never, as the test's path decides. Everything repeats from a seed. For
 * tests and fuzzers, hence one header: a dials, b listens.
 */
#include "net/net_internal.h"

#include "base/prng.h"
#include "os/sys.h"
#include "sign/sign.h"

#include <stdlib.h>
#include <string.h>

/* A packet on its way. */
struct pipe_packet {
    struct pipe_packet *next; /* in order of arrival */
    stoq_ns at;
    unsigned ecn;
    struct stoq_addr from;
    size_t n;
    uint8_t p[];
};

struct net_pipe;

/* What a path may do to a packet: change its bytes, and say when its copies arrive. */
struct pipe_fate {
    uint8_t *p;
    size_t n;
    stoq_ns delay[2]; /* after now */
};

/* One end, and what its callbacks saw. */
struct pipe_end {
    struct net_pipe *pipe;
    struct stoq_net *net;
    struct stoq_key *key;
    stoq_net_conn conn;
    int opened;
    int closed;
    enum stoq_net_why why;
    uint64_t received;
    uint64_t hash; /* of the bytes in order */
    bool fin;
    bool hoards; /* consumes nothing */
};

struct net_pipe {
    struct stoq_loop *loop;
    struct pipe_end a;
    struct pipe_end b;
    stoq_ns now;
    struct pipe_packet *first[2]; /* by direction: to a, to b */
    struct pipe_packet *last[2];
    struct stoq_prng prng;
    uint64_t count;      /* packets sent so far */
    stoq_ns free_at[2];  /* when the bottleneck of a direction is idle again */
    uint16_t port_shift; /* a's packets come from another port: its NAT forgot it */
    /* Decides what becomes of one packet: returns how often it arrives. */
    int (*fate)(struct net_pipe *pipe, bool to_b, struct pipe_fate *fate);
    void *test;
    /* Runs what an end has to do, for who counts what that costs; NULL: nobody does. */
    void (*metered)(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b),
                    bool of_b);
};

static inline stoq_ns pipe_clock(void *user)
{
    struct net_pipe *pipe = user;
    return pipe->now;
}

static inline uint64_t pipe_wall(void *user)
{
    return UINT64_C(1700000000000) + pipe_clock(user) / STOQ_MS;
}

static inline void pipe_entropy(void *user, void *p, size_t n)
{
    struct stoq_prng *r = user;
    for (size_t i = 0; i < n; i++) {
        ((uint8_t *)p)[i] = (uint8_t)stoq_prng_next(r);
    }
}

static inline void pipe_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct pipe_end *e = user;
    (void)info;
    e->conn = conn;
    e->opened++;
}

static inline void pipe_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct pipe_end *e = user;
    (void)conn;
    e->closed++;
    e->why = info->why;
}

static inline void pipe_data(void *user, stoq_net_conn conn, stoq_net_stream stream,
                             struct stoq_span bytes, bool fin)
{
    struct pipe_end *e = user;
    for (size_t i = 0; i < bytes.n; i++) {
        e->hash = (e->hash ^ bytes.p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    }
    e->received += bytes.n;
    e->fin = e->fin || fin;
    if (!e->hoards) {
        stoq_net_consumed(e->net, conn, stream, bytes.n);
    }
}

static inline void pipe_queue(struct net_pipe *pipe, bool to_b, const struct stoq_addr *from,
                              unsigned ecn, const uint8_t *p, size_t n, stoq_ns at)
{
    struct pipe_packet *k = malloc(sizeof *k + n);
    STOQ_ASSERT(k != NULL);
    *k = (struct pipe_packet){.at = at, .ecn = ecn, .from = *from, .n = n};
    memcpy(k->p, p, n);
    struct pipe_packet **to = &pipe->first[to_b];
    if (pipe->last[to_b] != NULL && pipe->last[to_b]->at <= at) {
        to = &pipe->last[to_b]->next; /* the usual case, in long queues too */
    }
    while (*to != NULL && (*to)->at <= at) {
        to = &(*to)->next;
    }
    k->next = *to;
    *to = k;
    if (k->next == NULL) {
        pipe->last[to_b] = k;
    }
}

static inline void pipe_sink(void *user, const struct net_out *out, const uint8_t *p)
{
    struct pipe_end *e = user;
    struct net_pipe *pipe = e->pipe;
    bool to_b = e == &pipe->a;
    struct stoq_addr from = e->net->listeners[0].socket.local;
    from.port = (uint16_t)(from.port + (to_b ? pipe->port_shift : 0));
    for (size_t at = 0; at < out->n; at += out->segment) {
        size_t n = out->n - at < out->segment ? out->n - at : out->segment;
        uint8_t copy[NET_DATAGRAM_BYTES];
        struct pipe_fate fate = {.p = copy, .n = n};
        memcpy(copy, p + at, n);
        pipe->count++;
        int copies = pipe->fate(pipe, to_b, &fate);
        for (int i = 0; i < copies; i++) {
            pipe_queue(pipe, to_b, &from, out->ecn, copy, n, pipe->now + fate.delay[i]);
        }
    }
}

static inline void pipe_end_init(struct net_pipe *pipe, struct pipe_end *e, uint8_t seed,
                                 struct stoq_net_config cfg)
{
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    struct stoq_addr addr;
    memset(bytes, seed, sizeof bytes);
    STOQ_ASSERT(stoq_key_from_seed(&e->key, bytes) == STOQ_OK);
    STOQ_ASSERT(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) == STOQ_OK);
    e->pipe = pipe;
    e->hash = UINT64_C(0xcbf29ce484222325);
    cfg.loop = pipe->loop;
    cfg.key = e->key;
    cfg.user = e;
    cfg.cb.opened = cfg.cb.opened == NULL ? pipe_opened : cfg.cb.opened;
    cfg.cb.closed = pipe_closed;
    cfg.cb.data = cfg.cb.data == NULL ? pipe_data : cfg.cb.data;
    cfg.listen = &addr;
    cfg.listen_count = 1;
    cfg.entropy = pipe_entropy;
    cfg.entropy_user = &pipe->prng;
    STOQ_ASSERT(stoq_net_new(&e->net, &cfg, NULL) == STOQ_OK);
    e->net->clock = pipe_clock;
    e->net->clock_user = pipe;
    e->net->wall = pipe_wall;
    e->net->replay.now.since_ms = pipe_wall(pipe);
    e->net->replay.floor_ms = pipe_wall(pipe);
    e->net->now = pipe->now;
    e->net->tx.sink = pipe_sink;
    e->net->tx.sink_user = e;
    /* The real ports differ from run to run; nothing may depend on them. */
    e->net->listeners[0].socket.local.port = (uint16_t)(1000 * seed);
}

static inline void pipe_init_two(struct net_pipe *pipe, const struct stoq_net_config *a,
                                 const struct stoq_net_config *b, uint64_t seed)
{
    *pipe = (struct net_pipe){.now = 1000 * STOQ_SEC, .prng = stoq_prng(seed)};
    STOQ_ASSERT(stoq_loop_new(&pipe->loop, NULL) == STOQ_OK);
    pipe_end_init(pipe, &pipe->a, 1, *a);
    pipe_end_init(pipe, &pipe->b, 2, *b);
}

static inline void pipe_init(struct net_pipe *pipe, const struct stoq_net_config *cfg,
                             uint64_t seed)
{
    pipe_init_two(pipe, cfg, cfg, seed);
}

static inline void pipe_release(struct net_pipe *pipe)
{
    stoq_net_free(pipe->a.net);
    stoq_net_free(pipe->b.net);
    stoq_key_free(pipe->a.key);
    stoq_key_free(pipe->b.key);
    stoq_loop_free(pipe->loop);
    for (int i = 0; i < 2; i++) {
        while (pipe->first[i] != NULL) {
            struct pipe_packet *k = pipe->first[i];
            pipe->first[i] = k->next;
            free(k);
        }
    }
}

/* Hand over what has arrived on one direction. */
static inline void pipe_deliver(struct net_pipe *pipe, bool to_b)
{
    struct stoq_net *net = to_b ? pipe->b.net : pipe->a.net;
    while (pipe->first[to_b] != NULL && pipe->first[to_b]->at <= pipe->now) {
        struct pipe_packet *k = pipe->first[to_b];
        struct net_datagram d = {.from = k->from,
                                 .to = net->listeners[0].socket.local,
                                 .p = k->p,
                                 .n = k->n,
                                 .segment = k->n,
                                 .ecn = k->ecn};
        pipe->first[to_b] = k->next;
        if (k->next == NULL) {
            pipe->last[to_b] = NULL;
        }
        net_receive(net, &net->listeners[0].socket, &d);
        free(k);
    }
}

static inline stoq_ns pipe_deadline(const struct stoq_net *net)
{
    return TAILQ_EMPTY(&net->dirty) && net->tx.count == 0 ? net_deadline(net) : 0;
}

static inline void pipe_run_deadlines(struct net_pipe *pipe, bool of_b)
{
    net_run_deadlines(of_b ? pipe->b.net : pipe->a.net);
}

static inline void pipe_flush(struct net_pipe *pipe, bool of_b)
{
    net_flush_all(of_b ? pipe->b.net : pipe->a.net);
}

static inline void pipe_work(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b),
                             bool of_b)
{
    work(pipe, of_b);
}

/* One end's work, then the other's. */
static inline void pipe_both(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b))
{
    for (int of_b = 0; of_b < 2; of_b++) {
        (pipe->metered == NULL ? pipe_work : pipe->metered)(pipe, work, of_b != 0);
    }
}

/* Let everything due at the next moment happen; false: nothing is due before until. */
static inline bool pipe_step(struct net_pipe *pipe, stoq_ns until)
{
    stoq_ns next = STOQ_NEVER;
    for (int i = 0; i < 2; i++) {
        if (pipe->first[i] != NULL && pipe->first[i]->at < next) {
            next = pipe->first[i]->at;
        }
    }
    stoq_ns a = pipe_deadline(pipe->a.net);
    stoq_ns b = pipe_deadline(pipe->b.net);
    next = a < next ? a : next;
    next = b < next ? b : next;
    if (next > until) {
        return false;
    }
    pipe->now = next > pipe->now ? next : pipe->now;
    pipe->a.net->now = pipe->now;
    pipe->b.net->now = pipe->now;
    pipe_both(pipe, pipe_deliver);
    pipe_both(pipe, pipe_run_deadlines);
    pipe_both(pipe, pipe_flush);
    return true;
}

/* Run until done says so or ns have passed; true: done. */
static inline bool pipe_run(struct net_pipe *pipe, bool (*done)(struct net_pipe *pipe), stoq_ns ns)
{
    stoq_ns until = pipe->now + ns;
    while (done == NULL || !done(pipe)) {
        if (!pipe_step(pipe, until)) {
            pipe->now = until;
            return done != NULL && done(pipe);
        }
    }
    return true;
}

static inline stoq_net_conn pipe_dial(struct net_pipe *pipe)
{
    struct stoq_peer_id pin = stoq_key_peer_id(pipe->b.key);
    struct stoq_net_dial dial = {.addr = pipe->b.net->listeners[0].socket.local, .pin = &pin};
    stoq_net_conn conn;
    STOQ_ASSERT(stoq_net_dial(pipe->a.net, &dial, &conn) == STOQ_OK);
    return conn;
}

#endif
