#include "net/net_harness.h"

unsigned world_threads = 1;

int two_threads(void **state)
{
    (void)state;
    world_threads = 2;
    return 0;
}

int one_thread(void **state)
{
    (void)state;
    world_threads = 1;
    return 0;
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct side *s = user;
    s->conn = conn;
    s->opened_info = *info;
    s->opened++;
}

static void keep(struct side *s, const struct stoq_net_closed *info)
{
    s->closed_info = *info;
    s->closed_info.text = s->closed_text;
    assert_non_null(info->text);
    assert_true(strlen(info->text) > 0 || info->why == STOQ_NET_PEER);
    memcpy(s->closed_text, info->text, strlen(info->text) + 1);
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct side *s = user;
    struct stoq_net_info now;
    assert_false(stoq_net_info(s->net, conn, &now));
    s->closed++;
    keep(s, info);
}

static void on_refused(void *user, const struct stoq_net_closed *info)
{
    struct side *s = user;
    s->refused++;
    keep(s, info);
}

static void on_stream(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    struct side *s = user;
    (void)conn;
    (void)stream;
    s->streams++;
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct side *s = user;
    s->received += bytes.n;
    s->fins += fin;
    if (s->on_data != NULL) {
        s->on_data(s, conn, stream, bytes, fin);
    } else {
        stoq_net_consumed(s->net, conn, stream, bytes.n);
    }
}

static void on_writable(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    struct side *s = user;
    s->writable++;
    if (s->on_writable != NULL) {
        s->on_writable(s, conn, stream);
    }
}

static void on_may_open(void *user, stoq_net_conn conn)
{
    struct side *s = user;
    s->may_open++;
    if (s->on_may_open != NULL) {
        s->on_may_open(s, conn);
    }
}

static void on_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                     uint64_t code)
{
    struct side *s = user;
    (void)conn;
    (void)stream;
    s->ended++;
    s->ended_stop = stop;
    s->ended_code = code;
}

static void on_stream_closed(void *user, stoq_net_conn conn, stoq_net_stream stream, uint64_t code)
{
    struct side *s = user;
    s->streams_closed++;
    s->stream_code = code;
    if (s->on_stream_closed != NULL) {
        s->on_stream_closed(s, conn, stream);
    }
}

void count_release(void *user)
{
    struct side *s = user;
    s->released++;
}

void side_init(struct side *s, struct world *w, uint8_t seed, const struct stoq_net_config *cfg)
{
    struct stoq_net_config c = cfg == NULL ? (struct stoq_net_config){0} : *cfg;
    struct stoq_error err;
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    memset(bytes, seed, sizeof bytes);
    assert_int_equal(stoq_key_from_seed(&s->key, bytes), STOQ_OK);
    s->id = stoq_key_peer_id(s->key);
    s->world = w;
    c.loop = w->loop;
    c.key = s->key;
    c.user = s;
    c.threads = c.threads == 0 ? world_threads : c.threads;
    c.cb = (struct stoq_net_callbacks){
        .opened = on_opened,
        .closed = on_closed,
        .refused = on_refused,
        .stream = on_stream,
        .data = on_data,
        .writable = on_writable,
        .may_open = on_may_open,
        .stream_ended = on_ended,
        .stream_closed = on_stream_closed,
    };
    assert_int_equal(stoq_net_new(&s->net, &c, &err), STOQ_OK);
}

void side_release(struct side *s)
{
    stoq_net_free(s->net);
    stoq_key_free(s->key);
    s->net = NULL;
    s->key = NULL;
}

static void check_done(void *user)
{
    struct world *w = user;
    if (w->done != NULL && w->done(w)) {
        stoq_loop_stop(w->loop);
    }
}

static void on_limit(void *user)
{
    struct world *w = user;
    w->late = true;
    stoq_loop_stop(w->loop);
}

void world_init(struct world *w, const struct stoq_net_config *a, const struct stoq_net_config *b)
{
    struct stoq_net_config listening = b == NULL ? (struct stoq_net_config){0} : *b;
    struct stoq_addr addr;
    *w = (struct world){0};
    assert_int_equal(stoq_loop_new(&w->loop, NULL), STOQ_OK);
    assert_int_equal(stoq_timer_new(&w->limit, w->loop, on_limit, w, NULL), STOQ_OK);
    side_init(&w->a, w, 1, a);
    if (listening.listen_count == 0) {
        assert_int_equal(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0), STOQ_OK);
        listening.listen = &addr;
        listening.listen_count = 1;
    }
    side_init(&w->b, w, 2, &listening);
    assert_true(stoq_net_local_addr(w->b.net, 0, &w->addr));
    assert_true(w->addr.port != 0);
    w->hook = (struct stoq_hook){.run = check_done, .user = w};
    stoq_loop_before_wait(w->loop, &w->hook);
}

void world_release(struct world *w)
{
    side_release(&w->a);
    side_release(&w->b);
    stoq_timer_free(w->limit);
    stoq_loop_unhook(w->loop, &w->hook);
    stoq_loop_free(w->loop);
}

bool world_run(struct world *w, bool (*done)(struct world *w))
{
    w->done = done;
    w->late = false;
    stoq_timer_set(w->limit, stoq_now() + LIMIT);
    stoq_loop_run(w->loop);
    w->done = NULL;
    return !w->late;
}

void world_idle(struct world *w, stoq_ns ns)
{
    w->done = NULL;
    stoq_timer_set(w->limit, stoq_now() + ns);
    stoq_loop_run(w->loop);
}

stoq_net_conn world_dial(struct world *w, const struct stoq_peer_id *pin, stoq_ns timeout_ns)
{
    struct stoq_net_dial dial = {.addr = w->addr, .pin = pin, .timeout_ns = timeout_ns};
    stoq_net_conn conn;
    assert_int_equal(stoq_net_dial(w->a.net, &dial, &conn), STOQ_OK);
    assert_true(conn != 0);
    return conn;
}

bool both_opened(struct world *w)
{
    return w->a.opened > 0 && w->b.opened > 0;
}

bool a_closed(struct world *w)
{
    return w->a.closed > 0;
}

bool b_closed(struct world *w)
{
    return w->b.closed > 0;
}

bool both_closed(struct world *w)
{
    return w->a.closed > 0 && w->b.closed + w->b.refused > 0;
}

void world_connect(struct world *w)
{
    (void)world_dial(w, &w->b.id, 0);
    assert_true(world_run(w, both_opened));
}

void swallow(void *user, const struct net_out *out, const uint8_t *p)
{
    (void)user;
    (void)out;
    (void)p;
}

void side_stats(struct side *s, struct stoq_net_stats *out)
{
    stoq_net_refresh(s->net);
    assert_true(stoq_net_refreshed(s->net, stoq_now() + 20 * STOQ_SEC));
    stoq_net_stats(s->net, out);
}
