/*
 * A peer that means harm, one kind of it at a time; tests/abuse/campaign runs it against a daemon.
 *
 * usage: attacker KIND --to ADDRESS [--rate N] [--seconds N] [--count N] [--closed N]
 *                 [--package ID --chunks N]
 *
 * It ends after SECONDS, or when so many of its connections have been closed; replay and early when they
 * are done.
 *
 *   initials   RATE first packets a second whose content is noise
 *   halfopen   RATE handshakes a second, begun and never gone on with
 *   forged     one first flight and silence: what comes back for it, to an address that proved nothing
 *   datagrams  RATE datagrams a second that look sealed and are noise
 *   alpn, nokey, group   COUNT handshakes with another protocol, no key, X25519 alone
 *   loris      COUNT streams, a byte each, then nothing
 *   giant, empty, cut, twice, order, answer, noise   COUNT connections, a request each that is no request: a
 *              frame of 1 GiB, of nothing, broken off, two in one, map keys out of order, an answer, noise
 *   pair       two connections of one peer, a request with keys out of order on the later one
 *   flood      COUNT connections that send pings, 64 at a time, and read no answer
 *   greedy     COUNT peers that ask for all chunks 64 times each and read nothing
 *   replay     a connection with early data, then its first flight COUNT times more, from another port
 *   early      the honest twin of replay: the connection alone
 *   impostor   listens on an address of its own, prints it, lets anybody in, until COUNT dialled or SECONDS
 *              are over
 *
 * It is our transport with one thing bent in it, so what it sends gets as far as it can. Prints what it
 * counted as one JSON object.
 */
#include "net/net_internal.h"

#include "hash/hash.h"
#include "os/loop.h"
#include "os/sys.h"
#include "sign/sign.h"
#include "wire/bech32m.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <openssl/ssl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK (10 * STOQ_MS)
#define HINT_TICKS 6000
#define PEERS_MAX 64
#define KEPT_MAX 16
#define FIRST_PACKETS_MAX 2 /* of one dial: a first flight, and again after a retry */
#define STREAMS 64

struct attack;

/* One identity and its endpoint. */
struct bad_peer {
    struct attack *attack;
    struct stoq_key *key;
    struct stoq_net *net;
    stoq_net_conn conn;
    bool asked;
};

struct kept {
    uint8_t p[2048];
    size_t n;
};

struct attack {
    const struct kind *kind;
    struct stoq_loop *loop;
    struct stoq_timer *timer;
    struct stoq_addr to;
    uint64_t rate;
    uint64_t seconds;
    uint64_t count;
    uint64_t closed_most; /* the end; 0: however many */
    uint64_t chunks;
    struct stoq_package_id package;
    stoq_ns begun;
    stoq_ns since;   /* of the step of an attack in steps */
    uint64_t waited; /* ticks, for the hint */
    uint64_t due;    /* what should have been sent by now ... */
    uint64_t sent;   /* ... and was */
    int fd;          /* of raw datagrams */
    struct bad_peer peers[PEERS_MAX];
    size_t peer_count;
    uint8_t first[65536]; /* first packets sent per connection, by a hash of its number */
    struct kept kept[KEPT_MAX];
    size_t kept_count;
    uint64_t bytes_out;
    uint64_t bytes_in;
    uint64_t opened;
    uint64_t closed;
    uint64_t streams;
    uint64_t answers;
    uint64_t errors; /* answers that are Error */
    uint64_t resets;
    bool has_hint;
    uint8_t hint[8]; /* that sealed datagrams to the daemon begin with */
    char why[160];   /* the last connection's end */
};

struct kind {
    const char *name;
    void (*begin)(struct attack *a);
    void (*tick)(struct attack *a);
    void (*opened)(struct bad_peer *b);
    void (*bend)(struct attack *a, struct bad_peer *b); /* a new endpoint */
};

static void raw_send(struct attack *a, const void *p, size_t n)
{
    struct sockaddr_in6 to = stoq_addr_to_in6(&a->to);
    if (sendto(a->fd, p, n, 0, (const struct sockaddr *)&to, sizeof to) == (ssize_t)n) {
        a->bytes_out += n;
        a->sent++;
    }
}

