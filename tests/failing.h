#ifndef STOQ_TESTS_FAILING_H
#define STOQ_TESTS_FAILING_H
/*
 * Memory that is not there, once: the nth allocation fails, and what is held is counted.
 *
 *     struct failing f = {.fail_at = n};
 *     struct stoq_alloc alloc = failing_alloc(&f);
 *     ...
 *     assert_int_equal(f.live, 0);
 *     is_over = f.calls < f.fail_at;
 */
#include "base/bytes.h"

#include <stdlib.h>

struct failing {
    uint64_t calls;
    uint64_t fail_at; /* 0: none */
    int64_t live;
};

static inline void *failing_take(void *user, size_t n)
{
    struct failing *f = (struct failing *)user;
    f->calls++;
    if (f->calls == f->fail_at) {
        return NULL;
    }
    f->live++;
    return calloc(1, n == 0 ? 1 : n);
}

static inline void failing_give(void *user, void *p)
{
    struct failing *f = (struct failing *)user;
    f->live -= p != NULL ? 1 : 0;
    free(p);
}

static inline struct stoq_alloc failing_alloc(struct failing *f)
{
    return (struct stoq_alloc){failing_take, failing_give, f};
}

#endif
