/*
 * Messages gather in a list of the side that writes them and change hands once a turn of its loop: the lock
 * is taken once for many messages and never held while a system call or a callback runs. Commands are
 * bounded by what the owner's own limits let it ask (bytes written, streams, connections). Events are
 * bounded by NET_FAR_EVENTS_BYTES: beyond it the thread reads no packets, they stay in the kernel's buffer
 * and are lost there as with any endpoint that is too slow.
 */
#include "net/far.h"

#include "net/net_internal.h"
#include "os/cond.h"

#include <stdlib.h>
#include <string.h>

struct net_far_msg *net_far_msg_new(enum net_far_kind kind, struct net_far_conn *conn, size_t cap)
{
    struct net_far_msg *msg = malloc(sizeof *msg + cap);
    if (msg != NULL) {
        *msg = (struct net_far_msg){
            .kind = kind, .conn = conn, .bytes = (uint8_t *)(msg + 1), .cap = cap};
    }
    return msg;
}

void net_far_msg_free(struct net_far_msg *msg)
{
    if (!msg->kept) {
        free(msg);
    }
}

static void list_clear(struct net_far_list *list)
{
    *list = (struct net_far_list){.last = &list->first};
}

void net_far_push(struct net_far_list *list, struct net_far_msg *msg)
{
    msg->next = NULL;
    *list->last = msg;
    list->last = &msg->next;
    list->bytes += sizeof *msg + msg->cap;
}

/* Hang all of from behind what is in to. */
static void list_join(struct net_far_list *to, struct net_far_list *from)
{
    *to->last = from->first;
    to->last = from->last;
    to->bytes += from->bytes;
    list_clear(from);
}

void net_far_send_commands(struct net_far *far)
{
    if (far->out.first == NULL) {
        return;
    }
    far->credit = NULL;
    pthread_mutex_lock(&far->lock);
    list_join(&far->commands, &far->out);
    bool call = far->runs && !far->thread_called;
    far->thread_called = true;
    pthread_mutex_unlock(&far->lock);
    if (call) {
        stoq_loop_post(far->loop, &far->to_thread);
    }
}

void net_far_send_events(struct net_far *far)
{
    if (far->in.first == NULL) {
        return;
    }
    far->gather = NULL;
    pthread_mutex_lock(&far->lock);
    list_join(&far->events, &far->in);
    bool call = far->runs && !far->owner_called;
    far->owner_called = true;
    far->paused = far->events.bytes > NET_FAR_EVENTS_BYTES;
    bool reading = !far->paused;
    pthread_mutex_unlock(&far->lock);
    if (far->net != NULL) {
        far->net->reading = reading;
    }
    if (call) {
        stoq_loop_post(far->owner->cfg.loop, &far->to_owner);
    }
}

static void on_events(struct stoq_post *post)
{
    net_far_take_events(
        (struct net_far *)(void *)((uint8_t *)post - offsetof(struct net_far, to_owner)));
}

static void on_commands(struct stoq_post *post)
{
    net_far_take_commands(
        (struct net_far *)(void *)((uint8_t *)post - offsetof(struct net_far, to_thread)));
}

static void on_turn(void *user)
{
    net_far_send_events(user);
}

struct net_far_conn *net_far_conn_new(struct net_far *far)
{
    struct net_far_conn *conn = calloc(1, sizeof *conn);
    if (conn != NULL) {
        conn->far = far;
        conn->end = (struct net_far_msg){.kept = true, .conn = conn, .text = conn->end_text};
        conn->close = (struct net_far_msg){
            .kind = NET_FAR_CLOSE, .kept = true, .conn = conn, .text = conn->close_text};
        TAILQ_INIT(&conn->streams);
    }
    return conn;
}

/* As the owner's, on the same ports; limits that the owner keeps are not limits there. */
static enum stoq_status open_endpoint(struct net_far *far, struct stoq_error *err)
{
    struct stoq_net *owner = far->owner;
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX];
    struct stoq_net_config cfg = owner->cfg;
    cfg.loop = far->loop;
    cfg.cb = net_far_callbacks;
    cfg.user = far;
    cfg.listen = listen;
    cfg.listen_count = owner->accepting ? owner->listener_count : 0;
    for (size_t i = 0; i < cfg.listen_count; i++) {
        listen[i] = owner->listeners[i].socket.local;
    }
    return net_new_beside(&far->net, &cfg, owner, far->thread, err);
}

enum stoq_status net_far_start(struct net_far **out, struct stoq_net *owner, unsigned thread,
                               struct stoq_error *err)
{
    struct net_far *far = calloc(1, sizeof *far);
    uint64_t seed;
    if (far == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "network thread: out of memory");
    }
    far->owner = owner;
    far->thread = thread;
    list_clear(&far->commands);
    list_clear(&far->events);
    list_clear(&far->out);
    list_clear(&far->in);
    net_random(owner, &seed, sizeof seed);
    stoq_map_init(&far->conns, seed);
    stoq_map_init(&far->streams, seed + 1);
    stoq_map_init(&far->there, seed + 2);
    STOQ_ASSERT(pthread_mutex_init(&far->lock, NULL) == 0);
    stoq_cond_init(&far->told);
    far->to_owner.run = on_events;
    far->to_thread.run = on_commands;
    *out = far;
    enum stoq_status st = stoq_loop_new(&far->loop, err);
    if (st == STOQ_OK) {
        st = open_endpoint(far, err);
    }
    if (st == STOQ_OK) { /* behind the endpoint's own: what its flush tells goes along */
        far->hook = (struct stoq_hook){.run = on_turn, .user = far};
        stoq_loop_before_wait(far->loop, &far->hook);
    }
    return st;
}

static void *thread_main(void *arg)
{
    struct net_far *far = arg;
    stoq_loop_run(far->loop);
    return NULL;
}

enum stoq_status net_far_run(struct net_far *far, struct stoq_error *err)
{
    far->runs = true; /* before there is somebody to read it */
    int code = pthread_create(&far->id, NULL, thread_main, far);
    if (code != 0) {
        far->runs = false;
        return stoq_fail(err, STOQ_IO, code, "start a network thread");
    }
    return STOQ_OK;
}

void net_far_halt(struct net_far *far)
{
    if (far->runs) {
        stoq_loop_stop(far->loop);
        (void)pthread_join(far->id, NULL);
        far->runs = false;
    }
}

void net_far_free(struct net_far *far)
{
    if (far == NULL) {
        return;
    }
    STOQ_ASSERT(!far->runs);
    stoq_loop_unpost(far->owner->cfg.loop, &far->to_owner);
    if (far->net != NULL) { /* no other thread is left: both sides are ours */
        stoq_loop_unpost(far->loop, &far->to_thread);
        net_far_send_commands(far);
        net_far_take_commands(far);
        stoq_loop_unhook(far->loop, &far->hook);
        stoq_net_free(far->net);
        far->net = NULL;
        net_far_send_events(far);
        net_far_take_events(far);
        net_far_send_commands(far); /* FORGET of each */
        net_far_take_commands(far);
    }
    STOQ_ASSERT(far->conns.count == 0 && far->out.first == NULL && far->in.first == NULL);
    stoq_loop_free(far->loop);
    stoq_map_release(&far->conns);
    stoq_map_release(&far->streams);
    stoq_map_release(&far->there);
    pthread_cond_destroy(&far->told);
    pthread_mutex_destroy(&far->lock);
    free(far);
}
