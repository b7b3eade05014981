#include "discover/dnssd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START STOQ_SEC

static const uint8_t txt[] = {9, 't', 'x', 't', 'v', 'e', 'r', 's', '=', '1'};
static const char *const type_labels[] = {"_stoq", "_udp", "local", NULL};
static const char *const name_labels[] = {"stoq abc", "_stoq", "_udp", "local", NULL};
static const char *const host_labels[] = {"stoq-abc", "local", NULL};
static const struct stoq_dnssd_place wire = {
    .index = 3,
    .addr_count = 2,
    .addr = {{.ip = {0xfe, 0x80, [15] = 1}, .bits = 64},
             {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1}, .bits = 120}}};
static const struct stoq_dnssd_from somebody = {.ip = {0xfe, 0x80, [15] = 9}, .port = 5353};

static struct stoq_dnssd *fresh(uint64_t seed)
{
    struct stoq_dnssd *d = malloc(sizeof *d);
    struct stoq_dnssd_config cfg = {.instance = "stoq abc",
                                    .host = "stoq-abc",
                                    .port = 4477,
                                    .txt = stoq_span(txt, sizeof txt),
                                    .seed = seed};
    assert_non_null(d);
    assert_int_equal(stoq_dnssd_init(d, &cfg), STOQ_OK);
    stoq_dnssd_places(d, &wire, 1, START);
    return d;
}

/* Send what is due until then; the bytes of the last message and how many there were. */
static unsigned run_until(struct stoq_dnssd *d, stoq_ns end, size_t *last)
{
    unsigned index;
    unsigned sent = 0;
    size_t n;
    for (stoq_ns at = stoq_dnssd_deadline(d); at <= end; at = stoq_dnssd_deadline(d)) {
        while (stoq_dnssd_due(d, at, &index, &n)) {
            assert_int_equal(index, 3);
            *last = n;
            sent++;
        }
    }
    return sent;
}

static stoq_ns settle(struct stoq_dnssd *d)
{
    size_t n;
    assert_int_equal(run_until(d, START + 10 * STOQ_SEC, &n), 5);
    return START + 20 * STOQ_SEC;
}

/* Does the message hold a record of this type in that section? Its lifetime, or -1. */
static int64_t ttl_in(const uint8_t *p, size_t n, enum stoq_dns_section section, uint16_t type)
{
    static struct stoq_dns_entry e;
    struct stoq_dns_rd r;
    assert_int_equal(stoq_dns_open(&r, stoq_span(p, n)), STOQ_OK);
    while (stoq_dns_next(&r, &e)) {
        if (e.section == section && e.type == type) {
            return section == STOQ_DNS_QUESTION ? 0 : e.ttl;
        }
    }
    assert_false(r.bad);
    return -1;
}

static struct stoq_dns_wr begin(uint8_t *p, size_t cap, uint16_t flags)
{
    struct stoq_dns_wr m;
    stoq_dns_begin(&m, p, cap, 7, flags);
    return m;
}

static void put(struct stoq_dns_wr *m, enum stoq_dns_section section, const char *const labels[],
                uint16_t type, struct stoq_span rdata, uint32_t ttl)
{
    static struct stoq_dns_entry e;
    e = (struct stoq_dns_entry){.section = section, .type = type, .class = STOQ_DNS_IN, .ttl = ttl};
    assert_true(stoq_dns_name(&e.name, labels));
    memcpy(e.rdata, rdata.p, rdata.n);
    e.rdata_n = rdata.n;
    assert_true(stoq_dns_put(m, &e));
}

static size_t hear(struct stoq_dnssd *d, struct stoq_dns_wr *m, const struct stoq_dnssd_from *from,
                   stoq_ns now)
{
    stoq_dns_end(m);
    return stoq_dnssd_heard(d, 3, from, stoq_wr_span(&m->w), now);
}

