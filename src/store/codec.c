/*
 * When compression pays. Most bulk data is either compressed already or compresses well, and its
 * first 4 KiB tell which: they are compressed alone at a fast level, and only when they shrink by
 * a thirty-second is the whole payload compressed, at the store's level. A payload that then fails to
 * shrink stays raw. What is compressed already does not shrink by even that (of 12 MB of gzip files not
 * one chunk did), and asking for more costs: with an eighth 19 % of LLVM bitcode stayed raw, 7 % of its
 * bytes as stored.
 *
 * A chunk is packed once and travels often, but a publish is waited for. STOQ_STORE_LEVEL_AUTO packs at
 * level 6 and tries once more, harder, what that leaves at 40 to 70 % of its length: machine code mostly,
 * where zstd's optimal parser with matches of three bytes wins most for its time. In chunks of 32 KiB,
 * beside level 5: postgresql-15 3.8 % less at 29 MB/s (51 % of the chunks tried; 30 to 90 %: 4.6 % at 23;
 * level 14: 4.9 % at 14; level 5: 90), perl 4.8 % less at 37 MB/s, C headers 2.1 % less at 103 MB/s
 * (level 5: 144).
 *
 * A frame from disk or from a peer is unpacked into exactly raw_len bytes in one call: zstd never
 * writes past that buffer, a frame that declares or holds another size is refused, and so is
 * anything after the first frame. No window is allocated for one-call decompression, so a hostile
 * frame header costs no memory either.
 */
#include "store/codec.h"

#include "hash/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define PROBE_BYTES 4096
#define PROBE_LEVEL 1
#define PROBE_PART 32
#define AUTO_LEVEL 6
/* What AUTO_LEVEL leaves between these two parts of the payload's length is tried harder. */
#define HARDER_PERCENT_MIN 40
#define HARDER_PERCENT_MAX 70
#define LEVEL_HARDER (STOQ_STORE_LEVEL_MAX + 1)
/* Below this a frame's own header eats what compression gains. */
#define COMPRESS_BYTES_MIN 64
/* Slots kept for reuse (some 1.5 MiB each when used on chunks), and the most scratch one keeps. */
#define SLOTS_KEPT 4
#define SCRATCH_KEPT (512 * STOQ_KIB)

struct stoq_codec_slot {
    ZSTD_CCtx *cctx;
    ZSTD_DCtx *dctx;
    struct stoq_buf scratch;
    struct stoq_buf harder; /* what the second try made */
    struct stoq_codec_slot *next;
};

struct stoq_codec {
    int level;
    pthread_mutex_t lock;
    struct stoq_codec_slot *free_slots;
    size_t free_count;
    atomic_uint_fast64_t compressions;
};

enum stoq_status stoq_codec_new(struct stoq_codec **out, int level)
{
    struct stoq_codec *codec = calloc(1, sizeof *codec);
    if (codec == NULL) {
        return STOQ_NOMEM;
    }
    codec->level = level;
    (void)pthread_mutex_init(&codec->lock, NULL);
    *out = codec;
    return STOQ_OK;
}

static void slot_free(struct stoq_codec_slot *slot)
{
    (void)ZSTD_freeCCtx(slot->cctx);
    (void)ZSTD_freeDCtx(slot->dctx);
    stoq_buf_release(&slot->scratch);
    stoq_buf_release(&slot->harder);
    free(slot);
}

void stoq_codec_free(struct stoq_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    while (codec->free_slots != NULL) {
        struct stoq_codec_slot *slot = codec->free_slots;
        codec->free_slots = slot->next;
        slot_free(slot);
    }
    (void)pthread_mutex_destroy(&codec->lock);
    free(codec);
}

static struct stoq_codec_slot *slot_take(struct stoq_codec *codec)
{
    struct stoq_codec_slot *slot = NULL;
    if (codec != NULL) {
        (void)pthread_mutex_lock(&codec->lock);
        slot = codec->free_slots;
        if (slot != NULL) {
            codec->free_slots = slot->next;
            codec->free_count--;
        }
        (void)pthread_mutex_unlock(&codec->lock);
    }
    if (slot == NULL) {
        slot = calloc(1, sizeof *slot);
        if (slot != NULL) {
            stoq_buf_init(&slot->scratch, STOQ_RECORD_BYTES_MAX);
            stoq_buf_init(&slot->harder, STOQ_RECORD_BYTES_MAX);
        }
    }
    return slot;
}

