/* Records that are signed anew: what travels, and that a holder takes nothing that their provider has not
 * signed. */
#include "node/node_dht_world_test.h"

#define SHORT_S 1200 /* signed for so long, a record is signed anew before half of that is over */

static int setup_short(void **state)
{
    signed_s = SHORT_S;
    return setup(state);
}

static int teardown_short(void **state)
{
    signed_s = 0;
    by_datagram = false;
    return teardown(state);
}

static struct stoq_dht_stats stats_of(const struct side *s)
{
    struct stoq_dht_stats stats;
    stoq_dht_stats(stoq_node_dht_core(s->nd), &stats);
    return stats;
}

static void announce_keys(struct side *s, int count)
{
    for (int i = 0; i < count; i++) {
        feed(s, (struct stoq_dht_event){.kind = STOQ_DHT_ANNOUNCE,
                                        .u.announce.key = {{(uint8_t)i, 7}}});
    }
    run(10 * STOQ_SEC);
}

static void only_signatures_travel(void **state)
{
    enum { KEYS = 150 };
    (void)state;
    sides[2].old_patch = true;
    sides[0].says = stoq_span_str("word");
    announce_keys(&sides[0], KEYS);
    unsigned first = sides[1].store_records;
    unsigned old = sides[2].store_records;
    assert_int_equal(keys_held(&sides[1]), KEYS);
    run(SHORT_S *
        STOQ_SEC); /* one round and perhaps a second, past the end of what was out first */
    assert_int_equal(sides[1].store_records, first);
    assert_true(sides[1].patched_records >= KEYS);
    assert_true(sides[1].patches <= sides[1].patched_records / STOQ_PATCH_MAX + 6);
    assert_int_equal(stats_of(&sides[1]).patched, sides[1].patched_records);
    assert_int_equal(stats_of(&sides[0]).anew, sides[1].patched_records);
    assert_true(sides[2].patches > 0); /* it was asked, and said that it knows none */
    assert_true(sides[2].patches <= KEYS / STOQ_PATCH_MAX + 1);
    assert_true(sides[2].store_records >= old + KEYS);
    assert_int_equal(stats_of(&sides[2]).patched, 0);
    assert_int_equal(keys_held(&sides[1]), KEYS);
    assert_int_equal(keys_held(&sides[2]), KEYS);
}

/* A holder that has one no more is sent it whole, and one that says something else goes whole to all. */
static void what_has_changed_goes_whole(void **state)
{
    (void)state;
    sides[0].says = stoq_span_str("one");
    announce(&sides[0]);
    unsigned stores = sides[1].store_records;
    sides[0].says = stoq_span_str("other");
    run(700 * STOQ_SEC);
    assert_int_equal(sides[1].patches, 0);
    assert_true(sides[1].store_records > stores);
    look(&sides[2]);
    assert_true(sides[2].found == 1 && sides[2].value_n == 5);
    struct side *fresh = add_side(false);
    stoq_node_dht_join(fresh->nd, &sides[1].peer, &sides[1].addr, now);
    run(SHORT_S * STOQ_SEC);
    assert_int_equal(keys_held(fresh), 1);
}

/* A Patch of so many records that did not come to side 1, in msg, which borrows it. */
static void caught(int keys, struct stoq_message *msg)
{
    announce_keys(&sides[0], keys);
    sides[1].deaf_patch = true;
    for (int i = 0; i < 700 && sides[1].patches == 0; i++) {
        run(STOQ_SEC);
    }
    sides[1].deaf_patch = false;
    assert_true(sides[1].patches >= 1);
    assert_int_equal(stoq_message_decode(stoq_span(sides[1].patch, sides[1].patch_n), ranges, msg),
                     STOQ_OK);
    assert_int_equal(msg->u.patch.patches.n, keys * STOQ_PATCH_BYTES);
}

static struct stoq_dht_record *held(const struct side *s)
{
    static const struct stoq_hash first = {{0, 7}};
    struct stoq_dht_record *r[2];
    assert_int_equal(stoq_dht_held(stoq_node_dht_core(s->nd), &first, now, r, 2), 1);
    return r[0];
}

static bool same_patch(const struct stoq_msg_patch *a, const struct stoq_msg_patch *b)
{
    return stoq_hash_eq(&a->provider.h, &b->provider.h) && a->sequence == b->sequence &&
           a->issued_at_s == b->issued_at_s && stoq_span_eq(a->patches, b->patches);
}

