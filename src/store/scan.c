/*
 * Reading a segment from end to end, over damage.
 *
 *     | header | record | record | ##### | record | record | torn
 *                                 damage                     damage, then END
 *
 * Where no whole record begins, the damaged one's own length is believed if a whole record (or the
 * end of the file) lies right behind it: a rotten payload then costs that record only. Else every
 * multiple of 8 is tried until a whole record is found.
 *
 * That second search runs through bytes which a publisher chose: a chunk can contain what looks
 * like a record, checksum and all, since XXH3 keeps nobody out. So for the length of the longest
 * chunk after such a gap only records that certify themselves count, chunks and manifests, whose
 * key is the hash of their content. A planted tombstone or signature is never believed; at worst a
 * real one that follows within 256 KiB of a rotten header is lost.
 *
 * Even those must not carry a sequence far ahead, which would outlive every later tombstone.
 *
 * The caller decides what damage means: at the end of the last segment it is a torn tail, unless
 * it is doubtful: there may be real records in it.
 */
#include "store/codec.h"
#include "store/segment.h"

#include "os/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ALIGN ((uint64_t)4096) /* for O_DIRECT */
#define WINDOW_BYTES ((size_t)STOQ_MIB)
/* Longest payload a stranger chooses, and its record's head and key. */
#define GAP_BYTES (STOQ_CHUNK_BYTES_MAX + 4096)
/* More records than any gap holds. */
#define SEQUENCE_LEAP_MAX ((uint64_t)1 << 20)

enum stoq_status stoq_scan_init(struct stoq_scan *scan, int fd, uint64_t from, uint64_t sequence,
                                struct stoq_codec *codec)
{
    *scan = (struct stoq_scan){.fd = fd, .at = from, .sequence = sequence, .codec = codec};
    struct stat sb;
    if (fstat(fd, &sb) != 0) {
        return STOQ_IO;
    }
    scan->file_bytes = (uint64_t)sb.st_size;
    void *p = NULL;
    if (posix_memalign(&p, ALIGN, WINDOW_BYTES) != 0) {
        return STOQ_NOMEM;
    }
    scan->buf = p;
    scan->cap = WINDOW_BYTES;
    return STOQ_OK;
}

void stoq_scan_pieces(struct stoq_scan *scan, size_t bytes)
{
    scan->cap = bytes < scan->cap ? bytes & ~(size_t)(ALIGN - 1) : scan->cap;
}

void stoq_scan_release(struct stoq_scan *scan)
{
    free(scan->buf);
    scan->buf = NULL;
}

/* The file's bytes from offset on, need of them if there are that many; *out is borrowed. */
static enum stoq_status window(struct stoq_scan *scan, uint64_t offset, uint64_t need,
                               struct stoq_span *out)
{
    uint64_t left = offset < scan->file_bytes ? scan->file_bytes - offset : 0;
    need = need < left ? need : left;
    if (offset < scan->buf_at || offset + need > scan->buf_at + scan->buf_n) {
        uint64_t at = offset & ~(ALIGN - 1);
        size_t want = (size_t)((offset - at + need + ALIGN - 1) & ~(ALIGN - 1));
        if (want > scan->cap) {
            void *p = NULL;
            if (posix_memalign(&p, ALIGN, want) != 0) {
                return STOQ_NOMEM;
            }
            free(scan->buf);
            scan->buf = p;
            scan->cap = want;
        }
        scan->buf_at = at;
        scan->buf_n = 0;
        size_t got;
        if (stoq_file_pread_min(scan->fd, scan->buf, offset - at + need, scan->cap, at, &got) !=
            STOQ_OK) {
            return STOQ_IO;
        }
        scan->buf_n = got;
        if (at + got < offset + need) {
            return STOQ_IO; /* it shrank under us */
        }
    }
    *out = stoq_span(scan->buf + (offset - scan->buf_at), (size_t)need);
    return STOQ_OK;
}

/* The record at offset. As stoq_record_decode, and STOQ_IO, STOQ_NOMEM; *bytes is what its head
 * claims, 0 without a believable head. */
static enum stoq_status record_at(struct stoq_scan *scan, uint64_t offset, struct stoq_record *rec,
                                  uint64_t *bytes)
{
    struct stoq_span s;
    *bytes = 0;
    enum stoq_status st = window(scan, offset, STOQ_RECORD_HEAD_BYTES, &s);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_record_head head;
    st = stoq_record_head_decode(s, &head);
    if (st != STOQ_OK) {
        return st;
    }
    *bytes = stoq_record_bytes(head.key_len, head.info.stored_len);
    st = window(scan, offset, *bytes, &s);
    return st == STOQ_OK ? stoq_record_decode(s, rec) : st;
}

