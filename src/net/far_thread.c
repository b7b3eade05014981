/*
 * The other thread's half: commands are calls of its endpoint, its endpoint's callbacks are events. Received
 * bytes are copied once, since the packet's memory is needed again; those of one stream in one turn are
 * gathered, so that a message carries tens of kilobytes. What is to be sent is not copied.
 */
#include "net/far.h"

#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_BYTES (64 * STOQ_KIB) /* of one stream in one message */
#define GATHER_FROM 1000             /* a first piece of so many bytes lets more be expected */

static struct net_far_conn *conn_there(const struct net_far *far, stoq_net_conn there)
{
    return stoq_map_get(&far->there, (struct stoq_map_key){there, 0});
}

/* Memory for something that must be told was not to be had. */
static void break_off(struct net_far_conn *conn)
{
    stoq_net_close(conn->far->net, conn->there, conn->far->net->cfg.leave_code, "out of memory");
}

/* An event of a connection, or NULL: it is being broken off. */
static struct net_far_msg *event(struct net_far_conn *conn, enum net_far_kind kind,
                                 stoq_net_stream stream, uint64_t number, size_t cap)
{
    struct net_far_msg *msg = net_far_msg_new(kind, conn, cap);
    if (msg == NULL) {
        break_off(conn);
        return NULL;
    }
    msg->stream = stream;
    msg->u.number = number;
    conn->far->gather = NULL;
    net_far_push(&conn->far->in, msg);
    return msg;
}

static void keep_info(struct net_far_conn *conn)
{
    struct stoq_net_info info;
    if (stoq_net_info(conn->far->net, conn->there, &info)) {
        pthread_mutex_lock(&conn->far->lock);
        conn->info = info;
        pthread_mutex_unlock(&conn->far->lock);
    }
}

/* How many streams the owner may have opened in all. */
static uint64_t streams_allowed(const struct net_far_conn *conn)
{
    struct stoq_net_info info;
    bool known = stoq_net_info(conn->far->net, conn->there, &info);
    return conn->opened_there + (known ? info.streams_left : 0);
}

static struct net_far_conn *take_in(struct net_far *far, stoq_net_conn there)
{
    struct net_far_conn *conn = net_far_conn_new(far);
    if (conn == NULL ||
        stoq_map_put(&far->there, (struct stoq_map_key){there, 0}, conn) != STOQ_OK) {
        free(conn);
        stoq_net_close(far->net, there, far->net->cfg.leave_code, "out of memory");
        return NULL;
    }
    conn->there = there;
    return conn;
}

static void on_opened(void *user, stoq_net_conn there, const struct stoq_net_opened *info)
{
    struct net_far *far = user;
    struct net_far_conn *conn = conn_there(far, there);
    conn = conn == NULL ? take_in(far, there) : conn;
    if (conn == NULL) {
        return;
    }
    keep_info(conn);
    struct net_far_msg *msg = event(conn, NET_FAR_OPENED, 0, 0, 0);
    if (msg != NULL) {
        msg->u.opened = *info;
        msg->n = streams_allowed(conn);
    }
}

static void keep_end(struct net_far_msg *msg, const struct stoq_net_closed *info)
{
    msg->u.closed = *info;
    net_copy_printable(msg->text, STOQ_NET_CLOSE_TEXT_MAX, info->text, strlen(info->text));
}

static void ended(struct net_far_conn *conn, const struct stoq_net_closed *info)
{
    conn->there = 0;
    conn->end.kind = NET_FAR_CLOSED;
    keep_end(&conn->end, info);
    conn->far->gather = NULL;
    net_far_push(&conn->far->in, &conn->end);
}

static void on_closed(void *user, stoq_net_conn there, const struct stoq_net_closed *info)
{
    struct net_far *far = user;
    struct net_far_conn *conn = stoq_map_remove(&far->there, (struct stoq_map_key){there, 0});
    if (conn != NULL) { /* else there was no memory to take it in */
        ended(conn, info);
    }
}

static void on_refused(void *user, const struct stoq_net_closed *info)
{
    struct net_far *far = user;
    struct net_far_msg *msg = net_far_msg_new(NET_FAR_REFUSED, NULL, STOQ_NET_CLOSE_TEXT_MAX);
    if (msg != NULL) { /* it is only for the log */
        msg->text = (char *)msg->bytes;
        keep_end(msg, info);
        far->gather = NULL;
        net_far_push(&far->in, msg);
    }
}

