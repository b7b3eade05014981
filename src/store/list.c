#include "store/store_internal.h"

#include "os/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE_ENTRIES 64

static bool begins_with(struct stoq_span key, struct stoq_span prefix)
{
    return key.n > prefix.n && (prefix.n == 0 || memcmp(key.p, prefix.p, prefix.n) == 0);
}

/* What the index has of a type, in the order of its keys from the one after last, until each says false. */
static enum stoq_status walk(struct stoq_store *s, enum stoq_record_type type,
                             struct stoq_entry last,
                             bool (*each)(void *user, const struct stoq_entry *e), void *user,
                             struct stoq_error *err)
{
    struct stoq_entry *page = calloc(PAGE_ENTRIES, sizeof *page);
    if (page == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "list %ss", stoq_record_type_str((uint8_t)type));
    }
    enum stoq_status st = STOQ_OK;
    bool go_on = true;
    while (go_on && st == STOQ_OK) {
        size_t n;
        st = stoq_index_page(s->index, (uint8_t)type, stoq_entry_key(&last), page, PAGE_ENTRIES, &n,
                             err);
        for (size_t i = 0; st == STOQ_OK && go_on && i < n; i++) {
            go_on = each(user, &page[i]);
            last = page[i];
        }
        go_on = go_on && st == STOQ_OK && n == PAGE_ENTRIES;
    }
    free(page);
    return st;
}

/* Whose records are wanted, and who wants them. */
struct under {
    struct stoq_span prefix;
    bool (*each)(void *user, struct stoq_span key, struct stoq_stored info);
    void *user;
};

static bool tell_under(void *user, const struct stoq_entry *e)
{
    struct under *u = user;
    return begins_with(stoq_entry_key(e), u->prefix) &&
           (e->quarantined || u->each(u->user, stoq_entry_key(e), e->info));
}

enum stoq_status stoq_store_each_under(struct stoq_store *s, enum stoq_record_type type,
                                       struct stoq_span prefix,
                                       bool (*each)(void *user, struct stoq_span key,
                                                    struct stoq_stored info),
                                       void *user, struct stoq_error *err)
{
    struct under u = {prefix, each, user};
    struct stoq_entry last = {0};
    if (prefix.n > sizeof last.key) {
        return stoq_fail(err, STOQ_RANGE, 0, "no key begins with %zu bytes", prefix.n);
    }
    /* A full disk keeps new records from the index; the old ones are listed all the same. */
    struct stoq_error ignored;
    bool synced = stoq_store_sync(s, &ignored) == STOQ_OK;
    (void)synced;
    last.key_len = (uint8_t)prefix.n;
    if (prefix.n > 0) {
        memcpy(last.key, prefix.p, prefix.n);
    }
    return walk(s, type, last, tell_under, &u, err);
}

enum stoq_status stoq_store_each(struct stoq_store *s, enum stoq_record_type type,
                                 bool (*each)(void *user, struct stoq_span key,
                                              struct stoq_stored info),
                                 void *user, struct stoq_error *err)
{
    return stoq_store_each_under(s, type, stoq_span(NULL, 0), each, user, err);
}

struct lost {
    bool (*each)(void *user, struct stoq_span key);
    void *user;
};

static bool tell_lost(void *user, const struct stoq_entry *e)
{
    struct lost *l = user;
    return !e->quarantined || l->each(l->user, stoq_entry_key(e));
}

enum stoq_status stoq_store_each_lost(struct stoq_store *s, enum stoq_record_type type,
                                      bool (*each)(void *user, struct stoq_span key), void *user,
                                      struct stoq_error *err)
{
    struct lost l = {each, user};
    return walk(s, type, (struct stoq_entry){0}, tell_lost, &l, err);
}

static bool count_lost(void *user, struct stoq_span key)
{
    uint64_t *count = user;
    (void)key;
    (*count)++;
    return true;
}

enum stoq_status stoq_store_count_quarantined(struct stoq_store *s, enum stoq_record_type type,
                                              uint64_t *count, struct stoq_error *err)
{
    *count = 0;
    return stoq_store_each_lost(s, type, count_lost, count, err);
}

static enum stoq_status count_segments(const struct stoq_store *s, struct stoq_store_stats *out,
                                       struct stoq_error *err)
{
    uint32_t *number;
    size_t count;
    enum stoq_status st = stoq_segment_list(s->segments_fd, &number, &count, err);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        stoq_segment_name(name, number[i]);
        struct stat sb;
        if (fstatat(s->segments_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0) {
            out->segment_bytes += (uint64_t)sb.st_size;
            out->segment_count++;
        }
    }
    free(number);
    return st;
}

enum stoq_status stoq_store_stats(struct stoq_store *s, struct stoq_store_stats *out,
                                  struct stoq_error *err)
{
    (void)pthread_mutex_lock(&s->log.lock);
    *out = s->stats;
    (void)pthread_mutex_unlock(&s->log.lock);
    out->compressions = stoq_codec_compressions(s->codec);
    struct stoq_index_meta meta;
    enum stoq_status st = stoq_index_meta(s->index, &meta, err);
    if (st == STOQ_OK) {
        memcpy(out->type, meta.type, sizeof out->type);
        st = count_segments(s, out, err);
    }
    struct stat sb;
    if (st == STOQ_OK && fstatat(s->dir_fd, "index/data.mdb", &sb, 0) == 0) {
        out->index_bytes = (uint64_t)sb.st_blocks * 512;
    }
    return st;
}
