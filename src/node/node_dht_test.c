/*
 * A few nodes of the DHT with their messages, in one process: every call is encoded, decoded, answered and
 * read again, as on the wire, and time is ours.
 */
#include "node/node_dht.h"

#include "sign/object.h"
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
    bool old;  /* it knows none of them */
    bool deaf; /* it hears none of them */
};

static bool by_datagram; /* what exchange brings, does not come over a connection */
static struct side sides[SIDES];
static size_t side_count;
static stoq_ns now;
static struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];

static struct stoq_span value_of(void *user, const struct stoq_hash *key)
{
    (void)key;
    return ((struct side *)user)->says;
}

static struct side *add_side(bool client)
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
                                       .seed = side_count,
                                       .wall_us = WALL_US + now / 1000,
                                       .value = value_of,
                                       .user = s};
    cfg.addresses[0] = s->addr;
    assert_int_equal(stoq_node_dht_new(&s->nd, &cfg, now), STOQ_OK);
    return s;
}

static struct side *side_of(const struct stoq_peer_id *peer)
{
    for (size_t i = 0; i < side_count; i++) {
        if (stoq_hash_eq(&sides[i].peer.h, &peer->h) && !sides[i].gone) {
            return &sides[i];
        }
    }
    return NULL;
}

/* What to answers to this message of from's; false: nothing. *bytes holds what reply borrows. */
static bool exchange(const struct side *from, struct side *to, const struct stoq_message *msg,
                     struct stoq_buf *bytes, struct stoq_message *reply)
{
    struct stoq_buf frame;
    struct stoq_message heard;
    struct stoq_message sent = *msg;
    const struct stoq_node_dht_from at = {.peer = by_datagram ? NULL : &from->peer,
                                          .addr = from->addr,
                                          .proven = true,
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
static void note_store(const struct side *from, struct side *to, const struct stoq_message *msg)
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
static void note_renewal(struct side *to, const struct stoq_message *msg)
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

/* What somebody answers who was there before there were renewals. */
static bool answer_unsupported(struct side *from, const struct side *to,
                               const struct stoq_node_dht_call *c)
{
    const struct stoq_message reply = {.type = STOQ_MSG_ERROR,
                                       .u.error.code = STOQ_ERR_UNSUPPORTED};
    if (c->msg->type != STOQ_MSG_RENEW || !to->old) {
        return false;
    }
    stoq_node_dht_replied(from->nd, c->cookie, STOQ_OK, &reply, NULL, STOQ_MS, now);
    return true;
}

static void call(struct side *from, const struct stoq_node_dht_call *c)
{
    struct side *to = side_of(&c->peer);
    struct stoq_message reply;
    struct stoq_buf bytes;
    uint64_t cookie = c->cookie;
    bool is_there = to != NULL && (memcmp(&to->addr, &c->addr, sizeof to->addr) == 0 ||
                                   memcmp(&to->also, &c->addr, sizeof to->also) == 0);
    if (!is_there) {
        stoq_node_dht_replied(from->nd, cookie, STOQ_TIMEOUT, NULL, NULL, 0, now);
        return;
    }
    if (c->msg->type == STOQ_MSG_STORE) {
        note_store(from, to, c->msg);
    } else if (c->msg->type == STOQ_MSG_RENEW) {
        note_renewal(to, c->msg);
    }
    if (answer_unsupported(from, to, c)) {
        return;
    }
    if (c->msg->type == STOQ_MSG_RENEW && to->deaf) {
        stoq_node_dht_replied(from->nd, cookie, STOQ_TIMEOUT, NULL, NULL, 0, now);
        return;
    }
    bool answered = exchange(from, to, c->msg, &bytes, &reply);
    now += STOQ_MS;
    stoq_node_dht_replied(from->nd, cookie, answered ? STOQ_OK : STOQ_TIMEOUT,
                          answered ? &reply : NULL, NULL, STOQ_MS, now);
    stoq_buf_release(&bytes);
}

static void act(struct side *s, const struct stoq_node_dht_action *a)
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
static void run(stoq_ns time)
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

static uint32_t contacts(const struct side *s)
{
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(s->nd), &stats);
    return stats.contacts;
}

static void feed(struct side *s, struct stoq_dht_event ev)
{
    assert_int_equal(stoq_dht_feed(stoq_node_dht_core(s->nd), &ev, now), STOQ_OK);
}

/* Three nodes, all of whom know each other. */
static int setup(void **state)
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

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < side_count; i++) {
        stoq_node_dht_free(sides[i].nd);
        stoq_key_free(sides[i].key);
    }
    return 0;
}

