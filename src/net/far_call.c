/*
 * Calls for connections on another thread. What they answer comes from the owner's picture: how much is
 * buffered, how many streams the peer allows, which stream is over. The other side does what it is told and
 * never refuses for want of room; where the peer was quicker than a command it finds nothing to do, as if the
 * packet had come a moment later. Stream numbers are known before the stream is: QUIC counts them.
 */
#include "net/far.h"

#include "net/net_internal.h"
#include "os/cond.h"

#include <stdlib.h>
#include <string.h>

struct net_far_conn *net_far_conn_find(const struct net_far *far, stoq_net_conn id)
{
    return stoq_map_get(&far->conns, (struct stoq_map_key){id, 0});
}

/* One that can carry streams now, or NULL. */
static struct net_far_conn *conn_open(const struct net_far *far, stoq_net_conn id)
{
    struct net_far_conn *conn = net_far_conn_find(far, id);
    return conn != NULL && conn->opened && !conn->closing && !conn->over ? conn : NULL;
}

static struct net_far_stream *stream_find(const struct net_far *far, stoq_net_conn id,
                                          stoq_net_stream stream, struct net_far_conn **out)
{
    *out = conn_open(far, id);
    return *out == NULL ? NULL : net_far_stream_find(far, *out, stream);
}

static void command(struct net_far_msg *msg)
{
    net_far_push(&msg->conn->far->out, msg);
}

/* One that cannot be refused: without memory for it the connection ends. */
static struct net_far_msg *need(enum net_far_kind kind, struct net_far_conn *conn,
                                stoq_net_stream stream, uint64_t number)
{
    struct net_far_msg *msg = net_far_msg_new(kind, conn, 0);
    if (msg == NULL) {
        net_far_conn_break(conn);
        return NULL;
    }
    msg->stream = stream;
    msg->u.number = number;
    command(msg);
    return msg;
}

/* A dial gets its number here; NULL: out of memory. */
static struct net_far_conn *conn_to_dial(struct net_far *far, struct net_far_msg **msg)
{
    struct net_far_conn *conn = net_far_conn_new(far);
    *msg = net_far_msg_new(NET_FAR_DIAL, conn, 0);
    if (conn != NULL && *msg != NULL) {
        conn->id = NET_FAR_BIT | (uint64_t)far->thread << NET_FAR_SHIFT | ++far->conn_last;
        if (stoq_map_put(&far->conns, (struct stoq_map_key){conn->id, 0}, conn) == STOQ_OK) {
            return conn;
        }
    }
    free(conn);
    free(*msg);
    return NULL;
}

enum stoq_status net_far_dial(struct net_far *far, const struct stoq_net_dial *dial,
                              stoq_net_conn *out)
{
    struct net_far_msg *msg;
    struct net_far_conn *conn = conn_to_dial(far, &msg);
    if (conn == NULL) {
        net_room_leave(far->owner->room);
        net_room_forget(far->owner->room);
        return STOQ_NOMEM;
    }
    conn->info = (struct stoq_net_info){
        .conn = conn->id, .addr = dial->addr, .mode = far->owner->cfg.mode, .group = "", .cc = ""};
    msg->u.dial.dial = *dial;
    if (dial->pin != NULL) {
        msg->u.dial.pin = *dial->pin;
        msg->u.dial.dial.pin = &msg->u.dial.pin;
    }
    command(msg);
    *out = conn->id;
    return STOQ_OK;
}

void net_far_close(struct net_far *far, stoq_net_conn id, uint64_t code, const char *text)
{
    struct net_far_conn *conn = net_far_conn_find(far, id);
    if (conn == NULL || conn->closing || conn->over) {
        return;
    }
    const char *t = text == NULL ? "" : text;
    conn->closing = true;
    net_copy_printable(conn->close_text, sizeof conn->close_text, t, strlen(t));
    conn->close.u.number = code;
    command(&conn->close);
}

void net_far_conn_break(struct net_far_conn *conn)
{
    if (!conn->closing && !conn->over) {
        conn->closing = true;
        memcpy(conn->close_text, "out of memory", sizeof "out of memory");
        conn->close.u.number = conn->far->owner->cfg.leave_code;
        command(&conn->close);
    }
}

