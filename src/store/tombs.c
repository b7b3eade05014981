/*
 * A tombstone may be dropped when no segment holds an older record of its key, or else an index made anew
 * from the segments would find that record again. What helps: a tombstone never lies in a lower segment than
 * what it deletes. It is appended after it; records are only moved while they are live, into segments
 * with numbers below the log's (stoq_log_roll), and a tombstone that is moved goes to a number above
 * all of that
 * time. So, with segments being removed in ascending order and each removal durable before the next, what a
 * victim's tombstone deletes is gone with it or before, unless it lies in a segment that stays. Those
 * that stay and hold something dead are read, heads only.
 *
 * A segment whose heads cannot be followed from end to end may hold anything: then every tombstone stays.
 */
#include "store/gc_internal.h"

#include "hash/hash.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS ((size_t)1 << 21) /* 32 MiB */
#define FULL (SLOTS / 4 * 3)    /* further tombstones stay */
#define WINDOW_BYTES 4096
#define SEGMENT_NEEDED 0 /* no segment's number: something that stays is held down */

struct slot {
    uint64_t hash;    /* of the tombstone's key; 0: free */
    uint32_t segment; /* where it lies */
    uint32_t bytes;
};

struct stoq_tombs {
    struct slot *slot;
    size_t count;
    bool all_stay;
};

static uint64_t hash_of(struct stoq_span id)
{
    uint64_t h = stoq_hash_xxh3_64(id);
    return h == 0 ? 1 : h;
}

static struct slot *find(const struct stoq_tombs *t, uint64_t hash)
{
    size_t i = (size_t)hash % SLOTS;
    while (t->slot[i].hash != 0 && t->slot[i].hash != hash) {
        i = (i + 1) % SLOTS;
    }
    return &t->slot[i];
}

/* NULL: no memory. */
static struct stoq_tombs *tombs_new(void)
{
    struct stoq_tombs *t = calloc(1, sizeof *t);
    void *p = mmap(NULL, SLOTS * sizeof *t->slot, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t == NULL || p == MAP_FAILED) {
        free(t);
        if (p != MAP_FAILED) {
            (void)munmap(p, SLOTS * sizeof *t->slot);
        }
        return NULL;
    }
    t->slot = p;
    return t;
}

void stoq_tombs_free(struct stoq_tombs *t)
{
    if (t != NULL) {
        (void)munmap(t->slot, SLOTS * sizeof *t->slot);
        free(t);
    }
}

void stoq_tombs_stay(struct stoq_tombs *t)
{
    t->all_stay = true;
}

bool stoq_tombs_may_go(const struct stoq_tombs *t, struct stoq_span key)
{
    if (t == NULL || t->all_stay) {
        return false;
    }
    const struct slot *s = find(t, hash_of(key));
    return s->hash != 0 && s->segment != SEGMENT_NEEDED;
}

static enum stoq_status gather(struct stoq_gc *g, struct stoq_tombs *t, struct stoq_error *err)
{
    struct stoq_walk w;
    const struct stoq_entry *e = NULL;
    enum stoq_status st =
        stoq_walk_init(&w, g->s->index, STOQ_RECORD_TOMBSTONE, STOQ_RECORD_TOMBSTONE, err);
    while (st == STOQ_OK && t->count < FULL && (st = stoq_walk_next(&w, &e, err)) == STOQ_OK &&
           e != NULL) {
        struct slot *s = find(t, hash_of(stoq_entry_key(e)));
        if (stoq_usage_find(&g->usage, e->segment) == NULL) {
            continue; /* younger than this collection */
        }
        t->count += s->hash == 0;
        bool twice = s->hash != 0; /* two keys of one hash: both stay */
        *s = (struct slot){hash_of(stoq_entry_key(e)), twice ? SEGMENT_NEEDED : e->segment,
                           (uint32_t)stoq_entry_bytes(e)};
    }
    stoq_walk_release(&w);
    return st;
}

