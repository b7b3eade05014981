/*
 * A publish, start to end:
 *
 *     list the tree -> [table][file][file]... through the ingest ring -> shards
 *                  -> shard list, manifest, signature -> sync -> package record -> sync
 *
 * The table comes first in the stream and names every size, so the sizes are those of the listing; a
 * file that differs from it when its last byte has been read ends the publish. An input's size is known
 * at its end alone: publish_input.c says how that goes. Records that refer to
 * others are written after them, and the record that makes the package one of this store comes after a
 * sync of all the rest: a crash or failure before leaves chunks that nobody refers to, no more.
 */
#include "daemon/publish_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/local.h"
#include "daemon/names.h"
#include "daemon/pointers.h"
#include "os/sys.h"

#define THREADS_DEFAULT_MAX 8

static enum stoq_status choose_profile(struct publish *p, struct stoq_error *err)
{
    unsigned code = p->ask->profile != 0 ? p->ask->profile : STOQ_PROFILE_DEFAULT;
    if (code != STOQ_PROFILE_1 && code != STOQ_PROFILE_2) {
        return stoq_fail(err, STOQ_RANGE, 0, "there is no profile %u: 1 and 2 are", code);
    }
    if (p->ask->private_key != NULL) {
        code = code == STOQ_PROFILE_1 ? STOQ_PROFILE_1K : STOQ_PROFILE_2K;
        stoq_private_gear(&p->gear, p->ask->private_key);
    }
    p->profile = stoq_chunk_profile(code);
    stoq_runs_init(&p->runs, p->profile);
    return STOQ_OK;
}

static struct stoq_span optional_text(const char *text)
{
    return text == NULL ? stoq_span(NULL, 0) : stoq_span_str(text);
}

/* The manifest's second digest: its algorithm and size are known before, its value at the end. */
static enum stoq_status begin_secondary(struct publish *p, struct stoq_error *err)
{
    struct stoq_digest *d = &p->report->secondary;
    d->alg = p->ask->secondary;
    if (d->alg == STOQ_HASH_NONE) {
        return STOQ_OK;
    }
    p->manifest.secondary_algorithm = d->alg;
    p->manifest.secondary_digest = stoq_digest_span(d);
    enum stoq_status st = stoq_hasher_init(&p->secondary, d->alg);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "the secondary hash cannot be made");
}

/* What the ask says goes into the manifest; refused before anything is read. */
static enum stoq_status fill_manifest(struct publish *p, struct stoq_error *err)
{
    const struct stoq_publish_ask *ask = p->ask;
    struct stoq_manifest *m = &p->manifest;
    memset(m, 0, sizeof *m);
    m->name = optional_text(ask->name);
    m->version = optional_text(ask->version);
    m->description = optional_text(ask->description);
    m->license = optional_text(ask->license);
    m->profile = p->profile->code;
    const char *why = stoq_manifest_name_fault(m->name);
    if (why != NULL) {
        return stoq_fail(err, STOQ_RANGE, 0, "the name %s", why);
    }
    why = stoq_manifest_version_fault(m->version);
    if (why != NULL) {
        return stoq_fail(err, STOQ_RANGE, 0, "the version %s", why);
    }
    if (ask->annotation_count > STOQ_MANIFEST_ANNOTATIONS_MAX ||
        ask->dependency_count > STOQ_MANIFEST_DEPENDENCIES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "more than %d annotations or %d dependencies",
                         STOQ_MANIFEST_ANNOTATIONS_MAX, STOQ_MANIFEST_DEPENDENCIES_MAX);
    }
    m->annotation_count = ask->annotation_count;
    m->dependency_count = ask->dependency_count;
    for (size_t i = 0; i < ask->annotation_count; i++) {
        m->annotations[i] = ask->annotations[i];
    }
    for (size_t i = 0; i < ask->dependency_count; i++) {
        m->dependencies[i] = ask->dependencies[i];
    }
    enum stoq_status st = begin_secondary(p, err);
    if (st != STOQ_OK) {
        return st;
    }
    /* All counts zero is the empty package: the faults that remain are of the texts. */
    why = stoq_manifest_fault(m);
    if (why != NULL) {
        return stoq_fail(err, STOQ_RANGE, 0, "%s", why);
    }
    st = stoq_manifest_encode(m, &p->scratch);
    if (st != STOQ_OK) {
        return stoq_fail(err, st == STOQ_NOMEM ? st : STOQ_RANGE, 0, "%s",
                         st == STOQ_FULL ? "the texts are too long for a manifest of 64 KiB"
                                         : "an annotation or a dependency is named twice");
    }
    return STOQ_OK;
}

