#include "rule/rule.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { FIELDS = 5, MANY = 300 };

static const struct stoq_rule_field fields[FIELDS] = {
    {"rate", STOQ_RULE_NUMBER}, {"rtt", STOQ_RULE_NUMBER},     {"region", STOQ_RULE_TEXT},
    {"site", STOQ_RULE_TEXT},   {"connected", STOQ_RULE_BOOL},
};

static struct stoq_rule_value number(int64_t v)
{
    return (struct stoq_rule_value){.type = STOQ_RULE_NUMBER, .known = true, .number = v};
}

static struct stoq_rule_value text(const char *s)
{
    return (struct stoq_rule_value){
        .type = STOQ_RULE_TEXT, .known = s != NULL, .text = stoq_span_str(s != NULL ? s : "")};
}

static struct stoq_rule_value truth(bool v)
{
    return (struct stoq_rule_value){.type = STOQ_RULE_BOOL, .known = true, .number = v};
}

static struct stoq_rule *rule_of(const char *s)
{
    struct stoq_rule *rule = NULL;
    struct stoq_rule_fault fault;
    if (stoq_rule_new(&rule, fields, FIELDS, stoq_span_str(s), &fault) != STOQ_OK) {
        fail_msg("%u:%u: %s in: %s", fault.line, fault.column, stoq_rule_why_str(fault.why), s);
    }
    return rule;
}

/* Is a candidate of rate 1000, rtt 20, region eu, site unknown, connected kept by `require EXPR`? */
static bool holds(const char *expr)
{
    char line[512];
    const struct stoq_rule_value values[FIELDS] = {number(1000), number(20), text("eu"), text(NULL),
                                                   truth(true)};
    struct stoq_rule_verdict v;
    (void)snprintf(line, sizeof line, "require %s", expr);
    struct stoq_rule *rule = rule_of(line);
    bool kept = stoq_rule_choose(rule, values, 1, &v) == 1;
    stoq_rule_free(rule);
    return kept;
}

static void expressions_mean_what_they_say(void **state)
{
    static const char *const yes[] = {
        "rate == 1000",
        "rate == 1 kB and rtt == 20ms and 1 min == 60 s and 1 h == 60 min and 1 d == 24 h",
        "1 KiB == 1024 and 1MiB == 1024 KiB and 1 GiB == 1024MiB and 2 B == 2 and 1 TB == 1000 GB",
        "2 + 3 * 4 == 14 and (2 + 3) * 4 == 20 and 7 - 2 - 1 == 4 and 7 / 2 == 3 and 7 % 4 == 3",
        "-rtt == 0 - 20 and - - 3 == 3 and -2 * -3 == 6",
        "not rtt > 30 and not not connected",
        "connected or rtt > 1000 and false",
        "region in (\"us\", \"eu\") and rtt in (1, 20) and not region in (\"us\")",
        "starts(region, \"e\") and ends(region, \"u\") and not starts(region, \"eu2\")",
        "min(rate, rtt) == 20 and max(1, max(2, 3)) == 3",
        "region == \"eu\" and region != \"EU\"",
        "known(rate) and not known(site) and not known(rate / 0) and not known(rate % 0)",
        "site == \"x\" or true",
        "not (site == \"x\" and false)",
        "connected == true and connected != false",
        "9223372036854775807 + 1 == 9223372036854775807",
        "(0 - 9223372036854775807 - 5) / -1 == 9223372036854775807",
        "9223372036854775807 * -2 < 0 - 9223372036854775807",
    };
    static const char *const no[] = {
        "rate != 1000",         "site == \"x\"",      "site != \"x\"",
        "not site == \"x\"",    "site in (\"x\")",    "site == \"x\" or false",
        "rate / 0 == rate / 0", "starts(site, \"\")", "connected and site == \"x\"",
    };
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(yes); i++) {
        if (!holds(yes[i])) {
            fail_msg("does not hold: %s", yes[i]);
        }
    }
    for (size_t i = 0; i < STOQ_COUNT(no); i++) {
        if (holds(no[i])) {
            fail_msg("holds: %s", no[i]);
        }
    }
}

