/*
 * The bundle's reader (package/bundle.h) says how many bytes it takes next and what they were; here they
 * are read, and what it lets pass goes to the store. A chunk is compared with its hash by the store
 * before it is taken, one that is here already is read over.
 *
 * Packages that are complete wait until there are many, or the bundle ends, so that bundles of small
 * packages are not made of syncs: sync (what the packages consist of), their records, sync.
 */
#include "daemon/import.h"
#include "daemon/beat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/held.h"
#include "daemon/local.h"
#include "os/sys.h"
#include "sign/sign.h"
#include "wire/cbor.h"

#define HASH_BYTES 32u
#define IN_BYTES ((size_t)1 << 20)
#define WAITING_MAX 256

struct import {
    struct stoq_store *store;
    const struct stoq_import_ask *ask;
    struct stoq_import_report *report;
    struct stoq_bundle_reader *reader;
    uint64_t bytes; /* of the bundle, once its header is read */
    uint64_t done;
    /* What is read ahead of the reader, and what it is given when it wants more than that. */
    uint8_t *in;
    size_t in_at;
    size_t in_n;
    struct stoq_buf piece;
    struct stoq_buf entries; /* CBOR of the index, joined; for each */
    size_t entry_at;
    struct stoq_package_id waiting[WAITING_MAX]; /* complete, not recorded yet */
    size_t waiting_count;
    char lacking[160]; /* the first package that is not complete */
    uint64_t lacking_chunks;
    stoq_ns reported_at;
    struct stoq_error *err;
};

static enum stoq_status look_up(struct import *m)
{
    if (!stoq_beat(&m->reported_at)) {
        return STOQ_OK;
    }
    if (m->ask->progress != NULL) {
        const struct stoq_import_progress p = {.bytes_total = m->bytes, .bytes_done = m->done};
        m->ask->progress(m->ask->user, &p);
    }
    return stoq_go_on(m->ask->cancelled, m->ask->user, m->err);
}

static enum stoq_status fail_short(struct import *m)
{
    if (m->done == 0) {
        return stoq_fail(m->err, STOQ_MALFORMED, 0, "this is not a bundle: it is empty");
    }
    if (m->bytes == 0) {
        return stoq_fail(m->err, STOQ_TRUNC, 0, "the bundle ends inside its header");
    }
    return stoq_fail(
        m->err, STOQ_TRUNC, 0,
        "the bundle ends after %llu of %llu bytes; what came is kept, import the whole "
        "of it to go on",
        (unsigned long long)m->done, (unsigned long long)m->bytes);
}

/* The next want bytes of the bundle. */
static enum stoq_status take_bytes(struct import *m, size_t want, struct stoq_span *out)
{
    size_t ahead = m->in_n - m->in_at;
    size_t got;
    enum stoq_status st = STOQ_OK;
    if (ahead < want && want <= IN_BYTES) {
        memmove(m->in, m->in + m->in_at, ahead);
        m->in_at = 0;
        st = stoq_input_fill(&m->ask->input, m->in + ahead, IN_BYTES - ahead, &got, m->err);
        m->in_n = ahead + (st == STOQ_OK ? got : 0);
        ahead = m->in_n;
    }
    if (st == STOQ_OK && want <= ahead) {
        *out = stoq_span(m->in + m->in_at, want);
        m->in_at += want;
        m->done += want;
        return STOQ_OK;
    }
    stoq_buf_clear(&m->piece);
    if (st == STOQ_OK && want > IN_BYTES) {
        st = stoq_buf_reserve(&m->piece, want);
        if (st != STOQ_OK) {
            return stoq_fail(m->err, st, 0, "no memory to import");
        }
        memcpy(m->piece.p, m->in + m->in_at, ahead);
        m->in_at = m->in_n;
        st = stoq_input_fill(&m->ask->input, m->piece.p + ahead, want - ahead, &got, m->err);
        m->piece.n = st == STOQ_OK ? ahead + got : 0;
        ahead = m->piece.n;
        *out = stoq_buf_span(&m->piece);
    }
    m->done += ahead;
    return st == STOQ_OK && ahead < want ? fail_short(m) : st;
}

static enum stoq_status take_header(struct import *m, const struct stoq_bundle_event *event)
{
    uint64_t bytes = m->ask->input.bytes;
    m->report->header = *event->header;
    m->bytes = event->header->bytes;
    if (bytes != UINT64_MAX && bytes < m->bytes) {
        return stoq_fail(m->err, STOQ_TRUNC, 0,
                         "the bundle is cut: it has %llu of %llu bytes; nothing was imported",
                         (unsigned long long)bytes, (unsigned long long)m->bytes);
    }
    if (bytes != UINT64_MAX && bytes > m->bytes) {
        return stoq_fail(m->err, STOQ_MALFORMED, 0,
                         "%llu bytes follow the bundle's end; nothing was imported",
                         (unsigned long long)(bytes - m->bytes));
    }
    return STOQ_OK;
}

