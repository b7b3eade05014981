/*
 * A bad path between two ends of our own: a UDP relay that delays, loses, reorders, duplicates and limits
 * what passes, and tells at its end what it dealt.
 *
 * usage: relay --listen ADDR --to ADDR [--up LEG] [--down LEG] [--both LEG] [--seed N]
 *              [--ready-file FILE] [--tick US]
 *   --listen ADDR   where the path's near ends send to, port 0: any
 *   --to ADDR       its far end. Each near end, by its address, is a flow with a port of its own there
 *   --up, --down    what happens towards ADDR and back, as in delay=50ms,loss=1%,rate=100mbit (leg.h)
 *   --seed N        of all draws [1]
 *   --ready-file    gets the listening address, once it relays
 *   --tick US       what is due leaves at most this often [50]: fewer, longer sends on fast paths
 * TERM or INT ends it; then one JSON object goes to standard output: of each direction what came, what
 * was lost and in runs of what length, what left, the delays and the rate; and what the kernel dropped
 * before the relay could read it, which must be 0 or the figures are not the relay's alone.
 *
 * A datagram is what a path sees: what the kernel glued together (GRO) is taken apart, each part meets a
 * fate of its own, and parts of one size that leave together go to the kernel glued again (GSO). ECN marks
 * are not carried over. Both directions have one link each, shared by all flows.
 */
#include "leg.h"

#include "base/heap.h"
#include "net/udp.h"
#include "os/file.h"
#include "os/loop.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FLOWS_MAX 256
#define WAITING_BYTES_MAX (512 * STOQ_MIB) /* the relay's own memory; beyond it all is lost */
#define SOCKET_BYTES (32u << 20)
#define MEMINFO_DROPS 8 /* SK_MEMINFO_DROPS */

struct relay;

/* A datagram under way. */
struct waiting {
    struct stoq_heap_node due; /* key: when it leaves; first, so that a node is its datagram */
    struct flow *flow;
    bool up;
    struct leg_verdict verdict;
    stoq_ns arrived_at;
    size_t n;
    uint8_t bytes[];
};

/* A near end, and the socket that stands for it before the far end. */
struct flow {
    struct relay *relay;
    struct stoq_addr client;
    struct net_socket socket;
    struct stoq_watch *watch;
};

struct relay {
    struct stoq_loop *loop;
    struct stoq_timer *timer;
    struct stoq_hook hook;
    struct stoq_signal *signals[2];
    struct net_socket socket;
    struct stoq_watch *watch;
    struct stoq_addr to;
    struct net_rx rx;
    struct net_tx tx;
    struct net_out *filling; /* not committed yet */
    struct flow flows[FLOWS_MAX];
    size_t flow_count;
    uint64_t flows_refused;
    struct leg up;
    struct leg down;
    struct stoq_heap queue;
    size_t queue_count;
    uint64_t waiting_bytes;
    uint64_t no_room;
    stoq_ns tick_ns;
    stoq_ns sent_at;
};

_Noreturn static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "relay: %s%s%s\n", what, why[0] != '\0' ? ": " : "", why);
    exit(1);
}

static void keep(struct relay *r, struct flow *flow, bool up, const struct leg_verdict *v,
                 struct stoq_span bytes, stoq_ns now)
{
    struct waiting *w = NULL;
    if (r->waiting_bytes + bytes.n <= WAITING_BYTES_MAX &&
        stoq_heap_reserve(&r->queue, r->queue_count + 1) == STOQ_OK) {
        w = malloc(sizeof *w + bytes.n);
    }
    if (w == NULL) {
        r->no_room++;
        return;
    }
    *w = (struct waiting){.flow = flow, .up = up, .verdict = *v, .arrived_at = now, .n = bytes.n};
    memcpy(w->bytes, bytes.p, bytes.n);
    stoq_heap_put(&r->queue, &w->due, v->leaves_at);
    r->queue_count++;
    r->waiting_bytes += bytes.n;
}

