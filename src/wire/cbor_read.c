/*
 * A pull reader with a small stack instead of recursion. Each item is announced to the open
 * container before it is read (so a container cannot give more items than it declared) and its
 * encoded bytes are shown to it afterwards (so that a map can compare each key with the one
 * before). Everything else is the head: a byte with major type and 5 bits, and 0 to 8 big-endian
 * bytes of argument, where only the shortest form passes.
 */
#include "wire/cbor.h"
#include "wire/text.h"

#include <string.h>

enum major {
    MAJOR_UINT = 0,
    MAJOR_NEGATIVE = 1,
    MAJOR_BYTES = 2,
    MAJOR_TEXT = 3,
    MAJOR_ARRAY = 4,
    MAJOR_MAP = 5,
    MAJOR_TAG = 6,
    MAJOR_SIMPLE = 7,
};

struct stoq_cbor_rd stoq_cbor_rd(struct stoq_span in)
{
    return (struct stoq_cbor_rd){
        .p = in.p, .n = in.n, .more = SIZE_MAX, .frame = {{.left = UINT64_MAX}}};
}

void stoq_cbor_rd_fail(struct stoq_cbor_rd *r, enum stoq_status status)
{
    if (r->status == STOQ_OK) {
        r->status = status;
    }
    r->n = 0;
}

/* Are need bytes here? If not, say whether they can still come. */
static bool have(struct stoq_cbor_rd *r, uint64_t need)
{
    if (need <= r->n) {
        return true;
    }
    stoq_cbor_rd_fail(r, need - r->n > r->more ? STOQ_FULL : STOQ_TRUNC);
    return false;
}

static struct stoq_span take(struct stoq_cbor_rd *r, size_t n)
{
    struct stoq_span s = {r->p, n};
    if (n > 0) {
        r->p += n;
    }
    r->n -= n;
    return s;
}

static bool is_key(const struct stoq_cbor_frame *f)
{
    return f->is_map && f->left % 2 == 0;
}

/* An item of this major type is about to be read: is there room for it where we are? */
static bool announce(struct stoq_cbor_rd *r, enum major major)
{
    struct stoq_cbor_frame *f = &r->frame[r->depth];
    if (r->status != STOQ_OK) {
        return false;
    }
    bool is_container = major == MAJOR_ARRAY || major == MAJOR_MAP;
    if (f->left == 0 || (is_container && is_key(f))) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return false;
    }
    return have(r, 1);
}

/* The item read since start is complete. */
static void settle(struct stoq_cbor_rd *r, const uint8_t *start)
{
    struct stoq_cbor_frame *f = &r->frame[r->depth];
    if (r->status != STOQ_OK) {
        return;
    }
    if (is_key(f)) {
        struct stoq_span key = {start, (size_t)(r->p - start)};
        if (f->key.p != NULL && stoq_span_cmp(f->key, key) >= 0) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
            return;
        }
        f->key = key;
    }
    if (r->depth > 0) {
        f->left--;
    }
}

/* Read a head of this major type; its argument, 0 when bad. */
static uint64_t head(struct stoq_cbor_rd *r, enum major major)
{
    unsigned info = r->p[0] & 31u;
    if (r->p[0] >> 5 != major || info > 27) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return 0;
    }
    size_t n = info < 24 ? 0 : (size_t)1 << (info - 24);
    if (!have(r, 1 + n)) {
        return 0;
    }
    struct stoq_span s = take(r, 1 + n);
    uint64_t v = n == 0 ? info : 0;
    for (size_t i = 1; i <= n; i++) {
        v = v << 8 | s.p[i];
    }
    /* Longer than needed? 1 byte holds 24 .. 255, n bytes what n / 2 cannot. */
    bool is_shortest = n == 0 || (n == 1 ? v >= 24 : v >> (4 * n) != 0);
    if (!is_shortest) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return 0;
    }
    return v;
}

