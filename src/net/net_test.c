/* Handshakes, refusals, ends: real endpoints on real loopback sockets. */
#include "net/net_harness.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void peers_know_each_other(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    assert_true(stoq_hash_eq(&w.a.opened_info.peer.h, &w.b.id.h));
    assert_true(stoq_hash_eq(&w.b.opened_info.peer.h, &w.a.id.h));
    assert_false(w.a.opened_info.inbound);
    assert_true(w.b.opened_info.inbound);
    assert_string_equal(w.a.opened_info.group, "SecP384r1MLKEM1024");
    assert_string_equal(w.b.opened_info.group, "SecP384r1MLKEM1024");
    assert_true(stoq_addr_eq(&w.a.opened_info.addr, &w.addr));
    struct stoq_net_info info;
    assert_true(stoq_net_info(w.a.net, w.a.conn, &info));
    assert_string_equal(info.cc, "cubic"); /* loopback */
    assert_true(info.near);
    assert_true(info.opened && info.srtt_ns > 0 && info.packets_sent > 0);
    assert_true(stoq_hash_eq(&info.peer.h, &w.b.id.h));
    world_release(&w);
}

static void nobody_pinned_is_fine(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_opened));
    assert_true(stoq_hash_eq(&w.a.opened_info.peer.h, &w.b.id.h));
    world_release(&w);
}

static void wrong_pin_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    (void)world_dial(&w, &w.a.id, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.a.opened + w.b.opened, 0);
    assert_int_equal(w.a.closed, 1);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_WRONG_KEY);
    assert_false(w.a.closed_info.opened);
    assert_non_null(strstr(w.a.closed_text, "another key answered: expected "));
    assert_int_equal(w.b.refused, 1);
    assert_int_equal(w.b.closed, 0);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_WRONG_KEY);
    world_release(&w);
}

/* The other peers are ours with one thing changed in their TLS. */
static void missing_key_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    static const unsigned char raw[] = {TLSEXT_cert_type_rpk};
    static const unsigned char alpn[] = {6, 's', 't', 'o', 'q', '/', '1'};
    assert_int_equal(SSL_CTX_set1_groups_list(ctx, "SecP384r1MLKEM1024"), 1);
    assert_int_equal(SSL_CTX_set1_server_cert_type(ctx, raw, 1), 1);
    assert_int_equal(SSL_CTX_set1_client_cert_type(ctx, raw, 1), 1);
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn), 0);
    SSL_CTX *ours = w.a.net->tls.ctx;
    w.a.net->tls.ctx = ctx;
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.b.opened, 0);
    assert_int_equal(w.b.refused, 1);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_NO_KEY);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_NO_KEY);
    w.a.net->tls.ctx = ours;
    SSL_CTX_free(ctx);
    world_release(&w);
}

static void x25519_alone_is_refused_by_name(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    assert_int_equal(SSL_CTX_set1_groups_list(w.a.net->tls.ctx, "X25519"), 1);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.b.opened + w.a.opened, 0);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_NO_GROUP);
    assert_non_null(strstr(w.b.closed_text, "SecP384r1MLKEM1024, MLKEM1024"));
    assert_non_null(strstr(w.b.closed_text, "X25519"));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_NO_GROUP);
    assert_non_null(strstr(w.a.closed_text, "X25519")); /* the listener's words reach the dialler */
    world_release(&w);
}

static void disjoint_modes_refuse_each_other(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config a = {.mode = STOQ_NET_KYBER768_HYBRID};
    world_init(&w, &a, NULL);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_NO_GROUP);
    assert_non_null(strstr(w.a.closed_text, "X25519MLKEM768"));
    assert_non_null(strstr(w.a.closed_text, "SecP384r1MLKEM1024"));
    world_release(&w);
}

static void group_of_modes(enum stoq_net_mode a, enum stoq_net_mode b, const char *group)
{
    struct world w;
    struct stoq_net_config ca = {.mode = a};
    struct stoq_net_config cb = {.mode = b};
    world_init(&w, &ca, &cb);
    world_connect(&w);
    assert_string_equal(w.a.opened_info.group, group);
    assert_string_equal(w.b.opened_info.group, group);
    world_release(&w);
}

