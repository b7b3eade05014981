#ifndef STOQ_BASE_BYTES_H
#define STOQ_BASE_BYTES_H
/*
 * Bytes: spans, a growing buffer with a cap, a reader that stays bad once bad, a writer into fixed
 * memory that does the same, little- and big-endian loads, checked arithmetic, hexadecimal.
 */
#include "base/status.h"

/* Borrowed bytes. p may be NULL when n is 0. */
struct stoq_span {
    const uint8_t *p;
    size_t n;
};

static inline struct stoq_span stoq_span(const void *p, size_t n)
{
    return (struct stoq_span){(const uint8_t *)p, n};
}

/* The span of a C string, without its NUL. */
struct stoq_span stoq_span_str(const char *s);
bool stoq_span_eq(struct stoq_span a, struct stoq_span b);
/* memcmp order, the shorter first when one is a prefix of the other: <0, 0, >0. */
int stoq_span_cmp(struct stoq_span a, struct stoq_span b);

/* A 32-byte digest. The ids below are the same bytes with a meaning; different ids are different types. */
struct stoq_hash {
    uint8_t b[32];
};
struct stoq_package_id {
    struct stoq_hash h; /* BLAKE3 of the manifest bytes */
};
struct stoq_peer_id {
    struct stoq_hash h; /* BLAKE3 of the DER SubjectPublicKeyInfo */
};
struct stoq_key_id {
    struct stoq_hash h; /* the same, of a signer's key */
};

bool stoq_hash_eq(const struct stoq_hash *a, const struct stoq_hash *b);

/* Heap bytes that grow up to max. init: empty, max bytes at most. release: frees. */
struct stoq_buf {
    uint8_t *p;
    size_t n;
    size_t cap;
    size_t max;
};

void stoq_buf_init(struct stoq_buf *b, size_t max);
void stoq_buf_release(struct stoq_buf *b);
void stoq_buf_clear(struct stoq_buf *b); /* n = 0, memory kept */
/* Make room for extra more bytes. STOQ_FULL past max, STOQ_NOMEM. Unchanged on failure. */
STOQ_WARN_UNUSED enum stoq_status stoq_buf_reserve(struct stoq_buf *b, size_t extra);
STOQ_WARN_UNUSED enum stoq_status stoq_buf_add(struct stoq_buf *b, struct stoq_span s);
static inline struct stoq_span stoq_buf_span(const struct stoq_buf *b)
{
    return (struct stoq_span){b->p, b->n};
}

/* A reader over borrowed bytes. Once a read runs past the end, bad is set and every read gives zero
 * (or an empty span) from then on: check bad once, at the end. */
struct stoq_rd {
    const uint8_t *p;
    size_t n; /* bytes left */
    bool bad;
};

static inline struct stoq_rd stoq_rd(struct stoq_span s)
{
    return (struct stoq_rd){s.p, s.n, false};
}
uint8_t stoq_rd_u8(struct stoq_rd *r);
uint16_t stoq_rd_u16(struct stoq_rd *r); /* little-endian, like all integers of our formats */
uint32_t stoq_rd_u32(struct stoq_rd *r);
uint64_t stoq_rd_u64(struct stoq_rd *r);
struct stoq_span stoq_rd_bytes(struct stoq_rd *r, size_t n); /* borrowed from the input */
struct stoq_hash stoq_rd_hash(struct stoq_rd *r);

/* A writer into caller's memory; bad once it would run past cap (nothing is written then). */
struct stoq_wr {
    uint8_t *p;
    size_t n; /* bytes written */
    size_t cap;
    bool bad;
};

static inline struct stoq_wr stoq_wr(void *p, size_t cap)
{
    return (struct stoq_wr){(uint8_t *)p, 0, cap, false};
}
void stoq_wr_u8(struct stoq_wr *w, uint8_t v);
void stoq_wr_u16(struct stoq_wr *w, uint16_t v);
void stoq_wr_u32(struct stoq_wr *w, uint32_t v);
void stoq_wr_u64(struct stoq_wr *w, uint64_t v);
void stoq_wr_bytes(struct stoq_wr *w, struct stoq_span s);
static inline struct stoq_span stoq_wr_span(const struct stoq_wr *w)
{
    return (struct stoq_span){w->p, w->n};
}

static inline void stoq_le64_put(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint64_t stoq_le64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) {
        v = v << 8 | p[i];
    }
    return v;
}
static inline void stoq_le32_put(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}
static inline uint32_t stoq_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Checked arithmetic: false (and *out untouched) on overflow. */
static inline bool stoq_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t r;
    if (__builtin_add_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}
static inline bool stoq_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) {
        return false;
    }
    *out = r;
    return true;
}

/* Lower-case hexadecimal with a NUL: out holds 2 * s.n + 1 bytes. */
void stoq_hex_put(char *out, struct stoq_span s);
/* n bytes from exactly 2 * n hexadecimal digits (either case); false otherwise. */
bool stoq_hex_get(uint8_t *out, size_t n, const char *hex);

/* Nanoseconds of a monotonic clock that only the shells read; cores get it as an argument. */
typedef uint64_t stoq_ns;
#define STOQ_NEVER UINT64_MAX
#define STOQ_MS ((stoq_ns)1000000)
#define STOQ_SEC ((stoq_ns)1000000000)

/* Allocator handed in through a core's config; NULL members mean the C library's. */
struct stoq_alloc {
    void *(*alloc)(void *user, size_t n); /* zeroed */
    void (*free)(void *user, void *p);
    void *user;
};
void *stoq_alloc(const struct stoq_alloc *a, size_t count, size_t size); /* zeroed; NULL: none */
void stoq_free(const struct stoq_alloc *a, void *p);

#endif
