/*
 * How an exchange is measured. All datagrams of both sides are counted, from the wish (or, on a connection
 * that lives, from the request) to half a second after the answer, which is past every delayed
 * acknowledgement. What is larger than the path takes never leaves a machine whose interface is an Ethernet's
 * (probes for larger packets), so it does not count.
 */
#include "sim/cost_harness.h"

#include "net/net_pipe.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <time.h>

#define ONE_WAY (20 * STOQ_MS)
#define QUIET (500 * STOQ_MS)
#define PATIENCE (60 * STOQ_SEC)
#define SETTLE_BYTES (4 * STOQ_MIB) /* after which a connection knows its path */

struct exchange {
    enum sim_cost_kind kind;
    size_t answer_bytes;
    bool asks; /* when the connection opens */
    bool answered;
    stoq_ns answered_at;
    struct sim_cost_side sent[2]; /* by a, by b */
    stoq_ns spent[2];
    const uint8_t *token;
    uint8_t kept[STOQ_NET_RPC_TOKEN_BYTES];
    stoq_net_conn dialled;
};

/* ---- the ends ---- */

static const uint8_t zeros[SETTLE_BYTES];

static void ask(struct pipe_end *e, stoq_net_conn conn)
{
    stoq_net_stream stream;
    enum stoq_status st = stoq_net_stream_open(e->net, conn, &stream);
    STOQ_ASSERT(st == STOQ_OK);
    st = stoq_net_write_copy(e->net, conn, stream, stoq_span(zeros, SIM_COST_MESSAGE), true);
    STOQ_ASSERT(st == STOQ_OK);
}

static void on_opened(void *user, stoq_net_conn conn, const struct stoq_net_opened *info)
{
    struct pipe_end *e = user;
    const struct exchange *x = e->pipe->test;
    pipe_opened(user, conn, info);
    if (e == &e->pipe->a && x->asks) {
        ask(e, conn);
    }
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct pipe_end *e = user;
    struct exchange *x = e->pipe->test;
    stoq_net_consumed(e->net, conn, stream, bytes.n);
    if (fin && e == &e->pipe->a) {
        x->answered = true;
        x->answered_at = e->pipe->now;
    } else if (fin) {
        struct stoq_net_buf answer = {.bytes = {zeros, x->answer_bytes}};
        enum stoq_status st = stoq_net_write(e->net, conn, stream, &answer, true);
        STOQ_ASSERT(st == STOQ_OK);
    }
}

static size_t on_rpc(void *user, const struct stoq_net_rpc_in *in, uint8_t *out, size_t cap)
{
    const struct pipe_end *e = user;
    const struct exchange *x = e->pipe->test;
    (void)in;
    size_t n = x->answer_bytes < cap ? x->answer_bytes : cap;
    memset(out, 0, n);
    return n;
}

static void on_rpc_ended(void *user, const struct stoq_net_rpc_end *end)
{
    struct pipe_end *e = user;
    struct exchange *x = e->pipe->test;
    STOQ_ASSERT(end->status == STOQ_OK && end->message.n == x->answer_bytes);
    memcpy(x->kept, end->token, sizeof x->kept);
    x->token = x->kept;
    x->answered = true;
    x->answered_at = e->pipe->now;
}

static int on_path(struct net_pipe *pipe, bool to_b, struct pipe_fate *fate)
{
    struct exchange *x = pipe->test;
    if (fate->n > SIM_COST_DATAGRAM_BYTES) {
        return 0;
    }
    x->sent[!to_b].datagrams++;
    x->sent[!to_b].bytes += (uint32_t)fate->n;
    fate->delay[0] = ONE_WAY;
    return 1;
}

static stoq_ns thread_cpu(void)
{
    struct timespec t;
    STOQ_ASSERT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0);
    return (stoq_ns)t.tv_sec * STOQ_SEC + (stoq_ns)t.tv_nsec;
}

/* The work must have returned before these go on, so that they are never a jump into it. */
__attribute__((noinline)) void cost_by_asker(struct net_pipe *pipe,
                                             void (*work)(struct net_pipe *pipe, bool of_b))
{
    struct exchange *x = pipe->test;
    stoq_ns began = thread_cpu();
    work(pipe, false);
    x->spent[0] += thread_cpu() - began;
}

