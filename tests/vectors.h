#ifndef STOQ_TESTS_VECTORS_H
#define STOQ_TESTS_VECTORS_H
/*
 * Reads the vector files tests/vectors/NAME.txt, and makes the pseudo-random inputs they speak of.
 * A file is lines of fields separated by single spaces, the first a word that says what the line
 * is; `#` begins a comment line. Byte fields are hexadecimal, `-` for none. Tests run in the
 * source folder.
 *
 *     struct vectors v;
 *     vectors_open(&v, "hash");
 *     while (vectors_next(&v)) {
 *         if (vectors_is(&v, "blake3")) {
 *             uint64_t n = vectors_u64(&v, 1);
 *             struct stoq_span digest = vectors_bytes(&v, 2);
 *         }
 *     }
 *     vectors_close(&v);
 */
#include "base/bytes.h"
#include "base/prng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VECTORS_FIELDS_MAX 24

struct vectors {
    FILE *file;
    char *line;
    size_t line_cap;
    char *field[VECTORS_FIELDS_MAX];
    size_t field_count;
};

/* A missing file aborts: a test without its vectors must not pass. */
static inline void vectors_open(struct vectors *v, const char *name)
{
    char path[256];
    *v = (struct vectors){.file = NULL};
    (void)snprintf(path, sizeof path, "tests/vectors/%s.txt", name);
    v->file = fopen(path, "r");
    STOQ_ASSERT(v->file != NULL);
}

static inline void vectors_close(struct vectors *v)
{
    (void)fclose(v->file);
    free(v->line);
}

/* The next line that is no comment; false at the end. */
static inline bool vectors_next(struct vectors *v)
{
    do {
        if (getline(&v->line, &v->line_cap, v->file) < 0) {
            return false;
        }
        v->line[strcspn(v->line, "\n")] = '\0';
    } while (v->line[0] == '#' || v->line[0] == '\0');
    v->field_count = 0;
    char *rest = v->line;
    while (rest != NULL) {
        STOQ_ASSERT(v->field_count < VECTORS_FIELDS_MAX);
        v->field[v->field_count++] = strsep(&rest, " ");
    }
    return true;
}

static inline bool vectors_is(const struct vectors *v, const char *word)
{
    return strcmp(v->field[0], word) == 0;
}

static inline const char *vectors_str(const struct vectors *v, size_t i)
{
    STOQ_ASSERT(i < v->field_count);
    return v->field[i];
}

static inline uint64_t vectors_u64(const struct vectors *v, size_t i)
{
    return strtoull(vectors_str(v, i), NULL, 10);
}

/* Calls check with each of a file's lines of this kind. One at least, or it aborts likewise. */
static inline void vectors_each(const char *name, const char *word,
                                void (*check)(struct vectors *v))
{
    struct vectors v;
    size_t seen = 0;
    vectors_open(&v, name);
    while (vectors_next(&v)) {
        if (vectors_is(&v, word)) {
            check(&v);
            seen++;
        }
    }
    vectors_close(&v);
    STOQ_ASSERT(seen > 0);
}

/* Decodes in place: call it once per field; the span lives until the next line. */
static inline struct stoq_span vectors_bytes(struct vectors *v, size_t i)
{
    STOQ_ASSERT(i < v->field_count);
    char *hex = v->field[i];
    if (strcmp(hex, "-") == 0) {
        return stoq_span(hex, 0);
    }
    size_t n = strlen(hex) / 2;
    uint8_t *out = (uint8_t *)hex;
    for (size_t k = 0; k < n; k++) {
        char two[3] = {hex[2 * k], hex[2 * k + 1], '\0'};
        STOQ_ASSERT(stoq_hex_get(out + k, 1, two));
    }
    return stoq_span(out, n);
}

static inline struct stoq_hash vectors_hash(struct vectors *v, size_t i)
{
    struct stoq_hash h;
    struct stoq_span s = vectors_bytes(v, i);
    STOQ_ASSERT(s.n == sizeof h.b);
    memcpy(h.b, s.p, sizeof h.b);
    return h;
}

/* The n bytes of `random SEED N`: outputs of SplitMix64 from that state, each as 8 little-endian
 * bytes, cut to n. */
static inline void vectors_fill(uint8_t *out, size_t n, uint64_t seed)
{
    struct stoq_prng r = stoq_prng(seed);
    for (size_t i = 0; i < n; i += 8) {
        uint8_t word[8];
        stoq_le64_put(word, stoq_prng_next(&r));
        memcpy(out + i, word, n - i < 8 ? n - i : 8);
    }
}

/* The n bytes of a chunker's input (free it): `random`, `zeros`, or `words`, which has few byte values, as
 * text does. */
static inline uint8_t *vectors_input(const char *kind, uint64_t seed, size_t n)
{
    uint8_t *b = calloc(1, n + 1);
    STOQ_ASSERT(b != NULL);
    if (strcmp(kind, "zeros") != 0) {
        vectors_fill(b, n, seed);
    }
    for (size_t i = 0; i < n && strcmp(kind, "words") == 0; i++) {
        b[i] = (b[i] & 0x0f) | 0x60;
    }
    return b;
}

#endif