static struct stoq_span hash_key(const struct stoq_hash *h)
{
    return stoq_span(h->b, sizeof h->b);
}

/* Sign and keep the signature beside the manifest. */
static enum stoq_status put_signature(struct publish *p, struct stoq_error *err)
{
    const struct stoq_hash *id = &p->report->id.h;
    stoq_buf_clear(&p->scratch);
    enum stoq_status st = stoq_sign(p->ask->key, STOQ_SIGN_PACKAGE, id, &p->scratch);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "the package cannot be signed");
    }
    p->report->is_signed = true;
    p->report->signer = stoq_key_id(p->ask->key);
    uint8_t key[64];
    memcpy(key, id->b, 32);
    memcpy(key + 32, p->report->signer.h.b, 32);
    return stoq_store_put(p->store, STOQ_RECORD_SIGNATURE, stoq_span(key, sizeof key), 0,
                          stoq_buf_span(&p->scratch), NULL, err);
}

/* Everything but the package record: manifest, shard list, signature. */
static enum stoq_status put_description(struct publish *p, const struct stoq_merkle_root *root,
                                        struct stoq_span shard_list, struct stoq_error *err)
{
    struct stoq_manifest *m = &p->manifest;
    m->table_bytes = p->table.table_bytes;
    m->entries = p->table.order.entries;
    m->shards = root->shards;
    m->chunks = root->chunks;
    m->bytes = root->bytes;
    m->root = root->hash;
    STOQ_ASSERT(m->bytes == p->progress.bytes_total);
    if (p->ask->secondary != STOQ_HASH_NONE &&
        stoq_hasher_final(&p->secondary, &p->report->secondary) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash");
    }
    stoq_buf_clear(&p->scratch);
    enum stoq_status st = stoq_manifest_encode(m, &p->scratch);
    if (st != STOQ_OK) {
        return stoq_fail(err, st == STOQ_NOMEM ? st : STOQ_RANGE, 0,
                         "the texts are too long for a manifest of 64 KiB");
    }
    p->report->id = stoq_manifest_id(stoq_buf_span(&p->scratch));
    st = stoq_store_put(p->store, STOQ_RECORD_SHARD_LIST, hash_key(&m->root), 0, shard_list, NULL,
                        err);
    if (st == STOQ_OK) {
        st = stoq_store_put(p->store, STOQ_RECORD_MANIFEST, hash_key(&p->report->id.h), 0,
                            stoq_buf_span(&p->scratch), NULL, err);
    }
    if (st == STOQ_OK && p->ask->key != NULL) {
        st = put_signature(p, err);
    }
    return st;
}

static enum stoq_status put_pointer(struct publish *p, struct stoq_error *err)
{
    const struct stoq_pointer_name name = {.publisher = stoq_key_id(p->ask->key),
                                           .name = stoq_span_str(p->ask->name),
                                           .version = stoq_span_str(p->ask->version)};
    p->report->is_newest = p->ask->is_newest;
    enum stoq_status st = stoq_pointers_publish(p->store, p->ask->pointers, p->ask->key,
                                                &p->report->id, &name, &p->report->is_newest, err);
    p->report->is_named = st == STOQ_OK;
    return st;
}

const char *publish_entry_name(const struct publish *p)
{
    return p->ask->entry != NULL ? p->ask->entry : p->ask->name;
}

static struct stoq_span path_of(void *user, uint32_t index)
{
    const struct publish *p = user;
    return p->tree != NULL ? stoq_tree_at(p->tree, index).path
                           : stoq_span_str(publish_entry_name(p));
}

