/* The transport on bad and on long paths, in virtual time: loss, disorder, delay, damage, a moving peer. */
#include "net/net_pipe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PIECE 65536

static const struct stoq_net_config plain = {.mode = STOQ_NET_KYBER1024_PURE};

static bool both_opened(struct net_pipe *p)
{
    return p->a.opened > 0 && p->b.opened > 0;
}

static bool b_has_all(struct net_pipe *p)
{
    return p->b.fin && stoq_net_buffered(p->a.net, p->a.conn) == 0;
}

static bool a_closed(struct net_pipe *p)
{
    return p->a.closed > 0;
}

/* Queue total bytes of a known pattern on a new stream of a's; returns their hash. */
static uint64_t send_pattern(struct net_pipe *p, uint64_t total)
{
    stoq_net_stream stream;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    uint64_t state = 1;
    assert_int_equal(stoq_net_stream_open(p->a.net, p->a.conn, &stream), STOQ_OK);
    for (uint64_t done = 0; done < total; done += PIECE) {
        uint8_t bytes[PIECE];
        size_t n = total - done < PIECE ? (size_t)(total - done) : PIECE;
        for (size_t i = 0; i < n; i++) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
            bytes[i] = (uint8_t)(state >> 56);
            hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
        }
        assert_int_equal(stoq_net_write_copy(p->a.net, p->a.conn, stream, stoq_span(bytes, n),
                                             done + n == total),
                         STOQ_OK);
    }
    return hash;
}

/* 10 ms, and each packet lost, doubled or late with one chance in ten. */
static int fate_rough(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)to_b;
    fate->delay[0] = 10 * STOQ_MS + stoq_prng_below(&p->prng, 1000) * 1000;
    fate->delay[1] = fate->delay[0] + stoq_prng_below(&p->prng, 30) * STOQ_MS;
    switch (stoq_prng_below(&p->prng, 10)) {
    case 0:
        return 0;
    case 1:
        return 2;
    case 2:
        fate->delay[0] += 15 * STOQ_MS;
        return 1;
    default:
        return 1;
    }
}

static void bytes_survive_a_rough_path(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct net_pipe p;
        pipe_init(&p, &plain, seed);
        p.fate = fate_rough;
        (void)pipe_dial(&p);
        assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
        uint64_t hash = send_pattern(&p, 2 * STOQ_MIB);
        assert_true(pipe_run(&p, b_has_all, 600 * STOQ_SEC));
        assert_int_equal(p.b.received, 2 * STOQ_MIB);
        assert_true(p.b.hash == hash);
        struct stoq_net_info info;
        assert_true(stoq_net_info(p.a.net, p.a.conn, &info));
        assert_true(info.packets_lost > 0);
        pipe_release(&p);
    }
}

/* One packet in three is damaged: as if lost, and never believed. */
static int fate_damage(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)to_b;
    fate->delay[0] = STOQ_MS;
    if (stoq_prng_below(&p->prng, 3) == 0) {
        fate->p[stoq_prng_below(&p->prng, fate->n)] ^=
            (uint8_t)(1U << stoq_prng_below(&p->prng, 8));
    }
    return 1;
}

static void damaged_packets_are_as_lost(void **state)
{
    (void)state;
    struct net_pipe p;
    pipe_init(&p, &plain, 7);
    p.fate = fate_damage;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    uint64_t hash = send_pattern(&p, STOQ_MIB);
    assert_true(pipe_run(&p, b_has_all, 600 * STOQ_SEC));
    assert_true(p.b.hash == hash);
    assert_int_equal(p.a.closed + p.b.closed, 0);
    pipe_release(&p);
}

/* A bottleneck of 1 Gb/s with a queue of one bandwidth-delay product, 50 ms each way, 1500-byte MTU. */
#define LINK_BYTES_PER_S 125000000u
#define ONE_WAY (50 * STOQ_MS)
#define QUEUE_NS (100 * STOQ_MS)

static int fate_long_fat(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    stoq_ns *free_at = &p->free_at[to_b];
    if (fate->n > 1452) {
        return 0;
    }
    *free_at = *free_at > p->now ? *free_at : p->now;
    if (*free_at - p->now > QUEUE_NS) {
        return 0;
    }
    *free_at += (fate->n + 48) * STOQ_SEC / LINK_BYTES_PER_S;
    fate->delay[0] = *free_at - p->now + ONE_WAY;
    return 1;
}

