/* An engine that serves, and somebody who asks it over the wire: Request, PackageDownload, Cancel, and who
 * tells it of packages: Announce, Have. */
#include "daemon/engine_scene_test.h"

#include "hash/hash.h"
#include "sign/object.h"
#include "wire/items.h"
#include "wire/opening.h"

/* The next item of a payload; its bytes, unpacked, are chunk i, or it is missing (i: CHUNKS_MAX). */
static void check_item(const struct scene *s, struct stoq_span *payload, uint32_t i, bool proofs)
{
    struct stoq_item item;
    struct stoq_buf raw;
    stoq_buf_init(&raw, STOQ_ITEM_RAW_MAX);
    assert_true(payload->n >= STOQ_ITEM_HEAD_BYTES);
    assert_int_equal(stoq_item_head_get(payload->p, &item), STOQ_OK);
    if (i == CHUNKS_MAX) {
        assert_int_equal(item.encoding, STOQ_ITEM_MISSING);
    } else {
        struct stoq_stored info = {.raw_len = item.raw_len,
                                   .stored_len = item.stored_len,
                                   .flags = item.encoding == STOQ_ITEM_ZSTD ? STOQ_STORED_ZSTD : 0};
        assert_int_equal(item.proof_len > 0, proofs && s->chunk_count > 1);
        struct stoq_span stored =
            stoq_span(payload->p + STOQ_ITEM_HEAD_BYTES + item.proof_len, item.stored_len);
        assert_int_equal(stoq_store_decode(info, stored, STOQ_ITEM_RAW_MAX, &raw, NULL), STOQ_OK);
        struct stoq_hash h = stoq_hash_blake3(stoq_buf_span(&raw));
        assert_true(stoq_hash_eq(&h, &s->chunks[i].hash));
    }
    size_t n = STOQ_ITEM_HEAD_BYTES + item.proof_len + item.stored_len;
    *payload = stoq_span(payload->p + n, payload->n - n);
    stoq_buf_release(&raw);
}

static struct stoq_span take(struct stoq_span *s, size_t n)
{
    assert_true(s->n >= n);
    struct stoq_span out = stoq_span(s->p, n);
    *s = stoq_span(s->p + n, s->n - n);
    return out;
}

static struct stoq_span take_framed(struct stoq_span *s)
{
    struct stoq_span head = take(s, 4);
    return take(s, stoq_le32(head.p));
}

/* Metadata of a PackageDownload: everything that a fetch would ask for one by one. */
static void learn(struct scene *s, struct stoq_span meta)
{
    static struct stoq_manifest m;
    struct stoq_span manifest = take_framed(&meta);
    struct stoq_hash h = stoq_hash_blake3(manifest);
    assert_true(stoq_hash_eq(&h, &s->id.h));
    assert_int_equal(stoq_manifest_decode(manifest, &m), STOQ_OK);
    (void)take_framed(&meta);
    (void)take(&meta, m.shards * 48);
    assert_int_equal(meta.n, m.chunks * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    assert_in_range(m.chunks, FILES + 1, CHUNKS_MAX);
    s->chunk_count = (uint32_t)m.chunks;
    for (uint32_t i = 0; i < s->chunk_count; i++) {
        s->chunks[i] = stoq_merkle_chunk_at(meta, i);
    }
}

static void download(struct scene *s)
{
    struct stoq_message msg = {.type = STOQ_MSG_PACKAGE_DOWNLOAD, .request_id = 70};
    msg.u.package_download.id = s->id;
    struct answer *a = ask(s, &msg);
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_PACKAGE);
    struct stoq_span payload = a->payload;
    learn(s, take(&payload, (size_t)a->msg.u.response.payload_bytes));
    assert_int_equal(a->msg.u.response.items, s->chunk_count);
    for (uint32_t i = 0; i < s->chunk_count; i++) {
        check_item(s, &payload, i, false);
    }
    assert_int_equal(payload.n, 0);
}

