#include "store/fold.h"

#include "os/file.h"
#include "os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The store's id from the first segment that tells; a fresh one when none does. */
static enum stoq_status learn_id(struct stoq_store *s, const uint32_t *number, size_t count,
                                 struct stoq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        stoq_segment_name(name, number[i]);
        int fd = openat(s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0) {
            return stoq_fail(err, STOQ_IO, errno, "open segment %08x", number[i]);
        }
        uint8_t bytes[STOQ_SEGMENT_HEADER_BYTES];
        struct stoq_segment_header h;
        bool good = stoq_file_pread_all(fd, bytes, sizeof bytes, 0) == STOQ_OK &&
                    stoq_segment_header_decode(stoq_span(bytes, sizeof bytes), &h) == STOQ_OK;
        (void)close(fd);
        if (good) {
            memcpy(s->id, h.store_id, sizeof s->id);
            return STOQ_OK;
        }
    }
    stoq_entropy(s->id, sizeof s->id);
    return STOQ_OK;
}

/* Remove one of our index directories. */
static enum stoq_status remove_index(const struct stoq_store *s, const char *name,
                                     struct stoq_error *err)
{
    int fd = openat(s->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT ? STOQ_OK : stoq_fail(err, STOQ_IO, errno, "open %s", name);
    }
    (void)unlinkat(fd, "data.mdb", 0);
    (void)unlinkat(fd, "lock.mdb", 0);
    (void)close(fd);
    if (unlinkat(s->dir_fd, name, AT_REMOVEDIR) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "remove %s/%s", s->dir, name);
    }
    return STOQ_OK;
}

static enum stoq_status open_index_in(struct stoq_store *s, struct stoq_index **out,
                                      const char *name, enum stoq_index_mode mode,
                                      struct stoq_error *err)
{
    char path[4096];
    if (stoq_file_join(path, sizeof path, s->dir, name) != STOQ_OK) {
        return stoq_fail(err, STOQ_RANGE, 0, "the path %s is too long", s->dir);
    }
    return stoq_index_open(out, path, s->map_bytes, mode, err);
}

/* Grow index.new from all segments. */
static enum stoq_status build(struct stoq_store *s, struct stoq_store_rebuild_report *report,
                              struct stoq_error *err)
{
    uint32_t *number;
    size_t count;
    struct stoq_index *index = NULL;
    struct stoq_fold f = {0};
    enum stoq_status st = stoq_segment_list(s->segments_fd, &number, &count, err);
    if (st == STOQ_OK) {
        st = learn_id(s, number, count, err);
    }
    if (st == STOQ_OK && mkdirat(s->dir_fd, "index.new", 0700) != 0) {
        st = stoq_fail(err, stoq_file_status(errno), errno, "create %s/index.new", s->dir);
    }
    if (st == STOQ_OK) {
        st = open_index_in(s, &index, "index.new", STOQ_INDEX_BUILD, err);
    }
    if (st == STOQ_NOTFOUND && index != NULL) {
        st = stoq_index_start(index, s->id, err);
    }
    if (st == STOQ_OK) {
        st = stoq_fold_init(&f, s, index, false, err);
    }
    if (st == STOQ_OK) {
        st = stoq_fold_all(&f, number, count, (struct stoq_index_mark){0, 0, 1}, err);
    }
#ifndef STOQ_LEFT_OUT_rebuild_sync
    if (st == STOQ_OK) {
        st = stoq_index_sync(index, err);
    }
#endif
    struct stoq_index_meta meta;
    if (st == STOQ_OK && (st = stoq_index_meta(index, &meta, err)) == STOQ_OK) {
        for (size_t i = 0; i < STOQ_RECORD_TYPES; i++) {
            f.report.live += i == STOQ_RECORD_TOMBSTONE ? 0 : meta.type[i].records;
        }
        *report = f.report;
    }
    stoq_fold_release(&f);
    stoq_index_close(index);
    free(number);
    return st;
}

enum stoq_status stoq_recover_rebuild(struct stoq_store *s,
                                      struct stoq_store_rebuild_report *report,
                                      struct stoq_error *err)
{
    stoq_index_close(s->index);
    s->index = NULL;
    struct stoq_store_rebuild_report mine = {0};
    enum stoq_status st = remove_index(s, "index.new", err);
    if (st == STOQ_OK) {
        st = build(s, &mine, err);
    }
    if (st == STOQ_OK) {
        st = remove_index(s, "index", err);
    }
    if (st == STOQ_OK && renameat(s->dir_fd, "index.new", s->dir_fd, "index") != 0) {
        st = stoq_fail(err, STOQ_IO, errno, "rename %s/index.new", s->dir);
    }
    int e = st == STOQ_OK ? stoq_durable_rebuild_dirsync(s->dir_fd) : 0;
    if (e != 0) {
        st = stoq_fail(err, STOQ_IO, e, "sync directory %s", s->dir);
    }
    if (st == STOQ_OK) {
        st = open_index_in(s, &s->index, "index", STOQ_INDEX_WRITE, err);
    }
    if (st == STOQ_OK && report != NULL) {
        *report = mine;
    }
    return st;
}
