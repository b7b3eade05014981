#include "store/damage.h"

#include <stdlib.h>

#define PAGE_ENTRIES 256

void stoq_damage_add(struct stoq_damage *d, uint64_t offset, uint64_t bytes)
{
    if (d->count == STOQ_DAMAGE_STRETCHES_MAX) {
        d->stretch[d->count - 1].to = offset + bytes;
        return;
    }
    d->stretch[d->count++] = (struct stoq_stretch){.from = offset, .to = offset + bytes};
}

static struct stoq_stretch *stretch_of(struct stoq_damage *d, const struct stoq_entry *e)
{
    for (size_t i = 0; e->segment == d->segment && i < d->count; i++) {
        if (e->offset >= d->stretch[i].from && e->offset < d->stretch[i].to) {
            return &d->stretch[i];
        }
    }
    return NULL;
}

/* Everything the walk needs, for one type of record after the other. */
struct walk {
    struct stoq_store *s;
    struct stoq_damage *d;
    struct stoq_entry *page;
    enum stoq_status (*each)(void *user, const struct stoq_entry *e, bool *is_whole,
                             struct stoq_error *err);
    bool (*stop)(void *user);
    void *user;
};

static enum stoq_status walk_type(struct walk *w, uint8_t type, struct stoq_error *err)
{
    struct stoq_entry last = {0};
    size_t n = PAGE_ENTRIES;
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK && n == PAGE_ENTRIES) {
        if (w->stop != NULL && w->stop(w->user)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
        st = stoq_index_page(w->s->index, type, stoq_entry_key(&last), w->page, PAGE_ENTRIES, &n,
                             err);
        for (size_t i = 0; st == STOQ_OK && i < n; i++) {
            struct stoq_stretch *hit = stretch_of(w->d, &w->page[i]);
            if (hit != NULL) {
                bool is_whole = true;
                st = w->each(w->user, &w->page[i], &is_whole, err);
                hit->needed = hit->needed || !is_whole;
            }
        }
        last = n > 0 ? w->page[n - 1] : last;
    }
    return st;
}

enum stoq_status stoq_damage_is_whole(int fd, struct stoq_codec *codec, const struct stoq_entry *e,
                                      bool *whole)
{
    struct stoq_scan scan;
    struct stoq_scan_item item = {.kind = STOQ_SCAN_DAMAGE};
    *whole = false;
    if (fd < 0) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_scan_init(&scan, fd, e->offset, e->sequence, codec);
    uint64_t end = e->offset + stoq_record_bytes(e->key_len, e->info.stored_len);
    if (st == STOQ_OK && end <= scan.file_bytes) {
        scan.file_bytes = end;
        st = stoq_scan_next(&scan, &item);
    }
    const struct stoq_record *rec = &item.rec;
    *whole = st == STOQ_OK && item.kind == STOQ_SCAN_RECORD && rec->type == e->type &&
             rec->sequence == e->sequence &&
             (e->type != STOQ_RECORD_CHUNK ||
              stoq_codec_check(codec, rec->key, rec->info, rec->stored) == STOQ_OK);
    stoq_scan_release(&scan);
    return st == STOQ_IO ? STOQ_OK : st;
}

enum stoq_status stoq_damage_each(struct stoq_store *s, struct stoq_damage *d,
                                  enum stoq_status (*each)(void *user, const struct stoq_entry *e,
                                                           bool *is_whole, struct stoq_error *err),
                                  bool (*stop)(void *user), void *user, struct stoq_error *err)
{
    struct walk w = {.s = s, .d = d, .each = each, .stop = stop, .user = user};
    w.page = calloc(PAGE_ENTRIES, sizeof *w.page);
    if (w.page == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "look for what is damaged");
    }
    enum stoq_status st = STOQ_OK;
    for (uint8_t type = 1; st == STOQ_OK && type < STOQ_RECORD_TYPES; type++) {
        st = walk_type(&w, type, err);
    }
    free(w.page);
    return st;
}
