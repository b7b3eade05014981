#include "package/table.h"

#include <string.h>

/*
 * One table read whole and in pieces must come to the same end, entry by entry, and what is accepted is
 * what the writer makes of it. The first bytes say what the manifest promised and how long pieces are.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct promise {
    uint64_t table_bytes;
    uint64_t entries;
    uint64_t bytes;
};

static void check_entry(const struct stoq_entry *e)
{
    STOQ_ASSERT(stoq_entry_path_fault(e->path) == NULL);
    STOQ_ASSERT(e->path.p[0] != '/' && memchr(e->path.p, 0, e->path.n) == NULL);
    STOQ_ASSERT((e->kind == STOQ_ENTRY_LINK) == (e->target.n > 0));
}

/* Read with pieces of at most step bytes; the final status, and what the writer makes of it in out. */
static enum stoq_status read_all(struct stoq_span in, size_t step, const struct promise *p,
                                 struct stoq_buf *out)
{
    static struct stoq_table_reader r;
    static struct stoq_table_writer w;
    stoq_table_reader_init(&r, p->table_bytes, p->entries, p->bytes);
    stoq_table_writer_init(&w);
    stoq_buf_clear(out);
    for (;;) {
        struct stoq_span piece = stoq_span(in.p, in.n < step ? in.n : step);
        size_t before = piece.n;
        struct stoq_entry e;
        enum stoq_status st = stoq_table_reader_next(&r, &piece, &e);
        in = stoq_span(in.p + (before - piece.n), in.n - (before - piece.n));
        if (st == STOQ_OK) {
            check_entry(&e);
            STOQ_ASSERT(stoq_table_writer_add(&w, &e, out) == STOQ_OK);
        } else if (st == STOQ_TRUNC) {
            STOQ_ASSERT(piece.n == 0);
            if (in.n == 0) {
                return st;
            }
        } else {
            struct stoq_entry none;
            STOQ_ASSERT(stoq_table_reader_next(&r, &piece, &none) == st);
            STOQ_ASSERT(st != STOQ_NOTFOUND || w.table_bytes == p->table_bytes);
            return st;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_rd r = stoq_rd(stoq_span(data, size));
    struct promise p;
    size_t step = 1 + (size_t)stoq_rd_u8(&r);
    p.entries = stoq_rd_u16(&r);
    p.table_bytes = stoq_rd_u16(&r);
    p.bytes = p.table_bytes + stoq_rd_u32(&r);
    if (r.bad) {
        return 0;
    }
    struct stoq_span in = stoq_span(r.p, r.n);
    struct stoq_buf whole;
    struct stoq_buf pieces;
    stoq_buf_init(&whole, 1 << 20);
    stoq_buf_init(&pieces, 1 << 20);
    enum stoq_status st = read_all(in, SIZE_MAX, &p, &whole);
    STOQ_ASSERT(read_all(in, step, &p, &pieces) == st);
    STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&whole), stoq_buf_span(&pieces)));
    if (st == STOQ_NOTFOUND) {
        STOQ_ASSERT(whole.n == p.table_bytes);
        STOQ_ASSERT(stoq_span_eq(stoq_buf_span(&whole), stoq_span(in.p, whole.n)));
    }
    stoq_buf_release(&whole);
    stoq_buf_release(&pieces);
    return 0;
}
