#ifndef STOQ_STORE_STORE_TESTING_H
#define STOQ_STORE_STORE_TESTING_H
/* What the store's tests share: a scratch directory, a store in it, payloads and their keys. */
#include "store/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "hash/hash.h"
#include "tests/scratch.h"

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

/* Remove a file or folder of the store, or ("") the store itself. */
static inline void stoq_scratch_remove(struct stoq_scratch *t, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", t->dir, name);
    assert_true(scratch_remove(path));
}

static inline void stoq_scratch_end(struct stoq_scratch *t)
{
    if (t->s != NULL) {
        (void)stoq_store_close(t->s, NULL);
    }
    stoq_scratch_remove(t, "");
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

/* Chunk `seed` of n bytes: its bytes (freed by the caller) and its key. */
static inline struct stoq_span stoq_scratch_chunk(size_t n, uint64_t seed, bool packs,
                                                  uint8_t **own, struct stoq_hash *key)
{
    *own = malloc(n == 0 ? 1 : n);
    assert_non_null(*own);
    struct stoq_span s = stoq_scratch_bytes(*own, n, seed, packs);
    *key = stoq_hash_blake3(s);
    return s;
}

/* Its key alone, of bytes that do not compress. */
static inline struct stoq_hash stoq_scratch_key(size_t n, uint64_t seed)
{
    uint8_t *own;
    struct stoq_hash key;
    (void)stoq_scratch_chunk(n, seed, false, &own, &key);
    free(own);
    return key;
}

static inline enum stoq_status stoq_scratch_try_put(struct stoq_scratch *t, size_t n, uint64_t seed,
                                                    bool packs, bool *is_new)
{
    uint8_t *own;
    struct stoq_hash key;
    struct stoq_span s = stoq_scratch_chunk(n, seed, packs, &own, &key);
    enum stoq_status st = stoq_store_put(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32),
                                         STOQ_STORE_VERIFY, s, is_new, &t->err);
    free(own);
    return st;
}

/* True when it was new. */
static inline bool stoq_scratch_put(struct stoq_scratch *t, size_t n, uint64_t seed, bool packs)
{
    bool is_new;
    assert_int_equal(stoq_scratch_try_put(t, n, seed, packs, &is_new), STOQ_OK);
    return is_new;
}

static inline bool stoq_scratch_has(struct stoq_scratch *t, size_t n, uint64_t seed, bool packs)
{
    uint8_t *own;
    struct stoq_hash key;
    (void)stoq_scratch_chunk(n, seed, packs, &own, &key);
    free(own);
    return stoq_store_has(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32));
}

/* Read it, verified, and compare. */
static inline enum stoq_status stoq_scratch_read(struct stoq_scratch *t, size_t n, uint64_t seed,
                                                 bool packs)
{
    uint8_t *own;
    struct stoq_hash key;
    struct stoq_span want = stoq_scratch_chunk(n, seed, packs, &own, &key);
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    enum stoq_status st = stoq_store_read(t->s, STOQ_RECORD_CHUNK, stoq_span(key.b, 32),
                                          STOQ_STORE_VERIFY, &out, &t->err);
    if (st == STOQ_OK) {
        assert_true(stoq_span_eq(stoq_buf_span(&out), want));
    } else {
        assert_int_equal(out.n, 0);
    }
    stoq_buf_release(&out);
    free(own);
    return st;
}

static inline int stoq_scratch_setup(void **state)
{
    struct stoq_scratch *t = malloc(sizeof *t);
    assert_non_null(t);
    stoq_scratch_begin(t);
    *state = t;
    return 0;
}

static inline int stoq_scratch_teardown(void **state)
{
    stoq_scratch_end(*state);
    free(*state);
    return 0;
}

#define STOQ_SCRATCH_TEST(f)                                                                       \
    cmocka_unit_test_setup_teardown(f, stoq_scratch_setup, stoq_scratch_teardown)

#endif
