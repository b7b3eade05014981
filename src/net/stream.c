/*
 * Streams. What is written waits in a queue of segments: [first .. unsent) was sent and not yet
 * acknowledged, [unsent .. last] waits. ngtcp2 keeps pointers into the sent ones, so they live until
 * the acknowledgement or the stream's end. A stream is `ready` while it has something to send and
 * credit to send it; only ready streams are looked at when packets are filled.
 */
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

void net_stream_set_ready(struct net_stream *s)
{
    bool work = s->unsent != NULL || (s->fin_wanted && !s->fin_sent);
    if (!s->ready && work && !s->shut) {
        s->ready = true;
        TAILQ_INSERT_TAIL(&s->conn->ready[s->rank], s, turn);
    }
    net_mark_dirty(s->conn);
}

void net_stream_unready(struct net_stream *s)
{
    if (s->ready) {
        s->ready = false;
        TAILQ_REMOVE(&s->conn->ready[s->rank], s, turn);
    }
}

static void segment_free(struct net_stream *s, struct net_segment *seg)
{
    size_t n = seg->buf.bytes.n;
    s->buffered -= n;
    s->conn->buffered -= n;
    s->conn->net->buffered -= n;
    if (seg->buf.release != NULL) {
        seg->buf.release(seg->buf.user);
    }
    free(seg);
}

void net_stream_advance(struct net_stream *s, size_t n, bool fin)
{
    while (n > 0) {
        size_t left = s->unsent->buf.bytes.n - s->unsent_at;
        if (n < left) {
            s->unsent_at += n;
            return;
        }
        n -= left;
        s->unsent = s->unsent->next;
        s->unsent_at = 0;
    }
    s->fin_sent = s->fin_sent || fin;
    if (s->unsent == NULL && (!s->fin_wanted || s->fin_sent)) {
        net_stream_unready(s);
    }
}

void net_stream_shut(struct net_stream *s)
{
    net_stream_unready(s);
    s->shut = true;
    if (s->unsent == NULL) {
        return;
    }
    /* A segment sent in part stays; those behind it were never shown to ngtcp2. */
    struct net_segment *gone = s->unsent_at > 0 ? s->unsent->next : s->unsent;
    struct net_segment **at = &s->first;
    struct net_segment *last = NULL;
    while (*at != gone) {
        last = *at;
        at = &last->next;
    }
    *at = NULL;
    s->last = last;
    s->unsent = NULL;
    s->unsent_at = 0;
    while (gone != NULL) {
        struct net_segment *next = gone->next;
        segment_free(s, gone);
        gone = next;
    }
}

static struct net_stream *stream_new(struct net_conn *conn, int64_t id)
{
    struct net_stream *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return NULL;
    }
    s->conn = conn;
    s->id = id;
    s->rank = STOQ_NET_BULK;
    TAILQ_INSERT_TAIL(&conn->streams, s, all);
    conn->stream_count++;
    return s;
}

void net_stream_release(struct net_stream *s)
{
    net_stream_unready(s);
    while (s->first != NULL) {
        struct net_segment *seg = s->first;
        s->first = seg->next;
        segment_free(s, seg);
    }
    TAILQ_REMOVE(&s->conn->streams, s, all);
    s->conn->stream_count--;
    s->conn->peer_stream_count -= s->by_peer;
    free(s);
}

void net_streams_release(struct net_conn *conn)
{
    struct net_stream *s;
    while ((s = TAILQ_FIRST(&conn->streams)) != NULL) {
        net_stream_release(s);
    }
}

static struct net_stream *stream_find(const struct stoq_net *net, stoq_net_conn conn_id, int64_t id)
{
    struct net_conn *conn = net_conn_open(net, conn_id);
    return conn == NULL ? NULL : ngtcp2_conn_get_stream_user_data(conn->q, id);
}

/* Is anybody there to be told about this connection? */
static bool listening(const struct net_conn *conn)
{
    return conn->opened && !conn->close_asked;
}

