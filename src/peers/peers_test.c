#include "peers/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct stoq_alloc heap;

static struct stoq_peer_id id_of(uint32_t n)
{
    struct stoq_peer_id id = {{{0}}};
    stoq_le32_put(id.h.b, n);
    return id;
}

static void feed(struct stoq_peers *p, uint32_t n, struct stoq_peers_event ev, stoq_ns now)
{
    struct stoq_peer_id id = id_of(n);
    ev.peer = &id;
    assert_int_equal(stoq_peers_feed(p, &ev, now), STOQ_OK);
}

static struct stoq_peers_view view(const struct stoq_peers *p, size_t i, stoq_ns now)
{
    struct stoq_peers_view v;
    assert_true(stoq_peers_at(p, i, now, &v));
    return v;
}

static bool is_at(const struct stoq_peers *p, size_t i, const struct stoq_peer_id *id)
{
    struct stoq_peers_view v = view(p, i, 1);
    return stoq_hash_eq(&v.id.h, &id->h);
}

/* A transfer at a rate for a time, in pieces of 10 ms; returns when it ends. */
static stoq_ns transfer(struct stoq_peers *p, uint64_t rate_bytes_per_s, stoq_ns from,
                        stoq_ns lasts)
{
    stoq_ns now = from;
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_BEGIN}, now);
    for (; now < from + lasts; now += 10 * STOQ_MS) {
        feed(p, 1,
             (struct stoq_peers_event){.kind = STOQ_PEERS_BYTES, .u.bytes = rate_bytes_per_s / 100},
             now + 10 * STOQ_MS);
    }
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_END}, now);
    return now;
}

static void within(uint64_t value, uint64_t want, uint64_t percent)
{
    if (value * 100 < want * (100 - percent) || value * 100 > want * (100 + percent)) {
        fail_msg("%llu is not within %llu %% of %llu", (unsigned long long)value,
                 (unsigned long long)percent, (unsigned long long)want);
    }
}

static void rates_are_of_transfers_alone(void **state)
{
    struct stoq_peers *p;
    (void)state;
    assert_int_equal(stoq_peers_new(&p, &heap, 1), STOQ_OK);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_UP, .u.rtt_ns = 5 * STOQ_MS}, STOQ_SEC);
    assert_false(view(p, 0, STOQ_SEC).rate_known);
    stoq_ns now = transfer(p, 10000000, STOQ_SEC, 2 * STOQ_SEC);
    within(view(p, 0, now).rate_bytes_per_s, 10000000, 1);
    /* A pause is not slowness, nor do two transfers at once count the time twice. */
    now = transfer(p, 10000000, now + 30 * STOQ_SEC, STOQ_SEC);
    within(view(p, 0, now).rate_bytes_per_s, 10000000, 2);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_BEGIN}, now);
    now = transfer(p, 10000000, now, STOQ_SEC);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_END}, now);
    within(view(p, 0, now).rate_bytes_per_s, 10000000, 2);
    /* Ten times slower: known within a minute. */
    now = transfer(p, 1000000, now, 60 * STOQ_SEC);
    within(view(p, 0, now).rate_bytes_per_s, 1000000, 20);
    /* A stall shows at its end, and old rates are forgotten. */
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_BEGIN}, now);
    now += 20 * STOQ_SEC;
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_END}, now);
    assert_true(view(p, 0, now).rate_bytes_per_s < 400000);
    assert_true(view(p, 0, now + STOQ_PEERS_RATE_STALE).rate_known);
    assert_false(view(p, 0, now + STOQ_PEERS_RATE_STALE + 1).rate_known);
    assert_int_equal(view(p, 0, now).bytes_fetched, 10000000 * 4 + 1000000 * 60);
    stoq_peers_free(p);
}