/* The parts of what the kernel handed over as one. */
static void take_apart(struct relay *r, struct flow *flow, bool up, const struct net_datagram *d,
                       stoq_ns now)
{
    for (size_t at = 0; at < d->n; at += d->segment) {
        size_t n = d->n - at < d->segment ? d->n - at : d->segment;
        struct leg_verdict v = leg_feed(up ? &r->up : &r->down, n, now);
        for (unsigned i = 0; v.fate == LEG_PASSES && i < v.copies; i++) {
            keep(r, flow, up, &v, stoq_span(d->p + at, n), now);
        }
    }
}

static void on_far_end(void *user, unsigned events)
{
    struct flow *flow = user;
    struct relay *r = flow->relay;
    if ((events & STOQ_LOOP_READ) == 0) {
        return; /* room to send again: the hook goes on */
    }
    size_t got = net_rx_receive(&r->rx, &flow->socket);
    stoq_ns now = stoq_now();
    for (size_t i = 0; i < got; i++) {
        if (stoq_addr_eq(&r->rx.v[i].from, &r->to)) {
            take_apart(r, flow, false, &r->rx.v[i], now);
        }
    }
}

static struct flow *flow_of(struct relay *r, const struct stoq_addr *client)
{
    for (size_t i = 0; i < r->flow_count; i++) {
        if (stoq_addr_eq(&r->flows[i].client, client)) {
            return &r->flows[i];
        }
    }
    if (r->flow_count == FLOWS_MAX) {
        r->flows_refused++;
        return NULL;
    }
    struct flow *flow = &r->flows[r->flow_count];
    struct stoq_addr local = r->socket.local;
    struct stoq_error err;
    local.port = 0;
    *flow = (struct flow){.relay = r, .client = *client};
    if (net_socket_open(&flow->socket, &local, false, false, SOCKET_BYTES, &err) != STOQ_OK ||
        stoq_watch_new(&flow->watch, r->loop, flow->socket.fd, on_far_end, flow, &err) != STOQ_OK) {
        die("a flow's socket", err.text);
    }
    stoq_watch_set(flow->watch, STOQ_LOOP_READ);
    r->flow_count++;
    return flow;
}

static void on_near_end(void *user, unsigned events)
{
    struct relay *r = user;
    if ((events & STOQ_LOOP_READ) == 0) {
        return;
    }
    size_t got = net_rx_receive(&r->rx, &r->socket);
    stoq_ns now = stoq_now();
    for (size_t i = 0; i < got; i++) {
        struct flow *flow = flow_of(r, &r->rx.v[i].from);
        if (flow != NULL) {
            take_apart(r, flow, true, &r->rx.v[i], now);
        }
    }
}

static void commit(struct relay *r)
{
    if (r->filling != NULL) {
        net_tx_commit(&r->tx);
        r->filling = NULL;
    }
}

static bool joins(const struct relay *r, const struct waiting *w)
{
    const struct net_out *out = r->filling;
    const struct stoq_addr *to = w->up ? &r->to : &w->flow->client;
    const struct net_socket *s = w->up ? &w->flow->socket : &r->socket;
    return out != NULL && r->tx.socket == s && stoq_addr_eq(&out->to, to) &&
           out->n % out->segment == 0 && w->n <= out->segment && w->n > 0 &&
           out->n + w->n <= NET_SEND_BYTES_MAX && out->n / out->segment < NET_SEGMENTS_MAX;
}

/* Into the batch for the kernel, behind the last one where they may leave as one. */
static bool pass_on(struct relay *r, const struct waiting *w)
{
    if (!joins(r, w)) {
        commit(r);
        r->filling = net_tx_next(&r->tx, w->up ? &w->flow->socket : &r->socket);
        if (r->filling == NULL) {
            return false;
        }
        r->filling->to = w->up ? r->to : w->flow->client;
        r->filling->segment = w->n;
    }
    memcpy(net_tx_memory(&r->tx, r->filling) + r->filling->n, w->bytes, w->n);
    r->filling->n += w->n;
    return true;
}

