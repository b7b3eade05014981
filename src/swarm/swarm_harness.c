#include "swarm/swarm_harness.h"

struct stoq_swarm *new_swarm(enum stoq_swarm_strategy strategy)
{
    struct stoq_swarm *sw;
    struct stoq_swarm_config cfg = {.strategy = strategy};
    assert_int_equal(stoq_swarm_new(&sw, &cfg, 1), STOQ_OK);
    return sw;
}

enum stoq_status add(struct stoq_swarm *sw, uint64_t first, uint32_t count, const uint8_t *have)
{
    uint32_t lengths[STOQ_SWARM_ADD_CHUNKS_MAX + 1];
    for (size_t i = 0; i < STOQ_COUNT(lengths); i++) {
        lengths[i] = CHUNK;
    }
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_ADD, .u.add = {{first, count}, lengths, have}};
    return stoq_swarm_feed(sw, &ev, 1);
}

enum stoq_status add_peer(struct stoq_swarm *sw, stoq_peer peer, bool partial)
{
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PEER_ADD,
                                  .u.peer = {.peer = peer, .partial = partial}};
    return stoq_swarm_feed(sw, &ev, 1);
}

enum stoq_status simple(struct stoq_swarm *sw, enum stoq_swarm_event_kind kind)
{
    struct stoq_swarm_event ev = {.kind = kind};
    return stoq_swarm_feed(sw, &ev, 1);
}

enum stoq_status chunk(struct stoq_swarm *sw, enum stoq_swarm_event_kind kind,
                       stoq_swarm_cookie cookie, uint64_t index, stoq_ns now)
{
    struct stoq_swarm_event ev = {.kind = kind, .u.chunk = {cookie, index, CHUNK, 3}};
    return stoq_swarm_feed(sw, &ev, now);
}

struct stoq_swarm_action expect(struct stoq_swarm *sw, enum stoq_swarm_action_kind kind,
                                stoq_ns now)
{
    struct stoq_swarm_action act;
    do {
        assert_true(stoq_swarm_poll(sw, now, &act));
    } while (act.kind == STOQ_SWARM_NEED_MORE && kind != STOQ_SWARM_NEED_MORE);
    assert_int_equal(act.kind, kind);
    return act;
}

enum stoq_status ended(struct stoq_swarm *sw, stoq_swarm_cookie cookie, enum stoq_status status,
                       stoq_ns now)
{
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_REQUEST_ENDED, .u.ended = {cookie, status}};
    return stoq_swarm_feed(sw, &ev, now);
}

enum stoq_status progress(struct stoq_swarm *sw, stoq_swarm_cookie cookie, uint64_t bytes,
                          stoq_ns now)
{
    struct stoq_swarm_event ev = {.kind = STOQ_SWARM_PROGRESS,
                                  .u.progress = {.cookie = cookie, .bytes = bytes}};
    return stoq_swarm_feed(sw, &ev, now);
}
