/*
 * The model of the file system is the weakest that POSIX allows: fsync and fdatasync of a file cover
 * its bytes and its size but not its name, fsync of a folder covers the names in it, a rename
 * happens whole or not at all, and everything else reaches the disk in any order or never. A write
 * that did not arrive may still have made the file longer: then zeros are there.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"

#define SECTOR 512
#define ENTRIES_MAX 128

struct file {
    uint8_t *p;
    size_t n;
    size_t cap;
};

struct entry {
    uint32_t parent;
    uint32_t inode;
    char name[CRASH_NAME_MAX];
};

struct disk {
    const struct crash_log *log;
    struct file file[CRASH_INODES_MAX];
    struct entry entry[ENTRIES_MAX];
    size_t entry_count;
    bool bad;
};

enum how { HOW_DROP, HOW_WHOLE, HOW_TORN, HOW_SECTORS, HOW_SIZE };

static void file_size(struct disk *d, uint32_t inode, size_t n)
{
    struct file *f = &d->file[inode];
    if (n > f->cap) {
        size_t cap = n + n / 2 + 4096;
        uint8_t *p = realloc(f->p, cap);
        if (p == NULL) {
            d->bad = true;
            return;
        }
        f->p = p;
        f->cap = cap;
    }
    if (n > f->n) {
        memset(f->p + f->n, 0, n - f->n);
    }
    f->n = n;
}

static void file_grow(struct disk *d, uint32_t inode, size_t n)
{
    if (n > d->file[inode].n) {
        file_size(d, inode, n);
    }
}

/* n bytes of a write, from its byte `at` on, into a file that is long enough. */
static void put_bytes(struct disk *d, const struct crash_op *op, size_t at, size_t n)
{
    uint8_t *p = d->file[op->inode].p;
    if (!d->bad && p != NULL) { /* NULL: it is empty */
        memcpy(p + op->offset + at, d->log->data + op->data + at, n);
    }
}

static void do_write(struct disk *d, const struct crash_op *op, enum how how, struct stoq_prng *r)
{
    size_t end = (size_t)(op->offset + op->n);
    size_t first = (SECTOR - (size_t)op->offset % SECTOR) % SECTOR; /* up to a sector's edge */
    if (how == HOW_TORN) {
        size_t sectors = op->n > first ? (size_t)(op->n - first) / SECTOR : 0;
        size_t n = first + SECTOR * (size_t)stoq_prng_below(r, sectors + 1);
        n = n < op->n ? n : (size_t)op->n;
        file_grow(d, op->inode, (size_t)op->offset + n);
        put_bytes(d, op, 0, n);
        return;
    }
    file_grow(d, op->inode, end);
    for (size_t at = 0; how != HOW_SIZE && at < op->n;) {
        size_t n = at == 0 && first > 0 ? first : SECTOR;
        n = n < op->n - at ? n : (size_t)op->n - at;
        if (how == HOW_WHOLE || stoq_prng_below(r, 2) == 0) {
            put_bytes(d, op, at, n);
        }
        at += n;
    }
}

static struct entry *entry_find(struct disk *d, uint32_t parent, const char *name)
{
    for (size_t i = 0; i < d->entry_count; i++) {
        if (d->entry[i].parent == parent && strcmp(d->entry[i].name, name) == 0) {
            return &d->entry[i];
        }
    }
    return NULL;
}

static void entry_set(struct disk *d, uint32_t parent, const char *name, uint32_t inode)
{
    struct entry *e = entry_find(d, parent, name);
    if (e == NULL && d->entry_count == ENTRIES_MAX) {
        d->bad = true;
        return;
    }
    if (e == NULL) {
        e = &d->entry[d->entry_count++];
        e->parent = parent;
        (void)snprintf(e->name, sizeof e->name, "%s", name);
    }
    e->inode = inode;
}

