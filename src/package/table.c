/*
 * The file table as a stream. Writer and reader keep the same small memory of what came before: the
 * last path, and the directories among its byte prefixes.
 *
 * Why prefixes are enough: entries rise in memcmp order. If directory D is no byte prefix of the
 * current path P, then D < P and they differ inside D, so every path that begins with D lies before
 * P; nothing can come below D any more. What remains is a chain of prefixes of P, each a prefix of the
 * next, so one length each describes them:
 *
 *     a        directory    1
 *     a-b      directory    1 3        "a" stays: "a/x" sorts after "a-b"
 *     a-b/c    file         1 3        parent "a-b" (3) is there
 *     a/x      file         1          3 goes, "a-b" is no prefix of "a/x"; parent "a" (1) is there
 *
 * A parent is looked up by its length alone (the bytes are P's own), by bisection: a hostile table can
 * have 4096 prefixes open at once.
 */
#include "package/table.h"

#include <string.h>

#include "package/manifest.h"
#include "wire/cbor.h"

static bool is_dots(const uint8_t *p, size_t n)
{
    return (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.');
}

static const char *component_fault(const uint8_t *p, size_t n)
{
    if (n == 0) {
        return "path has an empty component";
    }
    if (n > STOQ_TABLE_COMPONENT_MAX) {
        return "path has a component of more than 255 bytes";
    }
    if (is_dots(p, n)) {
        return "path has a component . or ..";
    }
    return NULL;
}

const char *stoq_entry_path_fault(struct stoq_span path)
{
    if (path.n == 0) {
        return "path is empty";
    }
    if (path.n > STOQ_TABLE_PATH_MAX) {
        return "path is longer than 4096 bytes";
    }
    if (memchr(path.p, 0, path.n) != NULL) {
        return "path has a NUL byte";
    }
    size_t start = 0;
    while (start <= path.n) {
        const uint8_t *p = path.p + start;
        const uint8_t *slash = memchr(p, '/', path.n - start);
        size_t n = slash != NULL ? (size_t)(slash - p) : path.n - start;
        const char *why = component_fault(p, n);
        if (why != NULL) {
            return why;
        }
        start += n + 1;
    }
    return NULL;
}

const char *stoq_entry_target_fault(struct stoq_span target)
{
    if (target.n == 0) {
        return "link has an empty target";
    }
    if (target.n > STOQ_TABLE_TARGET_MAX) {
        return "link has a target of more than 4095 bytes";
    }
    return memchr(target.p, 0, target.n) != NULL ? "link has a target with a NUL byte" : NULL;
}

static void order_init(struct stoq_table_order *o)
{
    o->path_bytes = 0;
    o->dir_count = 0;
    o->entries = 0;
    o->bytes = 0;
}

/* Is the prefix of n bytes a directory of the table, given that dirs[0 .. count - 1] still hold? */
static bool order_has_dir(const struct stoq_table_order *o, size_t count, size_t n)
{
    size_t lo = 0;
    size_t hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (o->dirs[mid] == n) {
            return true;
        }
        if (o->dirs[mid] < n) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return false;
}

static size_t common_prefix(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    size_t n = an < bn ? an : bn;
    size_t i = 0;
    while (i < n && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* Bytes of the path up to its last slash, 0 at the top. */
static size_t parent_bytes(struct stoq_span path)
{
    size_t n = path.n;
    while (n > 0 && path.p[n - 1] != '/') {
        n--;
    }
    return n > 0 ? n - 1 : 0;
}

/* Take the entry, or return false and change nothing. */
static bool order_take(struct stoq_table_order *o, const struct stoq_entry *e)
{
    size_t same = common_prefix(o->path, o->path_bytes, e->path.p, e->path.n);
    bool rises = same == o->path_bytes ? e->path.n > same
                                       : e->path.n > same && e->path.p[same] > o->path[same];
    size_t kept = o->dir_count;
    while (kept > 0 && o->dirs[kept - 1] > same) {
        kept--;
    }
    size_t parent = parent_bytes(e->path);
    if (!rises || (parent > 0 && !order_has_dir(o, kept, parent)) ||
        o->entries == STOQ_MANIFEST_ENTRIES_MAX ||
        e->size > STOQ_MANIFEST_STREAM_BYTES_MAX - o->bytes) {
        return false;
    }
    memcpy(o->path + same, e->path.p + same, e->path.n - same);
    o->path_bytes = e->path.n;
    o->dir_count = kept;
    if (e->kind == STOQ_ENTRY_DIRECTORY) {
        o->dirs[o->dir_count++] = (uint16_t)e->path.n;
    }
    o->entries++;
    o->bytes += e->size;
    return true;
}

static bool entry_is_sound(const struct stoq_entry *e)
{
    if (stoq_entry_path_fault(e->path) != NULL) {
        return false;
    }
    switch (e->kind) {
    case STOQ_ENTRY_FILE:
    case STOQ_ENTRY_EXECUTABLE:
        return e->target.n == 0;
    case STOQ_ENTRY_DIRECTORY:
        return e->target.n == 0 && e->size == 0;
    case STOQ_ENTRY_LINK:
        return e->size == 0 && stoq_entry_target_fault(e->target) == NULL;
    default:
        return false;
    }
}

void stoq_table_writer_init(struct stoq_table_writer *w)
{
    order_init(&w->order);
    w->table_bytes = 0;
}

enum stoq_status stoq_table_writer_add(struct stoq_table_writer *w, const struct stoq_entry *entry,
                                       struct stoq_buf *out)
{
    if (!entry_is_sound(entry)) {
        return STOQ_RANGE;
    }
    /* Room first, so that nothing can fail once the order has moved. */
    enum stoq_status st = stoq_buf_reserve(out, 32 + entry->path.n + entry->target.n);
    if (st != STOQ_OK) {
        return st;
    }
    if (!order_take(&w->order, entry)) {
        return STOQ_RANGE;
    }
    size_t before = out->n;
    struct stoq_cbor_wr c = stoq_cbor_wr(out);
    stoq_cbor_put_array(&c, 3);
    stoq_cbor_put_bytes(&c, entry->path);
    stoq_cbor_put_uint(&c, entry->kind);
    if (entry->kind == STOQ_ENTRY_LINK) {
        stoq_cbor_put_bytes(&c, entry->target);
    } else {
        stoq_cbor_put_uint(&c, entry->size);
    }
    STOQ_ASSERT(stoq_cbor_wr_done(&c) == STOQ_OK);
    w->table_bytes += out->n - before;
    return STOQ_OK;
}

void stoq_table_reader_init(struct stoq_table_reader *r, uint64_t table_bytes, uint64_t entries,
                            uint64_t bytes)
{
    order_init(&r->order);
    r->table_bytes_left = table_bytes;
    r->entries = entries;
    r->content_bytes = bytes - table_bytes;
    r->failed = bytes < table_bytes ? STOQ_MALFORMED : STOQ_OK;
    r->carry_bytes = 0;
    r->carry_used = false;
}

static enum stoq_status reader_fail(struct stoq_table_reader *r)
{
    r->failed = STOQ_MALFORMED;
    return STOQ_MALFORMED;
}

/* One whole item, known to be well-formed CBOR: is it an entry that may come next? */
static bool take_item(struct stoq_table_reader *r, struct stoq_span item, struct stoq_entry *out)
{
    struct stoq_cbor_rd c = stoq_cbor_rd(item);
    struct stoq_entry e = {0};
    uint64_t items = stoq_cbor_rd_array(&c);
    e.path = stoq_cbor_rd_bytes(&c, 1, STOQ_TABLE_PATH_MAX);
    e.kind = (enum stoq_entry_kind)stoq_cbor_rd_uint_in(&c, STOQ_ENTRY_FILE, STOQ_ENTRY_LINK);
    if (e.kind == STOQ_ENTRY_LINK) {
        e.target = stoq_cbor_rd_bytes(&c, 1, STOQ_TABLE_TARGET_MAX);
    } else {
        e.size = stoq_cbor_rd_uint(&c);
    }
    stoq_cbor_rd_leave(&c);
    if (stoq_cbor_rd_done(&c) != STOQ_OK || items != 3 || !entry_is_sound(&e) ||
        e.size > r->content_bytes - r->order.bytes || r->order.entries == r->entries ||
        !order_take(&r->order, &e)) {
        return false;
    }
    *out = e;
    return true;
}

/* The table's end: every promise kept? */
static enum stoq_status reader_end(struct stoq_table_reader *r)
{
    if (r->carry_bytes > 0 || r->order.entries != r->entries ||
        r->order.bytes != r->content_bytes) {
        return reader_fail(r);
    }
    return STOQ_NOTFOUND;
}

/* Move up to what an entry may need from in behind the carried bytes; how many. */
static size_t carry_fill(struct stoq_table_reader *r, struct stoq_span in)
{
    size_t room = sizeof r->carry - r->carry_bytes;
    size_t n = in.n < room ? in.n : room;
    if (n > 0) {
        memcpy(r->carry + r->carry_bytes, in.p, n);
        r->carry_bytes += n;
    }
    return n;
}

static void skip(struct stoq_span *in, size_t n)
{
    if (n > 0) {
        in->p += n;
        in->n -= n;
    }
}

/* Try to find an entry in the carried bytes, topped up from the piece; in is moved. */
static enum stoq_status next_carried(struct stoq_table_reader *r, struct stoq_span piece,
                                     struct stoq_span *in, struct stoq_entry *out)
{
    size_t old = r->carry_bytes;
    size_t added = carry_fill(r, piece);
    size_t n;
    enum stoq_status st = stoq_cbor_item(stoq_span(r->carry, r->carry_bytes), sizeof r->carry, &n);
    if (st == STOQ_TRUNC) {
        r->table_bytes_left -= added;
        skip(in, added);
        bool hopeless = r->table_bytes_left == 0 || r->carry_bytes == sizeof r->carry;
        return hopeless ? reader_fail(r) : STOQ_TRUNC;
    }
    if (st != STOQ_OK || !take_item(r, stoq_span(r->carry, n), out)) {
        return reader_fail(r);
    }
    STOQ_ASSERT(n > old);
    r->table_bytes_left -= n - old;
    skip(in, n - old);
    r->carry_used = true;
    return STOQ_OK;
}

enum stoq_status stoq_table_reader_next(struct stoq_table_reader *r, struct stoq_span *in,
                                        struct stoq_entry *out)
{
    if (r->failed != STOQ_OK) {
        return r->failed;
    }
    if (r->carry_used) {
        r->carry_bytes = 0;
        r->carry_used = false;
    }
    if (r->table_bytes_left == 0) {
        return reader_end(r);
    }
    size_t n = in->n;
    if (n > r->table_bytes_left) {
        n = (size_t)r->table_bytes_left;
    }
    struct stoq_span piece = {in->p, n};
    if (r->carry_bytes > 0) {
        return next_carried(r, piece, in, out);
    }
    size_t used;
    enum stoq_status st = stoq_cbor_item(piece, STOQ_TABLE_ENTRY_BYTES_MAX, &used);
    if (st == STOQ_TRUNC) {
        return next_carried(r, piece, in, out);
    }
    if (st != STOQ_OK || !take_item(r, stoq_span(piece.p, used), out)) {
        return reader_fail(r);
    }
    r->table_bytes_left -= used;
    skip(in, used);
    return STOQ_OK;
}
