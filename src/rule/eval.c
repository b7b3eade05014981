/*
 * One expression for one candidate: a walk over its nodes in postfix order with a stack of values. Every
 * operation is total. Numbers saturate; what is not known, and a division by zero, gives "not known";
 * and/or/not are Kleene's: false and unknown is false, true or unknown is true.
 */
#include "rule/rule_internal.h"

#include <string.h>

static struct stoq_rule_value truth(bool known, bool yes)
{
    return (struct stoq_rule_value){.type = STOQ_RULE_BOOL, .known = known, .number = known && yes};
}

static int64_t clamp_add(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

static int64_t clamp_neg(int64_t a)
{
    return a == INT64_MIN ? INT64_MAX : -a;
}

static int64_t clamp_sub(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_sub_overflow(a, b, &r)) {
        return a < 0 ? INT64_MIN : INT64_MAX;
    }
    return r;
}

static int64_t clamp_mul(int64_t a, int64_t b)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    }
    return r;
}

static struct stoq_rule_value arithmetic(enum rule_op op, const struct stoq_rule_value *a,
                                         const struct stoq_rule_value *b)
{
    struct stoq_rule_value out = {.type = STOQ_RULE_NUMBER, .known = a->known && b->known};
    int64_t x = a->number;
    int64_t y = b->number;
    bool divides = op == OP_DIV || op == OP_MOD;
    if (!out.known || (divides && y == 0)) {
        out.known = false;
        return out;
    }
    switch (op) {
    case OP_ADD:
        out.number = clamp_add(x, y);
        break;
    case OP_SUB:
        out.number = clamp_sub(x, y);
        break;
    case OP_MUL:
        out.number = clamp_mul(x, y);
        break;
    case OP_DIV:
        out.number = y == -1 ? clamp_neg(x) : x / y;
        break;
    case OP_MOD:
        out.number = y == -1 ? 0 : x % y;
        break;
    case OP_MIN:
        out.number = x < y ? x : y;
        break;
    default:
        out.number = x > y ? x : y;
        break;
    }
    return out;
}

/* <0, 0, >0; of the same type. */
static int compare(const struct stoq_rule_value *a, const struct stoq_rule_value *b)
{
    if (a->type == STOQ_RULE_TEXT) {
        return stoq_span_cmp(a->text, b->text);
    }
    return (a->number > b->number) - (a->number < b->number);
}

static struct stoq_rule_value relation(enum rule_op op, const struct stoq_rule_value *a,
                                       const struct stoq_rule_value *b)
{
    int c = a->known && b->known ? compare(a, b) : 0;
    bool yes = false;
    switch (op) {
    case OP_EQ:
        yes = c == 0;
        break;
    case OP_NE:
        yes = c != 0;
        break;
    case OP_LT:
        yes = c < 0;
        break;
    case OP_LE:
        yes = c <= 0;
        break;
    case OP_GT:
        yes = c > 0;
        break;
    default:
        yes = c >= 0;
        break;
    }
    return truth(a->known && b->known, yes);
}

static struct stoq_rule_value affix(enum rule_op op, const struct stoq_rule_value *a,
                                    const struct stoq_rule_value *b)
{
    size_t n = b->text.n;
    bool known = a->known && b->known;
    if (!known || n > a->text.n) {
        return truth(known, false);
    }
    const uint8_t *from = op == OP_STARTS ? a->text.p : a->text.p + a->text.n - n;
    return truth(true, stoq_span_eq(stoq_span(from, n), b->text));
}

static struct stoq_rule_value logic(enum rule_op op, const struct stoq_rule_value *a,
                                    const struct stoq_rule_value *b)
{
    bool decides = op == OP_OR; /* the value that settles it alone */
    if ((a->known && (a->number != 0) == decides) || (b->known && (b->number != 0) == decides)) {
        return truth(true, decides);
    }
    return truth(a->known && b->known, !decides);
}

static struct stoq_rule_value node_value(const struct node *n)
{
    switch ((enum rule_op)n->op) {
    case OP_NUMBER:
        return (struct stoq_rule_value){
            .type = STOQ_RULE_NUMBER, .known = true, .number = n->number};
    case OP_TEXT:
        return (struct stoq_rule_value){.type = STOQ_RULE_TEXT, .known = true, .text = n->text};
    default:
        return truth(true, n->number != 0);
    }
}

static struct stoq_rule_value one_of(const struct stoq_rule_value *a, const struct node *list,
                                     uint32_t count)
{
    bool yes = false;
    for (uint32_t i = 0; a->known && i < count; i++) {
        struct stoq_rule_value item = node_value(&list[i]);
        yes = yes || compare(a, &item) == 0;
    }
    return truth(a->known, yes);
}

static struct stoq_rule_value binary(enum rule_op op, const struct stoq_rule_value *a,
                                     const struct stoq_rule_value *b)
{
    if (op == OP_AND || op == OP_OR) {
        return logic(op, a, b);
    }
    if (op >= OP_EQ && op <= OP_GE) {
        return relation(op, a, b);
    }
    if (op == OP_STARTS || op == OP_ENDS) {
        return affix(op, a, b);
    }
    return arithmetic(op, a, b);
}

struct stoq_rule_value rule_eval(const struct stoq_rule *rule, const struct clause *clause,
                                 const struct stoq_rule_value *values)
{
    struct stoq_rule_value stack[STOQ_RULE_DEPTH_MAX];
    uint32_t n = 0;
    for (uint32_t i = clause->first; i < (uint32_t)clause->first + clause->count; i++) {
        const struct node *node = &rule->nodes[i];
        enum rule_op op = (enum rule_op)node->op;
        if (op <= OP_FIELD) {
            STOQ_ASSERT(n < STOQ_RULE_DEPTH_MAX);
            stack[n++] = op == OP_FIELD ? values[node->field] : node_value(node);
            continue;
        }
        STOQ_ASSERT(n > 0);
        struct stoq_rule_value *top = &stack[n - 1];
        if (op == OP_IN) {
            *top = one_of(top, &rule->nodes[i + 1], node->count);
            i += node->count;
        } else if (op == OP_NOT) {
            *top = truth(top->known, top->number == 0);
        } else if (op == OP_NEG) {
            top->number = clamp_neg(top->number);
        } else if (op == OP_KNOWN) {
            *top = truth(true, top->known);
        } else {
            STOQ_ASSERT(n > 1);
            stack[n - 2] = binary(op, &stack[n - 2], top);
            n--;
        }
    }
    STOQ_ASSERT(n == 1);
    return stack[0];
}