/* 512 MiB on each of some streams, from one page that is always the same. */
static void send_zeros(struct net_pipe *p, int streams)
{
    static const uint8_t zeros[PIECE];
    for (int i = 0; i < streams; i++) {
        stoq_net_stream stream;
        struct stoq_net_buf buf = {.bytes = {zeros, PIECE}};
        assert_int_equal(stoq_net_stream_open(p->a.net, p->a.conn, &stream), STOQ_OK);
        for (int k = 0; k < 8192; k++) {
            assert_int_equal(stoq_net_write(p->a.net, p->a.conn, stream, &buf, false), STOQ_OK);
        }
    }
}

/* Both are somewhere else than on one machine or link. */
static void part(struct net_pipe *p)
{
    struct stoq_addr *a = &p->a.net->listeners[0].socket.local;
    struct stoq_addr *b = &p->b.net->listeners[0].socket.local;
    assert_int_equal(stoq_addr_parse(a, stoq_span_str("[2001:db8::1]:1"), 0), STOQ_OK);
    assert_int_equal(stoq_addr_parse(b, stoq_span_str("[2001:db8::2]:1"), 0), STOQ_OK);
}

static void fill_long_fat(enum stoq_net_cc cc, unsigned percent)
{
    struct net_pipe p;
    struct stoq_net_config cfg = plain;
    cfg.send_buffer_bytes = 4 * STOQ_GIB;
    cfg.memory_bytes = 4 * STOQ_GIB;
    cfg.cc = cc;
    pipe_init(&p, &cfg, 3);
    part(&p);
    p.fate = fate_long_fat;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    send_zeros(&p, 4); /* streams, as a fetch has; the first 1.5 s may be spent growing */
    (void)pipe_run(&p, NULL, STOQ_SEC + STOQ_SEC / 2);
    uint64_t before = p.b.received;
    (void)pipe_run(&p, NULL, STOQ_SEC);
    uint64_t rate = p.b.received - before;
    struct stoq_net_info info;
    assert_true(stoq_net_info(p.a.net, p.a.conn, &info));
    print_message("%s: %llu of %u bytes/s, cwnd %llu, srtt %llu us, lost %llu\n", info.cc,
                  (unsigned long long)rate, LINK_BYTES_PER_S, (unsigned long long)info.cwnd_bytes,
                  (unsigned long long)info.srtt_ns / 1000, (unsigned long long)info.packets_lost);
    assert_int_equal(info.packet_bytes, 1452);
    assert_true(rate > (uint64_t)LINK_BYTES_PER_S / 100 * percent);
    pipe_release(&p);
}

static void long_fat_path_is_filled(void **state)
{
    (void)state;
    fill_long_fat(STOQ_NET_CC_CUBIC, 90);
    fill_long_fat(STOQ_NET_CC_BBR, 90);
}

static int fate_near(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    fate->delay[0] = 2 * STOQ_MS;
    return 1;
}

/* How much still comes to one who consumes no more, after he had consumed all of it for a while. */
static uint64_t comes_to_a_hoarder(bool far)
{
    struct net_pipe p;
    struct stoq_net_config cfg = plain;
    cfg.send_buffer_bytes = 4 * STOQ_GIB;
    cfg.memory_bytes = 4 * STOQ_GIB;
    pipe_init(&p, &cfg, 5);
    if (far) {
        part(&p);
    }
    p.fate = fate_near;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    send_zeros(&p, 4);
    (void)pipe_run(&p, NULL, 60 * STOQ_MS);
    uint64_t before = p.b.received;
    p.b.hoards = true;
    (void)pipe_run(&p, NULL, 200 * STOQ_MS);
    uint64_t came = p.b.received - before;
    pipe_release(&p);
    return came;
}

/* What has come and is not stored is lost when we are killed: no more than is of use comes. */
static void near_senders_get_a_small_window(void **state)
{
    (void)state;
    assert_in_range(comes_to_a_hoarder(false), 2 * STOQ_MIB, 6 * STOQ_MIB);
    assert_in_range(comes_to_a_hoarder(true), 7 * STOQ_MIB, 24 * STOQ_MIB);
}

/* What sets off the packets of a sender, on a short path that takes everything, a packet in 5 us. */
struct pace {
    stoq_ns heard_at; /* when a packet last reached it */
    uint64_t sent;
    uint64_t timed; /* of these, in an instant in which nothing reached it */
    uint64_t answers;
};

