/*
 * What the transport alone can do here: bytes from a hot buffer in one process to nowhere in another,
 * over [::1], no disk and no hash. The ceiling that bench/transfer's figures are held against.
 *
 * usage: net_ceiling [--mib N] [--packet BYTES] [--streams N] [--runs N] [--cc cubic|bbr] [--free]
 *                    [--listen ADDR] [--via ADDR] [--source-netns FILE]
 *
 * With --listen the source is there instead of on a port of [::1], and with --via the sink dials that
 * address, a relay's, say (bench/path). With --source-netns the source is in that network namespace, the
 * sink in this one (bench/links).
 *
 * Source and sink are pinned to the first two processors unless --free. The clock runs from the
 * sink's first request to the last byte; CPU is user + system of each process over that time. Without
 * --packet it runs once at 1452 bytes, an Ethernet path's, and once at 32700, what the program itself
 * uses on a loopback. Prints one `name value unit` per line.
 */
#include "net/net.h"
#include "os/loop.h"
#include "sign/sign.h"

#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOT_BYTES (4 * STOQ_MIB) /* stays in the cache */
#define PIECE_BYTES (256 * STOQ_KIB)
#define STREAMS_MAX 64

struct options {
    uint64_t mib;
    uint16_t packet;
    unsigned streams;
    unsigned runs;
    enum stoq_net_cc cc;
    bool pinned;
    struct stoq_addr listen;  /* no port: [::1]:0 */
    struct stoq_addr via;     /* no port: where the source is */
    const char *source_netns; /* NULL: this one */
};

struct outgoing {
    stoq_net_stream stream;
    uint64_t left;
};

struct end {
    const struct options *opt;
    struct stoq_loop *loop;
    struct stoq_net *net;
    struct stoq_key *key;
    stoq_net_conn conn;
    uint8_t *hot;
    struct outgoing out[STREAMS_MAX];
    unsigned streams; /* source: asked for; sink: finished */
    uint64_t received;
    stoq_ns wall_ns;
    stoq_ns cpu_ns;
    struct stoq_net_info info;
    int result_fd;
};

/* What the source tells the sink's process at the end. */
struct result {
    stoq_ns cpu_ns;
    struct stoq_net_info info;
    struct stoq_net_stats stats;
};

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "net_ceiling: %s\n", what);
    exit(1);
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct end *e = user;
    (void)info;
    e->conn = conn;
    if (e->hot != NULL) {
        return; /* the source waits to be asked */
    }
    e->wall_ns = stoq_now();
    e->cpu_ns = stoq_cpu_ns();
    for (unsigned i = 0; i < e->opt->streams; i++) {
        stoq_net_stream stream;
        if (stoq_net_stream_open(e->net, conn, &stream) != STOQ_OK ||
            stoq_net_write_copy(e->net, conn, stream, stoq_span_str("go"), true) != STOQ_OK) {
            die("cannot ask");
        }
    }
}

static void on_closed(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct end *e = user;
    (void)conn;
    if (e->hot == NULL && e->streams < e->opt->streams) {
        die(info->text);
    }
    stoq_loop_stop(e->loop);
}

static void fill(struct end *e, struct outgoing *o)
{
    while (o->left > 0) {
        size_t n = o->left < PIECE_BYTES ? (size_t)o->left : PIECE_BYTES;
        size_t at = (size_t)(o->left / PIECE_BYTES * PIECE_BYTES % HOT_BYTES);
        struct stoq_net_buf buf = {.bytes = {e->hot + at, n}};
        enum stoq_status st = stoq_net_write(e->net, e->conn, o->stream, &buf, o->left == n);
        if (st == STOQ_FULL) {
            return;
        }
        if (st != STOQ_OK) {
            die("cannot write");
        }
        o->left -= n;
    }
}

static void on_writable(void *user, stoq_net_conn conn, stoq_net_stream stream)
{
    struct end *e = user;
    (void)conn;
    for (unsigned i = 0; i < e->streams; i++) {
        if (e->out[i].stream == stream) {
            fill(e, &e->out[i]);
        }
    }
}