static void domains_are_the_widest_that_is_known(void **state)
{
    struct stoq_peers *p;
    uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 2, [15] = 3};
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 7, 0, 9, [15] = 1};
    struct stoq_peers_place place = {.host = "h1", .region = "eu"};
    (void)state;
    assert_int_equal(stoq_peers_new(&p, &heap, 1), STOQ_OK);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, 1);
    assert_string_equal(view(p, 0, 1).domain, "");
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = v4}, 1);
    assert_string_equal(view(p, 0, 1).domain, "subnet:10.1.2.0/24");
    feed(p, 2, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = v6}, 1);
    assert_string_equal(view(p, 1, 1).subnet, "2001:db8:7::/48");
    /* Neighbours are counted on the open internet. */
    for (uint32_t i = 3; i < 8; i++) {
        v6[15] = (uint8_t)i;
        feed(p, i, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = v6}, 1);
        feed(p, i + 10, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = v4}, 1);
    }
    struct stoq_peer_id id = id_of(2);
    assert_int_equal(stoq_peers_neighbours(p, &id), 6);
    v6[5] = 8;
    feed(p, 3, (struct stoq_peers_event){.kind = STOQ_PEERS_SEEN, .u.ip = v6}, 1);
    assert_int_equal(stoq_peers_neighbours(p, &id), 5);
    id = id_of(1);
    assert_int_equal(stoq_peers_neighbours(p, &id), 1);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = &place}, 1);
    assert_string_equal(view(p, 0, 1).domain, "host:h1");
    (void)snprintf(place.rack, sizeof place.rack, "r1");
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = &place}, 1);
    assert_string_equal(view(p, 0, 1).domain, "rack:r1");
    (void)snprintf(place.site, sizeof place.site, "s1");
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = &place}, 1);
    assert_string_equal(view(p, 0, 1).domain, "site:s1");
    assert_string_equal(view(p, 0, 1).place.region, "eu");
    stoq_peers_free(p);
}

static void states_follow_connections(void **state)
{
    struct stoq_peers *p;
    struct stoq_peers_place place = {.site = "s"};
    (void)state;
    assert_int_equal(stoq_peers_new(&p, &heap, 1), STOQ_OK);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = &place}, STOQ_SEC);
    assert_int_equal(view(p, 0, 3 * STOQ_SEC).state, STOQ_PEERS_UNTRIED);
    assert_true(view(p, 0, 3 * STOQ_SEC).state_age_ns == 2 * STOQ_SEC);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, 4 * STOQ_SEC);
    assert_int_equal(view(p, 0, 4 * STOQ_SEC).state, STOQ_PEERS_UNREACHABLE);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_UP, .u.rtt_ns = 5 * STOQ_MS},
         5 * STOQ_SEC);
    assert_int_equal(view(p, 0, 5 * STOQ_SEC).state, STOQ_PEERS_CONNECTED);
    assert_true(view(p, 0, 5 * STOQ_SEC).connected);
    /* The path becomes longer: held until three samples agree. */
    struct stoq_peers_event longer = {.kind = STOQ_PEERS_RTT, .u.rtt_ns = 50 * STOQ_MS};
    for (stoq_ns at = 10; at < 30; at += 10) {
        feed(p, 1, longer, at * STOQ_SEC);
        assert_true(view(p, 0, at * STOQ_SEC).rtt_ns == 5 * STOQ_MS);
        assert_true(view(p, 0, at * STOQ_SEC).rtt_latest_ns == 50 * STOQ_MS);
    }
    feed(p, 1, longer, 30 * STOQ_SEC);
    assert_true(view(p, 0, 33 * STOQ_SEC).rtt_ns == 50 * STOQ_MS);
    assert_true(view(p, 0, 33 * STOQ_SEC).rtt_age_ns == 3 * STOQ_SEC);
    assert_int_equal(view(p, 0, 33 * STOQ_SEC).rtt_changes, 1);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, 40 * STOQ_SEC);
    assert_int_equal(view(p, 0, 41 * STOQ_SEC).state, STOQ_PEERS_IDLE);
    assert_true(view(p, 0, 41 * STOQ_SEC).rtt_ns == 50 * STOQ_MS);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, 42 * STOQ_SEC);
    assert_string_equal(stoq_peers_state_str(view(p, 0, 42 * STOQ_SEC).state), "unreachable");
    stoq_peers_free(p);
}

