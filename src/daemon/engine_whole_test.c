/* An engine that serves, and somebody who asks it over the wire: Request, PackageDownload, Cancel, and who
 * tells it of packages: Announce, Have; what its DHT asks of whom, by their Hello. */
#include "daemon/engine_dht_internal.h"
#include "daemon/engine_internal.h"
#include "daemon/publish.h"
#include "dht/dht.h"
#include "hash/hash.h"
#include "os/file.h"
#include "os/sys.h"
#include "os/tree_read.h"
#include "sign/object.h"
#include "wire/items.h"
#include "wire/opening.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES 20000u /* random, each a chunk of its own or two */
#define FILES 4u          /* the last is a copy of the first */
#define ANSWER_MAX ((size_t)1 << 20)
#define CHUNKS_MAX 32u
#define PATIENCE (60 * STOQ_SEC)

struct answer {
    stoq_net_stream stream;
    uint64_t request_id;
    struct stoq_buf bytes;
    bool over;
    bool was_reset;
    uint64_t code;
    struct stoq_message msg; /* once it is over */
    struct stoq_span payload;
};

struct scene {
    char dir[64];
    char dht[72]; /* what its DHT remembers */
    char tree[64];
    struct stoq_store *store;
    struct stoq_key *key;
    struct stoq_engine *engine;
    struct stoq_package_id id;
    struct stoq_key *own; /* the asker's */
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_timer *alarm;
    stoq_net_conn conn;
    bool open;
    bool ends;
    bool early; /* both ends have it on */
    struct answer answers[2];
    size_t answer_count;
    struct stoq_range ranges[STOQ_REQUEST_RANGES_MAX];
    /* what the package is made of, as PackageDownload tells */
    struct stoq_merkle_chunk chunks[CHUNKS_MAX];
    uint32_t chunk_count;
};

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct scene *s = user;
    (void)conn;
    (void)info;
    s->open = true;
    stoq_loop_stop(s->loop);
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct scene *s = user;
    (void)conn;
    (void)info;
    s->open = false;
    if (!s->ends) {
        stoq_loop_stop(s->loop);
    }
}

static struct answer *answer_of(struct scene *s, stoq_net_stream stream)
{
    for (size_t i = 0; i < s->answer_count; i++) {
        if (s->answers[i].stream == stream) {
            return &s->answers[i];
        }
    }
    return NULL;
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct scene *s = user;
    struct answer *a = answer_of(s, stream);
    stoq_net_consumed(s->net, conn, stream, bytes.n);
    if (a == NULL) {
        return; /* it asks us something */
    }
    assert_int_equal(stoq_buf_add(&a->bytes, bytes), STOQ_OK);
    a->over = a->over || fin;
    stoq_loop_stop(s->loop);
}

static void on_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                     uint64_t code)
{
    struct scene *s = user;
    struct answer *a = answer_of(s, stream);
    (void)conn;
    if (a != NULL && !stop) {
        a->over = true;
        a->was_reset = true;
        a->code = code;
    }
    stoq_loop_stop(s->loop);
}

static void on_alarm(void *user)
{
    (void)user;
    fail_msg("no answer");
}

static void make_files(struct scene *s)
{
    static uint8_t bytes[FILES][FILE_BYTES];
    (void)snprintf(s->tree, sizeof s->tree, "/tmp/stoq-whole-XXXXXX");
    assert_non_null(mkdtemp(s->tree));
    stoq_entropy(bytes, sizeof bytes);
    memcpy(bytes[FILES - 1], bytes[0], FILE_BYTES);
    for (unsigned i = 0; i < FILES; i++) {
        char path[96];
        (void)snprintf(path, sizeof path, "%s/%u", s->tree, i);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes[i], 1, FILE_BYTES, f), FILE_BYTES);
        assert_int_equal(fclose(f), 0);
    }
}

/* Where an earlier daemon's sweep of announcements stood. */
static const struct stoq_hash sweep_at = {{0x5a, 1}};

