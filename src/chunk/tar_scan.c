#include "chunk/tar_scan.h"

#include <string.h>

/*
 * An archive is a chain of 512-byte headers, each followed by data padded to a multiple of 512:
 *
 *     [header][data....|pad][header][header][data|pad] ...
 *     '------'------'------------------------------
 *       run     run           run                   boundaries only around the data of large members
 *
 * A pax header ('x') carries records for the member behind it; the one that matters here is `size`,
 * which replaces the size in that member's header. What decides ids has to be the same on every
 * machine for ever, so it is this small reader with rules of its own and not a library: there is one
 * way to be right, and everything else ends the scan. Ending it costs sharing, never correctness.
 *
 * The state is the header being collected, or how much of a part is still to pass; a pax header's
 * records are read byte by byte, with no more memory than a number.
 */

enum part {
    PART_HEADER,
    PART_SKIP,   /* data or padding without boundaries */
    PART_MEMBER, /* data of a large member */
    PART_RECORDS,
    PART_REST, /* the scan is over */
};

enum record_part {
    RECORD_LENGTH,
    RECORD_KEY,
    RECORD_OTHER, /* of a key we do not look for: up to the record's end */
    RECORD_SIZE,  /* the value of `size` */
};

enum {
    TYPE_AT = 156,
    MAGIC_AT = 257,
    SUM_AT = 148,
    SUM_BYTES = 8,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    DIGITS_MAX = 15, /* of a decimal number: past 2^48, far from overflow */
};

/* Longer than any stream; keeps sums of positions far from overflow. */
#define NUMBER_MAX ((uint64_t)1 << 48)

static const char size_key[] = "size=";

/* Spaces, octal digits, then spaces and NULs to the end. */
static bool read_octal(struct stoq_span field, uint64_t *out)
{
    size_t i = 0;
    uint64_t v = 0;
    while (i < field.n && field.p[i] == ' ') {
        i++;
    }
    while (i < field.n && field.p[i] >= '0' && field.p[i] <= '7') {
        v = v * 8 + (uint64_t)(field.p[i] - '0');
        i++;
    }
    while (i < field.n && (field.p[i] == ' ' || field.p[i] == 0)) {
        i++;
    }
    *out = v;
    return i == field.n;
}

/* Octal, or with a first byte of 0x80 a big-endian number in the last eight bytes. */
static bool read_size(const uint8_t *field, uint64_t *out)
{
    if (field[0] != 0x80) {
        return read_octal(stoq_span(field, SIZE_BYTES), out) && *out <= NUMBER_MAX;
    }
    uint64_t v = 0;
    for (size_t i = 4; i < SIZE_BYTES; i++) {
        v = v << 8 | field[i];
    }
    *out = v;
    return field[1] == 0 && field[2] == 0 && field[3] == 0 && v <= NUMBER_MAX;
}

/* The sum of the header's bytes, its own field taken as spaces. */
static uint64_t sum_of(const uint8_t *block)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < STOQ_TAR_BLOCK_BYTES; i++) {
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : block[i];
    }
    return sum;
}

static bool has_no_data(uint8_t type)
{
    return type >= '1' && type <= '6';
}

/* Headers about the next member, not members themselves. */
static bool is_special(uint8_t type)
{
    return type == 'x' || type == 'g' || type == 'L' || type == 'K';
}

static void begin_record(struct stoq_tar_scan *s)
{
    s->record = (struct stoq_tar_record){.part = RECORD_LENGTH};
}

/* What follows the complete header. False: it is not valid. */
static bool read_header(struct stoq_tar_scan *s)
{
    const uint8_t *b = s->block;
    uint64_t sum;
    uint64_t size;
    if (memcmp(b + MAGIC_AT, "ustar", 5) != 0 ||
        !read_octal(stoq_span(b + SUM_AT, SUM_BYTES), &sum) || sum != sum_of(b) ||
        !read_size(b + SIZE_AT, &size)) {
        return false;
    }
    uint8_t type = b[TYPE_AT];
    if (!is_special(type)) {
        size = has_no_data(type) ? 0 : s->has_size ? s->size : size;
        s->has_size = false;
    }
    if (size > s->file_bytes - s->at) {
        return false;
    }
    s->left = size;
    s->padding = (STOQ_TAR_BLOCK_BYTES - size % STOQ_TAR_BLOCK_BYTES) % STOQ_TAR_BLOCK_BYTES;
    s->part = PART_SKIP;
    if (type == 'x') {
        s->has_size = false;
        s->part = PART_RECORDS;
        begin_record(s);
    } else if (!is_special(type) && size >= s->member_bytes_min) {
        s->part = PART_MEMBER;
    }
    return true;
}

/* Go to the next header, or end the scan when the file has no room for one. */
static void begin_header(struct stoq_tar_scan *s)
{
    s->block_filled = 0;
    s->part = s->file_bytes - s->at < STOQ_TAR_BLOCK_BYTES ? PART_REST : PART_HEADER;
}

/* The open part is passed: its padding is next, then a header. */
static void end_part(struct stoq_tar_scan *s)
{
    s->left = s->padding;
    s->padding = 0;
    s->part = PART_SKIP;
    if (s->left == 0) {
        begin_header(s);
    }
}