static const struct stoq_hash key = {{0xab, 0xcd}};

static void announce(struct side *s)
{
    feed(s, (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                    .u.announce = {.key = key, .urgent = true}});
    run(2 * STOQ_SEC);
}

static void look(struct side *s)
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

static void what_is_announced_is_found(void **state)
{
    (void)state;
    struct side *client = add_side(true);
    stoq_node_dht_join(client->nd, &sides[1].peer, &sides[1].addr, now);
    run(STOQ_SEC);
    announce(&sides[0]);
    assert_int_equal(sides[0].announced, 3);
    struct side *const who[] = {&sides[1], &sides[2], client};
    for (size_t i = 0; i < STOQ_COUNT(who); i++) {
        look(who[i]);
        assert_int_equal(who[i]->found, 1);
        assert_true(stoq_hash_eq(&who[i]->provider.h, &sides[0].peer.h));
        assert_int_equal(who[i]->value_n, 0);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(contacts(&sides[i]), 2); /* nobody takes the client for a node */
    }
}

/* A newer word takes the place of the older one, and a withdrawal that of both. */
static void a_record_says_its_value(void **state)
{
    (void)state;
    sides[0].says = stoq_span_str("one");
    announce(&sides[0]);
    look(&sides[2]);
    assert_true(sides[2].found == 1 && sides[2].value_n == 3);
    assert_memory_equal(sides[2].value, "one", 3);
    sides[0].says = stoq_span_str("other");
    announce(&sides[0]);
    look(&sides[2]);
    assert_true(sides[2].found == 1 && sides[2].value_n == 5);
    assert_memory_equal(sides[2].value, "other", 5);
    feed(&sides[0], (struct stoq_dht_event){.kind = STOQ_DHT_WITHDRAW, .u.announce = {.key = key}});
    run(2 * STOQ_SEC);
    look(&sides[2]);
    assert_int_equal(sides[2].found, 0);
}

/* Every byte of a record that somebody passes on is covered by its provider's signature. */
static void a_record_that_was_touched_is_refused(void **state)
{
    (void)state;
    struct stoq_dht_record *held[STOQ_DHT_KEY_RECORDS];
    uint8_t copy[2048];
    unsigned refused = 0;
    sides[0].says = stoq_span_str("word");
    announce(&sides[0]);
    assert_int_equal(stoq_dht_held(stoq_node_dht_core(sides[1].nd), &key, now, held, 1), 1);
    assert_true(held[0]->n <= sizeof copy);
    size_t n = held[0]->n;
    memcpy(copy, held[0]->bytes, n);
    struct side *fresh = add_side(false); /* it holds nothing of that yet */
    for (size_t i = 0; i <= n; i++) {
        struct stoq_span items = stoq_span(copy, n);
        struct stoq_message msg = {.type = STOQ_MSG_STORE};
        struct stoq_contact rec;
        struct stoq_message reply;
        struct stoq_buf bytes;
        copy[i < n ? i : 0] ^= i < n ? 0x01 : 0; /* the last one as it is */
        bool formed = stoq_signed_next(&items, &msg.u.store.record) && items.n == 0 &&
                      stoq_contact_decode(msg.u.store.record.body, &rec) == STOQ_OK && rec.has_key;
        if (formed) {
            bool answered = exchange(&sides[0], fresh, &msg, &bytes, &reply);
            bool taken = answered && reply.type == STOQ_MSG_STORE;
            refused += !taken;
            assert_int_equal(taken, i == n);
            stoq_buf_release(&bytes);
        }
        copy[i < n ? i : 0] ^= i < n ? 0x01 : 0;
    }
    assert_true(refused > 100);
}

