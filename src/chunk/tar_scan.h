#ifndef STOQ_CHUNK_TAR_SCAN_H
#define STOQ_CHUNK_TAR_SCAN_H
/*
 * Where a file that is a plain tar archive is cut into runs (profile 2, docs/FORMATS.md section 4): at
 * both ends of the data of every large member.
 *
 * Bytes of a file go in, in order and in pieces of any size; run boundaries come out. Any file is fine:
 * one that is no archive, or stops being one, has no (further) boundaries. Nothing is allocated.
 */
#include "base/bytes.h"

#define STOQ_TAR_BLOCK_BYTES 512u

/* The record of a pax header that is being read. */
struct stoq_tar_record {
    uint64_t bytes;  /* of the record: its first number; 0 until the space behind it */
    uint64_t taken;  /* of the record's bytes */
    uint64_t number; /* the record's length, later the value of a size record */
    uint8_t digits;  /* of number */
    uint8_t part;
    uint8_t key_at; /* bytes of the key that agree with the one we look for */
};

/* Plain data of the caller's; needs no release. The fields are the scanner's own. */
struct stoq_tar_scan {
    uint64_t file_bytes;
    uint64_t member_bytes_min;
    uint64_t at;      /* bytes of the file taken */
    uint64_t left;    /* of the part being passed */
    uint64_t padding; /* behind the part being passed */
    uint64_t size;    /* of the next member, when a pax header told it */
    bool has_size;
    uint8_t part;
    uint16_t block_filled;
    struct stoq_tar_record record;
    uint8_t block[STOQ_TAR_BLOCK_BYTES];
};

/*
 * Begin a file.
 *
 * file_bytes        its size, known before its first byte is read
 * member_bytes_min  members of this many bytes or more are cut out, 1 or more
 */
void stoq_tar_scan_init(struct stoq_tar_scan *s, uint64_t file_bytes, uint64_t member_bytes_min);

/*
 * Take the next bytes of the file, up to the next boundary.
 *
 * data  borrowed; never goes past file_bytes
 * ends  true: a run ends behind the bytes taken, and the file goes on
 *
 * Returns how many bytes were taken: all of data, or fewer when a run ends before.
 * Cost: the bytes of headers are looked at, those of members are not.
 */
size_t stoq_tar_scan_take(struct stoq_tar_scan *s, struct stoq_span data, bool *ends);

/*
 * For a file that comes without its size: init with a number that it is below, then ask this at its end.
 * True when the last boundary told is none after all, since the member that begins there ends behind the
 * end of the file; all others are those of the file.
 */
bool stoq_tar_scan_breaks_off(const struct stoq_tar_scan *s);

#endif
