#include "discover/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_exchange *x;
static stoq_ns now;

static struct stoq_peer_id peer(unsigned i)
{
    struct stoq_peer_id id = {{{0}}};
    id.h.b[0] = (uint8_t)i;
    id.h.b[1] = (uint8_t)(i >> 8);
    id.h.b[31] = 1;
    return id;
}

/* IPv4, with port 4477. */
static struct stoq_exchange_addr v4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    struct stoq_exchange_addr out = {{0}};
    out.b[10] = out.b[11] = 0xff;
    out.b[12] = (uint8_t)a;
    out.b[13] = (uint8_t)b;
    out.b[14] = (uint8_t)c;
    out.b[15] = (uint8_t)d;
    out.b[16] = 0x7d;
    out.b[17] = 0x11;
    return out;
}

static struct stoq_exchange_addr link_local(void)
{
    struct stoq_exchange_addr out = {{0xfe, 0x80, [15] = 1, [16] = 1}};
    return out;
}

static int begin(void **state)
{
    (void)state;
    struct stoq_exchange_config cfg = {.self = peer(0), .seed = 7};
    now = 1000 * STOQ_SEC;
    return stoq_exchange_new(&x, &cfg) == STOQ_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    stoq_exchange_free(x);
    return 0;
}

static void up(unsigned i, struct stoq_exchange_addr addr, enum stoq_exchange_site site)
{
    struct stoq_exchange_link link = {.peer = peer(i), .addr = addr, .site = site};
    stoq_exchange_up(x, &link, now);
}

static void down(unsigned i)
{
    struct stoq_peer_id id = peer(i);
    stoq_exchange_down(x, &id, now);
}

static enum stoq_exchange_verdict tell_record(unsigned from, unsigned about,
                                              const struct stoq_exchange_addr *addrs, size_t count,
                                              uint64_t sequence)
{
    struct stoq_peer_id sender = peer(from);
    uint8_t bytes[2] = {(uint8_t)about, (uint8_t)(about >> 8)};
    struct stoq_exchange_record rec = {.peer = peer(about),
                                       .addresses = stoq_span(addrs, count * sizeof *addrs),
                                       .sequence = sequence,
                                       .ttl_ns = 86400 * STOQ_SEC,
                                       .bytes = stoq_span(bytes, sizeof bytes)};
    enum stoq_exchange_verdict v = stoq_exchange_judge(x, &sender, &rec, now);
    if (v == STOQ_EXCHANGE_WANTED) {
        assert_int_equal(stoq_exchange_take(x, &sender, &rec, now), STOQ_OK);
    }
    return v;
}

static enum stoq_exchange_verdict tell(unsigned from, unsigned about,
                                       struct stoq_exchange_addr addr)
{
    return tell_record(from, about, &addr, 1, 1);
}

/* Whom are we told to dial now? Every dial opens when opens, else fails. How many; the last one in *out. */
static size_t dials(bool opens, struct stoq_exchange_action *out)
{
    struct stoq_exchange_action a;
    size_t n = 0;
    while (stoq_exchange_poll(x, now, &a)) {
        if (a.kind != STOQ_EXCHANGE_DIAL) {
            continue;
        }
        n++;
        *out = a;
        if (opens) {
            struct stoq_exchange_link link = {.peer = a.peer, .addr = a.addrs[0]};
            stoq_exchange_up(x, &link, now);
        } else {
            stoq_exchange_unreachable(x, &a.peer, now);
        }
    }
    return n;
}

static size_t picks(unsigned to, struct stoq_span *out, size_t max)
{
    struct stoq_peer_id id = peer(to);
    return stoq_exchange_pick(x, &id, out, max, now);
}

static void who_was_met_is_told_to_others(void **state)
{
    struct stoq_span out[50];
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    up(2, v4(198, 51, 100, 2), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(1, 1, v4(192, 0, 2, 1)), STOQ_EXCHANGE_WANTED);
    assert_int_equal(picks(2, out, 50), 1);
    assert_int_equal(out[0].p[0], 1);
    assert_int_equal(picks(1, out, 50), 0); /* not of itself */
    now += STOQ_EXCHANGE_MET_FOR;
    assert_int_equal(picks(2, out, 50), 1);
    down(1); /* it was there until now */
    now += STOQ_EXCHANGE_MET_FOR;
    assert_int_equal(picks(2, out, 50), 1);
    now += 1;
    assert_int_equal(picks(2, out, 50), 0);
}

