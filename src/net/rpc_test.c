/* Calls in single datagrams: sealing by itself, then two endpoints in virtual time. */
#include "net/net_pipe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stoq_key *a_key(uint8_t seed)
{
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    struct stoq_key *key;
    memset(bytes, seed, sizeof bytes);
    assert_int_equal(stoq_key_from_seed(&key, bytes), STOQ_OK);
    return key;
}

static void sealed_and_opened(void **state)
{
    static const uint8_t network[32] = {5};
    static const uint8_t salt[NET_SEAL_SALT_BYTES] = {6};
    static const size_t lengths[] = {1, 180, 181, 182, 437, 438, NET_SEAL_MESSAGE_MAX};
    struct stoq_key *identity = a_key(9);
    struct net_seal_key key;
    struct net_seal_key same;
    (void)state;
    assert_int_equal(net_seal_key_init(&key, identity), STOQ_OK);
    assert_int_equal(net_seal_key_init(&same, identity), STOQ_OK);
    assert_memory_equal(key.pub, same.pub, sizeof key.pub);
    for (size_t i = 0; i < 2 * STOQ_COUNT(lengths); i++) {
        const uint8_t *psk = i % 2 == 0 ? NULL : network;
        uint8_t message[NET_SEAL_REQUEST_MAX];
        uint8_t datagram[NET_SEAL_REQUEST_MAX];
        uint8_t plain[NET_SEAL_REQUEST_MAX];
        struct net_seal_body in = {.token = {7}, .message = {message, lengths[i / 2]}};
        struct net_seal_body out;
        struct net_seal_reply ours;
        struct net_seal_reply theirs;
        size_t n;
        memset(message, 0xab, sizeof message);
        assert_int_equal(net_seal_request(key.pub, psk, 1234567890, &in, datagram, &n, &ours),
                         STOQ_OK);
        assert_true(n == 256 || n == 512 || n == 1200);
        assert_true(n >= 75 + in.message.n && (n == 256) == (75 + in.message.n <= 256));
        assert_int_equal(net_open_request(&same, psk, stoq_span(datagram, n), plain, &out, &theirs),
                         STOQ_OK);
        assert_true(stoq_span_eq(in.message, out.message));
        assert_memory_equal(in.token, out.token, sizeof in.token);
        /* Another network, and none, know nothing of it. */
        const uint8_t *other = psk == NULL ? network : NULL;
        assert_int_equal(
            net_open_request(&same, other, stoq_span(datagram, n), plain, &out, &theirs),
            STOQ_PROOF);
        assert_int_equal(net_open_request(&same, psk, stoq_span(datagram, n), plain, &out, &theirs),
                         STOQ_OK);
        uint8_t back[NET_SEAL_REQUEST_MAX];
        size_t back_n;
        assert_int_equal(net_seal_answer(&theirs, salt, &in, n, back, &back_n), STOQ_OK);
        assert_true(back_n < n);
        assert_int_equal(net_open_answer(&ours, stoq_span(back, back_n), plain, &out), STOQ_OK);
        assert_true(stoq_span_eq(in.message, out.message));
        assert_int_equal(net_seal_answer(&theirs, salt, &in, back_n - 1, back, &back_n),
                         STOQ_RANGE);
    }
    net_seal_key_release(&key);
    net_seal_key_release(&same);
    stoq_key_free(identity);
}

