/*
 * Many idle connections: one process that holds N of them with a daemon, each with a key of its own, and
 * tells what they cost the daemon. The keys are put into the TLS of one endpoint, which no other program
 * does: a peer has one key.
 *
 *   idle_many ADDR PEER N PID [IDLE_SECONDS]
 *
 * PID is the daemon's; its memory and processor time are read from /proc before the first connection and
 * after it had time to trim.
 */
#include "net/net_internal.h"
#include "os/sys.h"
#include "sign/sign.h"
#include "wire/bech32m.h"
#include "wire/frame.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 24 /* handshakes under way: below what makes a listener wary */
#define PINGS 1000
#define SETTLE (8 * STOQ_SEC) /* until the handshakes' last packets and probes are over ... */
#define SETTLE_FEW STOQ_SEC   /* ... of fewer than FEW connections */
#define FEW 1000

struct bench {
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_key *key;
    struct stoq_timer *timer;
    struct stoq_net_dial dial;
    struct stoq_peer_id peer;
    long pid;
    stoq_net_conn *conns;
    size_t want;
    size_t begun;
    size_t opened;
    uint64_t seed;
    uint64_t memory_before;
    stoq_ns began_at;
    size_t pings;
    stoq_ns asked_at;
    stoq_ns ping_ns[PINGS];
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "idle_many: %s\n", what);
    exit(1);
}

/* The number behind a word of a file of /proc/PID. */
static uint64_t figure(long pid, const char *file, const char *word)
{
    char path[64];
    char line[256];
    uint64_t n = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        die("the daemon is gone");
    }
    while (fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, word, strlen(word)) == 0) {
            n = strtoull(line + strlen(word), NULL, 10);
        }
    }
    (void)fclose(f);
    return n;
}

static uint64_t memory_of(long pid)
{
    return (figure(pid, "status", "RssAnon:") + figure(pid, "status", "RssShmem:")) * STOQ_KIB;
}

/* Processor time of a process, in ticks of 10 ms. */
static uint64_t ticks_of(long pid)
{
    char path[64];
    char line[1024] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL || fgets(line, sizeof line, f) == NULL) {
        die("the daemon is gone");
    }
    (void)fclose(f);
    const char *at = strrchr(line, ')');
    for (int field = 3; at != NULL && field <= 14; field++) { /* up to utime, stime follows it */
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        die("/proc/PID/stat is not as expected");
    }
    char *end;
    unsigned long user = strtoul(at, &end, 10);
    return user + strtoul(end, NULL, 10);
}

/* Another key for this connection: before its first packet, so before it has shown any. */
static void give_key(struct bench *b, stoq_net_conn id)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {0};
    struct stoq_key *key;
    uint64_t n = b->seed + b->begun;
    memcpy(seed, &n, sizeof n);
    if (stoq_key_from_seed(&key, seed) != STOQ_OK ||
        SSL_use_PrivateKey(net_conn_find(b->net, id)->ssl, stoq_key_evp(key)) != 1) {
        die("no key for a connection");
    }
    stoq_key_free(key);
}

static void dial_more(struct bench *b)
{
    while (b->begun < b->want && b->begun - b->opened < AT_ONCE) {
        if (stoq_net_dial(b->net, &b->dial, &b->conns[b->begun]) != STOQ_OK) {
            die("cannot dial");
        }
        give_key(b, b->conns[b->begun]);
        b->begun++;
    }
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct bench *b = user;
    (void)conn;
    (void)info;
    if (++b->opened == b->want) {
        stoq_loop_stop(b->loop);
    }
    dial_more(b);
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    (void)user;
    (void)conn;
    if (info->why != STOQ_NET_LOCAL) {
        die(info->text);
    }
}

