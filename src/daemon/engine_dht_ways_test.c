/* What an engine's DHT asks of whom, by their Hello; what it remembers. */
#include "daemon/engine_scene_test.h"

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
        cmocka_unit_test(whom_the_dht_asks_what_his_hello_tells),
        cmocka_unit_test_setup_teardown(the_sweep_goes_on_where_it_stood, begin, end),
        cmocka_unit_test_setup_teardown(a_failed_dial_is_remembered, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