static size_t ask(struct stoq_dnssd *d, const char *const labels[], uint16_t type,
                  const struct stoq_dnssd_from *from, stoq_ns now)
{
    uint8_t bytes[512];
    struct stoq_dns_wr m = begin(bytes, sizeof bytes, 0);
    put(&m, STOQ_DNS_QUESTION, labels, type, stoq_span("", 0), 0);
    return hear(d, &m, from, now);
}

static void probes_thrice_then_announces_twice(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(1);
    stoq_ns first = stoq_dnssd_deadline(d);
    unsigned index;
    size_t n = 0;
    assert_true(first >= START && first < START + 250 * STOQ_MS);
    for (unsigned i = 0; i < 3; i++) {
        stoq_ns at = first + i * 250 * STOQ_MS;
        assert_int_equal(stoq_dnssd_announced(d), 0);
        assert_true(stoq_dnssd_due(d, at, &index, &n));
        assert_true(ttl_in(d->message, n, STOQ_DNS_QUESTION, STOQ_DNS_ANY) >= 0);
        assert_true(ttl_in(d->message, n, STOQ_DNS_AUTHORITY, STOQ_DNS_SRV) > 0);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_SRV), -1);
        assert_false(stoq_dnssd_due(d, at, &index, &n));
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_true(stoq_dnssd_due(d, stoq_dnssd_deadline(d), &index, &n));
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_PTR), 4500);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_SRV), 120);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_TXT), 4500);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_A), 120);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_AAAA), 120);
        assert_int_equal(stoq_dnssd_announced(d), 1);
    }
    assert_true(stoq_dnssd_deadline(d) == STOQ_NEVER);
    free(d);
}

static void a_browser_gets_all_in_one_answer_once_a_second(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(2);
    stoq_ns now = settle(d);
    size_t n = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(ask(d, type_labels, STOQ_DNS_PTR, &somebody, now), 0);
    }
    stoq_ns at = stoq_dnssd_deadline(d);
    assert_true(at >= now + 20 * STOQ_MS && at <= now + 120 * STOQ_MS);
    assert_int_equal(run_until(d, now + STOQ_SEC, &n), 1);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_PTR), 4500);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ADDITIONAL, STOQ_DNS_SRV), 120);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ADDITIONAL, STOQ_DNS_TXT), 4500);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ADDITIONAL, STOQ_DNS_A), 120);
    for (unsigned i = 0; i < 1000; i++) {
        (void)ask(d, type_labels, STOQ_DNS_PTR, &somebody, at + i * STOQ_MS);
    }
    assert_int_equal(run_until(d, at + 1900 * STOQ_MS, &n), 1);
    free(d);
}

static void what_the_asker_knows_is_not_told_again(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(3);
    struct stoq_dns_name name;
    stoq_ns now = settle(d);
    size_t n = 0;
    assert_true(stoq_dns_name(&name, name_labels));
    for (unsigned half = 0; half < 2; half++) { /* more than half of its lifetime left, and less */
        uint8_t bytes[512];
        struct stoq_dns_wr m = begin(bytes, sizeof bytes, 0);
        put(&m, STOQ_DNS_QUESTION, type_labels, STOQ_DNS_PTR, stoq_span("", 0), 0);
        put(&m, STOQ_DNS_ANSWER, type_labels, STOQ_DNS_PTR, stoq_span(name.b, name.n),
            half == 0 ? 2250 : 2249);
        assert_int_equal(hear(d, &m, &somebody, now), 0);
        assert_int_equal(run_until(d, now + STOQ_SEC, &n), half);
    }
    /* The list goes on in a second message of the same asker. */
    now += 5 * STOQ_SEC;
    for (unsigned other = 0; other < 2; other++) {
        struct stoq_dnssd_from from = somebody;
        uint8_t bytes[512];
        struct stoq_dns_wr m = begin(bytes, sizeof bytes, STOQ_DNS_TRUNCATED);
        put(&m, STOQ_DNS_QUESTION, type_labels, STOQ_DNS_PTR, stoq_span("", 0), 0);
        assert_int_equal(hear(d, &m, &from, now), 0);
        m = begin(bytes, sizeof bytes, 0);
        put(&m, STOQ_DNS_ANSWER, type_labels, STOQ_DNS_PTR, stoq_span(name.b, name.n), 4500);
        from.ip[15] = (uint8_t)(from.ip[15] + other);
        assert_int_equal(hear(d, &m, &from, now + 100 * STOQ_MS), 0);
        assert_int_equal(run_until(d, now + STOQ_SEC, &n), other);
        now += 5 * STOQ_SEC;
    }
    free(d);
}

