#include "daemon/prove.h"

#include "daemon/held.h"
#include "os/show.h"

#include <string.h>

/*
 * What is asked for becomes a run of chunks; the shard list says in which shards they lie, and only
 * these shards' chunk lists are read. Whatever the store gives was compared with the id on the way, so a
 * proof that does not lead to the root is our bug.
 */

struct proving {
    const struct stoq_prove_ask *ask;
    struct stoq_prove_report *r;
    struct stoq_held *held;
    struct stoq_buf lists; /* chunk lists of the touched shards */
    struct stoq_buf proof;
    bool found; /* the path */
};

static bool is_cancelled(const struct proving *p)
{
    return p->ask->cancelled != NULL && p->ask->cancelled(p->ask->user);
}

static enum stoq_status emit(const struct proving *p, struct stoq_span bytes,
                             struct stoq_error *err)
{
    p->r->file_bytes += bytes.n;
    return p->ask->sink(p->ask->sink_user, bytes, err);
}

/* --- what is asked for --- */

/* Ends the walk without being an error: the entry has been found, or is not there. */
#define WALK_DONE STOQ_EXISTS

static enum stoq_status find_file(void *user, const struct stoq_entry *e, uint64_t offset,
                                  struct stoq_error *err)
{
    struct proving *p = user;
    char text[STOQ_SHOW_BYTES];
    uint64_t skip;
    int c = stoq_span_cmp(e->path, p->ask->path);
    if (c < 0) {
        return STOQ_OK;
    }
    if (c > 0) {
        return WALK_DONE;
    }
    if (e->kind == STOQ_ENTRY_DIRECTORY || e->kind == STOQ_ENTRY_LINK || e->size == 0) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "%s has no bytes of its own; --table proves that it is there",
                         stoq_show_path(text, p->ask->path));
    }
    enum stoq_status st =
        stoq_byte_range_apply(&p->ask->range, e->size, "the file", &skip, &p->r->asked_bytes, err);
    p->r->asked_offset = offset + skip;
    p->found = true;
    return st == STOQ_OK ? WALK_DONE : st;
}

/* The bytes of the stream that are asked for. */
static enum stoq_status find_bytes(struct proving *p, struct stoq_error *err)
{
    const struct stoq_manifest *m = stoq_held_manifest(p->held);
    char text[STOQ_SHOW_BYTES];
    if (p->ask->what == STOQ_PROVE_TABLE) {
        p->r->asked_bytes = m->table_bytes;
        return m->table_bytes > 0
                   ? STOQ_OK
                   : stoq_fail(err, STOQ_RANGE, 0, "the package is empty: it has no file table");
    }
    if (p->ask->what == STOQ_PROVE_BYTES) {
        return stoq_byte_range_apply(&p->ask->range, m->bytes, "the package", &p->r->asked_offset,
                                     &p->r->asked_bytes, err);
    }
    enum stoq_status st = stoq_held_each_entry(p->held, find_file, p, err);
    if (st != STOQ_OK && st != WALK_DONE) {
        return st;
    }
    return p->found ? STOQ_OK
                    : stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "the package has no %s",
                                     stoq_show_path(text, p->ask->path));
}

/* The chunk of a list that holds byte at of the list's bytes. */
static size_t chunk_with_byte(struct stoq_span list, uint64_t at)
{
    size_t i = 0;
    uint64_t n = stoq_merkle_chunk_at(list, i).bytes;
    while (at >= n) {
        at -= n;
        i++;
        n = stoq_merkle_chunk_at(list, i).bytes;
    }
    return i;
}

/* The index of the chunk that holds a byte of the stream. */
static enum stoq_status chunk_at_byte(struct proving *p, uint64_t at, uint64_t *out,
                                      struct stoq_error *err)
{
    struct stoq_span shards = stoq_held_shard_list(p->held);
    size_t k = 0;
    uint64_t first = 0;
    struct stoq_merkle_shard shard = stoq_merkle_shard_at(shards, k);
    while (at >= shard.bytes) {
        at -= shard.bytes;
        first += shard.chunks;
        k++;
        shard = stoq_merkle_shard_at(shards, k);
    }
    enum stoq_status st = stoq_held_chunk_list(p->held, k, &p->lists, err);
    if (st == STOQ_OK) {
        *out = first + chunk_with_byte(stoq_buf_span(&p->lists), at);
    }
    return st;
}