static void faults_name_line_and_column(void **state)
{
    static const struct {
        const char *text;
        enum stoq_rule_why why;
        uint32_t line;
        uint32_t column;
        uint32_t length;
    } cases[] = {
        {"require rate > 1\n  require speed > 2", STOQ_RULE_WHY_NAME, 2, 11, 5},
        {"require rate >", STOQ_RULE_WHY_OPERAND, 1, 15, 0},
        {"require rate > take 3", STOQ_RULE_WHY_OPERAND, 1, 16, 4},
        {"keep rate > 1", STOQ_RULE_WHY_CLAUSE, 1, 1, 4},
        {"require rate > 1 2", STOQ_RULE_WHY_OPERATOR, 1, 18, 1},
        {"require rate > 1 &", STOQ_RULE_WHY_BYTE, 1, 18, 1},
        {"require region == \"eu", STOQ_RULE_WHY_QUOTE, 1, 19, 3},
        {"require rate > 12parsecs", STOQ_RULE_WHY_NUMBER, 1, 16, 9},
        {"require rate > 9223372036854775808", STOQ_RULE_WHY_NUMBER, 1, 16, 19},
        {"require rate > 9223372036854775807 KiB", STOQ_RULE_WHY_NUMBER, 1, 16, 23},
        {"require (rate > 1", STOQ_RULE_WHY_UNCLOSED, 1, 9, 1},
        {"require rate > 1)", STOQ_RULE_WHY_CLOSE, 1, 17, 1},
        {"require (rate, 1) > 1", STOQ_RULE_WHY_COMMA, 1, 14, 1},
        {"require min(1) > 1", STOQ_RULE_WHY_ARGUMENTS, 1, 9, 3},
        {"require min(1, 2, 3) > 1", STOQ_RULE_WHY_ARGUMENTS, 1, 9, 3},
        {"require min 1 > 1", STOQ_RULE_WHY_OPEN, 1, 13, 1},
        {"require region in \"eu\"", STOQ_RULE_WHY_OPEN, 1, 19, 2},
        {"require region in (site)", STOQ_RULE_WHY_LITERAL, 1, 20, 4},
        {"require region in (\"a\", 2)", STOQ_RULE_WHY_WANT_SAME, 1, 25, 1},
        {"require region in (\"a\"", STOQ_RULE_WHY_UNCLOSED, 1, 23, 0},
        {"require 1 < rtt < 3", STOQ_RULE_WHY_CHAIN, 1, 17, 1},
        {"require rate", STOQ_RULE_WHY_WANT_BOOL, 1, 9, 4},
        {"require rate == region", STOQ_RULE_WHY_WANT_SAME, 1, 14, 2},
        {"require rate and connected", STOQ_RULE_WHY_WANT_BOOL, 1, 14, 3},
        {"require region + 1 > 2", STOQ_RULE_WHY_WANT_NUMBER, 1, 16, 1},
        {"require starts(rate, \"a\")", STOQ_RULE_WHY_WANT_TEXT, 1, 9, 6},
        {"require region < \"fr\"", STOQ_RULE_WHY_WANT_NUMBER, 1, 16, 1},
        {"prefer region", STOQ_RULE_WHY_WANT_NUMBER, 1, 8, 6},
        {"take 0", STOQ_RULE_WHY_COUNT, 1, 6, 1},
        {"take 3\ntake 4", STOQ_RULE_WHY_TWICE, 2, 6, 1},
        {"apart 3", STOQ_RULE_WHY_NAME, 1, 7, 1},
    };
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(cases); i++) {
        struct stoq_rule *rule = NULL;
        struct stoq_rule_fault f;
        struct stoq_span s = stoq_span_str(cases[i].text);
        if (stoq_rule_new(&rule, fields, FIELDS, s, &f) != STOQ_MALFORMED ||
            f.why != cases[i].why || f.line != cases[i].line || f.column != cases[i].column ||
            f.length != cases[i].length) {
            fail_msg("%u:%u+%u %s for: %s", f.line, f.column, f.length, stoq_rule_why_str(f.why),
                     cases[i].text);
        }
        assert_string_not_equal(stoq_rule_why_str(f.why), "unknown fault");
    }
}

static void refused_for(const struct stoq_buf *b, enum stoq_rule_why why)
{
    struct stoq_rule *rule = NULL;
    struct stoq_rule_fault fault;
    assert_int_equal(stoq_rule_new(&rule, fields, FIELDS, stoq_buf_span(b), &fault), STOQ_FULL);
    assert_int_equal(fault.why, why);
}

static void repeat(struct stoq_buf *b, const char *head, const char *part, size_t times)
{
    stoq_buf_clear(b);
    assert_int_equal(stoq_buf_add(b, stoq_span_str(head)), STOQ_OK);
    for (size_t i = 0; i < times; i++) {
        assert_int_equal(stoq_buf_add(b, stoq_span_str(part)), STOQ_OK);
    }
}

