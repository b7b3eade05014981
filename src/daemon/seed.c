/*
 * The seed's files, with the table a package of them would have, are one stream; a chunk of it is
 * remembered as the first 8 bytes of its hash and its place in that stream:
 *
 *     key  -> at      sorted by key; the length comes with the question
 *     at   -> entry   by binary search in where each entry's contents start
 *
 * So 10 GiB of seed take some 5 MiB, and two chunks that agree in the 8 bytes cost one more read. The
 * profile decides the cuts. It is in the manifest, which a fetch may have to ask for first; since
 * reading and cutting happen before, an unknown profile means a pass for each that there is.
 */
#include "daemon/seed.h"
#include "daemon/beat.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/tree_cut.h"
#include "daemon/tree_entry.h"
#include "hash/hash.h"
#include "package/table.h"

/* Places with one key that are tried: equal chunks, in files that may have changed since. */
#define TRIES_MAX 8

struct place {
    uint64_t key;
    uint64_t at;
};

struct stoq_seed {
    pthread_mutex_t lock; /* guards refs, the tree and the open file */
    size_t refs;
    struct stoq_tree *tree;
    uint64_t *starts; /* of each entry's contents, in the stream */
    uint64_t table_bytes;
    uint64_t stream_bytes;
    struct stoq_buf table; /* n = 0: too long to keep */
    struct place *places;
    size_t place_count;
    size_t place_cap;
    size_t open_entry; /* when fd >= 0 */
    int fd;
};

/* A pass over the seed. */
struct pass {
    struct stoq_seed *seed;
    const struct stoq_seed_ask *ask;
    struct stoq_seed_progress progress;
    stoq_ns reported_at;
};

static uint64_t key_of(const struct stoq_hash *h)
{
    struct stoq_rd r = stoq_rd(stoq_span(h->b, sizeof h->b));
    return stoq_rd_u64(&r);
}

static enum stoq_status look_up(struct pass *p, struct stoq_error *err)
{
    if (!stoq_beat(&p->reported_at)) {
        return STOQ_OK;
    }
    if (p->ask->progress != NULL) {
        p->ask->progress(p->ask->user, &p->progress);
    }
    return stoq_go_on(p->ask->cancelled, p->ask->user, err);
}

static enum stoq_status remember(struct stoq_seed *s, struct stoq_span chunk, uint64_t at)
{
    if (s->place_count == s->place_cap) {
        size_t cap = s->place_cap == 0 ? 4096 : s->place_cap * 2;
        struct place *more = realloc(s->places, cap * sizeof *more);
        if (more == NULL) {
            return STOQ_NOMEM;
        }
        s->places = more;
        s->place_cap = cap;
    }
    struct stoq_hash hash = stoq_hash_blake3(chunk);
    s->places[s->place_count++] = (struct place){key_of(&hash), at};
    return STOQ_OK;
}

