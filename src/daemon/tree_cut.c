/*
 * The parts of the stream are numbered: first every entry's piece of the file table, then every file.
 * A window slides over the stream:
 *
 *     begin              looked             end
 *     | of the open run  | read, not looked at |   room
 *
 * Where the open run's part of it holds a longest chunk, or the run's end, it is cut; otherwise the
 * rest is looked at for ends of runs, and then the next piece of the stream is read behind it. A part
 * that begins a new run waits until the window is empty. The table is encoded twice, once to know its
 * length, so that memory does not grow with it.
 */
#include "daemon/tree_cut.h"

#include "daemon/tree_entry.h"

#include <stdlib.h>
#include <string.h>

#include "chunk/runs.h"
#include "package/manifest.h"
#include "package/table.h"

#define READ_BYTES ((size_t)1 << 20)

struct stoq_tree_cut {
    struct stoq_tree *tree;
    struct stoq_chunker chunker;
    struct stoq_runs runs;
    struct stoq_table_writer writer;
    struct stoq_buf piece; /* of the table: the entry being read */
    size_t piece_at;
    size_t entry; /* of the part being read */
    bool is_lenient;
    bool in_table;
    bool part_open; /* the part being read has bytes left, or is a file not closed yet */
    int fd;
    uint64_t part_at; /* of the file being read */
    uint64_t part_bytes;
    bool run_ends; /* the open run ends at looked */
    size_t begin;
    size_t looked;
    size_t end;
    uint8_t window[2 * STOQ_MANIFEST_CHUNK_BYTES_MAX + READ_BYTES];
};

/* Encode entry i into p->piece. */
static enum stoq_status encode_entry(struct stoq_tree_cut *p, size_t i, struct stoq_error *err)
{
    struct stoq_tree_entry listed = stoq_tree_at(p->tree, i);
    struct stoq_entry entry = stoq_tree_table_entry(&listed);
    stoq_buf_clear(&p->piece);
    p->piece_at = 0;
    enum stoq_status st = stoq_table_writer_add(&p->writer, &entry, &p->piece);
    return st == STOQ_OK ? st
                         : stoq_fail(err, st, 0, "%.*s: no package can hold this",
                                     (int)listed.path.n, (const char *)listed.path.p);
}

/* Write the table to nowhere; its run is then the open one. */
static enum stoq_status measure_table(struct stoq_tree_cut *p, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    uint64_t ended;
    stoq_table_writer_init(&p->writer);
    for (size_t i = 0; i < stoq_tree_count(p->tree) && st == STOQ_OK; i++) {
        st = encode_entry(p, i, err);
    }
    if (st == STOQ_OK) {
        st = stoq_runs_add(&p->runs, STOQ_RUN_TABLE, p->writer.table_bytes, &ended);
    }
    stoq_table_writer_init(&p->writer);
    return st;
}

enum stoq_status stoq_tree_cut_open(struct stoq_tree_cut **out, const struct stoq_tree_cut_ask *ask,
                                    struct stoq_error *err)
{
    struct stoq_tree_cut *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to cut a tree");
    }
    p->tree = ask->tree;
    p->is_lenient = ask->is_lenient;
    STOQ_ASSERT(stoq_chunker_init(&p->chunker, &ask->profile->params) == STOQ_OK);
    stoq_runs_init(&p->runs, ask->profile);
    stoq_buf_init(&p->piece, STOQ_TABLE_ENTRY_BYTES_MAX);
    p->in_table = stoq_tree_count(p->tree) > 0;
    p->fd = -1;
    enum stoq_status st = measure_table(p, err);
    if (st != STOQ_OK) {
        stoq_tree_cut_close(p);
        return st;
    }
    *out = p;
    return STOQ_OK;
}

void stoq_tree_cut_close(struct stoq_tree_cut *p)
{
    if (p == NULL) {
        return;
    }
    if (p->fd >= 0) {
        enum stoq_status st = stoq_tree_close(p->tree, p->entry, p->fd, NULL);
        (void)st; /* whatever brought us here is told already */
    }
    stoq_buf_release(&p->piece);
    free(p);
}

/* A failure of the file at hand: a lenient cut goes on without it. */
static enum stoq_status forgive(const struct stoq_tree_cut *p, enum stoq_status st)
{
    return p->is_lenient && st != STOQ_NOMEM ? STOQ_OK : st;
}

