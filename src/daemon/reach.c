#include "daemon/reach.h"

#include "daemon/content.h"
#include "daemon/held.h"

#include <string.h>

#define HASH_BYTES 32

static struct stoq_span key_of(const struct stoq_hash *h)
{
    return stoq_span(h->b, HASH_BYTES);
}

/* A fetch that has not come as far as a list has none of its chunks either. */
static enum stoq_status reach_stream(const struct stoq_stream *stream,
                                     void (*each)(void *user, struct stoq_span key), void *user,
                                     struct stoq_error *err)
{
    struct stoq_buf list;
    enum stoq_status st = STOQ_OK;
    size_t count = stoq_stream_shard_count(stream);
    stoq_buf_init(&list, (size_t)STOQ_MERKLE_SHARD_CHUNKS_MAX * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        struct stoq_merkle_shard shard = stoq_merkle_shard_at(stoq_stream_shard_list(stream), i);
        each(user, key_of(&shard.root));
        st = stoq_stream_chunk_list(stream, i, &list, err);
        for (size_t k = 0; st == STOQ_OK && k < list.n / STOQ_MERKLE_CHUNK_ENTRY_BYTES; k++) {
            struct stoq_merkle_chunk c = stoq_merkle_chunk_at(stoq_buf_span(&list), k);
            each(user, key_of(&c.hash));
        }
        st = st == STOQ_NOTFOUND ? STOQ_OK : st;
    }
    stoq_buf_release(&list);
    return st;
}

static enum stoq_status reach_package(struct stoq_store *store, const struct stoq_subject *subject,
                                      void (*each)(void *user, struct stoq_span key), void *user,
                                      struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_held *held;
    memcpy(id.h.b, subject->b, HASH_BYTES);
    enum stoq_status st = stoq_held_look(&held, store, &id, err);
    if (st == STOQ_OK) {
        each(user, key_of(&stoq_held_manifest(held)->root));
        st = reach_stream(stoq_held_stream(held), each, user, err);
        stoq_held_close(held);
    }
    return st;
}

static enum stoq_status reach_content(struct stoq_store *store, const struct stoq_subject *subject,
                                      void (*each)(void *user, struct stoq_span key), void *user,
                                      struct stoq_error *err)
{
    struct stoq_address address = {.algorithm = subject->b[0]};
    struct stoq_content content;
    struct stoq_stream *stream;
    memcpy(address.digest.b, subject->b + 1, HASH_BYTES);
    enum stoq_status st = stoq_content_info(store, &address, &content, err);
    if (st == STOQ_OK) {
        st = stoq_stream_open(&stream, store, &content.root, err);
    }
    if (st == STOQ_OK) {
        each(user, key_of(&content.root.hash));
        st = reach_stream(stream, each, user, err);
        stoq_stream_close(stream);
    }
    return st;
}

enum stoq_status stoq_reach(struct stoq_store *store, const struct stoq_subject *subject,
                            void (*each)(void *user, struct stoq_span key), void *user,
                            struct stoq_error *err)
{
    return stoq_subject_is_package(subject) ? reach_package(store, subject, each, user, err)
                                            : reach_content(store, subject, each, user, err);
}
