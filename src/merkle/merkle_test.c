#include "merkle/merkle.h"

#include "merkle/model.h"
#include "tests/failing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

static const size_t counts[] = {0,  1,  2,  3,   4,   5,   31,   32,  33,
                                63, 64, 65, 511, 512, 513, 1025, 4097};

static struct stoq_merkle *builder_new(uint32_t chunk_bytes_max)
{
    struct stoq_merkle_config cfg = {.chunk_bytes_max = chunk_bytes_max};
    struct stoq_merkle *m = NULL;
    assert_int_equal(stoq_merkle_new(&m, &cfg), STOQ_OK);
    return m;
}

/* A closed shard is the model's, with its list. */
static void check_closed(const struct model *want, size_t shard,
                         const struct stoq_merkle_closed *closed)
{
    assert_true(shard < want->shard_count);
    assert_true(stoq_hash_eq(&closed->shard.root, &want->shard[shard].root));
    assert_int_equal(closed->shard.chunks, want->shard[shard].chunks);
    assert_int_equal(closed->shard.bytes, want->shard[shard].bytes);
    assert_true(stoq_span_eq(closed->list, model_chunk_list(want, shard)));
}

static uint32_t model_height(const struct model *m)
{
    double most = 1;
    for (size_t i = 0; i < m->shard_count; i++) {
        most = fmax(most, (double)m->shard[i].chunks);
    }
    return (uint32_t)ceil(log2(most)) +
           (uint32_t)ceil(log2(m->shard_count > 0 ? (double)m->shard_count : 1));
}

/* Feed the model's chunks and compare every shard and the root. The builder can be used again. */
static void build_and_compare(struct stoq_merkle *m, const struct model *want)
{
    struct stoq_merkle_closed closed;
    bool is_closed;
    size_t shard = 0;
    for (size_t i = 0; i < want->chunk_count; i++) {
        assert_int_equal(stoq_merkle_add(m, &want->chunk[i], &closed, &is_closed), STOQ_OK);
        if (is_closed) {
            check_closed(want, shard, &closed);
            shard++;
        }
    }
    struct stoq_merkle_root root;
    stoq_merkle_finish(m, &closed, &is_closed, &root);
    if (is_closed) {
        check_closed(want, shard, &closed);
        shard++;
    }
    assert_int_equal(shard, want->shard_count);
    assert_true(stoq_hash_eq(&root.hash, &want->root));
    assert_int_equal(root.shards, want->shard_count);
    assert_int_equal(root.chunks, want->chunk_count);
    assert_int_equal(root.bytes, want->bytes);
    assert_int_equal(root.height, model_height(want));
}

static void trees_equal_the_naive_ones(void **state)
{
    (void)state;
    struct stoq_merkle *m = builder_new(MAX);
    for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
        for (int kind = MODEL_RANDOM; kind <= MODEL_ALWAYS; kind++) {
            struct model want;
            model_init(&want, counts[i], (enum model_kind)kind, i);
            build_and_compare(m, &want);
            model_release(&want);
        }
    }
    stoq_merkle_free(m);
}

/* Shards above a power of two, so that the upper tree has every shape of a last node. */
static void every_shard_count_up_to_eighty(void **state)
{
    (void)state;
    struct stoq_merkle *m = builder_new(MAX);
    for (size_t shards = 1; shards <= 80; shards++) {
        struct model want;
        model_init(&want, shards * 32 - shards % 3, MODEL_ALWAYS, shards);
        assert_int_equal(want.shard_count, shards);
        build_and_compare(m, &want);
        struct stoq_merkle_root root = model_root(&want);
        assert_int_equal(stoq_merkle_check_shard_list(&root, MAX, model_shard_list(&want)),
                         STOQ_OK);
        model_release(&want);
    }
    stoq_merkle_free(m);
}

