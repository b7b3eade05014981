/*
 * Tokens to clauses. Expressions are read by operator precedence with a stack of our own (Dijkstra's
 * shunting yard): operands go out as they come, an operator waits until one that binds no tighter
 * follows. What comes out is postfix order, which a second stack evaluates without recursion. A stack of
 * types runs along, so that no rule that was read can meet a value of the wrong type.
 */
#include "rule/rule_internal.h"

#include <stdlib.h>
#include <string.h>

/* Operators by how tightly they bind; functions and "(" wait for their ")". */
static const struct {
    uint8_t binding;
    uint8_t args;
} op_table[] = {
    [OP_OR] = {1, 2},     [OP_AND] = {2, 2},  [OP_NOT] = {3, 1}, [OP_EQ] = {4, 2},
    [OP_NE] = {4, 2},     [OP_LT] = {4, 2},   [OP_LE] = {4, 2},  [OP_GT] = {4, 2},
    [OP_GE] = {4, 2},     [OP_ADD] = {5, 2},  [OP_SUB] = {5, 2}, [OP_MUL] = {6, 2},
    [OP_DIV] = {6, 2},    [OP_MOD] = {6, 2},  [OP_NEG] = {7, 1}, [OP_KNOWN] = {0, 1},
    [OP_STARTS] = {0, 2}, [OP_ENDS] = {0, 2}, [OP_MIN] = {0, 2}, [OP_MAX] = {0, 2},
    [OP_OPEN] = {0, 1},
};
#define COMPARES 4

static const struct {
    const char *name;
    enum rule_op op;
} functions[] = {
    {"known", OP_KNOWN}, {"starts", OP_STARTS}, {"ends", OP_ENDS}, {"min", OP_MIN}, {"max", OP_MAX},
};

static const char *const clause_words[] = {
    [STOQ_RULE_REQUIRE] = "require", [STOQ_RULE_DROP] = "drop", [STOQ_RULE_PREFER] = "prefer",
    [STOQ_RULE_APART] = "apart",     [STOQ_RULE_TAKE] = "take",
};

struct waiting {
    enum rule_op op;
    uint32_t args; /* functions: seen so far */
    struct token token;
};

struct parser {
    struct stoq_rule *rule;
    struct lexer lx;
    struct stoq_rule_fault *fault;
    enum stoq_status status;
    uint32_t prefers;
    bool has_take;
    struct waiting waiting[STOQ_RULE_DEPTH_MAX];
    uint32_t waiting_count;
    enum stoq_rule_type types[STOQ_RULE_DEPTH_MAX];
    uint32_t type_count;
};

static bool fail_at(struct parser *p, const struct token *t, enum stoq_rule_why why)
{
    bool limit = why == STOQ_RULE_WHY_LONG || why >= STOQ_RULE_WHY_MANY_NODES;
    p->status = limit ? STOQ_FULL : STOQ_MALFORMED;
    *p->fault = (struct stoq_rule_fault){why, t->line, t->column, t->offset, t->length};
    return false;
}

static bool fail(struct parser *p, enum stoq_rule_why why)
{
    return fail_at(p, &p->lx.token, why);
}

static bool next(struct parser *p)
{
    return lex_next(&p->lx) || fail(p, p->lx.why);
}

static bool emit(struct parser *p, const struct token *t, struct node node)
{
    if (p->rule->node_count == STOQ_RULE_NODES_MAX) {
        return fail_at(p, t, STOQ_RULE_WHY_MANY_NODES);
    }
    p->rule->nodes[p->rule->node_count++] = node;
    return true;
}

static bool operand(struct parser *p, struct node node, enum stoq_rule_type type)
{
    if (p->type_count == STOQ_RULE_DEPTH_MAX) {
        return fail(p, STOQ_RULE_WHY_DEEP);
    }
    p->types[p->type_count++] = type;
    return emit(p, &p->lx.token, node);
}

