#ifndef STOQ_NET_NET_SENDER_H
#define STOQ_NET_NET_SENDER_H
/* One who sends more than there is room for, and one who checks every byte of it: for tests of streams. */
#include "net/net_harness.h"

#include <stdlib.h>

#define PIECE (256 * STOQ_KIB)

/* The byte at an offset of the test stream: no period a lost or swapped piece could hide in. */
static inline uint8_t byte_at(uint64_t offset)
{
    uint64_t h = (offset / 64 + 1) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint8_t)((h >> 32) + offset % 64);
}

/* A sender of BIG bytes in pieces of its own memory, each freed on release. */
struct sender {
    struct side *side;
    stoq_net_stream stream;
    uint64_t offset;
    uint64_t total;
    uint64_t most_buffered;
    int pieces;
    int full;
};

struct piece {
    struct side *side;
    uint8_t bytes[PIECE];
};

static inline void release_piece(void *user)
{
    struct piece *p = user;
    p->side->released++;
    memset(p->bytes, 0xee, sizeof p->bytes); /* whoever still reads it will be noticed */
    free(p);
}

static inline void pump(struct sender *t)
{
    while (t->offset < t->total) {
        size_t n = t->total - t->offset < PIECE ? (size_t)(t->total - t->offset) : PIECE;
        struct piece *p = malloc(sizeof *p);
        assert_non_null(p);
        p->side = t->side;
        for (size_t i = 0; i < n; i++) {
            p->bytes[i] = byte_at(t->offset + i);
        }
        struct stoq_net_buf buf = {stoq_span(p->bytes, n), release_piece, p};
        enum stoq_status st =
            stoq_net_write(t->side->net, t->side->conn, t->stream, &buf, t->offset + n == t->total);
        if (st == STOQ_FULL) {
            free(p);
            t->full++;
            break;
        }
        assert_int_equal(st, STOQ_OK);
        t->pieces++;
        t->offset += n;
    }
    uint64_t buffered = stoq_net_buffered(t->side->net, t->side->conn);
    t->most_buffered = buffered > t->most_buffered ? buffered : t->most_buffered;
}

static inline void on_writable_pump(struct side *s, stoq_net_conn conn, stoq_net_stream stream)
{
    struct sender *t = s->test;
    assert_true(conn == s->conn && stream == t->stream);
    pump(t);
}

static inline void check_only(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                              struct stoq_span bytes, bool fin)
{
    uint64_t at = s->received - bytes.n;
    (void)fin;
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != byte_at(at + i)) {
            fail_msg("byte %llu is wrong", (unsigned long long)(at + i));
        }
    }
    stoq_net_consumed(s->net, conn, stream, bytes.n);
}

static inline void begin(struct world *w, struct sender *t, uint64_t total)
{
    *t = (struct sender){.side = &w->a, .total = total};
    w->a.test = t;
    w->a.on_writable = on_writable_pump;
    assert_int_equal(stoq_net_stream_open(w->a.net, w->a.conn, &t->stream), STOQ_OK);
}

/* One who takes bytes and never says that they may go. */
static inline void hoard(struct side *s, stoq_net_conn conn, stoq_net_stream stream,
                         struct stoq_span bytes, bool fin)
{
    (void)s;
    (void)conn;
    (void)stream;
    (void)bytes;
    (void)fin;
}

#endif
