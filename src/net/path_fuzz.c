/*
 * Two endpoints, a path and two owners, all of whom do what the input says: packets are lost, doubled,
 * damaged or late; streams are opened, written, reset, stopped; connections are closed; time passes.
 * Whatever happens, bytes arrive in order and unchanged or not at all, and every buffer handed over
 * comes back exactly once.
 */
#include "net/net_pipe.h"

#define STREAMS 8
#define OPS_MAX 200
#define WRITE_MAX 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
    struct net_pipe pipe;
    struct stoq_rd ops;
    struct stoq_rd fates; /* the input's second half; good luck when it is used up */
    stoq_net_stream stream[STREAMS];
    size_t streams;
    int handed;
    int released;
    uint8_t
        bytes[WRITE_MAX]; /* what every write sends a start of: each is its neighbour plus 131 */
};

static int fate_of_input(struct net_pipe *p, bool to_b, struct pipe_fate *fate)
{
    struct fuzz *f = p->test;
    uint8_t luck = f->fates.n > 0 ? stoq_rd_u8(&f->fates) : 0;
    (void)to_b;
    fate->delay[0] = STOQ_MS;
    fate->delay[1] = 3 * STOQ_MS;
    switch (luck & 7) {
    case 1:
        return 0;
    case 2:
        return 2;
    case 3:
        fate->delay[0] += (luck >> 3) * STOQ_MS;
        return 1;
    case 4:
        fate->p[(size_t)(luck >> 3) * fate->n / 32] ^= (uint8_t)(1U << (luck & 7));
        return 1;
    case 5: /* a forger's copy arrives first */
        fate->p[fate->n - 1] ^= 1;
        return 2;
    default:
        return 1;
    }
}

static void on_data(void *user, stoq_net_conn conn, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct pipe_end *e = user;
    (void)fin;
    for (size_t i = 1; i < bytes.n; i += 97) {
        STOQ_ASSERT((uint8_t)(bytes.p[i] - bytes.p[i - 1]) == 131 || bytes.p[i] == 0); /* a start */
    }
    e->received += bytes.n;
    if (e->received % 3 != 0) {
        stoq_net_consumed(e->net, conn, stream, bytes.n);
    }
}

static void on_release(void *user)
{
    struct fuzz *f = user;
    f->released++;
}

static void write_some(struct fuzz *f, struct pipe_end *e)
{
    uint8_t which = stoq_rd_u8(&f->ops);
    size_t n = stoq_rd_u16(&f->ops) % WRITE_MAX;
    stoq_net_stream stream = f->streams == 0 ? which : f->stream[which % f->streams];
    struct stoq_net_buf buf = {.bytes = {f->bytes, n}, .release = on_release, .user = f};
    if (stoq_net_write(e->net, e->conn, stream, &buf, (which & 0x80) != 0) == STOQ_OK) {
        f->handed++;
    }
}

static void end_some(struct fuzz *f, struct pipe_end *e, bool reset)
{
    uint8_t which = stoq_rd_u8(&f->ops);
    stoq_net_stream stream = f->streams == 0 ? which : f->stream[which % f->streams];
    if (reset) {
        stoq_net_stream_reset(e->net, e->conn, stream, which);
    } else {
        stoq_net_stream_stop(e->net, e->conn, stream, which);
    }
}

static void open_some(struct fuzz *f, struct pipe_end *e)
{
    stoq_net_stream stream;
    if (stoq_net_stream_open(e->net, e->conn, &stream) == STOQ_OK) {
        f->stream[f->streams++ % STREAMS] = stream;
        f->streams = f->streams > STREAMS ? STREAMS : f->streams;
    }
}

static void dial_some(struct fuzz *f)
{
    stoq_net_conn conn;
    struct stoq_net_dial dial = {.addr = f->pipe.b.net->listeners[0].socket.local};
    if (f->pipe.a.net->live < 4 && stoq_net_dial(f->pipe.a.net, &dial, &conn) == STOQ_OK) {
        (void)pipe_run(&f->pipe, NULL, 5 * STOQ_MS);
    }
}

static void step(struct fuzz *f)
{
    uint8_t op = stoq_rd_u8(&f->ops);
    struct pipe_end *e = (op & 0x80) != 0 ? &f->pipe.b : &f->pipe.a;
    switch (op & 0x0f) {
    case 0:
        dial_some(f);
        break;
    case 1:
    case 2:
        open_some(f, e);
        break;
    case 3:
    case 4:
    case 5:
        write_some(f, e);
        break;
    case 6:
        end_some(f, e, true);
        break;
    case 7:
        end_some(f, e, false);
        break;
    case 8:
        stoq_net_close(e->net, e->conn, stoq_rd_u8(&f->ops), "as the input says");
        break;
    case 9:
        f->pipe.port_shift = (uint16_t)(stoq_rd_u8(&f->ops) % 4);
        break;
    case 10:
        (void)pipe_run(&f->pipe, NULL, (stoq_ns)stoq_rd_u8(&f->ops) * 100 * STOQ_MS);
        break;
    default:
        (void)pipe_run(&f->pipe, NULL, (stoq_ns)(op & 0x70) / 8 * STOQ_MS);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.ops = stoq_rd(stoq_span(data, size / 2)),
                     .fates = stoq_rd(stoq_span(data + size / 2, size - size / 2))};
    struct stoq_net_config cfg = {.mode = STOQ_NET_KYBER1024_PURE,
                                  .cb = {.data = on_data},
                                  .idle_timeout_ns = 10 * STOQ_SEC,
                                  .streams_max = 4,
                                  .stream_window_bytes = 20000,
                                  .conn_window_bytes = 60000,
                                  .send_buffer_bytes = 50000};
    for (size_t i = 0; i < sizeof f.bytes; i++) {
        f.bytes[i] = (uint8_t)(i * 131);
    }
    pipe_init(&f.pipe, &cfg, 1);
    f.pipe.test = &f;
    f.pipe.fate = fate_of_input;
    dial_some(&f);
    for (int i = 0; i < OPS_MAX && f.ops.n > 0; i++) {
        step(&f);
    }
    (void)pipe_run(&f.pipe, NULL, 60 * STOQ_SEC);
    pipe_release(&f.pipe);
    STOQ_ASSERT(f.handed == f.released);
    return 0;
}
