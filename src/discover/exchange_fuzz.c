/*
 * Random connections, records and times against the exchange, with two rules of its own checked after each
 * step: no dial goes to an address that is not shared with whoever told of it, and nothing grows past its
 * cap. Peers and addresses are few, so that they meet often.
 */
#include "discover/exchange.h"

#include "base/ip.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PEERS 24

struct model {
    struct stoq_exchange *x;
    struct stoq_rd in;
    stoq_ns now;
    bool up[PEERS];
    struct stoq_exchange_addr at[PEERS];
    bool has_told_loopback; /* somebody on loopback has told of a loopback address */
};

static struct stoq_peer_id id_of(unsigned n)
{
    return (struct stoq_peer_id){{{(uint8_t)n}}};
}

static unsigned draw_peer(struct model *m)
{
    return stoq_rd_u8(&m->in) % PEERS;
}

static struct stoq_exchange_addr draw_addr(struct model *m)
{
    static const uint8_t nets[8][3] = {{127, 0, 0}, {10, 0, 0},  {192, 168, 1}, {20, 0, 0},
                                       {20, 0, 1},  {224, 0, 0}, {169, 254, 1}, {100, 64, 0}};
    struct stoq_exchange_addr a = {{[10] = 0xff, [11] = 0xff}};
    uint8_t draw = stoq_rd_u8(&m->in);
    memcpy(a.b + 12, nets[draw % 8], 3);
    a.b[15] = draw >> 3;
    a.b[16] = draw % 5; /* some have no port */
    return a;
}

static void connect(struct model *m)
{
    unsigned n = draw_peer(m);
    struct stoq_exchange_link link = {.peer = id_of(n), .addr = draw_addr(m)};
    uint8_t how = stoq_rd_u8(&m->in);
    link.dialled = how & 1;
    link.site = (enum stoq_exchange_site)(how >> 1) % 3;
    stoq_exchange_up(m->x, &link, m->now);
    m->up[n] = true;
    m->at[n] = link.addr;
}

static void tell(struct model *m)
{
    unsigned from = draw_peer(m);
    struct stoq_peer_id sender = id_of(from);
    struct stoq_exchange_addr list[STOQ_EXCHANGE_ADDRS_MAX];
    uint8_t how = stoq_rd_u8(&m->in);
    size_t count = how % (STOQ_EXCHANGE_ADDRS_MAX + 1);
    struct stoq_exchange_record rec = {.peer = id_of(draw_peer(m)),
                                       .addresses = stoq_span(list, count * sizeof list[0]),
                                       .sequence = stoq_rd_u8(&m->in),
                                       .ttl_ns = (stoq_ns)(how >> 4) * 600 * STOQ_SEC,
                                       .bytes = stoq_span(&rec.sequence, sizeof rec.sequence)};
    for (size_t i = 0; i < count; i++) {
        list[i] = draw_addr(m);
    }
    if (stoq_exchange_judge(m->x, &sender, &rec, m->now) == STOQ_EXCHANGE_WANTED) {
        STOQ_ASSERT(m->up[from]);
        for (size_t i = 0; i < count; i++) {
            m->has_told_loopback |= stoq_ip_scope(m->at[from].b) == STOQ_IP_LOOPBACK &&
                                    stoq_ip_scope(list[i].b) == STOQ_IP_LOOPBACK;
        }
        STOQ_ASSERT(stoq_exchange_take(m->x, &sender, &rec, m->now) == STOQ_OK);
    }
}

static void run(struct model *m)
{
    struct stoq_exchange_action a;
    unsigned dials = 0;
    while (stoq_exchange_poll(m->x, m->now, &a)) {
        STOQ_ASSERT(a.kind == STOQ_EXCHANGE_ASK || ++dials <= STOQ_EXCHANGE_DIALS_MAX);
        for (uint32_t i = 0; i < a.addr_count; i++) {
            enum stoq_ip_scope scope = stoq_ip_scope(a.addrs[i].b);
            STOQ_ASSERT(scope != STOQ_IP_NOWHERE && scope != STOQ_IP_LINK);
            STOQ_ASSERT(scope != STOQ_IP_LOOPBACK || m->has_told_loopback);
            STOQ_ASSERT(a.addrs[i].b[16] != 0);
        }
        STOQ_ASSERT(a.kind != STOQ_EXCHANGE_DIAL || a.addr_count > 0);
    }
    STOQ_ASSERT(stoq_exchange_deadline(m->x) > m->now);
}

static void step(struct model *m)
{
    struct stoq_span out[4];
    uint8_t op = stoq_rd_u8(&m->in);
    unsigned n = op < 160 ? 0 : draw_peer(m);
    struct stoq_peer_id id = id_of(n);
    switch (op % 8) {
    case 0:
    case 1:
        connect(m);
        break;
    case 2:
    case 3:
        tell(m);
        break;
    case 4:
        stoq_exchange_down(m->x, &id, m->now);
        m->up[n] = false;
        break;
    case 5:
        stoq_exchange_unreachable(m->x, &id, m->now);
        break;
    case 6:
        m->now += (stoq_ns)stoq_rd_u8(&m->in) * 30 * STOQ_SEC;
        break;
    default:
        if (op >= 250) {
            stoq_exchange_forged(m->x, &id);
        }
        STOQ_ASSERT(stoq_exchange_pick(m->x, &id, out, STOQ_COUNT(out), m->now) <= STOQ_COUNT(out));
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model m = {.in = stoq_rd(stoq_span(data, size)), .now = STOQ_SEC};
    struct stoq_exchange_config cfg = {.self = id_of(0), .seed = size};
    struct stoq_exchange_stats stats;
    STOQ_ASSERT(stoq_exchange_new(&m.x, &cfg) == STOQ_OK);
    while (!m.in.bad && m.in.n > 0) {
        step(&m);
        run(&m);
        stoq_exchange_stats(m.x, m.now, &stats);
        STOQ_ASSERT(stats.known < PEERS && stats.met <= stats.known);
    }
    stoq_exchange_free(m.x);
    return 0;
}
