#ifndef STOQ_NODE_NODE_DHT_WORLD_TEST_H
#define STOQ_NODE_NODE_DHT_WORLD_TEST_H
/*
 * For tests: a few nodes of the DHT with their messages, in one process: every call is encoded, decoded,
 * answered and read again, as on the wire, and time is ours.
 */
#include "node/node_dht.h"

#include "wire/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIDES 4
#define WALL_US (UINT64_C(1800000000) * 1000000)
#define BITS 2

struct side {
    struct stoq_key *key;
    struct stoq_peer_id peer;
    struct stoq_node_dht_addr addr;
    struct stoq_node_dht_addr also; /* it answers there, too */
    struct stoq_node_dht *nd;
    struct stoq_span says; /* under any key of its own */
    bool gone;
    /* What its last lookup told. */
    unsigned found;
    struct stoq_peer_id provider;
    uint8_t value[STOQ_CONTACT_VALUE_MAX];
    size_t value_n;
    bool looked;
    unsigned announced; /* holders of what it announced last */
    /* Messages of Store that came to it, their records, and when the last of each sender did. */
    unsigned store_messages;
    unsigned store_records;
    stoq_ns store_at[SIDES];
    unsigned renewals;     /* messages of Renew likewise */
    uint8_t renewal[2048]; /* the last of them: body and signature, a list of one */
    size_t renewal_n;
    unsigned patches;         /* messages of Patch likewise */
    unsigned patched_records; /* in them */
    uint8_t patch[2048];      /* the last of them, as CBOR */
    size_t patch_n;
    bool old;        /* it knows no renewals */
    bool old_patch;  /* it knows no patches */
    bool deaf;       /* it hears no renewals */
    bool deaf_patch; /* it hears no patches */
    /* Calls come to it in datagrams, with a token that it forgets after each Find that it answers, or
     * (strict) before each call of any kind. */
    bool forgets;
    bool strict;
    uint8_t token;
};

static uint32_t signed_s; /* what records are signed for, of sides added from then on */
static bool by_datagram;  /* what exchange brings, does not come over a connection ... */
static bool is_unproven;  /* ... and with no token that is good */
static struct side sides[SIDES];
static size_t side_count;
static stoq_ns now;
static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];

static inline struct stoq_span value_of(void *user, const struct stoq_hash *key)
{
    (void)key;
    return ((struct side *)user)->says;
}

static inline struct side *add_side(bool client)
{
    struct side *s = &sides[side_count];
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {(uint8_t)++side_count};
    uint8_t rpc_key[32] = {(uint8_t)side_count};
    memset(s, 0, sizeof *s);
    assert_int_equal(stoq_key_from_seed(&s->key, seed), STOQ_OK);
    s->peer = stoq_key_peer_id(s->key);
    s->addr.b[15] = 1; /* [::1] */
    s->addr.b[16] = (uint8_t)side_count;
    s->addr.b[17] = 0x40;
    s->also = s->addr;
    struct stoq_dht_search search = {.rules = {1, BITS}, .peer = s->peer};
    while (!stoq_dht_search_run(&search, 1000)) {
    }
    struct stoq_node_dht_config cfg = {.key = s->key,
                                       .rules = search.rules,
                                       .nonce = search.nonce,
                                       .client = client,
                                       .rpc_key = client ? NULL : rpc_key,
                                       .address_count = client ? 0 : 1,
                                       .signed_s = signed_s,
                                       .seed = side_count,
                                       .wall_us = WALL_US + now / 1000,
                                       .value = value_of,
                                       .user = s};
    cfg.addresses[0] = s->addr;
    assert_int_equal(stoq_node_dht_new(&s->nd, &cfg, now), STOQ_OK);
    return s;
}

static inline struct side *side_of(const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < side_count; i++) {
        if (stoq_hash_eq(&sides[i].peer.h, &peer->h) && !sides[i].gone) {
            return &sides[i];
        }
    }
    return NULL;
}