/* Every bit of a request and of its reply matters. */
static void changed_bits_are_refused(void **state)
{
    static const uint8_t salt[NET_SEAL_SALT_BYTES] = {6};
    struct stoq_key *identity = a_key(9);
    struct net_seal_key key;
    struct net_seal_body in = {.message = stoq_span_str("ping")};
    struct net_seal_body out;
    struct net_seal_reply ours;
    struct net_seal_reply theirs;
    uint8_t request[NET_SEAL_REQUEST_MAX];
    uint8_t reply[NET_SEAL_REQUEST_MAX];
    uint8_t plain[NET_SEAL_REQUEST_MAX];
    size_t n;
    size_t reply_n;
    (void)state;
    assert_int_equal(net_seal_key_init(&key, identity), STOQ_OK);
    assert_int_equal(net_seal_request(key.pub, NULL, 0, &in, request, &n, &ours), STOQ_OK);
    assert_int_equal(net_open_request(&key, NULL, stoq_span(request, n), plain, &out, &theirs),
                     STOQ_OK);
    assert_int_equal(net_seal_answer(&theirs, salt, &in, n, reply, &reply_n), STOQ_OK);
    for (size_t i = 0; i < n; i += 3) {
        if (i == 40) {
            continue; /* the top bit of an X25519 key is ignored, by its definition */
        }
        request[i] ^= 0x10;
        assert_int_not_equal(
            net_open_request(&key, NULL, stoq_span(request, n), plain, &out, &theirs), STOQ_OK);
        request[i] ^= 0x10;
    }
    for (size_t i = 0; i < reply_n; i++) {
        reply[i] ^= 0x10;
        assert_int_not_equal(net_open_answer(&ours, stoq_span(reply, reply_n), plain, &out),
                             STOQ_OK);
        reply[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < reply_n; cut++) {
        assert_int_not_equal(net_open_answer(&ours, stoq_span(reply, cut), plain, &out), STOQ_OK);
    }
    for (size_t cut = 0; cut < n; cut += 5) {
        assert_int_not_equal(
            net_open_request(&key, NULL, stoq_span(request, cut), plain, &out, &theirs), STOQ_OK);
    }
    net_seal_key_release(&key);
    stoq_key_free(identity);
}

/* What the owners of the two ends saw. */
struct seen {
    int asked;
    int proven;
    size_t reply_bytes; /* what b answers with; 0: the request's own bytes */
    int ended;
    enum stoq_status status;
    uint64_t cookie;
    stoq_ns rtt_ns;
    size_t n;
    uint8_t token[STOQ_NET_RPC_TOKEN_BYTES];
    int lose; /* so many packets of either direction are lost first */
    uint64_t sent[2];
    size_t longest[2];
    struct {
        uint8_t p[1500];
        size_t n;
    } kept[8]; /* the first that a sent */
    size_t kept_count;
};

static size_t on_rpc(void *user, const struct stoq_net_rpc_in *in, uint8_t *out, size_t cap)
{
    struct pipe_end *e = user;
    struct seen *s = e->pipe->test;
    s->asked++;
    s->proven += in->proven;
    if (s->reply_bytes > 0) {
        memset(out, 1, s->reply_bytes < cap ? s->reply_bytes : cap);
        return s->reply_bytes < cap ? s->reply_bytes : cap;
    }
    memcpy(out, in->message.p, in->message.n);
    return in->message.n;
}

static void on_rpc_ended(void *user, const struct stoq_net_rpc_end *end)
{
    struct pipe_end *e = user;
    struct seen *s = e->pipe->test;
    s->ended++;
    s->status = end->status;
    s->cookie = end->cookie;
    s->rtt_ns = end->rtt_ns;
    s->n = end->message.n;
    if (end->token != NULL) {
        memcpy(s->token, end->token, sizeof s->token);
    }
}

static int fate(struct net_pipe *p, bool to_b, struct pipe_fate *f)
{
    struct seen *s = p->test;
    s->sent[to_b]++;
    s->longest[to_b] = f->n > s->longest[to_b] ? f->n : s->longest[to_b];
    if (to_b && s->kept_count < STOQ_COUNT(s->kept) && f->n <= sizeof s->kept[0].p) {
        memcpy(s->kept[s->kept_count].p, f->p, f->n);
        s->kept[s->kept_count++].n = f->n;
    }
    f->delay[0] = 5 * STOQ_MS;
    return s->lose-- <= 0;
}

static void start(struct net_pipe *p, struct seen *s, const uint8_t *network)
{
    struct stoq_net_config cfg = {.cb = {.rpc = on_rpc, .rpc_ended = on_rpc_ended},
                                  .network_key = network};
    *s = (struct seen){0};
    pipe_init(p, &cfg, 1);
    p->fate = fate;
    p->test = s;
}

static enum stoq_status call_again(struct net_pipe *p, const uint8_t *key, const uint8_t *token,
                                   size_t n, stoq_ns resend_ns)
{
    static const uint8_t zeros[STOQ_NET_RPC_MESSAGE_MAX + 1] = {1};
    struct stoq_net_rpc_call c = {.addr = p->b.net->listeners[0].socket.local,
                                  .key = key,
                                  .token = token,
                                  .message = {zeros, n},
                                  .resend_ns = resend_ns,
                                  .cookie = 77};
    return stoq_net_rpc(p->a.net, &c);
}

static enum stoq_status call(struct net_pipe *p, const uint8_t *key, const uint8_t *token, size_t n)
{
    return call_again(p, key, token, n, STOQ_NET_RPC_RESEND);
}

static bool ended(struct net_pipe *p)
{
    return ((struct seen *)p->test)->ended > 0;
}

static void answered_in_one_round_trip(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, NULL);
    const uint8_t *key = stoq_net_rpc_key(p.b.net);
    assert_int_equal(call(&p, key, NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, STOQ_SEC));
    assert_int_equal(s.status, STOQ_OK);
    assert_int_equal(s.cookie, 77);
    assert_int_equal(s.n, 20);
    assert_int_equal(s.rtt_ns, 10 * STOQ_MS);
    assert_int_equal(s.sent[0] + s.sent[1], 2);
    assert_int_equal(s.longest[1], 256);
    assert_true(s.longest[0] < 256);
    assert_int_equal(s.proven, 0);
    /* The token that came back proves the address next time, and for a while. */
    for (int i = 1; i <= 2; i++) {
        s.ended = 0;
        assert_int_equal(call(&p, key, s.token, STOQ_NET_RPC_MESSAGE_MAX), STOQ_OK);
        assert_true(pipe_run(&p, ended, STOQ_SEC));
        assert_int_equal(s.proven, i);
        p.now += 290 * STOQ_SEC;
    }
    s.ended = 0;
    uint8_t old[STOQ_NET_RPC_TOKEN_BYTES];
    memcpy(old, s.token, sizeof old);
    p.now += 700 * STOQ_SEC;
    assert_int_equal(call(&p, key, old, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, STOQ_SEC));
    assert_int_equal(s.proven, 2);
    assert_int_equal(call(&p, key, NULL, 0), STOQ_RANGE);
    assert_int_equal(call_again(&p, key, NULL, 20, 0), STOQ_RANGE);
    assert_int_equal(call(&p, key, NULL, STOQ_NET_RPC_MESSAGE_MAX + 1), STOQ_RANGE);
    pipe_release(&p);
}

