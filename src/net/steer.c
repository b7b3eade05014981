#include "net/steer.h"

#include "net/net_internal.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define LONG_DCID_AT 6 /* flags, version, length */
#define SHORT_DCID_AT 1

struct net_threads *net_threads_new(unsigned count)
{
    struct net_threads *t = calloc(1, sizeof *t + count * sizeof t->of[0]);
    if (t == NULL) {
        return NULL;
    }
    t->count = count;
    for (unsigned i = 0; i < count; i++) {
        STOQ_ASSERT(pthread_mutex_init(&t->of[i].lock, NULL) == 0);
        t->of[i].last = &t->of[i].first;
    }
    return t;
}

static void strays_free(struct net_stray *s)
{
    while (s != NULL) {
        struct net_stray *next = s->next;
        free(s);
        s = next;
    }
}

void net_threads_free(struct net_threads *t)
{
    for (unsigned i = 0; t != NULL && i < t->count; i++) {
        pthread_mutex_destroy(&t->of[i].lock);
    }
    free(t);
}

static struct net_stray *take_strays(struct net_share *share)
{
    pthread_mutex_lock(&share->lock);
    struct net_stray *s = share->first;
    share->first = NULL;
    share->last = &share->first;
    share->count = 0;
    share->called = false;
    pthread_mutex_unlock(&share->lock);
    return s;
}

static void on_strays(struct stoq_post *post)
{
    struct net_share *share =
        (struct net_share *)(void *)((uint8_t *)post - offsetof(struct net_share, post));
    struct stoq_net *net = share->net;
    struct net_stray *list = take_strays(share);
    net->now = net->clock(net->clock_user);
    for (struct net_stray *s = list; s != NULL; s = s->next) {
        net_receive(net, &net->listeners[s->listener].socket, &s->d);
    }
    strays_free(list);
}

void net_share_begin(struct stoq_net *net)
{
    struct net_share *share = &net->threads->of[net->thread];
    share->net = net;
    share->post.run = on_strays;
}

void net_share_end(struct stoq_net *net)
{
    struct net_share *share = &net->threads->of[net->thread];
    if (share->net == net) {
        stoq_loop_unpost(net->cfg.loop, &share->post);
        strays_free(take_strays(share));
        share->net = NULL;
    }
}

void net_share_figures(struct stoq_net *net)
{
    struct net_share *share = &net->threads->of[net->thread];
    atomic_store_explicit(&share->bytes, net_own_bytes(net), memory_order_relaxed);
}

uint64_t net_others_bytes(const struct stoq_net *net)
{
    uint64_t n = 0;
    for (unsigned i = 0; net->threads != NULL && i < net->threads->count; i++) {
        n += i == net->thread
                 ? 0
                 : atomic_load_explicit(&net->threads->of[i].bytes, memory_order_relaxed);
    }
    return n;
}

/* The program sees the payload. A load past its end makes the result 0, and so does whatever is no QUIC. */
enum stoq_status net_steer(const struct net_socket *s, unsigned count, struct stoq_error *err)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x80, 0, 2),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, LONG_DCID_AT),
        BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40, 0, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SHORT_DCID_AT),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {.len = STOQ_COUNT(code), .filter = code};
    if (setsockopt(s->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) != 0) {
        return stoq_fail(err, STOQ_IO, errno,
                         "this kernel does not steer packets to network threads; "
                         "net.threads = 1 does without");
    }
    return STOQ_OK;
}

static struct net_stray *stray_new(struct stoq_net *net, const struct net_socket *socket,
                                   const struct net_datagram *d, struct stoq_span packet)
{
    struct net_stray *s = malloc(sizeof *s + packet.n);
    if (s == NULL) {
        return NULL;
    }
    memcpy(s->bytes, packet.p, packet.n);
    s->next = NULL;
    s->d = *d;
    s->d.p = s->bytes;
    s->d.n = packet.n;
    s->d.segment = packet.n;
    s->d.handed_on = true;
    for (s->listener = 0; &net->listeners[s->listener].socket != socket;) {
        s->listener++;
    }
    return s;
}

bool net_hand_on(struct stoq_net *net, const struct net_socket *socket,
                 const struct net_datagram *d, struct stoq_span packet, struct stoq_span dcid)
{
    if (net->threads == NULL || d->handed_on || dcid.n == 0 ||
        dcid.p[0] % net->threads->count == net->thread || !net->accepting) {
        return false;
    }
    struct net_share *to = &net->threads->of[dcid.p[0] % net->threads->count];
    struct net_stray *s = stray_new(net, socket, d, packet);
    bool call = false;
    bool room = false;
    if (s != NULL) {
        pthread_mutex_lock(&to->lock);
        room = to->count < NET_STRAYS_MAX;
        if (room) {
            *to->last = s;
            to->last = &s->next;
            to->count++;
            call = !to->called;
            to->called = true;
        }
        pthread_mutex_unlock(&to->lock);
    }
    if (!room) {
        free(s); /* lost, as the network might have lost it */
    }
    if (call) {
        stoq_loop_post(to->net->cfg.loop, &to->post);
    }
    net->stats.handed_on++;
    return true;
}