static enum stoq_status find_run_of_bytes(struct proving *p, struct stoq_error *err)
{
    uint64_t last = 0;
    enum stoq_status st = find_bytes(p, err);
    if (st == STOQ_OK && p->r->asked_bytes == 0) {
        st = stoq_fail(err, STOQ_RANGE, 0, "there is nothing to prove in an empty package");
    }
    if (st == STOQ_OK) {
        st = chunk_at_byte(p, p->r->asked_offset, &p->r->first, err);
    }
    if (st == STOQ_OK) {
        st = chunk_at_byte(p, p->r->asked_offset + p->r->asked_bytes - 1, &last, err);
        p->r->count = last - p->r->first + 1;
    }
    return st;
}

static enum stoq_status find_run_of_shard(struct proving *p, struct stoq_error *err)
{
    struct stoq_span shards = stoq_held_shard_list(p->held);
    size_t count = stoq_held_shard_count(p->held);
    if (p->ask->first >= count) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "there is no shard %llu: the package has %zu, counted from 0",
                         (unsigned long long)p->ask->first, count);
    }
    size_t k = (size_t)p->ask->first;
    for (size_t i = 0; i < k; i++) {
        p->r->first += stoq_merkle_shard_at(shards, i).chunks;
    }
    p->r->count = stoq_merkle_shard_at(shards, k).chunks;
    return STOQ_OK;
}

static enum stoq_status find_run(struct proving *p, struct stoq_error *err)
{
    const struct stoq_manifest *m = stoq_held_manifest(p->held);
    if (p->ask->what == STOQ_PROVE_SHARD) {
        return find_run_of_shard(p, err);
    }
    if (p->ask->what != STOQ_PROVE_CHUNKS) {
        return find_run_of_bytes(p, err);
    }
    if (p->ask->last >= m->chunks) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidChunkIndex",
                              "there is no chunk %llu: the package has %llu, counted from 0",
                              (unsigned long long)p->ask->last, (unsigned long long)m->chunks);
    }
    p->r->first = p->ask->first;
    p->r->count = p->ask->last - p->ask->first + 1;
    return STOQ_OK;
}

/* --- its proof --- */

static enum stoq_status load_lists(struct proving *p, struct stoq_error *err)
{
    struct stoq_merkle_place first;
    struct stoq_merkle_place last;
    struct stoq_buf list;
    struct stoq_span shards = stoq_held_shard_list(p->held);
    enum stoq_status st = stoq_merkle_find_chunk(shards, p->r->first, &first);
    STOQ_ASSERT(st == STOQ_OK);
    st = stoq_merkle_find_chunk(shards, p->r->first + p->r->count - 1, &last);
    STOQ_ASSERT(st == STOQ_OK);
    p->r->shard = first.shard;
    stoq_buf_clear(&p->lists);
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    for (uint64_t k = first.shard; st == STOQ_OK && k <= last.shard; k++) {
        st = stoq_held_chunk_list(p->held, (size_t)k, &list, err);
        if (st == STOQ_OK) {
            st = stoq_buf_add(&p->lists, stoq_buf_span(&list));
        }
    }
    stoq_buf_release(&list);
    return st;
}

static struct stoq_merkle_root root_of(const struct stoq_manifest *m)
{
    return (struct stoq_merkle_root){
        .hash = m->root, .shards = m->shards, .chunks = m->chunks, .bytes = m->bytes};
}

static enum stoq_status make_proof(struct proving *p, struct stoq_error *err)
{
    struct stoq_merkle_root root = root_of(stoq_held_manifest(p->held));
    struct stoq_span shards = stoq_held_shard_list(p->held);
    struct stoq_span lists = stoq_buf_span(&p->lists);
    struct stoq_merkle_run run;
    struct stoq_merkle_proof chunk;
    enum stoq_status st;
    if (p->ask->what == STOQ_PROVE_SHARD || p->r->count > 1) {
        st = stoq_merkle_prove_run(&root, shards, lists, p->r->first, p->r->count, &run);
        STOQ_ASSERT(st == STOQ_OK);
        st = stoq_merkle_run_encode(&run, &p->proof);
    } else {
        st = stoq_merkle_prove_chunk(&root, shards, lists, p->r->first, &chunk);
        STOQ_ASSERT(st == STOQ_OK);
        st = stoq_merkle_proof_encode(&chunk, &p->proof);
    }
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory for the proof");
}