static void a_chunk_has_a_length(void **state)
{
    (void)state;
    struct stoq_merkle *m = builder_new(1000);
    struct stoq_merkle_closed closed;
    struct stoq_merkle_root root;
    bool is_closed;
    struct stoq_merkle_chunk chunk = {.bytes = 0};
    assert_int_equal(stoq_merkle_add(m, &chunk, &closed, &is_closed), STOQ_RANGE);
    chunk.bytes = 1001;
    assert_int_equal(stoq_merkle_add(m, &chunk, &closed, &is_closed), STOQ_RANGE);
    stoq_merkle_finish(m, &closed, &is_closed, &root);
    assert_int_equal(root.chunks, 0);
    assert_int_equal(root.height, 0);
    chunk.bytes = 1000;
    assert_int_equal(stoq_merkle_add(m, &chunk, &closed, &is_closed), STOQ_OK);
    stoq_merkle_finish(m, &closed, &is_closed, &root);
    assert_int_equal(root.bytes, 1000);
    stoq_merkle_free(m);

    struct stoq_merkle_config cfg = {.chunk_bytes_max = 0};
    assert_int_equal(stoq_merkle_new(&m, &cfg), STOQ_RANGE);
    cfg.chunk_bytes_max = STOQ_MERKLE_CHUNK_BYTES_MAX_RAW + 1;
    assert_int_equal(stoq_merkle_new(&m, &cfg), STOQ_RANGE);
    stoq_merkle_free(NULL);
}

/* --- the lists --- */

static void lists_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(counts); i++) {
        struct model m;
        model_init(&m, counts[i], i % 2 == 0 ? MODEL_RANDOM : MODEL_ALWAYS, 100 + i);
        struct stoq_merkle_root root = model_root(&m);
        assert_int_equal(stoq_merkle_check_shard_list(&root, MAX, model_shard_list(&m)), STOQ_OK);
        for (size_t s = 0; s < m.shard_count; s++) {
            assert_int_equal(
                stoq_merkle_check_chunk_list(&m.shard[s], MAX, model_chunk_list(&m, s)), STOQ_OK);
        }
        model_release(&m);
    }
}

static void any_flipped_bit_of_a_list_is_refused(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 300, MODEL_ALWAYS, 5);
    struct stoq_merkle_root root = model_root(&m);
    struct stoq_span list = model_shard_list(&m);
    for (size_t bit = 0; bit < list.n * 8; bit++) {
        m.shard_list.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum stoq_status st = stoq_merkle_check_shard_list(&root, MAX, list);
        /* A hash that differs is found by hashing, a count that differs before. */
        assert_int_equal(st, bit / 8 % 48 < 32 ? STOQ_PROOF : STOQ_MALFORMED);
        m.shard_list.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    list = model_chunk_list(&m, 2);
    size_t at = (size_t)(list.p - m.chunk_lists.p);
    for (size_t bit = 0; bit < list.n * 8; bit++) {
        m.chunk_lists.p[at + bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum stoq_status st = stoq_merkle_check_chunk_list(&m.shard[2], MAX, list);
        assert_int_equal(st, bit / 8 % 36 < 32 ? STOQ_PROOF : STOQ_MALFORMED);
        m.chunk_lists.p[at + bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[2], MAX, list), STOQ_OK);
    model_release(&m);
}

static void swapped_entries_are_refused(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 40, MODEL_NEVER, 6);
    /* Two chunks change places: lengths still add up, only the hash tells. */
    uint8_t e[36];
    memcpy(e, m.chunk_lists.p, 36);
    memmove(m.chunk_lists.p, m.chunk_lists.p + 36, 36);
    memcpy(m.chunk_lists.p + 36, e, 36);
    assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[0], MAX, model_chunk_list(&m, 0)),
                     STOQ_PROOF);
    /* A byte moves from one length to another. */
    memcpy(m.chunk_lists.p + 36, m.chunk_lists.p, 36);
    memcpy(m.chunk_lists.p, e, 36);
    stoq_le32_put(m.chunk_lists.p + 32, m.chunk[0].bytes - 1);
    stoq_le32_put(m.chunk_lists.p + 36 + 32, m.chunk[1].bytes + 1);
    assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[0], MAX, model_chunk_list(&m, 0)),
                     STOQ_PROOF);
    model_release(&m);
}