/* Every byte of it is covered by its provider's signature, or says of what it is. */
static void a_patch_that_was_touched_is_refused(void **state)
{
    struct stoq_message msg;
    struct stoq_message bad;
    struct stoq_message reply;
    struct stoq_buf bytes;
    uint8_t copy[2048];
    unsigned refused = 0;
    (void)state;
    caught(1, &msg);
    uint64_t before = held(&sides[1])->digest;
    memcpy(copy, sides[1].patch, sides[1].patch_n);
    for (size_t bit = 0; bit < 8 * sides[1].patch_n; bit += 3) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        bool formed =
            stoq_message_decode(stoq_span(copy, sides[1].patch_n), ranges, &bad) == STOQ_OK &&
            bad.type == STOQ_MSG_PATCH && !bad.u.patch.is_answer &&
            !same_patch(&bad.u.patch, &msg.u.patch);
        if (formed) {
            assert_true(exchange(&sides[0], &sides[1], &bad, &bytes, &reply));
            assert_true(reply.type == STOQ_MSG_PATCH && reply.u.patch.kept.n == 1);
            assert_int_equal(reply.u.patch.kept.p[0], 0);
            assert_true(held(&sides[1])->digest == before);
            refused++;
            stoq_buf_release(&bytes);
        }
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_true(refused > 200);
    assert_int_equal(stats_of(&sides[1]).patched, 0);
    uint64_t checks = stats_of(&sides[1]).signatures;
    for (int again = 0; again < 2; again++) { /* as it is, and the same once more */
        assert_true(exchange(&sides[0], &sides[1], &msg, &bytes, &reply));
        assert_true(reply.type == STOQ_MSG_PATCH && reply.u.patch.kept.n == 1);
        assert_int_equal(reply.u.patch.kept.p[0] > 0, again == 0);
        assert_int_equal(stats_of(&sides[1]).signatures, checks + 1);
        stoq_buf_release(&bytes);
    }
    assert_true(held(&sides[1])->digest != before);
    assert_true(held(&sides[1])->sequence == msg.u.patch.sequence);
}

/* Each is answered for; behind one that is forged none is looked at. */
static void patches_of_one_message_stand_alone(void **state)
{
    enum { KEYS = 3 };
    static const struct {
        size_t at; /* which byte of the second is another; 0: none is */
        bool looked_at_last;
    } cases[] = {
        {STOQ_RENEWAL_DIGEST_BYTES + 5, false}, /* its signature */
        {3, true},                              /* what it is of: there is none such */
    };
    struct stoq_message msg;
    struct stoq_message reply;
    struct stoq_buf bytes;
    (void)state;
    caught(KEYS, &msg);
    uint8_t *second = sides[1].patch + (msg.u.patch.patches.p - sides[1].patch) + STOQ_PATCH_BYTES;
    const uint8_t *last = second + STOQ_PATCH_BYTES;
    struct stoq_msg_patch all = msg.u.patch;
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        uint8_t *touched = second + cases[i].at;
        *touched ^= 1;
        msg.u.patch.patches = i == 0 ? all.patches : stoq_span(second, 2 * STOQ_PATCH_BYTES);
        assert_true(exchange(&sides[0], &sides[1], &msg, &bytes, &reply));
        *touched ^= 1;
        const struct stoq_span kept = reply.u.patch.kept;
        size_t n = i == 0 ? KEYS : 2;
        assert_true(reply.type == STOQ_MSG_PATCH && kept.n == n);
        assert_true(n == 2 || kept.p[0] > 0);
        assert_int_equal(kept.p[n - 2], 0);
        assert_int_equal(kept.p[n - 1] > 0, cases[i].looked_at_last);
        stoq_buf_release(&bytes);
    }
    msg.u.patch.patches = stoq_span(second, STOQ_PATCH_BYTES); /* and as it is */
    assert_true(last > second);
    assert_true(exchange(&sides[0], &sides[1], &msg, &bytes, &reply));
    assert_true(reply.u.patch.kept.n == 1 && reply.u.patch.kept.p[0] > 0);
    stoq_buf_release(&bytes);
    assert_int_equal(stats_of(&sides[1]).patched, KEYS);
}

/* In a datagram it needs a token, whatever else is right with it. */
static void nobody_without_a_way_back_is_looked_at(void **state)
{
    struct stoq_message msg;
    struct stoq_message reply;
    struct stoq_buf bytes;
    (void)state;
    caught(1, &msg);
    uint64_t checks = stats_of(&sides[1]).signatures;
    struct stoq_node_dht_from from = {.addr = sides[0].addr, .room = STOQ_FRAME_BYTES_MAX};
    for (int proven = 0; proven < 2; proven++) {
        from.proven = proven == 1;
        msg.request_id = 7;
        stoq_buf_init(&bytes, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
        assert_int_equal(stoq_node_dht_answer(sides[1].nd, &msg, &from, &bytes, now), STOQ_OK);
        assert_true(bytes.n - STOQ_FRAME_HEAD_BYTES <= sides[1].patch_n); /* shorter than it */
        struct stoq_span cbor =
            stoq_span(bytes.p + STOQ_FRAME_HEAD_BYTES, bytes.n - STOQ_FRAME_HEAD_BYTES);
        assert_int_equal(stoq_message_decode(cbor, ranges, &reply), STOQ_OK);
        assert_int_equal(reply.type, proven ? STOQ_MSG_PATCH : STOQ_MSG_ERROR);
        assert_int_equal(stats_of(&sides[1]).signatures, checks + (uint64_t)proven);
        assert_true(proven || reply.u.error.code == STOQ_ERR_REFUSED);
        stoq_buf_release(&bytes);
    }
    assert_int_equal(stats_of(&sides[1]).refused[STOQ_DHT_NOT_PROVEN], 1);
    assert_int_equal(stats_of(&sides[1]).patched, 1);
}

#define SHORT(test) cmocka_unit_test_setup_teardown(test, setup_short, teardown_short)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHORT(only_signatures_travel),
        SHORT(what_has_changed_goes_whole),
        SHORT(a_patch_that_was_touched_is_refused),
        SHORT(patches_of_one_message_stand_alone),
        SHORT(nobody_without_a_way_back_is_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
