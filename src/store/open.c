/*
 * Opening and closing. A store's directory:
 *
 *     FORMAT      "stoq store 1"; written last when a store is made, so its presence says
 *     "complete" lock        flock; holds the writer's pid
 *     segments/   the log of truth
 *     index/      LMDB
 */
#include "store/store_internal.h"

#include "os/cond.h"
#include "os/file.h"
#include "os/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_BYTES_DEFAULT (256 * STOQ_MIB)
#define SEGMENT_BYTES_MAX (2 * STOQ_GIB - 128 * STOQ_MIB) /* with the longest record: under 2 GiB */
#define MAP_BYTES_DEFAULT (64 * STOQ_GIB)
#define FORMAT_BYTES_MAX 64

static enum stoq_status store_new(struct stoq_store **out, const struct stoq_store_config *cfg,
                                  struct stoq_error *err)
{
    if (cfg->dir == NULL || cfg->zstd_level < -1 || cfg->zstd_level > STOQ_STORE_LEVEL_MAX ||
        (cfg->segment_bytes != 0 &&
         (cfg->segment_bytes < STOQ_SEGMENT_BYTES_MIN || cfg->segment_bytes > SEGMENT_BYTES_MAX))) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "segments have 64 KiB to 1920 MiB, zstd levels are -1 to 19");
    }
    struct stoq_store *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "open store %s", cfg->dir);
    }
    s->dir_fd = -1;
    s->segments_fd = -1;
    s->lock_fd = -1;
    s->read_only = cfg->read_only;
    s->segment_bytes = cfg->segment_bytes == 0 ? SEGMENT_BYTES_DEFAULT : cfg->segment_bytes;
    s->map_bytes = cfg->map_bytes == 0 ? MAP_BYTES_DEFAULT : cfg->map_bytes;
    stoq_quota_init(s, cfg->quota_bytes);
    stoq_behind_init(&s->behind, cfg->passing_bytes);
    s->make_room = cfg->make_room;
    s->make_room_user = cfg->make_room_user;
    s->notice = cfg->notice;
    s->damaged = cfg->damaged;
    s->notice_user = cfg->notice_user;
    stoq_touch_init(&s->touch);
    stoq_use_table_init(&s->uses);
    (void)pthread_mutex_init(&s->log.lock, NULL);
    stoq_cond_init(&s->log.work);
    (void)pthread_cond_init(&s->log.changed, NULL);
    uint64_t seed;
    stoq_entropy(&seed, sizeof seed);
    s->dir = strdup(cfg->dir);
    enum stoq_status st = stoq_pending_init(&s->log.pending, seed);
    if (st == STOQ_OK) {
        st = stoq_codec_new(&s->codec, cfg->zstd_level);
    }
    *out = s;
    if (st != STOQ_OK || s->dir == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "open store %s", cfg->dir);
    }
    return STOQ_OK;
}