__attribute__((noinline)) void cost_by_asked(struct net_pipe *pipe,
                                             void (*work)(struct net_pipe *pipe, bool of_b))
{
    struct exchange *x = pipe->test;
    stoq_ns began = thread_cpu();
    work(pipe, true);
    x->spent[1] += thread_cpu() - began;
}

__attribute__((noinline)) void cost_begins(void)
{
    __asm__ volatile("");
}

__attribute__((noinline)) void cost_ends(void)
{
    __asm__ volatile("");
}

static void metered(struct net_pipe *pipe, void (*work)(struct net_pipe *pipe, bool of_b),
                    bool of_b)
{
    (of_b ? cost_by_asked : cost_by_asker)(pipe, work);
}

/* ---- exchanges ---- */

static bool is_answered(struct net_pipe *pipe)
{
    return ((const struct exchange *)pipe->test)->answered;
}

static bool is_open(struct net_pipe *pipe)
{
    return pipe->a.opened > 0 && pipe->b.opened > 0;
}

/* Let everything end that is under way, and begin to count. */
static void settle(struct net_pipe *pipe, struct exchange *x)
{
    (void)pipe_run(pipe, NULL, 2 * STOQ_SEC);
    memset(x->sent, 0, sizeof x->sent);
    memset(x->spent, 0, sizeof x->spent);
    x->answered = false;
    cost_begins();
}

static void finish(struct net_pipe *pipe, struct exchange *x, stoq_ns began, struct sim_cost *out)
{
    STOQ_ASSERT(pipe_run(pipe, is_answered, PATIENCE));
    (void)pipe_run(pipe, NULL, QUIET);
    out->rtt_percent = (uint32_t)((x->answered_at - began) * 100 / (2 * ONE_WAY));
    out->asker = x->sent[0];
    out->asked = x->sent[1];
    out->asker.cpu_ns = (uint32_t)x->spent[0];
    out->asked.cpu_ns = (uint32_t)x->spent[1];
    cost_ends();
}

/* The dial is the asker's work too. */
static void dial_now(struct net_pipe *pipe, bool of_b)
{
    struct exchange *x = pipe->test;
    (void)of_b;
    x->dialled = pipe_dial(pipe);
}

static stoq_net_conn dial(struct net_pipe *pipe)
{
    cost_by_asker(pipe, dial_now);
    return ((const struct exchange *)pipe->test)->dialled;
}

static void measure_dial(struct net_pipe *pipe, struct exchange *x, struct sim_cost *out)
{
    bool has_ticket = x->kind == SIM_COST_RESUMED || x->kind == SIM_COST_EARLY;
    if (has_ticket) {
        (void)dial(pipe);
        STOQ_ASSERT(pipe_run(pipe, is_open, PATIENCE));
        (void)pipe_run(pipe, NULL, STOQ_SEC);
        stoq_net_close(pipe->a.net, pipe->a.conn, 0, "");
        (void)pipe_run(pipe, NULL, 10 * STOQ_SEC);
    }
    settle(pipe, x);
    stoq_ns began = pipe->now;
    x->asks = x->kind != SIM_COST_EARLY;
    stoq_net_conn conn = dial(pipe);
    STOQ_ASSERT(stoq_net_early(pipe->a.net, conn) == has_ticket);
    if (x->kind == SIM_COST_EARLY) {
        ask(&pipe->a, conn);
    }
    finish(pipe, x, began, out);
}

static void measure_live(struct net_pipe *pipe, struct exchange *x, struct sim_cost *out)
{
    size_t answer_bytes = x->answer_bytes;
    (void)dial(pipe);
    STOQ_ASSERT(pipe_run(pipe, is_open, PATIENCE));
    x->answer_bytes = x->kind == SIM_COST_STREAM ? SETTLE_BYTES : answer_bytes;
    ask(&pipe->a, pipe->a.conn);
    STOQ_ASSERT(pipe_run(pipe, is_answered, PATIENCE));
    x->answer_bytes = answer_bytes;
    settle(pipe, x);
    stoq_ns began = pipe->now;
    ask(&pipe->a, pipe->a.conn);
    finish(pipe, x, began, out);
}

