#include "store/usage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

enum stoq_status stoq_walk_init(struct stoq_walk *w, struct stoq_index *ix, uint8_t type_first,
                                uint8_t type_last, struct stoq_error *err)
{
    *w = (struct stoq_walk){.ix = ix, .type = type_first, .type_last = type_last};
    w->page = calloc(STOQ_WALK_PAGE, sizeof *w->page);
    return w->page != NULL ? STOQ_OK : stoq_fail(err, STOQ_NOMEM, 0, "walk the index");
}

void stoq_walk_release(struct stoq_walk *w)
{
    free(w->page);
    w->page = NULL;
}

enum stoq_status stoq_walk_next(struct stoq_walk *w, const struct stoq_entry **out,
                                struct stoq_error *err)
{
    *out = NULL;
    while (w->at == w->n && w->type <= w->type_last) {
        if (w->n > 0) {
            w->last = w->page[w->n - 1];
        }
        enum stoq_status st = stoq_index_page(w->ix, w->type, stoq_entry_key(&w->last), w->page,
                                              STOQ_WALK_PAGE, &w->n, err);
        if (st != STOQ_OK) {
            w->n = 0;
            return st;
        }
        w->at = 0;
        if (w->n == 0) {
            w->type++;
            w->last = (struct stoq_entry){0};
        }
    }
    if (w->at < w->n) {
        *out = &w->page[w->at++];
    }
    return STOQ_OK;
}

enum stoq_status stoq_usage_list(struct stoq_usage *u, const struct stoq_store *s,
                                 struct stoq_error *err)
{
    uint32_t *number = NULL;
    size_t count = 0;
    *u = (struct stoq_usage){.count = 0};
    enum stoq_status st = stoq_segment_list(s->segments_fd, &number, &count, err);
    if (st == STOQ_OK) {
        u->segment = calloc(count > 0 ? count : 1, sizeof *u->segment);
        if (u->segment == NULL) {
            count = 0;
            st = stoq_fail(err, STOQ_NOMEM, 0, "list segments");
        }
    }
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        struct stat sb;
        stoq_segment_name(name, number[i]);
        if (fstatat(s->segments_fd, name, &sb, AT_SYMLINK_NOFOLLOW) != 0) {
            st = errno == ENOENT ? STOQ_OK
                                 : stoq_fail(err, STOQ_IO, errno, "look at segment %s", name);
            continue;
        }
        u->segment[u->count++] =
            (struct stoq_segment_use){.number = number[i],
                                      .file_bytes = (uint64_t)sb.st_size,
                                      .changed_at = (uint64_t)sb.st_mtim.tv_sec};
    }
    free(number);
    return st;
}

void stoq_usage_release(struct stoq_usage *u)
{
    free(u->segment);
    *u = (struct stoq_usage){.count = 0};
}

struct stoq_segment_use *stoq_usage_find(const struct stoq_usage *u, uint32_t number)
{
    size_t lo = 0;
    size_t hi = u->count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (u->segment[mid].number < number) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < u->count && u->segment[lo].number == number ? &u->segment[lo] : NULL;
}

enum stoq_status stoq_usage_count(struct stoq_usage *u, struct stoq_store *s,
                                  struct stoq_error *err)
{
    struct stoq_walk w;
    const struct stoq_entry *e = NULL;
    enum stoq_status st = stoq_walk_init(&w, s->index, 1, STOQ_RECORD_TYPES - 1, err);
    while (st == STOQ_OK && (st = stoq_walk_next(&w, &e, err)) == STOQ_OK && e != NULL) {
        struct stoq_segment_use *use = stoq_usage_find(u, e->segment);
        if (use != NULL) {
            use->live_bytes += stoq_entry_bytes(e);
        }
    }
    stoq_walk_release(&w);
    return st;
}

uint64_t stoq_segment_dead(const struct stoq_segment_use *u)
{
    uint64_t kept = STOQ_SEGMENT_HEADER_BYTES + u->live_bytes;
    uint64_t gone = u->going_bytes + u->tomb_bytes;
    kept = kept > gone ? kept - gone : 0;
    return u->file_bytes > kept ? u->file_bytes - kept : 0;
}
