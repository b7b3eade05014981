#include "rule/rule.h"

#include <stdlib.h>

/*
 * Any bytes as a rule. Refused: the fault lies in the text and has words. Read: it judges candidates
 * with known, unknown and extreme values; each comes out once, the order and the clauses agree with the
 * outcome, and the clauses' own text, read again, gives the same verdicts.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 4, CANDIDATES = 6 };

static const struct stoq_rule_field fields[FIELDS] = {
    {"rate", STOQ_RULE_NUMBER},
    {"rtt", STOQ_RULE_NUMBER},
    {"region", STOQ_RULE_TEXT},
    {"connected", STOQ_RULE_BOOL},
};

static void fill(struct stoq_rule_value values[CANDIDATES * FIELDS])
{
    static const int64_t numbers[CANDIDATES] = {0, 1, -1, INT64_MAX, INT64_MIN, 1000};
    static const char *const regions[CANDIDATES] = {"eu", "eu", "us", "", "eu-west", "a"};
    for (int c = 0; c < CANDIDATES; c++) {
        struct stoq_rule_value *v = &values[c * FIELDS];
        for (int f = 0; f < FIELDS; f++) {
            v[f] = (struct stoq_rule_value){.type = fields[f].type, .known = (c + f) % 4 != 3};
        }
        v[0].number = numbers[c];
        v[1].number = numbers[CANDIDATES - 1 - c];
        v[2].text = stoq_span_str(regions[c]);
        v[3].number = c & 1;
    }
}

static void check_order(const struct stoq_rule *rule, const struct stoq_rule_verdict *v,
                        size_t kept)
{
    bool seen[CANDIDATES] = {false};
    struct stoq_rule_clause clause;
    for (size_t i = 0; i < CANDIDATES; i++) {
        STOQ_ASSERT(v[i].candidate < CANDIDATES && !seen[v[i].candidate]);
        seen[v[i].candidate] = true;
        STOQ_ASSERT((v[i].outcome == STOQ_RULE_KEPT) == (i < kept));
        STOQ_ASSERT(i == 0 || v[i - 1].outcome <= v[i].outcome);
        if (v[i].outcome != STOQ_RULE_KEPT) {
            STOQ_ASSERT(stoq_rule_clause(rule, v[i].clause, &clause));
            STOQ_ASSERT((clause.kind == STOQ_RULE_TAKE) == (v[i].outcome == STOQ_RULE_BEYOND));
            STOQ_ASSERT((clause.kind == STOQ_RULE_APART) == (v[i].outcome == STOQ_RULE_SAME));
        }
        if (i > 0 && i < kept) {
            STOQ_ASSERT(v[i - 1].prefer[0] >= v[i].prefer[0]);
        }
    }
}

/* The clauses' texts, joined. */
static struct stoq_rule *read_again(const struct stoq_rule *rule)
{
    struct stoq_buf text;
    struct stoq_rule_clause clause;
    struct stoq_rule_fault fault;
    struct stoq_rule *again = NULL;
    stoq_buf_init(&text, STOQ_RULE_BYTES_MAX + STOQ_RULE_CLAUSES_MAX);
    for (size_t i = 0; stoq_rule_clause(rule, i, &clause); i++) {
        STOQ_ASSERT(stoq_buf_add(&text, clause.text) == STOQ_OK);
        STOQ_ASSERT(stoq_buf_add(&text, stoq_span_str("\n")) == STOQ_OK);
    }
    if (text.n <= STOQ_RULE_BYTES_MAX) {
        STOQ_ASSERT(stoq_rule_new(&again, fields, FIELDS, stoq_buf_span(&text), &fault) == STOQ_OK);
    }
    stoq_buf_release(&text);
    return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_rule *rule = NULL;
    struct stoq_rule_fault fault;
    struct stoq_rule_value values[CANDIDATES * FIELDS];
    struct stoq_rule_verdict v[CANDIDATES];
    struct stoq_rule_verdict w[CANDIDATES];
    enum stoq_status st = stoq_rule_new(&rule, fields, FIELDS, stoq_span(data, size), &fault);
    if (st != STOQ_OK) {
        STOQ_ASSERT(st == STOQ_MALFORMED || st == STOQ_FULL);
        STOQ_ASSERT(fault.why != STOQ_RULE_WHY_NONE && fault.line > 0 && fault.column > 0);
        STOQ_ASSERT((size_t)fault.offset + fault.length <= size || fault.why == STOQ_RULE_WHY_LONG);
        STOQ_ASSERT(stoq_rule_why_str(fault.why)[0] != '\0');
        return 0;
    }
    fill(values);
    size_t kept = stoq_rule_choose(rule, values, CANDIDATES, v);
    check_order(rule, v, kept);
    struct stoq_rule *again = read_again(rule);
    if (again != NULL) {
        STOQ_ASSERT(stoq_rule_choose(again, values, CANDIDATES, w) == kept);
        for (size_t i = 0; i < CANDIDATES; i++) {
            STOQ_ASSERT(v[i].candidate == w[i].candidate && v[i].outcome == w[i].outcome);
        }
    }
    stoq_rule_free(again);
    stoq_rule_free(rule);
    return 0;
}