static void modes_agree_where_they_can(void **state)
{
    (void)state;
    group_of_modes(STOQ_NET_KYBER1024, STOQ_NET_KYBER1024_PURE, "MLKEM1024"); /* by a retry hello */
    group_of_modes(STOQ_NET_KYBER1024_PURE, STOQ_NET_KYBER1024, "MLKEM1024");
    group_of_modes(STOQ_NET_KYBER768_HYBRID, STOQ_NET_KYBER768_HYBRID, "X25519MLKEM768");
}

static void wrong_alpn_is_refused(void **state)
{
    (void)state;
    static const unsigned char h3[] = {2, 'h', '3'};
    struct world w;
    world_init(&w, NULL, NULL);
    assert_int_equal(SSL_CTX_set_alpn_protos(w.a.net->tls.ctx, h3, sizeof h3), 0);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_NO_ALPN);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_NO_ALPN);
    world_release(&w);
}

static void no_alpn_is_refused(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    assert_int_equal(SSL_CTX_set_alpn_protos(w.a.net->tls.ctx, NULL, 0), 0);
    (void)world_dial(&w, NULL, 0);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.b.opened + w.a.opened, 0);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_NO_ALPN);
    world_release(&w);
}

static void dead_port_times_out_in_time(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config cfg = {.handshake_timeout_ns = 2 * LIMIT}; /* not this one */
    world_init(&w, &cfg, NULL);
    /* A port that was just bound and is not served. */
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t n = sizeof in6;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in6, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in6, &n), 0);
    assert_int_equal(stoq_addr_from_sockaddr(&w.addr, (struct sockaddr *)&in6, n), STOQ_OK);
    stoq_ns before = stoq_now();
    (void)world_dial(&w, NULL, 300 * STOQ_MS);
    assert_true(world_run(&w, a_closed));
    assert_true(stoq_now() - before >= 290 * STOQ_MS);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_TIMED_OUT);
    assert_false(w.a.closed_info.opened);
    close(fd);
    world_release(&w);
}

static void no_route_is_told_at_once(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    /* 240.0.0.1: reserved, the kernel has no route to it or refuses it. */
    assert_int_equal(stoq_addr_parse(&w.addr, stoq_span_str("[ff02::1%0]:9"), 0), STOQ_OK);
    w.addr.ip[0] = 0;
    w.addr.ip[1] = 1; /* 1:...: nobody's */
    struct stoq_net_dial dial = {.addr = w.addr, .timeout_ns = 500 * STOQ_MS};
    stoq_net_conn conn;
    assert_int_equal(stoq_net_dial(w.a.net, &dial, &conn), STOQ_OK);
    assert_true(world_run(&w, a_closed));
    assert_true(w.a.closed_info.why == STOQ_NET_UNREACHABLE ||
                w.a.closed_info.why == STOQ_NET_TIMED_OUT); /* where a default route swallows it */
    world_release(&w);
}

static void silent_peer_is_given_up(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config cfg = {.idle_timeout_ns = 2 * STOQ_SEC};
    world_init(&w, &cfg, &cfg);
    world_connect(&w);
    w.b.net->tx.sink = swallow; /* as good as dead */
    stoq_net_stream stream;
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream), STOQ_OK);
    struct stoq_net_buf buf = {stoq_span_str("hello?"), count_release, &w.a};
    assert_int_equal(stoq_net_write(w.a.net, w.a.conn, stream, &buf, false), STOQ_OK);
    stoq_ns before = stoq_now();
    assert_true(world_run(&w, a_closed));
    assert_true(stoq_now() - before < 25 * STOQ_SEC); /* by default it is 30 */
    assert_int_equal(w.a.closed_info.why, STOQ_NET_TIMED_OUT);
    assert_true(w.a.closed_info.opened);
    assert_int_equal(w.a.released, 1);
    world_release(&w);
}

static bool opened_or_closed(struct world *w)
{
    return both_opened(w) || a_closed(w);
}

static bool is_kept_alive(void)
{
    struct world w;
    struct stoq_net_config cfg = {.idle_timeout_ns = STOQ_SEC};
    world_init(&w, &cfg, &cfg);
    (void)world_dial(&w, &w.b.id, LIMIT);
    assert_true(world_run(&w, opened_or_closed));
    bool good = both_opened(&w);
    if (good) {
        stoq_net_keep_alive(w.a.net, w.a.conn, 200 * STOQ_MS);
        world_idle(&w, 2500 * STOQ_MS);
        good = w.a.closed + w.b.closed == 0;
    }
    if (good) {
        stoq_net_keep_alive(w.a.net, w.a.conn, 0);
        assert_true(world_run(&w, both_closed));
    }
    world_release(&w);
    return good;
}