static bool is_trouble(enum stoq_status st)
{
    return st == STOQ_IO || st == STOQ_NOMEM;
}

/* Does the record's key prove its content? */
static bool certifies_itself(struct stoq_scan *scan, const struct stoq_record *rec)
{
    return (rec->type == STOQ_RECORD_CHUNK || rec->type == STOQ_RECORD_MANIFEST) &&
           rec->info.raw_len <= STOQ_CHUNK_BYTES_MAX &&
           rec->sequence <= scan->sequence + SEQUENCE_LEAP_MAX &&
           stoq_codec_check(scan->codec, rec->key, rec->info, rec->stored) == STOQ_OK;
}

/* Inside a gap: does a record to believe begin at offset? Looks at the head first, so that planted
 * heads of great length cost nothing. */
static enum stoq_status believable(struct stoq_scan *scan, uint64_t offset, bool *yes)
{
    struct stoq_span s;
    struct stoq_record_head head;
    *yes = false;
    enum stoq_status st = window(scan, offset, STOQ_RECORD_HEAD_BYTES, &s);
    if (st != STOQ_OK || stoq_record_head_decode(s, &head) != STOQ_OK) {
        return st;
    }
    bool trusted = offset >= scan->trusted_from;
    if (!trusted && (head.info.raw_len > STOQ_CHUNK_BYTES_MAX ||
                     (head.type != STOQ_RECORD_CHUNK && head.type != STOQ_RECORD_MANIFEST))) {
        scan->doubtful = true;
        return STOQ_OK;
    }
    struct stoq_record rec;
    uint64_t bytes;
    st = record_at(scan, offset, &rec, &bytes);
    if (is_trouble(st)) {
        return st;
    }
    *yes = st == STOQ_OK && (trusted || certifies_itself(scan, &rec));
    return STOQ_OK;
}

/* Where the next record to believe begins, from offset from on; the file's end when there is none.
 * */
static enum stoq_status search(struct stoq_scan *scan, uint64_t from, uint64_t *found)
{
    for (*found = from; *found + STOQ_RECORD_HEAD_BYTES <= scan->file_bytes; *found += 8) {
        bool yes;
        enum stoq_status st = believable(scan, *found, &yes);
        if (st != STOQ_OK || yes) {
            return st;
        }
    }
    *found = scan->file_bytes;
    return STOQ_OK;
}

/* No record to believe begins at scan->at, though one of `bytes` bytes may have: find where to go
 * on. */
static enum stoq_status skip(struct stoq_scan *scan, uint64_t bytes, uint64_t *next)
{
    if (bytes > 0 && scan->at + bytes == scan->file_bytes) {
        *next = scan->file_bytes;
        return STOQ_OK;
    }
    if (bytes > 0 && scan->at + bytes < scan->file_bytes && scan->at >= scan->trusted_from) {
        struct stoq_record rec;
        uint64_t rec_bytes;
        enum stoq_status st = record_at(scan, scan->at + bytes, &rec, &rec_bytes);
        if (st == STOQ_OK || is_trouble(st)) {
            *next = scan->at + bytes;
            return st;
        }
    }
    if (scan->at >= scan->trusted_from) {
        scan->trusted_from = scan->at + GAP_BYTES;
    }
    return search(scan, scan->at + 8, next);
}

enum stoq_status stoq_scan_next(struct stoq_scan *scan, struct stoq_scan_item *out)
{
    *out = (struct stoq_scan_item){.kind = STOQ_SCAN_END, .offset = scan->at};
    if (scan->at >= scan->file_bytes) {
        return STOQ_OK;
    }
    uint64_t bytes;
    enum stoq_status st = record_at(scan, scan->at, &out->rec, &bytes);
    if (is_trouble(st)) {
        return st;
    }
    if (st == STOQ_OK && (scan->at >= scan->trusted_from || certifies_itself(scan, &out->rec))) {
        out->kind = STOQ_SCAN_RECORD;
        out->bytes = bytes;
        scan->at += bytes;
        if (out->rec.sequence > scan->sequence) {
            scan->sequence = out->rec.sequence;
        }
        return STOQ_OK;
    }
    uint64_t next;
    scan->doubtful = st == STOQ_OK; /* whole, but in a gap */
    st = skip(scan, bytes, &next);
    if (st != STOQ_OK) {
        return st;
    }
    out->kind = STOQ_SCAN_DAMAGE;
    out->bytes = next - scan->at;
    out->doubtful = scan->doubtful;
    scan->at = next;
    return STOQ_OK;
}