static void entry_remove(struct disk *d, uint32_t parent, const char *name)
{
    struct entry *e = entry_find(d, parent, name);
    if (e != NULL) {
        *e = d->entry[--d->entry_count];
    }
}

/* The inode that was under the name when the operation ran: its creation may not have arrived. */
static uint32_t renamed_inode(const struct crash_log *log, const struct crash_op *op)
{
    for (const struct crash_op *o = op; o > log->op;) {
        o--;
        if ((o->kind == CRASH_CREATE || o->kind == CRASH_MKDIR) && o->parent == op->parent &&
            strcmp(o->name, op->name) == 0) {
            return o->inode;
        }
    }
    return 0;
}

static void apply(struct disk *d, const struct crash_op *op, enum how how, struct stoq_prng *r)
{
    if (how == HOW_DROP) {
        return;
    }
    switch (op->kind) {
    case CRASH_CREATE:
    case CRASH_MKDIR:
        entry_set(d, op->parent, op->name, op->inode);
        break;
    case CRASH_UNLINK:
        entry_remove(d, op->parent, op->name);
        break;
    case CRASH_RENAME:
        entry_remove(d, op->parent, op->name);
        entry_set(d, op->parent2, op->name2, renamed_inode(d->log, op));
        break;
    case CRASH_WRITE:
        do_write(d, op, how, r);
        break;
    case CRASH_TRUNCATE:
        file_size(d, op->inode, (size_t)op->n);
        break;
    default:
        break;
    }
}

/* The node whose sync makes the operation durable. */
static uint32_t covered_by(const struct crash_op *op)
{
    return op->kind == CRASH_WRITE || op->kind == CRASH_TRUNCATE ? op->inode : op->parent;
}

static bool changes_files(const struct crash_op *op)
{
    return op->kind <= CRASH_TRUNCATE;
}

/* open_op[] lists the operations before prefix that no sync covers; their count. */
static size_t list_open(const struct crash_log *log, uint32_t prefix, uint32_t *open_op)
{
    bool covered[CRASH_INODES_MAX] = {false}; /* by a later sync, with no failed one before it */
    size_t n = 0;
    for (uint32_t i = prefix; i > log->base_count; i--) {
        const struct crash_op *op = &log->op[i - 1];
        bool returned = op->durable && i < prefix;
        if (op->kind == CRASH_SYNC || op->kind == CRASH_LOST) {
            covered[op->inode] = op->kind == CRASH_SYNC;
        } else if (changes_files(op) && !returned && !covered[covered_by(op)]) {
            open_op[n++] = i - 1;
        }
    }
    for (size_t i = 0; i < n / 2; i++) {
        uint32_t swap = open_op[i];
        open_op[i] = open_op[n - 1 - i];
        open_op[n - 1 - i] = swap;
    }
    return n;
}

/* How one state treats what no sync covers. */
struct plan {
    uint32_t variant;
    size_t n;        /* open operations */
    size_t one;      /* the one that lacks, or is there alone */
    uint64_t drop_8; /* in a random subset, so many of 8 are dropped */
    struct stoq_prng r;
};

/* The one moves on from prefix to prefix too: neighbours have much the same open operations. */
static struct plan plan(uint32_t prefix, uint32_t variant, uint64_t seed, size_t n)
{
    struct plan p = {.variant = variant, .n = n};
    p.r = stoq_prng(seed ^ ((uint64_t)prefix << 32) ^ variant);
    p.one = n == 0 || variant < 4 ? 0 : (prefix + (variant - 4) / 3 * 5 + (size_t)seed) % n;
    p.drop_8 = 1 + stoq_prng_below(&p.r, 7);
    return p;
}