/* The stream is in the ingest. */
static enum stoq_status finish(struct publish *p, struct stoq_error *err)
{
    struct stoq_merkle_root root;
    struct stoq_span shard_list;
    enum stoq_status st = stoq_shards_finish(p->shards, &root, &shard_list, err);
    if (st == STOQ_OK) {
        st = put_description(p, &root, shard_list, err);
    }
    if (st == STOQ_OK) {
        st = publish_put_aliases(p, path_of, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_sync(p->store, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_ingest_counts counts = stoq_ingest_counts(p->ingest);
    p->report->bytes = root.bytes;
    p->report->chunks = root.chunks;
    p->report->shards = root.shards;
    p->report->chunks_new = counts.chunks_new;
    p->report->bytes_new = counts.bytes_new;
    p->report->bytes_stored = counts.bytes_stored;
    p->report->bytes_in_place = counts.bytes_kept;
    p->report->existed = stoq_local_has(p->store, &p->report->id);
    const struct stoq_local_facts facts = {
        .added_at = stoq_wall_seconds(), .complete = true, .made_here = true};
    if (!p->report->existed) {
        st = stoq_local_record(p->store, &p->report->id, &facts, err);
    }
    if (st == STOQ_OK && p->ask->key != NULL && p->ask->pointers != NULL) {
        st = put_pointer(p, err);
    }
    return st == STOQ_OK ? stoq_store_sync(p->store, err) : st;
}

static unsigned thread_count(unsigned asked)
{
    if (asked > 0) {
        return asked < STOQ_PUBLISH_THREADS_MAX ? asked : STOQ_PUBLISH_THREADS_MAX;
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_DEFAULT_MAX ? THREADS_DEFAULT_MAX : (unsigned)n;
}

/* Look at what is to be published, as far as that can be done before it is read. */
static enum stoq_status look_at_files(struct publish *p, struct stoq_error *err)
{
    const struct stoq_publish_ask *ask = p->ask;
    enum stoq_status st = stoq_tree_list(&p->tree, ask->path, ask->cancelled, ask->user, err);
    return st != STOQ_OK ? st
                         : stoq_names_check(p->tree, ask->is_strict, ask->warning, ask->user,
                                            &p->report->warnings, err);
}

static enum stoq_status look_at_input(const struct publish *p, struct stoq_error *err)
{
    const char *entry = publish_entry_name(p);
    if (p->ask->in_place) {
        return stoq_fail(err, STOQ_RANGE, 0, "an input is no file that could be kept in place");
    }
    const char *why = stoq_entry_path_fault(stoq_span_str(entry));
    if (why == NULL && strchr(entry, '/') != NULL) {
        why = "has more than one component";
    }
    return why == NULL ? STOQ_OK
                       : stoq_fail(err, STOQ_RANGE, 0, "the file's name '%.300s' %s", entry, why);
}

/* Make what the stream goes through. */
static enum stoq_status open_ways(struct publish *p, struct stoq_error *err)
{
    const struct stoq_publish_ask *ask = p->ask;
    unsigned threads = thread_count(ask->threads);
    struct stoq_chunker chunker;
    enum stoq_status st = stoq_chunker_init(&chunker, &p->profile->params);
    STOQ_ASSERT(st == STOQ_OK); /* a profile's are in range */
    if (p->profile->is_keyed) {
        stoq_chunker_set_gear(&chunker, &p->gear);
    }
    st = stoq_shards_new(&p->shards, p->store, err);
    if (st == STOQ_OK) {
        st = stoq_ingest_new(&p->ingest, p->store, &chunker, threads, err);
    }
    if (st == STOQ_OK && ask->in_place) {
        p->keep = (struct stoq_keep_in_place){p->store, p->tree};
        stoq_ingest_set_keeper(p->ingest, stoq_keep_in_place(&p->keep));
    }
    if (st == STOQ_OK && threads > 1 && p->tree != NULL && stoq_tree_count(p->tree) > 1) {
        st = stoq_ahead_new(&p->ahead, p->tree, err);
    }
    return st == STOQ_OK ? publish_follow(p, err) : st;
}

static enum stoq_status publish(struct publish *p, struct stoq_error *err)
{
    bool is_input = p->ask->input != NULL;
    enum stoq_status st = choose_profile(p, err);
    if (st == STOQ_OK) {
        st = fill_manifest(p, err);
    }
    if (st == STOQ_OK) {
        st = is_input ? look_at_input(p, err) : look_at_files(p, err);
    }
    if (st == STOQ_OK) {
        st = open_ways(p, err);
    }
    if (st == STOQ_OK) {
        st = is_input ? publish_input(p, err) : publish_files(p, err);
    }
    return st == STOQ_OK ? finish(p, err) : st;
}

enum stoq_status stoq_publish(struct stoq_store *store, const struct stoq_publish_ask *ask,
                              struct stoq_publish_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    memset(report, 0, sizeof *report);
    struct publish *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to publish");
    }
    p->store = store;
    p->ask = ask;
    p->report = report;
    p->read_bytes = ask->read_bytes == 0 ? STOQ_INGEST_ROOM_MAX : ask->read_bytes;
    stoq_buf_init(&p->scratch, (size_t)2 * STOQ_MANIFEST_BYTES_MAX);
    stoq_table_writer_init(&p->table);
    enum stoq_status st = publish(p, err);
    stoq_ingest_free(p->ingest);
    stoq_shards_free(p->shards);
    stoq_ahead_free(p->ahead);
    publish_follow_free(p);
    stoq_tree_free(p->tree);
    stoq_hasher_release(&p->secondary);
    stoq_buf_release(&p->scratch);
    stoq_key_wipe(&p->gear, sizeof p->gear);
    free(p);
    report->elapsed_ns = stoq_now() - began;
    return st;
}