static void raw_open(struct attack *a)
{
    a->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    STOQ_ASSERT(a->fd >= 0);
}

static void raw_read(struct attack *a)
{
    uint8_t in[65536];
    ssize_t n;
    while ((n = recv(a->fd, in, sizeof in, 0)) > 0) {
        a->bytes_in += (uint64_t)n;
        a->answers++;
    }
}

/* How many more are due now. */
static uint64_t more_due(struct attack *a)
{
    uint64_t all = (uint64_t)(stoq_now() - a->begun) * a->rate / STOQ_SEC;
    uint64_t n = all - a->due;
    a->due = all;
    return n;
}

static void initials_tick(struct attack *a)
{
    uint8_t p[1200];
    stoq_entropy(p, sizeof p);
    for (uint64_t n = more_due(a); n > 0; n--) {
        static const uint8_t head[] = {0xc3, 0, 0, 0, 1, 8};
        memcpy(p, head, sizeof head);
        stoq_entropy(p + 6, 8); /* another connection each time */
        p[14] = 8;
        p[23] = 0;    /* no token */
        p[24] = 0x44; /* so many bytes follow: all */
        p[25] = 0x96;
        raw_send(a, p, sizeof p);
    }
    raw_read(a);
}

static void datagrams_tick(struct attack *a)
{
    uint8_t p[512];
    if (!a->has_hint && a->waited < HINT_TICKS) { /* it comes with the Hello, and the time begins */
        a->waited++;
        a->begun = stoq_now();
        return;
    }
    stoq_entropy(p, sizeof p);
    p[0] = 1;
    memcpy(p + 1, a->hint, sizeof a->hint);
    for (uint64_t n = more_due(a); n > 0; n--) {
        stoq_entropy(p + 9, 8);
        raw_send(a, p, 256 + 256 * (n % 2));
    }
    raw_read(a);
}

/* Endpoints ------------------------------------------------------------------------------------------- */

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct bad_peer *b = user;
    (void)info;
    b->conn = conn;
    b->attack->opened++;
    if (b->attack->kind->opened != NULL) {
        b->attack->kind->opened(b);
    }
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct bad_peer *b = user;
    struct attack *a = b->attack;
    b->conn = b->conn == conn ? 0 : b->conn;
    b->asked = false;
    a->closed++;
    (void)snprintf(a->why, sizeof a->why, "%s: %s", stoq_net_why_str(info->why), info->text);
}

/* A Hello's answer holds the key that datagrams are sealed to (key 7, 32 bytes). */
static void learn_hint(struct attack *a, struct stoq_span bytes)
{
    for (size_t i = 0; i + 35 <= bytes.n; i++) {
        if (memcmp(bytes.p + i, "\x07\x58\x20", 3) == 0) {
            struct stoq_hash h = stoq_hash_blake3(stoq_span(bytes.p + i + 3, 32));
            memcpy(a->hint, h.b, sizeof a->hint);
            a->has_hint = true;
        }
    }
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct bad_peer *b = user;
    struct attack *a = b->attack;
    a->bytes_in += bytes.n;
    a->answers += fin;
    learn_hint(a, bytes);
    /* [3, ...]: an Error, behind its length */
    a->errors += bytes.n > 6 && bytes.p[4] == 0x83 && bytes.p[5] == STOQ_MSG_ERROR;
    if (strcmp(a->kind->name, "greedy") != 0 && strcmp(a->kind->name, "flood") != 0) {
        stoq_net_consumed(b->net, conn, stream, bytes.n);
    }
}

static void on_ended(void *user, stoq_net_conn conn, stoq_net_stream stream, bool stop,
                     uint64_t code)
{
    struct bad_peer *b = user;
    (void)conn;
    (void)stream;
    (void)code;
    b->attack->resets += !stop;
}

