/*
 * A chunk of the user's own files is read, hashed, and only then given out, whatever the files' sizes
 * and times say: they are kept to explain a mismatch, not to believe in. Descriptors are opened and
 * closed for each read, so that nothing keeps the user's file systems busy, and memory is never mapped,
 * so that a file cut short is a short read and not a signal.
 *
 * A record whose files have changed is quarantined, so that the store no longer says it has the chunk.
 * It is tried again all the same when somebody asks for the bytes: a disk may have been mounted since,
 * an edit taken back.
 */
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hash/hash.h"
#include "os/file.h"
#include "os/show.h"
#include "store/store_internal.h"

#define PLACE_FIELDS 7

static bool place_ok(const struct stoq_place *p)
{
    return p->path.n >= 1 && p->path.n <= STOQ_PLACE_PATH_MAX && p->path.p[0] == '/' &&
           memchr(p->path.p, 0, p->path.n) == NULL && p->bytes >= 1 &&
           p->offset <= (uint64_t)INT64_MAX - p->bytes;
}

enum stoq_status stoq_places_encode(const struct stoq_place *places, size_t count,
                                    struct stoq_buf *out)
{
    uint64_t raw_len = 0;
    for (size_t i = 0; i < count; i++) {
        raw_len += places[i].bytes;
        if (!place_ok(&places[i])) {
            return STOQ_RANGE;
        }
    }
    if (raw_len < 1 || raw_len > STOQ_CHUNK_BYTES_MAX) {
        return STOQ_RANGE;
    }
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_array(&w, 1 + count);
    stoq_cbor_put_uint(&w, raw_len);
    for (size_t i = 0; i < count; i++) {
        const struct stoq_place *p = &places[i];
        stoq_cbor_put_array(&w, PLACE_FIELDS);
        stoq_cbor_put_bytes(&w, p->path);
        stoq_cbor_put_uint(&w, p->offset);
        stoq_cbor_put_uint(&w, p->bytes);
        stoq_cbor_put_uint(&w, p->size);
        stoq_cbor_put_uint(&w, (uint64_t)p->mtime_ns);
        stoq_cbor_put_uint(&w, (uint64_t)p->ctime_ns);
        stoq_cbor_put_uint(&w, p->inode);
    }
    enum stoq_status st = stoq_cbor_wr_done(&w);
    if (st == STOQ_OK && out->n - before > STOQ_PLACES_BYTES_MAX) {
        st = STOQ_FULL;
    }
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}

bool stoq_places_pay(const struct stoq_place *places, size_t count)
{
    uint64_t raw_len = 0;
    uint64_t payload = 16;
    for (size_t i = 0; i < count; i++) {
        raw_len += places[i].bytes;
        payload += places[i].path.n + 48; /* at most: six numbers and two heads */
    }
    return payload <= raw_len / 4 && payload <= STOQ_PLACES_BYTES_MAX;
}

enum stoq_status stoq_places_begin(struct stoq_places *p, struct stoq_span payload)
{
    memset(p, 0, sizeof *p);
    if (payload.n > STOQ_PLACES_BYTES_MAX) {
        return STOQ_MALFORMED;
    }
    p->rd = stoq_cbor_rd(payload);
    uint64_t items = stoq_cbor_rd_array(&p->rd);
    p->raw_len = (uint32_t)stoq_cbor_rd_uint_in(&p->rd, 1, STOQ_CHUNK_BYTES_MAX);
    p->left = p->raw_len;
    if (p->rd.status != STOQ_OK || items < 2) {
        return STOQ_MALFORMED;
    }
    p->count = items - 1;
    return STOQ_OK;
}