static void lost_ones_are_sent_again(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, NULL);
    s.lose = 2; /* the request, then the reply to its copy */
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    s.lose = 1;
    assert_true(pipe_run(&p, ended, 3 * STOQ_SEC));
    assert_int_equal(s.status, STOQ_OK);
    assert_int_equal(s.rtt_ns, 0);
    pipe_release(&p);
}

static void no_reply_is_a_timeout(void **state)
{
    static const uint8_t other[STOQ_NET_RPC_KEY_BYTES] = {9};
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, NULL);
    stoq_ns before = p.now;
    assert_int_equal(call(&p, other, NULL, 20), STOQ_OK); /* sealed to somebody else */
    assert_true(pipe_run(&p, ended, 10 * STOQ_SEC));
    assert_int_equal(s.status, STOQ_TIMEOUT);
    assert_int_equal(p.now - before, 2 * STOQ_SEC);
    assert_int_equal(s.asked, 0);
    assert_int_equal(s.sent[1], 4); /* at 0, 0.25, 0.75, 1.75 s */
    assert_int_equal(s.sent[0], 0);
    s.ended = 0;
    assert_int_equal(call_again(&p, other, NULL, 20, 700 * STOQ_MS), STOQ_OK);
    assert_true(pipe_run(&p, ended, 10 * STOQ_SEC));
    assert_int_equal(s.sent[1], 6); /* at 0 and 0.7 s */
    pipe_release(&p);
}

static uint64_t payer(const char *text)
{
    struct stoq_addr a;
    assert_int_equal(stoq_addr_parse(&a, stoq_span(text, strlen(text)), 0), STOQ_OK);
    return net_rpc_payer(&a);
}

static void neighbours_have_accounts_of_their_own(void **state)
{
    (void)state;
    assert_true(payer("93.184.216.1:5") == payer("93.184.216.200:6"));
    assert_true(payer("93.184.216.1:5") != payer("93.184.217.1:5"));
    assert_true(payer("[2a00:1:2::1]:5") == payer("[2a00:1:2:3::1]:6"));
    assert_true(payer("192.168.1.4:5") != payer("192.168.1.5:5"));
    assert_true(payer("192.168.1.4:5") == payer("192.168.1.4:6"));
    assert_true(payer("127.0.0.1:5") != payer("127.0.0.1:6"));
    assert_true(payer("[::1]:5") != payer("[::1]:6"));
}

static void replies_are_never_longer(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, NULL);
    s.reply_bytes = 256 - 59; /* as long as the request, to the byte */
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, 10 * STOQ_SEC));
    assert_int_equal(s.status, STOQ_OK);
    assert_int_equal(s.longest[0], 256);
    s.ended = 0;
    s.reply_bytes++;
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, 10 * STOQ_SEC));
    assert_int_equal(s.status, STOQ_TIMEOUT);
    assert_int_equal(s.longest[0], 256);
    pipe_release(&p);
}