static void types_that_are_not_there_are_denied(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(4);
    stoq_ns now = settle(d);
    struct stoq_dnssd_place six = wire;
    size_t n = 0;
    assert_int_equal(ask(d, name_labels, STOQ_DNS_A, &somebody, now), 0);
    assert_int_equal(run_until(d, now + STOQ_SEC, &n), 1);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_NSEC), 4500);
    six.addr_count = 1;
    stoq_dnssd_places(d, &six, 1, now);
    (void)run_until(d, now + 10 * STOQ_SEC, &n);
    now += 20 * STOQ_SEC;
    assert_int_equal(ask(d, host_labels, STOQ_DNS_A, &somebody, now), 0);
    assert_int_equal(run_until(d, now + STOQ_SEC, &n), 1);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_NSEC), 120);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_A), -1);
    free(d);
}

static void other_ports_get_a_plain_answer_of_their_own(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(5);
    stoq_ns now = settle(d);
    struct stoq_dnssd_from plain = somebody;
    plain.port = 40000;
    size_t n = ask(d, type_labels, STOQ_DNS_PTR, &plain, now);
    assert_in_range(n, 100, STOQ_DNSSD_LEGACY_MAX);
    assert_int_equal(d->message[1], 7); /* the question's id, and the question */
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_QUESTION, STOQ_DNS_PTR), 0);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_PTR), 10);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ADDITIONAL, STOQ_DNS_SRV), 10);
    assert_true(stoq_dnssd_deadline(d) == STOQ_NEVER);
    /* Not to another network, and not without end. */
    struct stoq_dnssd_from far = plain;
    far.ip[0] = 0x20;
    assert_int_equal(ask(d, type_labels, STOQ_DNS_PTR, &far, now), 0);
    unsigned answered = 0;
    for (unsigned i = 0; i < 1000; i++) {
        answered += ask(d, type_labels, STOQ_DNS_PTR, &plain, now) > 0;
    }
    assert_in_range(answered, 1, STOQ_DNSSD_UNICAST_PER_S);
    assert_int_equal(d->stats.unanswered, 1001 - answered);
    free(d);
}

static void conflict(struct stoq_dnssd *d, const char *const labels[], stoq_ns now)
{
    static const uint8_t rdata[] = {0, 0, 0, 0, 0, 80, 1, 'x', 0};
    uint8_t bytes[512];
    struct stoq_dns_wr m = begin(bytes, sizeof bytes, STOQ_DNS_RESPONSE);
    put(&m, STOQ_DNS_ANSWER, labels, STOQ_DNS_SRV, stoq_span(rdata, sizeof rdata), 120);
    assert_int_equal(hear(d, &m, &somebody, now), 0);
}

static void a_taken_name_gives_way_to_the_next(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(6);
    char name[STOQ_DNS_LABEL_MAX + 1];
    unsigned index;
    size_t n = 0;
    assert_true(stoq_dnssd_due(d, stoq_dnssd_deadline(d), &index, &n));
    conflict(d, name_labels, START + 300 * STOQ_MS);
    assert_string_equal(stoq_dnssd_name(d, name), "stoq abc (2)");
    stoq_ns now = settle(d);
    assert_int_equal(d->stats.renamed, 1);
    /* Later: we look again whether the name is ours, and keep it when nobody says otherwise. */
    static const char *const second[] = {"stoq abc (2)", "_stoq", "_udp", "local", NULL};
    conflict(d, second, now);
    assert_int_equal(stoq_dnssd_announced(d), 0);
    assert_int_equal(run_until(d, now + 10 * STOQ_SEC, &n), 5);
    assert_string_equal(stoq_dnssd_name(d, name), "stoq abc (2)");
    free(d);
}