void stoq_tar_scan_init(struct stoq_tar_scan *s, uint64_t file_bytes, uint64_t member_bytes_min)
{
    STOQ_ASSERT(member_bytes_min > 0);
    memset(s, 0, sizeof *s);
    s->file_bytes = file_bytes;
    s->member_bytes_min = member_bytes_min;
    begin_header(s);
}

/* One more digit of a decimal number. False: it is none, or one too many. */
static bool add_digit(struct stoq_tar_record *r, uint8_t c)
{
    if (c < '0' || c > '9' || r->digits == DIGITS_MAX) {
        return false;
    }
    r->number = r->number * 10 + (uint64_t)(c - '0');
    r->digits++;
    return true;
}

/* The space behind a record's length. left is what the header's data has from the space on. */
static bool end_length(struct stoq_tar_record *r, uint64_t left)
{
    /* At least `=` and a newline follow the space. */
    if (r->digits == 0 || r->number < r->taken + 2 || r->number - r->taken > left - 1) {
        return false;
    }
    r->bytes = r->number;
    r->number = 0;
    r->digits = 0;
    r->part = RECORD_KEY;
    return true;
}

/* A byte of the key: `size=` leads to its value, any other key to the record's end. */
static void add_key(struct stoq_tar_record *r, uint8_t c)
{
    if (r->key_at < sizeof size_key - 1 && c == (uint8_t)size_key[r->key_at]) {
        r->key_at++;
    } else {
        r->key_at = UINT8_MAX;
    }
    if (c == '=') {
        r->part = r->key_at == sizeof size_key - 1 ? RECORD_SIZE : RECORD_OTHER;
    }
}

/* The newline that ends a record. */
static bool end_record(struct stoq_tar_scan *s)
{
    struct stoq_tar_record *r = &s->record;
    if (r->part == RECORD_SIZE) {
        if (r->digits == 0 || r->number > NUMBER_MAX) {
            return false;
        }
        s->size = r->number;
        s->has_size = true;
    }
    bool has_key = r->part != RECORD_KEY;
    begin_record(s);
    return has_key;
}

/* One byte of a pax header's data. False: the records break their form. */
static bool add_to_record(struct stoq_tar_scan *s, uint8_t c)
{
    struct stoq_tar_record *r = &s->record;
    r->taken++;
    if (r->part == RECORD_LENGTH) {
        return c == ' ' ? end_length(r, s->left) : add_digit(r, c);
    }
    if (r->taken == r->bytes) {
        return c == '\n' && end_record(s);
    }
    if (r->part == RECORD_KEY) {
        add_key(r, c);
        return true;
    }
    return r->part == RECORD_OTHER || add_digit(r, c);
}

/* Some of a pax header's data. Returns the bytes taken. */
static size_t take_records(struct stoq_tar_scan *s, struct stoq_span data)
{
    size_t n = data.n < s->left ? data.n : (size_t)s->left;
    for (size_t i = 0; i < n; i++) {
        if (!add_to_record(s, data.p[i])) {
            s->part = PART_REST;
            return i + 1;
        }
        s->left--;
    }
    if (s->left > 0) {
        return n;
    }
    if (s->record.taken > 0) {
        s->part = PART_REST; /* a record without an end */
    } else {
        end_part(s);
    }
    return n;
}

static size_t take_header(struct stoq_tar_scan *s, struct stoq_span data)
{
    size_t room = STOQ_TAR_BLOCK_BYTES - s->block_filled;
    size_t n = data.n < room ? data.n : room;
    memcpy(s->block + s->block_filled, data.p, n);
    s->block_filled = (uint16_t)(s->block_filled + n);
    return n;
}

/* Data of a member, or padding. */
static size_t pass(struct stoq_tar_scan *s, struct stoq_span data)
{
    size_t n = data.n < s->left ? data.n : (size_t)s->left;
    s->left -= n;
    return n;
}

/* Take some of one part. A boundary is found where a header announces a large member, and where its
 * data ends. */
static size_t take_part(struct stoq_tar_scan *s, struct stoq_span data, bool *ends)
{
    size_t n = data.n;
    switch ((enum part)s->part) {
    case PART_HEADER:
        n = take_header(s, data);
        s->at += n;
        if (s->block_filled == STOQ_TAR_BLOCK_BYTES) {
            if (!read_header(s)) {
                s->part = PART_REST;
            }
            *ends = s->part == PART_MEMBER;
        }
        break;
    case PART_RECORDS:
        n = take_records(s, data);
        s->at += n;
        break;
    case PART_SKIP:
    case PART_MEMBER:
        n = pass(s, data);
        s->at += n;
        if (s->left == 0) {
            *ends = s->part == PART_MEMBER && s->at < s->file_bytes;
            end_part(s);
        }
        break;
    case PART_REST:
        s->at += n;
        break;
    }
    return n;
}

size_t stoq_tar_scan_take(struct stoq_tar_scan *s, struct stoq_span data, bool *ends)
{
    STOQ_ASSERT(data.n <= s->file_bytes - s->at);
    size_t taken = 0;
    *ends = false;
    while (taken < data.n && !*ends) {
        taken += take_part(s, stoq_span(data.p + taken, data.n - taken), ends);
    }
    return taken;
}

bool stoq_tar_scan_breaks_off(const struct stoq_tar_scan *s)
{
    return s->part == PART_MEMBER && s->left > 0;
}