static int fate_short(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    struct pace *pace = p->test;
    p->free_at[to_b] = p->free_at[to_b] > p->now ? p->free_at[to_b] : p->now;
    p->free_at[to_b] += STOQ_MS / 200;
    fate->delay[0] = p->free_at[to_b] - p->now + STOQ_MS / 5;
    pace->sent += to_b;
    pace->timed += to_b && pace->heard_at != p->now;
    pace->answers += !to_b;
    return 1;
}

static void note_what_is_heard(struct net_pipe *p, void (*work)(struct net_pipe *p, bool of_b),
                               bool of_b)
{
    struct pace *pace = p->test;
    bool reaches_a = work == pipe_deliver && !of_b;
    if (reaches_a && p->first[0] != NULL && p->first[0]->at <= p->now) {
        pace->heard_at = p->now;
    }
    work(p, of_b);
}

static struct pace pace_of(enum stoq_net_cc cc)
{
    struct net_pipe p;
    struct pace pace = {0};
    struct stoq_net_config cfg = plain;
    cfg.send_buffer_bytes = 4 * STOQ_GIB;
    cfg.memory_bytes = 4 * STOQ_GIB;
    cfg.cc = cc;
    pipe_init(&p, &cfg, 29);
    p.fate = fate_short;
    p.test = &pace;
    p.metered = note_what_is_heard;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    send_zeros(&p, 4);
    (void)pipe_run(&p, NULL, 20 * STOQ_MS); /* larger packets are found, the window has grown */
    stoq_ns heard_at = pace.heard_at;
    pace = (struct pace){.heard_at = heard_at};
    (void)pipe_run(&p, NULL, 10 * STOQ_MS);
    print_message("%s: %llu packets, %llu of them by a timer, %llu answers\n", stoq_net_cc_str(cc),
                  (unsigned long long)pace.sent, (unsigned long long)pace.timed,
                  (unsigned long long)pace.answers);
    pipe_release(&p);
    assert_true(pace.sent > 100);
    return pace;
}

/* Within one machine what may go goes at once, and fewer packets are acknowledged, unless the congestion
 * control was named: each timer and each acknowledgement is a wake-up. */
static void loopback_is_not_paced(void **state)
{
    (void)state;
    struct pace own = pace_of(STOQ_NET_CC_AUTO);
    struct pace named = pace_of(STOQ_NET_CC_CUBIC);
    assert_true(own.timed < own.sent / 20); /* acknowledgements of what credit came with */
    assert_true(named.timed > named.sent / 4);
    assert_true(own.answers * 5 < own.sent);
    assert_true(named.answers * 5 > named.sent);
}

static int fate_lan(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    fate->delay[0] = STOQ_MS;
    return fate->n <= 1452;
}

static void moving_peer_is_followed(void **state)
{
    (void)state;
    struct net_pipe p;
    pipe_init(&p, &plain, 9);
    p.fate = fate_lan;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    (void)pipe_run(&p, NULL, STOQ_SEC);
    p.port_shift = 7;
    uint64_t hash = send_pattern(&p, 4 * STOQ_MIB);
    assert_true(pipe_run(&p, b_has_all, 60 * STOQ_SEC));
    assert_true(p.b.hash == hash);
    struct stoq_net_info info;
    assert_true(stoq_net_info(p.b.net, p.b.conn, &info));
    assert_int_equal(info.addr.port, 1007);
    pipe_release(&p);
}

static int fate_narrow(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    fate->delay[0] = 5 * STOQ_MS;
    return fate->n <= 1300;
}

static void narrow_path_is_used_as_it_is(void **state)
{
    (void)state;
    struct net_pipe p;
    pipe_init(&p, &plain, 11);
    p.fate = fate_narrow;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    uint64_t hash = send_pattern(&p, 8 * STOQ_MIB);
    assert_true(pipe_run(&p, b_has_all, 60 * STOQ_SEC));
    assert_true(p.b.hash == hash);
    struct stoq_net_info info;
    assert_true(stoq_net_info(p.a.net, p.a.conn, &info));
    assert_int_equal(info.packet_bytes, 1200);
    pipe_release(&p);
}

static int fate_cut(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    (void)fate;
    return 0;
}

static void cut_path_ends_in_idle_timeout(void **state)
{
    (void)state;
    struct net_pipe p;
    pipe_init(&p, &plain, 13);
    p.fate = fate_lan;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 20 * STOQ_SEC));
    (void)send_pattern(&p, 64 * STOQ_MIB / 8);
    p.fate = fate_cut;
    stoq_ns before = p.now;
    assert_true(pipe_run(&p, a_closed, 300 * STOQ_SEC));
    assert_int_equal(p.a.why, STOQ_NET_TIMED_OUT);
    assert_true(p.now - before >= 29 * STOQ_SEC && p.now - before < 120 * STOQ_SEC);
    pipe_release(&p);
}

