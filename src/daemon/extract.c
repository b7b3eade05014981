/*
 * Two readers over one stream: the table's entries drive, a second cursor follows through the
 * contents, which lie in the same order. Directories and files are made as their entries come (a
 * parent always comes first); links wait for a second pass over the table, so that while files are
 * written there is no link in the tree that could lead anywhere.
 */
#include "daemon/extract.h"
#include "daemon/beat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/held.h"
#include "daemon/live.h"
#include "os/file.h"
#include "os/show.h"
#include "os/sys.h"
#include "os/tree_write.h"

struct extract {
    const struct stoq_extract_ask *ask;
    struct stoq_extract_report *report;
    struct stoq_held *held;
    struct stoq_cursor *contents;
    struct stoq_tree_writer *writer;
    struct stoq_extract_progress progress;
    stoq_ns reported_at;
};

static enum stoq_status look_up(struct extract *x, struct stoq_error *err)
{
    if (!stoq_beat(&x->reported_at)) {
        return STOQ_OK;
    }
    if (x->ask->progress != NULL) {
        x->ask->progress(x->ask->user, &x->progress);
    }
    return stoq_go_on(x->ask->cancelled, x->ask->user, err);
}

/* Copy the file's bytes, which the contents cursor stands at. */
static enum stoq_status fill_file(struct extract *x, const struct stoq_entry *e, int fd,
                                  struct stoq_error *err)
{
    uint64_t left = e->size;
    while (left > 0) {
        struct stoq_span bytes;
        size_t n_max = left < SIZE_MAX ? (size_t)left : SIZE_MAX;
        enum stoq_status st = stoq_cursor_next(x->contents, n_max, &bytes, err);
        if (st != STOQ_OK) {
            return st;
        }
        st = stoq_file_write_all(fd, bytes);
        if (st != STOQ_OK) {
            char text[STOQ_SHOW_BYTES];
            return stoq_fail(err, st, errno, "%s: cannot be written",
                             stoq_show_path(text, e->path));
        }
        left -= bytes.n;
        x->progress.bytes_done += bytes.n;
        st = look_up(x, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

static enum stoq_status put_file(struct extract *x, const struct stoq_entry *e,
                                 struct stoq_error *err)
{
    int fd;
    bool executable = e->kind == STOQ_ENTRY_EXECUTABLE;
    enum stoq_status st = stoq_tree_writer_file(x->writer, e->path, executable, &fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = fill_file(x, e, fd, err);
    if (close(fd) != 0 && st == STOQ_OK) {
        char text[STOQ_SHOW_BYTES];
        st = stoq_fail(err, stoq_file_status(errno), errno, "%s: cannot be written",
                       stoq_show_path(text, e->path));
    }
    return st;
}

static enum stoq_status first_pass(void *user, const struct stoq_entry *e, uint64_t offset,
                                   struct stoq_error *err)
{
    struct extract *x = user;
    enum stoq_status st = STOQ_OK;
    switch (e->kind) {
    case STOQ_ENTRY_FILE:
    case STOQ_ENTRY_EXECUTABLE:
        STOQ_ASSERT(stoq_cursor_offset(x->contents) == offset);
        st = put_file(x, e, err);
        x->report->files++;
        x->report->bytes += e->size;
        break;
    case STOQ_ENTRY_DIRECTORY:
        st = stoq_tree_writer_directory(x->writer, e->path, err);
        x->report->directories++;
        break;
    case STOQ_ENTRY_LINK:
        x->report->links++;
        break;
    }
    x->progress.entries_done++;
    return st == STOQ_OK ? look_up(x, err) : st;
}

static enum stoq_status second_pass(void *user, const struct stoq_entry *e, uint64_t offset,
                                    struct stoq_error *err)
{
    struct extract *x = user;
    (void)offset;
    if (e->kind != STOQ_ENTRY_LINK) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_tree_writer_link(x->writer, e->path, e->target, err);
    return st == STOQ_OK ? look_up(x, err) : st;
}

static enum stoq_status write_tree(struct extract *x, struct stoq_error *err)
{
    const struct stoq_manifest *m = stoq_held_manifest(x->held);
    x->progress.bytes_total = m->bytes - m->table_bytes;
    x->progress.entries_total = m->entries;
    enum stoq_status st = stoq_cursor_new(&x->contents, stoq_held_stream(x->held));
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to extract");
    }
    st = stoq_cursor_seek(x->contents, m->table_bytes);
    STOQ_ASSERT(st == STOQ_OK);
    st = stoq_held_each_entry(x->held, first_pass, x, err);
    if (st == STOQ_OK && x->report->links > 0) {
        st = stoq_held_each_entry(x->held, second_pass, x, err);
    }
    return st == STOQ_OK ? stoq_tree_writer_commit(x->writer, !x->ask->no_sync, err) : st;
}

enum stoq_status stoq_extract(struct stoq_store *store, const struct stoq_extract_ask *ask,
                              struct stoq_extract_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct extract x = {.ask = ask, .report = report};
    memset(report, 0, sizeof *report);
    enum stoq_status st = stoq_held_open(&x.held, store, &ask->id, err);
    if (st == STOQ_OK) {
        st = stoq_tree_writer_new(&x.writer, ask->out, err);
    }
    if (st == STOQ_OK) {
        st = write_tree(&x, err);
    }
    stoq_tree_writer_free(x.writer);
    stoq_cursor_free(x.contents);
    stoq_held_close(x.held);
    report->elapsed_ns = stoq_now() - began;
    return st;
}

/* Digits to a number; false: none, others, or too large. */
static bool take_number(const char **text, uint64_t *out)
{
    const char *p = *text;
    uint64_t v = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (v > (UINT64_MAX - 9) / 10) {
            return false;
        }
        v = v * 10 + (uint64_t)(*p - '0');
    }
    bool any = p != *text;
    *text = p;
    *out = v;
    return any;
}

enum stoq_status stoq_byte_range_parse(struct stoq_byte_range *out, const char *text,
                                       struct stoq_error *err)
{
    const char *p = text;
    struct stoq_byte_range r = {.is_suffix = *p == '-', .last = UINT64_MAX};
    bool ok = r.is_suffix || take_number(&p, &r.first);
    ok = ok && *p++ == '-';
    if (ok && (r.is_suffix || *p != 0)) {
        ok = take_number(&p, &r.last);
    }
    if (!ok || *p != 0 || (!r.is_suffix && r.last < r.first) || (r.is_suffix && r.last == 0)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "'%.60s' is no range of bytes: A-B, A- or -N, counted from 0", text);
    }
    *out = r;
    return STOQ_OK;
}

enum stoq_status stoq_byte_range_apply(const struct stoq_byte_range *range, uint64_t size,
                                       const char *what, uint64_t *skip, uint64_t *n,
                                       struct stoq_error *err)
{
    uint64_t first = range->first;
    if (range->is_suffix) {
        first = range->last < size ? size - range->last : 0;
    } else if (first >= size) {
        return stoq_fail(err, STOQ_RANGE, 0, "%s has %llu bytes: no byte %llu", what,
                         (unsigned long long)size, (unsigned long long)first);
    }
    uint64_t end = range->is_suffix || range->last >= size ? size : range->last + 1;
    *skip = first;
    *n = end - first;
    return STOQ_OK;
}

struct cat {
    struct stoq_held *held;
    struct stoq_span path;
    const struct stoq_byte_range *range; /* NULL: all of it */
    enum stoq_status (*sink)(void *user, struct stoq_span bytes);
    void *user;
    bool found;
    enum stoq_status sent; /* of a link's target */
    uint64_t offset;       /* of a found file */
    uint64_t size;
};

/* Ends the walk without being an error: the entry has been found. */
#define WALK_DONE STOQ_EXISTS

/* Keep of offset and size what the range asks for. WALK_DONE or STOQ_RANGE. */
static enum stoq_status take_range(struct cat *cat, struct stoq_error *err)
{
    uint64_t skip = 0;
    if (cat->range == NULL) {
        return WALK_DONE;
    }
    enum stoq_status st =
        stoq_byte_range_apply(cat->range, cat->size, "the file", &skip, &cat->size, err);
    if (st != STOQ_OK) {
        return st;
    }
    cat->offset += skip;
    return WALK_DONE;
}

static enum stoq_status find_entry(void *user, const struct stoq_entry *e, uint64_t offset,
                                   struct stoq_error *err)
{
    struct cat *cat = user;
    int c = stoq_span_cmp(e->path, cat->path);
    if (c < 0) {
        return STOQ_OK;
    }
    if (c > 0) {
        return WALK_DONE;
    }
    if (e->kind == STOQ_ENTRY_DIRECTORY) {
        char text[STOQ_SHOW_BYTES];
        return stoq_fail(err, STOQ_RANGE, 0, "%s is a directory", stoq_show_path(text, cat->path));
    }
    cat->found = true;
    if (e->kind != STOQ_ENTRY_LINK) {
        cat->offset = offset;
        cat->size = e->size;
        return take_range(cat, err);
    }
    cat->size = e->target.n;
    enum stoq_status st = take_range(cat, err);
    if (st == WALK_DONE) {
        cat->sent = cat->sink(cat->user, stoq_span(e->target.p + cat->offset, (size_t)cat->size));
        cat->size = 0;
    }
    return st;
}

static enum stoq_status send_file(const struct cat *cat, struct stoq_error *err)
{
    struct stoq_cursor *c;
    enum stoq_status st = stoq_cursor_new(&c, stoq_held_stream(cat->held));
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to read");
    }
    uint64_t left = cat->size;
    st = cat->sent == STOQ_OK ? stoq_cursor_seek(c, cat->offset) : cat->sent;
    while (st == STOQ_OK && left > 0) {
        struct stoq_span bytes;
        st = stoq_cursor_next(c, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &bytes, err);
        if (st == STOQ_OK) {
            left -= bytes.n;
            st = cat->sink(cat->user, bytes);
        }
    }
    stoq_cursor_free(c);
    return st;
}

