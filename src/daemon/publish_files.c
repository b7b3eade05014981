/*
 * The stream of a publish: the file table, then the files in its order. Where there are threads, small
 * files come from a reader that is ahead (os/tree_ahead.h), so that opening and closing them goes on
 * while their predecessors are cut; large ones are read straight into the ingest.
 */
#include "daemon/beat.h"
#include "daemon/publish_internal.h"

#include "daemon/tree_entry.h"

#include <string.h>

enum stoq_status publish_look_up(struct publish *p, struct stoq_error *err)
{
    if (!stoq_beat(&p->reported_at)) {
        return STOQ_OK;
    }
    if (p->ask->progress != NULL) {
        p->ask->progress(p->ask->user, &p->progress);
    }
    return stoq_go_on(p->ask->cancelled, p->ask->user, err);
}

enum stoq_status publish_entry(struct publish *p, const struct stoq_entry *e,
                               struct stoq_error *err)
{
    stoq_buf_clear(&p->scratch);
    enum stoq_status st = stoq_table_writer_add(&p->table, e, &p->scratch);
    if (st != STOQ_OK) {
        const char *why = stoq_entry_path_fault(e->path);
        return stoq_fail(err, st, 0, "%s",
                         why != NULL ? why : "the tree does not fit a file table");
    }
    p->report->entries++;
    p->report->files += e->kind == STOQ_ENTRY_FILE || e->kind == STOQ_ENTRY_EXECUTABLE;
    if (p->tree == NULL) {
        publish_hash(p, stoq_buf_span(&p->scratch));
    }
    return stoq_ingest_add(p->ingest, stoq_buf_span(&p->scratch), err);
}

/* The table is the stream's first run. */
static enum stoq_status put_table(struct publish *p, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_tree_count(p->tree);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_tree_entry listed = stoq_tree_at(p->tree, i);
        const struct stoq_entry e = stoq_tree_table_entry(&listed);
        st = publish_entry(p, &e, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    p->report->table_bytes = p->table.table_bytes;
    p->progress.bytes_total = p->table.table_bytes + p->table.order.bytes;
    p->progress.bytes_done = p->table.table_bytes;
    uint64_t ended;
    st = stoq_runs_add(&p->runs, STOQ_RUN_TABLE, p->table.table_bytes, &ended);
    if (st != STOQ_OK || p->progress.bytes_total > STOQ_MANIFEST_STREAM_BYTES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "the tree is longer than 2^48 bytes");
    }
    return STOQ_OK;
}

/* n bytes of a file have been read into the ingest: tell it the runs that end among them. */
static enum stoq_status take_bytes(struct publish *p, size_t n, struct stoq_error *err)
{
    stoq_ingest_filled(p->ingest, n);
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK && n > 0) {
        uint64_t ended;
        n -= stoq_runs_take(&p->runs, stoq_ingest_last(p->ingest, n), &ended);
        if (ended > 0) {
            st = stoq_ingest_end_run(p->ingest, n, err);
        }
    }
    return st;
}

static enum stoq_status read_file(struct publish *p, size_t i, uint64_t size, int fd,
                                  struct stoq_error *err)
{
    uint64_t at = 0;
    while (at < size) {
        uint8_t *room;
        size_t n;
        enum stoq_status st = stoq_ingest_room(p->ingest, &room, &n, err);
        if (st != STOQ_OK) {
            return st;
        }
        n = n < p->read_bytes ? n : p->read_bytes;
        n = n < size - at ? n : (size_t)(size - at);
        st = stoq_tree_read(p->tree, i, fd, room, n, at, err);
        if (st != STOQ_OK) {
            return st;
        }
        st = take_bytes(p, n, err);
        if (st != STOQ_OK) {
            return st;
        }
        at += n;
        p->progress.bytes_done += n;
        st = publish_look_up(p, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

/* A file that was read ahead. */
static enum stoq_status copy_file(struct publish *p, size_t i, struct stoq_error *err)
{
    struct stoq_span rest;
    enum stoq_status st = stoq_ahead_take(p->ahead, i, &rest, err);
    if (st != STOQ_OK) {
        return st;
    }
    p->progress.bytes_done += rest.n;
    while (rest.n > 0) {
        uint8_t *room;
        size_t n;
        st = stoq_ingest_room(p->ingest, &room, &n, err);
        if (st != STOQ_OK) {
            return st;
        }
        n = n < rest.n ? n : rest.n;
        memcpy(room, rest.p, n);
        rest = stoq_span(rest.p + n, rest.n - n);
        st = take_bytes(p, n, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return publish_look_up(p, err);
}

/* Any other file. */
static enum stoq_status open_and_read(struct publish *p, size_t i, uint64_t size,
                                      struct stoq_error *err)
{
    int fd;
    enum stoq_status st = stoq_tree_open(p->tree, i, &fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = read_file(p, i, size, fd, err);
    enum stoq_status closed = stoq_tree_close(p->tree, i, fd, st == STOQ_OK ? err : NULL);
    return st == STOQ_OK ? closed : st;
}

static enum stoq_status put_file(struct publish *p, size_t i, uint64_t size, struct stoq_error *err)
{
    uint64_t ended;
    enum stoq_status st = stoq_runs_add(&p->runs, STOQ_RUN_FILE, size, &ended);
    STOQ_ASSERT(st == STOQ_OK); /* the sum was checked with the table */
    if (ended > 0) {
        st = stoq_ingest_end_run(p->ingest, 0, err);
    }
    if (st == STOQ_OK) {
        st = publish_mark(p, i, false, err);
    }
    if (st == STOQ_OK) {
        stoq_ingest_from(p->ingest, i, 0);
        bool is_ahead = p->ahead != NULL && size <= STOQ_AHEAD_FILE_MAX;
        st = is_ahead ? copy_file(p, i, err) : open_and_read(p, i, size, err);
    }
    return st == STOQ_OK ? publish_mark(p, i, true, err) : st;
}

static enum stoq_status put_contents(struct publish *p, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_tree_count(p->tree);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_tree_entry e = stoq_tree_at(p->tree, i);
        if (stoq_tree_is_file(&e)) {
            st = put_file(p, i, e.size, err);
        }
        if (st == STOQ_OK) {
            st = publish_look_up(p, err);
        }
    }
    return st;
}

enum stoq_status publish_files(struct publish *p, struct stoq_error *err)
{
    p->progress.entries = stoq_tree_count(p->tree);
    stoq_ingest_set_sink(p->ingest, (struct stoq_chunk_sink){stoq_shards_add, p->shards});
    enum stoq_status st = put_table(p, err);
    if (st == STOQ_OK) {
        st = put_contents(p, err);
    }
    return st == STOQ_OK ? stoq_ingest_drain(p->ingest, err) : st;
}