void net_far_keep_alive(struct net_far *far, stoq_net_conn id, stoq_ns after_ns)
{
    struct net_far_conn *conn = conn_open(far, id);
    if (conn != NULL) {
        (void)need(NET_FAR_KEEP_ALIVE, conn, 0, after_ns);
    }
}

void net_far_background_rate(struct net_far *far, stoq_net_conn id, uint64_t rate_bytes_per_s)
{
    struct net_far_conn *conn = conn_open(far, id);
    if (conn != NULL) {
        (void)need(NET_FAR_BACKGROUND_RATE, conn, 0, rate_bytes_per_s);
    }
}

bool net_far_stream_is_early(const struct net_far *far, stoq_net_conn id, stoq_net_stream stream)
{
    struct net_far_conn *conn;
    const struct net_far_stream *s = stream_find(far, id, stream, &conn);
    return s != NULL && s->early;
}

enum stoq_status net_far_open(struct net_far *far, stoq_net_conn id, stoq_net_stream *out)
{
    struct net_far_conn *conn = conn_open(far, id);
    if (conn == NULL) {
        return STOQ_NOTFOUND;
    }
    if (conn->streams_ours >= conn->streams_allowed) {
        conn->wants_stream = true;
        return STOQ_FULL;
    }
    struct net_far_msg *msg = net_far_msg_new(NET_FAR_OPEN, conn, 0);
    int64_t stream = (int64_t)(conn->streams_ours * 4 + conn->inbound);
    if (msg == NULL || net_far_stream_new(conn, stream) == NULL) {
        free(msg);
        return STOQ_NOMEM;
    }
    conn->streams_ours++;
    msg->stream = stream;
    command(msg);
    *out = stream;
    return STOQ_OK;
}

void net_far_class(struct net_far *far, stoq_net_conn id, stoq_net_stream stream,
                   enum stoq_net_class rank)
{
    struct net_far_conn *conn;
    struct net_far_stream *s = stream_find(far, id, stream, &conn);
    STOQ_ASSERT(rank <= STOQ_NET_BACKGROUND);
    if (s != NULL && s->rank != rank) {
        s->rank = (uint8_t)rank;
        (void)need(NET_FAR_CLASS, conn, stream, rank);
    }
}

enum stoq_status net_far_write(struct net_far *far, stoq_net_conn id, stoq_net_stream stream,
                               const struct stoq_net_buf *buf, size_t copied, bool fin)
{
    struct net_far_conn *conn;
    struct net_far_stream *s = stream_find(far, id, stream, &conn);
    size_t n = buf->bytes.n;
    if (s == NULL || s->shut || s->fin_wanted) {
        return STOQ_NOTFOUND;
    }
    if (n > 0 && !net_has_room(far->owner, conn->buffered, s->rank, n)) {
        s->starved = true;
        conn->starving = true;
        return STOQ_FULL;
    }
    struct net_far_msg *msg = net_far_msg_new(NET_FAR_WRITE, conn, copied);
    if (msg == NULL) {
        return STOQ_NOMEM;
    }
    msg->stream = stream;
    msg->fin = fin;
    msg->n = n;
    msg->u.write.buf = *buf;
    msg->u.write.far = far;
    if (copied > 0) {
        memcpy(msg->bytes, buf->bytes.p, copied);
        msg->u.write.buf.bytes.p = msg->bytes;
    }
    if (n == 0) {
        msg->u.write.buf.release = NULL; /* done with below */
    }
    s->fin_wanted = fin;
    s->buffered += n;
    conn->buffered += n;
    far->bytes += n;
    conn->writes_out++;
    command(msg);
    if (n == 0 && buf->release != NULL) {
        buf->release(buf->user);
    }
    return STOQ_OK;
}

uint64_t net_far_buffered(const struct net_far *far, stoq_net_conn id)
{
    const struct net_far_conn *conn = net_far_conn_find(far, id);
    return conn == NULL ? 0 : conn->buffered;
}