enum stoq_status stoq_places_next(struct stoq_places *p, struct stoq_place *out)
{
    struct stoq_cbor_rd *r = &p->rd;
    if (p->read == p->count) {
        stoq_cbor_rd_leave(r);
        return stoq_cbor_rd_done(r) == STOQ_OK && p->left == 0 ? STOQ_NOTFOUND : STOQ_MALFORMED;
    }
    if (stoq_cbor_rd_array(r) != PLACE_FIELDS) {
        return STOQ_MALFORMED;
    }
    out->path = stoq_cbor_rd_bytes(r, 1, STOQ_PLACE_PATH_MAX);
    out->offset = stoq_cbor_rd_uint(r);
    out->bytes = (uint32_t)stoq_cbor_rd_uint_in(r, 1, STOQ_CHUNK_BYTES_MAX);
    out->size = stoq_cbor_rd_uint(r);
    out->mtime_ns = (int64_t)stoq_cbor_rd_uint(r);
    out->ctime_ns = (int64_t)stoq_cbor_rd_uint(r);
    out->inode = stoq_cbor_rd_uint(r);
    stoq_cbor_rd_leave(r);
    if (r->status != STOQ_OK || !place_ok(out) || out->bytes > p->left) {
        return STOQ_MALFORMED;
    }
    p->left -= out->bytes;
    p->read++;
    return STOQ_OK;
}

enum stoq_status stoq_store_put_places(struct stoq_store *s, struct stoq_span key,
                                       const struct stoq_place *places, size_t count, bool *is_new,
                                       struct stoq_error *err)
{
    struct stoq_buf payload;
    struct stoq_buf old;
    stoq_buf_init(&payload, 2 * STOQ_PLACES_BYTES_MAX);
    stoq_buf_init(&old, STOQ_PLACES_BYTES_MAX);
    *is_new = false;
    enum stoq_status st = stoq_places_encode(places, count, &payload);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "a chunk cannot be kept in place");
    } else if (!stoq_store_has(s, STOQ_RECORD_IN_PLACE, key) ||
               stoq_store_read(s, STOQ_RECORD_IN_PLACE, key, 0, &old, NULL) != STOQ_OK ||
               !stoq_span_eq(stoq_buf_span(&old), stoq_buf_span(&payload))) {
        const struct stoq_stored raw = {(uint32_t)payload.n, (uint32_t)payload.n, 0};
        st = stoq_store_put_stored(s, STOQ_RECORD_IN_PLACE, key, STOQ_STORE_OVERWRITE, raw,
                                   stoq_buf_span(&payload), is_new, err);
    }
    stoq_buf_release(&payload);
    stoq_buf_release(&old);
    return st;
}

static int64_t ns_of(struct timespec t)
{
    return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

/* What is different about the file, to follow its name; NULL: nothing that stat tells. */
static const char *difference(const struct stoq_place *p, const struct stat *now, char out[96])
{
    if ((uint64_t)now->st_size != p->size) {
        (void)snprintf(out, 96, "it had %llu bytes and has %llu", (unsigned long long)p->size,
                       (unsigned long long)now->st_size);
        return out;
    }
    if (now->st_ino != p->inode) {
        return "another file is there now";
    }
    if (ns_of(now->st_mtim) != p->mtime_ns) {
        return "it was written to";
    }
    return ns_of(now->st_ctim) != p->ctime_ns ? "its times were set or it was renamed" : NULL;
}

/* One place's bytes to p. STOQ_OK; STOQ_NOTFOUND: they cannot be read. The sentence, also of STOQ_OK,
 * tells what is wrong with the file; empty: nothing. */
static enum stoq_status read_place(const struct stoq_place *place, uint8_t *p,
                                   struct stoq_error *err)
{
    char path[STOQ_PLACE_PATH_MAX + 1];
    char shown[STOQ_SHOW_BYTES];
    char text[96];
    struct stat now;
    memcpy(path, place->path.p, place->path.n);
    path[place->path.n] = 0;
    (void)stoq_show_path(shown, place->path);
    err->text[0] = 0;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) != 0 || !S_ISREG(now.st_mode)) {
        int e = fd < 0 ? errno : 0;
        if (fd >= 0) {
            (void)close(fd);
        }
        return stoq_fail(err, STOQ_NOTFOUND, e, "%s, published in place, cannot be read", shown);
    }
    const char *why = difference(place, &now, text);
    if (why != NULL) {
        (void)stoq_fail(err, STOQ_PROOF, 0, "%s changed after it was published in place: %s", shown,
                        why);
    }
    enum stoq_status st = stoq_file_pread_all(fd, p, place->bytes, place->offset);
    int e = errno;
    (void)close(fd);
    if (st == STOQ_TRUNC) {
        return STOQ_NOTFOUND;
    }
    return st == STOQ_OK
               ? st
               : stoq_fail(err, STOQ_NOTFOUND, e, "%s, published in place, cannot be read", shown);
}