static void source_data(struct end *e, stoq_net_stream stream, bool fin)
{
    if (!fin || e->streams == STREAMS_MAX) {
        return;
    }
    if (e->streams == 0) {
        e->cpu_ns = stoq_cpu_ns();
    }
    struct outgoing *o = &e->out[e->streams++];
    *o = (struct outgoing){stream, e->opt->mib * STOQ_MIB / e->opt->streams};
    fill(e, o);
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct end *e = user;
    stoq_net_consumed(e->net, conn, stream, bytes.n);
    if (e->hot != NULL) {
        source_data(e, stream, fin);
        return;
    }
    e->received += bytes.n;
    e->streams += fin;
    if (e->streams == e->opt->streams && fin) {
        e->wall_ns = stoq_now() - e->wall_ns;
        e->cpu_ns = stoq_cpu_ns() - e->cpu_ns;
        (void)stoq_net_info(e->net, conn, &e->info);
        stoq_net_close(e->net, conn, 0, "done");
    }
}

static void on_closed_source(void *user, stoq_net_conn conn, const struct stoq_net_closed *info)
{
    struct end *e = user;
    struct result r = {.cpu_ns = stoq_cpu_ns() - e->cpu_ns, .info = e->info};
    stoq_net_stats(e->net, &r.stats);
    if (write(e->result_fd, &r, sizeof r) != (ssize_t)sizeof r) {
        die("pipe");
    }
    on_closed(user, conn, info);
}

static void pin(const struct options *opt, size_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (opt->pinned) {
        (void)sched_setaffinity(0, sizeof set, &set); /* where there is only one, so be it */
    }
}

static void end_init(struct end *e, const struct options *opt, uint8_t seed,
                     const struct stoq_addr *listen)
{
    uint8_t bytes[STOQ_KEY_SEED_BYTES];
    struct stoq_error err;
    memset(bytes, seed, sizeof bytes);
    e->opt = opt;
    if (stoq_key_from_seed(&e->key, bytes) != STOQ_OK || stoq_loop_new(&e->loop, &err) != STOQ_OK) {
        die("set-up failed");
    }
    struct stoq_net_config cfg = {
        .loop = e->loop,
        .key = e->key,
        .user = e,
        .cb = {.opened = on_opened,
               .closed = listen == NULL ? on_closed : on_closed_source,
               .data = on_data,
               .writable = on_writable},
        .listen = listen,
        .listen_count = listen != NULL,
        .cc = opt->cc,
        .packet_bytes_max = opt->packet,
    };
    if (stoq_net_new(&e->net, &cfg, &err) != STOQ_OK) {
        die(err.text);
    }
}

static void end_release(struct end *e)
{
    stoq_net_free(e->net);
    stoq_loop_free(e->loop);
    stoq_key_free(e->key);
    free(e->hot);
}

static void run_source(const struct options *opt, int addr_fd, int result_fd)
{
    struct end e = {.result_fd = result_fd};
    struct stoq_addr addr = opt->listen;
    if (opt->source_netns != NULL) {
        int fd = open(opt->source_netns, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
            die("the source's network namespace cannot be entered");
        }
        close(fd);
    }
    pin(opt, 0);
    e.hot = malloc(HOT_BYTES);
    if (e.hot == NULL ||
        (addr.port == 0 && stoq_addr_parse(&addr, stoq_span_str("[::1]:0"), 0) != STOQ_OK)) {
        die("set-up failed");
    }
    memset(e.hot, 'x', HOT_BYTES);
    end_init(&e, opt, 1, &addr);
    if (!stoq_net_local_addr(e.net, 0, &addr) || write(addr_fd, &addr, sizeof addr) < 0) {
        die("pipe");
    }
    stoq_loop_run(e.loop);
    end_release(&e);
    exit(0);
}

static void show(const struct options *opt, const struct end *sink, const struct result *r)
{
    double gib = (double)sink->received / (double)STOQ_GIB;
    printf("ceiling_packet %zu bytes\n", (size_t)opt->packet);
    printf("ceiling %.4g MB/s\n", (double)sink->received / ((double)sink->wall_ns / 1e9) / 1e6);
    printf("ceiling_cpu_source %.4g s/GiB\n", (double)r->cpu_ns / 1e9 / gib);
    printf("ceiling_cpu_sink %.4g s/GiB\n", (double)sink->cpu_ns / 1e9 / gib);
    printf("ceiling_sent %.4g of_the_bytes\n",
           (double)r->stats.bytes_sent / (double)sink->received);
    printf("ceiling_sends %.4g per_GiB\n", (double)r->stats.sends / gib);
    (void)fflush(stdout);
}