int net_on_stream_open(ngtcp2_conn *q, int64_t id, void *user)
{
    struct net_conn *conn = user;
    if (!conn->complete && !net_early_begin(conn)) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    struct net_stream *s = stream_new(conn, id);
    if (s == NULL || ngtcp2_conn_set_stream_user_data(q, id, s) != 0) {
        return NGTCP2_ERR_CALLBACK_FAILURE;
    }
    s->by_peer = true;
    s->early = !conn->complete;
    conn->net->stats.early_streams += s->early;
    conn->peer_stream_count++;
    if (conn->net->cfg.cb.stream != NULL && listening(conn)) {
        conn->net->cfg.cb.stream(conn->net->cfg.user, conn->id, id);
    }
    return 0;
}

int net_on_stream_data(ngtcp2_conn *q, uint32_t flags, int64_t id, uint64_t offset,
                       const uint8_t *p, size_t n, void *user, void *stream_user)
{
    struct net_conn *conn = user;
    struct net_stream *s = stream_user;
    (void)offset;
    if (s == NULL || s->deaf || !listening(conn)) {
        ngtcp2_conn_extend_max_offset(q, n);
        return 0;
    }
    s->early = s->early || (flags & NGTCP2_STREAM_DATA_FLAG_0RTT) != 0;
    s->received += n;
    conn->unconsumed += n;
    conn->net->unconsumed += n;
    conn->net->cfg.cb.data(conn->net->cfg.user, conn->id, id, stoq_span(p, n),
                           (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0);
    return 0;
}

int net_on_stream_acked(ngtcp2_conn *q, int64_t id, uint64_t offset, uint64_t n, void *user,
                        void *stream_user)
{
    struct net_stream *s = stream_user;
    (void)q;
    (void)id;
    (void)user;
    uint64_t upto = offset + n;
    while (s != NULL && s->first != NULL && s->first != s->unsent &&
           s->first_at + s->first->buf.bytes.n <= upto) {
        struct net_segment *seg = s->first;
        s->first_at += seg->buf.bytes.n;
        s->first = seg->next;
        if (s->first == NULL) {
            s->last = NULL;
        }
        segment_free(s, seg);
    }
    return 0;
}

int net_on_stream_close(ngtcp2_conn *q, uint32_t flags, int64_t id, uint64_t code, void *user,
                        void *stream_user)
{
    struct net_conn *conn = user;
    struct net_stream *s = stream_user;
    bool coded = (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) != 0;
    if (!ngtcp2_conn_is_local_stream(q, id)) {
        ngtcp2_conn_extend_max_streams_bidi(q, 1);
    }
    if (s == NULL) {
        return 0;
    }
    if (!s->deaf) {
        conn->orphaned += s->received - s->consumed;
    }
    net_stream_release(s);
    if (conn->net->cfg.cb.stream_closed != NULL && listening(conn)) {
        conn->net->cfg.cb.stream_closed(conn->net->cfg.user, conn->id, id, coded ? code : 0);
    }
    return 0;
}

static void tell_ended(struct net_conn *conn, int64_t id, bool stop, uint64_t code)
{
    if (conn->net->cfg.cb.stream_ended != NULL && listening(conn)) {
        conn->net->cfg.cb.stream_ended(conn->net->cfg.user, conn->id, id, stop, code);
    }
}

int net_on_stream_reset(ngtcp2_conn *q, int64_t id, uint64_t final_size, uint64_t code, void *user,
                        void *stream_user)
{
    struct net_stream *s = stream_user;
    (void)q;
    (void)final_size;
    if (s != NULL && !s->deaf) {
        tell_ended(user, id, false, code);
    }
    return 0;
}

int net_on_stream_stop(ngtcp2_conn *q, int64_t id, uint64_t code, void *user, void *stream_user)
{
    struct net_stream *s = stream_user;
    (void)q;
    if (s != NULL && !s->shut) {
        net_stream_shut(s);
        tell_ended(user, id, true, code);
    }
    return 0;
}

int net_on_stream_credit(ngtcp2_conn *q, int64_t id, uint64_t max_data, void *user,
                         void *stream_user)
{
    (void)q;
    (void)id;
    (void)max_data;
    (void)user;
    if (stream_user != NULL) {
        net_stream_set_ready(stream_user);
    }
    return 0;
}

int net_on_streams_allowed(ngtcp2_conn *q, uint64_t max_streams, void *user)
{
    struct net_conn *conn = user;
    (void)q;
    (void)max_streams;
    bool counts = conn->net->owner != NULL; /* another thread answers for how many are left */
    if ((conn->wants_stream || counts) && listening(conn)) {
        conn->wants_stream = false;
        if (conn->net->cfg.cb.may_open != NULL) {
            conn->net->cfg.cb.may_open(conn->net->cfg.user, conn->id);
        }
    }
    return 0;
}

void net_streams_feed_starved(struct net_conn *conn)
{
    struct stoq_net *net = conn->net;
    if (conn->buffered > net->cfg.send_buffer_bytes / 2 ||
        (conn->buffered > 0 && net_memory(net) > net->cfg.memory_bytes)) {
        return; /* its own acknowledgements lead here again */
    }
    conn->starving = false;
    for (size_t left = conn->stream_count; left > 0 && listening(conn); left--) {
        struct net_stream *s;
        TAILQ_FOREACH(s, &conn->streams, all)
        {
            if (s->starved) {
                break;
            }
        }
        if (s == NULL) {
            return;
        }
        s->starved = false;
        if (net->cfg.cb.writable != NULL) {
            net->cfg.cb.writable(net->cfg.user, conn->id, s->id);
        }
    }
}

enum stoq_status stoq_net_stream_open(struct stoq_net *net, stoq_net_conn conn_id,
                                      stoq_net_stream *out)
{
    struct net_far *far = net_far_of(net, conn_id);
    if (far != NULL) {
        return net_far_open(far, conn_id, out);
    }
    struct net_conn *conn = net_conn_open(net, conn_id);
    int64_t id;
    if (conn == NULL) {
        return STOQ_NOTFOUND;
    }
    struct net_stream *s = stream_new(conn, -1);
    if (s == NULL) {
        return STOQ_NOMEM;
    }
    int rv = ngtcp2_conn_open_bidi_stream(conn->q, &id, s);
    if (rv != 0) {
        net_stream_release(s);
        conn->wants_stream = rv == NGTCP2_ERR_STREAM_ID_BLOCKED;
        return conn->wants_stream ? STOQ_FULL : STOQ_NOMEM;
    }
    s->id = id;
    *out = id;
    return STOQ_OK;
}

void stoq_net_stream_class(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                           enum stoq_net_class rank)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_class(far, conn, stream, rank);
        return;
    }
    struct net_stream *s = stream_find(net, conn, stream);
    STOQ_ASSERT(rank <= STOQ_NET_BACKGROUND);
    if (s == NULL || s->rank == rank) {
        return;
    }
    bool ready = s->ready;
    net_stream_unready(s);
    s->rank = (uint8_t)rank;
    if (ready) {
        net_stream_set_ready(s);
    }
}

