/*
 * What the store takes: N MiB of unique random chunks of about 74 KB appended, synced, read back;
 * beside plain writes of 1 MiB and one fdatasync, as dd does it, in the same directory and the same
 * run. One "name value unit" per line.
 *
 *     store_append DIR [MIB] [THREADS]
 */
#include "base/prng.h"
#include "hash/hash.h"
#include "os/file.h"
#include "os/sys.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_BYTES 75776
#define POOL_BYTES (64 * STOQ_MIB)
#define THREADS_MAX 8

struct job {
    struct stoq_store *s;
    const uint8_t *pool; /* random bytes; chunk i begins somewhere in it and carries its number */
    uint64_t first, last;
    bool failed;
};

/* Chunk i and a key for it. The key is not its hash: this measures the store alone. */
static struct stoq_span chunk(const struct job *j, uint64_t i, uint8_t key[32])
{
    struct stoq_prng r = stoq_prng(i);
    for (int k = 0; k < 4; k++) {
        stoq_le64_put(key + 8 * k, stoq_prng_next(&r));
    }
    return stoq_span(j->pool + stoq_prng_below(&r, POOL_BYTES - CHUNK_BYTES), CHUNK_BYTES);
}

static void *put_all(void *arg)
{
    struct job *j = arg;
    struct stoq_error err;
    for (uint64_t i = j->first; i < j->last; i++) {
        uint8_t key[32];
        struct stoq_span s = chunk(j, i, key);
        if (stoq_store_put(j->s, STOQ_RECORD_CHUNK, stoq_span(key, 32), 0, s, NULL, &err) !=
            STOQ_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            j->failed = true;
            break;
        }
    }
    return NULL;
}

static void *read_all(void *arg)
{
    struct job *j = arg;
    struct stoq_error err;
    struct stoq_buf out;
    stoq_buf_init(&out, STOQ_CHUNK_BYTES_MAX);
    for (uint64_t i = j->first; i < j->last; i++) {
        uint8_t key[32];
        struct stoq_span s = chunk(j, i, key);
        if (stoq_store_read(j->s, STOQ_RECORD_CHUNK, stoq_span(key, 32), 0, &out, &err) !=
                STOQ_OK ||
            out.n != s.n) {
            (void)fprintf(stderr, "%s\n", err.text);
            j->failed = true;
            break;
        }
    }
    stoq_buf_release(&out);
    return NULL;
}

static bool run(struct job *proto, unsigned threads, uint64_t count, void *(*work)(void *))
{
    struct job job[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    bool good = true;
    for (unsigned i = 0; i < threads; i++) {
        job[i] = *proto;
        job[i].first = count * i / threads;
        job[i].last = count * (i + 1) / threads;
        if (pthread_create(&thread[i], NULL, work, &job[i]) != 0) {
            exit(1);
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(thread[i], NULL);
        good = good && !job[i].failed;
    }
    return good;
}

static void report(const char *name, uint64_t bytes, stoq_ns wall, stoq_ns cpu)
{
    double s = (double)wall / 1e9;
    printf("%s %.0f MB/s\n", name, (double)bytes / 1e6 / s);
    printf("%s_cpu %.2f s/GiB\n", name, (double)cpu / 1e9 / ((double)bytes / (double)STOQ_GIB));
}

/* The reference: plain writes and one fdatasync. */
static void plain(const char *dir, const uint8_t *pool, uint64_t bytes)
{
    char path[4096];
    if (stoq_file_join(path, sizeof path, dir, "plain") != STOQ_OK) {
        exit(1);
    }
    stoq_ns t = stoq_now();
    stoq_ns c = stoq_cpu_ns();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (uint64_t at = 0; at < bytes; at += STOQ_MIB) {
        if (stoq_file_write_all(fd, stoq_span(pool + at % POOL_BYTES, STOQ_MIB)) != STOQ_OK) {
            exit(1);
        }
    }
    if (fdatasync(fd) != 0) {
        exit(1);
    }
    report("plain_fdatasync", bytes, stoq_now() - t, stoq_cpu_ns() - c);
    (void)close(fd);
    (void)unlink(path);
}

/* RssAnon + RssShmem of this process, in KiB. */
static uint64_t anon_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t sum = 0;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0 || strncmp(line, "RssShmem:", 9) == 0) {
            sum += strtoull(strchr(line, ':') + 1, NULL, 10);
        }
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return sum;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: store_append DIR [MIB] [THREADS]\n");
        return 2;
    }
    uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) * STOQ_MIB;
    unsigned threads = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1;
    if (threads < 1 || threads > THREADS_MAX) {
        return 2;
    }
    uint8_t *pool = malloc(POOL_BYTES);
    struct stoq_prng r = stoq_prng(1);
    for (size_t i = 0; i < POOL_BYTES; i += 8) {
        stoq_le64_put(pool + i, stoq_prng_next(&r));
    }
    char dir[4096];
    struct stoq_error err;
    if (stoq_file_join(dir, sizeof dir, argv[1], "store_append.d") != STOQ_OK) {
        return 2;
    }
    plain(argv[1], pool, bytes);
    struct stoq_store_config cfg = {.dir = dir, .create = true};
    struct job proto = {.pool = pool};
    if (stoq_store_open(&proto.s, &cfg, &err) != STOQ_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    uint64_t count = bytes / CHUNK_BYTES;
    uint64_t anon = anon_kib();
    stoq_ns t = stoq_now();
    stoq_ns c = stoq_cpu_ns();
    bool good = run(&proto, threads, count, put_all);
    uint64_t anon_after = anon_kib();
    stoq_ns put_t = stoq_now() - t;
    good = good && stoq_store_sync(proto.s, &err) == STOQ_OK;
    report("store_append_sync", count * CHUNK_BYTES, stoq_now() - t, stoq_cpu_ns() - c);
    printf("store_append_before_sync %.2f s\n", (double)put_t / 1e9);
    printf("store_anon %llu KiB\n", (unsigned long long)(anon_after - anon));
    t = stoq_now();
    c = stoq_cpu_ns();
    good = good && run(&proto, threads, count, read_all);
    report("store_read", count * CHUNK_BYTES, stoq_now() - t, stoq_cpu_ns() - c);
    struct stoq_store_stats stats;
    good = good && stoq_store_stats(proto.s, &stats, &err) == STOQ_OK;
    printf("store_syncs %llu rounds\n", (unsigned long long)stats.syncs);
    good = stoq_store_close(proto.s, &err) == STOQ_OK && good;
    free(pool);
    return good ? 0 : 1;
}