static void limits_are_held(void **state)
{
    struct stoq_buf b;
    struct stoq_rule_fault fault;
    struct stoq_rule *rule;
    (void)state;
    stoq_buf_init(&b, 100000);
    repeat(&b, "require connected", " ", STOQ_RULE_BYTES_MAX);
    refused_for(&b, STOQ_RULE_WHY_LONG);
    repeat(&b, "require ", "(", STOQ_RULE_DEPTH_MAX + 1);
    refused_for(&b, STOQ_RULE_WHY_DEEP);
    repeat(&b, "require 1 == ", "-", STOQ_RULE_DEPTH_MAX + 1);
    refused_for(&b, STOQ_RULE_WHY_DEEP);
    repeat(&b, "require connected", " or connected", STOQ_RULE_NODES_MAX / 2);
    refused_for(&b, STOQ_RULE_WHY_MANY_NODES);
    repeat(&b, "require rate in (1", ",1", STOQ_RULE_NODES_MAX);
    assert_int_equal(stoq_buf_add(&b, stoq_span_str(")")), STOQ_OK);
    refused_for(&b, STOQ_RULE_WHY_MANY_NODES);
    repeat(&b, "", "apart site\n", STOQ_RULE_CLAUSES_MAX + 1);
    refused_for(&b, STOQ_RULE_WHY_MANY_CLAUSES);
    repeat(&b, "", "prefer rate\n", STOQ_RULE_PREFER_MAX + 1);
    refused_for(&b, STOQ_RULE_WHY_MANY_PREFERS);
    /* One less of each is fine. */
    repeat(&b, "require connected", " or connected", STOQ_RULE_NODES_MAX / 2 - 1);
    assert_int_equal(stoq_rule_new(&rule, fields, FIELDS, stoq_buf_span(&b), &fault), STOQ_OK);
    stoq_rule_free(rule);
    repeat(&b, "", "apart site\n", STOQ_RULE_CLAUSES_MAX);
    assert_int_equal(stoq_rule_new(&rule, fields, FIELDS, stoq_buf_span(&b), &fault), STOQ_OK);
    stoq_rule_free(rule);
    stoq_buf_release(&b);
}

static void verdicts_name_the_clause(void **state)
{
    const struct stoq_rule_value values[] = {
        number(50),  number(10), text("eu"), text("a"), truth(true), /* 0: slow */
        number(900), number(10), text("eu"), text("a"), truth(true), /* 1: kept second */
        number(950), number(10), text("eu"), text("b"), truth(true), /* 2: kept first */
        number(800), number(10), text("eu"), text("a"), truth(true), /* 3: same site as 1 */
        number(700), number(10), text("eu"), text("c"), truth(true), /* 4: kept third */
        number(600), number(10), text("eu"), text("d"), truth(true), /* 5: beyond take */
        number(999), number(90), text("eu"), text("e"), truth(true), /* 6: dropped by rtt */
        number(999), number(10), text(NULL), text("f"), truth(true), /* 7: region not known */
    };
    static const struct {
        uint32_t candidate;
        enum stoq_rule_outcome outcome;
        uint32_t clause;
    } want[] = {
        {2, STOQ_RULE_KEPT, 0},    {1, STOQ_RULE_KEPT, 0},    {4, STOQ_RULE_KEPT, 0},
        {5, STOQ_RULE_BEYOND, 5},  {3, STOQ_RULE_SAME, 4},    {0, STOQ_RULE_DROPPED, 1},
        {6, STOQ_RULE_DROPPED, 2}, {7, STOQ_RULE_DROPPED, 0},
    };
    struct stoq_rule_verdict v[STOQ_COUNT(want)];
    struct stoq_rule_clause clause;
    (void)state;
    struct stoq_rule *rule = rule_of("require region == \"eu\"   # here\n"
                                     "require rate >= 100\n"
                                     "drop rtt > 50 or not connected\n"
                                     "prefer rate\n"
                                     "apart site\n"
                                     "take 3");
    assert_int_equal(stoq_rule_choose(rule, values, STOQ_COUNT(want), v), 3);
    for (size_t i = 0; i < STOQ_COUNT(want); i++) {
        assert_int_equal(v[i].candidate, want[i].candidate);
        assert_int_equal(v[i].outcome, want[i].outcome);
        if (want[i].outcome != STOQ_RULE_KEPT) {
            assert_int_equal(v[i].clause, want[i].clause);
        }
    }
    assert_int_equal(v[4].beside, 1);
    assert_int_equal(v[0].prefer[0], 950);
    assert_true(stoq_rule_clause(rule, 2, &clause));
    assert_int_equal(clause.kind, STOQ_RULE_DROP);
    assert_int_equal(clause.line, 3);
    assert_true(stoq_span_eq(clause.text, stoq_span_str("drop rtt > 50 or not connected")));
    assert_int_equal(clause.field_count, 2);
    assert_int_equal(clause.fields[0], 1);
    assert_int_equal(clause.fields[1], 4);
    assert_true(stoq_rule_clause(rule, 0, &clause));
    assert_true(stoq_span_eq(clause.text, stoq_span_str("require region == \"eu\"")));
    assert_false(stoq_rule_clause(rule, 6, &clause));
    stoq_rule_free(rule);
}

