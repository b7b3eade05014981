/*
 * A collection beside additions and reads. The store gets MIB MiB of chunks of 64 KiB in pieces of one
 * segment; every second chunk is deleted, so that each segment is half dead. One thread then adds a
 * chunk every 4 ms and syncs every 16th, one reads a random live chunk every millisecond; both note how
 * late each call came back. Meanwhile the store is collected, in turns: COLLECT_SECONDS on, STILL_SECONDS
 * held, over and over until all is collected, so that both sides see the same disk, the same page
 * cache and the same store (the disk of a shared machine alone differs by half between minutes, and a
 * store reads otherwise after its collection than before). A call counts for the turn it began in; what
 * begins in the first SETTLE of a turn counts for neither. One "name value unit" per line.
 *
 *     gc_beside DIR [MIB] [RATE_MIB_PER_S]
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
#define COLLECT_SECONDS 12
#define STILL_SECONDS 3
#define SETTLE (STOQ_SEC)

struct samples {
    uint32_t us[SAMPLES_MAX];
    size_t n;
};

enum turn {
    TURN_STILL,
    TURN_COLLECT,
    TURNS,
};

struct bench {
    struct stoq_store *s;
    const char *dir;
    uint8_t *pool;
    uint64_t chunks; /* even ones are live */
    _Atomic uint64_t next;
    _Atomic bool stop;
    _Atomic bool failed;
    stoq_ns start; /* of the first turn */
    struct samples put[TURNS];
    struct samples sync[TURNS];
    struct samples read[TURNS];
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

/* Whose turn it is at a time, and how long it has lasted. */
static enum turn turn_at(const struct bench *b, stoq_ns at, stoq_ns *lasted)
{
    stoq_ns in = (at - b->start) % ((COLLECT_SECONDS + STILL_SECONDS) * STOQ_SEC);
    bool still = in >= COLLECT_SECONDS * STOQ_SEC;
    *lasted = still ? in - COLLECT_SECONDS * STOQ_SEC : in;
    return still ? TURN_STILL : TURN_COLLECT;
}

static void note(const struct bench *b, struct samples side[TURNS], stoq_ns began)
{
    stoq_ns lasted;
    struct samples *s = &side[turn_at(b, began, &lasted)];
    if (lasted >= SETTLE && s->n < SAMPLES_MAX) {
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
        note(b, b->put, began);
        if (i % SYNC_EVERY == 0) {
            began = stoq_now();
            if (stoq_store_sync(b->s, NULL) != STOQ_OK) {
                atomic_store(&b->failed, true);
            }
            note(b, b->sync, began);
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
        note(b, b->read, began);
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

static uint32_t part(struct samples *s, const char *what, const char *when)
{
    if (s->n == 0) {
        return 0;
    }
    qsort(s->us, s->n, sizeof s->us[0], by_value);
    uint32_t p99 = s->us[s->n * 99 / 100];
    (void)printf("%s_%s_calls %zu calls\n%s_%s_p50 %u us\n%s_%s_p99 %u us\n", what, when, s->n,
                 what, when, s->us[s->n / 2], what, when, p99);
    return p99;
}

static void tell(struct samples side[TURNS], const char *what)
{
    uint32_t still = part(&side[TURN_STILL], what, "still");
    uint32_t beside = part(&side[TURN_COLLECT], what, "beside");
    if (still > 0) {
        (void)printf("%s_p99_beside_to_still %.3f x\n", what, (double)beside / still);
    }
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

/* The collection asks often, holding no lock, whether to stop: it is held while it is not its turn. */
static bool hold(void *user)
{
    const struct bench *b = user;
    stoq_ns lasted;
    while (turn_at(b, stoq_now(), &lasted) == TURN_STILL) {
        wait_until(stoq_now() + 10 * STOQ_MS);
    }
    return atomic_load(&b->failed);
}

static bool beside(struct bench *b, uint64_t rate)
{
    pthread_t thread[2];
    struct stoq_gc_report r = {0};
    struct stoq_error err = {0};
    const struct stoq_gc_ask ask = {.rate_bytes_per_s = rate, .cancelled = hold, .user = b};
    if (!make_cold(b)) {
        return false;
    }
    b->start = stoq_now();
    if (pthread_create(&thread[0], NULL, add_on, b) != 0 ||
        pthread_create(&thread[1], NULL, read_on, b) != 0) {
        return false;
    }
    bool good = stoq_store_gc(b->s, &ask, &r, &err) == STOQ_OK;
    if (!good) {
        (void)fprintf(stderr, "%s\n", err.text);
    }
    uint64_t ms = (stoq_now() - b->start) / STOQ_MS;
    atomic_store(&b->stop, true);
    (void)pthread_join(thread[0], NULL);
    (void)pthread_join(thread[1], NULL);
    (void)printf("gc %.1f s\ngc_freed %.0f MB\ngc_copied %.0f MB\ngc_segments %llu segments\n",
                 (double)ms / 1e3, (double)r.bytes_freed / 1e6, (double)r.bytes_copied / 1e6,
                 (unsigned long long)r.segments);
    tell(b->put, "put");
    tell(b->sync, "sync");
    tell(b->read, "read");
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
    if (argc < 2 || argc > 4) {
        (void)fprintf(stderr, "usage: gc_beside DIR [MIB] [RATE_MIB_PER_S]\n");
        return 2;
    }
    uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 10240;
    uint64_t rate = (argc > 3 ? strtoull(argv[3], NULL, 10) : 32) * STOQ_MIB;
    const struct stoq_store_config cfg = {.dir = argv[1], .create = true, .zstd_level = -1};
    struct stoq_error err = {0};
    struct bench *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->dir = argv[1];
    }
    bool good = b != NULL && (b->pool = malloc(POOL_BYTES)) != NULL &&
                stoq_store_open(&b->s, &cfg, &err) == STOQ_OK && fill(b, mib);
    good = good && beside(b, rate);
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