static enum stoq_status take_entry(struct import *m, const struct stoq_bundle_event *event)
{
    if (m->ask->index_only) {
        const struct stoq_import_package p = {.entry = event->entry};
        m->report->packages++;
        if (m->ask->each != NULL) {
            m->ask->each(m->ask->user, &p);
        }
        return STOQ_OK;
    }
    enum stoq_status st = stoq_buf_add(&m->entries, event->stored);
    return st == STOQ_OK ? st : stoq_fail(m->err, st, 0, "no memory to import");
}

static enum stoq_status put(struct import *m, enum stoq_record_type type, struct stoq_span key,
                            struct stoq_span payload)
{
    return stoq_store_put(m->store, type, key, 0, payload, NULL, m->err);
}

static enum stoq_status take_signature(struct import *m, const struct stoq_bundle_event *event)
{
    struct stoq_key_id signer;
    enum stoq_status st = stoq_sign_verify(event->stored, STOQ_SIGN_PACKAGE, &event->id.h, &signer);
    if (st == STOQ_VERSION) {
        return STOQ_OK; /* of an algorithm to come: the package is as good without it */
    }
    if (st == STOQ_NOMEM) {
        return stoq_fail(m->err, st, 0, "no memory to import");
    }
    if (st != STOQ_OK || memcmp(signer.h.b, event->key.p + HASH_BYTES, HASH_BYTES) != 0) {
        return stoq_fail_code(m->err, STOQ_PROOF, "InvalidSignature",
                              "the bundle brings a signature that does not verify");
    }
    return put(m, STOQ_RECORD_SIGNATURE, event->key, event->stored);
}

static enum stoq_status take_chunk(struct import *m, const struct stoq_bundle_event *event)
{
    const struct stoq_stored info = {
        .raw_len = event->raw_len,
        .stored_len = (uint32_t)event->stored.n,
        .flags = (event->flags & STOQ_BUNDLE_ZSTD) != 0 ? STOQ_STORED_ZSTD : 0,
    };
    if (stoq_store_has(m->store, STOQ_RECORD_CHUNK, event->key)) {
        m->report->chunks_had++;
        return STOQ_OK;
    }
    enum stoq_status st =
        stoq_store_put_stored(m->store, STOQ_RECORD_CHUNK, event->key, STOQ_STORE_VERIFY, info,
                              event->stored, NULL, m->err);
    if (st == STOQ_OK) {
        m->report->chunks_new++;
        m->report->bytes_new += info.raw_len;
        m->report->bytes_stored += info.stored_len;
    } else if (st == STOQ_PROOF || st == STOQ_MALFORMED) {
        stoq_error_prefix(m->err, "the bundle is damaged before byte %llu: ",
                          (unsigned long long)stoq_bundle_reader_offset(m->reader));
    }
    return st;
}

/* Record the packages that wait, after all they consist of. */
static enum stoq_status record_waiting(struct import *m, struct stoq_error *err)
{
    if (m->waiting_count == 0) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_store_sync(m->store, err);
    for (size_t i = 0; st == STOQ_OK && i < m->waiting_count; i++) {
        const struct stoq_local_facts facts = {
            .added_at = stoq_wall_seconds(), .complete = true, .made_here = true};
        st = stoq_local_record(m->store, &m->waiting[i], &facts, err);
    }
    if (st == STOQ_OK) {
        st = stoq_store_sync(m->store, err);
    }
    m->waiting_count = 0;
    return st;
}

/* Count the chunks of a shard that are not here. */
static enum stoq_status count_missing(struct import *m, const struct stoq_held *held, size_t i,
                                      struct stoq_buf *list, uint64_t *missing)
{
    uint8_t keys[HASH_BYTES * STOQ_MERKLE_SHARD_CHUNKS_MAX];
    uint8_t here[STOQ_MERKLE_SHARD_CHUNKS_MAX / 8];
    enum stoq_status st = stoq_held_chunk_list(held, i, list, m->err);
    if (st == STOQ_NOTFOUND) {
        *missing += stoq_merkle_shard_at(stoq_held_shard_list(held), i).chunks;
        return STOQ_OK;
    }
    if (st != STOQ_OK) {
        return st;
    }
    size_t n = list->n / STOQ_MERKLE_CHUNK_ENTRY_BYTES;
    for (size_t k = 0; k < n; k++) {
        memcpy(keys + k * HASH_BYTES, list->p + k * STOQ_MERKLE_CHUNK_ENTRY_BYTES, HASH_BYTES);
    }
    st = stoq_store_has_many(m->store, STOQ_RECORD_CHUNK, stoq_span(keys, n * HASH_BYTES), n, here,
                             m->err);
    for (size_t k = 0; st == STOQ_OK && k < n; k++) {
        *missing += (here[k / 8] & 1u << k % 8) == 0;
    }
    return st;
}

