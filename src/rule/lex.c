/* Bytes to tokens. A number takes its unit along, so that the rest never sees one. */
#include "rule/rule_internal.h"

#include <string.h>

struct unit {
    const char *name;
    int64_t factor;
};

/* Bytes are bytes, times are milliseconds. */
static const struct unit units[] = {
    {"B", 1},           {"kB", 1000},          {"MB", 1000000},
    {"GB", 1000000000}, {"TB", 1000000000000}, {"KiB", 1024},
    {"MiB", 1048576},   {"GiB", 1073741824},   {"TiB", 1099511627776},
    {"ms", 1},          {"s", 1000},           {"min", 60000},
    {"h", 3600000},     {"d", 86400000},
};

struct mark {
    const char *text;
    enum rule_op op;
};

/* The longer first where one begins another. */
static const struct mark marks[] = {
    {"==", OP_EQ}, {"!=", OP_NE},  {"<=", OP_LE},   {">=", OP_GE},   {"<", OP_LT},
    {">", OP_GT},  {"+", OP_ADD},  {"-", OP_SUB},   {"*", OP_MUL},   {"/", OP_DIV},
    {"%", OP_MOD}, {"(", OP_OPEN}, {")", OP_CLOSE}, {",", OP_COMMA},
};

static int peek(const struct lexer *lx, uint32_t ahead)
{
    return (size_t)lx->at + ahead < lx->text.n ? lx->text.p[lx->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* White space and comments. */
static void skip(struct lexer *lx)
{
    for (;;) {
        int c = peek(lx, 0);
        if (c == '#') {
            while (c >= 0 && c != '\n') {
                lx->at++;
                c = peek(lx, 0);
            }
        }
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
            return;
        }
        lx->at++;
        if (c == '\n') {
            lx->line++;
            lx->line_at = lx->at;
        }
    }
}

static uint32_t word_length(const struct lexer *lx, uint32_t from)
{
    uint32_t n = 0;
    while (is_letter(peek(lx, from + n)) || (n > 0 && is_digit(peek(lx, from + n)))) {
        n++;
    }
    return n;
}

static bool bad(struct lexer *lx, enum stoq_rule_why why, uint32_t length)
{
    lx->why = why;
    lx->token.length = length;
    return false;
}

static const struct unit *find_unit(struct stoq_span word)
{
    for (size_t i = 0; i < STOQ_COUNT(units); i++) {
        if (stoq_span_eq(word, stoq_span_str(units[i].name))) {
            return &units[i];
        }
    }
    return NULL;
}

static bool take_number(struct lexer *lx)
{
    int64_t v = 0;
    uint32_t n = 0;
    for (; is_digit(peek(lx, n)); n++) {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, peek(lx, n) - '0', &v)) {
            return bad(lx, STOQ_RULE_WHY_NUMBER, n + 1);
        }
    }
    uint32_t gap = 0;
    while (peek(lx, n + gap) == ' ') {
        gap++;
    }
    uint32_t length = word_length(lx, n + gap);
    struct stoq_span word = stoq_span(lx->text.p + lx->at + n + gap, length);
    const struct unit *unit = find_unit(word);
    if (unit == NULL && gap == 0 && length > 0) {
        return bad(lx, STOQ_RULE_WHY_NUMBER, n + length);
    }
    if (unit != NULL) {
        n += gap + length;
        if (__builtin_mul_overflow(v, unit->factor, &v)) {
            return bad(lx, STOQ_RULE_WHY_NUMBER, n);
        }
    }
    lx->token.kind = TOKEN_NUMBER;
    lx->token.number = v;
    lx->token.length = n;
    lx->at += n;
    return true;
}

/* What is between two quotes; there is no escape, so the kept copy of the rule holds it as it is. */
static bool take_text(struct lexer *lx)
{
    uint32_t n = 1;
    while (peek(lx, n) >= ' ' && peek(lx, n) != '"' && peek(lx, n) != 0x7f) {
        n++;
    }
    if (peek(lx, n) != '"') {
        return bad(lx, STOQ_RULE_WHY_QUOTE, n);
    }
    if (n - 1 > STOQ_RULE_TEXT_MAX) {
        return bad(lx, STOQ_RULE_WHY_TEXT, n + 1);
    }
    lx->token.kind = TOKEN_TEXT;
    lx->token.offset++;
    lx->token.length = n - 1;
    lx->at += n + 1;
    return true;
}

static bool take_mark(struct lexer *lx)
{
    for (size_t i = 0; i < STOQ_COUNT(marks); i++) {
        size_t n = strlen(marks[i].text);
        if (lx->text.n - lx->at >= n && memcmp(lx->text.p + lx->at, marks[i].text, n) == 0) {
            lx->token.kind = TOKEN_MARK;
            lx->token.op = marks[i].op;
            lx->token.length = (uint32_t)n;
            lx->at += (uint32_t)n;
            return true;
        }
    }
    return bad(lx, STOQ_RULE_WHY_BYTE, 1);
}

bool lex_next(struct lexer *lx)
{
    lx->end = lx->at;
    skip(lx);
    int c = peek(lx, 0);
    lx->token = (struct token){
        .kind = TOKEN_END, .offset = lx->at, .line = lx->line, .column = lx->at - lx->line_at + 1};
    if (c < 0) {
        return true;
    }
    if (is_digit(c)) {
        return take_number(lx);
    }
    if (c == '"') {
        return take_text(lx);
    }
    if (!is_letter(c)) {
        return take_mark(lx);
    }
    lx->token.kind = TOKEN_WORD;
    lx->token.length = word_length(lx, 0);
    lx->at += lx->token.length;
    return true;
}

bool lex_is(const struct lexer *lx, const char *word)
{
    const struct token *t = &lx->token;
    return t->kind == TOKEN_WORD &&
           stoq_span_eq(stoq_span(lx->text.p + t->offset, t->length), stoq_span_str(word));
}