/* Everything but the thread and the blocks, which are gone by now. */
static void store_free(struct stoq_store *s)
{
    while (s->log.first != NULL) { /* only after a sync that failed */
        s->log.first->state = STOQ_BLOCK_WRITTEN;
        s->log.written_bytes += s->log.first->n;
        s->log.stopping = true;
        stoq_block_retire_first(s);
    }
    stoq_block_trim(s, 0);
    stoq_segment_file_unref(s->log.active);
    stoq_pending_release(&s->log.pending);
    stoq_index_close(s->index);
    stoq_segment_cache_free(s->cache);
    stoq_codec_free(s->codec);
    const int fds[] = {s->segments_fd, s->dir_fd, s->lock_fd};
    for (size_t i = 0; i < STOQ_COUNT(fds); i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    stoq_touch_release(&s->touch);
    stoq_use_table_release(&s->uses);
    (void)pthread_mutex_destroy(&s->log.lock);
    (void)pthread_cond_destroy(&s->log.work);
    (void)pthread_cond_destroy(&s->log.changed);
    free(s->suspects);
    free(s->dir);
    free(s);
}

/* What dir/FORMAT says. STOQ_OK; STOQ_NOTFOUND: there is no such file; STOQ_VERSION;
 * STOQ_MALFORMED. */
static enum stoq_status check_format(const struct stoq_store *s, struct stoq_error *err)
{
    char path[4096];
    if (stoq_file_join(path, sizeof path, s->dir, "FORMAT") != STOQ_OK) {
        return stoq_fail(err, STOQ_RANGE, 0, "the path %s is too long", s->dir);
    }
    struct stoq_buf text;
    stoq_buf_init(&text, FORMAT_BYTES_MAX);
    enum stoq_status st = stoq_file_read(path, FORMAT_BYTES_MAX, &text, err);
    static const char prefix[] = "stoq store ";
    size_t n = sizeof prefix - 1;
    if (st == STOQ_NOTFOUND) {
        st = stoq_fail(err, st, 0, "there is no store in %s", s->dir);
    } else if (st == STOQ_FULL ||
               (st == STOQ_OK && (text.n <= n || memcmp(text.p, prefix, n) != 0))) {
        st = stoq_fail(err, STOQ_MALFORMED, 0, "%s is not a store's", path);
    } else if (st == STOQ_OK &&
               !stoq_span_eq(stoq_buf_span(&text), stoq_span_str(STOQ_STORE_FORMAT_TEXT))) {
        st = stoq_fail(err, STOQ_VERSION, 0,
                       "the store in %s is of a newer format; this program speaks 1", s->dir);
    }
    stoq_buf_release(&text);
    return st;
}

static enum stoq_status take_lock(struct stoq_store *s, struct stoq_error *err)
{
    char path[4096];
    pid_t holder;
    if (stoq_file_join(path, sizeof path, s->dir, "lock") != STOQ_OK) {
        return stoq_fail(err, STOQ_RANGE, 0, "the path %s is too long", s->dir);
    }
    enum stoq_status st = stoq_file_lock(path, &s->lock_fd, &holder, err);
    if (st == STOQ_BUSY) {
        st = stoq_fail(err, st, 0, "the store in %s is being written by process %ld", s->dir,
                       (long)holder);
    }
    return st;
}

static enum stoq_status open_dirs(struct stoq_store *s, struct stoq_error *err)
{
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open directory %s", s->dir);
    }
    s->segments_fd = openat(s->dir_fd, "segments", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->segments_fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open directory %s/segments", s->dir);
    }
    if (stoq_segment_cache_new(&s->cache, s->segments_fd) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "open store %s", s->dir);
    }
    return STOQ_OK;
}

static enum stoq_status write_format(const char *path, struct stoq_error *err)
{
#ifndef STOQ_LEFT_OUT_format_sync
    return stoq_file_replace(path, stoq_span_str(STOQ_STORE_FORMAT_TEXT), 0644, err);
#else
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    enum stoq_status st =
        fd < 0 ? STOQ_IO : stoq_file_write_all(fd, stoq_span_str(STOQ_STORE_FORMAT_TEXT));
    if (fd >= 0) {
        (void)close(fd);
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, errno, "write %s", path);
#endif
}

/* The directories, then FORMAT: a crash before FORMAT leaves what the next create completes. */
static enum stoq_status create(struct stoq_store *s, struct stoq_error *err)
{
    char path[4096];
    int dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || stoq_file_join(path, sizeof path, s->dir, "FORMAT") != STOQ_OK) {
        return stoq_fail(err, STOQ_IO, errno, "open directory %s", s->dir);
    }
    enum stoq_status st = STOQ_OK;
    static const char *const sub[] = {"segments", "index"};
    for (size_t i = 0; i < STOQ_COUNT(sub) && st == STOQ_OK; i++) {
        if (mkdirat(dir_fd, sub[i], 0700) != 0 && errno != EEXIST) {
            st = stoq_fail(err, stoq_file_status(errno) == STOQ_FULL ? STOQ_FULL : STOQ_IO, errno,
                           "create directory %s/%s", s->dir, sub[i]);
        }
    }
    int e = st == STOQ_OK ? stoq_durable_create_dirsync(dir_fd) : 0;
    (void)close(dir_fd);
    if (e != 0) {
        return stoq_fail(err, STOQ_IO, e, "sync directory %s", s->dir);
    }
    if (st == STOQ_OK) {
        st = write_format(path, err);
    }
    if (st == STOQ_OK) {
        st = stoq_file_sync_parent(s->dir, err);
    }
    return st;
}