void stoq_codec_put_back(struct stoq_codec *codec, struct stoq_codec_slot *slot)
{
    if (slot == NULL) {
        return;
    }
    if (codec == NULL) {
        slot_free(slot);
        return;
    }
    if (slot->scratch.cap > SCRATCH_KEPT || slot->harder.cap > SCRATCH_KEPT) {
        slot_free(slot);
        return;
    }
    (void)pthread_mutex_lock(&codec->lock);
    bool keep = codec->free_count < SLOTS_KEPT;
    if (keep) {
        slot->next = codec->free_slots;
        codec->free_slots = slot;
        codec->free_count++;
    }
    (void)pthread_mutex_unlock(&codec->lock);
    if (!keep) {
        slot_free(slot);
    }
}

/*
 * The optimal parser at its fastest, on matches of three bytes, which levels under 14 do not look for. Set
 * each time, since ZSTD_compressCCtx may forget it.
 */
static bool set_harder(ZSTD_CCtx *c)
{
    return !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, 14)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_strategy, ZSTD_btopt)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_minMatch, 3)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_searchLog, 1)) &&
           !ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_targetLength, 6));
}

/* Compress payload into the scratch of slot (LEVEL_HARDER: its harder) when that takes at most room bytes; *n
 * is 0 when not. */
static enum stoq_status squeeze(struct stoq_codec *codec, struct stoq_codec_slot *slot, int level,
                                struct stoq_span payload, size_t room, size_t *n)
{
    *n = 0;
    atomic_fetch_add_explicit(&codec->compressions, 1, memory_order_relaxed);
    if (slot->cctx == NULL) {
        slot->cctx = ZSTD_createCCtx();
        if (slot->cctx == NULL) {
            return STOQ_NOMEM;
        }
    }
    struct stoq_buf *to = level == LEVEL_HARDER ? &slot->harder : &slot->scratch;
    stoq_buf_clear(to);
    enum stoq_status st = stoq_buf_reserve(to, room);
    if (st != STOQ_OK) {
        return st;
    }
    ZSTD_CCtx *c = slot->cctx;
    size_t r = 0;
    if (level != LEVEL_HARDER) {
        r = ZSTD_compressCCtx(c, to->p, room, payload.p, payload.n, level);
    } else if (set_harder(c)) {
        r = ZSTD_compress2(c, to->p, room, payload.p, payload.n);
    }
    if (!ZSTD_isError(r)) {
        *n = r;
    }
    return STOQ_OK;
}

/* The whole payload at the store's level; *out is in a buffer of slot, and empty when it does not shrink. */
static enum stoq_status pack(struct stoq_codec *codec, struct stoq_codec_slot *slot,
                             struct stoq_span payload, struct stoq_span *out)
{
    bool is_auto = codec->level == STOQ_STORE_LEVEL_AUTO;
    size_t n;
    enum stoq_status st =
        squeeze(codec, slot, is_auto ? AUTO_LEVEL : codec->level, payload, payload.n - 1, &n);
    *out = stoq_span(slot->scratch.p, n);
    uint64_t percent = (uint64_t)n * 100 / payload.n;
    if (st != STOQ_OK || !is_auto || n == 0 || percent < HARDER_PERCENT_MIN ||
        percent >= HARDER_PERCENT_MAX) {
        return st;
    }
    size_t less;
    /* Without memory for a harder try the easier one's result is as good. */
    if (squeeze(codec, slot, LEVEL_HARDER, payload, n - 1, &less) == STOQ_OK && less > 0) {
        *out = stoq_span(slot->harder.p, less);
    }
    return STOQ_OK;
}

uint64_t stoq_codec_compressions(const struct stoq_codec *codec)
{
    return atomic_load_explicit(&codec->compressions, memory_order_relaxed);
}

enum stoq_status stoq_codec_encode(struct stoq_codec *codec, struct stoq_span payload,
                                   struct stoq_coded *out)
{
    *out = (struct stoq_coded){
        .info = {.raw_len = (uint32_t)payload.n, .stored_len = (uint32_t)payload.n},
        .stored = payload,
    };
    if (codec->level < 0 || payload.n < COMPRESS_BYTES_MIN) {
        return STOQ_OK;
    }
    struct stoq_codec_slot *slot = slot_take(codec);
    if (slot == NULL) {
        return STOQ_NOMEM;
    }
    size_t probe = payload.n < PROBE_BYTES ? payload.n : PROBE_BYTES;
    size_t n;
    enum stoq_status st = squeeze(codec, slot, PROBE_LEVEL, stoq_span(payload.p, probe),
                                  probe - probe / PROBE_PART, &n);
    struct stoq_span packed = {0};
    if (st == STOQ_OK && n > 0) {
        st = pack(codec, slot, payload, &packed);
    }
    if (st != STOQ_OK || packed.n == 0) {
        stoq_codec_put_back(codec, slot);
        return st;
    }
    out->info.stored_len = (uint32_t)packed.n;
    out->info.flags = STOQ_STORED_ZSTD;
    out->stored = packed;
    out->slot = slot;
    return STOQ_OK;
}

