/*
 * What another thread told, turned into the owner's callbacks. A connection that the owner has closed, and a
 * stream that it stopped, tell nothing more, although they may have said some before they knew. closed waits
 * until every buffer handed over there has come back.
 */
#include "net/far.h"

#include "net/net_internal.h"

#include <stdlib.h>

static const struct stoq_net_callbacks *callbacks(const struct net_far *far)
{
    return &far->owner->cfg.cb;
}

static struct stoq_map_key stream_key(const struct net_far_conn *conn, int64_t id)
{
    return (struct stoq_map_key){conn->id, (uint64_t)id};
}

struct net_far_stream *net_far_stream_find(const struct net_far *far,
                                           const struct net_far_conn *conn, int64_t id)
{
    return stoq_map_get(&far->streams, stream_key(conn, id));
}

struct net_far_stream *net_far_stream_new(struct net_far_conn *conn, int64_t id)
{
    struct net_far_stream *s = calloc(1, sizeof *s);
    if (s == NULL || stoq_map_put(&conn->far->streams, stream_key(conn, id), s) != STOQ_OK) {
        free(s);
        return NULL;
    }
    s->id = id;
    s->rank = STOQ_NET_BULK;
    TAILQ_INSERT_TAIL(&conn->streams, s, link);
    return s;
}

static void stream_free(struct net_far_conn *conn, struct net_far_stream *s)
{
    (void)stoq_map_remove(&conn->far->streams, stream_key(conn, s->id));
    TAILQ_REMOVE(&conn->streams, s, link);
    free(s);
}

/* Is anybody there to be told about this connection? */
static bool listening(const struct net_far_conn *conn)
{
    return conn->opened && !conn->closing && !conn->over;
}

/* An inbound one gets its number here. */
static bool take_in(struct net_far *far, struct net_far_conn *conn)
{
    stoq_net_conn id = NET_FAR_BIT | (uint64_t)far->thread << NET_FAR_SHIFT | ++far->conn_last;
    if (stoq_map_put(&far->conns, (struct stoq_map_key){id, 0}, conn) != STOQ_OK) {
        return false;
    }
    conn->id = id;
    conn->inbound = true;
    return true;
}

static void on_opened(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    if (conn->id == 0 && !take_in(far, conn)) {
        net_far_conn_break(conn);
        return;
    }
    if (!conn->closing) {
        conn->opened = true;
        conn->streams_allowed = msg->n;
        callbacks(far)->opened(far->owner->cfg.user, conn->id, &msg->u.opened);
    }
}

/* Tell its end, and have it freed over there once all that was asked before is done. */
static void finish(struct net_far *far, struct net_far_conn *conn)
{
    stoq_net_conn id = conn->id;
    struct stoq_net_closed info = conn->end.u.closed;
    struct net_far_stream *s = TAILQ_FIRST(&conn->streams);
    while (s != NULL) {
        struct net_far_stream *next = TAILQ_NEXT(s, link);
        stream_free(conn, s);
        s = next;
    }
    net_far_unhold(conn, conn->unconsumed);
    info.opened = conn->opened;
    info.text = conn->end_text;
    if (id != 0) {
        (void)stoq_map_remove(&far->conns, (struct stoq_map_key){id, 0});
        callbacks(far)->closed(far->owner->cfg.user, id, &info);
    }
    conn->end.kind = NET_FAR_FORGET;
    net_far_push(&far->out, &conn->end);
}

static void on_closed(struct net_far *far, struct net_far_conn *conn)
{
    conn->over = true;
    if (conn->writes_out == 0) {
        finish(far, conn);
    }
}

static void on_refused(struct net_far *far, struct net_far_msg *msg)
{
    msg->u.closed.text = msg->text;
    if (callbacks(far)->refused != NULL) {
        callbacks(far)->refused(far->owner->cfg.user, &msg->u.closed);
    }
}

static void on_stream(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    if (!listening(conn)) {
        return;
    }
    struct net_far_stream *s = net_far_stream_new(conn, msg->stream);
    if (s == NULL) {
        net_far_conn_break(conn);
    } else if (callbacks(far)->stream != NULL) {
        s->early = msg->early;
        callbacks(far)->stream(far->owner->cfg.user, conn->id, msg->stream);
    }
}

static void on_data(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    struct net_far_stream *s = net_far_stream_find(far, conn, msg->stream);
    if (s == NULL || s->deaf || !listening(conn)) {
        return; /* STOP and CLOSE settle it over there */
    }
    s->early = s->early || msg->early;
    s->received += msg->n;
    conn->unconsumed += msg->n;
    far->bytes += msg->n;
    callbacks(far)->data(far->owner->cfg.user, conn->id, msg->stream, stoq_span(msg->bytes, msg->n),
                         msg->fin);
}

