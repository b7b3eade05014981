/*
 * What every byte of a publish and a fetch passes through, on one core and in memory: cutting, hashing,
 * building the tree, verifying each chunk with its proof; beside memcpy of the same bytes in the same
 * run. CPU time of the process, the best of three rounds each. One "name value unit" per line.
 *
 *     cut_and_prove [MIB [PROFILE]]        256 and 2; at most 65,536 chunks
 */
#include "base/prng.h"
#include "chunk/profile.h"
#include "hash/hash.h"
#include "merkle/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 3
#define MAX STOQ_MERKLE_CHUNK_BYTES_MAX

struct work {
    struct stoq_span data;
    uint8_t *copy;
    struct stoq_chunker chunker;
    size_t chunk_count;
    struct stoq_merkle_chunk *chunk;
    struct stoq_merkle_root root;
    struct stoq_buf shard_list;
    struct stoq_buf chunk_lists;
    bool each_alone;        /* verify without a verifier */
    struct stoq_buf proofs; /* u32le length and bytes of each */
    struct stoq_buf run;    /* one proof of all chunks */
};

static double cpu_seconds(void)
{
    struct timespec t;
    STOQ_ASSERT(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Run it ROUNDS times; the seconds of the quickest. */
static double quickest(void (*run)(struct work *w), struct work *w)
{
    double best = 1e9;
    for (int i = 0; i < ROUNDS; i++) {
        double begin = cpu_seconds();
        run(w);
        double took = cpu_seconds() - begin;
        best = took < best ? took : best;
    }
    return best;
}

static void copy_all(struct work *w)
{
    memcpy(w->copy, w->data.p, w->data.n);
    /* The copy is looked at, so that it is made. */
    STOQ_ASSERT(w->copy[w->data.n / 2] == w->data.p[w->data.n / 2]);
}

static void cut_all(struct work *w)
{
    struct stoq_span rest = w->data;
    w->chunk_count = 0;
    while (rest.n > 0) {
        size_t n = stoq_chunker_cut(&w->chunker, rest, true);
        w->chunk[w->chunk_count++].bytes = (uint32_t)n;
        rest = stoq_span(rest.p + n, rest.n - n);
    }
}

static void hash_all(struct work *w)
{
    const uint8_t *p = w->data.p;
    for (size_t i = 0; i < w->chunk_count; i++) {
        w->chunk[i].hash = stoq_hash_blake3(stoq_span(p, w->chunk[i].bytes));
        p += w->chunk[i].bytes;
    }
}

static void take_closed(struct work *w, const struct stoq_merkle_closed *closed)
{
    uint8_t entry[STOQ_MERKLE_SHARD_ENTRY_BYTES];
    stoq_merkle_shard_put(entry, &closed->shard);
    STOQ_ASSERT(stoq_buf_add(&w->shard_list, stoq_span(entry, sizeof entry)) == STOQ_OK);
    STOQ_ASSERT(stoq_buf_add(&w->chunk_lists, closed->list) == STOQ_OK);
}

static void build_tree(struct work *w)
{
    struct stoq_merkle_config cfg = {.chunk_bytes_max = MAX};
    struct stoq_merkle *m = NULL;
    struct stoq_merkle_closed closed;
    bool is_closed;
    stoq_buf_clear(&w->shard_list);
    stoq_buf_clear(&w->chunk_lists);
    STOQ_ASSERT(stoq_merkle_new(&m, &cfg) == STOQ_OK);
    for (size_t i = 0; i < w->chunk_count; i++) {
        STOQ_ASSERT(stoq_merkle_add(m, &w->chunk[i], &closed, &is_closed) == STOQ_OK);
        if (is_closed) {
            take_closed(w, &closed);
        }
    }
    stoq_merkle_finish(m, &closed, &is_closed, &w->root);
    if (is_closed) {
        take_closed(w, &closed);
    }
    stoq_merkle_free(m);
}

static void prove_all(struct work *w)
{
    struct stoq_span shards = stoq_buf_span(&w->shard_list);
    stoq_buf_clear(&w->proofs);
    for (size_t i = 0; i < w->chunk_count; i++) {
        struct stoq_merkle_place place;
        struct stoq_merkle_proof proof;
        uint8_t size[4] = {0};
        STOQ_ASSERT(stoq_merkle_find_chunk(shards, i, &place) == STOQ_OK);
        size_t n = (size_t)stoq_merkle_shard_at(shards, (size_t)place.shard).chunks;
        struct stoq_span list =
            stoq_span(w->chunk_lists.p + place.first_chunk * STOQ_MERKLE_CHUNK_ENTRY_BYTES,
                      n * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
        STOQ_ASSERT(stoq_merkle_prove_chunk(&w->root, shards, list, i, &proof) == STOQ_OK);
        STOQ_ASSERT(stoq_buf_add(&w->proofs, stoq_span(size, sizeof size)) == STOQ_OK);
        size_t at = w->proofs.n;
        STOQ_ASSERT(stoq_merkle_proof_encode(&proof, &w->proofs) == STOQ_OK);
        stoq_le32_put(w->proofs.p + at - 4, (uint32_t)(w->proofs.n - at));
    }
}

/* As a receiver does for each chunk that comes with its proof: hash the bytes, read, verify. */
static void verify_all(struct work *w)
{
    struct stoq_rd proofs = stoq_rd(stoq_buf_span(&w->proofs));
    struct stoq_merkle_verifier *v = NULL;
    const uint8_t *p = w->data.p;
    STOQ_ASSERT(stoq_merkle_verifier_new(&v, &w->root.hash, MAX, NULL) == STOQ_OK);
    for (size_t i = 0; i < w->chunk_count; i++) {
        struct stoq_merkle_chunk chunk = {.bytes = w->chunk[i].bytes};
        struct stoq_merkle_proof proof;
        uint64_t offset;
        chunk.hash = stoq_hash_blake3(stoq_span(p, chunk.bytes));
        struct stoq_span bytes = stoq_rd_bytes(&proofs, stoq_rd_u32(&proofs));
        STOQ_ASSERT(stoq_merkle_proof_decode(bytes, &proof) == STOQ_OK);
        STOQ_ASSERT((w->each_alone
                         ? stoq_merkle_verify_chunk(&w->root.hash, MAX, i, &chunk, &proof, &offset)
                         : stoq_merkle_verifier_check(v, i, &chunk, &proof, &offset)) == STOQ_OK);
        STOQ_ASSERT(offset == (uint64_t)(p - w->data.p));
        p += chunk.bytes;
    }
    stoq_merkle_verifier_free(v);
}

static void prove_run(struct work *w)
{
    struct stoq_merkle_run run;
    stoq_buf_clear(&w->run);
    STOQ_ASSERT(stoq_merkle_prove_run(&w->root, stoq_buf_span(&w->shard_list),
                                      stoq_buf_span(&w->chunk_lists), 0, w->chunk_count,
                                      &run) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_run_encode(&run, &w->run) == STOQ_OK);
}

/* As who has a proof file: read and verify the one proof, then hash all bytes. */
static void verify_run(struct work *w)
{
    struct stoq_merkle_run run;
    struct stoq_merkle_run_place place;
    const uint8_t *p = w->data.p;
    STOQ_ASSERT(stoq_merkle_run_decode(stoq_buf_span(&w->run), &run) == STOQ_OK);
    STOQ_ASSERT(stoq_merkle_verify_run(&w->root.hash, MAX, 0, w->chunk_count, &run, &place) ==
                STOQ_OK);
    STOQ_ASSERT(place.offset == 0 && place.bytes == w->data.n);
    for (size_t i = 0; i < w->chunk_count; i++) {
        struct stoq_merkle_chunk want = stoq_merkle_run_chunk(&run, i);
        struct stoq_hash got = stoq_hash_blake3(stoq_span(p, want.bytes));
        STOQ_ASSERT(stoq_hash_eq(&got, &want.hash));
        p += want.bytes;
    }
}

static void work_init(struct work *w, size_t n, unsigned profile)
{
    *w = (struct work){.copy = malloc(n)};
    uint8_t *data = malloc(n);
    w->chunk = calloc(n / stoq_chunk_profile(profile)->params.min + 1, sizeof *w->chunk);
    STOQ_ASSERT(data != NULL && w->copy != NULL && w->chunk != NULL);
    struct stoq_prng r = stoq_prng(1);
    for (size_t i = 0; i < n; i += 8) {
        stoq_le64_put(data + i, stoq_prng_next(&r));
    }
    w->data = stoq_span(data, n);
    struct stoq_chunk_params params = stoq_chunk_profile(profile)->params;
    STOQ_ASSERT(stoq_chunker_init(&w->chunker, &params) == STOQ_OK);
    stoq_buf_init(&w->shard_list, SIZE_MAX);
    stoq_buf_init(&w->chunk_lists, SIZE_MAX);
    stoq_buf_init(&w->proofs, SIZE_MAX);
    stoq_buf_init(&w->run, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
}

int main(int argc, char **argv)
{
    unsigned long mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 256;
    unsigned long profile = argc > 2 ? strtoul(argv[2], NULL, 10) : STOQ_PROFILE_DEFAULT;
    if (mib == 0 || mib > 1024 || (profile != STOQ_PROFILE_1 && profile != STOQ_PROFILE_2)) {
        (void)fprintf(stderr, "usage: cut_and_prove [MIB [PROFILE]], 1..1024 and 1 or 2\n");
        return 2;
    }
    struct work w;
    work_init(&w, (size_t)mib << 20, (unsigned)profile);
    double mb = (double)w.data.n / 1e6;
    copy_all(&w); /* the pages are there from now on */
    (void)printf("memcpy %.0f MB/s\n", mb / quickest(copy_all, &w));
    (void)printf("chunker %.0f MB/s\n", mb / quickest(cut_all, &w));
    (void)printf("blake3_of_chunks %.0f MB/s\n", mb / quickest(hash_all, &w));
    double tree = quickest(build_tree, &w);
    (void)printf("tree %.3f us/chunk\n", tree * 1e6 / (double)w.chunk_count);
    double proofs = quickest(prove_all, &w);
    (void)printf("prove %.1f us/chunk\n", proofs * 1e6 / (double)w.chunk_count);
    (void)printf("proof_size %.0f bytes/chunk\n", (double)w.proofs.n / (double)w.chunk_count);
    (void)printf("verify_with_proofs %.3f ms/MB\n", quickest(verify_all, &w) * 1e3 / mb);
    prove_run(&w);
    (void)printf("run_proof_size %.1f bytes/chunk\n", (double)w.run.n / (double)w.chunk_count);
    (void)printf("verify_with_run_proof %.3f ms/MB\n", quickest(verify_run, &w) * 1e3 / mb);
    w.each_alone = true;
    (void)printf("verify_with_single_proofs %.3f ms/MB\n", quickest(verify_all, &w) * 1e3 / mb);
    return 0;
}