static void who_was_there_is_remembered(void **state)
{
    (void)state;
    struct stoq_buf file;
    stoq_buf_init(&file, 65536);
    assert_int_equal(stoq_node_dht_save(sides[2].nd, now, &file), STOQ_OK);
    struct side *again = add_side(false);
    assert_int_equal(stoq_node_dht_load(again->nd, stoq_buf_span(&file), now), 2);
    run(5 * STOQ_SEC);
    assert_true(contacts(again) >= 2);
    file.p[file.n / 2] ^= 1; /* what is damaged is left out */
    struct stoq_node_dht *old = again->nd;
    side_count--;
    struct stoq_key *old_key = again->key;
    again = add_side(false);
    assert_true(stoq_node_dht_load(again->nd, stoq_buf_span(&file), now) < 2);
    stoq_node_dht_free(old);
    stoq_key_free(old_key);
    stoq_buf_release(&file);
}

/* What the dead provided is still told by those who hold it, until its time is over. */
static void records_outlive_their_providers(void **state)
{
    (void)state;
    announce(&sides[0]);
    sides[0].gone = true;
    look(&sides[2]);
    assert_int_equal(sides[2].found, 1);
    run((stoq_ns)STOQ_DHT_TTL_S * STOQ_SEC); /* but no longer than they say */
    look(&sides[2]);
    assert_int_equal(sides[2].found, 0);
}

static void stores_travel_together(void **state)
{
    enum { KEYS = 40 };
    struct stoq_dht_stats stats;
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        feed(&sides[0], (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                                .u.announce.key = {{(uint8_t)i, 7}}});
    }
    run(5 * STOQ_SEC);
    stoq_dht_stats(stoq_node_dht_core(sides[0].nd), &stats);
    assert_int_equal(stats.own_held, KEYS);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(sides[i].store_records, KEYS);
        assert_true(sides[i].store_messages <= KEYS / 4 + 1);
        stoq_dht_stats(stoq_node_dht_core(sides[i].nd), &stats);
        assert_int_equal(stats.records, KEYS);
    }
}

/* Each is answered for; behind one that is forged none is looked at. */
static void records_of_one_message_stand_alone(void **state)
{
    struct stoq_dht_record *held;
    struct stoq_dht_record *other;
    struct stoq_hash second = {{0x11}};
    struct stoq_message reply;
    struct stoq_buf bytes;
    struct stoq_buf more;
    uint8_t forged[2048];
    (void)state;
    announce(&sides[0]);
    feed(&sides[0], (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                            .u.announce = {.key = second, .urgent = true}});
    run(2 * STOQ_SEC);
    struct stoq_dht *core = stoq_node_dht_core(sides[1].nd);
    assert_int_equal(stoq_dht_held(core, &key, now, &held, 1), 1);
    assert_int_equal(stoq_dht_held(core, &second, now, &other, 1), 1);
    memcpy(forged, other->bytes, other->n);
    forged[other->n - 1] ^= 1; /* of its signature */
    for (int is_forged = 0; is_forged < 2; is_forged++) {
        struct side *fresh = add_side(false);
        struct stoq_span items = stoq_span(held->bytes, held->n);
        struct stoq_message msg = {.type = STOQ_MSG_STORE};
        stoq_buf_init(&more, 4096);
        assert_true(stoq_signed_next(&items, &msg.u.store.record));
        assert_int_equal(
            stoq_buf_add(&more, stoq_span(is_forged ? forged : other->bytes, other->n)), STOQ_OK);
        assert_int_equal(stoq_buf_add(&more, stoq_span(held->bytes, held->n)), STOQ_OK);
        msg.u.store.more = (struct stoq_signed_list){2, stoq_buf_span(&more)};
        assert_true(exchange(&sides[0], fresh, &msg, &bytes, &reply));
        assert_true(reply.type == STOQ_MSG_STORE && reply.u.store.kept_count == 3);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(reply.u.store.kept_s[i] > 0, i == 0 || !is_forged);
        }
        stoq_buf_release(&bytes);
        stoq_buf_release(&more);
        stoq_node_dht_free(fresh->nd);
        stoq_key_free(fresh->key);
        side_count--;
    }
}