static struct stoq_span string(struct stoq_cbor_rd *r, enum major major, size_t n_min, size_t n_max)
{
    const struct stoq_span none = {NULL, 0};
    if (!announce(r, major)) {
        return none;
    }
    const uint8_t *start = r->p;
    uint64_t n = head(r, major);
    if (r->status == STOQ_OK && (n < n_min || n > n_max)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    if (r->status != STOQ_OK || !have(r, n)) {
        return none;
    }
    struct stoq_span s = take(r, (size_t)n);
    if (major == MAJOR_TEXT && !stoq_utf8_valid(s)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    settle(r, start);
    return r->status == STOQ_OK ? s : none;
}

/* Open an array or a map of n elements; the frame counts items, two for a pair. */
static uint64_t enter(struct stoq_cbor_rd *r, enum major major)
{
    if (!announce(r, major)) {
        return 0;
    }
    if (r->depth == STOQ_CBOR_DEPTH_MAX) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return 0;
    }
    const uint8_t *start = r->p;
    uint64_t n = head(r, major);
    uint64_t items = n;
    if (major == MAJOR_MAP && __builtin_mul_overflow(n, 2, &items)) {
        items = UINT64_MAX;
    }
    /* An item takes a byte at least: a count that cannot be true is found here, before any loop. */
    if (r->status != STOQ_OK || !have(r, items)) {
        return 0;
    }
    settle(r, start);
    r->depth++;
    r->frame[r->depth] = (struct stoq_cbor_frame){.left = items, .is_map = major == MAJOR_MAP};
    return n;
}

static bool is_open(const struct stoq_cbor_rd *r)
{
    return r->status == STOQ_OK && (r->depth > 0 ? r->frame[r->depth].left > 0 : r->n > 0);
}

enum stoq_cbor_type stoq_cbor_rd_peek(struct stoq_cbor_rd *r)
{
    if (!is_open(r) || !have(r, 1)) {
        return STOQ_CBOR_END;
    }
    switch ((enum major)(r->p[0] >> 5)) {
    case MAJOR_UINT:
        return STOQ_CBOR_UINT;
    case MAJOR_BYTES:
        return STOQ_CBOR_BYTES;
    case MAJOR_TEXT:
        return STOQ_CBOR_TEXT;
    case MAJOR_ARRAY:
        return STOQ_CBOR_ARRAY;
    case MAJOR_MAP:
        return STOQ_CBOR_MAP;
    case MAJOR_SIMPLE:
        if (r->p[0] == 0xf4 || r->p[0] == 0xf5) {
            return STOQ_CBOR_BOOL;
        }
        break;
    case MAJOR_NEGATIVE:
    case MAJOR_TAG:
        break;
    }
    stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    return STOQ_CBOR_END;
}

bool stoq_cbor_rd_more(const struct stoq_cbor_rd *r)
{
    return is_open(r);
}

uint64_t stoq_cbor_rd_uint(struct stoq_cbor_rd *r)
{
    if (!announce(r, MAJOR_UINT)) {
        return 0;
    }
    const uint8_t *start = r->p;
    uint64_t v = head(r, MAJOR_UINT);
    settle(r, start);
    return r->status == STOQ_OK ? v : 0;
}

uint64_t stoq_cbor_rd_uint_in(struct stoq_cbor_rd *r, uint64_t min, uint64_t max)
{
    uint64_t v = stoq_cbor_rd_uint(r);
    if (v < min || v > max) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return min;
    }
    return v;
}

bool stoq_cbor_rd_bool(struct stoq_cbor_rd *r)
{
    if (!announce(r, MAJOR_SIMPLE)) {
        return false;
    }
    const uint8_t *start = r->p;
    uint8_t b = take(r, 1).p[0];
    if (b != 0xf4 && b != 0xf5) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    settle(r, start);
    return r->status == STOQ_OK && b == 0xf5;
}

struct stoq_span stoq_cbor_rd_bytes(struct stoq_cbor_rd *r, size_t n_min, size_t n_max)
{
    return string(r, MAJOR_BYTES, n_min, n_max);
}

struct stoq_span stoq_cbor_rd_text(struct stoq_cbor_rd *r, size_t n_min, size_t n_max)
{
    return string(r, MAJOR_TEXT, n_min, n_max);
}