static void unknown_is_neither_true_nor_apart(void **state)
{
    const struct stoq_rule_value values[] = {
        number(5), number(1), text("eu"), text(NULL), truth(true),
        number(4), number(1), text("eu"), text(NULL), truth(true),
        number(3), number(1), text("eu"), text("x"),  truth(true),
    };
    struct stoq_rule_verdict v[3];
    (void)state;
    struct stoq_rule *rule = rule_of("drop site == \"x\"");
    assert_int_equal(stoq_rule_choose(rule, values, 3, v), 2); /* not known: not dropped either */
    stoq_rule_free(rule);
    rule = rule_of("apart site");
    assert_int_equal(stoq_rule_choose(rule, values, 3, v), 2);
    assert_int_equal(v[2].candidate, 1);
    assert_int_equal(v[2].beside, 0);
    stoq_rule_free(rule);
    rule = rule_of("prefer rate / (rate - 5)"); /* not known sorts last */
    assert_int_equal(stoq_rule_choose(rule, values, 3, v), 3);
    assert_int_equal(v[2].candidate, 0);
    stoq_rule_free(rule);
}

/* The same choice written out in C over random candidates. */
static void agrees_with_a_model(void **state)
{
    static struct stoq_rule_value values[MANY * FIELDS];
    static struct stoq_rule_verdict v[MANY];
    static const char *const regions[] = {"eu", "us", "asia", NULL};
    static const char *const sites[] = {"s0", "s1", "s2", "s3", "s4", "s5", NULL};
    struct stoq_prng r = stoq_prng(11);
    (void)state;
    struct stoq_rule *rule = rule_of("require region in (\"eu\", \"us\") and rate >= 100 KiB\n"
                                     "drop rtt > 80 ms and not connected\n"
                                     "prefer rate / 1 KiB - rtt\n"
                                     "apart site take 5");
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + (size_t)stoq_prng_below(&r, MANY);
        for (size_t c = 0; c < n; c++) {
            struct stoq_rule_value *x = &values[c * FIELDS];
            x[0] = number((int64_t)stoq_prng_below(&r, 400 * 1024));
            x[1] = number((int64_t)stoq_prng_below(&r, 160));
            x[1].known = stoq_prng_below(&r, 8) > 0;
            x[2] = text(regions[stoq_prng_below(&r, STOQ_COUNT(regions))]);
            x[3] = text(sites[stoq_prng_below(&r, STOQ_COUNT(sites))]);
            x[4] = truth(stoq_prng_below(&r, 2) == 0);
        }
        size_t kept = stoq_rule_choose(rule, values, n, v);
        bool used[MANY] = {false};
        bool site_used[STOQ_COUNT(sites)] = {false};
        size_t want = 0;
        for (; want < 5; want++) {
            size_t best = SIZE_MAX;
            int64_t best_key = 0;
            for (size_t c = 0; c < n; c++) {
                const struct stoq_rule_value *x = &values[c * FIELDS];
                size_t site = x[3].known ? (size_t)(x[3].text.p[1] - '0') : STOQ_COUNT(sites) - 1;
                bool here = x[2].known && x[2].text.p[0] != 'a';
                bool dropped = x[1].known && x[1].number > 80 && x[4].number == 0;
                int64_t key = x[1].known ? x[0].number / 1024 - x[1].number : INT64_MIN;
                if (!used[c] && here && x[0].number >= 102400 && !dropped && !site_used[site] &&
                    (best == SIZE_MAX || key > best_key)) {
                    best = c;
                    best_key = key;
                }
            }
            if (best == SIZE_MAX) {
                break;
            }
            const struct stoq_rule_value *x = &values[best * FIELDS];
            used[best] = true;
            site_used[x[3].known ? (size_t)(x[3].text.p[1] - '0') : STOQ_COUNT(sites) - 1] = true;
            assert_true(want < kept);
            assert_int_equal(v[want].candidate, best);
        }
        assert_int_equal(kept, want);
    }
    stoq_rule_free(rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expressions_mean_what_they_say),
        cmocka_unit_test(faults_name_line_and_column),
        cmocka_unit_test(limits_are_held),
        cmocka_unit_test(verdicts_name_the_clause),
        cmocka_unit_test(unknown_is_neither_true_nor_apart),
        cmocka_unit_test(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