/* The type that an operator gives for its operands' types, or why not. */
static enum stoq_rule_why apply(enum rule_op op, const enum stoq_rule_type *in,
                                enum stoq_rule_type *out)
{
    *out = STOQ_RULE_BOOL;
    switch (op) {
    case OP_OR:
    case OP_AND:
        if (in[1] != STOQ_RULE_BOOL) {
            return STOQ_RULE_WHY_WANT_BOOL;
        }
        return in[0] == STOQ_RULE_BOOL ? STOQ_RULE_WHY_NONE : STOQ_RULE_WHY_WANT_BOOL;
    case OP_NOT:
        return in[0] == STOQ_RULE_BOOL ? STOQ_RULE_WHY_NONE : STOQ_RULE_WHY_WANT_BOOL;
    case OP_EQ:
    case OP_NE:
        return in[0] == in[1] ? STOQ_RULE_WHY_NONE : STOQ_RULE_WHY_WANT_SAME;
    case OP_KNOWN:
    case OP_IN:
        return STOQ_RULE_WHY_NONE; /* a list's types were compared as it was read */
    case OP_STARTS:
    case OP_ENDS:
        return in[0] == STOQ_RULE_TEXT && in[1] == STOQ_RULE_TEXT ? STOQ_RULE_WHY_NONE
                                                                  : STOQ_RULE_WHY_WANT_TEXT;
    default:
        break;
    }
    if (op < OP_LT || op > OP_GE) {
        *out = STOQ_RULE_NUMBER;
    }
    bool one = op == OP_NEG;
    return in[0] == STOQ_RULE_NUMBER && (one || in[1] == STOQ_RULE_NUMBER)
               ? STOQ_RULE_WHY_NONE
               : STOQ_RULE_WHY_WANT_NUMBER;
}

/* Send the operator on top of the stack out. */
static bool settle(struct parser *p)
{
    const struct waiting *w = &p->waiting[--p->waiting_count];
    uint32_t args = op_table[w->op].args;
    STOQ_ASSERT(p->type_count >= args);
    enum stoq_rule_type type;
    enum stoq_rule_why why = apply(w->op, &p->types[p->type_count - args], &type);
    if (why != STOQ_RULE_WHY_NONE) {
        return fail_at(p, &w->token, why);
    }
    p->type_count -= args;
    p->types[p->type_count++] = type;
    return emit(p, &w->token, (struct node){.op = (uint8_t)w->op});
}

static bool settle_down_to(struct parser *p, uint8_t binding)
{
    while (p->waiting_count > 0 &&
           op_table[p->waiting[p->waiting_count - 1].op].binding >= binding) {
        if (!settle(p)) {
            return false;
        }
    }
    return true;
}

static bool wait_for(struct parser *p, enum rule_op op, const struct token *t)
{
    if (p->waiting_count == STOQ_RULE_DEPTH_MAX) {
        return fail_at(p, t, STOQ_RULE_WHY_DEEP);
    }
    p->waiting[p->waiting_count++] = (struct waiting){.op = op, .args = 1, .token = *t};
    return true;
}

static struct stoq_span token_text(const struct parser *p)
{
    return stoq_span(p->rule->text + p->lx.token.offset, p->lx.token.length);
}

static int find_field(const struct parser *p)
{
    for (size_t i = 0; p->lx.token.kind == TOKEN_WORD && i < p->rule->field_count; i++) {
        if (stoq_span_eq(token_text(p), stoq_span_str(p->rule->fields[i].name))) {
            return (int)i;
        }
    }
    return -1;
}

static int find_clause_word(const struct parser *p)
{
    for (size_t i = 0; i < STOQ_COUNT(clause_words); i++) {
        if (lex_is(&p->lx, clause_words[i])) {
            return (int)i;
        }
    }
    return -1;
}

static bool take_literal(struct parser *p, struct node *out, enum stoq_rule_type *type)
{
    const struct token *t = &p->lx.token;
    if (t->kind == TOKEN_NUMBER) {
        *out = (struct node){.op = OP_NUMBER, .number = t->number};
        *type = STOQ_RULE_NUMBER;
        return true;
    }
    *out = (struct node){.op = OP_TEXT, .text = token_text(p)};
    *type = STOQ_RULE_TEXT;
    return t->kind == TOKEN_TEXT;
}

/* A word where a value is expected; *done: it was all of an operand. */
static bool take_word(struct parser *p, bool *done)
{
    bool yes = lex_is(&p->lx, "true");
    if (yes || lex_is(&p->lx, "false")) {
        return operand(p, (struct node){.op = OP_BOOL, .number = yes}, STOQ_RULE_BOOL) && next(p);
    }
    int field = find_field(p);
    if (field >= 0) {
        return operand(p, (struct node){.op = OP_FIELD, .field = (uint8_t)field},
                       p->rule->fields[field].type) &&
               next(p);
    }
    *done = false;
    struct token t = p->lx.token;
    if (lex_is(&p->lx, "not")) {
        return wait_for(p, OP_NOT, &t) && next(p);
    }
    for (size_t i = 0; i < STOQ_COUNT(functions); i++) {
        if (!lex_is(&p->lx, functions[i].name)) {
            continue;
        }
        if (!wait_for(p, functions[i].op, &t) || !next(p)) {
            return false;
        }
        return (p->lx.token.kind == TOKEN_MARK && p->lx.token.op == OP_OPEN)
                   ? next(p)
                   : fail(p, STOQ_RULE_WHY_OPEN);
    }
    return fail(p, find_clause_word(p) >= 0 ? STOQ_RULE_WHY_OPERAND : STOQ_RULE_WHY_NAME);
}