static void call_now(struct net_pipe *pipe, bool of_b)
{
    const struct exchange *x = pipe->test;
    (void)of_b;
    bool is_find = x->kind == SIM_COST_FIND;
    bool is_store = x->kind == SIM_COST_STORE;
    struct stoq_net_rpc_call c = {
        .addr = pipe->b.net->listeners[0].socket.local,
        .key = stoq_net_rpc_key(pipe->b.net),
        .token = x->token,
        .message = {zeros, is_store ? SIM_COST_STORE_BYTES : SIM_COST_MESSAGE},
        .room = is_find ? SIM_COST_FIND_ROOM : 0,
        .resend_ns = STOQ_NET_RPC_RESEND};
    enum stoq_status st = stoq_net_rpc(pipe->a.net, &c);
    STOQ_ASSERT(st == STOQ_OK);
}

static void call(struct net_pipe *pipe)
{
    cost_by_asker(pipe, call_now);
}

static void measure_datagram(struct net_pipe *pipe, struct exchange *x, struct sim_cost *out)
{
    bool is_first = x->kind == SIM_COST_DATAGRAM_FIRST;
    if (!is_first) {
        call(pipe);
        STOQ_ASSERT(pipe_run(pipe, is_answered, PATIENCE));
    }
    settle(pipe, x);
    stoq_ns began = pipe->now;
    call(pipe);
    if (is_first) {
        STOQ_ASSERT(pipe_run(pipe, is_answered, PATIENCE));
        x->answered = false;
        call(pipe);
    }
    finish(pipe, x, began, out);
}

void cost_measure(enum sim_cost_kind kind, struct sim_cost *out)
{
    static const enum stoq_net_mode modes[SIM_COSTS] = {
        [SIM_COST_COLD_PURE] = STOQ_NET_KYBER1024_PURE,
        [SIM_COST_COLD_768] = STOQ_NET_KYBER768_HYBRID};
    struct exchange x = {.kind = kind, .answer_bytes = SIM_COST_MESSAGE};
    struct net_pipe pipe;
    struct stoq_net_config cfg = {
        .cb = {.opened = on_opened, .data = on_data, .rpc = on_rpc, .rpc_ended = on_rpc_ended},
        .mode = modes[kind],
        .cc = STOQ_NET_CC_CUBIC, /* its addresses are loopback's, and it stands for any path */
        .early_data = kind == SIM_COST_RESUMED || kind == SIM_COST_EARLY};
    x.answer_bytes = kind == SIM_COST_STREAM ? SIM_COST_STREAM_BYTES : x.answer_bytes;
    x.answer_bytes = kind == SIM_COST_FIND ? SIM_COST_FIND_ROOM : x.answer_bytes;
    pipe_init(&pipe, &cfg, 1);
    pipe.fate = on_path;
    pipe.test = &x;
    pipe.metered = metered;
    if (kind < SIM_COST_COLD) {
        measure_datagram(&pipe, &x, out);
    } else if (kind >= SIM_COST_WARM) {
        measure_live(&pipe, &x, out);
    } else {
        measure_dial(&pipe, &x, out);
    }
    pipe_release(&pipe);
}

/* ---- processor time ---- */

enum primitive { MAKE, AGREE, ENCAPSULATE, DECAPSULATE, SIGN, VERIFY };

/* One operation with keys of this kind; the key is made before the clock runs, but for MAKE. */
static stoq_ns time_one(const char *algorithm, const char *group, enum primitive what)
{
    uint8_t a[2048];
    uint8_t b[64];
    size_t a_n = sizeof a;
    size_t b_n = sizeof b;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, algorithm, group);
    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, algorithm, group);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool is_good = key != NULL && other != NULL && ctx != NULL && md != NULL;
    if (what == VERIFY) {
        is_good = is_good && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestSign(md, a, &a_n, zeros, 64) == 1 && EVP_MD_CTX_reset(md) == 1;
    } else if (what == DECAPSULATE) {
        is_good = is_good && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
                  EVP_PKEY_encapsulate(ctx, a, &a_n, b, &b_n) == 1;
    }
    stoq_ns began = thread_cpu();
    switch (what) {
    case MAKE:
        EVP_PKEY_free(other);
        other = EVP_PKEY_Q_keygen(NULL, NULL, algorithm, group);
        is_good = is_good && other != NULL;
        break;
    case AGREE:
        is_good = is_good && EVP_PKEY_derive_init(ctx) == 1 &&
                  EVP_PKEY_derive_set_peer(ctx, other) == 1 && EVP_PKEY_derive(ctx, b, &b_n) == 1;
        break;
    case ENCAPSULATE:
        is_good = is_good && EVP_PKEY_encapsulate_init(ctx, NULL) == 1 &&
                  EVP_PKEY_encapsulate(ctx, a, &a_n, b, &b_n) == 1;
        break;
    case DECAPSULATE:
        is_good = is_good && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
                  EVP_PKEY_decapsulate(ctx, b, &b_n, a, a_n) == 1;
        break;
    case SIGN:
        is_good = is_good && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestSign(md, a, &a_n, zeros, 64) == 1;
        break;
    case VERIFY:
        is_good = is_good && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
                  EVP_DigestVerify(md, a, a_n, zeros, 64) == 1;
        break;
    }
    stoq_ns took = thread_cpu() - began;
    STOQ_ASSERT(is_good);
    EVP_MD_CTX_free(md);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    return took;
}

