/*
 * A collection beside additions and reads. The store gets MIB MiB of chunks of 64 KiB in pieces of one
 * segment; every second chunk is deleted, so that each segment is half dead. One thread then adds a
 * chunk every 4 ms and syncs every 16th, one reads a random live chunk every millisecond; both note how
 * late each call came back. First alone, then beside the collection, then alone again: the difference
 * between the two times alone is the noise. Each of the three begins with the segments out of the page
 * cache: a read that finds its page is not one to compare with a read that goes to the disk.
 * One "name value unit" per line.
 *
 *     gc_beside DIR [MIB] [RATE_MIB_PER_S] [SECONDS_ALONE]
 */
#include "base/prng.h"
#include "os/sys.h"
#include "store/gc.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES 65536
#define POOL_BYTES (16 * STOQ_MIB)
#define SAMPLES_MAX 2000000
#define ADD_EVERY (4 * STOQ_MS)
#define READ_EVERY STOQ_MS
#define SYNC_EVERY 16

struct samples {
    uint32_t us[SAMPLES_MAX];
    size_t n;
};

struct bench {
    struct stoq_store *s;
    const char *dir;
    uint8_t *pool;
    uint64_t chunks; /* even ones are live */
    _Atomic uint64_t next;
    _Atomic bool stop;
    _Atomic bool failed;
    struct samples put;
    struct samples sync;
    struct samples read;
};

static struct stoq_span key_of(uint64_t i, uint8_t key[32])
{
    struct stoq_prng r = stoq_prng(i);
    for (int k = 0; k < 4; k++) {
        stoq_le64_put(key + 8 * k, stoq_prng_next(&r));
    }
    return stoq_span(key, 32);
}

static bool put(struct bench *b, uint64_t i)
{
    uint8_t key[32];
    struct stoq_error err;
    struct stoq_span s = stoq_span(b->pool + i * 4099 % (POOL_BYTES - CHUNK_BYTES), CHUNK_BYTES);
    bool good =
        stoq_store_put(b->s, STOQ_RECORD_CHUNK, key_of(i, key), 0, s, NULL, &err) == STOQ_OK;
    if (!good) {
        (void)fprintf(stderr, "%s\n", err.text);
        atomic_store(&b->failed, true);
    }
    return good;
}

static void note(struct samples *s, stoq_ns began)
{
    if (s->n < SAMPLES_MAX) {
        s->us[s->n++] = (uint32_t)((stoq_now() - began) / 1000);
    }
}

static void wait_until(stoq_ns at)
{
    stoq_ns now = stoq_now();
    if (now < at) {
        const struct timespec ts = {(time_t)((at - now) / STOQ_SEC), (long)((at - now) % STOQ_SEC)};
        (void)nanosleep(&ts, NULL);
    }
}

static void *add_on(void *user)
{
    struct bench *b = user;
    stoq_ns at = stoq_now();
    for (unsigned i = 1; !atomic_load(&b->stop); i++) {
        wait_until(at += ADD_EVERY);
        stoq_ns began = stoq_now();
        if (!put(b, atomic_fetch_add(&b->next, 1))) {
            break;
        }
        note(&b->put, began);
        if (i % SYNC_EVERY == 0) {
            began = stoq_now();
            if (stoq_store_sync(b->s, NULL) != STOQ_OK) {
                atomic_store(&b->failed, true);
            }
            note(&b->sync, began);
            at = stoq_now(); /* a slow sync is one sample, not a queue */
        }
    }
    return NULL;
}

static void *read_on(void *user)
{
    struct bench *b = user;
    struct stoq_prng r = stoq_prng(99);
    struct stoq_buf out;
    stoq_ns at = stoq_now();
    stoq_buf_init(&out, CHUNK_BYTES);
    while (!atomic_load(&b->stop)) {
        uint8_t key[32];
        uint64_t i = stoq_prng_below(&r, b->chunks / 2) * 2;
        wait_until(at += READ_EVERY);
        stoq_ns began = stoq_now();
        if (stoq_store_read(b->s, STOQ_RECORD_CHUNK, key_of(i, key), 0, &out, NULL) != STOQ_OK) {
            atomic_store(&b->failed, true);
        }
        note(&b->read, began);
        at = stoq_now() > at + STOQ_SEC ? stoq_now() : at;
    }
    stoq_buf_release(&out);
    return NULL;
}