/* Begin the part of the current entry, if it has one in this half of the stream. */
static enum stoq_status begin_part(struct stoq_tree_cut *p, struct stoq_error *err)
{
    if (p->in_table) {
        p->part_open = true;
        return encode_entry(p, p->entry, err);
    }
    struct stoq_tree_entry e = stoq_tree_at(p->tree, p->entry);
    if (!stoq_tree_is_file(&e)) {
        return STOQ_OK;
    }
    uint64_t ended;
    enum stoq_status st = stoq_runs_add(&p->runs, STOQ_RUN_FILE, e.size, &ended);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "the package would be larger than a package can be");
    }
    st = stoq_tree_open(p->tree, p->entry, &p->fd, err);
    if (st != STOQ_OK) {
        p->fd = -1;
        st = forgive(p, st);
    }
    if (st != STOQ_OK) {
        return st;
    }
    p->run_ends = ended > 0;
    p->part_open = true;
    p->part_at = 0;
    p->part_bytes = e.size;
    return STOQ_OK;
}

/* Go to the next entry; after the last one's piece of the table, to the first one's contents. */
static void next_part(struct stoq_tree_cut *p)
{
    p->part_open = false;
    p->entry++;
    if (p->in_table && p->entry == stoq_tree_count(p->tree)) {
        p->in_table = false;
        p->entry = 0;
    }
}

static enum stoq_status read_file(struct stoq_tree_cut *p, uint8_t *to, size_t n,
                                  struct stoq_error *err)
{
    enum stoq_status st = STOQ_IO;
    if (p->fd >= 0) {
        st = stoq_tree_read(p->tree, p->entry, p->fd, to, n, p->part_at, err);
    }
    if (st != STOQ_OK) {
        memset(to, 0, n);
    }
    return st == STOQ_OK ? st : forgive(p, st);
}

static enum stoq_status close_file(struct stoq_tree_cut *p, struct stoq_error *err)
{
    int fd = p->fd;
    p->fd = -1;
    return fd < 0 ? STOQ_OK : forgive(p, stoq_tree_close(p->tree, p->entry, fd, err));
}

/* Move some of the open part behind what the window holds. */
static enum stoq_status read_part(struct stoq_tree_cut *p, struct stoq_error *err)
{
    size_t room = sizeof p->window - p->end;
    if (p->in_table) {
        size_t left = p->piece.n - p->piece_at;
        size_t n = left < room ? left : room;
        memcpy(p->window + p->end, p->piece.p + p->piece_at, n);
        p->end += n;
        p->piece_at += n;
        if (n == left) {
            next_part(p);
        }
        return STOQ_OK;
    }
    uint64_t left = p->part_bytes - p->part_at;
    size_t n = left < room ? (size_t)left : room;
    enum stoq_status st = read_file(p, p->window + p->end, n, err);
    p->end += n;
    p->part_at += n;
    if (st == STOQ_OK && n == left) {
        st = close_file(p, err);
        next_part(p);
    }
    return st;
}

static bool is_at_end(const struct stoq_tree_cut *p)
{
    return !p->part_open && p->entry == stoq_tree_count(p->tree);
}

/* Look at what was read, up to the run's end. */
static void look(struct stoq_tree_cut *p)
{
    while (!p->run_ends && p->looked < p->end) {
        struct stoq_span rest = stoq_span(p->window + p->looked, p->end - p->looked);
        uint64_t ended;
        p->looked += stoq_runs_take(&p->runs, rest, &ended);
        p->run_ends = ended > 0;
    }
}

/* Make the window hold a longest chunk, or the rest of the run. */
static enum stoq_status fill_window(struct stoq_tree_cut *p, struct stoq_error *err)
{
    look(p);
    if (p->run_ends || p->looked - p->begin >= p->chunker.params.max) {
        return STOQ_OK;
    }
    memmove(p->window, p->window + p->begin, p->end - p->begin);
    p->looked -= p->begin;
    p->end -= p->begin;
    p->begin = 0;
    while (!p->run_ends && p->end < sizeof p->window && !is_at_end(p)) {
        enum stoq_status st = p->part_open ? STOQ_OK : begin_part(p, err);
        if (st == STOQ_OK && p->part_open && !p->run_ends) {
            st = read_part(p, err);
        } else if (st == STOQ_OK && !p->part_open) {
            next_part(p);
        }
        if (st != STOQ_OK) {
            return st;
        }
        look(p);
    }
    return STOQ_OK;
}

enum stoq_status stoq_tree_cut_next(struct stoq_tree_cut *p, struct stoq_span *out,
                                    struct stoq_error *err)
{
    for (;;) {
        if (!p->run_ends && p->looked - p->begin < p->chunker.params.max) {
            enum stoq_status st = fill_window(p, err);
            if (st != STOQ_OK) {
                return st;
            }
        }
        bool last = p->run_ends || (is_at_end(p) && p->looked == p->end);
        struct stoq_span run = stoq_span(p->window + p->begin, p->looked - p->begin);
        size_t n = stoq_chunker_cut(&p->chunker, run, last);
        if (n > 0) {
            *out = stoq_span(run.p, n);
            p->begin += n;
            return STOQ_OK;
        }
        if (!p->run_ends) {
            return STOQ_NOTFOUND;
        }
        p->run_ends = false; /* the next run begins at looked */
    }
}