struct stoq_hash stoq_cbor_rd_hash(struct stoq_cbor_rd *r)
{
    struct stoq_hash h = {{0}};
    struct stoq_span s = string(r, MAJOR_BYTES, sizeof h.b, sizeof h.b);
    if (s.n == sizeof h.b) {
        memcpy(h.b, s.p, sizeof h.b);
    }
    return h;
}

uint64_t stoq_cbor_rd_array(struct stoq_cbor_rd *r)
{
    return enter(r, MAJOR_ARRAY);
}

uint64_t stoq_cbor_rd_map(struct stoq_cbor_rd *r)
{
    return enter(r, MAJOR_MAP);
}

/* Is a key of the open map next? A value next is the caller's skipped field: not ours to guess. */
static bool key_is_next(struct stoq_cbor_rd *r)
{
    const struct stoq_cbor_frame *f = &r->frame[r->depth];
    if (r->status != STOQ_OK || (f->is_map && f->left == 0)) {
        return false;
    }
    STOQ_ASSERT(is_key(f));
    return true;
}

bool stoq_cbor_rd_key(struct stoq_cbor_rd *r, uint64_t *out)
{
    if (!key_is_next(r)) {
        return false;
    }
    *out = stoq_cbor_rd_uint(r);
    return r->status == STOQ_OK;
}

bool stoq_cbor_rd_key_text(struct stoq_cbor_rd *r, struct stoq_span *out)
{
    if (!key_is_next(r)) {
        return false;
    }
    *out = stoq_cbor_rd_text(r, 0, SIZE_MAX);
    return r->status == STOQ_OK;
}

void stoq_cbor_rd_leave(struct stoq_cbor_rd *r)
{
    if (r->status != STOQ_OK) {
        return;
    }
    STOQ_ASSERT(r->depth > 0);
    if (r->frame[r->depth].left > 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        return;
    }
    r->depth--;
}

/* Read one item; a container is only entered. */
static void step(struct stoq_cbor_rd *r)
{
    switch (stoq_cbor_rd_peek(r)) {
    case STOQ_CBOR_UINT:
        (void)stoq_cbor_rd_uint(r);
        break;
    case STOQ_CBOR_BYTES:
        (void)stoq_cbor_rd_bytes(r, 0, SIZE_MAX);
        break;
    case STOQ_CBOR_TEXT:
        (void)stoq_cbor_rd_text(r, 0, SIZE_MAX);
        break;
    case STOQ_CBOR_ARRAY:
        (void)stoq_cbor_rd_array(r);
        break;
    case STOQ_CBOR_MAP:
        (void)stoq_cbor_rd_map(r);
        break;
    case STOQ_CBOR_BOOL:
        (void)stoq_cbor_rd_bool(r);
        break;
    case STOQ_CBOR_END:
        if (r->depth > 0) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        } else {
            (void)have(r, (uint64_t)r->n + 1);
        }
        break;
    }
}

struct stoq_span stoq_cbor_rd_any(struct stoq_cbor_rd *r)
{
    const uint8_t *start = r->p;
    unsigned base = r->depth;
    step(r);
    while (r->status == STOQ_OK && r->depth > base) {
        if (r->frame[r->depth].left == 0) {
            stoq_cbor_rd_leave(r);
        } else {
            step(r);
        }
    }
    if (r->status != STOQ_OK) {
        return (struct stoq_span){NULL, 0};
    }
    return (struct stoq_span){start, (size_t)(r->p - start)};
}

enum stoq_status stoq_cbor_rd_done(const struct stoq_cbor_rd *r)
{
    if (r->status == STOQ_OK && (r->depth > 0 || r->n > 0)) {
        return STOQ_MALFORMED;
    }
    return r->status;
}

enum stoq_status stoq_cbor_item(struct stoq_span in, size_t n_max, size_t *out_n)
{
    size_t n = in.n < n_max ? in.n : n_max;
    struct stoq_cbor_rd r = stoq_cbor_rd(stoq_span(in.p, n));
    r.more = n_max - n;
    struct stoq_span item = stoq_cbor_rd_any(&r);
    if (r.status == STOQ_OK) {
        *out_n = item.n;
    }
    return r.status;
}