/* Leave with a holder a record by `by` that names this address. True: the Store was answered for. */
static bool leave(struct side *by, struct side *holder, const struct stoq_node_dht_addr *addr)
{
    static uint64_t sequence = WALL_US;
    struct stoq_hash rpc_key = {{7}};
    struct stoq_contact rec = {.spki = stoq_key_spki(by->key),
                               .addresses = stoq_span(addr, sizeof *addr),
                               .sequence = ++sequence,
                               .issued_at_s = (WALL_US + now / 1000) / 1000000,
                               .ttl_s = 600,
                               .has_rpc_key = true,
                               .rpc_key = rpc_key,
                               .has_key = true,
                               .key = key};
    struct stoq_message msg = {.type = STOQ_MSG_STORE};
    struct stoq_message reply = {0};
    struct stoq_buf body;
    struct stoq_buf record;
    struct stoq_buf bytes;
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    stoq_buf_init(&record, 4096);
    assert_int_equal(stoq_contact_encode(&rec, &body), STOQ_OK);
    assert_int_equal(stoq_object_sign(by->key, STOQ_SIGN_LOCATION, stoq_buf_span(&body), &record),
                     STOQ_OK);
    struct stoq_span items = stoq_buf_span(&record);
    assert_true(stoq_signed_next(&items, &msg.u.store.record));
    bool answered = exchange(by, holder, &msg, &bytes, &reply);
    stoq_buf_release(&bytes);
    stoq_buf_release(&record);
    stoq_buf_release(&body);
    return answered && reply.type == STOQ_MSG_STORE;
}

/* Is the last record that was left told to others? */
static bool is_told(const struct side *holder, const struct stoq_node_dht_addr *addr)
{
    struct stoq_dht_record *held;
    struct stoq_contact rec;
    struct stoq_signed s;
    if (stoq_dht_held(stoq_node_dht_core(holder->nd), &key, now, &held, 1) == 0) {
        return false;
    }
    struct stoq_span items = stoq_span(held->bytes, held->n);
    assert_true(stoq_signed_next(&items, &s));
    assert_int_equal(stoq_contact_decode(s.body, &rec), STOQ_OK);
    return memcmp(rec.addresses.p, addr, sizeof *addr) == 0;
}

/* Whoever signs a record shows who he is, and not where: not over a connection either. An address at which he
 * is not seen is pinged, sealed to him, before anybody is told of it; and his own, before, is told on. */
static void an_address_is_its_publishers(void **state)
{
    struct side *by = &sides[0];
    struct side *holder = &sides[1];
    struct stoq_dht_stats stats;
    struct stoq_node_dht_addr nobodys = by->addr;
    struct stoq_node_dht_addr private = by->addr;
    unsigned not_there = 0;
    (void)state;
    memcpy(nobodys.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 9, 9, 9}, 16);
    memcpy(private.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 9, 9, 9}, 16);
    sides[2].addr.b[15] = 1;
    memcpy(sides[2].also.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 2, 2, 2}, 16);
    memcpy(by->also.b, (uint8_t[]){0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 1, 1, 1}, 16);
    const struct stoq_node_dht_addr wrong[] = {nobodys, sides[2].also, private};
    for (int way = 0; way < 2; way++) {
        by_datagram = way == 1;
        assert_true(leave(by, holder, &by->addr));
        assert_true(is_told(holder, &by->addr)); /* at once: he is seen there */
        for (size_t i = 0; i < STOQ_COUNT(wrong); i++) {
            assert_true(leave(by, holder, &wrong[i]));
            assert_true(is_told(holder, &by->addr));
            run(3 * STOQ_SEC);
            assert_true(is_told(holder, &by->addr));
            stoq_dht_stats(stoq_node_dht_core(holder->nd), &stats);
            assert_int_equal(stats.refused[STOQ_DHT_NOT_THERE], ++not_there);
        }
        assert_true(leave(by, holder, &by->also));
        assert_false(is_told(holder, &by->also));
        run(3 * STOQ_SEC);
        assert_true(is_told(holder, &by->also)); /* he has answered there */
    }
    by_datagram = false;
}

static unsigned keys_held(const struct side *s)
{
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(s->nd), &stats);
    return stats.records;
}