static void a_package_comes_in_one_answer(void **state)
{
    struct scene *s = *state;
    download(s);
    /* But for what is held: nothing is left, its metadata come all the same. */
    const struct stoq_range all = {0, s->chunk_count};
    struct stoq_message msg = {.type = STOQ_MSG_PACKAGE_DOWNLOAD, .request_id = 71};
    msg.u.package_download.id = s->id;
    msg.u.package_download.held = &all;
    msg.u.package_download.held_count = 1;
    struct answer *a = ask(s, &msg);
    assert_int_equal(a->msg.u.response.items, 0);
    assert_int_equal(a->payload.n, a->msg.u.response.payload_bytes);
    learn(s, a->payload);
}

static void the_rest_is_what_is_not_held(void **state)
{
    struct scene *s = *state;
    download(s);
    const struct stoq_range held[2] = {{0, 1}, {2, 1}};
    struct stoq_message msg = {.type = STOQ_MSG_REQUEST, .request_id = 72};
    msg.u.request =
        (struct stoq_msg_request){.id = s->id, .held = held, .held_count = 2, .want_proofs = true};
    struct answer *a = ask(s, &msg);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_ALL_CHUNKS);
    assert_int_equal(a->msg.u.response.items, s->chunk_count - 2);
    struct stoq_span payload = a->payload;
    check_item(s, &payload, 1, true);
    for (uint32_t i = 3; i < s->chunk_count; i++) {
        check_item(s, &payload, i, true);
    }
    assert_int_equal(payload.n, 0);
    /* All of it is held. */
    const struct stoq_range all = {0, s->chunk_count};
    msg.u.request.held = &all;
    msg.u.request.held_count = 1;
    a = ask(s, &msg);
    assert_int_equal(a->msg.u.response.items, 0);
    assert_int_equal(a->payload.n, 0);
    /* More than there is cannot be held; nothing of a package that is not here can be wanted. */
    const struct stoq_range more = {1, s->chunk_count};
    msg.u.request.held = &more;
    a = ask(s, &msg);
    assert_int_equal(a->msg.type, STOQ_MSG_ERROR);
    assert_int_equal(a->msg.u.error.code, STOQ_ERR_INVALID_CHUNK_INDEX);
    msg.u.request.held_count = 0;
    msg.u.request.id.h.b[0] ^= 1;
    a = ask(s, &msg);
    assert_int_equal(a->msg.type, STOQ_MSG_ERROR);
    assert_int_equal(a->msg.u.error.code, STOQ_ERR_CONTENT_NOT_FOUND);
}

static void chunks_come_by_their_hashes(void **state)
{
    struct scene *s = *state;
    uint8_t hashes[4][32];
    download(s);
    memcpy(hashes[0], s->chunks[2].hash.b, 32);
    memset(hashes[1], 0xee, 32);
    memcpy(hashes[2], s->chunks[0].hash.b, 32);
    memcpy(hashes[3], s->chunks[2].hash.b, 32);
    struct stoq_message msg = {.type = STOQ_MSG_REQUEST, .request_id = 73};
    msg.u.request =
        (struct stoq_msg_request){.id = s->id, .hashes = stoq_span(hashes[0], sizeof hashes)};
    struct answer *a = ask(s, &msg);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_CHUNKS);
    assert_int_equal(a->msg.u.response.items, 4);
    struct stoq_span payload = a->payload;
    check_item(s, &payload, 2, false);
    check_item(s, &payload, CHUNKS_MAX, false);
    check_item(s, &payload, 0, false);
    check_item(s, &payload, 2, false);
    assert_int_equal(payload.n, 0);
}

static bool remember_key(void *user, struct stoq_span key, struct stoq_stored info)
{
    (void)info;
    return stoq_buf_add(user, key) == STOQ_OK;
}