static void leave_dht_file(struct scene *s)
{
    const struct stoq_dht_file file = {.epoch = 1, .bits = 1, .sweep_at = sweep_at};
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_DHT_FILE_BYTES_MAX);
    assert_int_equal(stoq_dht_file_encode(&file, &bytes), STOQ_OK);
    (void)snprintf(s->dht, sizeof s->dht, "%s-dht", s->dir);
    FILE *f = fopen(s->dht, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
    assert_int_equal(fclose(f), 0);
    stoq_buf_release(&bytes);
}

/* The next daemon's sweep begins where this one's ended. */
static void take_dht_file(const struct scene *s, const struct stoq_hash *ended_at)
{
    struct stoq_dht_file file;
    struct stoq_error err;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_DHT_FILE_BYTES_MAX);
    assert_int_equal(stoq_file_read(s->dht, STOQ_DHT_FILE_BYTES_MAX, &bytes, &err), STOQ_OK);
    assert_int_equal(stoq_dht_file_decode(&file, stoq_buf_span(&bytes)), STOQ_OK);
    assert_true(stoq_hash_eq(&file.sweep_at, ended_at));
    stoq_buf_release(&bytes);
    assert_int_equal(unlink(s->dht), 0);
}

static void serve(struct scene *s)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {7};
    struct stoq_publish_report report;
    struct stoq_addr listen;
    struct stoq_error err;
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/stoq-whole-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    leave_dht_file(s);
    assert_int_equal(stoq_key_from_seed(&s->key, seed), STOQ_OK);
    struct stoq_store_config sc = {.dir = s->dir, .create = true};
    assert_int_equal(stoq_store_open(&s->store, &sc, &err), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&listen, stoq_span_str("[::1]:0"), 0), STOQ_OK);
    struct stoq_engine_config cfg = {.store = s->store,
                                     .key = s->key,
                                     .listen = &listen,
                                     .listen_count = 1,
                                     .exchange = true,
                                     .early_data = s->early,
                                     .dht = {.on = true, .work_bits = 1, .file = s->dht}};
    assert_int_equal(stoq_engine_start(&s->engine, &cfg, &err), STOQ_OK);
    struct stoq_publish_ask ask = {.path = s->tree, .name = "t", .version = "1", .threads = 1};
    assert_int_equal(stoq_publish(s->store, &ask, &report, &err), STOQ_OK);
    s->id = report.id;
}

static void dial(struct scene *s)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {8};
    struct stoq_error err;
    struct stoq_net_dial dial = {.timeout_ns = PATIENCE};
    assert_int_equal(stoq_key_from_seed(&s->own, seed), STOQ_OK);
    assert_int_equal(stoq_loop_new(&s->loop, NULL), STOQ_OK);
    assert_int_equal(stoq_timer_new(&s->alarm, s->loop, on_alarm, s, &err), STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = s->loop,
        .key = s->own,
        .user = s,
        .early_data = s->early,
        .cb = {
            .opened = on_opened, .closed = on_closed, .data = on_data, .stream_ended = on_ended}};
    assert_int_equal(stoq_net_new(&s->net, &cfg, &err), STOQ_OK);
    assert_true(stoq_engine_local_addr(s->engine, 0, &dial.addr));
    assert_int_equal(stoq_net_dial(s->net, &dial, &s->conn), STOQ_OK);
    stoq_timer_set(s->alarm, stoq_now() + PATIENCE);
    stoq_loop_run(s->loop);
    assert_true(s->open);
}

static int begin_with(void **state, bool early)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->early = early;
    make_files(s);
    serve(s);
    dial(s);
    *state = s;
    return 0;
}

static int begin(void **state)
{
    return begin_with(state, false);
}

static int begin_early(void **state)
{
    return begin_with(state, true);
}

static int end(void **state)
{
    struct scene *s = *state;
    struct stoq_error err;
    s->ends = true;
    stoq_net_free(s->net);
    stoq_timer_free(s->alarm);
    stoq_loop_free(s->loop);
    stoq_key_free(s->own);
    struct stoq_engine_dht_status dht;
    stoq_engine_dht_status(s->engine, &dht);
    stoq_engine_stop(s->engine, 0);
    take_dht_file(s, dht.up ? &dht.stats.sweep_at : &sweep_at);
    assert_int_equal(stoq_store_close(s->store, &err), STOQ_OK);
    stoq_key_free(s->key);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, s->dir, NULL), STOQ_OK);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, s->tree, NULL), STOQ_OK);
    for (size_t i = 0; i < STOQ_COUNT(s->answers); i++) {
        stoq_buf_release(&s->answers[i].bytes);
    }
    free(s);
    return 0;
}