/* Where a value is expected; *done: an operator may follow. */
static bool take_operand(struct parser *p, bool *done)
{
    struct node node;
    enum stoq_rule_type type;
    *done = true;
    if (take_literal(p, &node, &type)) {
        return operand(p, node, type) && next(p);
    }
    if (p->lx.token.kind == TOKEN_WORD) {
        return take_word(p, done);
    }
    struct token t = p->lx.token;
    *done = false;
    if (t.kind == TOKEN_MARK && (t.op == OP_OPEN || t.op == OP_SUB)) {
        return wait_for(p, t.op == OP_SUB ? OP_NEG : OP_OPEN, &t) && next(p);
    }
    return fail(p, STOQ_RULE_WHY_OPERAND);
}

static bool close_paren(struct parser *p)
{
    if (!settle_down_to(p, 1)) {
        return false;
    }
    if (p->waiting_count == 0) {
        return fail(p, STOQ_RULE_WHY_CLOSE);
    }
    struct waiting *w = &p->waiting[p->waiting_count - 1];
    if (w->op == OP_OPEN) {
        p->waiting_count--;
        return next(p);
    }
    if (w->args != op_table[w->op].args) {
        return fail_at(p, &w->token, STOQ_RULE_WHY_ARGUMENTS);
    }
    return settle(p) && next(p);
}

static bool comma(struct parser *p)
{
    if (!settle_down_to(p, 1)) {
        return false;
    }
    struct waiting *w = p->waiting_count > 0 ? &p->waiting[p->waiting_count - 1] : NULL;
    if (w == NULL || w->op == OP_OPEN) {
        return fail(p, STOQ_RULE_WHY_COMMA);
    }
    if (++w->args > op_table[w->op].args) {
        return fail_at(p, &w->token, STOQ_RULE_WHY_ARGUMENTS);
    }
    return next(p);
}

static bool binary(struct parser *p, enum rule_op op)
{
    uint8_t binding = op_table[op].binding;
    struct token t = p->lx.token;
    bool compares = binding == COMPARES;
    if (!settle_down_to(p, compares ? COMPARES + 1 : binding)) {
        return false;
    }
    if (compares && p->waiting_count > 0 &&
        op_table[p->waiting[p->waiting_count - 1].op].binding == COMPARES) {
        return fail_at(p, &t, STOQ_RULE_WHY_CHAIN);
    }
    return wait_for(p, op, &t) && next(p);
}

/* `in` and its list: a node for the operator, then one for each literal. */
static bool in_list(struct parser *p)
{
    struct token t = p->lx.token;
    if (!settle_down_to(p, COMPARES + 1) || !next(p)) {
        return false;
    }
    enum stoq_rule_type want = p->types[p->type_count - 1];
    uint32_t at = p->rule->node_count;
    if (p->lx.token.kind != TOKEN_MARK || p->lx.token.op != OP_OPEN) {
        return fail(p, STOQ_RULE_WHY_OPEN);
    }
    if (!emit(p, &t, (struct node){.op = OP_IN})) {
        return false;
    }
    p->types[p->type_count - 1] = STOQ_RULE_BOOL;
    do {
        struct node node;
        enum stoq_rule_type type;
        if (!next(p)) {
            return false;
        }
        if (!take_literal(p, &node, &type)) {
            return fail(p, STOQ_RULE_WHY_LITERAL);
        }
        if (type != want) {
            return fail(p, STOQ_RULE_WHY_WANT_SAME);
        }
        if (!emit(p, &p->lx.token, node) || !next(p)) {
            return false;
        }
        p->rule->nodes[at].count++;
    } while (p->lx.token.kind == TOKEN_MARK && p->lx.token.op == OP_COMMA);
    if (p->lx.token.kind != TOKEN_MARK || p->lx.token.op != OP_CLOSE) {
        return fail(p, STOQ_RULE_WHY_UNCLOSED);
    }
    return next(p);
}

