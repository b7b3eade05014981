/*
 * Verdicts: require and drop look at each candidate alone; the rest are put in order, and from the first
 * on each is kept unless it shares the value of an "apart" field with one kept before. That is greedy: a
 * better candidate is never given up for two lesser ones. Fields that are not known count as one
 * value: nothing says that such candidates are apart.
 */
#include "rule/rule_internal.h"

#include <stdlib.h>

static void judge(const struct stoq_rule *rule, const struct stoq_rule_value *values,
                  struct stoq_rule_verdict *v)
{
    uint32_t prefers = 0;
    for (uint32_t i = 0; i < rule->clause_count; i++) {
        const struct clause *c = &rule->clauses[i];
        if (c->kind == STOQ_RULE_APART || c->kind == STOQ_RULE_TAKE) {
            continue;
        }
        struct stoq_rule_value r = rule_eval(rule, c, values);
        bool yes = r.known && r.number != 0;
        if (c->kind == STOQ_RULE_PREFER) {
            v->prefer[prefers++] = r.known ? r.number : INT64_MIN;
        } else if (yes != (c->kind == STOQ_RULE_REQUIRE) && v->outcome == STOQ_RULE_KEPT) {
            v->outcome = STOQ_RULE_DROPPED;
            v->clause = i;
        }
    }
}

static int by_preference(const void *left, const void *right)
{
    const struct stoq_rule_verdict *a = left;
    const struct stoq_rule_verdict *b = right;
    if (a->outcome != b->outcome) {
        return a->outcome < b->outcome ? -1 : 1;
    }
    for (size_t i = 0; i < STOQ_RULE_PREFER_MAX && a->outcome != STOQ_RULE_DROPPED; i++) {
        if (a->prefer[i] != b->prefer[i]) {
            return a->prefer[i] > b->prefer[i] ? -1 : 1;
        }
    }
    return a->candidate < b->candidate ? -1 : 1;
}

static bool same_value(const struct stoq_rule_value *a, const struct stoq_rule_value *b)
{
    if (!a->known || !b->known) {
        return a->known == b->known;
    }
    return a->type == STOQ_RULE_TEXT ? stoq_span_eq(a->text, b->text) : a->number == b->number;
}

/* Does v stand beside one of the first kept? */
static void place(const struct stoq_rule *rule, const struct stoq_rule_value *values,
                  const struct stoq_rule_verdict *all, size_t before, struct stoq_rule_verdict *v)
{
    for (uint32_t i = 0; i < rule->clause_count; i++) {
        const struct clause *c = &rule->clauses[i];
        for (size_t k = 0; k < before && c->kind == STOQ_RULE_APART; k++) {
            if (all[k].outcome == STOQ_RULE_KEPT &&
                same_value(&values[v->candidate * rule->field_count + c->field],
                           &values[all[k].candidate * rule->field_count + c->field])) {
                v->outcome = STOQ_RULE_SAME;
                v->clause = i;
                v->beside = all[k].candidate;
                return;
            }
        }
    }
}

static const struct clause *find_take(const struct stoq_rule *rule)
{
    for (uint32_t i = 0; i < rule->clause_count; i++) {
        if (rule->clauses[i].kind == STOQ_RULE_TAKE) {
            return &rule->clauses[i];
        }
    }
    return NULL;
}

size_t stoq_rule_choose(const struct stoq_rule *rule, const struct stoq_rule_value *values,
                        size_t count, struct stoq_rule_verdict *out)
{
    STOQ_ASSERT(count <= STOQ_RULE_CANDIDATES_MAX);
    size_t kept = 0;
    if (count == 0) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = (struct stoq_rule_verdict){.candidate = (uint32_t)i};
        judge(rule, values + i * rule->field_count, &out[i]);
    }
    qsort(out, count, sizeof *out, by_preference);
    const struct clause *take = find_take(rule);
    for (size_t i = 0; i < count && out[i].outcome == STOQ_RULE_KEPT; i++) {
        if (take != NULL && kept == take->take) {
            out[i].outcome = STOQ_RULE_BEYOND;
            out[i].clause = (uint32_t)(take - rule->clauses);
        } else {
            place(rule, values, out, i, &out[i]);
            kept += out[i].outcome == STOQ_RULE_KEPT;
        }
    }
    qsort(out, count, sizeof *out, by_preference);
    return kept;
}