/* The store has no chunk list any more: whoever gets one gets it out of memory. */
static void delete_lists(struct scene *s)
{
    struct stoq_error err;
    struct stoq_buf keys;
    stoq_buf_init(&keys, STOQ_KIB);
    assert_int_equal(stoq_store_each(s->store, STOQ_RECORD_CHUNK_LIST, remember_key, &keys, &err),
                     STOQ_OK);
    assert_true(keys.n > 0);
    for (size_t i = 0; i < keys.n; i += 32) {
        assert_int_equal(
            stoq_store_delete(s->store, STOQ_RECORD_CHUNK_LIST, stoq_span(keys.p + i, 32), &err),
            STOQ_OK);
    }
    stoq_buf_release(&keys);
}

/* The first asker has the lists read and compared with their hashes, the others get the same ones. */
static void lists_are_read_once_for_all_askers(void **state)
{
    struct scene *s = *state;
    struct stoq_message query = {.type = STOQ_MSG_METADATA_QUERY, .request_id = 80};
    query.u.metadata_query = (struct stoq_msg_metadata_query){
        .id = s->id, .kind = STOQ_META_CHUNK_LISTS, .shards = {0, 1}};
    struct answer *a = ask(s, &query);
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    size_t n = a->payload.n;
    assert_true(n >= FILES * STOQ_MERKLE_CHUNK_ENTRY_BYTES);
    delete_lists(s);
    a = ask(s, &query);
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    assert_int_equal(a->payload.n, n);
    query.u.metadata_query =
        (struct stoq_msg_metadata_query){.id = s->id, .kind = STOQ_META_OPENING};
    a = ask(s, &query);
    struct stoq_opening opening;
    assert_int_equal(stoq_opening_get(a->payload, &opening), STOQ_OK);
    assert_int_equal(opening.lists.n, STOQ_MERKLE_SHARD_ENTRY_BYTES + n);
    download(s);
    chunks_come_by_their_hashes(state);
}

/* A reply that waits for a cap ends when its request is taken back by number. */
static void a_request_is_taken_back_by_its_number(void **state)
{
    struct scene *s = *state;
    const struct stoq_qos_whose all = {.scope = STOQ_QOS_ALL};
    const uint64_t rate = 1;
    assert_int_equal(stoq_engine_limit(s->engine, &all, &rate, NULL), STOQ_OK);
    s->answer_count = 0;
    struct stoq_message msg = {.type = STOQ_MSG_REQUEST, .request_id = 74};
    msg.u.request.id = s->id;
    struct answer *waits = send_request(s, &msg);
    while (waits->bytes.n == 0) { /* its head has come */
        stoq_loop_run(s->loop);
    }
    assert_false(waits->over);
    struct stoq_message cancel = {.type = STOQ_MSG_CANCEL, .request_id = 75};
    cancel.u.cancel.request_id = 74;
    struct answer *a = send_request(s, &cancel);
    wait_over(s, a);
    read_answer(s, a);
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_ACCEPTED);
    wait_over(s, waits);
    assert_true(waits->was_reset);
    assert_int_equal(waits->code, STOQ_APP_CANCELLED);
    /* One that is over, or never was, is fine. */
    a = ask(s, &cancel);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_ACCEPTED);
}

/* What an announcement says wrongly; 0: nothing. */
enum lie {
    HONEST,
    OTHERS_RECORD,  /* signed by somebody else, with whom there is no connection */
    OTHERS_PACKAGE, /* the record is of another one */
    FORGED,
    OVER, /* its time */
};

struct announced {
    struct stoq_package_id id;
    uint64_t sequence;
    bool gone;
    enum lie lie;
};

