/* An engine, and somebody who asks it for much at once and uses nothing of it: how much it makes ready. */
#include "daemon/engine_internal.h"
#include "daemon/publish.h"
#include "os/sys.h"
#include "os/tree_read.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_BYTES ((size_t)4 << 20)
#define REPLIES 48 /* each is a megabyte ahead: more than fits into any room */
#define PATIENCE (60 * STOQ_SEC)

struct scene {
    char dir[64];
    char path[96];
    struct stoq_store *store;
    struct stoq_key *key;
    struct stoq_engine *engine;
    struct stoq_package_id id;
    struct stoq_key *own; /* the asker's */
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_timer *tick;
    stoq_ns began;
    stoq_net_conn conn;
    bool open;
    /* as the engine's thread sees it */
    uint64_t most;
    bool waits;
    uint64_t held;
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
    (void)user;
    (void)conn;
    (void)info;
}

/* Nothing is consumed: the credit that it began with is all there is. */
static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    (void)user;
    (void)conn;
    (void)stream;
    (void)bytes;
    (void)fin;
}

static void on_tick(void *user)
{
    struct scene *s = user;
    assert_true(stoq_now() - s->began < PATIENCE);
    stoq_loop_stop(s->loop);
}

static void run(struct scene *s)
{
    stoq_timer_set(s->tick, stoq_now() + 5 * STOQ_MS);
    stoq_loop_run(s->loop);
}

static void serve(struct scene *s)
{
    static const uint8_t seed[STOQ_KEY_SEED_BYTES] = {7};
    struct stoq_publish_report report;
    struct stoq_addr listen;
    struct stoq_error err;
    uint8_t *bytes = malloc(FILE_BYTES);
    assert_non_null(bytes);
    stoq_entropy(bytes, FILE_BYTES);
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/stoq-room-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/file", s->dir);
    FILE *f = fopen(s->path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, FILE_BYTES, f), FILE_BYTES);
    assert_int_equal(fclose(f), 0);
    free(bytes);
    assert_int_equal(stoq_key_from_seed(&s->key, seed), STOQ_OK);
    struct stoq_store_config sc = {.dir = s->dir, .create = true};
    assert_int_equal(stoq_store_open(&s->store, &sc, &err), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&listen, stoq_span_str("[::1]:0"), 0), STOQ_OK);
    struct stoq_engine_config cfg = {
        .store = s->store, .key = s->key, .listen = &listen, .listen_count = 1};
    assert_int_equal(stoq_engine_start(&s->engine, &cfg, &err), STOQ_OK);
    struct stoq_publish_ask ask = {.path = s->path, .name = "t", .version = "1", .threads = 1};
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
    assert_int_equal(stoq_timer_new(&s->tick, s->loop, on_tick, s, &err), STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = s->loop,
        .key = s->own,
        .user = s,
        .cb = {.opened = on_opened, .closed = on_closed, .data = on_data}};
    assert_int_equal(stoq_net_new(&s->net, &cfg, &err), STOQ_OK);
    assert_true(stoq_engine_local_addr(s->engine, 0, &dial.addr));
    assert_int_equal(stoq_net_dial(s->net, &dial, &s->conn), STOQ_OK);
    s->began = stoq_now();
    while (!s->open) {
        run(s);
    }
}

static int begin(void **state)
{
    struct scene *s = calloc(1, sizeof *s);
    assert_non_null(s);
    serve(s);
    dial(s);
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct scene *s = *state;
    struct stoq_error err;
    stoq_net_free(s->net);
    stoq_timer_free(s->tick);
    stoq_loop_free(s->loop);
    stoq_key_free(s->own);
    stoq_engine_stop(s->engine, 0);
    assert_int_equal(stoq_store_close(s->store, &err), STOQ_OK);
    stoq_key_free(s->key);
    assert_int_equal(stoq_tree_remove(AT_FDCWD, s->dir, NULL), STOQ_OK);
    free(s);
    return 0;
}

static void ask_for_all(struct scene *s, uint64_t number)
{
    struct stoq_message msg = {.type = STOQ_MSG_REQUEST, .request_id = number};
    struct stoq_buf frame;
    stoq_net_stream stream;
    msg.u.request.id = s->id;
    stoq_buf_init(&frame, STOQ_FRAME_BYTES_MAX + STOQ_FRAME_HEAD_BYTES);
    assert_int_equal(stoq_message_encode(&msg, &frame), STOQ_OK);
    assert_int_equal(stoq_net_stream_open(s->net, s->conn, &stream), STOQ_OK);
    assert_int_equal(stoq_net_write_copy(s->net, s->conn, stream, stoq_buf_span(&frame), true),
                     STOQ_OK);
    stoq_buf_release(&frame);
}

static void as_if_far(struct stoq_engine *e, void *user)
{
    (void)user;
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        e->peers[i]->serve_most = ENGINE_SERVE_PEER_MAX;
    }
}

static void look(struct stoq_engine *e, void *user)
{
    struct scene *s = user;
    s->waits = e->room_first != NULL;
    s->held = e->serve_bytes;
    for (uint32_t i = 0; i < e->peer_slots; i++) {
        s->most = e->peers[i]->serve_most;
    }
}

/* Ask, and wait until replies wait for room; what is made for them by then. */
static uint64_t made_ready(struct scene *s)
{
    for (uint64_t i = 0; i < REPLIES; i++) {
        ask_for_all(s, i);
    }
    while (!s->waits || s->held + ENGINE_SERVE_AHEAD <= s->most) {
        run(s);
        engine_call(s->engine, look, s);
    }
    return s->held;
}

static void a_near_peer_has_8_mib(void **state)
{
    assert_in_range(made_ready(*state), 7 * STOQ_MIB, 12 * STOQ_MIB);
}

static void any_other_has_20_mib(void **state)
{
    struct scene *s = *state;
    engine_call(s->engine, as_if_far, NULL);
    assert_in_range(made_ready(s), 19 * STOQ_MIB, 24 * STOQ_MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_near_peer_has_8_mib, begin, end),
        cmocka_unit_test_setup_teardown(any_other_has_20_mib, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
