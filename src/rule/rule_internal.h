#ifndef STOQ_RULE_RULE_INTERNAL_H
#define STOQ_RULE_RULE_INTERNAL_H
/*
 * Insides:
 *   lex.c     bytes to tokens
 *   parse.c   tokens to clauses, each expression in postfix order with its types checked
 *   eval.c    one expression for one candidate
 *   choose.c  verdicts over all candidates
 */
#include "rule/rule.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_WORD,
    TOKEN_MARK, /* ( ) , + - * / % and comparisons: op tells */
};

enum rule_op {
    /* operands */
    OP_NUMBER,
    OP_TEXT,
    OP_BOOL,
    OP_FIELD,
    /* operators, by binding: see op_table in parse.c */
    OP_OR,
    OP_AND,
    OP_NOT,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN, /* the next count nodes are its list */
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_NEG,
    /* functions */
    OP_KNOWN,
    OP_STARTS,
    OP_ENDS,
    OP_MIN,
    OP_MAX,
    /* only while parsing */
    OP_OPEN,
    OP_CLOSE,
    OP_COMMA,
};

struct token {
    enum token_kind kind;
    enum rule_op op;
    uint32_t offset;
    uint32_t length;
    uint32_t line;
    uint32_t column;
    int64_t number;
};

struct lexer {
    struct stoq_span text;
    uint32_t at;
    uint32_t line;
    uint32_t line_at; /* offset of the line's first byte */
    uint32_t end;     /* of the token before this one */
    struct token token;
    enum stoq_rule_why why; /* set when lex_next says false; token says where */
};

/* The next token into lx->token. False: lx->why says what is wrong with it. */
bool lex_next(struct lexer *lx);
bool lex_is(const struct lexer *lx, const char *word);

struct node {
    uint8_t op;
    uint8_t field;
    uint16_t count; /* OP_IN */
    int64_t number;
    struct stoq_span text; /* in the rule's own copy */
};

struct clause {
    enum stoq_rule_kind kind;
    uint32_t line;
    uint32_t offset;
    uint32_t length;
    uint32_t take;
    uint16_t first;
    uint16_t count;
    uint8_t field; /* STOQ_RULE_APART */
};

struct stoq_rule {
    const struct stoq_rule_field *fields;
    size_t field_count;
    uint32_t node_count;
    uint32_t clause_count;
    uint32_t text_bytes;
    struct node nodes[STOQ_RULE_NODES_MAX];
    struct clause clauses[STOQ_RULE_CLAUSES_MAX];
    uint8_t text[STOQ_RULE_BYTES_MAX];
};

/* The clause's expression for one candidate. */
struct stoq_rule_value rule_eval(const struct stoq_rule *rule, const struct clause *clause,
                                 const struct stoq_rule_value *values);

#endif
