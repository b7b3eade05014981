/* The vectors of docs/FORMATS.md sections 5 and 6: tests/vectors/merkle.txt and proofs.txt. */
#include "merkle/merkle.h"
#include "merkle/run.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

/* A tree made from the chunks that `KIND SEED N` stands for, with its lists. */
struct made {
    struct stoq_merkle_root root;
    struct stoq_buf shard_list;
    struct stoq_buf chunk_lists; /* of all shards, one after the other */
};

static void take_closed(struct made *t, const struct stoq_merkle_closed *closed)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    assert_int_equal(stoq_buf_add(&t->shard_list, stoq_span(entry, sizeof entry)), STOQ_OK);
    assert_int_equal(stoq_buf_add(&t->chunk_lists, closed->list), STOQ_OK);
}

static void made_init(struct made *t, const char *kind, uint64_t seed, size_t n)
{
    stoq_buf_init(&t->shard_list, SIZE_MAX);
    stoq_buf_init(&t->chunk_lists, SIZE_MAX);
    uint8_t *raw = malloc(32 * n + 1);
    assert_non_null(raw);
    vectors_fill(raw, 32 * n, seed);
    struct stoq_merkle_config cfg = {.chunk_bytes_max = MAX};
    struct stoq_merkle *m = NULL;
    struct stoq_merkle_closed closed;
    bool is_closed;
    assert_int_equal(stoq_merkle_new(&m, &cfg), STOQ_OK);
    for (size_t i = 0; i < n; i++) {
        struct stoq_merkle_chunk chunk;
        raw[32 * i] |= strcmp(kind, "full") == 0;
        memcpy(chunk.hash.b, raw + 32 * i, 32);
        chunk.bytes = 1 + stoq_le32(raw + 32 * i) % 262144;
        assert_int_equal(stoq_merkle_add(m, &chunk, &closed, &is_closed), STOQ_OK);
        if (is_closed) {
            take_closed(t, &closed);
        }
    }
    stoq_merkle_finish(m, &closed, &is_closed, &t->root);
    if (is_closed) {
        take_closed(t, &closed);
    }
    stoq_merkle_free(m);
    free(raw);
}

static void made_release(struct made *t)
{
    stoq_buf_release(&t->shard_list);
    stoq_buf_release(&t->chunk_lists);
}

static void trees(void **state)
{
    (void)state;
    struct vectors v;
    struct made t;
    size_t seen = 0;
    vectors_open(&v, "merkle");
    while (vectors_next(&v)) {
        made_init(&t, vectors_str(&v, 1), vectors_u64(&v, 2), (size_t)vectors_u64(&v, 3));
        if (vectors_is(&v, "tree")) {
            struct stoq_hash want = vectors_hash(&v, 7);
            assert_int_equal(t.root.chunks, vectors_u64(&v, 3));
            assert_int_equal(t.root.shards, vectors_u64(&v, 4));
            assert_int_equal(t.root.bytes, vectors_u64(&v, 5));
            assert_int_equal(t.root.height, vectors_u64(&v, 6));
            assert_true(stoq_hash_eq(&t.root.hash, &want));
        } else if (vectors_is(&v, "shard")) {
            struct stoq_hash want = vectors_hash(&v, 7);
            struct stoq_merkle_shard shard =
                stoq_merkle_shard_at(stoq_buf_span(&t.shard_list), (size_t)vectors_u64(&v, 4));
            assert_int_equal(shard.chunks, vectors_u64(&v, 5));
            assert_int_equal(shard.bytes, vectors_u64(&v, 6));
            assert_true(stoq_hash_eq(&shard.root, &want));
        } else {
            assert_true(vectors_is(&v, "list"));
            struct stoq_span list = vectors_bytes(&v, 4);
            assert_true(stoq_span_eq(stoq_buf_span(&t.shard_list), list));
            assert_int_equal(stoq_merkle_check_shard_list(&t.root, MAX, list), STOQ_OK);
        }
        made_release(&t);
        seen++;
    }
    vectors_close(&v);
    assert_true(seen > 0);
}