static void rates_are_capped(void **state)
{
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, NULL);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    }
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    (void)pipe_run(&p, NULL, 100 * STOQ_MS); /* before anything is sent again */
    assert_true(s.asked >= 100 && s.asked <= NET_GUARD_RPCS_PREFIX_PER_S + 25);
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.rpc_answered, s.asked);
    assert_int_equal(stats.rpc_dropped, 1001 - s.asked);
    for (int i = 1001; i < STOQ_NET_RPC_CALLS_MAX + s.asked; i++) {
        assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    }
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_FULL);
    s.ended = 0;
    pipe_release(&p); /* every call under way ends */
    assert_int_equal(s.ended, STOQ_NET_RPC_CALLS_MAX);
    assert_int_equal(s.status, STOQ_CANCELLED);
}

static bool a_opened(struct net_pipe *p)
{
    return p->a.opened > 0;
}

static bool a_closed(struct net_pipe *p)
{
    return p->a.closed > 0;
}

/* Of a private network: insiders see no difference, outsiders see nothing. */
static void outsiders_get_no_packet(void **state)
{
    static const uint8_t network[32] = "known to all who belong to it";
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, network);
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, STOQ_SEC));
    assert_int_equal(s.status, STOQ_OK);
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, a_opened, STOQ_SEC));
    pipe_release(&p);

    for (int other = 0; other < 2; other++) {
        start(&p, &s, network);
        p.a.net->private = other == 1; /* no key at all, or another one */
        p.a.net->network_mac[0] ^= 1;
        p.a.net->network_psk[0] ^= 1;
        assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
        (void)pipe_dial(&p);
        assert_true(pipe_run(&p, a_closed, 10 * STOQ_SEC));
        assert_int_equal(p.a.why, STOQ_NET_TIMED_OUT);
        assert_int_equal(s.status, STOQ_TIMEOUT);
        assert_true(s.sent[1] > 4);
        assert_int_equal(s.sent[0], 0);
        struct stoq_net_stats stats;
        stoq_net_stats(p.b.net, &stats);
        assert_true(stats.dropped_outsider > 0);
        assert_int_equal(stats.connections, 0);
        pipe_release(&p);
    }
}

/* Send again what a sent first, from a port. */
static void send_copies(struct net_pipe *p, uint16_t port)
{
    struct seen *s = p->test;
    for (size_t i = 0; i < s->kept_count; i++) {
        struct net_socket *socket = &p->b.net->listeners[0].socket;
        struct net_datagram d = {
            .p = s->kept[i].p, .n = s->kept[i].n, .segment = s->kept[i].n, .to = socket->local};
        d.from = p->a.net->listeners[0].socket.local;
        d.from.port = port;
        net_receive(p->b.net, socket, &d);
    }
    (void)pipe_run(p, NULL, 10 * STOQ_SEC);
}

/* Who recorded what a member sent, a sealed request and a first flight, is answered as little. */
static void copies_get_no_packet(void **state)
{
    static const uint8_t network[32] = "known to all who belong to it";
    struct net_pipe p;
    struct seen s;
    struct stoq_net_stats stats;
    (void)state;
    start(&p, &s, network);
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, STOQ_SEC));
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, a_opened, STOQ_SEC));
    uint16_t own = p.a.net->listeners[0].socket.local.port;
    (void)pipe_run(&p, NULL, STOQ_SEC);
    uint64_t sent = s.sent[0];
    send_copies(&p, 4242); /* while the connection lives */
    assert_int_equal(s.sent[0], sent);
    stoq_net_close(p.a.net, p.a.conn, 0, "enough");
    (void)pipe_run(&p, NULL, 20 * STOQ_SEC);
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.connections + p.b.net->closing, 0);
    assert_int_equal(stats.dropped_replayed, 1); /* the first flight was the connection's */
    sent = s.sent[0];
    send_copies(&p, 4242);
    send_copies(&p, own); /* long after: it might be anybody's by now */
    assert_int_equal(s.sent[0], sent);
    stoq_net_stats(p.b.net, &stats);
    assert_int_equal(stats.dropped_replayed, 1 + 2 * 3); /* the request and two first packets */
    assert_int_equal(stats.opened_inbound, 1);
    assert_int_equal(s.asked, 1);
    /* The member itself is not kept out. */
    s.ended = 0;
    assert_int_equal(call(&p, stoq_net_rpc_key(p.b.net), NULL, 20), STOQ_OK);
    assert_true(pipe_run(&p, ended, STOQ_SEC));
    assert_int_equal(s.status, STOQ_OK);
    p.a.opened = 0;
    (void)pipe_dial(&p);
    assert_true(pipe_run(&p, a_opened, STOQ_SEC));
    pipe_release(&p);
}

