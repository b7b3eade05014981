#include "daemon/alias.h"

#include <stdlib.h>

#include "daemon/held.h"
#include "daemon/local.h"

/* Paths of the files seen, joined; where each ends is beside them. 2^24 files of 256 bytes. */
#define PATHS_BYTES_MAX ((size_t)4 << 30)

struct making {
    struct stoq_aliases *aliases;
    struct stoq_held *held;
    struct stoq_cursor *contents;
    struct stoq_buf paths;
    struct stoq_buf ends; /* u64 each */
    bool (*cancelled)(void *user);
    void *user;
};

static uint64_t end_of(const struct making *m, uint64_t i)
{
    return stoq_le64(m->ends.p + 8 * i);
}

static struct stoq_span path_of(void *user, uint32_t index)
{
    const struct making *m = user;
    uint64_t from = index == 0 ? 0 : end_of(m, index - 1);
    return stoq_span(m->paths.p + from, (size_t)(end_of(m, index) - from));
}

static enum stoq_status keep_path(struct making *m, struct stoq_span path, uint32_t *index,
                                  struct stoq_error *err)
{
    uint8_t end[8];
    *index = (uint32_t)(m->ends.n / 8);
    enum stoq_status st = stoq_buf_add(&m->paths, path);
    stoq_le64_put(end, m->paths.n);
    if (st == STOQ_OK) {
        st = stoq_buf_add(&m->ends, stoq_span(end, sizeof end));
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "the files are too many for aliases");
}

static enum stoq_status take_entry(void *user, const struct stoq_entry *e, uint64_t offset,
                                   struct stoq_error *err)
{
    struct making *m = user;
    uint32_t index;
    if (e->kind != STOQ_ENTRY_FILE && e->kind != STOQ_ENTRY_EXECUTABLE) {
        return STOQ_OK;
    }
    if (m->cancelled != NULL && m->cancelled(m->user)) {
        return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
    }
    enum stoq_status st = keep_path(m, e->path, &index, err);
    if (st == STOQ_OK) {
        st = stoq_aliases_begin(m->aliases, err);
    }
    uint64_t left = e->size;
    while (st == STOQ_OK && left > 0) {
        struct stoq_span bytes;
        st = stoq_cursor_next(m->contents, left < SIZE_MAX ? (size_t)left : SIZE_MAX, &bytes, err);
        if (st == STOQ_OK) {
            stoq_aliases_update(m->aliases, bytes);
            left -= bytes.n;
        }
    }
    return st == STOQ_OK ? stoq_aliases_end(m->aliases, index, err) : st;
}

static enum stoq_status read_files(struct making *m, struct stoq_error *err)
{
    enum stoq_status st = stoq_cursor_new(&m->contents, stoq_held_stream(m->held));
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to read");
    }
    st = stoq_cursor_seek(m->contents, stoq_held_manifest(m->held)->table_bytes);
    STOQ_ASSERT(st == STOQ_OK);
    return stoq_held_each_entry(m->held, take_entry, m, err);
}

enum stoq_status stoq_aliases_make(struct stoq_store *store, const struct stoq_alias_make_ask *ask,
                                   uint64_t *records, struct stoq_error *err)
{
    struct making m = {.cancelled = ask->cancelled, .user = ask->user};
    if (!stoq_local_has(store, &ask->id)) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                              "no such package here, or it is not complete");
    }
    stoq_buf_init(&m.paths, PATHS_BYTES_MAX);
    stoq_buf_init(&m.ends, PATHS_BYTES_MAX);
    enum stoq_status st = stoq_aliases_new(&m.aliases, ask->algs, ask->alg_count, err);
    if (st == STOQ_OK) {
        st = stoq_held_open(&m.held, store, &ask->id, err);
    }
    if (st == STOQ_OK) {
        st = read_files(&m, err);
    }
    if (st == STOQ_OK) {
        st = stoq_aliases_put(m.aliases, store, &ask->id, path_of, &m, records, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_sync(store, err);
    }
    stoq_cursor_free(m.contents);
    stoq_held_close(m.held);
    stoq_aliases_free(m.aliases);
    stoq_buf_release(&m.paths);
    stoq_buf_release(&m.ends);
    return st;
}