/* After a value; *more: another value must follow. *over: the expression has ended. */
static bool take_operator(struct parser *p, bool *more, bool *over)
{
    const struct token *t = &p->lx.token;
    *more = true;
    if (t->kind == TOKEN_MARK && t->op == OP_CLOSE) {
        *more = false;
        return close_paren(p);
    }
    if (t->kind == TOKEN_MARK && t->op == OP_COMMA) {
        return comma(p);
    }
    if (t->kind == TOKEN_MARK && t->op != OP_OPEN) {
        return binary(p, t->op);
    }
    if (lex_is(&p->lx, "and") || lex_is(&p->lx, "or")) {
        return binary(p, lex_is(&p->lx, "and") ? OP_AND : OP_OR);
    }
    *more = false;
    if (lex_is(&p->lx, "in")) {
        return in_list(p);
    }
    *over = true;
    return t->kind == TOKEN_END || find_clause_word(p) >= 0 || fail(p, STOQ_RULE_WHY_OPERATOR);
}

static bool expression(struct parser *p, enum stoq_rule_type *type)
{
    bool over = false;
    bool value_next = true;
    p->waiting_count = 0;
    p->type_count = 0;
    while (!over) {
        bool done = false;
        bool ok = value_next ? take_operand(p, &done) : take_operator(p, &value_next, &over);
        if (!ok) {
            return false;
        }
        value_next = value_next && !done;
    }
    if (!settle_down_to(p, 1)) {
        return false;
    }
    if (p->waiting_count > 0) {
        return fail_at(p, &p->waiting[p->waiting_count - 1].token, STOQ_RULE_WHY_UNCLOSED);
    }
    STOQ_ASSERT(p->type_count == 1);
    *type = p->types[0];
    return true;
}

static bool clause_take(struct parser *p, struct clause *c)
{
    const struct token *t = &p->lx.token;
    if (p->has_take) {
        return fail(p, STOQ_RULE_WHY_TWICE);
    }
    if (t->kind != TOKEN_NUMBER || t->number < 1 || t->number > STOQ_RULE_CANDIDATES_MAX) {
        return fail(p, STOQ_RULE_WHY_COUNT);
    }
    p->has_take = true;
    c->take = (uint32_t)t->number;
    return next(p);
}

static bool clause_apart(struct parser *p, struct clause *c)
{
    int field = find_field(p);
    if (field < 0) {
        return fail(p, STOQ_RULE_WHY_NAME);
    }
    c->field = (uint8_t)field;
    return next(p);
}

static bool clause_expression(struct parser *p, struct clause *c)
{
    struct token first = p->lx.token;
    enum stoq_rule_type type;
    if (c->kind == STOQ_RULE_PREFER && p->prefers++ == STOQ_RULE_PREFER_MAX) {
        return fail(p, STOQ_RULE_WHY_MANY_PREFERS);
    }
    if (!expression(p, &type)) {
        return false;
    }
    if (c->kind != STOQ_RULE_PREFER && type != STOQ_RULE_BOOL) {
        return fail_at(p, &first, STOQ_RULE_WHY_WANT_BOOL);
    }
    return type != STOQ_RULE_TEXT || fail_at(p, &first, STOQ_RULE_WHY_WANT_NUMBER);
}

static bool clause(struct parser *p)
{
    int kind = find_clause_word(p);
    if (kind < 0) {
        return fail(p, STOQ_RULE_WHY_CLAUSE);
    }
    if (p->rule->clause_count == STOQ_RULE_CLAUSES_MAX) {
        return fail(p, STOQ_RULE_WHY_MANY_CLAUSES);
    }
    struct clause *c = &p->rule->clauses[p->rule->clause_count++];
    *c = (struct clause){.kind = (enum stoq_rule_kind)kind,
                         .line = p->lx.token.line,
                         .offset = p->lx.token.offset,
                         .first = (uint16_t)p->rule->node_count};
    bool ok = next(p);
    if (ok && kind == STOQ_RULE_TAKE) {
        ok = clause_take(p, c);
    } else if (ok && kind == STOQ_RULE_APART) {
        ok = clause_apart(p, c);
    } else if (ok) {
        ok = clause_expression(p, c);
    }
    c->length = p->lx.end - c->offset;
    c->count = (uint16_t)(p->rule->node_count - c->first);
    return ok;
}