static enum stoq_status count_package(struct import *m, const struct stoq_package_id *id,
                                      uint64_t *missing)
{
    struct stoq_held *held = NULL;
    struct stoq_buf list;
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    enum stoq_status st = stoq_held_open(&held, m->store, id, m->err);
    size_t count = st == STOQ_OK ? stoq_held_shard_count(held) : 0;
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        st = count_missing(m, held, i, &list, missing);
    }
    stoq_held_close(held);
    stoq_buf_release(&list);
    return st;
}

static void note_lacking(struct import *m, const struct stoq_import_package *p)
{
    m->report->packages_incomplete++;
    m->lacking_chunks += p->chunks_missing;
    if (m->lacking[0] == 0) {
        (void)snprintf(m->lacking, sizeof m->lacking, "%.*s %.*s", (int)p->entry.name.n,
                       (const char *)p->entry.name.p, (int)p->entry.version.n,
                       (const char *)p->entry.version.p);
    }
}

static enum stoq_status take_package_end(struct import *m, const struct stoq_bundle_event *event)
{
    struct stoq_import_package p = {.existed = stoq_local_has(m->store, &event->id)};
    struct stoq_span rest = stoq_span(m->entries.p + m->entry_at, m->entries.n - m->entry_at);
    size_t n;
    enum stoq_status st = stoq_cbor_item(rest, STOQ_BUNDLE_ENTRY_BYTES_MAX, &n);
    STOQ_ASSERT(st == STOQ_OK); /* the reader has read it once */
    st = stoq_bundle_entry_decode(stoq_span(rest.p, n), &p.entry);
    STOQ_ASSERT(st == STOQ_OK);
    m->entry_at += n;
    st = count_package(m, &event->id, &p.chunks_missing);
    if (st != STOQ_OK) {
        return st;
    }
    m->report->packages++;
    if (p.chunks_missing > 0) {
        note_lacking(m, &p);
    } else if (!p.existed) {
        m->waiting[m->waiting_count++] = event->id;
    }
    if (m->waiting_count == WAITING_MAX) {
        st = record_waiting(m, m->err);
    }
    if (st == STOQ_OK && m->ask->each != NULL) {
        m->ask->each(m->ask->user, &p);
    }
    return st;
}

static enum stoq_status take(struct import *m, const struct stoq_bundle_event *event)
{
    switch (event->kind) {
    case STOQ_BUNDLE_SAW_HEADER:
        return take_header(m, event);
    case STOQ_BUNDLE_SAW_ENTRY:
        return take_entry(m, event);
    case STOQ_BUNDLE_SAW_MANIFEST:
        return put(m, STOQ_RECORD_MANIFEST, event->key, event->stored);
    case STOQ_BUNDLE_SAW_SIGNATURE:
        return take_signature(m, event);
    case STOQ_BUNDLE_SAW_SHARD_LIST:
        return put(m, STOQ_RECORD_SHARD_LIST, event->key, event->stored);
    case STOQ_BUNDLE_SAW_CHUNK_LIST:
        return put(m, STOQ_RECORD_CHUNK_LIST, event->key, event->stored);
    case STOQ_BUNDLE_SAW_CHUNK:
        return take_chunk(m, event);
    case STOQ_BUNDLE_SAW_PACKAGE_END:
        return take_package_end(m, event);
    case STOQ_BUNDLE_SAW_END:
    case STOQ_BUNDLE_WANTS_CHUNK_LIST:
    case STOQ_BUNDLE_NOTHING:
        break;
    }
    return STOQ_OK;
}

/* The reader needs the chunk list of a shard that we should have: load it into m->piece. */
static enum stoq_status load_list(struct import *m, struct stoq_span root)
{
    char hex[2 * HASH_BYTES + 1];
    enum stoq_status st =
        stoq_store_read(m->store, STOQ_RECORD_CHUNK_LIST, root, 0, &m->piece, m->err);
    if (st != STOQ_NOTFOUND) {
        return st;
    }
    stoq_hex_put(hex, root);
    return stoq_fail_code(m->err, st, "ChunkNotFound",
                          "the bundle is for a store that has shard %.16s, which is not here; what "
                          "came before is kept",
                          hex);
}