static struct answer *send_request(struct scene *s, struct stoq_message *msg)
{
    struct answer *a = &s->answers[s->answer_count++];
    struct stoq_buf frame;
    stoq_buf_release(&a->bytes);
    *a = (struct answer){.request_id = msg->request_id};
    stoq_buf_init(&a->bytes, ANSWER_MAX);
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    assert_int_equal(stoq_message_encode(msg, &frame), STOQ_OK);
    assert_int_equal(stoq_net_stream_open(s->net, s->conn, &a->stream), STOQ_OK);
    assert_int_equal(stoq_net_write_copy(s->net, s->conn, a->stream, stoq_buf_span(&frame), true),
                     STOQ_OK);
    stoq_buf_release(&frame);
    return a;
}

static void wait_over(struct scene *s, const struct answer *a)
{
    stoq_timer_set(s->alarm, stoq_now() + PATIENCE);
    while (!a->over) {
        assert_true(s->open);
        stoq_loop_run(s->loop);
    }
}

/* Its frame, and what follows it. */
static void read_answer(struct scene *s, struct answer *a)
{
    assert_false(a->was_reset);
    assert_true(a->bytes.n > STOQ_FRAME_HEAD_BYTES);
    size_t n = stoq_le32(a->bytes.p);
    assert_true(n <= a->bytes.n - STOQ_FRAME_HEAD_BYTES);
    struct stoq_span cbor = stoq_span(a->bytes.p + STOQ_FRAME_HEAD_BYTES, n);
    assert_int_equal(stoq_message_decode(cbor, s->ranges, &a->msg), STOQ_OK);
    assert_int_equal(a->msg.request_id, a->request_id);
    a->payload = stoq_span(cbor.p + n, a->bytes.n - STOQ_FRAME_HEAD_BYTES - n);
}

static struct answer *ask(struct scene *s, struct stoq_message *msg)
{
    s->answer_count = 0;
    struct answer *a = send_request(s, msg);
    wait_over(s, a);
    read_answer(s, a);
    return a;
}

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

static void say_hello(struct scene *s, uint64_t features)
{
    struct stoq_message msg = {.type = STOQ_MSG_HELLO, .request_id = 1};
    msg.u.hello = (struct stoq_msg_hello){.version_count = 1,
                                          .versions = {1},
                                          .features = features,
                                          .agent = stoq_span_str("test"),
                                          .ranges_max = 1,
                                          .chunks_max = 1,
                                          .frame_bytes_max = STOQ_FRAME_BYTES_MAX};
    assert_int_equal(ask(s, &msg)->msg.type, STOQ_MSG_HELLO);
}

/* The DHT wants this asked of a peer. */
struct wanted {
    struct stoq_node_dht_call call;
    bool sent;
};

static void want(struct stoq_engine *e, void *arg)
{
    struct wanted *w = arg;
    size_t before = e->dht->call_count;
    dht_act(e->dht, &(struct stoq_node_dht_action){.kind = STOQ_NODE_DHT_CALL, .u.call = w->call});
    w->sent = e->dht->call_count > before;
}

static bool is_sent(struct scene *s, struct stoq_message *msg)
{
    struct wanted w = {.call = {.cookie = UINT64_MAX, /* nobody's: the reply is for nobody */
                                .peer = stoq_key_peer_id(s->own),
                                .msg = msg,
                                .timeout_ns = PATIENCE}};
    engine_call(s->engine, want, &w);
    return w.sent;
}