static void what_others_say_is_not_passed_on_before_it_was_met(void **state)
{
    struct stoq_exchange_action a;
    struct stoq_span out[50];
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    up(2, v4(198, 51, 100, 2), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(1, 3, v4(203, 0, 113, 3)), STOQ_EXCHANGE_WANTED);
    assert_int_equal(picks(2, out, 50), 0);
    assert_int_equal(dials(true, &a), 1);
    assert_memory_equal(&a.peer, &(struct stoq_peer_id){peer(3).h}, sizeof a.peer);
    assert_int_equal(picks(2, out, 50), 1);
    /* Met elsewhere than its record says: that it is there nobody has seen. */
    up(4, v4(192, 0, 2, 200), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(4, 4, v4(203, 0, 113, 77)), STOQ_EXCHANGE_WANTED);
    assert_int_equal(picks(2, out, 50), 1);
}

static void private_addresses_stay_in_their_site(void **state)
{
    struct stoq_span out[50];
    up(1, v4(192, 168, 1, 1), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(1, 1, v4(192, 168, 1, 1)), STOQ_EXCHANGE_WANTED);
    up(2, v4(203, 0, 113, 2), STOQ_SITE_UNKNOWN); /* the internet */
    up(3, v4(192, 168, 9, 9), STOQ_SITE_UNKNOWN); /* the same network */
    up(4, v4(10, 1, 1, 1), STOQ_SITE_UNKNOWN);    /* another one of ours */
    up(5, v4(192, 168, 1, 5), STOQ_SITE_OTHER);   /* so the configuration says */
    up(6, v4(203, 0, 113, 6), STOQ_SITE_OURS);
    up(7, v4(127, 0, 0, 1), STOQ_SITE_UNKNOWN); /* this machine */
    assert_int_equal(picks(2, out, 50), 0);
    assert_int_equal(picks(3, out, 50), 1);
    assert_int_equal(picks(4, out, 50), 0);
    assert_int_equal(picks(5, out, 50), 0);
    assert_int_equal(picks(6, out, 50), 1);
    assert_int_equal(picks(7, out, 50), 1);
}