static int by_size(const void *a, const void *b)
{
    const stoq_ns *x = a;
    const stoq_ns *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Ask on a connection drawn at random, one at a time. */
static void ping(struct bench *b)
{
    struct stoq_message msg = {.type = STOQ_MSG_PING, .request_id = b->pings + 1};
    struct stoq_buf out;
    stoq_net_stream stream;
    stoq_net_conn conn = b->conns[(b->pings * UINT64_C(2654435761) + 12345) % b->want];
    stoq_buf_init(&out, STOQ_FRAME_BYTES_MAX);
    b->asked_at = stoq_now();
    if (stoq_message_encode(&msg, &out) != STOQ_OK ||
        stoq_net_stream_open(b->net, conn, &stream) != STOQ_OK ||
        stoq_net_write_copy(b->net, conn, stream, stoq_buf_span(&out), true) != STOQ_OK) {
        die("cannot ping");
    }
    stoq_buf_release(&out);
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct bench *b = user;
    stoq_net_consumed(b->net, conn, stream, bytes.n);
    if (!fin) {
        return;
    }
    b->ping_ns[b->pings++] = stoq_now() - b->asked_at;
    if (b->pings == PINGS) {
        stoq_loop_stop(b->loop);
    } else {
        ping(b);
    }
}

static void on_timer(void *user)
{
    struct bench *b = user;
    stoq_loop_stop(b->loop);
}

static void serve_for(struct bench *b, stoq_ns ns)
{
    stoq_timer_set(b->timer, stoq_now() + ns);
    stoq_loop_run(b->loop);
}

static void setup(struct bench *b, char **argv)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES] = {1};
    struct stoq_error err = {.text = "set-up failed"};
    stoq_entropy(&b->seed, sizeof b->seed);
    b->want = strtoul(argv[3], NULL, 10);
    b->pid = strtol(argv[4], NULL, 10);
    b->conns = calloc(b->want + 1, sizeof *b->conns);
    if (b->want == 0 || b->conns == NULL ||
        stoq_addr_parse(&b->dial.addr, stoq_span_str(argv[1]), 0) != STOQ_OK ||
        stoq_peer_id_get(&b->peer, stoq_span_str(argv[2])) != STOQ_OK ||
        stoq_key_from_seed(&b->key, seed) != STOQ_OK || stoq_loop_new(&b->loop, &err) != STOQ_OK ||
        stoq_timer_new(&b->timer, b->loop, on_timer, b, &err) != STOQ_OK) {
        die(err.text);
    }
    b->dial.pin = &b->peer;
    b->dial.timeout_ns = 60 * STOQ_SEC;
    struct stoq_net_config cfg = {
        .loop = b->loop,
        .key = b->key,
        .user = b,
        .cb = {.opened = on_opened, .closed = on_closed, .data = on_data},
        .connections_max = b->want,
        .memory_bytes = UINT64_C(1) << 40,
        .idle_timeout_ns = 3600 * STOQ_SEC,
    };
    if (stoq_net_new(&b->net, &cfg, &err) != STOQ_OK) {
        die(err.text);
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    if (argc < 5) {
        die("usage: idle_many ADDR PEER N PID [IDLE_SECONDS]");
    }
    stoq_ns idle_ns = (argc > 5 ? strtoull(argv[5], NULL, 10) : 20) * STOQ_SEC;
    setup(&b, argv);
    b.memory_before = memory_of(b.pid);
    uint64_t cpu = ticks_of(b.pid);
    b.began_at = stoq_now();
    dial_more(&b);
    stoq_loop_run(b.loop);
    double seconds = (double)(stoq_now() - b.began_at) / 1e9;
    printf("idle_connections %zu connections\n", b.opened);
    printf("idle_opening %.4g connections/s\n", (double)b.opened / seconds);
    printf("idle_opening_cpu %.4g ms/connection\n",
           (double)(ticks_of(b.pid) - cpu) * 10 / (double)b.opened);
    serve_for(&b, b.want < FEW ? SETTLE_FEW : SETTLE);
    cpu = ticks_of(b.pid);
    stoq_ns from = stoq_now();
    serve_for(&b, idle_ns);
    double share = (double)(ticks_of(b.pid) - cpu) * 1e9 / (double)(stoq_now() - from);
    printf("idle_memory %.4g KiB/connection\n",
           ((double)memory_of(b.pid) - (double)b.memory_before) / 1024 / (double)b.opened);
    printf("idle_cpu %.4g percent\n", share);
    ping(&b);
    stoq_loop_run(b.loop);
    qsort(b.ping_ns, PINGS, sizeof b.ping_ns[0], by_size);
    const size_t median = PINGS / 2;
    const size_t p99 = PINGS * 99 / 100;
    printf("idle_ping_median %.4g ms\n", (double)b.ping_ns[median] / 1e6);
    printf("idle_ping_p99 %.4g ms\n", (double)b.ping_ns[p99] / 1e6);
    printf("idle_ping_most %.4g ms\n", (double)b.ping_ns[PINGS - 1] / 1e6);
    (void)fflush(stdout);
    stoq_net_free(b.net);
    stoq_timer_free(b.timer);
    stoq_loop_free(b.loop);
    stoq_key_free(b.key);
    free(b.conns);
    return 0;
}