static void send_due(struct relay *r, stoq_ns now)
{
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&r->queue)) != NULL && top->key <= now) {
        struct waiting *w = (struct waiting *)top;
        if (!pass_on(r, w)) {
            break;
        }
        leg_left(w->up ? &r->up : &r->down, &w->verdict, w->n, w->arrived_at, now);
        stoq_heap_remove(&r->queue, top);
        r->queue_count--;
        r->waiting_bytes -= w->n;
        free(w);
    }
    commit(r);
    (void)net_tx_flush(&r->tx);
    r->sent_at = now;
}

static void on_before_wait(void *user)
{
    struct relay *r = user;
    const struct stoq_heap_node *top = stoq_heap_top(&r->queue);
    if (top == NULL) {
        return;
    }
    stoq_ns now = stoq_now();
    if (top->key <= now && now >= r->sent_at + r->tick_ns) {
        send_due(r, now);
        top = stoq_heap_top(&r->queue);
    }
    if (top != NULL) {
        stoq_ns soonest = r->sent_at + r->tick_ns;
        stoq_timer_set(r->timer, top->key > soonest ? top->key : soonest);
    }
}

static void on_timer(void *user)
{
    (void)user; /* the hook does the rest */
}

static void on_signal(void *user, int signum)
{
    struct relay *r = user;
    (void)signum;
    stoq_loop_stop(r->loop);
}

static uint64_t kernel_drops(const struct net_socket *s)
{
    uint32_t info[MEMINFO_DROPS + 1] = {0};
    socklen_t n = sizeof info;
    return getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &n) == 0 ? info[MEMINFO_DROPS] : 0;
}

static void report(const struct relay *r)
{
    uint64_t drops = kernel_drops(&r->socket);
    for (size_t i = 0; i < r->flow_count; i++) {
        drops += kernel_drops(&r->flows[i].socket);
    }
    (void)printf("{\"seed\":%llu,\"flows\":%zu,\"flows_refused\":%llu,\"kernel_drops\":%llu,"
                 "\"no_room\":%llu,\"send_failed\":%llu,\"sends\":%llu,\"waiting\":%zu,\"up\":",
                 (unsigned long long)r->up.seed, r->flow_count,
                 (unsigned long long)r->flows_refused, (unsigned long long)drops,
                 (unsigned long long)r->no_room, (unsigned long long)r->tx.dropped,
                 (unsigned long long)r->tx.calls, r->queue_count);
    leg_report(&r->up, stdout);
    (void)fputs(",\"down\":", stdout);
    leg_report(&r->down, stdout);
    (void)puts("}");
}

static void open_all(struct relay *r, const struct stoq_addr *listen)
{
    struct stoq_error err;
    const int ends[] = {SIGTERM, SIGINT};
    if (net_rx_init(&r->rx) != STOQ_OK || net_tx_init(&r->tx) != STOQ_OK) {
        die("out of memory", "");
    }
    if (stoq_loop_new(&r->loop, &err) != STOQ_OK ||
        net_socket_open(&r->socket, listen, false, false, SOCKET_BYTES, &err) != STOQ_OK ||
        stoq_watch_new(&r->watch, r->loop, r->socket.fd, on_near_end, r, &err) != STOQ_OK ||
        stoq_timer_new(&r->timer, r->loop, on_timer, r, &err) != STOQ_OK) {
        die("start", err.text);
    }
    for (size_t i = 0; i < STOQ_COUNT(ends); i++) {
        if (stoq_signal_new(&r->signals[i], r->loop, ends[i], on_signal, r, &err) != STOQ_OK) {
            die("signals", err.text);
        }
    }
    stoq_watch_set(r->watch, STOQ_LOOP_READ);
    r->hook = (struct stoq_hook){.run = on_before_wait, .user = r};
    stoq_loop_before_wait(r->loop, &r->hook);
}