static void put_record(const struct scene *s, const struct announced *what, struct stoq_buf *out)
{
    static const uint8_t addresses[STOQ_CONTACT_ADDRESS_BYTES] = {[15] = 1, [16] = 9};
    struct stoq_key *signer = s->own;
    struct stoq_package_id of = what->id;
    struct stoq_buf body;
    of.h.b[0] ^= what->lie == OTHERS_PACKAGE;
    if (what->lie == OTHERS_RECORD) {
        signer = s->key;
    }
    struct stoq_contact rec = {.spki = stoq_key_spki(signer),
                               .addresses = stoq_span(addresses, what->gone ? 0 : sizeof addresses),
                               .sequence = what->sequence,
                               .issued_at_s = stoq_wall_seconds() - (what->lie == OVER ? 700 : 0),
                               .ttl_s = 600,
                               .has_rpc_key = true,
                               .has_key = true,
                               .key = stoq_dht_key(&of)};
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    assert_int_equal(stoq_contact_encode(&rec, &body), STOQ_OK);
    assert_int_equal(stoq_object_sign(signer, STOQ_SIGN_LOCATION, stoq_buf_span(&body), out),
                     STOQ_OK);
    out->p[out->n - 1] ^= what->lie == FORGED;
    stoq_buf_release(&body);
}

/* The error it is answered with; 0: it is taken in. */
static uint64_t announce(struct scene *s, const struct announced *what)
{
    struct stoq_buf item;
    struct stoq_message msg = {
        .type = STOQ_MSG_ANNOUNCE,
        .request_id = 80,
        .u.announce = {
            .id = what->id, .name = stoq_span_str("n"), .version = stoq_span_str("1"), .bytes = 5}};
    stoq_buf_init(&item, STOQ_SIGNED_BODY_MAX + STOQ_SIGNED_SIGNATURE_MAX + 16);
    put_record(s, what, &item);
    struct stoq_span items = stoq_buf_span(&item);
    assert_true(stoq_signed_next(&items, &msg.u.announce.record));
    struct answer *a = ask(s, &msg);
    stoq_buf_release(&item);
    if (a->msg.type == STOQ_MSG_ERROR) {
        return a->msg.u.error.code;
    }
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_ACCEPTED);
    return 0;
}

static size_t tellers(const struct scene *s, const struct stoq_package_id *id)
{
    struct stoq_fetch_source list[4];
    size_t n = stoq_engine_tellers(s->engine, id, list, STOQ_COUNT(list));
    struct stoq_peer_id own = stoq_key_peer_id(s->own);
    for (size_t i = 0; i < n; i++) {
        assert_true(stoq_hash_eq(&list[i].peer.h, &own.h));
        assert_int_equal(list[i].addr.port, 9); /* as the record has it, where it is seen */
    }
    return n;
}

static void announcements_are_proven_and_the_newest_counts(void **state)
{
    struct scene *s = *state;
    struct announced one = {.id = {{{1}}}, .sequence = 100};
    struct announced two = {.id = {{{2}}}, .sequence = 100};
    assert_int_equal(announce(s, &one), 0);
    assert_int_equal(announce(s, &one), 0); /* the same again */
    assert_int_equal(tellers(s, &one.id), 1);
    two.lie = OTHERS_RECORD;
    assert_int_equal(announce(s, &two), STOQ_ERR_REFUSED);
    two.lie = OTHERS_PACKAGE;
    assert_int_equal(announce(s, &two), STOQ_ERR_REFUSED);
    two.lie = FORGED;
    assert_int_equal(announce(s, &two), STOQ_ERR_SIGNATURE_REJECTED);
    two.lie = OVER;
    assert_int_equal(announce(s, &two), STOQ_ERR_STALE);
    assert_int_equal(tellers(s, &two.id), 0);
    one.sequence = 99;
    assert_int_equal(announce(s, &one), STOQ_ERR_STALE);
    one.sequence = 101;
    one.gone = true;
    assert_int_equal(announce(s, &one), 0);
    assert_int_equal(tellers(s, &one.id), 0);
    one.sequence = 100;
    one.gone = false;
    assert_int_equal(announce(s, &one), STOQ_ERR_STALE); /* it was taken back since */
    assert_int_equal(tellers(s, &one.id), 0);
    struct stoq_engine_tell counts;
    stoq_engine_tell(s->engine, &counts);
    assert_int_equal(counts.taken, 2);
    assert_int_equal(counts.refused, 6);
    assert_int_equal(counts.forged, 1);
    assert_int_equal(counts.kept, 0);
}

