/*
 * An array of (hash prefix, shard, position), sorted by the prefix. A list is walked from its start: where
 * the next chunk stands in some list, the run of equal entries that begins there is one part; what
 * stands nowhere is sent as it is. One list is loaded at a time: neighbours mostly come from the same.
 */
#include "daemon/export_parts.h"

#include <stdlib.h>
#include <string.h>

#include "package/list_parts.h"

#define PREFIX_BYTES 16u
#define ENTRY_BYTES STOQ_MERKLE_CHUNK_ENTRY_BYTES
#define ROOT_BYTES 32u
/* Of the array and of the roots: some 2^25 chunks. */
#define BYTES_MAX ((size_t)1 << 30)

struct where {
    uint8_t prefix[PREFIX_BYTES];
    uint32_t shard;
    uint32_t position;
};

struct stoq_export_parts {
    struct stoq_store *store;
    struct stoq_buf where; /* struct where, sorted by prefix, then as found */
    struct stoq_buf roots;
    size_t loaded; /* the shard whose list is in list; SIZE_MAX: none */
    struct stoq_buf list;
    struct stoq_list_parts_writer writer;
};

static int where_cmp(const void *a, const void *b)
{
    const struct where *x = a;
    const struct where *y = b;
    int c = memcmp(x->prefix, y->prefix, PREFIX_BYTES);
    if (c != 0) {
        return c;
    }
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return x->position < y->position ? -1 : x->position > y->position;
}

static struct stoq_hash root_at(const struct stoq_export_parts *p, size_t i)
{
    struct stoq_hash h;
    memcpy(h.b, p->roots.p + i * ROOT_BYTES, sizeof h.b);
    return h;
}

/* Load a shard's list; false: it is not to be had. */
static bool load(struct stoq_export_parts *p, size_t shard)
{
    if (p->loaded == shard) {
        return true;
    }
    p->loaded = SIZE_MAX;
    struct stoq_span key = stoq_span(p->roots.p + shard * ROOT_BYTES, ROOT_BYTES);
    if (stoq_store_read(p->store, STOQ_RECORD_CHUNK_LIST, key, 0, &p->list, NULL) != STOQ_OK ||
        p->list.n % ENTRY_BYTES != 0) {
        return false;
    }
    p->loaded = shard;
    return true;
}

static enum stoq_status gather(struct stoq_export_parts *p, const struct stoq_have *have)
{
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_have_shard_count(have);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_hash root = stoq_have_shard_at(have, i);
        st = stoq_buf_add(&p->roots, stoq_span(root.b, sizeof root.b));
        if (st != STOQ_OK || !load(p, i)) {
            continue; /* a list that we have not is no base */
        }
        for (size_t k = 0; st == STOQ_OK && k < p->list.n / ENTRY_BYTES; k++) {
            struct where w = {.shard = (uint32_t)i, .position = (uint32_t)k};
            memcpy(w.prefix, p->list.p + k * ENTRY_BYTES, PREFIX_BYTES);
            st = stoq_buf_add(&p->where, stoq_span(&w, sizeof w));
        }
    }
    if (p->where.n > sizeof(struct where)) {
        qsort(p->where.p, p->where.n / sizeof(struct where), sizeof(struct where), where_cmp);
    }
    return st;
}

enum stoq_status stoq_export_parts_new(struct stoq_export_parts **out, struct stoq_store *store,
                                       const struct stoq_have *have, struct stoq_error *err)
{
    struct stoq_export_parts *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to export");
    }
    p->store = store;
    p->loaded = SIZE_MAX;
    stoq_buf_init(&p->where, BYTES_MAX);
    stoq_buf_init(&p->roots, BYTES_MAX);
    stoq_buf_init(&p->list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * ENTRY_BYTES);
    stoq_list_parts_writer_init(&p->writer);
    enum stoq_status st = gather(p, have);
    if (st != STOQ_OK) {
        stoq_export_parts_free(p);
        return stoq_fail(err, st, 0, "the receiver has more than can be compared");
    }
    *out = p;
    return STOQ_OK;
}

void stoq_export_parts_free(struct stoq_export_parts *p)
{
    if (p != NULL) {
        stoq_buf_release(&p->where);
        stoq_buf_release(&p->roots);
        stoq_buf_release(&p->list);
        stoq_list_parts_writer_release(&p->writer);
        free(p);
    }
}

/* The first place of a chunk, NULL: none. */
static const struct where *find(const struct stoq_export_parts *p, const uint8_t *entry)
{
    const struct where *w = (const struct where *)(const void *)p->where.p;
    size_t lo = 0;
    size_t hi = p->where.n / sizeof *w;
    size_t count = hi;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(w[mid].prefix, entry, PREFIX_BYTES) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < count && memcmp(w[lo].prefix, entry, PREFIX_BYTES) == 0 ? &w[lo] : NULL;
}

/* How many entries at the start of list stand at this place too; its list is loaded then. */
static size_t run_at(struct stoq_export_parts *p, const struct where *w, struct stoq_span list)
{
    if (w == NULL || !load(p, w->shard)) {
        return 0;
    }
    size_t there = p->list.n - w->position * ENTRY_BYTES;
    size_t max = there < list.n ? there : list.n;
    const uint8_t *at = p->list.p + w->position * ENTRY_BYTES;
    size_t n = 0;
    while (n < max && memcmp(at + n, list.p + n, ENTRY_BYTES) == 0) {
        n += ENTRY_BYTES;
    }
    return n / ENTRY_BYTES;
}

enum stoq_status stoq_export_parts_of(struct stoq_export_parts *p, struct stoq_span list,
                                      struct stoq_buf *out)
{
    size_t new_from = 0; /* entries that stand nowhere begin here */
    size_t at = 0;
    stoq_list_parts_writer_clear(&p->writer);
    stoq_buf_clear(out);
    while (at < list.n) {
        const struct where *w = find(p, list.p + at);
        size_t run = run_at(p, w, stoq_span(list.p + at, list.n - at));
        if (run == 0) {
            at += ENTRY_BYTES;
            continue;
        }
        if (at > new_from) {
            stoq_list_parts_writer_put(&p->writer, stoq_span(list.p + new_from, at - new_from));
        }
        struct stoq_hash root = root_at(p, w->shard);
        bool copied = stoq_list_parts_writer_copy(&p->writer, &root, w->position, run);
        if (!copied) {
            stoq_list_parts_writer_put(&p->writer, stoq_span(list.p + at, run * ENTRY_BYTES));
        }
        at += run * ENTRY_BYTES;
        new_from = at;
    }
    if (at > new_from) {
        stoq_list_parts_writer_put(&p->writer, stoq_span(list.p + new_from, at - new_from));
    }
    enum stoq_status st = stoq_list_parts_writer_end(&p->writer, out);
    if (st == STOQ_RANGE || st == STOQ_FULL || (st == STOQ_OK && out->n >= list.n)) {
        return STOQ_NOTFOUND;
    }
    return st;
}