static void close_all(struct relay *r)
{
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&r->queue)) != NULL) {
        stoq_heap_remove(&r->queue, top);
        free(top);
    }
    for (size_t i = 0; i < r->flow_count; i++) {
        stoq_watch_free(r->flows[i].watch);
        net_socket_close(&r->flows[i].socket);
    }
    for (size_t i = 0; i < STOQ_COUNT(r->signals); i++) {
        stoq_signal_free(r->signals[i]);
    }
    stoq_loop_unhook(r->loop, &r->hook);
    stoq_timer_free(r->timer);
    stoq_watch_free(r->watch);
    net_socket_close(&r->socket);
    stoq_heap_release(&r->queue);
    net_rx_release(&r->rx);
    net_tx_release(&r->tx);
    stoq_loop_free(r->loop);
}

static void tell_ready(const struct relay *r, const char *path)
{
    char addr[STOQ_ADDR_TEXT_MAX];
    char line[STOQ_ADDR_TEXT_MAX + 1];
    struct stoq_error err;
    (void)snprintf(line, sizeof line, "%s\n", stoq_addr_format(&r->socket.local, addr));
    if (path != NULL && stoq_file_replace(path, stoq_span_str(line), 0644, &err) != STOQ_OK) {
        die(path, err.text);
    }
}

struct options {
    struct stoq_addr listen;
    struct stoq_addr to;
    struct leg_spec up;
    struct leg_spec down;
    uint64_t seed;
    uint64_t tick_us;
    const char *ready_file;
};

static uint64_t number(const char *name, const char *text)
{
    char *end;
    uint64_t v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0') {
        die(name, "takes a whole number");
    }
    return v;
}

static void take_leg(struct leg_spec *spec, const char *text)
{
    char why[128];
    if (!leg_spec_parse(spec, text, why)) {
        die("a leg", why);
    }
}

static void take_addr(struct stoq_addr *addr, const char *name, const char *text)
{
    if (stoq_addr_parse(addr, stoq_span_str(text), 0) != STOQ_OK) {
        die(name, "takes an address with a port, as in [::1]:4477");
    }
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'},
        {"to", required_argument, NULL, 't'},
        {"up", required_argument, NULL, 'u'},
        {"down", required_argument, NULL, 'd'},
        {"both", required_argument, NULL, 'b'},
        {"seed", required_argument, NULL, 's'},
        {"tick", required_argument, NULL, 'k'},
        {"ready-file", required_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int c;
    unsigned ends = 0;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'l':
            take_addr(&o->listen, "--listen", optarg);
            ends |= 1;
            break;
        case 't':
            take_addr(&o->to, "--to", optarg);
            ends |= 2;
            break;
        case 'u':
            take_leg(&o->up, optarg);
            break;
        case 'd':
            take_leg(&o->down, optarg);
            break;
        case 'b':
            take_leg(&o->up, optarg);
            take_leg(&o->down, optarg);
            break;
        case 's':
            o->seed = number("--seed", optarg);
            break;
        case 'k':
            o->tick_us = number("--tick", optarg);
            break;
        case 'r':
            o->ready_file = optarg;
            break;
        default:
            die("see the head of tests/relay/relay.c for the options", "");
        }
    }
    if (ends != 3 || optind != argc) {
        die("--listen and --to are needed", "");
    }
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1, .tick_us = 50};
    struct relay *r = calloc(1, sizeof *r);
    if (r == NULL) {
        die("out of memory", "");
    }
    parse(argc, argv, &o);
    r->to = o.to;
    r->tick_ns = o.tick_us * 1000;
    leg_init(&r->up, &o.up, o.seed);
    leg_init(&r->down, &o.down, ~o.seed);
    open_all(r, &o.listen);
    tell_ready(r, o.ready_file);
    stoq_loop_run(r->loop);
    report(r);
    close_all(r);
    free(r);
    return 0;
}