/* Rounds go by digests, signed; who has lost them gets them whole, and so does who knows no renewals. */
static void records_are_renewed_by_their_digests(void **state)
{
    enum { KEYS = 150 };
    (void)state;
    sides[2].old = true;
    sides[0].says = stoq_span_str("word");
    for (int i = 0; i < KEYS; i++) {
        feed(&sides[0], (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                                .u.announce.key = {{(uint8_t)i, 7}}});
    }
    run(10 * STOQ_SEC);
    unsigned first = sides[1].store_records;
    unsigned old = sides[2].store_records;
    assert_int_equal(keys_held(&sides[1]), KEYS);
    run(3 * 3600 * STOQ_SEC); /* six rounds, of which one is enough to know */
    assert_int_equal(sides[1].store_records, first);
    assert_true(sides[1].renewals >= 2 * 5 && sides[1].renewals <= 2 * 8);
    assert_int_equal(sides[2].renewals, 2); /* it was asked once, with both messages of a round */
    assert_true(sides[2].store_records >= old + 5 * KEYS);
    assert_int_equal(keys_held(&sides[1]), KEYS);
    assert_int_equal(keys_held(&sides[2]), KEYS);
    struct side *fresh = add_side(false); /* it has none of them */
    stoq_node_dht_join(fresh->nd, &sides[1].peer, &sides[1].addr, now);
    run(3600 * STOQ_SEC);
    assert_int_equal(keys_held(fresh), KEYS);
    assert_true(fresh->renewals >= 2);
}

/* Every byte of a renewal is covered by the signature of who it says it is, and it is for one holder. */
static void a_renewal_that_was_touched_is_refused(void **state)
{
    struct stoq_dht_stats before;
    struct stoq_dht_stats after;
    struct stoq_message reply;
    struct stoq_buf bytes;
    unsigned refused = 0;
    (void)state;
    announce(&sides[0]);
    sides[1].deaf = true; /* so that there is something to keep on */
    run(1860 * STOQ_SEC);
    assert_true(sides[1].renewals >= 1);
    uint8_t *copy = sides[1].renewal;
    struct stoq_span items = stoq_span(copy, sides[1].renewal_n);
    struct stoq_message msg = {.type = STOQ_MSG_RENEW};
    assert_true(stoq_signed_next(&items, &msg.u.renew.renewal));
    now = now - now % STOQ_SEC;
    stoq_dht_stats(stoq_node_dht_core(sides[1].nd), &before);
    for (size_t i = 0; i < sides[1].renewal_n; i++) {
        struct stoq_renewal rec;
        copy[i] ^= 1;
        items = stoq_span(copy, sides[1].renewal_n);
        bool formed = stoq_signed_next(&items, &msg.u.renew.renewal) && items.n == 0 &&
                      stoq_renewal_decode(msg.u.renew.renewal.body, &rec) == STOQ_OK;
        if (formed) {
            bool answered = exchange(&sides[0], &sides[1], &msg, &bytes, &reply);
            /* Another signer, or another digest: there is none such here. */
            bool none = answered && reply.type == STOQ_MSG_RENEW && reply.u.renew.kept.p[0] == 0;
            assert_true(none || (answered && reply.type == STOQ_MSG_ERROR));
            refused++;
            stoq_buf_release(&bytes);
        }
        copy[i] ^= 1;
    }
    assert_true(refused > 100);
    stoq_dht_stats(stoq_node_dht_core(sides[1].nd), &after);
    assert_int_equal(after.renewed, before.renewed);
    items = stoq_span(copy, sides[1].renewal_n);
    assert_true(stoq_signed_next(&items, &msg.u.renew.renewal));
    assert_true(exchange(&sides[0], &sides[2], &msg, &bytes, &reply)); /* to another holder */
    assert_int_equal(reply.type, STOQ_MSG_ERROR);
    assert_int_equal(reply.u.error.code, STOQ_ERR_SIGNATURE_REJECTED);
    stoq_buf_release(&bytes);
    stoq_dht_stats(stoq_node_dht_core(sides[2].nd), &after);
    assert_int_equal(after.refused[STOQ_DHT_NOT_TO_US], 1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_announced_is_found),           CASE(a_record_says_its_value),
        CASE(a_record_that_was_touched_is_refused), CASE(who_was_there_is_remembered),
        CASE(records_outlive_their_providers),      CASE(stores_travel_together),
        CASE(records_of_one_message_stand_alone),   CASE(an_address_is_its_publishers),
        CASE(records_are_renewed_by_their_digests), CASE(a_renewal_that_was_touched_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