static bool hundred_opened(struct net_pipe *p)
{
    return p->a.opened == 100 && p->b.opened == 100;
}

/* 100 dials at once on a path that loses a tenth: the caps make some wait, none fail. */
static void many_dials_get_through(void **state)
{
    (void)state;
    struct net_pipe p;
    struct stoq_net_config cfg = plain;
    cfg.handshakes_max = 64;
    cfg.handshakes_prefix_max = 32;
    cfg.handshake_timeout_ns = 30 * STOQ_SEC;
    pipe_init(&p, &cfg, 17);
    p.fate = fate_rough;
    for (int i = 0; i < 100; i++) {
        (void)pipe_dial(&p);
    }
    assert_true(pipe_run(&p, hundred_opened, 30 * STOQ_SEC));
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_true(stats.retries_sent > 0);
    assert_int_equal(p.b.net->guard->open, 0);
    pipe_release(&p);
}

/* 20,000 first packets a second that lead nowhere, from the prefix of an honest dialler. */
static void flood(struct net_pipe *p, int ms)
{
    struct net_socket *socket = &p->b.net->listeners[0].socket;
    for (int i = 0; i < 20 * ms && p->b.opened == 0; i++) {
        uint8_t packet[1200] = {0xc0, 0, 0, 0, 1, 8};
        struct net_datagram d = {.p = packet, .n = sizeof packet, .segment = sizeof packet};
        pipe_entropy(&p->prng, packet + 6, sizeof packet - 6);
        packet[14] = 8;    /* length of its own id */
        packet[23] = 0;    /* no token */
        packet[24] = 0x44; /* and a length that fits the packet */
        packet[25] = 0x96;
        d.to = socket->local;
        d.from = socket->local;
        d.from.port = (uint16_t)(2000 + i % 100);
        p->b.net->now = p->now;
        net_receive(p->b.net, socket, &d);
        (void)pipe_run(p, NULL, 50 * 1000); /* evenly: no pause in which a token could grow back */
    }
}

static int fate_dialler_only(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    fate->delay[0] = STOQ_MS + 30 * 1000;
    return 1; /* b's answers to the flood reach a, who does not know them */
}

static void honest_dialler_passes_a_flood(void **state)
{
    (void)state;
    struct net_pipe p;
    pipe_init(&p, &plain, 19);
    p.fate = fate_dialler_only;
    flood(&p, 1000); /* the prefix's budget is long spent */
    stoq_ns before = p.now;
    (void)pipe_dial(&p);
    flood(&p, 3000);
    assert_int_equal(p.b.opened, 1);
    assert_true(p.now - before < 3 * STOQ_SEC);
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_true(stats.dropped_prefix > 15000);
    assert_true(stats.bytes_sent == 0 || stats.bytes_sent < stats.bytes_received);
    assert_true(p.b.net->guard->open < 256);
    pipe_release(&p);
}

static int fate_nothing(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    (void)to_b;
    (void)fate;
    return 0;
}

static void leave(void *user, const struct stoq_net_info *info)
{
    stoq_net_close(user, info->conn, 0, "");
}

/* First packets reach b, and nothing else goes anywhere. */
static int fate_half_open(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    (void)p;
    fate->delay[0] = STOQ_MS;
    return to_b && fate->n >= 1200 && (fate->p[0] & 0xf0) == 0xc0;
}

/* Handshakes begun and dropped hold all places of a prefix: whoever comes next gets the oldest one's. */
static void honest_dialler_passes_half_open_ones(void **state)
{
    (void)state;
    struct net_pipe p;
    struct stoq_net_config cfg = plain;
    struct stoq_net_stats stats;
    cfg.handshakes_max = 8;
    cfg.handshakes_prefix_max = 2;
    pipe_init(&p, &cfg, 31);
    p.fate = fate_half_open;
    (void)pipe_dial(&p);
    (void)pipe_dial(&p);
    (void)pipe_run(&p, NULL, 500 * STOQ_MS);
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.handshakes, 2);
    p.fate = fate_nothing;
    stoq_net_each(p.a.net, leave, p.a.net);
    (void)pipe_run(&p, NULL, 1100 * STOQ_MS); /* b itself waits 5 s */
    p.fate = fate_dialler_only;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, both_opened, 2 * STOQ_SEC));
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.displaced, 1);
    assert_int_equal(stats.refused_why[STOQ_NET_TIMED_OUT], 1);
    pipe_release(&p);
}

