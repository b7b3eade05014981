/*
 * Bytes that come without their size. The file table stands before them in the stream and names it, so
 * they are cut and stored first and their chunks kept in a list; then comes the table, and then the list
 * goes into the tree behind the table's chunks:
 *
 *     input -> ingest -> list          table -> ingest -> shards <- list
 *
 * The cuts of a file do not depend on its size but for one rule: a tar member that is cut off by the end
 * of the file is no run of its own (docs/FORMATS.md section 4.1). The scanner learns that at the end. What
 * was cut since the boundary before is then read back from the store, where it just went, and cut again
 * as one run; the list goes on behind the entries that this replaces.
 */
#include "daemon/publish_internal.h"

#include "daemon/chunk_log.h"

struct input {
    struct publish *p;
    struct stoq_chunk_log log;
    struct stoq_tar_scan scan; /* where the profile scans */
    uint64_t bytes;
    uint64_t run_begin; /* of the open run, and of the one before */
    uint64_t run_before;
    uint64_t void_first; /* entries of the list that count no more */
    uint64_t void_end;
    struct stoq_buf chunk;
};

static void begin_run(struct input *in, uint64_t at)
{
    in->run_before = in->run_begin;
    in->run_begin = at;
}

/* n more bytes are in the ingest: tell it the runs that end among them. */
static enum stoq_status take(struct input *in, size_t n, struct stoq_error *err)
{
    struct stoq_ingest *ingest = in->p->ingest;
    enum stoq_status st = STOQ_OK;
    stoq_ingest_filled(ingest, n);
    in->bytes += n;
    while (st == STOQ_OK && n > 0 && in->p->profile->scans_tar) {
        bool ends;
        n -= stoq_tar_scan_take(&in->scan, stoq_ingest_last(ingest, n), &ends);
        if (ends) {
            begin_run(in, in->bytes - n);
            st = stoq_ingest_end_run(ingest, n, err);
        }
    }
    return st;
}

static enum stoq_status read_some(struct input *in, size_t *got, struct stoq_error *err)
{
    struct publish *p = in->p;
    uint8_t *room;
    size_t n;
    enum stoq_status st = stoq_ingest_room(p->ingest, &room, &n, err);
    if (st == STOQ_OK) {
        n = n < p->read_bytes ? n : p->read_bytes;
        st = p->ask->input->read(p->ask->input->user, room, n, got, err);
    }
    if (st == STOQ_OK && *got > STOQ_MANIFEST_STREAM_BYTES_MAX - in->bytes) {
        st = stoq_fail(err, STOQ_RANGE, 0, "the input is longer than 2^48 bytes");
    }
    if (st != STOQ_OK || *got == 0) {
        return st;
    }
    st = take(in, *got, err);
    p->progress.bytes_done = in->bytes;
    return st == STOQ_OK ? publish_look_up(p, err) : st;
}

static enum stoq_status read_all(struct input *in, struct stoq_error *err)
{
    struct publish *p = in->p;
    size_t got = 1;
    enum stoq_status st = publish_mark(p, 0, false, err);
    while (st == STOQ_OK && got > 0) {
        st = read_some(in, &got, err);
    }
    if (st == STOQ_OK) {
        st = publish_mark(p, 0, true, err);
    }
    return st == STOQ_OK ? stoq_ingest_drain(p->ingest, err) : st;
}

/* Read a chunk that was just stored. */
static enum stoq_status read_back(struct input *in, const struct stoq_merkle_chunk *chunk,
                                  struct stoq_error *err)
{
    struct stoq_span key = stoq_span(chunk->hash.b, sizeof chunk->hash.b);
    return stoq_store_read(in->p->store, STOQ_RECORD_CHUNK, key, STOQ_STORE_VERIFY, &in->chunk,
                           err);
}