/* Does the index speak of what the segments do not have? Then it would promise what is not there.
 * */
static enum stoq_status index_fits(const struct stoq_store *s, const struct stoq_index_meta *meta,
                                   struct stoq_error *err)
{
    if (meta->mark.segment == 0) {
        return STOQ_OK;
    }
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, meta->mark.segment);
    struct stat sb;
    if (fstatat(s->segments_fd, name, &sb, 0) != 0 || (uint64_t)sb.st_size < meta->mark.offset) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "index: it is ahead of segment %08x",
                         meta->mark.segment);
    }
    uint8_t bytes[STOQ_SEGMENT_HEADER_BYTES];
    struct stoq_segment_header h;
    int fd = openat(s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool foreign = fd >= 0 && stoq_file_pread_all(fd, bytes, sizeof bytes, 0) == STOQ_OK &&
                   stoq_segment_header_decode(stoq_span(bytes, sizeof bytes), &h) == STOQ_OK &&
                   memcmp(h.store_id, meta->store_id, sizeof h.store_id) != 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return foreign ? stoq_fail(err, STOQ_MALFORMED, 0, "index: it belongs to another store")
                   : STOQ_OK;
}

static enum stoq_status open_index(struct stoq_store *s, struct stoq_error *err)
{
    char path[4096];
    if (stoq_file_join(path, sizeof path, s->dir, "index") != STOQ_OK) {
        return stoq_fail(err, STOQ_RANGE, 0, "the path %s is too long", s->dir);
    }
    if (!s->read_only && mkdirat(s->dir_fd, "index", 0700) != 0 && errno != EEXIST) {
        return stoq_fail(err, STOQ_IO, errno, "create directory %s", path);
    }
    enum stoq_index_mode mode = s->read_only ? STOQ_INDEX_READ : STOQ_INDEX_WRITE;
    enum stoq_status st = stoq_index_open(&s->index, path, s->map_bytes, mode, err);
    struct stoq_index_meta meta;
    if (st == STOQ_OK) {
        st = stoq_index_meta(s->index, &meta, err);
    }
    if (st == STOQ_OK && !s->read_only) {
        st = index_fits(s, &meta, err);
    }
    if (st == STOQ_OK) {
        memcpy(s->id, meta.store_id, sizeof s->id);
    }
    if (st == STOQ_NOTFOUND && s->read_only) {
        st = stoq_fail(err, STOQ_MALFORMED, 0,
                       "the store in %s has no index yet; open it for writing once", s->dir);
    }
    return st;
}

/* A missing or damaged index costs time, never data. */
static enum stoq_status open_or_rebuild_index(struct stoq_store *s, struct stoq_error *err)
{
    struct stoq_error why = {0};
    enum stoq_status st = open_index(s, &why);
    if (s->read_only || (st != STOQ_NOTFOUND && st != STOQ_MALFORMED)) {
        if (err != NULL && st != STOQ_OK) {
            *err = why;
        }
        return st;
    }
    struct stoq_store_rebuild_report report;
    enum stoq_status why_st = st;
    st = stoq_recover_rebuild(s, &report, err);
    if (st == STOQ_OK && (report.segments > 0 || why_st == STOQ_MALFORMED)) {
        stoq_store_say(s, "rebuilt the index (%s): %llu records in %llu segments, %llu live",
                       why_st == STOQ_MALFORMED ? why.text : "there was none",
                       (unsigned long long)report.records, (unsigned long long)report.segments,
                       (unsigned long long)report.live);
    }
    return st;
}