static void peer_new(struct attack *a, bool listens)
{
    struct bad_peer *b = &a->peers[a->peer_count];
    uint8_t seed[STOQ_KEY_SEED_BYTES];
    struct stoq_addr addr;
    struct stoq_error err;
    STOQ_ASSERT(a->peer_count < PEERS_MAX);
    stoq_entropy(seed, sizeof seed);
    STOQ_ASSERT(stoq_key_from_seed(&b->key, seed) == STOQ_OK);
    STOQ_ASSERT(stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) == STOQ_OK);
    struct stoq_net_config cfg = {
        .loop = a->loop,
        .key = b->key,
        .user = b,
        .early_data = true,
        .cb = {.opened = on_opened, .closed = on_closed, .data = on_data, .stream_ended = on_ended},
        .listen = &addr,
        .listen_count = 1,
        .connections_max = 100000,
        .handshake_timeout_ns = listens ? 0 : 30 * STOQ_SEC,
    };
    b->attack = a;
    if (stoq_net_new(&b->net, &cfg, &err) != STOQ_OK) {
        fprintf(stderr, "attacker: %s\n", err.text);
        exit(2);
    }
    a->peer_count++;
    if (a->kind->bend != NULL) {
        a->kind->bend(a, b);
    }
}

static void dial(struct attack *a, struct bad_peer *b, stoq_ns timeout_ns)
{
    stoq_net_conn conn;
    struct stoq_net_dial d = {.addr = a->to, .timeout_ns = timeout_ns};
    if (stoq_net_dial(b->net, &d, &conn) == STOQ_OK) {
        a->sent++;
    }
}

static void dial_each(struct attack *a)
{
    for (uint64_t i = 0; i < a->count; i++) {
        peer_new(a, false);
        dial(a, &a->peers[i], 30 * STOQ_SEC);
    }
}

/* One identity, COUNT dials of it, spread over the time. */
static void one_begin(struct attack *a)
{
    peer_new(a, false);
    a->rate = a->rate == 0 ? 1 + a->count / (a->seconds == 0 ? 1 : a->seconds) : a->rate;
}

static void dials_tick(struct attack *a)
{
    for (uint64_t n = more_due(a); n > 0 && (a->count == 0 || a->sent < a->count); n--) {
        dial(a, &a->peers[0], (a->count == 0 ? 1 : 30) * STOQ_SEC);
    }
}

/* Lets a dial's first packets out and nothing of what it would say later. */
static void first_flights(void *user, const struct net_out *out, const uint8_t *p)
{
    struct bad_peer *b = user;
    struct attack *a = b->attack;
    for (size_t at = 0; at < out->n; at += out->segment) {
        size_t n = out->n - at < out->segment ? out->n - at : out->segment;
        if ((p[at] & 0xf0) != 0xc0 || n < 1200) {
            continue;
        }
        /* What follows the two ids is the token's length: a retry's flight is counted by itself. */
        size_t token_at = at + 7 + p[at + 5] + p[at + 6 + p[at + 5]];
        uint64_t tag = out->tag * 2 + (p[token_at] != 0);
        uint8_t *first = &a->first[(tag * UINT64_C(0x9e3779b97f4a7c15)) >> 48];
        if (*first >= FIRST_PACKETS_MAX) {
            continue;
        }
        ++*first;
        struct sockaddr_in6 to = stoq_addr_to_in6(&out->to);
        if (sendto(b->net->listeners[0].socket.fd, p + at, n, 0, (struct sockaddr *)&to,
                   sizeof to) > 0) {
            a->bytes_out += n;
        }
    }
}

static void bend_halfopen(struct attack *a, struct bad_peer *b)
{
    (void)a;
    b->net->tx.sink = first_flights;
    b->net->tx.sink_user = b;
}

static void forged_begin(struct attack *a)
{
    peer_new(a, false);
    dial(a, &a->peers[0], STOQ_SEC);
}

static void bend_alpn(struct attack *a, struct bad_peer *b)
{
    static const unsigned char h3[] = {2, 'h', '3'};
    (void)a;
    STOQ_ASSERT(SSL_CTX_set_alpn_protos(b->net->tls.ctx, h3, sizeof h3) == 0);
}

