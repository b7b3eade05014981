#ifndef STOQ_DAEMON_ENGINE_SCENE_TEST_H
#define STOQ_DAEMON_ENGINE_SCENE_TEST_H
/* An engine that serves a package of a few files, and somebody who is connected to it and asks. */
#include "daemon/engine_dht_internal.h"
#include "daemon/engine_internal.h"
#include "daemon/publish.h"
#include "dht/dht.h"
#include "os/file.h"
#include "os/sys.h"
#include "os/tree_read.h"

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

static inline void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct scene *s = user;
    (void)conn;
    (void)info;
    s->open = true;
    stoq_loop_stop(s->loop);
}

static inline void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct scene *s = user;
    (void)conn;
    (void)info;
    s->open = false;
    if (!s->ends) {
        stoq_loop_stop(s->loop);
    }
}

static inline struct answer *answer_of(struct scene *s, stoq_net_stream stream)
{
    for (size_t i = 0; i < s->answer_count; i++) {
        if (s->answers[i].stream == stream) {
            return &s->answers[i];
        }
    }
    return NULL;
}

static inline void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream,
                           struct stoq_span bytes, bool fin)
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

static inline void on_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
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

static inline void on_alarm(void *user)
{
    (void)user;
    fail_msg("no answer");
}

static inline void make_files(struct scene *s)
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

static inline void leave_dht_file(struct scene *s)
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
static inline void take_dht_file(const struct scene *s, const struct stoq_hash *ended_at)
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

static inline void serve(struct scene *s)
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

static inline void dial(struct scene *s)
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

static inline int begin_with(void **state, bool early)
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

static inline int begin(void **state)
{
    return begin_with(state, false);
}

static inline int begin_early(void **state)
{
    return begin_with(state, true);
}

static inline int end(void **state)
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

static inline struct answer *send_request(struct scene *s, struct stoq_message *msg)
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

static inline void wait_over(struct scene *s, const struct answer *a)
{
    stoq_timer_set(s->alarm, stoq_now() + PATIENCE);
    while (!a->over) {
        assert_true(s->open);
        stoq_loop_run(s->loop);
    }
}

/* Its frame, and what follows it. */
static inline void read_answer(struct scene *s, struct answer *a)
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

static inline struct answer *ask(struct scene *s, struct stoq_message *msg)
{
    s->answer_count = 0;
    struct answer *a = send_request(s, msg);
    wait_over(s, a);
    read_answer(s, a);
    return a;
}

#endif
