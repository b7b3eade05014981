/*
 * Two nodes of the DHT and a path between them that the input controls: it lets messages through, drops them,
 * turns bits of requests and answers, or says something else. Whatever comes, nobody is taken for a node who
 * has no record that holds, and what is found was said by who is named.
 */
#include "node/node_dht.h"

#include "wire/frame.h"

#include <string.h>

#define STEPS_MAX 400
#define WALL_US (UINT64_C(1800000000) * 1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct end {
    struct stoq_key *key;
    struct stoq_peer_id peer;
    struct stoq_node_dht_addr addr;
    struct stoq_node_dht *nd;
};

struct world {
    struct end end[2];
    struct stoq_rd in;
    stoq_ns now;
    uint32_t looks;
};

static const struct stoq_hash key = {{0xab, 0xcd}};
static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];

static struct stoq_span value_of(void *user, const struct stoq_hash *asked)
{
    const struct end *e = user;
    (void)asked;
    return stoq_span(e->peer.h.b, 8); /* who says it */
}

static void begin(struct world *w, unsigned i)
{
    struct end *e = &w->end[i];
    const uint8_t seed[STOQ_KEY_SEED_BYTES] = {(uint8_t)(i + 1)};
    const uint8_t rpc_key[32] = {(uint8_t)(i + 1)};
    STOQ_ASSERT(stoq_key_from_seed(&e->key, seed) == STOQ_OK);
    e->peer = stoq_key_peer_id(e->key);
    e->addr = (struct stoq_node_dht_addr){{[15] = 1, [16] = (uint8_t)(i + 1), [17] = 0x40}};
    const struct stoq_node_dht_config cfg = {.key = e->key,
                                             .rules = {1, 0},
                                             .rpc_key = rpc_key,
                                             .addresses = {e->addr},
                                             .address_count = 1,
                                             .seed = i + 1,
                                             .wall_us = WALL_US,
                                             .value = value_of,
                                             .user = e};
    STOQ_ASSERT(stoq_node_dht_new(&e->nd, &cfg, w->now) == STOQ_OK);
}

/* What becomes of these bytes on the way. False: they are lost. */
static bool carry(struct world *w, struct stoq_buf *frame)
{
    uint8_t how = stoq_rd_u8(&w->in);
    uint8_t *cbor = frame->p + STOQ_FRAME_HEAD_BYTES;
    size_t n = frame->n - STOQ_FRAME_HEAD_BYTES;
    if (how >= 232) {
        return false;
    }
    if (how >= 200) { /* something else */
        struct stoq_span other = stoq_rd_bytes(&w->in, how - 190u);
        memcpy(cbor, other.p == NULL ? cbor : other.p, other.n < n ? other.n : n);
    } else if (how >= 100) {
        cbor[stoq_rd_u16(&w->in) % n] ^= (uint8_t)(how & 0x7f) | 1;
    }
    return true;
}

static struct stoq_span cbor_of(const struct stoq_buf *frame)
{
    return stoq_span(frame->p + STOQ_FRAME_HEAD_BYTES, frame->n - STOQ_FRAME_HEAD_BYTES);
}

static void call(struct world *w, unsigned from, const struct stoq_node_dht_call *c)
{
    struct end *me = &w->end[from];
    struct end *other = &w->end[1 - from];
    struct stoq_message msg = *c->msg;
    struct stoq_message heard;
    struct stoq_buf out;
    struct stoq_buf back;
    uint64_t cookie = c->cookie;
    const struct stoq_node_dht_from at = {
        .peer = &me->peer, .addr = me->addr, .proven = true, .room = STOQ_FRAME_BYTES_MAX};
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    stoq_buf_init(&back, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    bool good = stoq_hash_eq(&c->peer.h, &other->peer.h) &&
                stoq_message_encode(&msg, &out) == STOQ_OK && carry(w, &out) &&
                stoq_message_decode(cbor_of(&out), ranges, &heard) == STOQ_OK &&
                stoq_node_dht_answer(other->nd, &heard, &at, &back, w->now) == STOQ_OK &&
                carry(w, &back) && stoq_message_decode(cbor_of(&back), ranges, &heard) == STOQ_OK;
    w->now += STOQ_MS;
    stoq_node_dht_replied(me->nd, cookie, good ? STOQ_OK : STOQ_TIMEOUT, good ? &heard : NULL, NULL,
                          STOQ_MS, w->now);
    stoq_buf_release(&out);
    stoq_buf_release(&back);
}

/* Somebody is named: one of the two, and that is what they say. */
static void check_found(const struct world *w, const struct stoq_node_dht_found *f)
{
    bool one = stoq_hash_eq(&f->peer.h, &w->end[0].peer.h);
    STOQ_ASSERT(one || stoq_hash_eq(&f->peer.h, &w->end[1].peer.h));
    STOQ_ASSERT(f->value.n == 8 && memcmp(f->value.p, f->peer.h.b, 8) == 0);
    STOQ_ASSERT(f->address_count == 1 &&
                memcmp(&f->addresses[0], &w->end[one ? 0 : 1].addr, sizeof f->addresses[0]) == 0);
}

static void poll_all(struct world *w)
{
    struct stoq_node_dht_action a;
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned n = 0; n < STEPS_MAX && stoq_node_dht_poll(w->end[i].nd, w->now, &a); n++) {
            if (a.kind == STOQ_NODE_DHT_CALL) {
                call(w, i, &a.u.call);
            } else if (a.kind == STOQ_NODE_DHT_FOUND) {
                check_found(w, &a.u.found);
            }
        }
        struct stoq_dht_stats stats;
        stoq_dht_stats(stoq_node_dht_core(w->end[i].nd), &stats);
        STOQ_ASSERT(stats.contacts <= 1);
    }
}

/* What the input wants one of them to do. */
static void step(struct world *w)
{
    uint8_t what = stoq_rd_u8(&w->in);
    struct end *e = &w->end[what & 1];
    const struct end *other = &w->end[1 - (what & 1)];
    struct stoq_dht_event ev = {.kind = STOQ_DHT_ANNOUNCE, .u.announce = {key, .urgent = true}};
    switch (what >> 1 & 7) {
    case 0:
        stoq_node_dht_join(e->nd, &other->peer, &other->addr, w->now);
        return;
    case 1:
        break;
    case 2:
        ev.kind = STOQ_DHT_WITHDRAW;
        break;
    case 3: {
        size_t n = stoq_rd_u8(&w->in);
        (void)stoq_node_dht_load(e->nd, stoq_rd_bytes(&w->in, n), w->now);
        return;
    }
    case 4:
        w->now += (stoq_ns)stoq_rd_u16(&w->in) * STOQ_SEC;
        return;
    default:
        ev.kind = STOQ_DHT_LOOK;
        ev.u.look = (struct stoq_dht_look){.look = ++w->looks, .target = key, .value = true};
        break;
    }
    (void)!stoq_dht_feed(stoq_node_dht_core(e->nd), &ev, w->now); /* full: it is not taken in */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.in = stoq_rd(stoq_span(data, size)), .now = STOQ_SEC};
    begin(&w, 0);
    begin(&w, 1);
    for (unsigned i = 0; i < STEPS_MAX && w.in.n > 0 && !w.in.bad; i++) {
        step(&w);
        w.now += 10 * STOQ_MS;
        poll_all(&w);
    }
    for (unsigned i = 0; i < 2; i++) {
        stoq_node_dht_free(w.end[i].nd);
        stoq_key_free(w.end[i].key);
    }
    return 0;
}
