/*
 * Random events against the transfer core, with a naive model beside it: a chunk that was added and
 * not brought is wanted, no other is; nothing is asked of a peer that is gone, or for a chunk
 * that is here. After each step the core recounts itself.
 */
#include "swarm/swarm_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHUNKS 1024
#define PEERS 6
#define COOKIES 64

struct model {
    struct stoq_swarm *sw;
    struct stoq_rd in;
    stoq_ns now;
    uint8_t open[CHUNKS];
    bool peer[PEERS];
    uint32_t cookies;
    struct asked {
        stoq_swarm_cookie cookie;
        struct stoq_range range;
    } asked[COOKIES];
    uint32_t open_count;
    bool ended;
};

static void note_request(struct model *m, const struct stoq_swarm_request *rq)
{
    STOQ_ASSERT(rq->peer < PEERS && m->peer[rq->peer]);
    STOQ_ASSERT(rq->chunk_count >= 1 && rq->chunk_count <= STOQ_SWARM_REQUEST_CHUNKS_MAX);
    uint64_t end = 0;
    for (uint32_t r = 0; r < rq->range_count; r++) {
        STOQ_ASSERT(r == 0 || rq->ranges[r].first > end);
        end = rq->ranges[r].first + rq->ranges[r].count;
        for (uint64_t i = rq->ranges[r].first; i < end; i++) {
            STOQ_ASSERT(i < CHUNKS && m->open[i] == 1);
        }
    }
    m->asked[m->cookies % COOKIES] = (struct asked){rq->cookie, rq->ranges[0]};
    m->cookies++;
}

static void drain(struct model *m)
{
    struct stoq_swarm_action act;
    uint32_t steps = 0;
    while (stoq_swarm_poll(m->sw, m->now, &act)) {
        STOQ_ASSERT(++steps < 10000);
        if (act.kind == STOQ_SWARM_REQUEST) {
            note_request(m, &act.u.request);
        } else if (act.kind == STOQ_SWARM_DONE) {
            STOQ_ASSERT(m->ended && m->open_count == 0);
        } else if (act.kind == STOQ_SWARM_STUCK) {
            STOQ_ASSERT(m->open_count > 0);
        }
    }
    STOQ_ASSERT(stoq_swarm_deadline(m->sw) > m->now);
    stoq_swarm_check(m->sw);
}

static void feed(struct model *m, const struct stoq_swarm_event *ev)
{
    enum stoq_status st = stoq_swarm_feed(m->sw, ev, m->now);
    STOQ_ASSERT(st == STOQ_OK || st == STOQ_RANGE);
}

static void add(struct model *m)
{
    uint32_t lengths[64];
    uint8_t have[8];
    uint64_t first = stoq_rd_u16(&m->in) % (CHUNKS - 64);
    uint32_t count = 1 + stoq_rd_u8(&m->in) % 64;
    memset(have, stoq_rd_u8(&m->in), sizeof have);
    for (uint32_t i = 0; i < count; i++) {
        lengths[i] = 1 + (uint32_t)(first + i) * 200;
    }
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD, .u.add = {{first, count}, lengths, have}};
    if (stoq_swarm_feed(m->sw, &ev, m->now) != STOQ_OK) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if ((have[i / 8] >> (i & 7) & 1) == 0 && m->open[first + i] != 1) {
            m->open[first + i] = 1;
            m->open_count++;
        }
    }
}

static void peer_event(struct model *m)
{
    stoq_peer peer = stoq_rd_u8(&m->in) % PEERS;
    uint8_t how = stoq_rd_u8(&m->in);
    struct stoq_swarm_event ev = {
        .kind = how % 3 == 0 ? STOQ_SWARM_PEER_GONE : STOQ_SWARM_PEER_ADD,
        .u.peer = {.peer = peer,
                   .partial = (how & 8) != 0,
                   .rtt_ns = how * STOQ_MS,
                   .weight = how % 5,
                   .ranges_max = how & 16,
                   .chunks_max = how & 32},
    };
    m->peer[peer] = how % 3 != 0;
    feed(m, &ev);
}

static void has(struct model *m)
{
    uint8_t bits[64];
    memset(bits, stoq_rd_u8(&m->in), sizeof bits);
    struct swarm_run *run;
    uint64_t index = stoq_rd_u16(&m->in) % CHUNKS;
    if (stoq_swarm_find(m->sw, index, &run) != NULL) {
        struct stoq_swarm_event ev = {
            .kind = STOQ_SWARM_PEER_HAS,
            .u.has = {stoq_rd_u8(&m->in) % PEERS, {run->first, run->count}, bits}};
        feed(m, &ev);
    }
}

static void chunk_event(struct model *m)
{
    const struct asked *a = &m->asked[stoq_rd_u8(&m->in) % COOKIES];
    uint8_t what = stoq_rd_u8(&m->in);
    uint64_t index = a->range.first + (a->range.count > 0 ? what % a->range.count : 0);
    struct stoq_swarm_event ev = {.u.chunk = {a->cookie, index, 1000, what % PEERS}};
    ev.kind = what < 200 ? STOQ_SWARM_CHUNK_OK
                         : (what < 240 ? STOQ_SWARM_CHUNK_MISSING : STOQ_SWARM_CHUNK_BAD);
    if (ev.kind == STOQ_SWARM_CHUNK_OK && m->open[index] == 1) {
        STOQ_ASSERT(stoq_swarm_wants(m->sw, index));
        m->open[index] = 2;
        m->open_count--;
    }
    feed(m, &ev);
    STOQ_ASSERT(stoq_swarm_wants(m->sw, index) == (m->open[index] == 1));
}

static void request_event(struct model *m)
{
    const struct asked *a = &m->asked[stoq_rd_u8(&m->in) % COOKIES];
    uint8_t what = stoq_rd_u8(&m->in);
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_REQUEST_ENDED,
                                  .u.ended = {a->cookie, (enum stoq_status) - (what % 15)}};
    if (what > 200) {
        ev = (struct stoq_swarm_event){.kind = STOQ_SWARM_PROGRESS,
                                       .u.progress = {a->cookie, 5000, 0}};
    }
    feed(m, &ev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096) {
        return 0;
    }
    struct model m = {.in = stoq_rd(stoq_span(data, size))};
    uint8_t mode = stoq_rd_u8(&m.in);
    struct stoq_swarm_config cfg = {
        .strategy = (enum stoq_swarm_strategy)(mode % (STOQ_SWARM_FASTEST + 1))};
    STOQ_ASSERT(stoq_swarm_new(&m.sw, &cfg, mode) == STOQ_OK);
    while (m.in.n > 0) {
        uint8_t op = stoq_rd_u8(&m.in);
        m.now += (stoq_ns)(op >> 4) * 40 * STOQ_MS;
        switch (op & 7) {
        case 0:
            add(&m);
            break;
        case 1:
            peer_event(&m);
            break;
        case 2:
            has(&m);
            break;
        case 3:
        case 4:
        case 5:
            chunk_event(&m);
            break;
        case 6:
            request_event(&m);
            break;
        default:
            if (op == 0xff) {
                struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD_END};
                feed(&m, &ev);
                m.ended = true;
            }
        }
        drain(&m);
    }
    stoq_swarm_free(m.sw);
    return 0;
}