/* Who has said Hello without a feature is not asked what it stands for. */
static void whom_the_dht_asks_what_his_hello_tells(void **state)
{
    static const uint64_t features[] = {STOQ_FEATURE_DHT, STOQ_FEATURE_DHT | STOQ_FEATURE_RENEW,
                                        STOQ_FEATURE_DHT | STOQ_FEATURE_PATCH};
    static const uint8_t bytes[STOQ_PATCH_BYTES] = {1};
    struct stoq_message find = {.type = STOQ_MSG_FIND_NODE, .u.find_node.want = 1};
    const struct stoq_renewal renewal = {
        .spki = stoq_span(bytes, 44), .issued_at_s = 1, .digests = stoq_span(bytes, 8)};
    struct stoq_message renew = {.type = STOQ_MSG_RENEW};
    struct stoq_message patch = {
        .type = STOQ_MSG_PATCH,
        .u.patch = {.sequence = 1, .issued_at_s = 1, .patches = stoq_span(bytes, sizeof bytes)}};
    struct stoq_buf body;
    stoq_buf_init(&body, STOQ_FRAME_BYTES_MAX);
    assert_int_equal(stoq_renewal_encode(&renewal, &body), STOQ_OK);
    renew.u.renew.renewal =
        (struct stoq_signed){stoq_buf_span(&body), stoq_span(bytes, STOQ_PATCH_SIGNATURE_BYTES)};
    for (size_t i = 0; i < STOQ_COUNT(features); i++) {
        struct stoq_dht_announced announced;
        struct stoq_error err;
        (void)begin(state);
        struct scene *s = *state;
        assert_int_equal(stoq_engine_dht_announce(s->engine, &s->id, &announced, NULL, NULL, &err),
                         STOQ_OK);
        say_hello(s, features[i]);
        assert_true(is_sent(s, &find));
        assert_int_equal(is_sent(s, &renew), (features[i] & STOQ_FEATURE_RENEW) != 0);
        assert_int_equal(is_sent(s, &patch), (features[i] & STOQ_FEATURE_PATCH) != 0);
        (void)end(state);
    }
    stoq_buf_release(&body);
}

static void the_sweep_goes_on_where_it_stood(void **state)
{
    struct scene *s = *state;
    struct stoq_engine_dht_status status;
    struct stoq_dht_announced announced;
    struct stoq_error err;
    const struct timespec moment = {.tv_nsec = (long)STOQ_MS};
    stoq_ns end = stoq_now() + PATIENCE;
    struct stoq_fetch_source nobody = {.peer = {{{9}}}};
    assert_int_equal(stoq_addr_parse(&nobody.addr, stoq_span_str("[::1]:9"), 0), STOQ_OK);
    stoq_engine_dht_join(s->engine, &nobody);
    do {
        (void)nanosleep(&moment, NULL);
        stoq_engine_dht_status(s->engine, &status);
    } while (!status.up && stoq_now() < end);
    assert_true(status.up);
    assert_true(stoq_hash_eq(&status.stats.sweep_at, &sweep_at));
    assert_int_equal(stoq_engine_dht_announce(s->engine, &s->id, &announced, NULL, NULL, &err),
                     STOQ_OK);
    stoq_engine_dht_status(s->engine, &status);
    assert_true(announced.enough); /* it is all there is, so the sweep has been there */
    assert_true(stoq_hash_eq(&status.stats.sweep_at, &announced.key));
}

struct offered {
    struct stoq_peer_id peer;
    bool failed;
};

static void see_failed(struct stoq_engine *e, void *arg)
{
    struct offered *o = arg;
    o->failed = stoq_discovery_is_failed(&e->dht->cache, &o->peer, stoq_now());
}

/* Whoever could not be reached, here since another is at that address, is not offered for a while. */
static void a_failed_dial_is_remembered(void **state)
{
    struct scene *s = *state;
    struct stoq_ping_report report;
    struct stoq_error err;
    struct offered o = {.peer = {{{9}}}};
    struct stoq_ping_ask ping = {.timeout_ns = PATIENCE};
    ping.to.peer = o.peer;
    assert_true(stoq_engine_local_addr(s->engine, 0, &ping.to.addr));
    engine_call(s->engine, see_failed, &o);
    assert_false(o.failed);
    assert_int_equal(stoq_engine_ping(s->engine, &ping, &report, &err), STOQ_PROOF);
    engine_call(s->engine, see_failed, &o);
    assert_true(o.failed);
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
        cmocka_unit_test(whom_the_dht_asks_what_his_hello_tells),
        cmocka_unit_test_setup_teardown(the_sweep_goes_on_where_it_stood, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_dial_is_remembered, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