enum stoq_status stoq_rule_new(struct stoq_rule **out, const struct stoq_rule_field *fields,
                               size_t field_count, struct stoq_span text,
                               struct stoq_rule_fault *fault)
{
    STOQ_ASSERT(field_count <= STOQ_RULE_FIELDS_MAX);
    *fault = (struct stoq_rule_fault){0};
    if (text.n > STOQ_RULE_BYTES_MAX) {
        *fault = (struct stoq_rule_fault){.why = STOQ_RULE_WHY_LONG, .line = 1, .column = 1};
        return STOQ_FULL;
    }
    struct stoq_rule *rule = calloc(1, sizeof *rule);
    if (rule == NULL) {
        return STOQ_NOMEM;
    }
    rule->fields = fields;
    rule->field_count = field_count;
    rule->text_bytes = (uint32_t)text.n;
    if (text.n > 0) {
        memcpy(rule->text, text.p, text.n);
    }
    struct parser p = {
        .rule = rule, .lx = {.text = stoq_span(rule->text, text.n), .line = 1}, .fault = fault};
    bool ok = next(&p);
    while (ok && p.lx.token.kind != TOKEN_END) {
        ok = clause(&p);
    }
    if (!ok) {
        free(rule);
        return p.status;
    }
    *out = rule;
    return STOQ_OK;
}

void stoq_rule_free(struct stoq_rule *rule)
{
    free(rule);
}

static void mention(struct stoq_rule_clause *out, uint8_t field)
{
    for (uint8_t i = 0; i < out->field_count; i++) {
        if (out->fields[i] == field) {
            return;
        }
    }
    out->fields[out->field_count++] = field;
}

bool stoq_rule_clause(const struct stoq_rule *rule, size_t i, struct stoq_rule_clause *out)
{
    if (i >= rule->clause_count) {
        return false;
    }
    const struct clause *c = &rule->clauses[i];
    *out = (struct stoq_rule_clause){.kind = c->kind,
                                     .line = c->line,
                                     .text = stoq_span(rule->text + c->offset, c->length),
                                     .take = c->take};
    if (c->kind == STOQ_RULE_APART) {
        mention(out, c->field);
    }
    for (uint32_t n = c->first; n < (uint32_t)c->first + c->count; n++) {
        if (rule->nodes[n].op == OP_FIELD) {
            mention(out, rule->nodes[n].field);
        }
    }
    return true;
}

const char *stoq_rule_why_str(enum stoq_rule_why why)
{
    static const char *const words[] = {
        [STOQ_RULE_WHY_NONE] = "no fault",
        [STOQ_RULE_WHY_LONG] = "the rule is longer than 4096 bytes",
        [STOQ_RULE_WHY_BYTE] = "nothing begins with this",
        [STOQ_RULE_WHY_QUOTE] = "the text has no second quote on its line",
        [STOQ_RULE_WHY_TEXT] = "the text is longer than 128 bytes",
        [STOQ_RULE_WHY_NUMBER] = "not a whole number below 2^63 with a known unit",
        [STOQ_RULE_WHY_CLAUSE] = "expected require, drop, prefer, apart or take",
        [STOQ_RULE_WHY_OPERAND] = "expected a value",
        [STOQ_RULE_WHY_OPERATOR] = "expected an operator or the next clause",
        [STOQ_RULE_WHY_NAME] = "no such field or function",
        [STOQ_RULE_WHY_OPEN] = "expected (",
        [STOQ_RULE_WHY_CLOSE] = "this ) closes nothing",
        [STOQ_RULE_WHY_UNCLOSED] = "a ) is missing",
        [STOQ_RULE_WHY_COMMA] = "a comma outside a function",
        [STOQ_RULE_WHY_ARGUMENTS] = "the function takes another number of arguments",
        [STOQ_RULE_WHY_CHAIN] = "comparisons cannot be chained; join them with and",
        [STOQ_RULE_WHY_LITERAL] = "a list holds numbers or texts as they stand",
        [STOQ_RULE_WHY_WANT_NUMBER] = "wants numbers",
        [STOQ_RULE_WHY_WANT_TEXT] = "wants texts",
        [STOQ_RULE_WHY_WANT_BOOL] = "wants something true or false",
        [STOQ_RULE_WHY_WANT_SAME] = "the two sides are of different types",
        [STOQ_RULE_WHY_COUNT] = "take wants a number from 1 to 8192",
        [STOQ_RULE_WHY_TWICE] = "take is given twice",
        [STOQ_RULE_WHY_MANY_NODES] = "the rule has more than 256 operands and operators",
        [STOQ_RULE_WHY_MANY_CLAUSES] = "the rule has more than 32 clauses",
        [STOQ_RULE_WHY_MANY_PREFERS] = "the rule has more than 4 prefer clauses",
        [STOQ_RULE_WHY_DEEP] = "nested deeper than 32 levels",
    };
    return (size_t)why < STOQ_COUNT(words) ? words[why] : "unknown fault";
}
