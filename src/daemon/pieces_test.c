/* Pieces against a naive model: one source and offset per byte. */
#include "daemon/pieces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define BYTES 2000
#define NOWHERE UINT64_MAX

struct model {
    uint64_t source[BYTES];
    uint64_t offset[BYTES];
};

/* Fill a buffer with pieces of a few bytes, some bytes from nowhere. */
static void fill(struct stoq_pieces *ps, struct model *m, struct stoq_prng *rng)
{
    for (size_t at = 0; at < BYTES;) {
        size_t n = 1 + (size_t)(stoq_prng_next(rng) % 40);
        n = n < BYTES - at ? n : BYTES - at;
        bool nowhere = stoq_prng_next(rng) % 10 == 0;
        bool goes_on = at > 0 && m->source[at - 1] != NOWHERE && stoq_prng_next(rng) % 3 == 0;
        uint64_t source = goes_on ? m->source[at - 1] : stoq_prng_next(rng) % 5;
        uint64_t offset = goes_on ? m->offset[at - 1] + 1 : stoq_prng_next(rng) % 100;
        for (size_t i = 0; i < n; i++) {
            m->source[at + i] = nowhere ? NOWHERE : source;
            m->offset[at + i] = offset + i;
        }
        if (!nowhere) {
            const struct stoq_piece piece = {source, offset, n};
            assert_int_equal(stoq_pieces_add(ps, at, piece), STOQ_OK);
        }
        at += n;
    }
}

/* Cut the bytes from `from` on into chunks and compare each chunk's pieces with the model. */
static void check(const struct stoq_pieces *ps, const struct model *m, size_t from,
                  struct stoq_prng *rng)
{
    struct stoq_piece *out = calloc(ps->n + 1, sizeof *out);
    size_t first = 0;
    for (size_t at = 0; at < BYTES - from;) {
        size_t n = 1 + (size_t)(stoq_prng_next(rng) % 120);
        n = n < BYTES - from - at ? n : BYTES - from - at;
        bool all = true;
        for (size_t i = 0; i < n; i++) {
            all = all && m->source[from + at + i] != NOWHERE;
        }
        size_t count = stoq_pieces_of(ps, at, n, &first, out);
        assert_true((count > 0) == all);
        size_t seen = 0;
        for (size_t k = 0; k < count; k++) {
            for (size_t i = 0; i < out[k].bytes; i++, seen++) {
                assert_int_equal(m->source[from + at + seen], out[k].source);
                assert_int_equal(m->offset[from + at + seen], out[k].offset + i);
            }
        }
        assert_true(count == 0 || seen == n);
        at += n;
    }
    free(out);
}

static void pieces_are_what_the_model_says(void **state)
{
    (void)state;
    struct stoq_prng rng = stoq_prng(3);
    struct model m;
    for (int i = 0; i < 200; i++) {
        struct stoq_pieces ps;
        struct stoq_pieces rest;
        stoq_pieces_init(&ps);
        stoq_pieces_init(&rest);
        fill(&ps, &m, &rng);
        check(&ps, &m, 0, &rng);
        size_t from = (size_t)(stoq_prng_next(&rng) % (BYTES + 1));
        assert_int_equal(stoq_pieces_move_on(&ps, from, &rest), STOQ_OK);
        check(&rest, &m, from, &rng);
        stoq_pieces_release(&ps);
        stoq_pieces_release(&rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_what_the_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