uint64_t net_far_stream_buffered(const struct net_far *far, stoq_net_conn id,
                                 stoq_net_stream stream)
{
    struct net_far_conn *conn;
    const struct net_far_stream *s = stream_find(far, id, stream, &conn);
    return s == NULL ? 0 : s->buffered;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void net_far_unhold(struct net_far_conn *conn, uint64_t n)
{
    conn->unconsumed -= n;
    conn->far->bytes -= n;
}

/* Credit for many small pieces of a stream goes as one. */
static void send_credit(struct net_far_conn *conn, stoq_net_stream stream, uint64_t n)
{
    struct net_far_msg *tail = conn->far->credit;
    net_far_unhold(conn, n);
    if (tail != NULL && tail->conn == conn && tail->stream == stream) {
        tail->u.number += n;
        return;
    }
    conn->far->credit = need(NET_FAR_CONSUMED, conn, stream, n);
}

void net_far_consumed(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t n)
{
    struct net_far_conn *conn;
    struct net_far_stream *s = stream_find(far, id, stream, &conn);
    if (conn == NULL || (s != NULL && s->deaf)) {
        return;
    }
    if (s == NULL) {
        n = least(n, conn->orphaned);
        conn->orphaned -= n;
    } else {
        n = least(n, s->received - s->consumed);
        s->consumed += n;
    }
    if (n > 0) {
        send_credit(conn, stream, n);
    }
}

void net_far_reset(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t code)
{
    struct net_far_conn *conn;
    struct net_far_stream *s = stream_find(far, id, stream, &conn);
    if (s != NULL && !s->shut) {
        s->shut = true;
        (void)need(NET_FAR_RESET, conn, stream, code);
    }
}

void net_far_stop(struct net_far *far, stoq_net_conn id, stoq_net_stream stream, uint64_t code)
{
    struct net_far_conn *conn;
    struct net_far_stream *s = stream_find(far, id, stream, &conn);
    if (s != NULL && !s->deaf) {
        s->deaf = true;
        net_far_unhold(conn, s->received - s->consumed);
        (void)need(NET_FAR_STOP, conn, stream, code);
    }
}

static void copy_info(struct net_far_conn *conn, struct stoq_net_info *out)
{
    pthread_mutex_lock(&conn->far->lock);
    *out = conn->info;
    pthread_mutex_unlock(&conn->far->lock);
    out->conn = conn->id;
    out->opened = conn->opened;
    out->buffered_bytes = conn->buffered;
}

bool net_far_info(struct net_far *far, stoq_net_conn id, struct stoq_net_info *out)
{
    struct net_far_conn *conn = net_far_conn_find(far, id);
    if (conn != NULL) {
        copy_info(conn, out);
    }
    return conn != NULL;
}

void net_far_refresh(struct net_far *far)
{
    pthread_mutex_lock(&far->lock);
    far->figures_wanted++;
    bool call = far->runs && !far->thread_called;
    far->thread_called = far->thread_called || call;
    pthread_mutex_unlock(&far->lock);
    if (call) {
        stoq_loop_post(far->loop, &far->to_thread);
    }
}

bool net_far_refreshed(struct net_far *far, stoq_ns until)
{
    bool in_time = true;
    pthread_mutex_lock(&far->lock);
    uint64_t wanted = far->figures_wanted;
    while (in_time && far->runs && far->figures_told < wanted) {
        in_time = stoq_cond_wait_until(&far->told, &far->lock, until);
    }
    bool told = far->figures_told >= wanted;
    pthread_mutex_unlock(&far->lock);
    return told;
}

void net_far_stats(struct net_far *far, struct stoq_net_stats *out)
{
    pthread_mutex_lock(&far->lock);
    *out = far->stats;
    pthread_mutex_unlock(&far->lock);
}

void net_far_each(struct net_far *far, void (*fn)(void *user, const struct stoq_net_info *info),
                  void *user)
{
    /* By number: fn may dial, and the map moves then. Those begun meanwhile are not shown. */
    uint64_t last = far->conn_last;
    size_t at = 0;
    struct net_far_conn *conn;
    while ((conn = stoq_map_next(&far->conns, &at)) != NULL) {
        struct stoq_net_info info;
        if ((conn->id & NET_FAR_NUMBER) <= last) {
            copy_info(conn, &info);
            fn(user, &info);
        }
    }
}
