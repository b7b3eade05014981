/*
 * A put, start to end: bytes through the hashers and the ingest ring in one pass, then shard list, sync,
 * record, sync. The record comes after a sync of what it refers to, as a package's does: an address is
 * never in the store without its bytes. What the bytes turn out to be is known only at their end, so
 * everything that can refuse them (an expected address or digest, the record that is here already)
 * is asked between the last byte and the record.
 */
#include "daemon/beat.h"
#include "daemon/content.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chunk/profile.h"
#include "daemon/ingest.h"
#include "daemon/shards.h"
#include "hash/many.h"
#include "os/sys.h"

#define THREADS_DEFAULT_MAX 8
struct put {
    struct stoq_store *store;
    const struct stoq_content_put_ask *ask;
    struct stoq_content_put_report *report;
    enum stoq_hash_alg algorithm;
    struct stoq_hash_many hashers; /* the address's, then the secondary ones */
    struct stoq_ingest *ingest;
    struct stoq_shards *shards;
    uint64_t bytes_done;
    stoq_ns reported_at;
};

static unsigned thread_count(unsigned asked)
{
    if (asked > 0) {
        return asked;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX : (unsigned)n;
}

static enum stoq_status look_up(struct put *p, struct stoq_error *err)
{
    if (!stoq_beat(&p->reported_at)) {
        return STOQ_OK;
    }
    if (p->ask->progress != NULL) {
        p->ask->progress(p->ask->user, p->bytes_done, p->ask->bytes_total);
    }
    return stoq_go_on(p->ask->cancelled, p->ask->user, err);
}

static enum stoq_status begin(struct put *p, struct stoq_error *err)
{
    const struct stoq_content_put_ask *ask = p->ask;
    p->algorithm = ask->algorithm == STOQ_HASH_NONE ? STOQ_HASH_BLAKE3 : ask->algorithm;
    if (!stoq_hash_alg_is_address(p->algorithm)) {
        const char *name = stoq_hash_alg_name(p->algorithm);
        return stoq_fail(
            err, STOQ_RANGE, 0, "%s cannot address content: %s",
            name != NULL ? name : "an unknown algorithm",
            p->algorithm == STOQ_HASH_XXH3_128
                ? "anybody can make other bytes with the same value; it finds accidents only"
                : "addresses are blake3 or sha3-256");
    }
    enum stoq_hash_alg algs[STOQ_HASH_MANY_MAX] = {p->algorithm};
    STOQ_ASSERT(ask->second_count <= STOQ_CONTENT_SECONDARY_MAX);
    for (size_t i = 0; i < ask->second_count; i++) {
        algs[i + 1] = ask->second[i].alg;
    }
    enum stoq_status st = stoq_hash_many_init(&p->hashers, algs, ask->second_count + 1);
    if (st == STOQ_RANGE) {
        return stoq_fail(
            err, st, 0,
            "a secondary algorithm must be a known one, other than the address's, once");
    }
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to hash");
    }
    st = stoq_shards_new(&p->shards, p->store, err);
    if (st == STOQ_OK) {
        struct stoq_chunker chunker;
        st = stoq_chunker_init(&chunker, &stoq_chunk_profile(STOQ_PROFILE_DEFAULT)->params);
        STOQ_ASSERT(st == STOQ_OK);
        st = stoq_ingest_new(&p->ingest, p->store, &chunker, thread_count(ask->threads), err);
    }
    if (st == STOQ_OK) {
        stoq_ingest_set_sink(p->ingest, (struct stoq_chunk_sink){stoq_shards_add, p->shards});
    }
    return st;
}