/* Ours is theirs byte for byte, and theirs verifies with its offset. */
static void check_proof(struct vectors *v, const struct made *t)
{
    uint64_t index = vectors_u64(v, 4);
    struct stoq_merkle_chunk chunk = {vectors_hash(v, 6), (uint32_t)vectors_u64(v, 7)};
    struct stoq_hash root = vectors_hash(v, 8);
    struct stoq_span bytes = vectors_bytes(v, 9);
    struct stoq_merkle_proof proof;
    uint64_t offset;
    assert_int_equal(stoq_merkle_proof_decode(bytes, &proof), STOQ_OK);
    assert_int_equal(stoq_merkle_verify_chunk(&root, MAX, index, &chunk, &proof, &offset), STOQ_OK);
    assert_int_equal(offset, vectors_u64(v, 5));

    struct stoq_merkle_place place;
    struct stoq_span shard_list = stoq_buf_span(&t->shard_list);
    assert_int_equal(stoq_merkle_find_chunk(shard_list, index, &place), STOQ_OK);
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(shard_list, (size_t)place.shard);
    struct stoq_span chunk_list =
        stoq_span(t->chunk_lists.p + place.first_chunk * 36, (size_t)shard.chunks * 36);
    assert_int_equal(stoq_merkle_prove_chunk(&t->root, shard_list, chunk_list, index, &proof),
                     STOQ_OK);
    struct stoq_buf made;
    stoq_buf_init(&made, STOQ_MERKLE_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_proof_encode(&proof, &made), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&made), bytes));
    stoq_buf_release(&made);
}

/* The same for a run, or a shard. */
static void check_run(struct vectors *v, const struct made *t, enum stoq_merkle_proof_kind kind)
{
    uint64_t first = vectors_u64(v, 4);
    uint64_t count = vectors_u64(v, 5);
    struct stoq_hash root = vectors_hash(v, 8);
    struct stoq_span bytes = vectors_bytes(v, 9);
    struct stoq_merkle_run run;
    struct stoq_merkle_run_place where;
    assert_int_equal(stoq_merkle_run_decode(bytes, &run), STOQ_OK);
    assert_int_equal(run.kind, kind);
    assert_int_equal(stoq_merkle_verify_run(&root, MAX, first, count, &run, &where), STOQ_OK);
    assert_int_equal(where.offset, vectors_u64(v, 6));
    assert_int_equal(where.bytes, vectors_u64(v, 7));

    struct stoq_merkle_place begin;
    struct stoq_merkle_place last;
    struct stoq_span shard_list = stoq_buf_span(&t->shard_list);
    assert_int_equal(stoq_merkle_find_chunk(shard_list, first, &begin), STOQ_OK);
    assert_int_equal(stoq_merkle_find_chunk(shard_list, first + count - 1, &last), STOQ_OK);
    uint64_t end = last.first_chunk + stoq_merkle_shard_at(shard_list, (size_t)last.shard).chunks;
    struct stoq_span lists = stoq_span(t->chunk_lists.p + begin.first_chunk * 36,
                                       (size_t)(end - begin.first_chunk) * 36);
    assert_int_equal(stoq_merkle_prove_run(&t->root, shard_list, lists, first, count, &run),
                     STOQ_OK);
    struct stoq_buf made;
    stoq_buf_init(&made, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    assert_int_equal(stoq_merkle_run_encode(&run, &made), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&made), bytes));
    stoq_buf_release(&made);
}

static void proofs(void **state)
{
    (void)state;
    struct vectors v;
    struct made t;
    size_t seen = 0;
    vectors_open(&v, "proofs");
    while (vectors_next(&v)) {
        if (vectors_is(&v, "file") || vectors_is(&v, "nodata")) {
            continue; /* package/proof_file_test.c */
        }
        made_init(&t, vectors_str(&v, 1), vectors_u64(&v, 2), (size_t)vectors_u64(&v, 3));
        if (vectors_is(&v, "run")) {
            check_run(&v, &t, STOQ_MERKLE_PROOF_RUN);
        } else if (vectors_is(&v, "shard")) {
            check_run(&v, &t, STOQ_MERKLE_PROOF_SHARD);
        } else {
            assert_true(vectors_is(&v, "proof"));
            check_proof(&v, &t);
        }
        made_release(&t);
        seen++;
    }
    vectors_close(&v);
    assert_true(seen > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees),
        cmocka_unit_test(proofs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
