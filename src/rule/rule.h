#ifndef STOQ_RULE_RULE_H
#define STOQ_RULE_RULE_H
/*
 * The one rule language of every Custom(rule): which of some candidates are wanted, and in what order.
 * docs/RULES.md defines it. A rule has no loops, calls nothing, and looks at each of its nodes once per
 * candidate: what it costs is known when it is read.
 */
#include "base/bytes.h"

#define STOQ_RULE_BYTES_MAX 4096u      /* of its text: a page, and the kept copy stays small */
#define STOQ_RULE_NODES_MAX 256u       /* operands and operators; also the steps of one candidate */
#define STOQ_RULE_DEPTH_MAX 32u        /* operators or values that wait for one another */
#define STOQ_RULE_CLAUSES_MAX 32u      /* of all kinds */
#define STOQ_RULE_PREFER_MAX 4u        /* "prefer" clauses: kept in every verdict */
#define STOQ_RULE_TEXT_MAX 128u        /* bytes between two quotes */
#define STOQ_RULE_FIELDS_MAX 32u       /* of a schema */
#define STOQ_RULE_CANDIDATES_MAX 8192u /* of one choice, since "apart" compares them in pairs */

enum stoq_rule_type {
    STOQ_RULE_NUMBER,
    STOQ_RULE_TEXT,
    STOQ_RULE_BOOL,
};

/* What a candidate can be asked for. Names are lower-case words that are no word of the language. */
struct stoq_rule_field {
    const char *name;
    enum stoq_rule_type type;
};

/* A field of a candidate. Not known: nothing that depends on it is true or false. */
struct stoq_rule_value {
    enum stoq_rule_type type;
    bool known;
    int64_t number;        /* STOQ_RULE_NUMBER; STOQ_RULE_BOOL: 0 or 1 */
    struct stoq_span text; /* STOQ_RULE_TEXT, borrowed */
};

enum stoq_rule_why {
    STOQ_RULE_WHY_NONE,
    STOQ_RULE_WHY_LONG,        /* the text, over STOQ_RULE_BYTES_MAX */
    STOQ_RULE_WHY_BYTE,        /* no token begins with this byte */
    STOQ_RULE_WHY_QUOTE,       /* a text without its second quote on the line */
    STOQ_RULE_WHY_TEXT,        /* a text over STOQ_RULE_TEXT_MAX */
    STOQ_RULE_WHY_NUMBER,      /* a number past 2^63 - 1, or letters after it that are no unit */
    STOQ_RULE_WHY_CLAUSE,      /* a clause was expected */
    STOQ_RULE_WHY_OPERAND,     /* a value was expected */
    STOQ_RULE_WHY_OPERATOR,    /* an operator or the next clause was expected */
    STOQ_RULE_WHY_NAME,        /* no such field */
    STOQ_RULE_WHY_OPEN,        /* "(" was expected */
    STOQ_RULE_WHY_CLOSE,       /* ")" without "(" */
    STOQ_RULE_WHY_UNCLOSED,    /* "(" without ")" */
    STOQ_RULE_WHY_COMMA,       /* "," outside a function */
    STOQ_RULE_WHY_ARGUMENTS,   /* another number of arguments than the function has */
    STOQ_RULE_WHY_CHAIN,       /* a < b < c */
    STOQ_RULE_WHY_LITERAL,     /* "in" wants numbers or texts as they stand */
    STOQ_RULE_WHY_WANT_NUMBER, /* an operand of another type */
    STOQ_RULE_WHY_WANT_TEXT,
    STOQ_RULE_WHY_WANT_BOOL,
    STOQ_RULE_WHY_WANT_SAME,    /* two operands of different types */
    STOQ_RULE_WHY_COUNT,        /* "take" wants 1 .. STOQ_RULE_CANDIDATES_MAX */
    STOQ_RULE_WHY_TWICE,        /* a second "take" */
    STOQ_RULE_WHY_MANY_NODES,   /* the limits */
    STOQ_RULE_WHY_MANY_CLAUSES, /* ... */
    STOQ_RULE_WHY_MANY_PREFERS, /* ... */
    STOQ_RULE_WHY_DEEP,         /* ... */
};
/* A phrase that continues "FILE:LINE:COLUMN: "; static storage. */
const char *stoq_rule_why_str(enum stoq_rule_why why);

/* Where a rule is wrong. Lines and columns count from 1, columns in bytes. */
struct stoq_rule_fault {
    enum stoq_rule_why why;
    uint32_t line;
    uint32_t column;
    uint32_t offset; /* of the token, in bytes */
    uint32_t length; /* 0: the end of the text */
};

struct stoq_rule;

/*
 * Read a rule.
 *
 * fields  the schema, at most STOQ_RULE_FIELDS_MAX; kept, as are the names
 * text    not kept
 * fault   filled on STOQ_MALFORMED and STOQ_FULL
 *
 * STOQ_OK; STOQ_MALFORMED: not a rule; STOQ_FULL: a limit above is reached; STOQ_NOMEM.
 * Cost: linear in the text, one allocation of fixed size.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_rule_new(struct stoq_rule **out,
                                                const struct stoq_rule_field *fields,
                                                size_t field_count, struct stoq_span text,
                                                struct stoq_rule_fault *fault);
void stoq_rule_free(struct stoq_rule *rule); /* NULL is fine */

enum stoq_rule_kind {
    STOQ_RULE_REQUIRE, /* dropped unless it is true */
    STOQ_RULE_DROP,    /* dropped when it is true */
    STOQ_RULE_PREFER,  /* more is earlier */
    STOQ_RULE_APART,   /* no two with the same value */
    STOQ_RULE_TAKE,    /* at most so many */
};

struct stoq_rule_clause {
    enum stoq_rule_kind kind;
    uint32_t line;
    struct stoq_span text; /* as written; lives as long as the rule */
    uint32_t take;         /* STOQ_RULE_TAKE */
    uint8_t field_count;   /* what it looks at, each once, in order of mention */
    uint8_t fields[STOQ_RULE_FIELDS_MAX];
};
/* The i-th clause; false past the last. */
bool stoq_rule_clause(const struct stoq_rule *rule, size_t i, struct stoq_rule_clause *out);

enum stoq_rule_outcome {
    STOQ_RULE_KEPT,
    STOQ_RULE_BEYOND,  /* good, and past the "take" clause */
    STOQ_RULE_SAME,    /* good, and an "apart" clause finds it beside one that was kept */
    STOQ_RULE_DROPPED, /* by a "require" or "drop" clause */
};

struct stoq_rule_verdict {
    uint32_t candidate; /* its place in the input */
    enum stoq_rule_outcome outcome;
    uint32_t clause;                      /* that decided; undefined for KEPT */
    uint32_t beside;                      /* SAME: the candidate that has the value already */
    int64_t prefer[STOQ_RULE_PREFER_MAX]; /* INT64_MIN: not known */
};

/*
 * Judge candidates.
 *
 * values  of candidate c, field f: values[c * field_count + f], of the schema's types; borrowed
 * out     count verdicts: the kept in order of preference, then those beyond, beside and dropped; equal
 *         preference keeps the order of the input
 *
 * Returns how many are kept. count is at most STOQ_RULE_CANDIDATES_MAX (asserted).
 * Cost: STOQ_RULE_NODES_MAX steps a candidate at most, a sort, and pairs of the kept per "apart".
 */
size_t stoq_rule_choose(const struct stoq_rule *rule, const struct stoq_rule_value *values,
                        size_t count, struct stoq_rule_verdict *out);

#endif