static void bend_group(struct attack *a, struct bad_peer *b)
{
    (void)a;
    STOQ_ASSERT(SSL_CTX_set1_groups_list(b->net->tls.ctx, "X25519") == 1);
}

static void bend_nokey(struct attack *a, struct bad_peer *b)
{
    static const unsigned char raw[] = {TLSEXT_cert_type_rpk};
    static const unsigned char alpn[] = {6, 's', 't', 'o', 'q', '/', '1'};
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    (void)a;
    STOQ_ASSERT(ctx != NULL && SSL_CTX_set1_groups_list(ctx, "SecP384r1MLKEM1024") == 1 &&
                SSL_CTX_set1_server_cert_type(ctx, raw, 1) == 1 &&
                SSL_CTX_set1_client_cert_type(ctx, raw, 1) == 1 &&
                SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn) == 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_app_data(ctx, SSL_CTX_get_app_data(b->net->tls.ctx)); /* freed with it */
    SSL_CTX_free(b->net->tls.ctx);
    b->net->tls.ctx = ctx;
}

/* Requests -------------------------------------------------------------------------------------------- */

static stoq_net_stream say(struct bad_peer *b, struct stoq_span bytes, bool fin)
{
    stoq_net_stream s = 0;
    if (stoq_net_stream_open(b->net, b->conn, &s) == STOQ_OK &&
        stoq_net_write_copy(b->net, b->conn, s, bytes, fin) == STOQ_OK) {
        b->attack->streams++;
        b->attack->bytes_out += bytes.n;
    }
    return s;
}

static void datagrams_opened(struct bad_peer *b)
{
    static const uint8_t hello[] = {0x23, 0,    0,   0,   0x83, 1,   1,    0xa6, 1,   0x81,
                                    1,    2,    3,   3,   0x6a, 's', 't',  'o',  'q', '/',
                                    '0',  '.',  '1', '.', '0',  4,   0x19, 0x10, 0,   5,
                                    0x19, 0x10, 0,   6,   0x1a, 0,   1,    0,    0};
    (void)say(b, stoq_span(hello, sizeof hello), true);
}

static void datagrams_begin(struct attack *a)
{
    raw_open(a);
    peer_new(a, false);
    dial(a, &a->peers[0], 30 * STOQ_SEC);
}

static void loris_begin(struct attack *a)
{
    peer_new(a, false);
    dial(a, &a->peers[0], 30 * STOQ_SEC);
}

static void loris_opened(struct bad_peer *b)
{
    for (uint64_t i = 0; i < b->attack->count; i++) {
        (void)say(b, stoq_span_str("\x04"), false);
    }
}

static void bytes_opened(struct bad_peer *b, const char *p, size_t n)
{
    (void)say(b, stoq_span(p, n), true);
}

static void giant_opened(struct bad_peer *b)
{
    bytes_opened(b, "\0\0\0\x40\x83", 5);
}

static void empty_opened(struct bad_peer *b)
{
    bytes_opened(b, "\0\0\0\0", 4);
}

static void cut_opened(struct bad_peer *b)
{
    bytes_opened(b, "\x04\0\0\0\x83\x02", 6);
}

static void twice_opened(struct bad_peer *b)
{
    bytes_opened(b, "\x04\0\0\0\x83\x02\x02\xa0\x04\0\0\0\x83\x02\x03\xa0", 16);
}

static void order_opened(struct bad_peer *b) /* MetadataQuery, key 2 before key 1 */
{
    char p[45] = "\x29\0\0\0\x83\x06\x06\xa2\x02\x01\x01\x58\x20";
    bytes_opened(b, p, sizeof p);
}

static void pair_begin(struct attack *a)
{
    peer_new(a, false);
    dial(a, &a->peers[0], 30 * STOQ_SEC);
    dial(a, &a->peers[0], 30 * STOQ_SEC);
}

static void pair_opened(struct bad_peer *b)
{
    if (b->attack->opened == 2) {
        order_opened(b);
    }
}