enum stoq_status stoq_cat_held(struct stoq_held *held, struct stoq_live *live,
                               struct stoq_span path, const struct stoq_byte_range *range,
                               enum stoq_status (*sink)(void *user, struct stoq_span bytes),
                               void *user, struct stoq_error *err)
{
    struct cat cat = {.held = held, .path = path, .range = range, .sink = sink, .user = user};
    if (live != NULL) {
        stoq_live_expect(live, stoq_held_manifest(held)->table_bytes);
    }
    enum stoq_status st = stoq_held_each_entry(held, find_entry, &cat, err);
    if (st != WALK_DONE && st != STOQ_OK) {
        return st;
    }
    if (!cat.found) {
        char text[STOQ_SHOW_BYTES];
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "the package has no %s",
                              stoq_show_path(text, path));
    }
    if (live != NULL) {
        stoq_live_expect(live, cat.offset + cat.size);
    }
    return send_file(&cat, err);
}

enum stoq_status stoq_cat(struct stoq_store *store, const struct stoq_package_id *id,
                          struct stoq_span path, const struct stoq_byte_range *range,
                          enum stoq_status (*sink)(void *user, struct stoq_span bytes), void *user,
                          struct stoq_error *err)
{
    struct stoq_held *held;
    enum stoq_status st = stoq_held_open(&held, store, id, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_cat_held(held, NULL, path, range, sink, user, err);
    stoq_held_close(held);
    return st;
}
