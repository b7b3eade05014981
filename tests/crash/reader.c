#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <zstd.h>

#define HEADER 64
#define HEAD 32
#define CHUNK 1
#define TOMBSTONE 10
#define SEGMENTS_MAX 256
#define SEGMENT_BYTES_MAX ((size_t)1 << 20)

struct reader {
    const struct crash_keys *keys;
    uint64_t sequence[CRASH_KEYS];
    enum crash_expect *out;
};

static uint64_t le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    while (n > 0) {
        v = v << 8 | p[--n];
    }
    return v;
}

static int key_number(const struct crash_keys *keys, const uint8_t *id)
{
    for (int i = 0; i < CRASH_KEYS; i++) {
        if (memcmp(keys->key[i].id, id, 32) == 0) {
            return i;
        }
    }
    return -1;
}

static bool payload_is(const uint8_t *p, size_t n, bool packed, struct stoq_span want)
{
    if (!packed) {
        return n == want.n && memcmp(p, want.p, n) == 0;
    }
    uint8_t raw[8192];
    size_t got = ZSTD_decompress(raw, sizeof raw, p, n);
    return !ZSTD_isError(got) && got == want.n && memcmp(raw, want.p, got) == 0;
}

/* The bytes of the record at p, of n that are left; 0: there is none. */
static size_t record_at(const uint8_t *p, size_t n)
{
    if (n < HEAD || memcmp(p, "sqr1", 4) != 0) {
        return 0;
    }
    size_t key_len = (size_t)le(p + 6, 2);
    size_t stored_len = (size_t)le(p + 20, 4);
    if (key_len > 65 || stored_len > n || HEAD + key_len + stored_len > n) {
        return 0;
    }
    XXH3_state_t *x = XXH3_createState();
    XXH3_64bits_reset(x);
    XXH3_64bits_update(x, p, 24);
    XXH3_64bits_update(x, p + HEAD, key_len + stored_len);
    bool good = XXH3_64bits_digest(x) == le(p + 24, 8);
    XXH3_freeState(x);
    size_t bytes = (HEAD + key_len + stored_len + 7) & ~(size_t)7;
    return good && bytes <= n ? bytes : 0;
}

static void take(struct reader *r, const uint8_t *p)
{
    bool gone = p[4] == TOMBSTONE;
    size_t key_len = (size_t)le(p + 6, 2);
    const uint8_t *id = p + HEAD + (gone ? 1 : 0);
    if ((!gone && (p[4] != CHUNK || key_len != 32)) ||
        (gone && (key_len != 33 || p[HEAD] != CHUNK))) {
        return;
    }
    int k = key_number(r->keys, id);
    uint64_t sequence = le(p + 8, 8);
    if (k < 0 || sequence < r->sequence[k]) {
        return;
    }
    r->sequence[k] = sequence;
    bool right = !gone && payload_is(p + HEAD + key_len, (size_t)le(p + 20, 4), (p[5] & 1) != 0,
                                     r->keys->key[k].bytes);
    r->out[k] = right ? CRASH_PRESENT : CRASH_ABSENT;
}

/* Records at every multiple of 8 that has a whole one, whatever lies between them. */
static bool read_segment(struct reader *r, const char *path, uint8_t *p)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return errno == ENOENT;
    }
    size_t n = fread(p, 1, SEGMENT_BYTES_MAX, f);
    (void)fclose(f);
    for (size_t at = HEADER; at + HEAD <= n;) {
        size_t bytes = record_at(p + at, n - at);
        if (bytes > 0) {
            take(r, p + at);
        }
        at += bytes > 0 ? bytes : 8;
    }
    return true;
}

bool crash_reader_run(const struct crash_keys *keys, const char *dir,
                      enum crash_expect out[CRASH_KEYS])
{
    struct reader r = {.keys = keys, .out = out};
    uint8_t *p = malloc(SEGMENT_BYTES_MAX);
    bool good = p != NULL;
    for (size_t k = 0; k < CRASH_KEYS; k++) {
        out[k] = CRASH_ABSENT;
    }
    for (unsigned i = 1; good && i <= SEGMENTS_MAX; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/segments/%08x.seg", dir, i);
        good = read_segment(&r, path, p);
    }
    free(p);
    return good;
}