/* End the connection and ask in the first packets of the next one, as soon as there is a ticket for that. */
static struct answer *ask_early(struct scene *s, struct stoq_message *msg)
{
    struct stoq_peer_id pin = stoq_key_peer_id(s->key);
    struct stoq_net_dial again = {.timeout_ns = PATIENCE, .pin = &pin};
    assert_true(stoq_engine_local_addr(s->engine, 0, &again.addr));
    for (;;) {
        struct stoq_message ping = {.type = STOQ_MSG_PING, .request_id = 1};
        (void)ask(s, &ping);
        stoq_net_close(s->net, s->conn, STOQ_APP_NONE, "");
        while (s->open) {
            stoq_loop_run(s->loop);
        }
        assert_int_equal(stoq_net_dial(s->net, &again, &s->conn), STOQ_OK);
        s->answer_count = 0;
        struct answer *a = stoq_net_early(s->net, s->conn) ? send_request(s, msg) : NULL;
        while (!s->open) {
            stoq_loop_run(s->loop);
        }
        if (a != NULL) {
            wait_over(s, a);
            read_answer(s, a);
            return a;
        }
    }
}

/* Early data can be sent again by anybody: it asks what may be asked twice, and nothing else. */
static void early_data_only_asks(void **state)
{
    struct scene *s = *state;
    struct stoq_message query = {.type = STOQ_MSG_METADATA_QUERY,
                                 .request_id = 91,
                                 .u.metadata_query = {.id = s->id, .kind = STOQ_META_MANIFEST}};
    assert_int_equal(ask_early(s, &query)->msg.type, STOQ_MSG_RESPONSE);
    struct stoq_message all = {.type = STOQ_MSG_REQUEST, .request_id = 92};
    all.u.request.id = s->id;
    struct stoq_message have = {.type = STOQ_MSG_HAVE, .request_id = 93, .u.have = {.id = s->id}};
    struct stoq_message *const late[] = {&all, &have};
    for (size_t i = 0; i < STOQ_COUNT(late); i++) {
        struct answer *a = ask_early(s, late[i]);
        assert_int_equal(a->msg.type, STOQ_MSG_ERROR);
        assert_int_equal(a->msg.u.error.code, STOQ_ERR_REFUSED);
        assert_int_equal(ask(s, late[i])->msg.type, STOQ_MSG_RESPONSE);
    }
}

static void what_a_peer_has_is_taken_in(void **state)
{
    struct scene *s = *state;
    struct stoq_message msg = {.type = STOQ_MSG_HAVE, .request_id = 81, .u.have = {.id = s->id}};
    struct answer *a = ask(s, &msg);
    assert_int_equal(a->msg.type, STOQ_MSG_RESPONSE);
    assert_int_equal(a->msg.u.response.kind, STOQ_META_ACCEPTED);
}

static void who_announces_without_end_is_held_up(void **state)
{
    struct scene *s = *state;
    struct announced what = {.id = {{{1}}}};
    uint64_t code = 0;
    while (code == 0 && what.sequence < 4000) {
        what.sequence++;
        code = announce(s, &what);
    }
    assert_int_equal(code, STOQ_ERR_BUSY);
    assert_true(what.sequence > 256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_package_comes_in_one_answer, begin, end),
        cmocka_unit_test_setup_teardown(the_rest_is_what_is_not_held, begin, end),
        cmocka_unit_test_setup_teardown(chunks_come_by_their_hashes, begin, end),
        cmocka_unit_test_setup_teardown(lists_are_read_once_for_all_askers, begin, end),
        cmocka_unit_test_setup_teardown(a_request_is_taken_back_by_its_number, begin, end),
        cmocka_unit_test_setup_teardown(announcements_are_proven_and_the_newest_counts, begin, end),
        cmocka_unit_test_setup_teardown(early_data_only_asks, begin_early, end),
        cmocka_unit_test_setup_teardown(what_a_peer_has_is_taken_in, begin, end),
        cmocka_unit_test_setup_teardown(who_announces_without_end_is_held_up, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