bool net_has_room(const struct stoq_net *net, uint64_t buffered, unsigned rank, size_t n)
{
    const struct stoq_net_config *cfg = &net->cfg;
    uint64_t urgent = rank < STOQ_NET_BULK ? NET_URGENT_BYTES : 0;
    return buffered == 0 || (buffered + n <= cfg->send_buffer_bytes + urgent &&
                             (urgent > 0 || net_memory(net) + n <= cfg->memory_bytes));
}

/* May n more bytes be queued? Remembers who was told no. On another thread its owner has seen to that. */
static bool has_room(struct net_stream *s, size_t n)
{
    struct net_conn *conn = s->conn;
    if (conn->net->owner != NULL || net_has_room(conn->net, conn->buffered, s->rank, n)) {
        return true;
    }
    s->starved = true;
    conn->starving = true;
    net_mark_dirty(conn);
    return false;
}

static void append(struct net_stream *s, struct net_segment *seg)
{
    seg->next = NULL;
    if (s->last == NULL) {
        s->first = seg;
    } else {
        s->last->next = seg;
    }
    s->last = seg;
    if (s->unsent == NULL) {
        s->unsent = seg;
        s->unsent_at = 0;
    }
    s->buffered += seg->buf.bytes.n;
    s->conn->buffered += seg->buf.bytes.n;
    s->conn->net->buffered += seg->buf.bytes.n;
}

