#ifndef STOQ_STORE_STORE_TESTING_H
#define STOQ_STORE_STORE_TESTING_H
/* What the store's tests share: a scratch directory, a store in it, payloads and their keys. */
#include "store/store_internal.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "hash/hash.h"

struct stoq_scratch {
    char dir[64];
    struct stoq_store *s;
    char notice[2048]; /* all of them, joined */
    struct stoq_error err;
};

static inline void stoq_scratch_notice(void *user, const char *text)
{
    struct stoq_scratch *t = user;
    size_t n = strlen(t->notice);
    (void)snprintf(t->notice + n, sizeof t->notice - n, "%s\n", text);
}

static inline struct stoq_store_config stoq_scratch_config(struct stoq_scratch *t)
{
    return (struct stoq_store_config){
        .dir = t->dir, .create = true, .notice = stoq_scratch_notice, .notice_user = t};
}

static inline void stoq_scratch_begin(struct stoq_scratch *t)
{
    *t = (struct stoq_scratch){.s = NULL};
    (void)snprintf(t->dir, sizeof t->dir, "/tmp/stoq-store-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
}

static inline void stoq_scratch_open(struct stoq_scratch *t)
{
    struct stoq_store_config cfg = stoq_scratch_config(t);
    t->notice[0] = '\0';
    enum stoq_status st = stoq_store_open(&t->s, &cfg, &t->err);
    if (st != STOQ_OK) {
        print_message("# %s\n", t->err.text);
    }
    assert_int_equal(st, STOQ_OK);
}

static inline void stoq_scratch_close(struct stoq_scratch *t)
{
    enum stoq_status st = stoq_store_close(t->s, &t->err);
    t->s = NULL;
    if (st != STOQ_OK) {
        print_message("# %s\n", t->err.text);
    }
    assert_int_equal(st, STOQ_OK);
}

static inline void stoq_scratch_end(struct stoq_scratch *t)
{
    if (t->s != NULL) {
        (void)stoq_store_close(t->s, NULL);
    }
    char cmd[96];
    (void)snprintf(cmd, sizeof cmd, "rm -rf '%s'", t->dir);
    assert_int_equal(system(cmd), 0);
}

/* n bytes that only seed determines: random ones, or text-like ones that compress. */
static inline struct stoq_span stoq_scratch_bytes(uint8_t *p, size_t n, uint64_t seed, bool packs)
{
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < n; i++) {
        uint64_t draw = stoq_prng_next(&r);
        p[i] = packs ? (uint8_t)('a' + draw % 4) : (uint8_t)(draw >> 13);
    }
    return stoq_span(p, n);
}

#endif