static void answer_opened(struct bad_peer *b) /* Error as a request */
{
    bytes_opened(b, "\x06\0\0\0\x83\x03\x03\xa1\x01\x01", 10);
}

static void noise_opened(struct bad_peer *b)
{
    char p[64] = "\x3c\0\0\0";
    stoq_entropy(p + 4, sizeof p - 4);
    bytes_opened(b, p, sizeof p);
}

static void flood_tick(struct attack *a)
{
    for (size_t i = 0; i < a->peer_count; i++) {
        struct bad_peer *b = &a->peers[i];
        for (int k = 0; b->conn != 0 && k < STREAMS; k++) {
            (void)say(b, stoq_span("\x04\0\0\0\x83\x02\x02\xa0", 8), true);
        }
    }
}

static void greedy_opened(struct bad_peer *b)
{
    struct attack *a = b->attack;
    struct stoq_buf out;
    uint64_t n = a->chunks < 4096 ? a->chunks : 4096;
    struct stoq_range all = {.first = 0, .count = (uint32_t)n};
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX);
    for (uint64_t i = 0; i < STREAMS; i++) {
        struct stoq_message msg = {
            .type = STOQ_MSG_CHUNK_REQUEST,
            .request_id = i + 1,
            .u.chunk_request = {
                .id = a->package, .ranges = &all, .range_count = 1, .chunk_count = (uint32_t)n}};
        stoq_buf_clear(&out);
        STOQ_ASSERT(stoq_message_encode(&msg, &out) == STOQ_OK);
        (void)say(b, stoq_buf_span(&out), true);
    }
    stoq_buf_release(&out);
}

/* Early data ------------------------------------------------------------------------------------------ */

/* Keeps the first flight and lets everything out. */
static void keep_all(void *user, const struct net_out *out, const uint8_t *p)
{
    struct bad_peer *b = user;
    struct attack *a = b->attack;
    for (size_t at = 0; at < out->n; at += out->segment) {
        size_t n = out->n - at < out->segment ? out->n - at : out->segment;
        struct sockaddr_in6 to = stoq_addr_to_in6(&out->to);
        (void)sendto(b->net->listeners[0].socket.fd, p + at, n, 0, (struct sockaddr *)&to,
                     sizeof to);
        /* Initial and 0-RTT packets, until an answer is in */
        bool early = (p[at] & 0xf0) == 0xc0 || (p[at] & 0xf0) == 0xd0;
        if (b->asked && early && a->answers == 0 && a->kept_count < KEPT_MAX &&
            n <= sizeof a->kept[0].p) {
            memcpy(a->kept[a->kept_count].p, p + at, n);
            a->kept[a->kept_count++].n = n;
        }
    }
}

static void bend_keep(struct attack *a, struct bad_peer *b)
{
    (void)a;
    b->net->tx.sink = keep_all;
    b->net->tx.sink_user = b;
}

/* Since the step before. */
static bool passed(const struct attack *a, stoq_ns ns)
{
    return stoq_now() - a->since > ns;
}

static void next_step(struct attack *a)
{
    a->sent++;
    a->since = stoq_now();
}

/* Of whom there is one; NULL: of nobody yet. */
static const struct stoq_peer_id *ticket_of(const struct bad_peer *b)
{
    const struct stoq_peer_id *peer = NULL;
    for (size_t i = 0; i < NET_TICKETS_MAX; i++) {
        peer = b->net->tickets.v[i].session != NULL ? &b->net->tickets.v[i].peer : peer;
    }
    return peer;
}

/* Meet once for the ticket, then ask in the first packets. */
static void meet_early(struct attack *a)
{
    struct bad_peer *b = &a->peers[0];
    if (a->sent == 0) {
        dial(a, b, 30 * STOQ_SEC);
    } else if (a->sent == 1 && b->conn != 0 && ticket_of(b) != NULL) {
        stoq_net_close(b->net, b->conn, 0, "first visit over");
        b->conn = 0;
        next_step(a);
    } else if (a->sent == 2 && a->closed == 1 && passed(a, 100 * STOQ_MS)) {
        struct stoq_peer_id pin = *ticket_of(b);
        struct stoq_net_dial d = {.addr = a->to, .pin = &pin};
        STOQ_ASSERT(stoq_net_dial(b->net, &d, &b->conn) == STOQ_OK);
        b->asked = true;
        if (stoq_net_early(b->net, b->conn)) {
            (void)say(b, stoq_span("\x04\0\0\0\x83\x02\x02\xa0", 8), true);
        }
        next_step(a);
    }
}