/* Unpack one frame into exactly raw_len bytes at p. */
static enum stoq_status unpack(struct stoq_codec_slot *slot, struct stoq_span frame, uint8_t *p,
                               uint32_t raw_len)
{
    if (slot->dctx == NULL) {
        slot->dctx = ZSTD_createDCtx();
        if (slot->dctx == NULL) {
            return STOQ_NOMEM;
        }
    }
    unsigned long long said = ZSTD_getFrameContentSize(frame.p, frame.n);
    if (said == ZSTD_CONTENTSIZE_ERROR || (said != ZSTD_CONTENTSIZE_UNKNOWN && said != raw_len) ||
        ZSTD_findFrameCompressedSize(frame.p, frame.n) != frame.n) {
        return STOQ_MALFORMED;
    }
    size_t n = ZSTD_decompressDCtx(slot->dctx, p, raw_len, frame.p, frame.n);
    return ZSTD_isError(n) || n != raw_len ? STOQ_MALFORMED : STOQ_OK;
}

enum stoq_status stoq_codec_decode(struct stoq_codec *codec, struct stoq_stored info,
                                   struct stoq_span stored, uint32_t raw_max, struct stoq_buf *out)
{
    stoq_buf_clear(out);
    bool packed = (info.flags & STOQ_STORED_ZSTD) != 0;
    if (info.raw_len > raw_max || info.stored_len != stored.n ||
        (info.flags & ~STOQ_STORED_ZSTD) != 0 || (!packed && info.stored_len != info.raw_len) ||
        (packed && info.stored_len >= info.raw_len)) {
        return STOQ_MALFORMED;
    }
    if (!packed) {
        return stoq_buf_add(out, stored);
    }
    enum stoq_status st = stoq_buf_reserve(out, info.raw_len);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_codec_slot *slot = slot_take(codec);
    if (slot == NULL) {
        return STOQ_NOMEM;
    }
    st = unpack(slot, stored, out->p, info.raw_len);
    if (st == STOQ_OK) {
        out->n = info.raw_len;
    }
    stoq_codec_put_back(codec, slot);
    return st;
}

enum stoq_status stoq_codec_unpack(struct stoq_codec *codec, struct stoq_stored info,
                                   struct stoq_buf *buf)
{
    struct stoq_codec_slot *slot = slot_take(codec);
    if (slot == NULL) {
        return STOQ_NOMEM;
    }
    stoq_buf_clear(&slot->scratch);
    enum stoq_status st = stoq_buf_add(&slot->scratch, stoq_buf_span(buf));
    if (st == STOQ_OK) {
        stoq_buf_clear(buf);
        st = stoq_buf_reserve(buf, info.raw_len);
    }
    if (st == STOQ_OK) {
        st = unpack(slot, stoq_buf_span(&slot->scratch), buf->p, info.raw_len);
        buf->n = st == STOQ_OK ? info.raw_len : 0;
    }
    stoq_codec_put_back(codec, slot);
    return st;
}

enum stoq_status stoq_codec_check(struct stoq_codec *codec, struct stoq_span key,
                                  struct stoq_stored info, struct stoq_span stored)
{
    struct stoq_hash got;
    if (key.n != sizeof got.b) {
        return STOQ_PROOF;
    }
    if ((info.flags & STOQ_STORED_ZSTD) == 0) {
        got = stoq_hash_blake3(stored);
        return memcmp(got.b, key.p, sizeof got.b) == 0 ? STOQ_OK : STOQ_PROOF;
    }
    struct stoq_codec_slot *slot = slot_take(codec);
    if (slot == NULL) {
        return STOQ_NOMEM;
    }
    enum stoq_status st =
        stoq_codec_decode(codec, info, stored, STOQ_RECORD_BYTES_MAX, &slot->scratch);
    if (st == STOQ_OK) {
        got = stoq_hash_blake3(stoq_buf_span(&slot->scratch));
        st = memcmp(got.b, key.p, sizeof got.b) == 0 ? STOQ_OK : STOQ_PROOF;
    }
    stoq_codec_put_back(codec, slot);
    return st;
}

enum stoq_status stoq_store_decode(struct stoq_stored info, struct stoq_span stored,
                                   uint32_t raw_max, struct stoq_buf *out, struct stoq_error *err)
{
    enum stoq_status st = stoq_codec_decode(NULL, info, stored, raw_max, out);
    if (st == STOQ_MALFORMED) {
        return stoq_fail(err, st, 0, "%u stored bytes (flags %u) do not unpack to exactly %u bytes",
                         info.stored_len, info.flags, info.raw_len);
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "unpack %u bytes", info.raw_len);
}