static void addresses_that_a_sender_cannot_know_are_not_dialled(void **state)
{
    struct stoq_exchange_action a;
    up(2, v4(203, 0, 113, 2), STOQ_SITE_UNKNOWN);
    up(5, v4(127, 0, 0, 1), STOQ_SITE_OTHER);
    up(6, v4(192, 168, 1, 6), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(2, 10, v4(192, 168, 1, 10)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(2, 11, v4(127, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(2, 12, link_local()), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(2, 13, v4(224, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(2, 14, v4(0, 0, 0, 0)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(5, 15, v4(127, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(5, 16, v4(10, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(6, 17, v4(127, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(6, 18, v4(10, 0, 0, 1)), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(tell(9, 19, v4(192, 0, 2, 1)), STOQ_EXCHANGE_FOREIGN); /* who is that? */
    struct stoq_exchange_addr no_port = v4(192, 0, 2, 1);
    no_port.b[16] = no_port.b[17] = 0;
    assert_int_equal(tell(2, 20, no_port), STOQ_EXCHANGE_FOREIGN);
    assert_int_equal(dials(true, &a), 0);
    /* Of a record with both, what may be dialled is. */
    struct stoq_exchange_addr both[2] = {v4(192, 168, 1, 1), v4(192, 0, 2, 21)};
    assert_int_equal(tell_record(2, 21, both, 2, 1), STOQ_EXCHANGE_WANTED);
    assert_int_equal(dials(true, &a), 1);
    assert_int_equal(a.addr_count, 1);
    assert_memory_equal(&a.addrs[0], &both[1], sizeof both[1]);
    struct stoq_exchange_stats stats;
    stoq_exchange_stats(x, now, &stats);
    assert_int_equal(stats.verdicts[STOQ_EXCHANGE_FOREIGN], 11);
}

static void a_sender_fills_no_more_than_its_share(void **state)
{
    struct stoq_exchange_action a;
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    up(2, v4(198, 51, 100, 2), STOQ_SITE_UNKNOWN);
    size_t taken = 0;
    for (unsigned i = 0; i < 2 * STOQ_EXCHANGE_SENDER_MAX; i++) {
        taken += tell(1, 100 + i, v4(20, i, 0, 1)) == STOQ_EXCHANGE_WANTED;
    }
    assert_int_equal(taken, STOQ_EXCHANGE_SENDER_MAX);
    assert_int_equal(tell(2, 400, v4(21, 0, 0, 1)), STOQ_EXCHANGE_WANTED);
    /* Of one subnet, whoever says it. */
    taken = 0;
    for (unsigned i = 0; i < 10; i++) {
        taken += tell(2, 500 + i, v4(22, 0, 0, i + 1)) == STOQ_EXCHANGE_WANTED;
    }
    assert_int_equal(taken, STOQ_EXCHANGE_SUBNET_MAX);
    /* Who does not answer three times is forgotten, and the room is there again. */
    size_t n = 0;
    for (unsigned i = 0; i < 200; i++) {
        n += dials(false, &a);
        now += STOQ_EXCHANGE_RETRY;
    }
    struct stoq_exchange_stats stats;
    stoq_exchange_stats(x, now, &stats);
    assert_int_equal(stats.known, 0);
    assert_int_equal(n, stats.taken * STOQ_EXCHANGE_TRIES_MAX);
    assert_int_equal(tell(1, 900, v4(20, 9, 0, 1)), STOQ_EXCHANGE_WANTED);
}

static void dials_are_few_at_a_time(void **state)
{
    struct stoq_exchange_action a;
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    for (unsigned i = 0; i < 20; i++) {
        (void)tell(1, 100 + i, v4(20, i, 0, 1));
    }
    size_t n = 0;
    while (stoq_exchange_poll(x, now, &a)) {
        n++;
    }
    assert_int_equal(n, STOQ_EXCHANGE_DIALS_MAX);
    stoq_exchange_unreachable(x, &a.peer, now);
    assert_true(stoq_exchange_poll(x, now, &a));
    assert_false(stoq_exchange_poll(x, now, &a));
}

static void the_table_is_bounded_and_keeps_whom_it_met(void **state)
{
    struct stoq_exchange_stats stats;
    struct stoq_span out[50];
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(1, 1, v4(192, 0, 2, 1)), STOQ_EXCHANGE_WANTED);
    for (unsigned s = 0; s < 20; s++) { /* twenty liars, 64 strangers each */
        up(2000 + s, v4(30, s, 0, 1), STOQ_SITE_UNKNOWN);
        for (unsigned i = 0; i < STOQ_EXCHANGE_SENDER_MAX; i++) {
            now += STOQ_MS;
            assert_int_equal(tell(2000 + s, 100 + s * 64 + i, v4(40 + s, i, 0, 1)),
                             STOQ_EXCHANGE_WANTED);
        }
    }
    stoq_exchange_stats(x, now, &stats);
    assert_int_equal(stats.known, STOQ_EXCHANGE_KNOWN_MAX);
    assert_int_equal(picks(2000, out, 50), 1);
    for (unsigned i = 0; i < 2 * STOQ_EXCHANGE_LINKS_MAX; i++) {
        up(5000 + i, v4(60, 0, 0, 1), STOQ_SITE_UNKNOWN);
        down(5000 + i);
    }
    assert_int_equal(tell(1, 1, v4(192, 0, 2, 1)),
                     STOQ_EXCHANGE_KNOWN); /* its link is still there */
}

static void one_that_passes_on_forgeries_is_heard_no_more(void **state)
{
    struct stoq_peer_id liar = peer(1);
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    up(2, v4(198, 51, 100, 2), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell(1, 10, v4(20, 1, 0, 1)), STOQ_EXCHANGE_WANTED);
    stoq_exchange_forged(x, &liar);
    assert_int_equal(tell(1, 11, v4(20, 2, 0, 1)), STOQ_EXCHANGE_FORGED);
    assert_int_equal(tell(2, 11, v4(20, 2, 0, 1)), STOQ_EXCHANGE_WANTED);
}

static void the_newest_record_counts(void **state)
{
    struct stoq_exchange_action a;
    struct stoq_exchange_addr old = v4(20, 0, 0, 1);
    struct stoq_exchange_addr new = v4(20, 0, 1, 1);
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    up(2, v4(198, 51, 100, 2), STOQ_SITE_UNKNOWN);
    assert_int_equal(tell_record(1, 10, &old, 1, 5), STOQ_EXCHANGE_WANTED);
    assert_int_equal(dials(true, &a), 1);
    assert_int_equal(tell_record(2, 10, &new, 1, 5), STOQ_EXCHANGE_KNOWN);
    assert_int_equal(tell_record(2, 10, &new, 1, 4), STOQ_EXCHANGE_KNOWN);
    assert_int_equal(tell_record(2, 10, &new, 1, 6), STOQ_EXCHANGE_WANTED);
    struct stoq_span out[50];
    assert_int_equal(picks(2, out, 50), 0); /* at its new place it was not met */
    assert_int_equal(tell_record(2, 0, &new, 1, 6), STOQ_EXCHANGE_KNOWN); /* that is us */
}

static void a_record_ends_with_its_ttl(void **state)
{
    struct stoq_peer_id sender = peer(1);
    struct stoq_exchange_addr at = v4(20, 0, 0, 1);
    struct stoq_exchange_record rec = {.peer = peer(5),
                                       .addresses = stoq_span(&at, sizeof at),
                                       .sequence = 1,
                                       .bytes = stoq_span("r", 1)};
    struct stoq_exchange_view v;
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    assert_int_equal(stoq_exchange_judge(x, &sender, &rec, now), STOQ_EXCHANGE_EXPIRED);
    rec.ttl_ns = 10 * STOQ_SEC;
    assert_int_equal(stoq_exchange_judge(x, &sender, &rec, now), STOQ_EXCHANGE_WANTED);
    assert_int_equal(stoq_exchange_take(x, &sender, &rec, now), STOQ_OK);
    struct stoq_exchange_action a;
    (void)dials(true, &a);
    struct stoq_span out[50];
    assert_int_equal(picks(1, out, 50), 1);
    now += 10 * STOQ_SEC;
    assert_int_equal(picks(1, out, 50), 0);
    assert_false(stoq_exchange_at(x, 0, now, &v));
}

static void a_peer_is_answered_once_a_minute(void **state)
{
    struct stoq_peer_id id = peer(1);
    assert_false(stoq_exchange_may_answer(x, &id, now)); /* not connected */
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    assert_true(stoq_exchange_may_answer(x, &id, now));
    assert_false(stoq_exchange_may_answer(x, &id, now + STOQ_EXCHANGE_PERIOD - 1));
    down(1); /* a new connection changes nothing */
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    assert_false(stoq_exchange_may_answer(x, &id, now + STOQ_EXCHANGE_PERIOD - 1));
    assert_true(stoq_exchange_may_answer(x, &id, now + STOQ_EXCHANGE_PERIOD));
}

static void who_dialled_asks(void **state)
{
    struct stoq_exchange_action a;
    struct stoq_exchange_link link = {.peer = peer(1), .addr = v4(192, 0, 2, 1), .dialled = true};
    up(2, v4(192, 0, 2, 2), STOQ_SITE_UNKNOWN); /* it dialled us */
    stoq_exchange_up(x, &link, now);
    assert_true(stoq_exchange_poll(x, now, &a));
    assert_int_equal(a.kind, STOQ_EXCHANGE_ASK);
    assert_memory_equal(&a.peer, &link.peer, sizeof a.peer);
    assert_false(stoq_exchange_poll(x, now, &a));
    assert_true(stoq_exchange_deadline(x) == now + STOQ_EXCHANGE_AGAIN);
    /* Again soon after: not before the other end would answer. */
    down(1);
    stoq_exchange_up(x, &link, now);
    assert_false(stoq_exchange_poll(x, now, &a));
    now = stoq_exchange_deadline(x);
    assert_true(stoq_exchange_poll(x, now, &a));
    assert_true(now > 1000 * STOQ_SEC + STOQ_EXCHANGE_PERIOD);
}

static void a_few_are_kept_met(void **state)
{
    struct stoq_exchange_action a;
    up(1, v4(192, 0, 2, 1), STOQ_SITE_UNKNOWN);
    for (unsigned i = 0; i < 40; i++) {
        (void)tell(1, 100 + i, v4(20, i, 0, 1));
    }
    assert_int_equal(dials(true, &a), 40);
    for (unsigned i = 0; i < 40; i++) {
        down(100 + i);
    }
    now += STOQ_EXCHANGE_RENEW;
    assert_int_equal(dials(true, &a), 0);
    now += STOQ_SEC + STOQ_EXCHANGE_PERIOD;
    assert_int_equal(dials(true, &a), STOQ_EXCHANGE_FRESH);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(who_was_met_is_told_to_others),
        CASE(what_others_say_is_not_passed_on_before_it_was_met),
        CASE(private_addresses_stay_in_their_site),
        CASE(addresses_that_a_sender_cannot_know_are_not_dialled),
        CASE(a_sender_fills_no_more_than_its_share),
        CASE(dials_are_few_at_a_time),
        CASE(the_table_is_bounded_and_keeps_whom_it_met),
        CASE(one_that_passes_on_forgeries_is_heard_no_more),
        CASE(the_newest_record_counts),
        CASE(a_record_ends_with_its_ttl),
        CASE(a_peer_is_answered_once_a_minute),
        CASE(who_dialled_asks),
        CASE(a_few_are_kept_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