/* What to answers to this message of from's; false: nothing. *bytes holds what reply borrows. */
static inline bool exchange(const struct side *from, struct side *to,
                            const struct stoq_message *msg, struct stoq_buf *bytes,
                            struct stoq_message *reply)
{
    struct stoq_buf frame;
    struct stoq_message heard;
    struct stoq_message sent = *msg;
    const struct stoq_node_dht_from at = {.peer = by_datagram ? NULL : &from->peer,
                                          .addr = from->addr,
                                          .proven = !is_unproven,
                                          .room = STOQ_FRAME_BYTES_MAX};
    sent.request_id = 7;
    *reply = (struct stoq_message){.request_id = 0};
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    stoq_buf_init(bytes, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    assert_int_equal(stoq_message_encode(&sent, &frame), STOQ_OK);
    struct stoq_span cbor =
        stoq_span(frame.p + STOQ_FRAME_HEAD_BYTES, frame.n - STOQ_FRAME_HEAD_BYTES);
    assert_int_equal(stoq_message_decode(cbor, ranges, &heard), STOQ_OK);
    bool answered = stoq_node_dht_answer(to->nd, &heard, &at, bytes, now) == STOQ_OK;
    if (answered) {
        cbor = stoq_span(bytes->p + STOQ_FRAME_HEAD_BYTES, bytes->n - STOQ_FRAME_HEAD_BYTES);
        assert_int_equal(stoq_message_decode(cbor, ranges, reply), STOQ_OK);
        assert_int_equal(reply->request_id, 7);
    }
    stoq_buf_release(&frame);
    return answered;
}

/* A Store fits a datagram, and there are not too many of them. */
static inline void note_store(const struct side *from, struct side *to,
                              const struct stoq_message *msg)
{
    stoq_ns *last = &to->store_at[from - sides];
    struct stoq_buf frame;
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    assert_int_equal(stoq_message_encode(msg, &frame), STOQ_OK);
    assert_true(frame.n - STOQ_FRAME_HEAD_BYTES <= 1125);
    stoq_buf_release(&frame);
    assert_true(*last == 0 || now >= *last + 10 * STOQ_MS);
    *last = now;
    to->store_messages++;
    to->store_records += 1 + msg->u.store.more.count;
}

/* It fits a datagram too. */
static inline void note_renewal(struct side *to, const struct stoq_message *msg)
{
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, sizeof to->renewal);
    assert_int_equal(stoq_signed_put(&msg->u.renew.renewal, &bytes), STOQ_OK);
    assert_true(bytes.n + 16 <= 1125);
    memcpy(to->renewal, bytes.p, bytes.n);
    to->renewal_n = bytes.n;
    to->renewals++;
    stoq_buf_release(&bytes);
}

/* Likewise. */
static inline void note_patch(struct side *to, const struct stoq_message *msg)
{
    struct stoq_message sent = *msg;
    struct stoq_buf frame;
    sent.request_id = UINT64_MAX;
    stoq_buf_init(&frame, sizeof to->patch);
    assert_int_equal(stoq_message_encode(&sent, &frame), STOQ_OK);
    to->patch_n = frame.n - STOQ_FRAME_HEAD_BYTES;
    assert_true(to->patch_n <= 1125);
    memcpy(to->patch, frame.p + STOQ_FRAME_HEAD_BYTES, to->patch_n);
    to->patches++;
    to->patched_records += (unsigned)(msg->u.patch.patches.n / STOQ_PATCH_BYTES);
    stoq_buf_release(&frame);
}

/* What somebody answers who was there before there were renewals, or patches. */
static inline bool answer_unsupported(struct side *from, const struct side *to,
                                      const struct stoq_node_dht_call *c)
{
    const struct stoq_message reply = {.type = STOQ_MSG_ERROR,
                                       .u.error.code = STOQ_ERR_UNSUPPORTED};
    bool known = c->msg->type == STOQ_MSG_RENEW   ? !to->old
                 : c->msg->type == STOQ_MSG_PATCH ? !to->old_patch
                                                  : true;
    if (known) {
        return false;
    }
    stoq_node_dht_replied(from->nd, c->cookie, STOQ_OK, &reply, NULL, STOQ_MS, now);
    return true;
}