static void run_once(const struct options *opt)
{
    int addr_fd[2];
    int result_fd[2];
    if (pipe(addr_fd) != 0 || pipe(result_fd) != 0) {
        die("pipe");
    }
    pid_t pid = fork();
    if (pid < 0) {
        die("fork");
    }
    if (pid == 0) {
        run_source(opt, addr_fd[1], result_fd[1]);
    }
    struct end e = {0};
    struct stoq_net_dial dial = {0};
    struct result r;
    stoq_net_conn conn;
    pin(opt, 1);
    end_init(&e, opt, 2, NULL);
    if (read(addr_fd[0], &dial.addr, sizeof dial.addr) != (ssize_t)sizeof dial.addr) {
        die("pipe");
    }
    if (opt->via.port != 0) {
        dial.addr = opt->via;
    }
    if (stoq_net_dial(e.net, &dial, &conn) != STOQ_OK) {
        die("cannot dial");
    }
    stoq_loop_run(e.loop);
    end_release(&e);
    int status;
    if (read(result_fd[0], &r, sizeof r) != (ssize_t)sizeof r || waitpid(pid, &status, 0) != pid ||
        status != 0 || e.received != opt->mib * STOQ_MIB / opt->streams * opt->streams) {
        die("the transfer did not complete");
    }
    show(opt, &e, &r);
    for (int i = 0; i < 2; i++) {
        close(addr_fd[i]);
        close(result_fd[i]);
    }
}

static unsigned long number(const char *text, unsigned long min, unsigned long max)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || v < min || v > max) {
        die("a number is out of its range");
    }
    return v;
}

static void take_addr(struct stoq_addr *addr, const char *text)
{
    if (stoq_addr_parse(addr, stoq_span_str(text), 0) != STOQ_OK) {
        die("an address has a port, as in [::1]:4477");
    }
}

static void parse(int argc, char **argv, struct options *opt)
{
    static const struct option longs[] = {
        {"mib", required_argument, NULL, 'm'},          {"packet", required_argument, NULL, 'p'},
        {"streams", required_argument, NULL, 's'},      {"runs", required_argument, NULL, 'r'},
        {"cc", required_argument, NULL, 'c'},           {"free", no_argument, NULL, 'f'},
        {"listen", required_argument, NULL, 'l'},       {"via", required_argument, NULL, 'v'},
        {"source-netns", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'm':
            opt->mib = number(optarg, 1, 1UL << 20);
            break;
        case 'p':
            opt->packet = (uint16_t)number(optarg, 1200, 65000);
            break;
        case 's':
            opt->streams = (unsigned)number(optarg, 1, STREAMS_MAX);
            break;
        case 'r':
            opt->runs = (unsigned)number(optarg, 1, 1000);
            break;
        case 'c':
            if (!stoq_net_cc_parse(&opt->cc, stoq_span_str(optarg))) {
                die("--cc takes auto, cubic or bbr");
            }
            break;
        case 'f':
            opt->pinned = false;
            break;
        case 'l':
            take_addr(&opt->listen, optarg);
            break;
        case 'v':
            take_addr(&opt->via, optarg);
            break;
        case 'n':
            opt->source_netns = optarg;
            break;
        default:
            die("see the head of bench/net_ceiling.c for the options");
        }
    }
}

int main(int argc, char **argv)
{
    struct options opt = {.mib = 1024, .streams = 4, .runs = 1, .pinned = true};
    parse(argc, argv, &opt);
    for (unsigned i = 0; i < opt.runs; i++) {
        if (opt.packet != 0) {
            run_once(&opt);
            continue;
        }
        struct options each = opt;
        each.packet = 1452;
        run_once(&each);
        each.packet = 32700;
        run_once(&each);
    }
    return 0;
}