static void feed_starved(struct net_far *far, struct net_far_conn *conn)
{
    const struct stoq_net_config *cfg = &far->owner->cfg;
    if (conn->buffered > cfg->send_buffer_bytes / 2 ||
        (conn->buffered > 0 && net_memory(far->owner) > cfg->memory_bytes)) {
        return; /* its other writes will lead here again */
    }
    conn->starving = false;
    struct net_far_stream *s = TAILQ_FIRST(&conn->streams);
    while (s != NULL && listening(conn)) {
        bool owed = s->starved;
        int64_t id = s->id;
        s->starved = false;
        if (owed && callbacks(far)->writable != NULL) {
            callbacks(far)->writable(far->owner->cfg.user, conn->id, id);
        }
        s = TAILQ_NEXT(s, link); /* only events free streams */
    }
}

static void on_released(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    const struct stoq_net_buf *buf = &msg->u.write.buf;
    struct net_far_stream *s = net_far_stream_find(far, conn, msg->stream);
    conn->writes_out--;
    conn->buffered -= msg->n;
    far->bytes -= msg->n;
    if (s != NULL) {
        s->buffered -= msg->n;
    }
    if (buf->release != NULL) {
        buf->release(buf->user);
    }
    if (conn->over && conn->writes_out == 0) {
        finish(far, conn);
    } else if (conn->starving) {
        feed_starved(far, conn);
    }
}

static void on_allowed(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    conn->streams_allowed = msg->u.number;
    if (conn->wants_stream && listening(conn)) {
        conn->wants_stream = false;
        if (callbacks(far)->may_open != NULL) {
            callbacks(far)->may_open(far->owner->cfg.user, conn->id);
        }
    }
}

static void on_ended(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    struct net_far_stream *s = net_far_stream_find(far, conn, msg->stream);
    if (s == NULL || (msg->fin ? s->shut : s->deaf) || !listening(conn)) {
        return;
    }
    s->shut = s->shut || msg->fin;
    if (callbacks(far)->stream_ended != NULL) {
        callbacks(far)->stream_ended(far->owner->cfg.user, conn->id, msg->stream, msg->fin,
                                     msg->u.number);
    }
}

static void on_stream_closed(struct net_far *far, struct net_far_conn *conn,
                             struct net_far_msg *msg)
{
    struct net_far_stream *s = net_far_stream_find(far, conn, msg->stream);
    if (s == NULL) {
        return;
    }
    if (!s->deaf) {
        conn->orphaned += s->received - s->consumed;
    }
    stream_free(conn, s);
    if (callbacks(far)->stream_closed != NULL && listening(conn)) {
        callbacks(far)->stream_closed(far->owner->cfg.user, conn->id, msg->stream, msg->u.number);
    }
}

static void take(struct net_far *far, struct net_far_msg *msg)
{
    switch (msg->kind) {
    case NET_FAR_OPENED:
        on_opened(far, msg->conn, msg);
        break;
    case NET_FAR_CLOSED:
        on_closed(far, msg->conn);
        break;
    case NET_FAR_REFUSED:
        on_refused(far, msg);
        break;
    case NET_FAR_STREAM:
        on_stream(far, msg->conn, msg);
        break;
    case NET_FAR_DATA:
        on_data(far, msg->conn, msg);
        break;
    case NET_FAR_RELEASED:
        on_released(far, msg->conn, msg);
        break;
    case NET_FAR_ALLOWED:
        on_allowed(far, msg->conn, msg);
        break;
    case NET_FAR_ENDED:
        on_ended(far, msg->conn, msg);
        break;
    case NET_FAR_STREAM_CLOSED:
        on_stream_closed(far, msg->conn, msg);
        break;
    default:
        STOQ_ASSERT(false);
    }
}

void net_far_take_events(struct net_far *far)
{
    pthread_mutex_lock(&far->lock);
    struct net_far_msg *msg = far->events.first;
    bool was_paused = far->paused;
    far->events = (struct net_far_list){.last = &far->events.first};
    far->paused = false;
    far->owner_called = false;
    bool call = was_paused && far->runs && !far->thread_called;
    far->thread_called = far->thread_called || call;
    pthread_mutex_unlock(&far->lock);
    if (call) {
        stoq_loop_post(far->loop, &far->to_thread); /* it may read again */
    }
    while (msg != NULL) {
        struct net_far_msg *next = msg->next;
        bool kept = msg->kept; /* its connection may be on its way out */
        take(far, msg);
        if (!kept) {
            net_far_msg_free(msg);
        }
        msg = next;
    }
}