static void need(struct stoq_tombs *t, uint8_t type, struct stoq_span key)
{
    uint8_t id[STOQ_RECORD_ID_MAX];
    if (type == STOQ_RECORD_TOMBSTONE || key.n >= sizeof id) {
        return;
    }
    id[0] = type;
    memcpy(id + 1, key.p, key.n);
    struct slot *s = find(t, hash_of(stoq_span(id, 1 + key.n)));
    if (s->hash != 0) {
        s->segment = SEGMENT_NEEDED;
    }
}

/* A reader of heads: a window of the file, moved as needed. */
struct heads {
    int fd;
    uint64_t at; /* of the window */
    size_t n;
    uint8_t window[WINDOW_BYTES];
};

/* The bytes at offset, n of them (less at the file's end). */
static struct stoq_span bytes_at(struct heads *h, uint64_t offset, size_t n)
{
    if (offset < h->at || offset + n > h->at + h->n) {
        size_t got = 0;
        h->at = offset;
        h->n = stoq_file_pread_some(h->fd, h->window, sizeof h->window, offset, &got) == STOQ_OK
                   ? got
                   : 0;
    }
    size_t skip = (size_t)(offset - h->at);
    size_t left = h->n > skip ? h->n - skip : 0;
    return stoq_span(h->window + skip, left < n ? left : n);
}

/* Every record of a segment that stays. False: its heads do not lead to its end. */
static bool follow_heads(struct stoq_gc *g, struct stoq_tombs *t, int fd, uint64_t file_bytes)
{
    struct heads *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return false;
    }
    h->fd = fd;
    uint64_t at = STOQ_SEGMENT_HEADER_BYTES;
    bool good = true;
    while (good && at < file_bytes) {
        struct stoq_record_head head;
        struct stoq_span s = bytes_at(h, at, STOQ_RECORD_HEAD_BYTES + STOQ_RECORD_ID_MAX);
        good = stoq_record_head_decode(s, &head) == STOQ_OK &&
               s.n >= STOQ_RECORD_HEAD_BYTES + (size_t)head.key_len &&
               stoq_pace_take(&g->pace, WINDOW_BYTES / 16);
        if (good) {
            need(t, head.type, stoq_span(s.p + STOQ_RECORD_HEAD_BYTES, head.key_len));
            at += stoq_record_bytes(head.key_len, head.info.stored_len);
        }
    }
    free(h);
    return good && at == file_bytes;
}

static enum stoq_status look_at(struct stoq_gc *g, struct stoq_tombs *t,
                                const struct stoq_segment_use *use, struct stoq_error *err)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, use->number);
    int fd = openat(g->s->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return stoq_fail(err, STOQ_IO, errno, "open segment %s", name);
    }
    if (!follow_heads(g, t, fd, use->file_bytes)) {
        t->all_stay = true;
    }
    (void)close(fd);
    return STOQ_OK;
}

enum stoq_status stoq_tombs_look(struct stoq_gc *g, struct stoq_error *err)
{
    struct stoq_tombs *t = tombs_new();
    if (t == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to look at what is deleted");
    }
    g->tombs = t;
    enum stoq_status st = gather(g, t, err);
    for (size_t i = 0; st == STOQ_OK && t->count > 0 && !t->all_stay && i < g->usage.count; i++) {
        const struct stoq_segment_use *use = &g->usage.segment[i];
        if (!use->is_victim && use->file_bytes > STOQ_SEGMENT_HEADER_BYTES + use->live_bytes) {
            st = look_at(g, t, use, err);
        }
    }
    for (size_t i = 0; st == STOQ_OK && !t->all_stay && i < SLOTS && t->count > 0; i++) {
        if (t->slot[i].hash != 0 && t->slot[i].segment != SEGMENT_NEEDED) {
            stoq_usage_find(&g->usage, t->slot[i].segment)->tomb_bytes += t->slot[i].bytes;
        }
    }
    return st;
}