static enum stoq_status cut_all(struct pass *p, struct stoq_tree_cut *cut, struct stoq_error *err)
{
    uint64_t at = 0;
    while (p->seed->place_count < STOQ_SEED_CHUNKS_MAX) {
        struct stoq_span chunk;
        enum stoq_status st = stoq_tree_cut_next(cut, &chunk, err);
        if (st == STOQ_NOTFOUND) {
            break;
        }
        if (st == STOQ_OK && remember(p->seed, chunk, at) != STOQ_OK) {
            st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for its chunks");
        }
        at += chunk.n;
        p->progress.bytes_done += chunk.n;
        if (st == STOQ_OK) {
            st = look_up(p, err);
        }
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

static enum stoq_status cut_by(struct pass *p, const struct stoq_chunk_profile *profile,
                               struct stoq_error *err)
{
    const struct stoq_tree_cut_ask ask = {
        .tree = p->seed->tree, .profile = profile, .is_lenient = true};
    struct stoq_tree_cut *cut;
    enum stoq_status st = stoq_tree_cut_open(&cut, &ask, err);
    if (st == STOQ_OK) {
        st = cut_all(p, cut, err);
        stoq_tree_cut_close(cut);
    }
    return st;
}

static int compare(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The table, and where each entry's contents are. */
static enum stoq_status lay_out(struct stoq_seed *s, struct stoq_error *err)
{
    struct stoq_table_writer w;
    struct stoq_buf piece;
    size_t count = stoq_tree_count(s->tree);
    enum stoq_status st = STOQ_OK;
    uint64_t at = 0;
    bool keeps = true;
    stoq_table_writer_init(&w);
    stoq_buf_init(&piece, STOQ_TABLE_ENTRY_BYTES_MAX);
    s->starts = calloc(count + 1, sizeof *s->starts);
    if (s->starts == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for its entries");
    }
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_tree_entry e = stoq_tree_at(s->tree, i);
        const struct stoq_entry entry = stoq_tree_table_entry(&e);
        stoq_buf_clear(&piece);
        st = stoq_table_writer_add(&w, &entry, &piece);
        s->starts[i] = at;
        at += stoq_tree_is_file(&e) ? e.size : 0;
        keeps = keeps && stoq_buf_add(&s->table, stoq_buf_span(&piece)) == STOQ_OK;
    }
    if (!keeps) {
        stoq_buf_clear(&s->table);
    }
    stoq_buf_release(&piece);
    s->table_bytes = w.table_bytes;
    s->stream_bytes = at + w.table_bytes;
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no package can hold its names");
}

static enum stoq_status read_in(struct stoq_seed *s, const struct stoq_seed_ask *ask,
                                struct stoq_error *err)
{
    struct pass p = {.seed = s, .ask = ask};
    enum stoq_status st = stoq_tree_list(&s->tree, ask->path, ask->cancelled, ask->user, err);
    if (st == STOQ_OK) {
        st = lay_out(s, err);
    }
    unsigned first = ask->profile != 0 ? ask->profile : STOQ_PROFILE_1;
    unsigned last = ask->profile != 0 ? ask->profile : STOQ_PROFILE_2;
    p.progress.bytes_total = s->stream_bytes * (last - first + 1);
    for (unsigned code = first; st == STOQ_OK && code <= last; code++) {
        const struct stoq_chunk_profile *profile = stoq_chunk_profile(code);
        STOQ_ASSERT(profile != NULL);
        if (!profile->is_keyed) { /* where a private package is cut is its publisher's secret */
            st = cut_by(&p, profile, err);
        }
    }
    if (s->place_count > 0) {
        qsort(s->places, s->place_count, sizeof *s->places, compare);
    }
    return st;
}

enum stoq_status stoq_seed_open(struct stoq_seed **out, const struct stoq_seed_ask *ask,
                                struct stoq_error *err)
{
    struct stoq_seed *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for a seed");
    }
    s->refs = 1;
    s->fd = -1;
    stoq_buf_init(&s->table, STOQ_SEED_TABLE_BYTES_MAX);
    STOQ_ASSERT(pthread_mutex_init(&s->lock, NULL) == 0);
    enum stoq_status st = read_in(s, ask, err);
    if (st != STOQ_OK) {
        stoq_seed_drop(s);
        stoq_error_prefix(err, "the seed: ");
        return st;
    }
    *out = s;
    return STOQ_OK;
}

void stoq_seed_hold(struct stoq_seed *seed)
{
    (void)pthread_mutex_lock(&seed->lock);
    seed->refs++;
    (void)pthread_mutex_unlock(&seed->lock);
}

static void close_open(struct stoq_seed *s)
{
    if (s->fd >= 0) {
        enum stoq_status st = stoq_tree_close(s->tree, s->open_entry, s->fd, NULL);
        (void)st; /* a change is found by the hash */
    }
    s->fd = -1;
}

void stoq_seed_drop(struct stoq_seed *seed)
{
    if (seed == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&seed->lock);
    size_t left = --seed->refs;
    (void)pthread_mutex_unlock(&seed->lock);
    if (left > 0) {
        return;
    }
    close_open(seed);
    stoq_tree_free(seed->tree);
    stoq_buf_release(&seed->table);
    free(seed->starts);
    free(seed->places);
    (void)pthread_mutex_destroy(&seed->lock);
    free(seed);
}

/* The entry whose contents have byte `at` of all contents: the last that starts there or before. */
static size_t entry_at(const struct stoq_seed *s, uint64_t at)
{
    size_t lo = 0;
    size_t hi = stoq_tree_count(s->tree);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->starts[mid] <= at) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Up to n bytes from `at` of all contents, of one file. Returns how many; 0: they cannot be read. */
static size_t read_file(struct stoq_seed *s, uint64_t at, uint8_t *to, size_t n)
{
    size_t i = entry_at(s, at);
    struct stoq_tree_entry e = stoq_tree_at(s->tree, i);
    uint64_t offset = at - s->starts[i];
    if (!stoq_tree_is_file(&e) || offset >= e.size) {
        return 0;
    }
    n = n < e.size - offset ? n : (size_t)(e.size - offset);
    if (s->fd < 0 || s->open_entry != i) {
        close_open(s);
        if (stoq_tree_open(s->tree, i, &s->fd, NULL) != STOQ_OK) {
            s->fd = -1;
            return 0;
        }
        s->open_entry = i;
    }
    return stoq_tree_read(s->tree, i, s->fd, to, n, offset, NULL) == STOQ_OK ? n : 0;
}

/* n bytes of the stream; chunks lie in the table or in the contents, never in both. */
static bool read_stream(struct stoq_seed *s, uint64_t at, uint8_t *to, size_t n)
{
    if (at < s->table_bytes) {
        bool is_kept = s->table.n > 0 && n <= s->table_bytes - at;
        if (is_kept) {
            memcpy(to, s->table.p + at, n);
        }
        return is_kept;
    }
    if (n > s->stream_bytes - at) {
        return false;
    }
    size_t got = 0;
    while (got < n) {
        size_t part = read_file(s, at - s->table_bytes + got, to + got, n - got);
        if (part == 0) {
            return false;
        }
        got += part;
    }
    return true;
}

static size_t first_place(const struct stoq_seed *s, uint64_t key)
{
    size_t lo = 0;
    size_t hi = s->place_count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->places[mid].key < key) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

enum stoq_status stoq_seed_read(struct stoq_seed *seed, const struct stoq_merkle_chunk *want,
                                struct stoq_buf *out)
{
    uint64_t key = key_of(&want->hash);
    size_t first = first_place(seed, key);
    stoq_buf_clear(out);
    if (stoq_buf_reserve(out, want->bytes) != STOQ_OK) {
        return STOQ_NOMEM;
    }
    for (size_t i = first;
         i < seed->place_count && i - first < TRIES_MAX && seed->places[i].key == key; i++) {
        (void)pthread_mutex_lock(&seed->lock);
        bool is_read = read_stream(seed, seed->places[i].at, out->p, want->bytes);
        (void)pthread_mutex_unlock(&seed->lock);
        struct stoq_hash hash = stoq_hash_blake3(stoq_span(out->p, is_read ? want->bytes : 0));
        if (is_read && stoq_hash_eq(&hash, &want->hash)) {
            out->n = want->bytes;
            return STOQ_OK;
        }
    }
    return STOQ_NOTFOUND;
}