static void early_tick(struct attack *a)
{
    meet_early(a);
    if (a->sent == 3 && a->answers > 0 &&
        passed(a, 500 * STOQ_MS)) { /* another would be one too many */
        stoq_loop_stop(a->loop);
    }
}

static void replay_tick(struct attack *a)
{
    meet_early(a);
    if (a->sent < 3 || a->kept_count == 0) {
        return;
    }
    if (a->sent == 3) { /* its packets would be copies within a connection that is known */
        if (a->peers[0].conn != 0 && passed(a, 400 * STOQ_MS)) {
            stoq_net_close(a->peers[0].net, a->peers[0].conn, 0, "second visit over");
            a->peers[0].conn = 0;
            next_step(a);
        }
        return;
    }
    if (a->closed < 2 || (a->count > 0 && !passed(a, STOQ_SEC))) {
        return;
    }
    for (size_t i = 0; a->count > 0 && i < a->kept_count; i++) {
        raw_send(a, a->kept[i].p, a->kept[i].n);
    }
    raw_read(a);
    if (a->count == 1) { /* that was the last */
        a->since = stoq_now();
    }
    a->count -= a->count > 0;
    if (a->count == 0 && passed(a, STOQ_SEC)) { /* what came back for the last has come */
        stoq_loop_stop(a->loop);
    }
}

static void replay_begin(struct attack *a)
{
    raw_open(a);
    peer_new(a, false);
}

static void impostor_begin(struct attack *a)
{
    char text[STOQ_ADDR_TEXT_MAX];
    struct stoq_addr addr;
    peer_new(a, true);
    STOQ_ASSERT(stoq_net_local_addr(a->peers[0].net, 0, &addr));
    printf("%s\n", stoq_addr_format(&addr, text));
    (void)fflush(stdout);
}

static void impostor_tick(struct attack *a)
{
    struct stoq_net_stats s;
    stoq_net_stats(a->peers[0].net, &s);
    if (s.refused + s.opened_inbound >= a->count) {
        stoq_loop_stop(a->loop);
    }
}

static const struct kind kinds[] = {
    {"initials", raw_open, initials_tick, NULL, NULL},
    {"datagrams", datagrams_begin, datagrams_tick, datagrams_opened, NULL},
    {"halfopen", one_begin, dials_tick, NULL, bend_halfopen},
    {"forged", forged_begin, NULL, NULL, bend_halfopen},
    {"alpn", one_begin, dials_tick, NULL, bend_alpn},
    {"nokey", one_begin, dials_tick, NULL, bend_nokey},
    {"group", one_begin, dials_tick, NULL, bend_group},
    {"loris", loris_begin, NULL, loris_opened, NULL},
    {"giant", dial_each, NULL, giant_opened, NULL},
    {"empty", dial_each, NULL, empty_opened, NULL},
    {"cut", dial_each, NULL, cut_opened, NULL},
    {"twice", dial_each, NULL, twice_opened, NULL},
    {"order", dial_each, NULL, order_opened, NULL},
    {"pair", pair_begin, NULL, pair_opened, NULL},
    {"answer", dial_each, NULL, answer_opened, NULL},
    {"noise", dial_each, NULL, noise_opened, NULL},
    {"flood", dial_each, flood_tick, NULL, NULL},
    {"greedy", dial_each, NULL, greedy_opened, NULL},
    {"early", replay_begin, early_tick, NULL, bend_keep},
    {"replay", replay_begin, replay_tick, NULL, bend_keep},
    {"impostor", impostor_begin, impostor_tick, NULL, NULL},
};