static void on_stream(void *user, stoq_net_conn there, stoq_net_stream stream)
{
    struct net_far *far = user;
    struct net_far_conn *conn = conn_there(far, there);
    struct net_far_msg *msg = conn == NULL ? NULL : event(conn, NET_FAR_STREAM, stream, 0, 0);
    if (msg != NULL) {
        msg->early = stoq_net_stream_early(far->net, there, stream);
    }
}

/* The message that takes n more bytes of this stream: the last one, if it is of the stream and has room. */
static struct net_far_msg *gather(struct net_far_conn *conn, stoq_net_stream stream, size_t n)
{
    struct net_far *far = conn->far;
    struct net_far_msg *msg = far->gather;
    if (msg != NULL && msg->conn == conn && msg->stream == stream && msg->cap - msg->n >= n) {
        return msg;
    }
    msg = event(conn, NET_FAR_DATA, stream, 0,
                n >= GATHER_FROM && n < GATHER_BYTES ? GATHER_BYTES : n);
    far->gather = msg;
    return msg;
}

static void on_data(void *user, stoq_net_conn there, stoq_net_stream stream, struct stoq_span bytes,
                    bool fin)
{
    struct net_far *far = user;
    struct net_far_conn *conn = conn_there(far, there);
    struct net_far_msg *msg = conn == NULL ? NULL : gather(conn, stream, bytes.n);
    if (msg == NULL) {
        return;
    }
    if (bytes.n > 0) {
        memcpy(msg->bytes + msg->n, bytes.p, bytes.n);
    }
    msg->n += bytes.n;
    msg->fin = fin;
    msg->early = msg->early || stoq_net_stream_early(far->net, there, stream);
}

static void on_may_open(void *user, stoq_net_conn there)
{
    struct net_far_conn *conn = conn_there(user, there);
    if (conn != NULL) {
        (void)event(conn, NET_FAR_ALLOWED, 0, streams_allowed(conn), 0);
    }
}

static void on_ended(void *user, stoq_net_conn there, stoq_net_stream stream, bool stop,
                     uint64_t code)
{
    struct net_far_conn *conn = conn_there(user, there);
    struct net_far_msg *msg = conn == NULL ? NULL : event(conn, NET_FAR_ENDED, stream, code, 0);
    if (msg != NULL) {
        msg->fin = stop;
    }
}

static void on_stream_closed(void *user, stoq_net_conn there, stoq_net_stream stream, uint64_t code)
{
    struct net_far_conn *conn = conn_there(user, there);
    if (conn != NULL) {
        (void)event(conn, NET_FAR_STREAM_CLOSED, stream, code, 0);
    }
}

const struct stoq_net_callbacks net_far_callbacks = {
    .opened = on_opened,
    .closed = on_closed,
    .refused = on_refused,
    .stream = on_stream,
    .data = on_data,
    .may_open = on_may_open,
    .stream_ended = on_ended,
    .stream_closed = on_stream_closed,
};

static void dial(struct net_far *far, struct net_far_conn *conn, const struct net_far_msg *msg)
{
    stoq_net_conn there = 0;
    enum stoq_status st = net_dial_here(far->net, &msg->u.dial.dial, &there);
    if (st == STOQ_OK &&
        stoq_map_put(&far->there, (struct stoq_map_key){there, 0}, conn) != STOQ_OK) {
        stoq_net_close(far->net, there, far->net->cfg.leave_code, "out of memory");
        st = STOQ_NOMEM;
    }
    if (st == STOQ_OK) {
        conn->there = there;
        return;
    }
    ended(conn, &(struct stoq_net_closed){.why = STOQ_NET_FAILED,
                                          .text = stoq_status_str(st),
                                          .addr = msg->u.dial.dial.addr});
}

static void open_stream(struct net_far *far, struct net_far_conn *conn, stoq_net_stream wanted)
{
    stoq_net_stream stream;
    enum stoq_status st = stoq_net_stream_open(far->net, conn->there, &stream);
    if (st == STOQ_OK) {
        STOQ_ASSERT(stream == wanted);
        conn->opened_there++;
    } else if (st != STOQ_NOTFOUND) { /* the numbers of those behind it would be wrong */
        break_off(conn);
    }
}