static void the_table_is_bounded(void **state)
{
    struct stoq_peers *p;
    struct stoq_peers_place place = {.host = "h"};
    (void)state;
    assert_int_equal(stoq_peers_new(&p, &heap, 1), STOQ_OK);
    feed(p, 0, (struct stoq_peers_event){.kind = STOQ_PEERS_PLACE, .u.place = &place}, 1);
    feed(p, 1, (struct stoq_peers_event){.kind = STOQ_PEERS_UP}, 2);
    for (uint32_t i = 2; i < STOQ_PEERS_MAX + 10; i++) {
        feed(p, i, (struct stoq_peers_event){.kind = STOQ_PEERS_DOWN}, 10 + i);
    }
    assert_int_equal(stoq_peers_count(p), STOQ_PEERS_MAX);
    struct stoq_peer_id named = id_of(0);
    struct stoq_peer_id connected = id_of(1);
    struct stoq_peer_id oldest_left = id_of(12);
    assert_true(is_at(p, 0, &named));
    assert_true(is_at(p, 1, &connected));
    assert_true(is_at(p, 2, &oldest_left));
    for (uint32_t i = 0; i < STOQ_PEERS_MAX + 10; i++) { /* those that are gone come back */
        feed(p, i, (struct stoq_peers_event){.kind = STOQ_PEERS_UP}, 20000 + i);
        if (stoq_peers_count(p) == STOQ_PEERS_MAX && i == STOQ_PEERS_MAX - 1) {
            break;
        }
    }
    struct stoq_peer_id more = id_of(99999);
    struct stoq_peers_event ev = {.kind = STOQ_PEERS_UP, .peer = &more};
    for (size_t i = 0; i < STOQ_PEERS_MAX; i++) {
        struct stoq_peers_view v = view(p, i, 1);
        struct stoq_peers_event up = {.kind = STOQ_PEERS_UP, .peer = &v.id};
        assert_int_equal(stoq_peers_feed(p, &up, 50000), STOQ_OK);
    }
    assert_int_equal(stoq_peers_feed(p, &ev, 60000), STOQ_FULL);
    stoq_peers_free(p);
}

static void selections_are_rules(void **state)
{
    static const struct {
        struct stoq_peers_selection sel;
        const char *text;
    } good[] = {
        {{STOQ_PEERS_REPLICATION_FACTOR, 3, 0, {0}}, NULL},
        {{STOQ_PEERS_GEOGRAPHIC, 0, 0, {0}}, "eu-west.1"},
        {{STOQ_PEERS_BANDWIDTH, 0, 2000000, {0}}, NULL},
        {{STOQ_PEERS_CUSTOM, 0, 0, {0}}, "require rate > 3 apart rack"},
    };
    static const struct stoq_peers_selection bad[] = {
        {STOQ_PEERS_REPLICATION_FACTOR, 0, 0, {0}},
        {STOQ_PEERS_REPLICATION_FACTOR, STOQ_PEERS_MAX + 1, 0, {0}},
        {STOQ_PEERS_GEOGRAPHIC, 0, 0, {(const uint8_t *)"e\" or \"", 7}},
        {STOQ_PEERS_GEOGRAPHIC, 0, 0, {0}},
        {STOQ_PEERS_BANDWIDTH, 0, UINT64_MAX, {0}},
    };
    struct stoq_buf text;
    struct stoq_rule *rule;
    struct stoq_rule_fault fault;
    (void)state;
    stoq_buf_init(&text, STOQ_RULE_BYTES_MAX);
    for (size_t i = 0; i < STOQ_COUNT(good); i++) {
        struct stoq_peers_selection sel = good[i].sel;
        sel.text = stoq_span_str(good[i].text != NULL ? good[i].text : "");
        assert_int_equal(stoq_peers_selection_rule(&sel, &text), STOQ_OK);
        assert_int_equal(stoq_rule_new(&rule, stoq_peers_fields(), STOQ_PEERS_FIELDS,
                                       stoq_buf_span(&text), &fault),
                         STOQ_OK);
        stoq_rule_free(rule);
    }
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_peers_selection_rule(&bad[i], &text), STOQ_RANGE);
    }
    stoq_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_transfers_alone),
        cmocka_unit_test(domains_are_the_widest_that_is_known),
        cmocka_unit_test(states_follow_connections),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(selections_are_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
