/*
 * Packets out. Connections that have something to say are flushed in turn before the loop waits. Each
 * writes runs of equal packets straight into the batch that goes to the kernel (GSO), as many as its
 * congestion window and pacing allow, up to a burst: what the path takes in BURST_NS, at least one
 * send quantum of ngtcp2's and at most BURST_BYTES_MAX. A longer burst saves timers and system calls on
 * fast paths and would only fill a slow one's queue. Which stream goes into the next packet is decided by
 * class, and within a class in turns of one run each.
 *
 * Probes for larger packets are paced like all others, 32 KiB of one at the rate of a connection that knows
 * nothing of its path yet: milliseconds in which nothing else goes out. So they wait until a connection has
 * sent what makes large packets worth having; one that carries questions, or acknowledges, never probes.
 *
 * A handshake and the first questions after it are six or eight turns of some hundred microseconds each,
 * and a processor that went to sleep between them takes half as long again to wake up. So with a peer that
 * is near the loop stays awake for that long (HURRY_NS after each packet, HURRY_YOUNG_NS in all after the
 * handshake).
 */
#include "net/net_internal.h"

#define BURST_NS (500 * 1000)
#define BURST_BYTES_MAX (16 * (size_t)NET_SEND_BYTES_MAX)
#define VECTOR_MAX 16
#define PROBE_AFTER_BYTES (64 * STOQ_KIB)
#define HURRY_NS (2 * STOQ_MS)
#define HURRY_YOUNG_NS (5 * STOQ_MS)
#define TURN 20 /* runs of packets, one of which looks at the classes from behind */

/* The i-th class to be looked at: in order, or in one run of TURN behind control the last first. */
static size_t class_at(const struct net_conn *conn, size_t i)
{
    bool turned = i > STOQ_NET_CONTROL && conn->runs % TURN == TURN - 1;
    return turned ? STOQ_COUNT(conn->ready) - i : i;
}

/* The stream whose bytes go next, or NULL: nothing to send, or the connection's window is spent. */
static struct net_stream *next_stream(struct net_conn *conn)
{
    bool credit = ngtcp2_conn_get_max_data_left(conn->q) > 0;
    for (size_t i = 0; i < STOQ_COUNT(conn->ready); i++) {
        struct net_stream *s;
        size_t rank = class_at(conn, i);
        if (rank == STOQ_NET_BACKGROUND && !net_yield_may_send(conn)) {
            continue;
        }
        TAILQ_FOREACH(s, &conn->ready[rank], turn)
        {
            if (credit || s->unsent == NULL) { /* a bare end needs no credit */
                return s;
            }
        }
    }
    return NULL;
}

/* What is to be sent of a stream, as far as one packet could take it. */
struct run {
    ngtcp2_vec v[VECTOR_MAX];
    size_t count;
    size_t bytes;
    bool whole; /* nothing is queued behind it */
};

static void gather(const struct net_stream *s, size_t enough, struct run *run)
{
    const struct net_segment *seg = s->unsent;
    size_t at = s->unsent_at;
    run->count = 0;
    run->bytes = 0;
    for (; seg != NULL && run->count < VECTOR_MAX && run->bytes < enough; seg = seg->next) {
        ngtcp2_vec *v = &run->v[run->count++];
        v->base = (uint8_t *)(uintptr_t)(seg->buf.bytes.p + at); /* ngtcp2 only reads through it */
        v->len = seg->buf.bytes.n - at;
        run->bytes += v->len;
        at = 0;
    }
    run->whole = seg == NULL;
}

/* The largest packet that may be written now: ngtcp2 sends no probe that does not fit. */
static size_t packet_max(const struct net_conn *conn, size_t dest_n)
{
    size_t path_max = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->q);
    return conn->payload_sent < PROBE_AFTER_BYTES && path_max < dest_n ? path_max : dest_n;
}

/* One packet, filled from as many streams as fit (ngtcp2_write_pkt). */
static ngtcp2_ssize write_packet(ngtcp2_conn *q, ngtcp2_path *path, ngtcp2_pkt_info *pi,
                                 uint8_t *dest, size_t dest_n, ngtcp2_tstamp ts, void *user)
{
    struct net_conn *conn = user;
    dest_n = packet_max(conn, dest_n);
    for (;;) {
        struct net_stream *s = next_stream(conn);
        if (s == NULL) {
            return ngtcp2_conn_writev_stream(q, path, pi, dest, dest_n, NULL,
                                             NGTCP2_WRITE_STREAM_FLAG_NONE, -1, NULL, 0, ts);
        }
        struct run run;
        ngtcp2_ssize taken = -1;
        gather(s, dest_n, &run);
        bool fin = run.whole && s->fin_wanted;
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);
        ngtcp2_ssize n = ngtcp2_conn_writev_stream(q, path, pi, dest, dest_n, &taken, flags, s->id,
                                                   run.v, run.count, ts);
        if (taken >= 0) {
            if (s->rank == STOQ_NET_BACKGROUND) {
                net_yield_sent(conn, (size_t)taken);
            }
            conn->payload_sent += (uint64_t)taken;
            net_stream_advance(s, (size_t)taken, fin && (size_t)taken == run.bytes);
        }
        if (n == NGTCP2_ERR_STREAM_DATA_BLOCKED) {
            net_stream_unready(s); /* until the peer gives credit */
        } else if (n == NGTCP2_ERR_STREAM_SHUT_WR || n == NGTCP2_ERR_STREAM_NOT_FOUND) {
            net_stream_shut(s);
        } else if (n != NGTCP2_ERR_WRITE_MORE) {
            return n;
        }
    }
}