static void somebody_hostile_costs_no_flood(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(7);
    unsigned index;
    unsigned sent = 0;
    size_t n = 0;
    for (stoq_ns now = START; now < START + 60 * STOQ_SEC; now += 10 * STOQ_MS) {
        char name[STOQ_DNS_LABEL_MAX + 1];
        const char *const labels[] = {stoq_dnssd_name(d, name), "_stoq", "_udp", "local", NULL};
        while (stoq_dnssd_due(d, now, &index, &n)) {
            sent++;
        }
        conflict(d, labels, now);
    }
    assert_in_range(sent, 0, 60);
    assert_true(d->name_number <= STOQ_DNSSD_NAMES_MAX + 1);
    free(d);
}

static void the_lesser_of_two_that_probe_waits(void **state)
{
    (void)state;
    static const uint8_t high[] = {255, 255, 0, 0, 0, 80, 1, 'x', 0};
    static const uint8_t low[] = {0, 0, 0, 0, 0, 0, 0};
    for (unsigned wins = 0; wins < 2; wins++) {
        struct stoq_dnssd *d = fresh(8);
        uint8_t bytes[512];
        unsigned index;
        size_t n;
        stoq_ns now = stoq_dnssd_deadline(d);
        assert_true(stoq_dnssd_due(d, now, &index, &n));
        /* Our own, back from the group, is nobody else's. */
        uint8_t own[STOQ_DNSSD_MESSAGE_MAX];
        memcpy(own, d->message, n);
        assert_int_equal(stoq_dnssd_heard(d, 3, &somebody, stoq_span(own, n), now), 0);
        assert_true(stoq_dnssd_deadline(d) == now + 250 * STOQ_MS);
        struct stoq_dns_wr m = begin(bytes, sizeof bytes, 0);
        put(&m, STOQ_DNS_QUESTION, name_labels, STOQ_DNS_ANY, stoq_span("", 0), 0);
        put(&m, STOQ_DNS_AUTHORITY, name_labels, STOQ_DNS_TXT, stoq_span(txt, sizeof txt), 4500);
        put(&m, STOQ_DNS_AUTHORITY, name_labels, STOQ_DNS_SRV,
            wins ? stoq_span(low, sizeof low) : stoq_span(high, sizeof high), 120);
        assert_int_equal(hear(d, &m, &somebody, now), 0);
        stoq_ns next = stoq_dnssd_deadline(d);
        assert_true(wins ? next == now + 250 * STOQ_MS : next >= now + STOQ_SEC);
        free(d);
    }
}

static void a_name_is_defended_at_once(void **state)
{
    (void)state;
    static const uint8_t rdata[] = {255, 255, 0, 0, 0, 80, 1, 'x', 0};
    struct stoq_dnssd *d = fresh(9);
    stoq_ns now = settle(d);
    size_t n = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[512];
        struct stoq_dns_wr m = begin(bytes, sizeof bytes, 0);
        put(&m, STOQ_DNS_QUESTION, name_labels, STOQ_DNS_ANY, stoq_span("", 0), 0);
        put(&m, STOQ_DNS_AUTHORITY, name_labels, STOQ_DNS_SRV, stoq_span(rdata, sizeof rdata), 120);
        assert_int_equal(hear(d, &m, &somebody, now), 0);
        assert_int_equal(run_until(d, now, &n), 1);
        assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_SRV), 120);
        now += 250 * STOQ_MS;
    }
    free(d);
}

