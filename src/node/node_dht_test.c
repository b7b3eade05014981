/* What travels between nodes of the DHT, and what a holder makes of it. */
#include "node/node_dht_world_test.h"

#include "sign/object.h"

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

/* Its answer to the lookup brought a token that was none any more when the Store came. */
static void a_token_that_is_over_is_shown_once(void **state)
{
    enum { KEYS = 40 };
    struct stoq_dht_stats stats;
    (void)state;
    sides[1].forgets = true;
    sides[2].strict = true; /* none is ever good */
    for (int i = 0; i < KEYS; i++) {
        feed(&sides[0], (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                                .u.announce.key = {{(uint8_t)i, 7}}});
    }
    run(STOQ_SEC);
    assert_int_equal(keys_held(&sides[1]), KEYS);
    assert_true(sides[1].store_records > KEYS); /* the first message of them twice */
    assert_true(sides[1].store_records < 2 * KEYS);
    assert_int_equal(keys_held(&sides[2]), 0);
    assert_int_equal(sides[2].store_records, 2 * KEYS); /* and no more */
    stoq_dht_stats(stoq_node_dht_core(sides[0].nd), &stats);
    assert_int_equal(stats.own_held, KEYS); /* here, and there */
}

/* What goes by digests likewise. */
static void a_renewal_is_said_again_with_a_new_token(void **state)
{
    (void)state;
    announce(&sides[0]);
    assert_int_equal(keys_held(&sides[1]), 1);
    unsigned stored = sides[1].store_records;
    sides[1].forgets = true;
    run(1860 * STOQ_SEC);
    assert_int_equal(sides[1].renewals, 2);
    assert_int_equal(sides[1].store_records, stored);
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(sides[1].nd), &stats);
    assert_int_equal(stats.renewed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_is_announced_is_found),           CASE(a_record_says_its_value),
        CASE(a_record_that_was_touched_is_refused), CASE(who_was_there_is_remembered),
        CASE(records_outlive_their_providers),      CASE(stores_travel_together),
        CASE(records_of_one_message_stand_alone),   CASE(an_address_is_its_publishers),
        CASE(records_are_renewed_by_their_digests), CASE(a_renewal_that_was_touched_is_refused),
        CASE(a_token_that_is_over_is_shown_once),   CASE(a_renewal_is_said_again_with_a_new_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