static size_t burst_of(struct net_conn *conn)
{
    ngtcp2_conn_info info;
    size_t quantum = ngtcp2_conn_get_send_quantum(conn->q);
    ngtcp2_conn_get_conn_info(conn->q, &info);
    if (info.smoothed_rtt == 0) {
        return quantum;
    }
    uint64_t rtt_us = info.smoothed_rtt / 1000 + 1;
    uint64_t burst = info.cwnd * (BURST_NS / 1000) / rtt_us;
    burst = burst > quantum ? burst : quantum;
    return burst < BURST_BYTES_MAX ? (size_t)burst : BURST_BYTES_MAX;
}

/* Let the next stream of each class have its turn. */
static void rotate(struct net_conn *conn)
{
    for (size_t i = 0; i < STOQ_COUNT(conn->ready); i++) {
        struct net_stream *s = TAILQ_FIRST(&conn->ready[i]);
        if (s != NULL && TAILQ_NEXT(s, turn) != NULL) {
            TAILQ_REMOVE(&conn->ready[i], s, turn);
            TAILQ_INSERT_TAIL(&conn->ready[i], s, turn);
        }
    }
}

/* One run of packets into the batch. Its bytes; 0: nothing to send now; negative: ngtcp2's error. */
static ngtcp2_ssize write_run(struct net_conn *conn, struct net_out *out, size_t budget,
                              ngtcp2_tstamp ts)
{
    struct net_tx *tx = &conn->net->tx;
    ngtcp2_path_storage ps;
    ngtcp2_pkt_info pi = {0};
    size_t segment = 0;
    size_t path_max = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->q);
    size_t packets = (budget + path_max - 1) / path_max;
    ngtcp2_path_storage_zero(&ps);
    ngtcp2_ssize n = ngtcp2_conn_write_aggregate_pkt2(
        conn->q, &ps.path, &pi, net_tx_memory(tx, out), NET_SEND_BYTES_MAX, &segment, write_packet,
        packets < NET_SEGMENTS_MAX ? packets : NET_SEGMENTS_MAX, ts);
    if (n <= 0) {
        return n;
    }
    out->n = (size_t)n;
    out->segment = segment;
    out->ecn = pi.ecn;
    out->tag = conn->id;
    if (stoq_addr_from_sockaddr(&out->to, (struct sockaddr *)ps.path.remote.addr,
                                ps.path.remote.addrlen) != STOQ_OK ||
        stoq_addr_from_sockaddr(&out->from, (struct sockaddr *)ps.path.local.addr,
                                ps.path.local.addrlen) != STOQ_OK) {
        return NGTCP2_ERR_INTERNAL; /* we gave it these addresses */
    }
    net_tx_commit(tx);
    return n;
}

/* Write until the burst is spent, nothing is left, or the socket is blocked. Returns an ngtcp2 error
 * or 0. */
static int write_all(struct net_conn *conn, ngtcp2_tstamp ts)
{
    size_t budget = burst_of(conn);
    while (budget > 0) {
        struct net_out *out = net_tx_next(&conn->net->tx, conn->socket);
        if (out == NULL) {
            net_mark_dirty(conn); /* goes on when the socket is writable */
            return 0;
        }
        ngtcp2_ssize n = write_run(conn, out, budget, ts);
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            return 0;
        }
        budget -= (size_t)n < budget ? (size_t)n : budget;
        conn->runs++;
        rotate(conn);
    }
    if (conn->unpaced) {
        net_mark_dirty(conn); /* goes on in the next turn */
    }
    return 0;
}

static void blame_unreachable(struct net_conn *conn)
{
    struct stoq_error err;
    (void)stoq_fail(&err, STOQ_NET, conn->unreachable, "cannot send");
    net_conn_blame(conn, STOQ_NET_UNREACHABLE, err.text);
    net_conn_end(conn, NET_SILENT);
}

/* Its next packet is due in no time, and somebody waits for it. */
static bool is_urgent(const struct net_conn *conn)
{
    bool young = conn->state == NET_OPEN && conn->last_ts - conn->opened_at < HURRY_YOUNG_NS;
    return conn->near && (young || conn->state == NET_HANDSHAKE);
}

void net_conn_flush(struct net_conn *conn)
{
    if (conn->q == NULL) {
        return;
    }
    if (conn->close_asked) {
        net_conn_end(conn, NET_SAY);
        return;
    }
    if (conn->unreachable != 0) {
        blame_unreachable(conn);
        return;
    }
    if (conn->complete && conn->ssl != NULL && !net_ticket_awaited(conn)) {
        net_conn_drop_tls(conn);
    }
    if (conn->starving) {
        net_streams_feed_starved(conn);
    }
    ngtcp2_tstamp ts = net_conn_now(conn);
    net_yield_fill(conn);
    int error = write_all(conn, ts);
    if (error != 0) {
        net_conn_error(conn, error);
        return;
    }
    if (!conn->unpaced) {
        ngtcp2_conn_update_pkt_tx_time(conn->q, ts);
    }
    net_conn_set_timer(conn);
    if (is_urgent(conn)) {
        stoq_loop_hurry(conn->net->cfg.loop, HURRY_NS);
    }
}