static const char *congestion_to(const char *where, stoq_ns min_rtt_ns, enum stoq_net_cc cc)
{
    struct net_pipe p;
    struct stoq_net_config cfg = plain;
    struct stoq_net_dial dial = {.min_rtt_ns = min_rtt_ns};
    struct stoq_net_info info;
    stoq_net_conn conn;
    cfg.cc = cc;
    pipe_init(&p, &cfg, 29);
    p.fate = fate_cut;
    assert_int_equal(stoq_addr_parse(&dial.addr, stoq_span_str(where), 0), STOQ_OK);
    p.a.net->listeners[0].socket.local = dial.addr; /* so that it may be reached from there */
    assert_int_equal(stoq_net_dial(p.a.net, &dial, &conn), STOQ_OK);
    assert_true(stoq_net_info(p.a.net, conn, &info));
    pipe_release(&p);
    return info.cc; /* static */
}

static void congestion_follows_what_is_remembered(void **state)
{
    (void)state;
    const char *far = "[2001:db8::1]:1";
    assert_string_equal(congestion_to(far, 0, STOQ_NET_CC_AUTO), "bbr");
    assert_string_equal(congestion_to(far, 20 * STOQ_MS, STOQ_NET_CC_AUTO), "bbr");
    assert_string_equal(congestion_to(far, 5 * STOQ_MS, STOQ_NET_CC_AUTO), "bbr");
    assert_string_equal(congestion_to(far, 5 * STOQ_MS - 1, STOQ_NET_CC_AUTO), "cubic");
    assert_string_equal(congestion_to("[::1]:1", 0, STOQ_NET_CC_AUTO), "cubic");
    assert_string_equal(congestion_to("127.0.0.1:1", 0, STOQ_NET_CC_AUTO), "cubic");
    assert_string_equal(congestion_to("[fe80::1%1]:1", 0, STOQ_NET_CC_AUTO), "cubic");
    assert_string_equal(congestion_to("169.254.1.1:1", 0, STOQ_NET_CC_AUTO), "cubic");
    assert_string_equal(congestion_to("[::1]:1", 0, STOQ_NET_CC_BBR), "bbr");
    assert_string_equal(congestion_to(far, 0, STOQ_NET_CC_CUBIC), "cubic");
}

/* Bytes of a handshake whose dialler falls silent after its first flight. */
struct flight {
    int packets;
    uint64_t in;
    uint64_t out;
};

static int fate_first_flight(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    struct flight *f = p->test;
    fate->delay[0] = STOQ_MS;
    if (!to_b) {
        f->out += fate->n;
        return 0; /* whoever is said to have sent it does not answer */
    }
    if (f->packets-- <= 0) {
        return 0;
    }
    f->in += fate->n;
    return 1;
}

/* A forged sender gets at most three times the bytes that were spent in its name (RFC 9000 section 8.1). */
static void unproven_addresses_get_little(void **state)
{
    (void)state;
    for (int packets = 1; packets <= 2; packets++) { /* half a first flight, a whole one */
        struct net_pipe p;
        struct flight f = {.packets = packets};
        pipe_init(&p, &plain, 23);
        p.fate = fate_first_flight;
        p.test = &f;
        (void)pipe_dial(&p);
        (void)pipe_run(&p, NULL, 10 * STOQ_SEC);
        print_message("%d packets: %llu bytes in, %llu out\n", packets, (unsigned long long)f.in,
                      (unsigned long long)f.out);
        assert_true(f.in > 0 && f.out <= 3 * f.in);
        assert_true(packets == 1 || f.out > 0);
        assert_int_equal(p.b.opened, 0);
        assert_int_equal(p.b.net->live, 0);
        pipe_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_survive_a_rough_path),
        cmocka_unit_test(damaged_packets_are_as_lost),
        cmocka_unit_test(long_fat_path_is_filled),
        cmocka_unit_test(near_senders_get_a_small_window),
        cmocka_unit_test(loopback_is_not_paced),
        cmocka_unit_test(moving_peer_is_followed),
        cmocka_unit_test(narrow_path_is_used_as_it_is),
        cmocka_unit_test(cut_path_ends_in_idle_timeout),
        cmocka_unit_test(many_dials_get_through),
        cmocka_unit_test(honest_dialler_passes_a_flood),
        cmocka_unit_test(honest_dialler_passes_half_open_ones),
        cmocka_unit_test(unproven_addresses_get_little),
        cmocka_unit_test(congestion_follows_what_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