/* On a busy machine nothing may be said for a second all the same: some try goes well. */
static void keep_alive_keeps(void **state)
{
    (void)state;
    bool good = false;
    for (int tries = 0; tries < 10 && !good; tries++) {
        good = is_kept_alive();
    }
    assert_true(good);
}

static void close_code_and_text_arrive(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    stoq_net_close(w.a.net, w.a.conn, 77, "enough\nof this");
    stoq_net_stream stream;
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream), STOQ_NOTFOUND);
    assert_true(world_run(&w, both_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_LOCAL);
    assert_int_equal(w.a.closed_info.code, 77);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_PEER);
    assert_int_equal(w.b.closed_info.code, 77);
    assert_string_equal(w.b.closed_text, "enough?of this");
    assert_true(w.b.closed_info.opened);
    assert_int_equal(w.a.closed, 1);
    assert_int_equal(w.b.closed, 1);
    struct stoq_net_stats stats;
    side_stats(&w.a, &stats);
    assert_int_equal(stats.connections, 0);
    world_release(&w);
}

static void free_says_goodbye(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.leave_code = 4};
    world_init(&w, NULL, &b);
    world_connect(&w);
    side_release(&w.b);
    assert_int_equal(w.b.closed, 1);
    assert_int_equal(w.b.closed_info.why, STOQ_NET_LOCAL);
    assert_true(world_run(&w, a_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_PEER);
    assert_int_equal(w.a.closed_info.code, 4);
    world_release(&w);
}

static void restarted_peer_resets(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    world_connect(&w);
    struct stoq_addr addr = w.addr;
    w.b.net->tx.sink = swallow; /* dies without a word */
    side_release(&w.b);
    w.b = (struct side){0};
    struct stoq_net_config again = {.listen = &addr, .listen_count = 1};
    side_init(&w.b, &w, 2, &again);
    stoq_net_stream stream;
    assert_int_equal(stoq_net_stream_open(w.a.net, w.a.conn, &stream), STOQ_OK);
    assert_int_equal(
        stoq_net_write_copy(w.a.net, w.a.conn, stream, stoq_span_str("still there?"), true),
        STOQ_OK);
    assert_true(world_run(&w, a_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_RESET);
    world_release(&w);
}

static void full_listener_says_so(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.connections_max = 1};
    world_init(&w, NULL, &b);
    world_connect(&w);
    (void)world_dial(&w, &w.b.id, 0);
    assert_true(world_run(&w, a_closed));
    assert_int_equal(w.a.closed_info.why, STOQ_NET_REFUSED);
    assert_int_equal(w.b.opened, 1);
    assert_int_equal(w.b.closed, 0);
    world_release(&w);
}

static bool twelve_told(struct world *w)
{
    return w->a.opened + w->a.closed == 12;
}

/* Twelve dials at once for four places: whichever threads they come to, four are let in. */
static void last_places_are_given_once(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.connections_max = 4, .connections_prefix_max = 12};
    world_init(&w, NULL, &b);
    for (int i = 0; i < 12; i++) {
        (void)world_dial(&w, &w.b.id, 0);
    }
    assert_true(world_run(&w, twelve_told));
    assert_int_equal(w.a.opened, 4);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_REFUSED);
    assert_non_null(strstr(w.a.closed_text, NET_FULL_TEXT));
    struct stoq_net_stats stats;
    side_stats(&w.b, &stats);
    assert_true(stats.dropped_full >= 8); /* packets: a first flight is two */
    assert_int_equal(stats.connections, 4);
    world_release(&w);
}

static bool ten_told(struct world *w)
{
    return w->a.opened + w->a.closed >= 10 && w->b.refused > 0;
}

static bool three_opened(struct world *w)
{
    return w->a.opened == 3 && w->b.opened == 3;
}

static bool seven_closed(struct world *w)
{
    return w->a.closed == 7 && w->b.opened == 3;
}

static bool fourth_opened(struct world *w)
{
    return w->a.opened == 4 && w->b.opened == 4;
}

