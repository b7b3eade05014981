/* Peers that are remembered: kept, replaced, evicted oldest first, written and read back. */
#include "daemon/known.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_known_peer a_peer(uint32_t number, uint64_t seen_s)
{
    struct stoq_known_peer p = {.seen_s = seen_s};
    memcpy(p.id.h.b, &number, sizeof number);
    return p;
}

static void what_is_known_stays(void **state)
{
    struct stoq_known *k;
    struct stoq_known_peer p = a_peer(1, 100);
    (void)state;
    assert_int_equal(stoq_known_new(&k, 7), STOQ_OK);
    assert_null(stoq_known_find(k, &p.id));
    p.min_rtt_us = 900;
    p.has_rpc = true;
    memset(p.rpc, 9, sizeof p.rpc);
    assert_int_equal(stoq_known_note(k, &p), STOQ_OK);
    struct stoq_known_peer later = a_peer(1, 200); /* says nothing new */
    assert_int_equal(stoq_known_note(k, &later), STOQ_OK);
    const struct stoq_known_peer *found = stoq_known_find(k, &p.id);
    assert_non_null(found);
    assert_int_equal(found->seen_s, 200);
    assert_int_equal(found->min_rtt_us, 900);
    assert_true(found->has_rpc && found->rpc[31] == 9);
    later.min_rtt_us = 50000; /* it has moved */
    assert_int_equal(stoq_known_note(k, &later), STOQ_OK);
    assert_int_equal(stoq_known_find(k, &p.id)->min_rtt_us, 50000);
    assert_int_equal(stoq_known_count(k), 1);
    stoq_known_free(k);
}

static void the_oldest_gives_way(void **state)
{
    struct stoq_known *k;
    struct stoq_buf bytes;
    (void)state;
    assert_int_equal(stoq_known_new(&k, 7), STOQ_OK);
    for (uint32_t i = 0; i < STOQ_KNOWN_MAX + 10; i++) {
        struct stoq_known_peer p = a_peer(i, 1000 + (i * 7919U) % 4093);
        assert_int_equal(stoq_known_note(k, &p), STOQ_OK);
    }
    assert_int_equal(stoq_known_count(k), STOQ_KNOWN_MAX);
    struct stoq_known_peer first = a_peer(0, 0); /* seen at 1000: the oldest of all */
    struct stoq_known_peer last = a_peer(STOQ_KNOWN_MAX + 9, 0);
    assert_null(stoq_known_find(k, &first.id));
    assert_non_null(stoq_known_find(k, &last.id));
    stoq_buf_init(&bytes, STOQ_KNOWN_BYTES_MAX);
    assert_int_equal(stoq_known_encode(k, &bytes), STOQ_OK); /* a full table fits the file */
    struct stoq_known *again;
    assert_int_equal(stoq_known_new(&again, 8), STOQ_OK);
    assert_int_equal(stoq_known_decode(again, stoq_buf_span(&bytes)), STOQ_OK);
    assert_int_equal(stoq_known_count(again), STOQ_KNOWN_MAX);
    stoq_known_free(again);
    /* Cut anywhere, it is refused and what came before is there. */
    assert_int_equal(stoq_known_new(&again, 8), STOQ_OK);
    assert_int_equal(stoq_known_decode(again, stoq_span(bytes.p, bytes.n / 2)), STOQ_TRUNC);
    assert_true(stoq_known_count(again) > STOQ_KNOWN_MAX / 3);
    stoq_known_free(again);
    stoq_buf_release(&bytes);
    stoq_known_free(k);
}

static void the_last_seen_are_found_where_they_were(void **state)
{
    struct stoq_known *k;
    struct stoq_known_peer out[3];
    struct stoq_buf bytes;
    (void)state;
    assert_int_equal(stoq_known_new(&k, 7), STOQ_OK);
    for (uint32_t i = 0; i < 20; i++) {
        struct stoq_known_peer p = a_peer(i, 1000 + (i * 7) % 20);
        p.has_addr = i % 2 == 0;
        memset(p.addr, (int)i, sizeof p.addr);
        assert_int_equal(stoq_known_note(k, &p), STOQ_OK);
    }
    struct stoq_known_peer again = a_peer(14, 2000); /* without an address: the old one stays */
    assert_int_equal(stoq_known_note(k, &again), STOQ_OK);
    assert_int_equal(stoq_known_recent(k, out, 3), 3);
    assert_int_equal(out[0].id.h.b[0], 14);
    assert_int_equal(out[0].addr[17], 14);
    assert_int_equal(out[1].seen_s, 1016);
    assert_int_equal(out[2].seen_s, 1014);
    assert_int_equal(stoq_known_recent(k, out, 0), 0);
    /* Over a file, too. */
    struct stoq_known *back;
    stoq_buf_init(&bytes, STOQ_KNOWN_BYTES_MAX);
    assert_int_equal(stoq_known_new(&back, 8), STOQ_OK);
    assert_int_equal(stoq_known_encode(k, &bytes), STOQ_OK);
    assert_int_equal(stoq_known_decode(back, stoq_buf_span(&bytes)), STOQ_OK);
    assert_int_equal(stoq_known_recent(back, out, 3), 3);
    assert_int_equal(out[0].addr[0], 14);
    stoq_known_free(back);
    stoq_buf_release(&bytes);
    stoq_known_free(k);
}

static void the_old_are_forgotten(void **state)
{
    struct stoq_known *k;
    (void)state;
    assert_int_equal(stoq_known_new(&k, 7), STOQ_OK);
    for (uint32_t i = 0; i < 100; i++) {
        struct stoq_known_peer p = a_peer(i, (i * 37) % 100);
        assert_int_equal(stoq_known_note(k, &p), STOQ_OK);
    }
    assert_int_equal(stoq_known_forget(k, 60), 60);
    assert_int_equal(stoq_known_count(k), 40);
    for (uint32_t i = 0; i < 100; i++) { /* who is left is found where it is now */
        struct stoq_known_peer p = a_peer(i, 0);
        const struct stoq_known_peer *found = stoq_known_find(k, &p.id);
        assert_true((found != NULL) == ((i * 37) % 100 >= 60));
        assert_true(found == NULL || found->seen_s == (i * 37) % 100);
    }
    assert_int_equal(stoq_known_forget(k, 1000), 40);
    assert_int_equal(stoq_known_count(k), 0);
    stoq_known_free(k);
}

static void other_bytes_are_refused(void **state)
{
    static const uint8_t newer[] = {2};
    static const uint8_t no_peer[] = {1, 0xa1, 2, 5};
    struct stoq_known *k;
    (void)state;
    assert_int_equal(stoq_known_new(&k, 7), STOQ_OK);
    assert_int_equal(stoq_known_decode(k, stoq_span(newer, sizeof newer)), STOQ_VERSION);
    assert_int_equal(stoq_known_decode(k, stoq_span(no_peer, sizeof no_peer)), STOQ_MALFORMED);
    assert_int_equal(stoq_known_decode(k, stoq_span(newer, 0)), STOQ_TRUNC);
    assert_int_equal(stoq_known_count(k), 0);
    stoq_known_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_stays),
        cmocka_unit_test(the_oldest_gives_way),
        cmocka_unit_test(the_last_seen_are_found_where_they_were),
        cmocka_unit_test(the_old_are_forgotten),
        cmocka_unit_test(other_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