static uint64_t late_wall(void *user)
{
    return pipe_wall(user) - NET_REPLAY_WINDOW_MS - 1;
}

static uint64_t lateish_wall(void *user)
{
    return pipe_wall(user) - NET_REPLAY_WINDOW_MS + 5000;
}

/* A first flight is for one listener and for its time. */
static void first_flights_are_for_one(void **state)
{
    static const uint8_t network[32] = {1};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct net_pipe p;
        struct seen s;
        start(&p, &s, network);
        struct stoq_net_dial unnamed = {.addr = p.b.net->listeners[0].socket.local};
        stoq_net_conn conn;
        assert_int_equal(stoq_net_dial(p.a.net, &unnamed, &conn), STOQ_RANGE);
        p.now += 400 * STOQ_SEC;        /* b has been there for so long */
        p.b.net->self.h.b[0] ^= i == 0; /* another member, to whom it was not sent */
        p.a.net->wall = i == 1 ? late_wall : lateish_wall;
        (void)pipe_dial(&p);
        (void)pipe_run(&p, a_opened, 10 * STOQ_SEC);
        assert_int_equal(p.a.opened, i == 2);
        assert_true((s.sent[0] > 0) == (i == 2));
        struct stoq_net_stats stats;
        stoq_net_stats(p.b.net, &stats);
        assert_true((stats.dropped_outsider > 0) == (i == 0));
        assert_true((stats.dropped_replayed > 0) == (i == 1));
        pipe_release(&p);
    }
}

/* Not a version, not a reset, not a refusal. */
static void probes_get_no_packet(void **state)
{
    static const uint8_t network[32] = {1};
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, network);
    for (int i = 0; i < 2000; i++) {
        uint8_t packet[1200];
        struct net_socket *socket = &p.b.net->listeners[0].socket;
        struct net_datagram d = {.p = packet, .n = sizeof packet, .segment = sizeof packet};
        pipe_entropy(&p.prng, packet, sizeof packet);
        if (i % 2 == 0) {
            static const uint8_t head[] = {0xc0, 0, 0, 0, 1, 8};
            memcpy(packet, head, sizeof head);
            packet[4] = (uint8_t)(i / 2 % 3); /* versions 0, 1, 2 */
            packet[14] = 8;
            packet[23] = 0;
            packet[24] = 0x44;
            packet[25] = 0x96;
        }
        d.to = socket->local;
        d.from = p.a.net->listeners[0].socket.local;
        net_receive(p.b.net, socket, &d);
        net_flush_all(p.b.net);
    }
    (void)pipe_run(&p, NULL, STOQ_SEC);
    assert_int_equal(s.sent[0], 0);
    pipe_release(&p);
}

static bool hundred_opened(struct net_pipe *p)
{
    return p->a.opened == 100;
}

/* The retry token takes the place of the network's. */
static void insiders_pass_a_retry(void **state)
{
    static const uint8_t network[32] = {1};
    struct net_pipe p;
    struct seen s;
    (void)state;
    start(&p, &s, network);
    for (int i = 0; i < 100; i++) {
        (void)pipe_dial(&p);
    }
    assert_true(pipe_run(&p, hundred_opened, 10 * STOQ_SEC));
    struct stoq_net_stats stats;
    stoq_net_stats(p.b.net, &stats);
    assert_true(stats.retries_sent > 0);
    pipe_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sealed_and_opened),
        cmocka_unit_test(changed_bits_are_refused),
        cmocka_unit_test(answered_in_one_round_trip),
        cmocka_unit_test(lost_ones_are_sent_again),
        cmocka_unit_test(no_reply_is_a_timeout),
        cmocka_unit_test(replies_are_never_longer),
        cmocka_unit_test(rates_are_capped),
        cmocka_unit_test(outsiders_get_no_packet),
        cmocka_unit_test(copies_get_no_packet),
        cmocka_unit_test(first_flights_are_for_one),
        cmocka_unit_test(probes_get_no_packet),
        cmocka_unit_test(insiders_pass_a_retry),
        cmocka_unit_test(neighbours_have_accounts_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