/* The tail into the index. One that turns out damaged only now, when it is written to, is made anew. */
static enum stoq_status recover(struct stoq_store *s, struct stoq_error *err)
{
    struct stoq_error why = {0};
    struct stoq_store_rebuild_report report;
    enum stoq_status st = stoq_recover_tail(s, &why);
    if (st != STOQ_MALFORMED) {
        if (st != STOQ_OK && err != NULL) {
            *err = why;
        }
        return st;
    }
    st = stoq_recover_rebuild(s, &report, err);
    if (st == STOQ_OK) {
        stoq_store_say(s, "rebuilt the index (%s): %llu records in %llu segments, %llu live",
                       why.text, (unsigned long long)report.records,
                       (unsigned long long)report.segments, (unsigned long long)report.live);
        st = stoq_recover_tail(s, err);
    }
    return st;
}

/* Everything up to an open log, for the writer. */
static enum stoq_status open_to_write(struct stoq_store *s, bool make, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    if (make) {
        st = stoq_file_mkdir_p(s->dir, 0700, err);
    }
    if (st == STOQ_OK) {
        st = check_format(s, err);
    }
    bool absent = st == STOQ_NOTFOUND;
    if (st == STOQ_OK || (absent && make)) {
        st = take_lock(s, err);
    }
    if (st == STOQ_OK && absent) {
        st = check_format(s, err); /* another process may have made it meanwhile */
        st = st == STOQ_NOTFOUND ? create(s, err) : st;
    }
    if (st == STOQ_OK) {
        st = open_dirs(s, err);
    }
    return st;
}

enum stoq_status stoq_store_open(struct stoq_store **out, const struct stoq_store_config *cfg,
                                 struct stoq_error *err)
{
    *out = NULL;
    struct stoq_store *s = NULL;
    enum stoq_status st = store_new(&s, cfg, err);
    if (s == NULL) {
        return st;
    }
    if (st == STOQ_OK && cfg->read_only) {
        st = check_format(s, err);
        if (st == STOQ_OK) {
            st = open_dirs(s, err);
        }
    } else if (st == STOQ_OK) {
        st = open_to_write(s, cfg->create, err);
    }
    if (st == STOQ_OK) {
        st = open_or_rebuild_index(s, err);
    }
    if (st == STOQ_OK && !cfg->read_only) {
        st = recover(s, err);
    }
    if (st == STOQ_OK) {
        st = stoq_quota_count(s, err);
    }
    if (st == STOQ_OK && !cfg->read_only) {
        st = stoq_sync_start(s, err);
    }
    if (st != STOQ_OK) {
        store_free(s);
        return st;
    }
    *out = s;
    return STOQ_OK;
}

enum stoq_status stoq_store_close(struct stoq_store *s, struct stoq_error *err)
{
    if (s == NULL) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_store_sync(s, err);
    stoq_sync_stop(s);
    struct stoq_suspects *suspects = s->suspects;
    char *dir = s->dir;
    const struct stoq_store_config cfg = {
        .dir = dir, .map_bytes = s->map_bytes, .notice = s->notice, .notice_user = s->notice_user};
    s->suspects = NULL;
    s->dir = NULL;
    store_free(s);
    stoq_suspects_mark(&cfg, suspects);
    free(dir);
    return st;
}

enum stoq_status stoq_store_rebuild(const struct stoq_store_config *cfg,
                                    struct stoq_store_rebuild_report *report,
                                    struct stoq_error *err)
{
    struct stoq_store *s = NULL;
    enum stoq_status st = store_new(&s, cfg, err);
    if (s == NULL) {
        return st;
    }
    if (st == STOQ_OK) {
        s->read_only = false;
        st = open_to_write(s, false, err);
    }
    if (st == STOQ_OK) {
        st = stoq_recover_rebuild(s, report, err);
    }
    store_free(s);
    return st;
}