static void lists_have_exact_lengths(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 70, MODEL_ALWAYS, 7);
    struct stoq_merkle_root root = model_root(&m);
    struct stoq_span list = model_shard_list(&m);
    struct stoq_span chunks = model_chunk_list(&m, 0);
    for (size_t n = 0; n < list.n; n++) {
        assert_int_equal(stoq_merkle_check_shard_list(&root, MAX, stoq_span(list.p, n)),
                         STOQ_MALFORMED);
    }
    for (size_t n = 0; n < chunks.n + 36 * 3; n++) {
        if (n != chunks.n) {
            assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[0], MAX, stoq_span(chunks.p, n)),
                             STOQ_MALFORMED);
        }
    }
    assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[0], MAX, chunks), STOQ_OK);
    /* The caller's own limit on a chunk counts too. */
    assert_int_equal(stoq_merkle_check_chunk_list(&m.shard[0], 1000, chunks), STOQ_MALFORMED);
    assert_int_equal(stoq_merkle_check_shard_list(&root, 1000, list), STOQ_MALFORMED);
    model_release(&m);
}

/* Counts as an attacker would like them: sums that wrap, shards of nothing. */
static void counts_cannot_wrap(void **state)
{
    (void)state;
    static const struct {
        uint64_t chunks[2];
        uint64_t bytes[2];
        struct stoq_merkle_root root;
    } bad[] = {
        {{1, 1}, {UINT64_MAX, 2}, {.shards = 2, .chunks = 2, .bytes = 1}},
        {{UINT64_MAX, 3}, {5, 5}, {.shards = 2, .chunks = 2, .bytes = 10}},
        {{0, 2}, {5, 5}, {.shards = 2, .chunks = 2, .bytes = 10}},
        {{1, 1}, {0, 10}, {.shards = 2, .chunks = 2, .bytes = 10}},
        {{513, 1}, {600, 1}, {.shards = 2, .chunks = 514, .bytes = 601}},
        {{1, 1}, {MAX + 1, 1}, {.shards = 2, .chunks = 2, .bytes = MAX + 2}},
        {{1, 1}, {1, 1}, {.shards = 1, .chunks = 2, .bytes = 2}},
        {{1, 1}, {1, 1}, {.shards = UINT64_MAX, .chunks = 2, .bytes = 2}},
        {{1, 1}, {1, 1}, {.shards = ((uint64_t)1 << 60) + 2, .chunks = 2, .bytes = 2}},
    };
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        uint8_t list[96] = {0};
        for (size_t k = 0; k < 2; k++) {
            struct stoq_merkle_shard shard = {.chunks = bad[i].chunks[k], .bytes = bad[i].bytes[k]};
            stoq_merkle_shard_put(list + 48 * k, &shard);
        }
        assert_int_equal(stoq_merkle_check_shard_list(&bad[i].root, MAX, stoq_span(list, 96)),
                         STOQ_MALFORMED);
    }
    uint8_t entry[36] = {0};
    struct stoq_merkle_shard shard = {.chunks = UINT64_MAX, .bytes = 1};
    assert_int_equal(stoq_merkle_check_chunk_list(&shard, MAX, stoq_span(entry, 36)),
                     STOQ_MALFORMED);
    shard.chunks = 0;
    assert_int_equal(stoq_merkle_check_chunk_list(&shard, MAX, stoq_span(entry, 0)),
                     STOQ_MALFORMED);
}