/* The command comes back as the event that its bytes are free. */
static void give_back(struct net_far_msg *msg)
{
    struct net_far *far = msg->u.write.far;
    msg->kind = NET_FAR_RELEASED;
    far->gather = NULL;
    net_far_push(&far->in, msg);
}

static void released(void *user)
{
    give_back(user);
}

static void write_bytes(struct net_far *far, struct net_far_conn *conn, struct net_far_msg *msg)
{
    struct stoq_net_buf buf = {.bytes = msg->u.write.buf.bytes, .release = released, .user = msg};
    enum stoq_status st = STOQ_NOTFOUND;
    if (conn->there != 0) {
        st = stoq_net_write(far->net, conn->there, msg->stream, &buf, msg->fin);
    }
    if (st == STOQ_NOMEM) {
        break_off(conn);
    }
    if (st != STOQ_OK) {
        give_back(msg);
    }
}

static void forget(struct net_far_conn *conn)
{
    STOQ_ASSERT(conn->there == 0);
    free(conn);
}

/* A command for a connection that is there. */
static void call(struct net_far *far, struct net_far_conn *conn, const struct net_far_msg *msg)
{
    switch (msg->kind) {
    case NET_FAR_CLOSE:
        stoq_net_close(far->net, conn->there, msg->u.number, msg->text);
        break;
    case NET_FAR_KEEP_ALIVE:
        stoq_net_keep_alive(far->net, conn->there, msg->u.number);
        break;
    case NET_FAR_BACKGROUND_RATE:
        stoq_net_background_rate(far->net, conn->there, msg->u.number);
        break;
    case NET_FAR_OPEN:
        open_stream(far, conn, msg->stream);
        break;
    case NET_FAR_CLASS:
        stoq_net_stream_class(far->net, conn->there, msg->stream,
                              (enum stoq_net_class)msg->u.number);
        break;
    case NET_FAR_CONSUMED:
        stoq_net_consumed(far->net, conn->there, msg->stream, msg->u.number);
        break;
    case NET_FAR_RESET:
        stoq_net_stream_reset(far->net, conn->there, msg->stream, msg->u.number);
        break;
    case NET_FAR_STOP:
        stoq_net_stream_stop(far->net, conn->there, msg->stream, msg->u.number);
        break;
    default:
        STOQ_ASSERT(false);
    }
}

/* Writes come back as events, FORGET frees its own memory; all others are done with. */
static void obey(struct net_far *far, struct net_far_msg *msg)
{
    struct net_far_conn *conn = msg->conn;
    if (msg->kind == NET_FAR_WRITE) {
        write_bytes(far, conn, msg);
        return;
    }
    if (msg->kind == NET_FAR_FORGET) {
        forget(conn);
        return;
    }
    if (msg->kind == NET_FAR_DIAL) {
        dial(far, conn, msg);
    } else if (conn->there != 0) {
        call(far, conn, msg);
    }
    net_far_msg_free(msg);
}

static void tell_figures(struct net_far *far)
{
    struct net_far_conn *conn;
    size_t at = 0;
    while ((conn = stoq_map_next(&far->there, &at)) != NULL) {
        keep_info(conn);
    }
    net_share_figures(far->net); /* what is told is what all threads go by */
    pthread_mutex_lock(&far->lock);
    stoq_net_stats(far->net, &far->stats);
    far->figures_told = far->figures_wanted;
    pthread_cond_signal(&far->told);
    pthread_mutex_unlock(&far->lock);
}

void net_far_take_commands(struct net_far *far)
{
    pthread_mutex_lock(&far->lock);
    struct net_far_msg *msg = far->commands.first;
    far->commands = (struct net_far_list){.last = &far->commands.first};
    far->thread_called = false;
    bool figures = far->figures_wanted > far->figures_told;
    if (far->net != NULL) {
        far->net->reading = !far->paused;
    }
    pthread_mutex_unlock(&far->lock);
    while (msg != NULL) {
        struct net_far_msg *next = msg->next;
        obey(far, msg);
        msg = next;
    }
    if (figures && far->net != NULL) {
        tell_figures(far);
    }
}