/* The entries from the byte `from` on count no more, and their bytes go through the ingest once more. */
static enum stoq_status cut_again(struct input *in, uint64_t from, struct stoq_error *err)
{
    uint64_t at = 0;
    uint64_t end = stoq_chunk_log_count(&in->log);
    enum stoq_status st = STOQ_OK;
    for (uint64_t i = 0; st == STOQ_OK && i < end; i++) {
        struct stoq_merkle_chunk chunk;
        st = stoq_chunk_log_at(&in->log, i, &chunk, err);
        if (st == STOQ_OK && at >= from) {
            in->void_first = at == from ? i : in->void_first;
            st = read_back(in, &chunk, err);
        }
        if (st == STOQ_OK && at >= from) {
            st = stoq_ingest_add(in->p->ingest, stoq_buf_span(&in->chunk), err);
        }
        if (st == STOQ_OK) {
            st = publish_look_up(in->p, err);
        }
        at += st == STOQ_OK ? chunk.bytes : 0;
    }
    in->void_end = end;
    return st == STOQ_OK ? stoq_ingest_drain(in->p->ingest, err) : st;
}

static enum stoq_status put_table(struct input *in, struct stoq_error *err)
{
    struct publish *p = in->p;
    const struct stoq_entry e = {
        .path = stoq_span_str(publish_entry_name(p)),
        .kind = STOQ_ENTRY_FILE,
        .size = in->bytes,
    };
    stoq_ingest_set_sink(p->ingest, (struct stoq_chunk_sink){stoq_shards_add, p->shards});
    enum stoq_status st = publish_entry(p, &e, err);
    p->report->table_bytes = p->table.table_bytes;
    p->progress.entries = 1;
    p->progress.bytes_total = p->table.table_bytes + in->bytes;
    if (st == STOQ_OK && p->progress.bytes_total > STOQ_MANIFEST_STREAM_BYTES_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "the input is longer than 2^48 bytes");
    }
    return st == STOQ_OK ? stoq_ingest_drain(p->ingest, err) : st;
}

/* The list into the tree. A digest of the whole stream begins with the table, so it reads all again. */
static enum stoq_status put_chunks(struct input *in, struct stoq_error *err)
{
    struct publish *p = in->p;
    uint64_t count = stoq_chunk_log_count(&in->log);
    enum stoq_status st = STOQ_OK;
    for (uint64_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_merkle_chunk chunk;
        if (i == in->void_first) {
            i = in->void_end;
        }
        st = stoq_chunk_log_at(&in->log, i, &chunk, err);
        if (st == STOQ_OK) {
            st = stoq_shards_add(p->shards, &chunk, err);
        }
        if (st == STOQ_OK && p->ask->secondary != STOQ_HASH_NONE) {
            st = read_back(in, &chunk, err);
            publish_hash(p, stoq_buf_span(&in->chunk));
        }
        if (st == STOQ_OK) {
            st = publish_look_up(p, err);
        }
    }
    return st;
}

static enum stoq_status publish_bytes(struct input *in, struct stoq_error *err)
{
    enum stoq_status st = read_all(in, err);
    if (st == STOQ_OK && in->p->profile->scans_tar && stoq_tar_scan_breaks_off(&in->scan)) {
        st = cut_again(in, in->run_before, err);
    }
    if (st == STOQ_OK) {
        st = put_table(in, err);
    }
    return st == STOQ_OK ? put_chunks(in, err) : st;
}

enum stoq_status publish_input(struct publish *p, struct stoq_error *err)
{
    struct input in = {.p = p, .void_first = UINT64_MAX};
    stoq_tar_scan_init(&in.scan, STOQ_MANIFEST_STREAM_BYTES_MAX, p->profile->run_bytes_min);
    stoq_chunk_log_init(&in.log, p->ask->scratch_dir);
    stoq_buf_init(&in.chunk, STOQ_MANIFEST_CHUNK_BYTES_MAX);
    stoq_ingest_set_sink(p->ingest, (struct stoq_chunk_sink){stoq_chunk_log_add, &in.log});
    enum stoq_status st = publish_bytes(&in, err);
    stoq_chunk_log_release(&in.log);
    stoq_buf_release(&in.chunk);
    return st;
}