static const struct {
    const char *algorithm;
    const char *group; /* NULL: it has one */
    enum primitive what;
} unit[COST_UNIT_PARTS] = {
    {"EC", "P-384", MAKE},
    {"EC", "P-384", AGREE},
    {"X25519", NULL, MAKE},
    {"X25519", NULL, AGREE},
    {"ML-KEM-1024", NULL, MAKE},
    {"ML-KEM-1024", NULL, ENCAPSULATE},
    {"ML-KEM-1024", NULL, DECAPSULATE},
    {"ED25519", NULL, SIGN},
    {"ED25519", NULL, VERIFY},
};

static void keep_least(stoq_ns *least, stoq_ns ns)
{
    *least = ns < *least ? ns : *least;
}

void cost_times_init(struct cost_times *t)
{
    memset(t, 0xff, sizeof *t);
}

void cost_time(struct cost_times *t, unsigned runs)
{
    for (unsigned run = 0; run < runs; run++) {
        for (int kind = 0; kind < SIM_COSTS; kind++) {
            struct sim_cost c;
            cost_measure((enum sim_cost_kind)kind, &c);
            keep_least(&t->asker[kind], c.asker.cpu_ns);
            keep_least(&t->asked[kind], c.asked.cpu_ns);
        }
        for (size_t i = 0; i < STOQ_COUNT(unit); i++) {
            keep_least(&t->parts[i], time_one(unit[i].algorithm, unit[i].group, unit[i].what));
        }
    }
    t->unit = 0;
    for (size_t i = 0; i < STOQ_COUNT(unit); i++) {
        t->unit += t->parts[i];
    }
}

stoq_ns cost_expected(uint32_t cpu_ns, stoq_ns unit_ns)
{
    return cpu_ns * unit_ns / SIM_COST_UNIT_NS;
}

bool cost_is_same_processor(void)
{
    static const char *const marks[] = {"vendor_id\t: GenuineIntel\n", "cpu family\t: 6\n",
                                        "model\t\t: 207\n"};
    char text[4096];
    FILE *f = fopen("/proc/cpuinfo", "r");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    bool is_same = f != NULL;
    text[n] = '\0';
    for (size_t i = 0; i < STOQ_COUNT(marks); i++) {
        is_same = is_same && strstr(text, marks[i]) != NULL;
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return is_same;
}

/* ---- comparing ---- */

bool cost_is_off(uint64_t table, uint64_t measured)
{
    uint64_t less = table < measured ? table : measured;
    uint64_t more = table < measured ? measured : table;
    return (more - less) * 10 > less;
}

const char *cost_off(const struct sim_cost *table, const struct sim_cost *measured)
{
    const struct {
        const char *name;
        uint64_t table;
        uint64_t measured;
    } figures[] = {
        {"round trips", table->rtt_percent, measured->rtt_percent},
        {"the asker's datagrams", table->asker.datagrams, measured->asker.datagrams},
        {"the asker's bytes", table->asker.bytes, measured->asker.bytes},
        {"datagrams of the one asked", table->asked.datagrams, measured->asked.datagrams},
        {"bytes of the one asked", table->asked.bytes, measured->asked.bytes},
    };
    for (size_t i = 0; i < STOQ_COUNT(figures); i++) {
        if (cost_is_off(figures[i].table, figures[i].measured)) {
            return figures[i].name;
        }
    }
    return NULL;
}
