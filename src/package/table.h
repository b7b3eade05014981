#ifndef STOQ_PACKAGE_TABLE_H
#define STOQ_PACKAGE_TABLE_H
/*
 * The file table: the first part of a package stream, one CBOR array per file, directory or link in
 * order of path bytes (docs/FORMATS.md section 3). A writer and a streaming reader that share one
 * checker, so that nothing can be published that would not be accepted.
 */
#include "base/bytes.h"

#define STOQ_TABLE_PATH_MAX 4096
#define STOQ_TABLE_COMPONENT_MAX 255
#define STOQ_TABLE_TARGET_MAX 4095
#define STOQ_TABLE_ENTRY_BYTES_MAX (1 + 3 + STOQ_TABLE_PATH_MAX + 1 + 3 + STOQ_TABLE_TARGET_MAX)

enum stoq_entry_kind {
    STOQ_ENTRY_FILE = 0,       /* mode 0644 */
    STOQ_ENTRY_EXECUTABLE = 1, /* mode 0755 */
    STOQ_ENTRY_DIRECTORY = 2,
    STOQ_ENTRY_LINK = 3,
};

struct stoq_entry {
    struct stoq_span path;
    enum stoq_entry_kind kind;
    uint64_t size;           /* bytes of a file's content; 0 for the others */
    struct stoq_span target; /* of a link; empty for the others */
};

/* Why these bytes cannot be an entry's path, or a link's target: a static English phrase to follow
 * the path in a message ("x: path has a `..` component"), or NULL. */
const char *stoq_entry_path_fault(struct stoq_span path);
const char *stoq_entry_target_fault(struct stoq_span target);

/*
 * What must be remembered between entries: the last path, and which of its byte prefixes are
 * directories of the table (their lengths, rising). Entries come in memcmp order, so a directory that
 * is no byte prefix of the current path can have nothing below it any more, and the prefixes suffice
 * to know every possible parent. About 12 KiB. Fields are the module's own.
 */
struct stoq_table_order {
    uint8_t path[STOQ_TABLE_PATH_MAX];
    size_t path_bytes;
    uint16_t dirs[STOQ_TABLE_PATH_MAX];
    size_t dir_count;
    uint64_t entries; /* accepted so far */
    uint64_t bytes;   /* sum of their sizes */
};

/*
 * Writes a table. init: nothing written yet. After the last entry, order.entries, order.bytes and
 * table_bytes are the manifest's entries, the content's bytes and table_bytes.
 */
struct stoq_table_writer {
    struct stoq_table_order order;
    uint64_t table_bytes;
};

void stoq_table_writer_init(struct stoq_table_writer *w);

/*
 * Append one entry's encoding to out.
 *
 * STOQ_RANGE  the path or target is not acceptable (the _fault functions say why), the path does not
 *             come after the last one, its parent is no directory of the table, or a total is past
 *             the format's limit. Nothing is written and w is unchanged.
 * STOQ_FULL, STOQ_NOMEM  out cannot grow; nothing is written and w is unchanged
 */
STOQ_WARN_UNUSED enum stoq_status stoq_table_writer_add(struct stoq_table_writer *w,
                                                        const struct stoq_entry *entry,
                                                        struct stoq_buf *out);

/* Reads a table piece by piece. Fields are the module's own; about 21 KiB, no allocation. */
struct stoq_table_reader {
    struct stoq_table_order order;
    uint64_t table_bytes_left;
    uint64_t entries;
    uint64_t content_bytes;
    enum stoq_status failed; /* the first failure, repeated from then on */
    size_t carry_bytes;
    bool carry_used; /* the entry last returned lies in carry */
    uint8_t carry[STOQ_TABLE_ENTRY_BYTES_MAX];
};

/*
 * table_bytes, entries and bytes are the manifest's, already known to be in their ranges: the table
 * must hold exactly that many bytes and entries, and sizes that add up to bytes - table_bytes.
 */
void stoq_table_reader_init(struct stoq_table_reader *r, uint64_t table_bytes, uint64_t entries,
                            uint64_t bytes);

/*
 * Take the next entry from the front of *in, which is any piece of the table (the reader keeps what
 * an entry needs across pieces) and may go on into the contents: never more than the table is taken.
 * *in is moved past what was used. *out borrows from *in or from r, until the next call.
 *
 * STOQ_OK         *out is the next entry
 * STOQ_TRUNC      *in is used up and no entry is complete: call again with more
 * STOQ_NOTFOUND   the table is complete and everything it promised holds; *in starts the contents
 * STOQ_MALFORMED  the table breaks a rule of section 3 or the manifest's totals; it stays so
 */
STOQ_WARN_UNUSED enum stoq_status stoq_table_reader_next(struct stoq_table_reader *r,
                                                         struct stoq_span *in,
                                                         struct stoq_entry *out);

#endif