/* One prefix cannot take all: three of its ten come in, one more when one of these is gone. */
static void crowded_prefix_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_stats stats;
    struct stoq_net_config b = {.connections_max = 100, .connections_prefix_max = 3};
    world_init(&w, NULL, &b);
    for (int i = 0; i < 3; i++) {
        (void)world_dial(&w, &w.b.id, 0);
    }
    assert_true(world_run(&w, three_opened));
    for (int i = 0; i < 7; i++) {
        (void)world_dial(&w, &w.b.id, 0);
    }
    assert_true(world_run(&w, ten_told));
    assert_int_equal(w.a.opened, 3);
    assert_int_equal(w.a.closed_info.why, STOQ_NET_REFUSED);
    assert_non_null(strstr(w.a.closed_text, NET_CROWDED_TEXT));
    assert_int_equal(w.b.closed_info.why, STOQ_NET_REFUSED);
    assert_string_equal(w.b.closed_text, NET_CROWDED_TEXT); /* for the log */
    side_stats(&w.b, &stats);
    assert_true(stats.dropped_crowded >= 7);
    assert_int_equal(stats.connections_prefix, 3);
    assert_int_equal(stats.connections, 3);
    stoq_net_close(w.a.net, w.a.conn, 0, "enough");
    assert_true(world_run(&w, b_closed));
    (void)world_dial(&w, &w.b.id, 0);
    assert_true(world_run(&w, fourth_opened));
    world_release(&w);
}

/* They shake hands side by side and pass the first look: the last look is at the end. */
static void crowd_that_comes_at_once_is_refused(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_stats stats;
    struct stoq_net_config b = {.connections_max = 100, .connections_prefix_max = 3};
    world_init(&w, NULL, &b);
    for (int i = 0; i < 10; i++) {
        (void)world_dial(&w, &w.b.id, 0);
    }
    assert_true(world_run(&w, seven_closed));
    side_stats(&w.b, &stats);
    assert_int_equal(w.b.opened, 3);
    assert_true(stats.dropped_crowded >= 7);
    assert_int_equal(stats.connections_prefix, 3);
    world_release(&w);
}

static bool five_opened(struct world *w)
{
    return w->a.opened == 5 && w->b.opened == 5;
}

static void wary_listener_asks_for_addresses(void **state)
{
    (void)state;
    struct world w;
    struct stoq_net_config b = {.handshakes_max = 8};
    world_init(&w, NULL, &b);
    for (int i = 0; i < 5; i++) {
        (void)world_dial(&w, &w.b.id, 0);
    }
    assert_true(world_run(&w, five_opened));
    struct stoq_net_stats stats;
    side_stats(&w.b, &stats);
    assert_true(stats.retries_sent > 0);
    assert_int_equal(stats.handshakes, 0);
    assert_int_equal(stats.connections, 5);
    world_release(&w);
}

static void is_reached_over_ipv4(const struct stoq_net_config *listener)
{
    struct world w;
    world_init(&w, NULL, listener);
    uint16_t port = w.addr.port;
    assert_int_equal(stoq_addr_parse(&w.addr, stoq_span_str("127.0.0.1:1"), 0), STOQ_OK);
    w.addr.port = port;
    world_connect(&w);
    assert_true(stoq_addr_is_v4(&w.b.opened_info.addr));
    world_release(&w);
}

static void ipv4_through_the_dual_socket(void **state)
{
    (void)state;
    struct stoq_addr any;
    assert_int_equal(stoq_addr_parse(&any, stoq_span_str("[::]:0"), 0), STOQ_OK);
    is_reached_over_ipv4(&(struct stoq_net_config){.listen = &any, .listen_count = 1});
}

/* An IPv4 address may be listened on by itself, and beside an IPv6 one that leaves IPv4 to it. */
static void ipv4_by_its_own_address(void **state)
{
    (void)state;
    static const char *const own[] = {"127.0.0.1:0", "0.0.0.0:0"};
    for (size_t i = 0; i < 2 * STOQ_COUNT(own); i++) {
        struct stoq_addr listen[2];
        assert_int_equal(stoq_addr_parse(&listen[0], stoq_span_str(own[i / 2]), 0), STOQ_OK);
        assert_int_equal(stoq_addr_parse(&listen[1], stoq_span_str("[::]:0"), 0), STOQ_OK);
        is_reached_over_ipv4(
            &(struct stoq_net_config){.listen = listen, .listen_count = 1 + i % 2});
    }
}

static void listener_dials_through_its_own_port(void **state)
{
    (void)state;
    struct world w;
    struct stoq_addr addr;
    assert_int_equal(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0), STOQ_OK);
    struct stoq_net_config a = {.listen = &addr, .listen_count = 1};
    world_init(&w, &a, NULL);
    world_connect(&w);
    struct stoq_addr own;
    assert_true(stoq_net_local_addr(w.a.net, 0, &own));
    assert_true(stoq_addr_eq(&own, &w.b.opened_info.addr));
    world_release(&w);
}