static inline void call(struct side *from, const struct stoq_node_dht_call *c)
{
    struct side *to = side_of(&c->peer);
    struct stoq_message reply;
    struct stoq_buf bytes;
    uint64_t cookie = c->cookie;
    bool is_there = to != NULL && (memcmp(&to->addr, &c->addr, sizeof to->addr) == 0 ||
                                   memcmp(&to->also, &c->addr, sizeof to->also) == 0);
    assert_true(c->rpc_key == NULL || c->resend_ns >= STOQ_DHT_RESEND);
    if (!is_there) {
        stoq_node_dht_replied(from->nd, cookie, STOQ_TIMEOUT, NULL, NULL, 0, now);
        return;
    }
    if (c->msg->type == STOQ_MSG_STORE) {
        note_store(from, to, c->msg);
    } else if (c->msg->type == STOQ_MSG_RENEW) {
        note_renewal(to, c->msg);
    } else if (c->msg->type == STOQ_MSG_PATCH) {
        note_patch(to, c->msg);
    }
    if (answer_unsupported(from, to, c)) {
        return;
    }
    if ((c->msg->type == STOQ_MSG_RENEW && to->deaf) ||
        (c->msg->type == STOQ_MSG_PATCH && to->deaf_patch)) {
        stoq_node_dht_replied(from->nd, cookie, STOQ_TIMEOUT, NULL, NULL, 0, now);
        return;
    }
    bool is_find = c->msg->type == STOQ_MSG_FIND_NODE || c->msg->type == STOQ_MSG_FIND_VALUE;
    bool by_before = by_datagram;
    to->token = (uint8_t)(to->token + to->strict);
    uint8_t token[STOQ_NODE_DHT_TOKEN_BYTES] = {to->token};
    by_datagram = by_datagram || to->forgets || to->strict;
    is_unproven = (to->forgets || to->strict) &&
                  (c->token == NULL || memcmp(c->token, token, sizeof token) != 0);
    bool answered = exchange(from, to, c->msg, &bytes, &reply);
    by_datagram = by_before;
    is_unproven = false;
    to->token = (uint8_t)(to->token + (to->forgets && is_find));
    now += STOQ_MS;
    stoq_node_dht_replied(from->nd, cookie, answered ? STOQ_OK : STOQ_TIMEOUT,
                          answered ? &reply : NULL, to->forgets || to->strict ? token : NULL,
                          STOQ_MS, now);
    stoq_buf_release(&bytes);
}

static inline void act(struct side *s, const struct stoq_node_dht_action *a)
{
    switch (a->kind) {
    case STOQ_NODE_DHT_CALL:
        call(s, &a->u.call);
        break;
    case STOQ_NODE_DHT_FOUND:
        s->found++;
        s->provider = a->u.found.peer;
        s->value_n = a->u.found.value.n;
        if (s->value_n > 0) {
            memcpy(s->value, a->u.found.value.p, s->value_n);
        }
        break;
    case STOQ_NODE_DHT_LOOKED:
        s->looked = true;
        break;
    case STOQ_NODE_DHT_ANNOUNCED:
        s->announced = a->u.announced.got;
        break;
    case STOQ_NODE_DHT_TRACE:
        break;
    }
}

/* Let everybody do what is to be done until so much time has passed. */
static inline void run(stoq_ns time)
{
    stoq_ns end = now + time;
    struct stoq_node_dht_action a;
    while (now < end) {
        for (size_t i = 0; i < side_count; i++) {
            while (!sides[i].gone && stoq_node_dht_poll(sides[i].nd, now, &a)) {
                act(&sides[i], &a);
            }
        }
        now += time > 60 * STOQ_SEC ? STOQ_SEC : 10 * STOQ_MS;
    }
}

static inline uint32_t contacts(const struct side *s)
{
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(s->nd), &stats);
    return stats.contacts;
}

static inline void feed(struct side *s, struct stoq_dht_event ev)
{
    assert_int_equal(stoq_dht_feed(stoq_node_dht_core(s->nd), &ev, now), STOQ_OK);
}

/* Three nodes, all of whom know each other. */
static inline int setup(void **state)
{
    (void)state;
    now = STOQ_SEC;
    side_count = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct side *s = add_side(false);
        if (i > 0) {
            stoq_node_dht_join(s->nd, &sides[i - 1].peer, &sides[i - 1].addr, now);
        }
        run(STOQ_SEC);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(contacts(&sides[i]), 2);
    }
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < side_count; i++) {
        stoq_node_dht_free(sides[i].nd);
        stoq_key_free(sides[i].key);
    }
    return 0;
}

static const struct stoq_hash key = {{0xab, 0xcd}};

static inline void announce(struct side *s)
{
    feed(s, (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                    .u.announce = {.key = key, .urgent = true}});
    run(2 * STOQ_SEC);
}

static inline void look(struct side *s)
{
    static uint32_t number;
    s->found = 0;
    s->looked = false;
    s->value_n = 0;
    feed(s, (struct stoq_dht_event){
                .kind = STOQ_DHT_LOOK,
                .u.look = {.look = ++number, .target = key, .value = true, .deep = true}});
    run(5 * STOQ_SEC);
    assert_true(s->looked);
}

static inline unsigned keys_held(const struct side *s)
{
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(s->nd), &stats);
    return stats.records;
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

#endif