/* What becomes of open operation number i. */
static enum how choose(struct plan *p, const struct crash_op *op, size_t i)
{
    bool writes = op->kind == CRASH_WRITE;
    bool one = p->one == i;
    switch (p->variant < 4 ? p->variant : 4 + (p->variant - 4) % 3) {
    case 0:
        return HOW_DROP;
    case 1:
        return HOW_WHOLE;
    case 2:
        return i + 1 == p->n && writes ? HOW_TORN : HOW_WHOLE;
    case 3:
        return writes ? HOW_SIZE : HOW_WHOLE;
    case 4:
        return one ? HOW_DROP : HOW_WHOLE;
    case 5:
        return one ? HOW_WHOLE : HOW_DROP;
    default:
        break;
    }
    if (stoq_prng_below(&p->r, 8) < p->drop_8) {
        return HOW_DROP;
    }
    static const enum how any[] = {HOW_WHOLE, HOW_WHOLE, HOW_TORN, HOW_SECTORS, HOW_SIZE};
    return writes ? any[stoq_prng_below(&p->r, sizeof any / sizeof any[0])] : HOW_WHOLE;
}

static bool put_file(const struct file *f, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool good = f->n == 0 || write(fd, f->p, f->n) == (ssize_t)f->n;
    return close(fd) == 0 && good;
}

/* The folder `inode`, level by level; a store has three, and no more than five are gone into. */
/* NOLINTNEXTLINE(misc-no-recursion) */
static bool put_folder(const struct disk *d, uint32_t inode, const char *dir, int level)
{
    for (size_t i = 0; i < d->entry_count; i++) {
        const struct entry *e = &d->entry[i];
        char path[512];
        if (e->parent != inode || level > 4) {
            continue;
        }
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->name);
        if (d->log->inode[e->inode].is_dir) {
            if (mkdir(path, 0700) != 0 || !put_folder(d, e->inode, path, level + 1)) {
                return false;
            }
        } else if (!put_file(&d->file[e->inode], path)) {
            return false;
        }
    }
    return true;
}

bool crash_state_make(const struct crash_log *log, uint32_t prefix, uint32_t variant, uint64_t seed,
                      const char *dir)
{
    struct disk *d = calloc(1, sizeof *d);
    uint32_t *open_op = calloc(CRASH_OPS_MAX, sizeof *open_op);
    if (d == NULL || open_op == NULL) {
        free(d);
        free(open_op);
        return false;
    }
    d->log = log;
    size_t n = list_open(log, prefix, open_op);
    struct plan p = plan(prefix, variant, seed, n);
    size_t at = 0;
    for (uint32_t i = 0; i < prefix; i++) {
        enum how how = HOW_WHOLE;
        if (at < n && open_op[at] == i) {
            how = choose(&p, &log->op[i], at);
            at++;
        }
        apply(d, &log->op[i], how, &p.r);
    }
    bool good = !d->bad && put_folder(d, 0, dir, 0);
    for (size_t i = 0; i < CRASH_INODES_MAX; i++) {
        free(d->file[i].p);
    }
    free(d);
    free(open_op);
    return good;
}

void crash_state_expect(const struct crash_log *log, uint32_t prefix,
                        enum crash_expect out[CRASH_KEYS])
{
    enum crash_expect wanted[CRASH_KEYS] = {CRASH_ANY};
    memset(out, 0, CRASH_KEYS * sizeof *out);
    for (uint32_t i = 0; i < prefix; i++) {
        const struct crash_op *op = &log->op[i];
        if (op->kind == CRASH_TOUCH) {
            wanted[op->key] = op->deleted ? CRASH_ABSENT : CRASH_PRESENT;
            out[op->key] = out[op->key] == wanted[op->key] ? out[op->key] : CRASH_ANY;
        }
        for (size_t k = 0; k < CRASH_KEYS && op->kind == CRASH_ACK; k++) {
            out[k] = wanted[k] != CRASH_ANY ? wanted[k] : out[k];
        }
        if (op->kind == CRASH_DOUBT) {
            wanted[op->key] = CRASH_ANY;
            out[op->key] = CRASH_ANY;
        }
        if (op->kind == CRASH_ACK || op->kind == CRASH_KILL) {
            memset(wanted, 0, sizeof wanted);
        }
    }
}
