#include "chunk/tar_scan.h"

#include <stdlib.h>
#include <string.h>

/*
 * The scanner against a model that has the whole file before it and looks back and forth as it likes.
 * The first bytes of the input choose T, the size of the reads, and whether every header the model
 * comes to is mended (magic and checksum) first, so that mutations get past the first header.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT ((uint64_t)1 << 48)

struct model {
    uint8_t *b;
    size_t n;
    size_t t;
    bool mends;
    bool has_override;
    uint64_t override;
    size_t cuts[4096]; /* offsets where a run ends and another begins */
    size_t cut_count;
};

static bool model_octal(const uint8_t *p, size_t n, uint64_t *out)
{
    size_t begin = 0;
    *out = 0;
    for (; begin < n && p[begin] == ' '; begin++) {
    }
    size_t end = n;
    for (; end > begin && (p[end - 1] == ' ' || p[end - 1] == 0); end--) {
    }
    for (size_t i = begin; i < end; i++) {
        if (p[i] < '0' || p[i] > '7') {
            return false;
        }
        *out = *out << 3 | (uint64_t)(p[i] - '0');
    }
    return true;
}

static uint64_t model_sum(const uint8_t *h)
{
    uint64_t sum = (uint64_t)8 * ' ';
    for (size_t i = 0; i < 148; i++) {
        sum += h[i];
    }
    for (size_t i = 156; i < 512; i++) {
        sum += h[i];
    }
    return sum;
}

static void mend(uint8_t *h)
{
    memcpy(h + 257, "ustar", 5);
    uint64_t sum = model_sum(h);
    for (size_t i = 8; i > 0; i--) {
        h[147 + i] = (uint8_t)('0' + (sum & 7));
        sum >>= 3;
    }
}

/* The size field, or -1. */
static int64_t model_size(const uint8_t *f)
{
    uint64_t v = 0;
    if (f[0] < 0x80) {
        return model_octal(f, 12, &v) ? (int64_t)v : -1;
    }
    for (size_t i = 4; i < 12; i++) {
        v = v * 256 + f[i];
    }
    bool fits = f[0] == 0x80 && f[1] + f[2] + f[3] == 0 && v <= LIMIT;
    return fits ? (int64_t)v : -1;
}

/* A number of 1 to 15 digits that ends before `end`; returns past it, or NULL. */
static const uint8_t *model_decimal(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
    const uint8_t *begin = p;
    *out = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        if (p - begin == 15) {
            return NULL;
        }
        *out = *out * 10 + (uint64_t)(*p - '0');
    }
    return p == begin || p == end ? NULL : p;
}

/* One record at p; returns past it, or NULL. */
static const uint8_t *model_record(struct model *m, const uint8_t *p, const uint8_t *end)
{
    uint64_t n;
    const uint8_t *space = model_decimal(p, end, &n);
    if (space == NULL || *space != ' ' || n > (uint64_t)(end - p) ||
        n < (uint64_t)(space - p) + 3) {
        return NULL;
    }
    const uint8_t *newline = p + n - 1;
    const uint8_t *key = space + 1;
    const uint8_t *equals = memchr(key, '=', (size_t)(newline - key));
    if (*newline != '\n' || equals == NULL) {
        return NULL;
    }
    if (equals - key == 4 && memcmp(key, "size", 4) == 0) {
        const uint8_t *after = model_decimal(equals + 1, newline + 1, &m->override);
        if (after != newline || m->override > LIMIT) {
            return NULL;
        }
        m->has_override = true;
    }
    return newline + 1;
}

static bool model_records(struct model *m, const uint8_t *p, size_t n)
{
    const uint8_t *end = p + n;
    m->has_override = false;
    while (p != NULL && p < end) {
        p = model_record(m, p, end);
    }
    return p != NULL;
}

/* The member at *at; false when the scan ends there. */
static bool model_member(struct model *m, size_t *at)
{
    uint8_t *h = m->b + *at;
    uint64_t sum;
    if (m->n - *at < 512) {
        return false;
    }
    if (m->mends) {
        mend(h);
    }
    int64_t size = model_size(h + 124);
    if (memcmp(h + 257, "ustar", 5) != 0 || !model_octal(h + 148, 8, &sum) || size < 0 ||
        sum != model_sum(h)) {
        return false;
    }
    bool special = strchr("xgLK", h[156]) != NULL && h[156] != 0;
    if (!special) {
        size = m->has_override ? (int64_t)m->override : size;
        size = h[156] >= '1' && h[156] <= '6' ? 0 : size;
        m->has_override = false;
    }
    size_t begin = *at + 512;
    if ((uint64_t)size > m->n - begin) {
        return false;
    }
    size_t end = begin + (size_t)size;
    if (h[156] == 'x' && !model_records(m, m->b + begin, (size_t)size)) {
        return false;
    }
    if (!special && (size_t)size >= m->t) {
        m->cuts[m->cut_count++] = begin;
        m->cuts[m->cut_count++] = end;
    }
    *at = (end + 511) / 512 * 512;
    return *at < m->n && m->cut_count + 2 <= STOQ_COUNT(m->cuts);
}

static void run_model(struct model *m)
{
    size_t at = 0;
    while (model_member(m, &at)) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_rd r = stoq_rd(stoq_span(data, size));
    size_t t = 1 + (size_t)stoq_rd_u16(&r);
    size_t step = 1 + (size_t)stoq_rd_u16(&r);
    bool mends = (stoq_rd_u8(&r) & 1) != 0;
    struct model *m = calloc(1, sizeof *m);
    uint8_t *file = malloc(r.n + 1);
    STOQ_ASSERT(m != NULL && file != NULL);
    memcpy(file, r.n > 0 ? r.p : data, r.n);
    m->b = file;
    m->n = r.n;
    m->t = t;
    m->mends = mends;
    run_model(m);

    struct stoq_tar_scan s;
    stoq_tar_scan_init(&s, m->n, t);
    size_t at = 0;
    size_t cut = 0;
    while (at < m->n) {
        size_t n = m->n - at < step ? m->n - at : step;
        bool ends;
        size_t taken = stoq_tar_scan_take(&s, stoq_span(file + at, n), &ends);
        STOQ_ASSERT(taken <= n && (ends || taken == n));
        at += taken;
        if (ends) {
            STOQ_ASSERT(cut < m->cut_count && m->cuts[cut] == at && at < m->n);
            cut++;
        } else {
            STOQ_ASSERT(cut == m->cut_count || m->cuts[cut] > at || m->cuts[cut] == m->n);
        }
    }
    STOQ_ASSERT(cut == m->cut_count || (cut + 1 == m->cut_count && m->cuts[cut] == m->n));
    free(file);
    free(m);
    return 0;
}