static void it_leaves_with_a_goodbye_and_others_cannot_say_it(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(10);
    struct stoq_dns_name name;
    uint8_t bytes[512];
    unsigned index;
    stoq_ns now = settle(d);
    size_t n = 0;
    assert_true(stoq_dns_name(&name, name_labels));
    struct stoq_dns_wr m = begin(bytes, sizeof bytes, STOQ_DNS_RESPONSE);
    put(&m, STOQ_DNS_ANSWER, type_labels, STOQ_DNS_PTR, stoq_span(name.b, name.n), 0);
    assert_int_equal(hear(d, &m, &somebody, now), 0);
    assert_int_equal(run_until(d, now + STOQ_SEC, &n), 1);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_PTR), 4500);
    stoq_dnssd_leave(d);
    assert_true(stoq_dnssd_due(d, now, &index, &n));
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_PTR), 0);
    assert_int_equal(ttl_in(d->message, n, STOQ_DNS_ANSWER, STOQ_DNS_SRV), 0);
    assert_false(stoq_dnssd_due(d, now, &index, &n));
    assert_int_equal(ask(d, type_labels, STOQ_DNS_PTR, &somebody, now), 0);
    assert_false(stoq_dnssd_due(d, now + STOQ_SEC, &index, &n));
    free(d);
}

static void a_link_that_takes_nothing_is_tried_again(void **state)
{
    (void)state;
    struct stoq_dnssd *d = fresh(11);
    unsigned index;
    size_t n = 0;
    for (unsigned i = 0; i < 3; i++) {
        stoq_ns at = stoq_dnssd_deadline(d);
        assert_true(stoq_dnssd_due(d, at, &index, &n));
        stoq_dnssd_unsent(d, index, at);
        assert_true(stoq_dnssd_deadline(d) == at + STOQ_SEC);
    }
    stoq_dnssd_places(d, &wire, 1, START + 5 * STOQ_SEC); /* news of it: at once */
    assert_true(stoq_dnssd_deadline(d) == START + 5 * STOQ_SEC);
    (void)settle(d);
    free(d);
}

static void names_do_not_lead_in_circles(void **state)
{
    (void)state;
    static struct stoq_dns_entry e;
    uint8_t head[12 + 64] = {[5] = 1};
    struct stoq_dns_rd r;
    const struct {
        uint8_t p[8];
        size_t n;
    } bad[] = {{{0xc0, 12}, 6},           /* itself */
               {{0xc0, 14, 0xc0, 12}, 8}, /* forwards */
               {{1, 'a', 0xc0, 12}, 8},   /* back to its own beginning */
               {{0x40, 'a', 0}, 7},       /* a reserved kind */
               {{5, 'a', 0}, 3},          /* past the end */
               {{0xc0}, 1}};
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        memcpy(head + 12, bad[i].p, sizeof bad[i].p);
        assert_int_equal(stoq_dns_open(&r, stoq_span(head, 12 + bad[i].n)), STOQ_OK);
        assert_false(stoq_dns_next(&r, &e));
        assert_true(r.bad);
    }
    const uint8_t good[] = {1, 'A', 0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0x80, 1};
    memcpy(head + 12, good, sizeof good);
    head[5] = 2;
    assert_int_equal(stoq_dns_open(&r, stoq_span(head, 12 + sizeof good)), STOQ_OK);
    assert_true(stoq_dns_next(&r, &e) && !e.top);
    struct stoq_dns_name first = e.name;
    assert_true(stoq_dns_next(&r, &e) && e.top);
    assert_true(stoq_dns_same(&first, &e.name));
    assert_false(stoq_dns_next(&r, &e));
    assert_false(r.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probes_thrice_then_announces_twice),
        cmocka_unit_test(a_browser_gets_all_in_one_answer_once_a_second),
        cmocka_unit_test(what_the_asker_knows_is_not_told_again),
        cmocka_unit_test(types_that_are_not_there_are_denied),
        cmocka_unit_test(other_ports_get_a_plain_answer_of_their_own),
        cmocka_unit_test(a_taken_name_gives_way_to_the_next),
        cmocka_unit_test(somebody_hostile_costs_no_flood),
        cmocka_unit_test(the_lesser_of_two_that_probe_waits),
        cmocka_unit_test(a_name_is_defended_at_once),
        cmocka_unit_test(it_leaves_with_a_goodbye_and_others_cannot_say_it),
        cmocka_unit_test(a_link_that_takes_nothing_is_tried_again),
        cmocka_unit_test(names_do_not_lead_in_circles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