static int by_value(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa;
    uint32_t b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static void tell(struct samples *s, const char *what, const char *when)
{
    if (s->n > 0) {
        qsort(s->us, s->n, sizeof s->us[0], by_value);
        (void)printf("%s_%s_p50 %u us\n%s_%s_p99 %u us\n", what, when, s->us[s->n / 2], what, when,
                     s->us[s->n * 99 / 100]);
    }
    s->n = 0;
}

/* What is written goes to the disk, and out of the page cache. */
static bool make_cold(struct bench *b)
{
    char dir[512];
    bool good = stoq_store_sync(b->s, NULL) == STOQ_OK &&
                snprintf(dir, sizeof dir, "%s/segments", b->dir) < (int)sizeof dir;
    DIR *d = good ? opendir(dir) : NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            good = fdatasync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0 && good;
            (void)close(fd);
        }
    }
    return d != NULL && closedir(d) == 0 && good;
}

/* Add and read for some seconds, or while a collection lasts. */
static bool beside(struct bench *b, const char *when, unsigned seconds, uint64_t rate)
{
    pthread_t thread[2];
    struct stoq_gc_report r = {0};
    struct stoq_error err = {0};
    const struct stoq_gc_ask ask = {.rate_bytes_per_s = rate};
    bool good = true;
    atomic_store(&b->stop, false);
    if (!make_cold(b) || pthread_create(&thread[0], NULL, add_on, b) != 0 ||
        pthread_create(&thread[1], NULL, read_on, b) != 0) {
        return false;
    }
    stoq_ns began = stoq_now();
    if (seconds > 0) {
        wait_until(began + seconds * STOQ_SEC);
    } else if (stoq_store_gc(b->s, &ask, &r, &err) != STOQ_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        good = false;
    }
    uint64_t ms = (stoq_now() - began) / STOQ_MS;
    atomic_store(&b->stop, true);
    (void)pthread_join(thread[0], NULL);
    (void)pthread_join(thread[1], NULL);
    if (seconds == 0) {
        (void)printf("gc %.1f s\ngc_freed %.0f MB\ngc_copied %.0f MB\ngc_segments %llu segments\n",
                     (double)ms / 1e3, (double)r.bytes_freed / 1e6, (double)r.bytes_copied / 1e6,
                     (unsigned long long)r.segments);
    }
    tell(&b->put, "put", when);
    tell(&b->sync, "sync", when);
    tell(&b->read, "read", when);
    (void)fflush(stdout);
    return good && !atomic_load(&b->failed);
}

static bool fill(struct bench *b, uint64_t mib)
{
    struct stoq_prng r = stoq_prng(5);
    struct stoq_error err;
    for (size_t i = 0; i < POOL_BYTES; i += 8) {
        stoq_le64_put(b->pool + i, stoq_prng_next(&r));
    }
    b->chunks = mib * STOQ_MIB / CHUNK_BYTES;
    for (uint64_t i = 0; i < b->chunks; i++) {
        if (!put(b, i)) {
            return false;
        }
    }
    for (uint64_t i = 1; i < b->chunks; i += 2) {
        uint8_t key[32];
        if (stoq_store_delete(b->s, STOQ_RECORD_CHUNK, key_of(i, key), &err) != STOQ_OK) {
            return false;
        }
    }
    atomic_store(&b->next, b->chunks * 10);
    return stoq_store_sync(b->s, &err) == STOQ_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        (void)fprintf(stderr, "usage: gc_beside DIR [MIB] [RATE_MIB_PER_S] [SECONDS_ALONE]\n");
        return 2;
    }
    uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 10240;
    uint64_t rate = (argc > 3 ? strtoull(argv[3], NULL, 10) : 32) * STOQ_MIB;
    unsigned alone = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 30;
    const struct stoq_store_config cfg = {.dir = argv[1], .create = true, .zstd_level = -1};
    struct stoq_error err = {0};
    struct bench *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->dir = argv[1];
    }
    bool good = b != NULL && (b->pool = malloc(POOL_BYTES)) != NULL &&
                stoq_store_open(&b->s, &cfg, &err) == STOQ_OK && fill(b, mib);
    good = good && beside(b, "alone", alone, 0) && beside(b, "gc", 0, rate) &&
           beside(b, "after", alone, 0);
    if (b != NULL) {
        good = stoq_store_close(b->s, &err) == STOQ_OK && good;
        free(b->pool);
    }
    free(b);
    if (!good) {
        (void)fprintf(stderr, "failed: %s\n", err.text);
    }
    return good ? 0 : 1;
}
