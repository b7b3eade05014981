/*
 * Publishes PATH into the store at DIR and gives the package a second manifest, whose secondary digest
 * is not that of the content; prints its id. Everything else about that package is right.
 *
 * Usage: lying_publisher DIR PATH
 */
#include <stdio.h>
#include <string.h>

#include "daemon/held.h"
#include "daemon/local.h"
#include "daemon/publish.h"
#include "wire/bech32m.h"

static enum stoq_status lie(struct stoq_store *store, const struct stoq_package_id *id,
                            struct stoq_package_id *out, struct stoq_error *err)
{
    struct stoq_held *held;
    struct stoq_buf bytes;
    enum stoq_status st = stoq_held_open(&held, store, id, err);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_manifest m = *stoq_held_manifest(held);
    uint8_t digest[STOQ_DIGEST_MAX];
    memcpy(digest, m.secondary_digest.p, m.secondary_digest.n);
    digest[0] ^= 1;
    m.secondary_digest.p = digest;
    stoq_buf_init(&bytes, STOQ_MANIFEST_BYTES_MAX);
    st = stoq_manifest_encode(&m, &bytes);
    if (st == STOQ_OK) {
        *out = stoq_manifest_id(stoq_buf_span(&bytes));
        st = stoq_store_put(store, STOQ_RECORD_MANIFEST, stoq_span(out->h.b, 32), 0,
                            stoq_buf_span(&bytes), NULL, err);
    }
    if (st == STOQ_OK) {
        st = stoq_local_record(
            store, out, &(struct stoq_local_facts){.added_at = 1700000000, .complete = true}, err);
    }
    stoq_buf_release(&bytes);
    stoq_held_close(held);
    return st;
}

int main(int argc, char **argv)
{
    struct stoq_error err = {0};
    struct stoq_store *store;
    struct stoq_package_id id;
    struct stoq_publish_report report;
    char text[STOQ_ID_TEXT_CAP];
    if (argc != 3) {
        return 2;
    }
    const struct stoq_store_config cfg = {.dir = argv[1], .create = true};
    const struct stoq_publish_ask ask = {
        .path = argv[2], .name = "lie", .version = "1", .secondary = STOQ_HASH_SHA256};
    enum stoq_status st = stoq_store_open(&store, &cfg, &err);
    if (st == STOQ_OK) {
        st = stoq_publish(store, &ask, &report, &err);
        st = st == STOQ_OK ? lie(store, &report.id, &id, &err) : st;
        enum stoq_status closed = stoq_store_close(store, &err);
        st = st == STOQ_OK ? closed : st;
    }
    if (st != STOQ_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    stoq_package_id_put(text, &id);
    (void)puts(text);
    return 0;
}