static enum stoq_status take_bytes(struct put *p, struct stoq_error *err)
{
    for (;;) {
        uint8_t *room;
        size_t n;
        size_t got = 0;
        enum stoq_status st = stoq_ingest_room(p->ingest, &room, &n, err);
        if (st == STOQ_OK) {
            st = p->ask->read(p->ask->read_user, room, n, &got, err);
        }
        if (st != STOQ_OK || got == 0) {
            return st;
        }
        if (p->bytes_done + got > STOQ_MERKLE_BYTES_MAX) {
            return stoq_fail(err, STOQ_RANGE, 0, "the content is longer than 2^48 bytes");
        }
        stoq_hash_many_update(&p->hashers, stoq_span(room, got));
        stoq_ingest_filled(p->ingest, got);
        p->bytes_done += got;
        st = look_up(p, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
}

/* Keep a digest among the secondary ones, in order of codes. */
static void add_secondary(struct stoq_content *c, const struct stoq_digest *d)
{
    size_t at = 0;
    while (at < c->secondary_count && c->secondary[at].alg < d->alg) {
        at++;
    }
    STOQ_ASSERT(c->secondary_count < STOQ_CONTENT_SECONDARY_MAX);
    memmove(&c->secondary[at + 1], &c->secondary[at],
            (c->secondary_count - at) * sizeof c->secondary[0]);
    c->secondary[at] = *d;
    c->secondary_count++;
}

static enum stoq_status refuse(struct stoq_error *err, enum stoq_hash_alg alg, const char *whose)
{
    return stoq_fail_code(err, STOQ_PROOF, "IntegrityCheckFailed",
                          "the content's %s is not %s; no address was made",
                          stoq_hash_alg_name(alg), whose);
}

/* The digests are known: fill the content and compare with what was expected. */
static enum stoq_status take_digests(struct put *p, struct stoq_error *err)
{
    const struct stoq_content_put_ask *ask = p->ask;
    struct stoq_content *c = &p->report->content;
    struct stoq_digest digests[STOQ_HASH_MANY_MAX];
    if (stoq_hash_many_final(&p->hashers, digests) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    c->address.algorithm = (uint8_t)p->algorithm;
    memcpy(c->address.digest.b, digests[0].b, sizeof c->address.digest.b);
    if (ask->expected != NULL && (ask->expected->algorithm != c->address.algorithm ||
                                  !stoq_hash_eq(&ask->expected->digest, &c->address.digest))) {
        return refuse(err, p->algorithm, "the expected one");
    }
    for (size_t i = 0; i < ask->second_count; i++) {
        if (ask->second[i].is_expected && !stoq_digest_eq(&ask->second[i].want, &digests[i + 1])) {
            return refuse(err, ask->second[i].alg, "the expected one");
        }
        add_secondary(c, &digests[i + 1]);
    }
    return STOQ_OK;
}

/* The record that is here: its digests must be ours too, and those only it has are kept. */
static enum stoq_status join_with(struct stoq_content *c, const struct stoq_content *old,
                                  struct stoq_error *err)
{
    for (size_t i = 0; i < old->secondary_count; i++) {
        const struct stoq_digest *theirs = &old->secondary[i];
        const struct stoq_digest *ours = stoq_content_secondary(c, theirs->alg);
        if (ours != NULL && !stoq_digest_eq(ours, theirs)) {
            return refuse(err, theirs->alg, "the one kept with its address");
        }
        if (ours == NULL) {
            add_secondary(c, theirs);
        }
    }
    c->added_at = old->added_at;
    return STOQ_OK;
}

static enum stoq_status put_record(struct put *p, const struct stoq_content *c,
                                   struct stoq_error *err)
{
    uint8_t key[STOQ_CONTENT_KEY_BYTES];
    struct stoq_buf b;
    stoq_buf_init(&b, STOQ_CONTENT_RECORD_BYTES_MAX);
    stoq_content_key_put(key, &c->address);
    enum stoq_status st = stoq_content_encode(c, &b);
    if (st != STOQ_OK) {
        st = stoq_fail(err, st, 0, "no memory for the content's record");
    } else {
        st = stoq_store_put(p->store, STOQ_RECORD_CONTENT, stoq_span(key, sizeof key),
                            STOQ_STORE_OVERWRITE, stoq_buf_span(&b), NULL, err);
    }
    stoq_buf_release(&b);
    return st;
}

/* Make the record, or complete the one that is here. */
static enum stoq_status join_record(struct put *p, struct stoq_error *err)
{
    struct stoq_content old;
    struct stoq_content *c = &p->report->content;
    if (stoq_content_info(p->store, &c->address, &old, NULL) != STOQ_OK) {
        c->added_at = stoq_wall_seconds(); /* none, or a damaged one that is written anew */
        return put_record(p, c, err);
    }
    enum stoq_status st = join_with(c, &old, err);
    p->report->existed = st == STOQ_OK;
    bool is_same =
        old.secondary_count == c->secondary_count && stoq_hash_eq(&old.root.hash, &c->root.hash);
    return st == STOQ_OK && !is_same ? put_record(p, c, err) : st;
}

/* Everything the record refers to is durable. */
static enum stoq_status settle(struct put *p, struct stoq_error *err)
{
    if (p->ask->record_lock != NULL) {
        (void)pthread_mutex_lock(p->ask->record_lock);
    }
    enum stoq_status st = join_record(p, err);
    if (p->ask->record_lock != NULL) {
        (void)pthread_mutex_unlock(p->ask->record_lock);
    }
    /* Also when nothing changed: the record may be one that another put has not synced yet. */
    return st == STOQ_OK ? stoq_store_sync(p->store, err) : st;
}

static enum stoq_status put_stream(struct put *p, struct stoq_error *err)
{
    struct stoq_merkle_root *root = &p->report->content.root;
    struct stoq_span shard_list;
    enum stoq_status st = stoq_ingest_drain(p->ingest, err);
    if (st == STOQ_OK) {
        st = stoq_shards_finish(p->shards, root, &shard_list, err);
    }
    if (st == STOQ_OK) {
        struct stoq_ingest_counts counts = stoq_ingest_counts(p->ingest);
        root->height = 0;
        p->report->chunks_new = counts.chunks_new;
        p->report->bytes_new = counts.bytes_new;
        p->report->bytes_stored = counts.bytes_stored;
        st = stoq_store_put(p->store, STOQ_RECORD_SHARD_LIST,
                            stoq_span(root->hash.b, sizeof root->hash.b), 0, shard_list, NULL, err);
    }
    return st == STOQ_OK ? stoq_store_sync(p->store, err) : st;
}

enum stoq_status stoq_content_put(struct stoq_store *store, const struct stoq_content_put_ask *ask,
                                  struct stoq_content_put_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct put p = {.store = store, .ask = ask, .report = report};
    memset(report, 0, sizeof *report);
    enum stoq_status st = begin(&p, err);
    if (st == STOQ_OK) {
        st = take_bytes(&p, err);
    }
    if (st == STOQ_OK) {
        st = take_digests(&p, err);
    }
    if (st == STOQ_OK) {
        st = put_stream(&p, err);
    }
    if (st == STOQ_OK) {
        st = settle(&p, err);
    }
    stoq_ingest_free(p.ingest);
    stoq_shards_free(p.shards);
    stoq_hash_many_release(&p.hashers);
    report->elapsed_ns = stoq_now() - began;
    return st;
}