/* What we wrote is what a checker will read: the report is of that. */
static void take_report(struct proving *p)
{
    struct stoq_proof_told told;
    enum stoq_status st = stoq_proof_check(&p->ask->id, stoq_held_manifest_bytes(p->held),
                                           stoq_buf_span(&p->proof), &told);
    STOQ_ASSERT(st == STOQ_OK && told.first == p->r->first && told.count == p->r->count);
    p->r->kind = told.kind;
    p->r->offset = told.offset;
    p->r->bytes = told.bytes;
    if (p->ask->what == STOQ_PROVE_CHUNKS || p->ask->what == STOQ_PROVE_SHARD) {
        p->r->asked_offset = told.offset;
        p->r->asked_bytes = told.bytes;
    }
}

/* --- the file --- */

static enum stoq_status write_data(struct proving *p, struct stoq_error *err)
{
    struct stoq_cursor *c = NULL;
    uint64_t left = p->r->bytes;
    enum stoq_status st = stoq_cursor_new(&c, stoq_held_stream(p->held));
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to read");
    }
    st = stoq_cursor_seek(c, p->r->offset);
    while (st == STOQ_OK && left > 0) {
        struct stoq_span bytes;
        st = stoq_cursor_next(c, SIZE_MAX, &bytes, err);
        if (st == STOQ_OK) {
            STOQ_ASSERT(bytes.n <= left);
            left -= bytes.n;
            st = is_cancelled(p) ? stoq_fail(err, STOQ_CANCELLED, 0, "stopped")
                                 : emit(p, bytes, err);
        }
    }
    stoq_cursor_free(c);
    return st;
}

static enum stoq_status write_file(struct proving *p, struct stoq_error *err)
{
    uint8_t head[STOQ_PROOF_FILE_HEAD_BYTES];
    struct stoq_span manifest = stoq_held_manifest_bytes(p->held);
    struct stoq_proof_file file = {
        .manifest_bytes = (uint32_t)manifest.n,
        .proof_bytes = (uint32_t)p->proof.n,
        .data_bytes = p->ask->with_data ? p->r->bytes : 0,
    };
    stoq_proof_file_encode(head, &file);
    enum stoq_status st = emit(p, stoq_span(head, sizeof head), err);
    if (st == STOQ_OK) {
        st = emit(p, manifest, err);
    }
    if (st == STOQ_OK) {
        st = emit(p, stoq_buf_span(&p->proof), err);
    }
    return st == STOQ_OK && p->ask->with_data ? write_data(p, err) : st;
}

static enum stoq_status prove(struct proving *p, struct stoq_error *err)
{
    enum stoq_status st = find_run(p, err);
    if (st == STOQ_OK && p->r->count > STOQ_MERKLE_RUN_CHUNKS_MAX) {
        st = stoq_fail(err, STOQ_FULL, 0, "%llu chunks are more than one proof may have: %u",
                       (unsigned long long)p->r->count, STOQ_MERKLE_RUN_CHUNKS_MAX);
    }
    if (st == STOQ_OK) {
        st = load_lists(p, err);
    }
    if (st == STOQ_OK) {
        st = make_proof(p, err);
    }
    if (st == STOQ_OK) {
        take_report(p);
        st = write_file(p, err);
    }
    return st;
}

enum stoq_status stoq_prove(struct stoq_store *store, const struct stoq_prove_ask *ask,
                            struct stoq_prove_report *report, struct stoq_error *err)
{
    struct proving p = {.ask = ask, .r = report};
    *report = (struct stoq_prove_report){.kind = STOQ_MERKLE_PROOF_CHUNK};
    enum stoq_status st = stoq_held_open(&p.held, store, &ask->id, err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_buf_init(&p.lists, SIZE_MAX);
    stoq_buf_init(&p.proof, STOQ_MERKLE_RUN_PROOF_BYTES_MAX);
    st = prove(&p, err);
    stoq_buf_release(&p.lists);
    stoq_buf_release(&p.proof);
    stoq_held_close(p.held);
    return st;
}
