#include "package/list_parts.h"

#include <string.h>

#include "merkle/merkle.h"

#define ROOT_BYTES 32u
#define PART_BYTES 6u
#define ENTRY_BYTES STOQ_MERKLE_CHUNK_ENTRY_BYTES
#define ENTRIES_MAX STOQ_MERKLE_SHARD_CHUNKS_MAX
#define LITERAL 0xffffu
/* More than a list itself takes is never worth writing. */
#define BYTES_MAX ((size_t)ENTRIES_MAX * ENTRY_BYTES)

void stoq_list_parts_writer_init(struct stoq_list_parts_writer *w)
{
    stoq_buf_init(&w->bases, (size_t)STOQ_LIST_PARTS_BASES_MAX * ROOT_BYTES);
    stoq_buf_init(&w->parts, 2 * BYTES_MAX);
}

void stoq_list_parts_writer_release(struct stoq_list_parts_writer *w)
{
    stoq_buf_release(&w->bases);
    stoq_buf_release(&w->parts);
}

void stoq_list_parts_writer_clear(struct stoq_list_parts_writer *w)
{
    stoq_buf_clear(&w->bases);
    stoq_buf_clear(&w->parts);
}

/* The base's number, added where it is new; LITERAL: no room. */
static size_t base_number(struct stoq_list_parts_writer *w, const struct stoq_hash *base)
{
    size_t n = w->bases.n / ROOT_BYTES;
    for (size_t i = 0; i < n; i++) {
        if (memcmp(w->bases.p + i * ROOT_BYTES, base->b, ROOT_BYTES) == 0) {
            return i;
        }
    }
    return stoq_buf_add(&w->bases, stoq_span(base->b, ROOT_BYTES)) == STOQ_OK ? n : LITERAL;
}

static enum stoq_status put_part(struct stoq_list_parts_writer *w, size_t base, size_t first,
                                 size_t count)
{
    uint8_t part[PART_BYTES];
    struct stoq_wr wr = stoq_wr(part, sizeof part);
    stoq_wr_u16(&wr, (uint16_t)base);
    stoq_wr_u16(&wr, (uint16_t)first);
    stoq_wr_u16(&wr, (uint16_t)count);
    return stoq_buf_add(&w->parts, stoq_span(part, sizeof part));
}

bool stoq_list_parts_writer_copy(struct stoq_list_parts_writer *w, const struct stoq_hash *base,
                                 size_t first, size_t count)
{
    STOQ_ASSERT(count >= 1 && count <= ENTRIES_MAX && first < ENTRIES_MAX);
    size_t number = base_number(w, base);
    return number != LITERAL && put_part(w, number, first, count) == STOQ_OK;
}

void stoq_list_parts_writer_put(struct stoq_list_parts_writer *w, struct stoq_span entries)
{
    STOQ_ASSERT(entries.n >= ENTRY_BYTES && entries.n <= BYTES_MAX && entries.n % ENTRY_BYTES == 0);
    if (put_part(w, LITERAL, 0, entries.n / ENTRY_BYTES) != STOQ_OK ||
        stoq_buf_add(&w->parts, entries) != STOQ_OK) {
        stoq_buf_clear(&w->bases); /* end finds no base, and the list goes as it is */
    }
}

enum stoq_status stoq_list_parts_writer_end(struct stoq_list_parts_writer *w, struct stoq_buf *out)
{
    uint8_t count = (uint8_t)(w->bases.n / ROOT_BYTES);
    if (count == 0) {
        return STOQ_RANGE;
    }
    enum stoq_status st = stoq_buf_add(out, stoq_span(&count, 1));
    if (st == STOQ_OK) {
        st = stoq_buf_add(out, stoq_buf_span(&w->bases));
    }
    return st == STOQ_OK ? stoq_buf_add(out, stoq_buf_span(&w->parts)) : st;
}

size_t stoq_list_parts_base_count(struct stoq_span payload)
{
    size_t n = payload.n > 0 ? payload.p[0] : 0;
    return n <= STOQ_LIST_PARTS_BASES_MAX && payload.n > 1 + n * ROOT_BYTES ? n : 0;
}

struct stoq_hash stoq_list_parts_base(struct stoq_span payload, size_t i)
{
    struct stoq_hash h;
    STOQ_ASSERT(i < stoq_list_parts_base_count(payload));
    memcpy(h.b, payload.p + 1 + i * ROOT_BYTES, sizeof h.b);
    return h;
}

/* One part's entries; an empty span: there are none like that. */
static struct stoq_span entries_of(struct stoq_rd *r, const struct stoq_span *bases,
                                   size_t base_count)
{
    size_t base = stoq_rd_u16(r);
    size_t first = stoq_rd_u16(r);
    size_t count = stoq_rd_u16(r);
    if (base == LITERAL && first == 0) {
        return stoq_rd_bytes(r, count * ENTRY_BYTES);
    }
    if (count == 0 || base >= base_count || first + count > bases[base].n / ENTRY_BYTES) {
        return stoq_span(NULL, 0);
    }
    return stoq_span(bases[base].p + first * ENTRY_BYTES, count * ENTRY_BYTES);
}

enum stoq_status stoq_list_parts_join(struct stoq_span payload, const struct stoq_span *bases,
                                      struct stoq_buf *out)
{
    size_t base_count = stoq_list_parts_base_count(payload);
    size_t bytes = 0;
    if (base_count == 0) {
        return STOQ_MALFORMED;
    }
    struct stoq_rd r = stoq_rd(payload);
    (void)stoq_rd_bytes(&r, 1 + base_count * ROOT_BYTES);
    while (r.n > 0 && !r.bad) {
        struct stoq_span entries = entries_of(&r, bases, base_count);
        bytes += entries.n;
        if (entries.n == 0 || bytes > BYTES_MAX) {
            return STOQ_MALFORMED;
        }
        enum stoq_status st = stoq_buf_add(out, entries);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return r.bad ? STOQ_MALFORMED : STOQ_OK;
}