static enum stoq_status stream_write(struct net_stream *s, const struct stoq_net_buf *buf,
                                     size_t copied, bool fin)
{
    size_t n = buf->bytes.n;
    if (s == NULL || s->shut || s->fin_wanted) {
        return STOQ_NOTFOUND;
    }
    if (n > 0 && !has_room(s, n)) {
        return STOQ_FULL;
    }
    if (n > 0) {
        struct net_segment *seg = malloc(sizeof *seg + copied);
        if (seg == NULL) {
            return STOQ_NOMEM;
        }
        seg->buf = *buf;
        if (copied > 0) {
            memcpy(seg->copy, buf->bytes.p, copied);
            seg->buf.bytes.p = seg->copy;
        }
        append(s, seg);
    }
    s->fin_wanted = fin;
    net_stream_set_ready(s);
    if (n == 0 && buf->release != NULL) {
        buf->release(buf->user);
    }
    return STOQ_OK;
}

enum stoq_status stoq_net_write(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                                const struct stoq_net_buf *buf, bool fin)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        return net_far_write(far, conn, stream, buf, 0, fin);
    }
    return stream_write(stream_find(net, conn, stream), buf, 0, fin);
}

enum stoq_status stoq_net_write_copy(struct stoq_net *net, stoq_net_conn conn,
                                     stoq_net_stream stream, struct stoq_span bytes, bool fin)
{
    struct stoq_net_buf buf = {.bytes = bytes};
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        return net_far_write(far, conn, stream, &buf, bytes.n, fin);
    }
    return stream_write(stream_find(net, conn, stream), &buf, bytes.n, fin);
}

uint64_t stoq_net_buffered(const struct stoq_net *net, stoq_net_conn conn_id)
{
    struct net_far *far = net_far_of(net, conn_id);
    if (far != NULL) {
        return net_far_buffered(far, conn_id);
    }
    const struct net_conn *conn = net_conn_find(net, conn_id);
    return conn == NULL ? 0 : conn->buffered;
}

uint64_t stoq_net_stream_buffered(const struct stoq_net *net, stoq_net_conn conn,
                                  stoq_net_stream stream)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        return net_far_stream_buffered(far, conn, stream);
    }
    const struct net_stream *s = stream_find(net, conn, stream);
    return s == NULL ? 0 : s->buffered;
}

/* n bytes that were given to the data callback are no longer held: the peer may send as many more. */
static void given_back(struct net_conn *conn, uint64_t n)
{
    conn->unconsumed -= n;
    conn->net->unconsumed -= n;
    ngtcp2_conn_extend_max_offset(conn->q, n);
}

void stoq_net_consumed(struct stoq_net *net, stoq_net_conn conn_id, stoq_net_stream stream,
                       uint64_t n)
{
    struct net_far *far = net_far_of(net, conn_id);
    if (far != NULL) {
        net_far_consumed(far, conn_id, stream, n);
        return;
    }
    struct net_conn *conn = net_conn_open(net, conn_id);
    if (conn == NULL) {
        return;
    }
    struct net_stream *s = ngtcp2_conn_get_stream_user_data(conn->q, stream);
    if (s == NULL) {
        n = n < conn->orphaned ? n : conn->orphaned;
        conn->orphaned -= n;
    } else if (s->deaf) {
        return; /* settled when we stopped */
    } else {
        uint64_t owed = s->received - s->consumed;
        n = n < owed ? n : owed;
        s->consumed += n;
        (void)ngtcp2_conn_extend_max_stream_offset(conn->q, stream, n);
    }
    given_back(conn, n);
    net_mark_dirty(conn);
}

void stoq_net_stream_reset(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                           uint64_t code)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_reset(far, conn, stream, code);
        return;
    }
    struct net_stream *s = stream_find(net, conn, stream);
    if (s == NULL || s->shut || s->fin_sent) {
        return;
    }
    net_stream_shut(s);
    (void)ngtcp2_conn_shutdown_stream_write(s->conn->q, 0, stream, code);
    net_mark_dirty(s->conn);
}

void stoq_net_stream_stop(struct stoq_net *net, stoq_net_conn conn, stoq_net_stream stream,
                          uint64_t code)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_stop(far, conn, stream, code);
        return;
    }
    struct net_stream *s = stream_find(net, conn, stream);
    if (s == NULL || s->deaf) {
        return;
    }
    s->deaf = true;
    given_back(s->conn, s->received - s->consumed);
    (void)ngtcp2_conn_shutdown_stream_read(s->conn->q, 0, stream, code);
    net_mark_dirty(s->conn);
}