/* Hashes of one kind never pass for another: the kinds of input start with different bytes. */
static void kinds_of_nodes_do_not_mix(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 4, MODEL_NEVER, 8);
    uint8_t list[96];
    /* The shard root as a package root, over the true shard list. */
    struct stoq_merkle_root root = model_root(&m);
    root.hash = m.shard[0].root;
    assert_int_equal(stoq_merkle_check_shard_list(&root, MAX, model_shard_list(&m)), STOQ_PROOF);
    /* The two halves of the shard as two shards: same leaves, same hashes on the way up. */
    struct stoq_merkle_shard half[2] = {model_shard(m.chunk, 2), model_shard(m.chunk + 2, 2)};
    stoq_merkle_shard_put(list, &half[0]);
    stoq_merkle_shard_put(list + 48, &half[1]);
    root = model_root(&m);
    root.shards = 2;
    assert_int_equal(stoq_merkle_check_shard_list(&root, MAX, stoq_span(list, 96)), STOQ_PROOF);
    /* A node inside the shard as a chunk of the shard: two "chunks" instead of four. */
    struct stoq_merkle_shard shard = {m.shard[0].root, 2, m.bytes};
    for (size_t i = 0; i < 2; i++) {
        struct stoq_merkle_chunk node = {half[i].root, (uint32_t)half[i].bytes};
        stoq_merkle_chunk_put(list + 36 * i, &node);
    }
    assert_int_equal(stoq_merkle_check_chunk_list(&shard, 2 * MAX, stoq_span(list, 72)),
                     STOQ_PROOF);
    model_release(&m);
}

static void chunks_are_found_in_their_shards(void **state)
{
    (void)state;
    struct model m;
    model_init(&m, 1000, MODEL_RANDOM, 9);
    uint64_t first_byte = 0;
    size_t shard = 0;
    struct stoq_merkle_place place = {7, 7, 7};
    for (size_t i = 0; i < m.chunk_count; i++) {
        if (shard + 1 < m.shard_count && i == m.shard_first[shard + 1]) {
            first_byte += m.shard[shard].bytes;
            shard++;
        }
        assert_int_equal(stoq_merkle_find_chunk(model_shard_list(&m), i, &place), STOQ_OK);
        assert_int_equal(place.shard, shard);
        assert_int_equal(place.first_chunk, m.shard_first[shard]);
        assert_int_equal(place.first_byte, first_byte);
    }
    assert_int_equal(stoq_merkle_find_chunk(model_shard_list(&m), 1000, &place), STOQ_RANGE);
    assert_int_equal(stoq_merkle_find_chunk(model_shard_list(&m), UINT64_MAX, &place), STOQ_RANGE);
    assert_int_equal(stoq_merkle_find_chunk(stoq_span(NULL, 0), 0, &place), STOQ_RANGE);
    model_release(&m);
}

/* --- memory --- */

static void failing_memory_is_a_clean_status(void **state)
{
    (void)state;
    struct model want;
    model_init(&want, 600, MODEL_RANDOM, 10);
    bool done = false;
    for (unsigned nth = 1; !done; nth++) {
        struct failing f = {.fail_at = nth};
        struct stoq_merkle_config cfg = {MAX, failing_alloc(&f)};
        struct stoq_merkle *m = NULL;
        enum stoq_status st = stoq_merkle_new(&m, &cfg);
        if (st == STOQ_NOMEM) {
            assert_null(m);
        } else {
            /* The one allocation is all there ever is. */
            assert_int_equal(nth, 2);
            build_and_compare(m, &want);
            done = true;
        }
        stoq_merkle_free(m);
        assert_int_equal(f.live, 0);
    }
    model_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees_equal_the_naive_ones),
        cmocka_unit_test(every_shard_count_up_to_eighty),
        cmocka_unit_test(a_chunk_has_a_length),
        cmocka_unit_test(lists_are_checked),
        cmocka_unit_test(any_flipped_bit_of_a_list_is_refused),
        cmocka_unit_test(swapped_entries_are_refused),
        cmocka_unit_test(lists_have_exact_lengths),
        cmocka_unit_test(counts_cannot_wrap),
        cmocka_unit_test(kinds_of_nodes_do_not_mix),
        cmocka_unit_test(chunks_are_found_in_their_shards),
        cmocka_unit_test(failing_memory_is_a_clean_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