static void on_timer(void *user)
{
    struct attack *a = user;
    if (a->kind->tick != NULL) {
        a->kind->tick(a);
    }
    stoq_ns end = a->begun + (stoq_ns)a->seconds * STOQ_SEC;
    if (stoq_now() >= end || (a->closed_most > 0 && a->closed >= a->closed_most)) {
        stoq_loop_stop(a->loop);
        return;
    }
    stoq_timer_set(a->timer, stoq_now() + TICK);
}

static void report(struct attack *a)
{
    uint64_t in = a->bytes_in;
    uint64_t early_refused = 0;
    for (size_t i = 0; i < a->peer_count; i++) {
        struct stoq_net_stats s;
        stoq_net_stats(a->peers[i].net, &s);
        in += strcmp(a->kind->name, "forged") == 0 ? s.bytes_received : 0;
        early_refused += s.early_refused;
    }
    printf(
        "{\"kind\": \"%s\", \"sent\": %llu, \"bytes_out\": %llu, \"bytes_in\": %llu, \"opened\": %llu, "
        "\"closed\": %llu, \"streams\": %llu, \"answers\": %llu, \"errors\": %llu, \"resets\": %llu, "
        "\"early_refused\": %llu, \"kept\": %zu, \"why\": \"%s\"}\n",
        a->kind->name, (unsigned long long)a->sent, (unsigned long long)a->bytes_out,
        (unsigned long long)in, (unsigned long long)a->opened, (unsigned long long)a->closed,
        (unsigned long long)a->streams, (unsigned long long)a->answers,
        (unsigned long long)a->errors, (unsigned long long)a->resets,
        (unsigned long long)early_refused, a->kept_count, a->why);
}

static bool take_option(struct attack *a, const char *name, const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (strcmp(name, "--to") == 0) {
        return stoq_addr_parse(&a->to, stoq_span_str(value), 0) == STOQ_OK;
    }
    if (strcmp(name, "--package") == 0) {
        return stoq_package_id_get(&a->package, stoq_span_str(value)) == STOQ_OK;
    }
    uint64_t *to = strcmp(name, "--rate") == 0      ? &a->rate
                   : strcmp(name, "--seconds") == 0 ? &a->seconds
                   : strcmp(name, "--count") == 0   ? &a->count
                   : strcmp(name, "--closed") == 0  ? &a->closed_most
                   : strcmp(name, "--chunks") == 0  ? &a->chunks
                                                    : NULL;
    if (to != NULL) {
        *to = number;
    }
    return to != NULL;
}

int main(int argc, char **argv)
{
    static struct attack a = {.seconds = 1, .count = 1, .fd = -1};
    for (size_t i = 0; i < STOQ_COUNT(kinds) && argc > 1; i++) {
        a.kind = strcmp(argv[1], kinds[i].name) == 0 ? &kinds[i] : a.kind;
    }
    bool good = a.kind != NULL && argc % 2 == 0;
    for (int i = 2; good && i + 1 < argc; i += 2) {
        good = take_option(&a, argv[i], argv[i + 1]);
    }
    if (!good || a.count > PEERS_MAX * 100000) {
        fprintf(stderr, "usage: attacker KIND --to ADDRESS [--OPTION VALUE]... (see its source)\n");
        return 2;
    }
    STOQ_ASSERT(stoq_loop_new(&a.loop, NULL) == STOQ_OK);
    STOQ_ASSERT(stoq_timer_new(&a.timer, a.loop, on_timer, &a, NULL) == STOQ_OK);
    a.begun = stoq_now();
    a.kind->begin(&a);
    stoq_timer_set(a.timer, stoq_now() + TICK);
    stoq_loop_run(a.loop);
    report(&a);
    (void)fflush(stdout);
    for (size_t i = 0; i < a.peer_count; i++) {
        stoq_net_free(a.peers[i].net);
        stoq_key_free(a.peers[i].key);
    }
    stoq_timer_free(a.timer);
    stoq_loop_free(a.loop);
    if (a.fd >= 0) {
        (void)close(a.fd);
    }
    return 0;
}
