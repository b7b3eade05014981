/* Lists by parts: what the writer says is what the joiner makes, and nothing else is accepted. */
#include "package/list_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define ENTRY 36
#define LISTS 3

struct fixture {
    uint8_t list[LISTS][512 * ENTRY];
    struct stoq_span span[LISTS];
    struct stoq_hash root[LISTS];
    struct stoq_list_parts_writer w;
    struct stoq_buf payload;
    struct stoq_buf joined;
    struct stoq_buf want;
};

static void begin(struct fixture *f)
{
    struct stoq_prng rng = stoq_prng(1);
    for (size_t i = 0; i < LISTS; i++) {
        for (size_t k = 0; k < sizeof f->list[i]; k += 8) {
            stoq_le64_put(f->list[i] + k, stoq_prng_next(&rng));
        }
        f->span[i] = stoq_span(f->list[i], (100 + i * 50) * ENTRY);
        memset(f->root[i].b, (int)i + 1, 32);
    }
    stoq_list_parts_writer_init(&f->w);
    stoq_buf_init(&f->payload, STOQ_MIB);
    stoq_buf_init(&f->joined, STOQ_MIB);
    stoq_buf_init(&f->want, STOQ_MIB);
}

static void end(struct fixture *f)
{
    stoq_list_parts_writer_release(&f->w);
    stoq_buf_release(&f->payload);
    stoq_buf_release(&f->joined);
    stoq_buf_release(&f->want);
    free(f);
}

static void copy(struct fixture *f, size_t list, size_t first, size_t count)
{
    assert_true(stoq_list_parts_writer_copy(&f->w, &f->root[list], first, count));
    assert_int_equal(
        stoq_buf_add(&f->want, stoq_span(f->list[list] + first * ENTRY, count * ENTRY)), STOQ_OK);
}

static enum stoq_status join(struct fixture *f, struct stoq_span payload)
{
    /* The bases in the payload's order. */
    struct stoq_span bases[STOQ_LIST_PARTS_BASES_MAX];
    stoq_buf_clear(&f->joined);
    for (size_t i = 0; i < stoq_list_parts_base_count(payload); i++) {
        size_t which = (size_t)stoq_list_parts_base(payload, i).b[0] - 1;
        bases[i] = which < LISTS ? f->span[which] : stoq_span(NULL, 0);
    }
    return stoq_list_parts_join(payload, bases, &f->joined);
}

static void what_is_written_is_joined(void **state)
{
    (void)state;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    begin(f);
    struct stoq_prng rng = stoq_prng(2);
    for (int round = 0; round < 300; round++) {
        stoq_list_parts_writer_clear(&f->w);
        stoq_buf_clear(&f->want);
        stoq_buf_clear(&f->payload);
        copy(f, 2, 7, 3);
        size_t entries = 3;
        while (entries < 400) {
            size_t list = (size_t)(stoq_prng_next(&rng) % LISTS);
            size_t first = (size_t)(stoq_prng_next(&rng) % 60);
            size_t count = 1 + (size_t)(stoq_prng_next(&rng) % 40);
            if (stoq_prng_next(&rng) % 4 == 0) {
                struct stoq_span fresh = stoq_span(f->list[0] + first * ENTRY, count * ENTRY);
                stoq_list_parts_writer_put(&f->w, fresh);
                assert_int_equal(stoq_buf_add(&f->want, fresh), STOQ_OK);
            } else {
                copy(f, list, first, count);
            }
            entries += count;
        }
        assert_int_equal(stoq_list_parts_writer_end(&f->w, &f->payload), STOQ_OK);
        assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_OK);
        assert_true(stoq_span_eq(stoq_buf_span(&f->joined), stoq_buf_span(&f->want)));
    }
    for (size_t n = 0; n < f->payload.n; n++) {
        (void)join(f, stoq_span(f->payload.p, n)); /* whole parts are left, or it is refused */
    }
    end(f);
}

static void what_no_writer_writes_is_refused(void **state)
{
    (void)state;
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    begin(f);
    assert_int_equal(stoq_list_parts_writer_end(&f->w, &f->payload), STOQ_RANGE);
    stoq_list_parts_writer_put(&f->w, stoq_span(f->list[0], ENTRY));
    assert_int_equal(stoq_list_parts_writer_end(&f->w, &f->payload), STOQ_RANGE); /* not one base */
    stoq_list_parts_writer_clear(&f->w);
    copy(f, 0, 99, 1);
    assert_int_equal(stoq_list_parts_writer_end(&f->w, &f->payload), STOQ_OK);
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_OK);
    uint8_t *part = f->payload.p + 33;
    part[2] = 100; /* behind the list */
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    part[2] = 99;
    part[4] = 0; /* no entries */
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    part[4] = 2;
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    part[4] = 1;
    part[0] = 1; /* no such base */
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    part[0] = 0xff; /* entries that do not follow */
    part[1] = 0xff;
    part[2] = 0;
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    f->payload.p[0] = 0;
    assert_int_equal(stoq_list_parts_base_count(stoq_buf_span(&f->payload)), 0);
    f->payload.p[0] = STOQ_LIST_PARTS_BASES_MAX + 1;
    assert_int_equal(stoq_list_parts_base_count(stoq_buf_span(&f->payload)), 0);
    assert_int_equal(stoq_list_parts_base_count(stoq_span(NULL, 0)), 0);
    /* More entries than a shard has. */
    stoq_list_parts_writer_clear(&f->w);
    stoq_buf_clear(&f->payload);
    for (int i = 0; i < 6; i++) {
        copy(f, 0, 0, 100);
    }
    assert_int_equal(stoq_list_parts_writer_end(&f->w, &f->payload), STOQ_OK);
    assert_int_equal(join(f, stoq_buf_span(&f->payload)), STOQ_MALFORMED);
    /* More bases than fit. */
    stoq_list_parts_writer_clear(&f->w);
    for (int i = 0; i <= STOQ_LIST_PARTS_BASES_MAX; i++) {
        struct stoq_hash root = {{(uint8_t)i, 9}};
        assert_true(stoq_list_parts_writer_copy(&f->w, &root, 0, 1) ==
                    (i < STOQ_LIST_PARTS_BASES_MAX));
    }
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_joined),
        cmocka_unit_test(what_no_writer_writes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