static enum stoq_status refuse(struct import *m, enum stoq_status st)
{
    return stoq_fail_code(m->err, st, st == STOQ_PROOF ? "IntegrityCheckFailed" : NULL,
                          "the bundle is refused at byte %llu: %s",
                          (unsigned long long)stoq_bundle_reader_offset(m->reader),
                          stoq_bundle_reader_fault(m->reader));
}

/* Nothing may follow the end; where the size is known, that was seen at the start. */
static enum stoq_status check_end(struct import *m)
{
    uint8_t more;
    size_t got = m->in_n - m->in_at;
    enum stoq_status st = STOQ_OK;
    if (got == 0) {
        st = stoq_input_fill(&m->ask->input, &more, 1, &got, m->err);
    }
    return st == STOQ_OK && got > 0
               ? stoq_fail(m->err, STOQ_MALFORMED, 0, "bytes follow the bundle's end")
               : st;
}

static enum stoq_status read_all(struct import *m)
{
    enum stoq_status st = STOQ_OK;
    size_t want;
    uint64_t entries = 0;
    while (st == STOQ_OK && (want = stoq_bundle_reader_want(m->reader)) > 0) {
        struct stoq_span bytes = {0};
        struct stoq_bundle_event event;
        st = take_bytes(m, want, &bytes);
        if (st != STOQ_OK) {
            return st;
        }
        st = stoq_bundle_reader_feed(m->reader, bytes, &event);
        while (st == STOQ_OK && event.kind == STOQ_BUNDLE_WANTS_CHUNK_LIST) {
            st = load_list(m, event.key);
            if (st != STOQ_OK) {
                return st;
            }
            st = stoq_bundle_reader_give(m->reader, stoq_buf_span(&m->piece), &event);
        }
        if (st != STOQ_OK) {
            return refuse(m, st);
        }
        st = take(m, &event);
        entries += event.kind == STOQ_BUNDLE_SAW_ENTRY;
        if (m->ask->index_only && entries == m->report->header.packages && entries > 0) {
            return st;
        }
        if (st == STOQ_OK) {
            st = look_up(m);
        }
    }
    return st == STOQ_OK ? check_end(m) : st;
}

static enum stoq_status run(struct import *m)
{
    enum stoq_status st = stoq_bundle_reader_new(&m->reader);
    m->in = malloc(IN_BYTES);
    if (st != STOQ_OK || m->in == NULL) {
        return stoq_fail(m->err, STOQ_NOMEM, 0, "no memory to import");
    }
    st = read_all(m);
    if (m->ask->index_only) {
        return st;
    }
    /* What came before a failure stays, so that the next import need not bring it again. */
    struct stoq_error ignored;
    enum stoq_status kept = record_waiting(m, st == STOQ_OK ? m->err : &ignored);
    if (kept == STOQ_OK) {
        kept = stoq_store_sync(m->store, st == STOQ_OK ? m->err : &ignored);
    }
    if (st == STOQ_OK) {
        st = kept;
    }
    if (st == STOQ_OK && m->report->packages_incomplete > 0) {
        return stoq_fail_code(
            m->err, STOQ_NOTFOUND, "ChunkNotFound",
            "%s lacks chunks that the bundle leaves out and this store has not: %llu of them in "
            "%llu packages; what came is kept",
            m->lacking, (unsigned long long)m->lacking_chunks,
            (unsigned long long)m->report->packages_incomplete);
    }
    return st;
}

enum stoq_status stoq_import(struct stoq_store *store, const struct stoq_import_ask *ask,
                             struct stoq_import_report *report, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    struct import *m = calloc(1, sizeof *m);
    memset(report, 0, sizeof *report);
    if (m == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to import");
    }
    m->store = store;
    m->ask = ask;
    m->report = report;
    m->err = err;
    stoq_buf_init(&m->piece, (size_t)STOQ_BUNDLE_PAYLOAD_MAX + STOQ_BUNDLE_KEY_MAX);
    stoq_buf_init(&m->entries, (size_t)STOQ_BUNDLE_PACKAGES_MAX * STOQ_BUNDLE_ENTRY_BYTES_MAX);
    enum stoq_status st = run(m);
    stoq_bundle_reader_free(m->reader);
    free(m->in);
    stoq_buf_release(&m->piece);
    stoq_buf_release(&m->entries);
    free(m);
    report->elapsed_ns = stoq_now() - began;
    return st;
}