/* All of the chunk's bytes to out. err holds the first thing that is wrong with a file. */
static enum stoq_status gather(struct stoq_span payload, struct stoq_buf *out,
                               struct stoq_error *err)
{
    struct stoq_places places;
    struct stoq_place place;
    enum stoq_status st = stoq_places_begin(&places, payload);
    stoq_buf_clear(out);
    err->text[0] = 0;
    if (st == STOQ_OK) {
        st = stoq_buf_reserve(out, places.raw_len);
    }
    while (st == STOQ_OK) {
        struct stoq_error why;
        st = stoq_places_next(&places, &place);
        if (st != STOQ_OK) {
            break;
        }
        st = read_place(&place, out->p + out->n, &why);
        out->n += st == STOQ_OK ? place.bytes : 0;
        if (err->text[0] == 0) {
            *err = why;
        }
    }
    return st == STOQ_NOTFOUND && places.read == places.count && out->n == places.raw_len ? STOQ_OK
                                                                                          : st;
}

static enum stoq_status fail_changed(struct stoq_store *s, const struct stoq_entry *e,
                                     enum stoq_status st, const struct stoq_error *why,
                                     struct stoq_error *err)
{
    char hex[2 * STOQ_RECORD_ID_MAX + 1];
    stoq_hex_put(hex, stoq_entry_key(e));
    const char *text = why->text[0] != 0
                           ? why->text
                           : "a file published in place has other bytes, though its size and times "
                             "are as they were";
    (void)stoq_fail_code(err, st, "SourceChanged", "%s (chunk %.16s)", text, hex);
    if (!e->quarantined) {
        stoq_store_mark_quarantined(s, e);
    }
    if (!s->read_only && !e->quarantined) {
        stoq_store_say(s, "%s; chunk %s is no longer had", text, hex);
    }
    return st;
}

enum stoq_status stoq_places_stat(struct stoq_store *s, struct stoq_span key,
                                  struct stoq_stored *out)
{
    struct stoq_buf payload;
    struct stoq_stored info;
    struct stoq_entry e;
    struct stoq_places places;
    stoq_buf_init(&payload, STOQ_PLACES_BYTES_MAX);
    enum stoq_status st = stoq_store_load(s, STOQ_RECORD_IN_PLACE, key, &info, &payload, &e, NULL);
    if (st == STOQ_OK && !e.quarantined) {
        st = stoq_places_begin(&places, stoq_buf_span(&payload));
        *out = (struct stoq_stored){places.raw_len, places.raw_len, 0};
    } else if (st == STOQ_OK) {
        st = STOQ_NOTFOUND;
    }
    stoq_buf_release(&payload);
    return st;
}

enum stoq_status stoq_places_read(struct stoq_store *s, struct stoq_span key,
                                  struct stoq_stored *info, struct stoq_buf *out, bool *here,
                                  struct stoq_error *err)
{
    struct stoq_buf payload;
    struct stoq_entry e;
    struct stoq_error why = {0};
    stoq_buf_init(&payload, STOQ_PLACES_BYTES_MAX);
    enum stoq_status st = stoq_store_load(s, STOQ_RECORD_IN_PLACE, key, info, &payload, &e, NULL);
    *here = st == STOQ_OK;
    if (st != STOQ_OK) {
        stoq_buf_release(&payload);
        return st;
    }
    st = gather(stoq_buf_span(&payload), out, &why);
    struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(out));
    if (st == STOQ_OK && (key.n != sizeof h.b || memcmp(h.b, key.p, sizeof h.b) != 0)) {
        st = STOQ_PROOF;
    }
    if (st == STOQ_NOMEM || st == STOQ_FULL) {
        st = stoq_fail(err, st, 0, "read a chunk in place");
    } else if (st != STOQ_OK) {
        st = fail_changed(s, &e, st == STOQ_NOTFOUND ? st : STOQ_PROOF, &why, err);
    }
    if (st == STOQ_OK) {
        *info = (struct stoq_stored){(uint32_t)out->n, (uint32_t)out->n, 0};
    } else {
        stoq_buf_clear(out);
    }
    stoq_buf_release(&payload);
    return st;
}