static void taken_port_is_named(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, NULL, NULL);
    struct stoq_net_config cfg = w.b.net->cfg;
    cfg.listen = &w.addr;
    cfg.listen_count = 1;
    struct stoq_net *net = NULL;
    struct stoq_error err;
    char text[STOQ_ADDR_TEXT_MAX];
    assert_int_equal(stoq_net_new(&net, &cfg, &err), STOQ_IO);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_non_null(strstr(err.text, stoq_addr_format(&w.addr, text)));
    world_release(&w);
}

static void names_parse_back(void **state)
{
    (void)state;
    for (int i = STOQ_NET_KYBER1024; i <= STOQ_NET_KYBER768_HYBRID; i++) {
        enum stoq_net_mode mode;
        assert_true(
            stoq_net_mode_parse(&mode, stoq_span_str(stoq_net_mode_str((enum stoq_net_mode)i))));
        assert_int_equal(mode, i);
    }
    for (int i = STOQ_NET_CC_AUTO; i <= STOQ_NET_CC_BBR; i++) {
        enum stoq_net_cc cc;
        assert_true(stoq_net_cc_parse(&cc, stoq_span_str(stoq_net_cc_str((enum stoq_net_cc)i))));
        assert_int_equal(cc, i);
    }
    enum stoq_net_mode mode;
    assert_false(stoq_net_mode_parse(&mode, stoq_span_str("x25519")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_know_each_other),
        cmocka_unit_test(nobody_pinned_is_fine),
        cmocka_unit_test(wrong_pin_is_refused),
        cmocka_unit_test(missing_key_is_refused),
        cmocka_unit_test(x25519_alone_is_refused_by_name),
        cmocka_unit_test(disjoint_modes_refuse_each_other),
        cmocka_unit_test(modes_agree_where_they_can),
        cmocka_unit_test(wrong_alpn_is_refused),
        cmocka_unit_test(no_alpn_is_refused),
        cmocka_unit_test(dead_port_times_out_in_time),
        cmocka_unit_test(no_route_is_told_at_once),
        cmocka_unit_test(silent_peer_is_given_up),
        cmocka_unit_test(keep_alive_keeps),
        cmocka_unit_test(close_code_and_text_arrive),
        cmocka_unit_test(free_says_goodbye),
        cmocka_unit_test(restarted_peer_resets),
        cmocka_unit_test(full_listener_says_so),
        cmocka_unit_test(last_places_are_given_once),
        cmocka_unit_test(crowded_prefix_is_refused),
        cmocka_unit_test(crowd_that_comes_at_once_is_refused),
        cmocka_unit_test(wary_listener_asks_for_addresses),
        cmocka_unit_test(ipv4_through_the_dual_socket),
        cmocka_unit_test(ipv4_by_its_own_address),
        cmocka_unit_test(listener_dials_through_its_own_port),
        cmocka_unit_test(taken_port_is_named),
        cmocka_unit_test(names_parse_back),
        ON_TWO_THREADS(peers_know_each_other),
        ON_TWO_THREADS(nobody_pinned_is_fine),
        ON_TWO_THREADS(wrong_pin_is_refused),
        ON_TWO_THREADS(disjoint_modes_refuse_each_other),
        ON_TWO_THREADS(modes_agree_where_they_can),
        ON_TWO_THREADS(dead_port_times_out_in_time),
        ON_TWO_THREADS(no_route_is_told_at_once),
        ON_TWO_THREADS(keep_alive_keeps),
        ON_TWO_THREADS(close_code_and_text_arrive),
        ON_TWO_THREADS(free_says_goodbye),
        ON_TWO_THREADS(full_listener_says_so),
        ON_TWO_THREADS(last_places_are_given_once),
        ON_TWO_THREADS(crowded_prefix_is_refused),
        ON_TWO_THREADS(crowd_that_comes_at_once_is_refused),
        ON_TWO_THREADS(wary_listener_asks_for_addresses),
        ON_TWO_THREADS(ipv4_through_the_dual_socket),
        ON_TWO_THREADS(ipv4_by_its_own_address),
        ON_TWO_THREADS(listener_dials_through_its_own_port),
        ON_TWO_THREADS(taken_port_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
