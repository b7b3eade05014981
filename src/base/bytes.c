#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

struct stoq_span stoq_span_str(const char *s)
{
    return stoq_span(s, strlen(s));
}

bool stoq_span_eq(struct stoq_span a, struct stoq_span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int stoq_span_cmp(struct stoq_span a, struct stoq_span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    if (c != 0) {
        return c;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

bool stoq_hash_eq(const struct stoq_hash *a, const struct stoq_hash *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

#define BUF_LEAST 256u

void stoq_buf_init(struct stoq_buf *b, size_t max)
{
    *b = (struct stoq_buf){.max = max};
}

void stoq_buf_release(struct stoq_buf *b)
{
    free(b->p);
    *b = (struct stoq_buf){.max = b->max};
}

void stoq_buf_clear(struct stoq_buf *b)
{
    b->n = 0;
}

enum stoq_status stoq_buf_reserve(struct stoq_buf *b, size_t extra)
{
    size_t need;
    if (__builtin_add_overflow(b->n, extra, &need) || need > b->max) {
        return STOQ_FULL;
    }
    if (need <= b->cap) {
        return STOQ_OK;
    }
    /* Twice as much when it grows bit by bit, exactly as much when the size is known at once. */
    size_t cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    size_t least = b->max < BUF_LEAST ? b->max : BUF_LEAST;
    cap = cap < least || b->n == 0 ? least : cap;
    cap = cap < need ? need : cap;
    if (b->n == 0) { /* nothing to take along */
        stoq_buf_release(b);
    }
    uint8_t *p = realloc(b->p, cap);
    if (p == NULL) {
        return STOQ_NOMEM;
    }
    b->p = p;
    b->cap = cap;
    return STOQ_OK;
}

enum stoq_status stoq_buf_add(struct stoq_buf *b, struct stoq_span s)
{
    enum stoq_status st = stoq_buf_reserve(b, s.n);
    if (st == STOQ_OK && s.n > 0) {
        memcpy(b->p + b->n, s.p, s.n);
        b->n += s.n;
    }
    return st;
}

struct stoq_span stoq_rd_bytes(struct stoq_rd *r, size_t n)
{
    if (r->bad || n > r->n) {
        r->bad = true;
        r->n = 0;
        return (struct stoq_span){NULL, 0};
    }
    struct stoq_span s = {r->p, n};
    if (n > 0) {
        r->p += n;
    }
    r->n -= n;
    return s;
}

static uint64_t rd_le(struct stoq_rd *r, size_t n)
{
    struct stoq_span s = stoq_rd_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = s.n; i-- > 0;) {
        v = v << 8 | s.p[i];
    }
    return v;
}

uint8_t stoq_rd_u8(struct stoq_rd *r)
{
    return (uint8_t)rd_le(r, 1);
}

uint16_t stoq_rd_u16(struct stoq_rd *r)
{
    return (uint16_t)rd_le(r, 2);
}

uint32_t stoq_rd_u32(struct stoq_rd *r)
{
    return (uint32_t)rd_le(r, 4);
}

uint64_t stoq_rd_u64(struct stoq_rd *r)
{
    return rd_le(r, 8);
}

struct stoq_hash stoq_rd_hash(struct stoq_rd *r)
{
    struct stoq_hash h = {{0}};
    struct stoq_span s = stoq_rd_bytes(r, sizeof h.b);
    if (s.n == sizeof h.b) {
        memcpy(h.b, s.p, sizeof h.b);
    }
    return h;
}

void stoq_wr_bytes(struct stoq_wr *w, struct stoq_span s)
{
    if (w->bad || s.n > w->cap - w->n) {
        w->bad = true;
        return;
    }
    if (s.n > 0) {
        memcpy(w->p + w->n, s.p, s.n);
    }
    w->n += s.n;
}

static void wr_le(struct stoq_wr *w, uint64_t v, size_t n)
{
    uint8_t b[8];
    stoq_le64_put(b, v);
    stoq_wr_bytes(w, stoq_span(b, n));
}

void stoq_wr_u8(struct stoq_wr *w, uint8_t v)
{
    wr_le(w, v, 1);
}

void stoq_wr_u16(struct stoq_wr *w, uint16_t v)
{
    wr_le(w, v, 2);
}

void stoq_wr_u32(struct stoq_wr *w, uint32_t v)
{
    wr_le(w, v, 4);
}

void stoq_wr_u64(struct stoq_wr *w, uint64_t v)
{
    wr_le(w, v, 8);
}

void stoq_hex_put(char *out, struct stoq_span s)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n; i++) {
        out[2 * i] = digit[s.p[i] >> 4];
        out[2 * i + 1] = digit[s.p[i] & 15];
    }
    out[2 * s.n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool stoq_hex_get(uint8_t *out, size_t n, const char *hex)
{
    if (strlen(hex) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int hi = hex_value(hex[2 * i]);
        int lo = hex_value(hex[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

void *stoq_alloc(const struct stoq_alloc *a, size_t count, size_t size)
{
    size_t n;
    if (!stoq_mul_size(count, size, &n)) {
        return NULL;
    }
    if (a != NULL && a->alloc != NULL) {
        return a->alloc(a->user, n);
    }
    return calloc(1, n == 0 ? 1 : n);
}

void stoq_free(const struct stoq_alloc *a, void *p)
{
    if (a != NULL && a->free != NULL) {
        a->free(a->user, p);
    } else {
        free(p);
    }
}
