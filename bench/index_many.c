/*
 * The index with many records: N chunks of 64 bytes are put and synced; looked up one by one, warm, in random
 * order; then the index is made anew from the segments, and each is looked up again. One "name value
 * unit" per
 * line; exit code 1 when one is lost.
 *
 *     index_many DIR [CHUNKS]
 */
#include "base/prng.h"
#include "os/sys.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 64
#define LOOKUPS 1000000

/* The key is not the bytes' hash: this measures the index. */
static struct stoq_span key_of(uint64_t i, uint8_t key[32])
{
    struct stoq_prng r = stoq_prng(i);
    for (int k = 0; k < 4; k++) {
        stoq_le64_put(key + 8 * k, stoq_prng_next(&r));
    }
    return stoq_span(key, 32);
}

static int by_value(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa;
    uint32_t b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static double seconds(stoq_ns from)
{
    uint64_t us = (stoq_now() - from) / 1000;
    return (double)us / 1e6;
}

static bool fill(struct stoq_store *s, uint64_t count)
{
    uint8_t key[32];
    uint8_t bytes[CHUNK_BYTES] = {0};
    struct stoq_error err;
    for (uint64_t i = 0; i < count; i++) {
        stoq_le64_put(bytes, i);
        if (stoq_store_put(s, STOQ_RECORD_CHUNK, key_of(i, key), 0, stoq_span(bytes, sizeof bytes),
                           NULL, &err) != STOQ_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            return false;
        }
    }
    return stoq_store_sync(s, &err) == STOQ_OK;
}

/* Random ones among them, and as many that are not there; the latencies of both together. */
static bool look_up(struct stoq_store *s, uint64_t count, const char *when)
{
    uint32_t *ns = calloc(LOOKUPS, sizeof *ns);
    struct stoq_prng r = stoq_prng(1);
    bool good = ns != NULL;
    for (int round = 0; good && round < 2; round++) { /* the first one warms */
        for (size_t i = 0; good && i < LOOKUPS; i++) {
            uint8_t key[32];
            bool is_there = i % 2 == 0;
            uint64_t k = stoq_prng_below(&r, count) + (is_there ? 0 : count);
            struct stoq_span span = key_of(k, key);
            stoq_ns began = stoq_now();
            good = stoq_store_has(s, STOQ_RECORD_CHUNK, span) == is_there;
            ns[i] = (uint32_t)(stoq_now() - began);
        }
    }
    if (good) {
        qsort(ns, LOOKUPS, sizeof *ns, by_value);
        const uint32_t p50 = ns[LOOKUPS / 2];
        const uint32_t p99 = ns[LOOKUPS / 100 * 99];
        const uint32_t p999 = ns[LOOKUPS / 1000 * 999];
        (void)printf("lookup_%s_p50 %.1f us\n", when, p50 / 1e3);
        (void)printf("lookup_%s_p99 %.1f us\n", when, p99 / 1e3);
        (void)printf("lookup_%s_p999 %.1f us\n", when, p999 / 1e3);
    }
    free(ns);
    return good;
}

static bool each_is_there(struct stoq_store *s, uint64_t count)
{
    uint64_t lost = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t key[32];
        lost += !stoq_store_has(s, STOQ_RECORD_CHUNK, key_of(i, key));
    }
    (void)printf("lost_by_rebuild %llu chunks\n", (unsigned long long)lost);
    return lost == 0;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        (void)fprintf(stderr, "usage: index_many DIR [CHUNKS]\n");
        return 2;
    }
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    struct stoq_store_config cfg = {.dir = argv[1], .create = true, .zstd_level = -1};
    struct stoq_store *s;
    struct stoq_error err = {0};
    struct stoq_store_rebuild_report report;
    struct stoq_store_stats stats;
    stoq_ns began = stoq_now();
    bool good = stoq_store_open(&s, &cfg, &err) == STOQ_OK;
    if (!good) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    good = fill(s, count);
    (void)printf("put %.0f chunks/s\n", (double)count / seconds(began));
    good = good && look_up(s, count, "warm") && stoq_store_stats(s, &stats, &err) == STOQ_OK;
    if (good) {
        (void)printf("index %.1f bytes/chunk\n", (double)stats.index_bytes / (double)count);
    }
    good = stoq_store_close(s, &err) == STOQ_OK && good;
    began = stoq_now();
    good = good && stoq_store_rebuild(&cfg, &report, &err) == STOQ_OK && report.live == count;
    (void)printf("rebuild %.1f s\n", seconds(began));
    if (good && (good = stoq_store_open(&s, &cfg, &err) == STOQ_OK)) {
        good = each_is_there(s, count) && look_up(s, count, "rebuilt");
        good = stoq_store_close(s, &err) == STOQ_OK && good;
    }
    if (!good) {
        (void)fprintf(stderr, "failed: %s\n", err.text);
    }
    return good ? 0 : 1;
}
