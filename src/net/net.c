/*
 * The endpoint: sockets, deadlines and the flush, around the connections. Packets are read as they
 * come and only change state; what they and the calls of this turn of the loop produce is written
 * once, before the loop waits. So acknowledgements, credit and data of many streams share packets,
 * and packets share system calls.
 */
#include "net/net_internal.h"

#include "hash/hash.h"
#include "os/sys.h"
#include "sign/sign.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVES_PER_TURN 4 /* batches read before others get their turn and answers are written */

static void kernel_entropy(void *user, void *p, size_t n)
{
    (void)user;
    stoq_entropy(p, n);
}

static stoq_ns real_clock(void *user)
{
    (void)user;
    return stoq_now();
}

static uint64_t real_wall(void *user)
{
    (void)user;
    return stoq_wall_ms();
}

uint64_t net_own_bytes(const struct stoq_net *net)
{
    return net->buffered + net->unconsumed;
}

/* Of bytes on other threads the owner counts by its own pictures, which know of what is on its way. */
uint64_t net_all_bytes(const struct stoq_net *net)
{
    uint64_t n = net_own_bytes(net);
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        n += net->far[i]->bytes;
    }
    return net->owner == NULL ? n : n + net_others_bytes(net);
}

uint64_t net_memory(const struct stoq_net *net)
{
    return net_room_bytes(net->room) + net_all_bytes(net);
}

struct net_far *net_far_of(const struct stoq_net *net, stoq_net_conn conn)
{
    size_t thread = (conn & ~NET_FAR_BIT) >> NET_FAR_SHIFT;
    return (conn & NET_FAR_BIT) == 0 || thread >= STOQ_NET_THREADS_MAX ? NULL : net->far[thread];
}

void net_random(struct stoq_net *net, void *p, size_t n)
{
    net->cfg.entropy(net->cfg.entropy_user, p, n);
}

void net_mark_dirty(struct net_conn *conn)
{
    if (!conn->dirty) {
        conn->dirty = true;
        TAILQ_INSERT_TAIL(&conn->net->dirty, conn, dirty_link);
    }
}

/* A deadline so near is waited for without a timer: after a burst to a near peer the next is due in a few
 * microseconds. */
#define SOON_NS (20 * 1000)

/*
 * Setting a timer costs up to 20 us on a virtual machine, and nearly every packet moves some deadline
 * a little further away. So it is only ever moved forward in time; one that fires early finds nothing
 * due and is set anew.
 */
static void arm_timer(struct stoq_net *net, stoq_ns deadline)
{
    if (deadline < net->armed_at) {
        net->armed_at = deadline;
        stoq_timer_set(net->timer, deadline);
    }
}

/* Watch the blocked sockets for room; true when some are. */
static bool watch_blocked(struct stoq_net *net)
{
    bool blocked = false;
    for (size_t i = 0; i < net->listener_count; i++) {
        struct net_listener *l = &net->listeners[i];
        blocked = blocked || l->socket.blocked;
        stoq_watch_set(l->watch, (net->reading ? STOQ_LOOP_READ : 0U) |
                                     (l->socket.blocked ? STOQ_LOOP_WRITE : 0U));
    }
    return blocked;
}

void net_flush_all(struct stoq_net *net)
{
    struct net_conn *conn;
    net->turn++;
    /* One that marks itself again while being flushed waits for the next turn. */
    while ((conn = TAILQ_FIRST(&net->dirty)) != NULL && conn->turn != net->turn) {
        TAILQ_REMOVE(&net->dirty, conn, dirty_link);
        conn->dirty = false;
        conn->turn = net->turn;
        net_conn_flush(conn);
    }
    (void)net_tx_flush(&net->tx);
}

stoq_ns net_deadline(const struct stoq_net *net)
{
    const struct stoq_heap_node *top = stoq_heap_top(&net->deadlines);
    stoq_ns rpc = net_rpc_deadline(net);
    return top == NULL || rpc < top->key ? rpc : top->key;
}

static void on_before_wait(void *user)
{
    struct stoq_net *net = user;
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        net_far_send_commands(net->far[i]);
    }
    net->now = net->clock(net->clock_user);
    net_run_deadlines(net);
    bool blocked = net->tx.socket != NULL && net->tx.socket->blocked;
    if (!blocked) {
        net_flush_all(net);
    }
    if (net->threads != NULL) {
        net_share_figures(net);
    }
    blocked = watch_blocked(net);
    stoq_ns deadline = net_deadline(net);
    if (!blocked && (!TAILQ_EMPTY(&net->dirty) || deadline <= net->now + SOON_NS)) {
        stoq_loop_again(net->cfg.loop);
    } else {
        arm_timer(net, deadline);
    }
}

void net_run_deadlines(struct stoq_net *net)
{
    net_rpc_run_deadlines(net);
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&net->deadlines)) != NULL && top->key <= net->now) {
        struct net_conn *conn = (struct net_conn *)top;
        if (conn->q == NULL) {
            net_conn_discard(conn);
            continue;
        }
        int rv = ngtcp2_conn_handle_expiry(conn->q, net_conn_now(conn));
        if (rv != 0) {
            net_conn_error(conn, rv);
            continue;
        }
        /* Its next deadline is known after the flush; until then it must not come up again. */
        stoq_heap_put(&net->deadlines, &conn->timer, STOQ_NEVER);
        net_mark_dirty(conn);
    }
}

static void on_timer(void *user)
{
    struct stoq_net *net = user;
    net->armed_at = STOQ_NEVER;
    net->now = net->clock(net->clock_user);
    net_run_deadlines(net);
}

static void on_socket(void *user, unsigned events)
{
    struct net_listener *l = user;
    struct stoq_net *net = l->net;
    if ((events & STOQ_LOOP_WRITE) != 0) {
        (void)net_tx_flush(&net->tx);
    }
    if ((events & STOQ_LOOP_READ) == 0) {
        return;
    }
    for (int round = 0; round < RECEIVES_PER_TURN; round++) {
        size_t got = net_rx_receive(&net->rx, &l->socket);
        net->now = net->clock(net->clock_user);
        net->stats.receives++;
        for (size_t i = 0; i < got; i++) {
            net_receive(net, &l->socket, &net->rx.v[i]);
        }
        if (got < NET_RX_BATCH) {
            return;
        }
    }
}

/* The kernel would not send for a connection: fatal while it is still being dialled. */
static void on_send_failed(void *user, uint64_t tag, int error)
{
    struct stoq_net *net = user;
    struct net_conn *conn = net_conn_find(net, tag);
    if (conn != NULL && conn->state == NET_HANDSHAKE && !conn->inbound) {
        conn->unreachable = error;
        net_mark_dirty(conn);
    }
}

static enum stoq_status listen_on(struct stoq_net *net, const struct stoq_addr *addr, bool v6_only,
                                  struct stoq_error *err)
{
    struct net_listener *l = &net->listeners[net->listener_count];
    STOQ_ASSERT(net->listener_count < STOQ_COUNT(net->listeners));
    bool shared = net->owner != NULL && addr->port != 0;
    enum stoq_status st =
        net_socket_open(&l->socket, addr, v6_only, shared, net->cfg.socket_buffer_bytes, err);
    if (st != STOQ_OK) {
        return st;
    }
    l->net = net;
    st = stoq_watch_new(&l->watch, net->cfg.loop, l->socket.fd, on_socket, l, err);
    if (st != STOQ_OK) {
        net_socket_close(&l->socket);
        return st;
    }
    stoq_watch_set(l->watch, STOQ_LOOP_READ);
    net->listener_count++;
    return STOQ_OK;
}

struct net_socket *net_socket_for(struct stoq_net *net, const struct stoq_addr *addr,
                                  struct stoq_error *err)
{
    static const struct stoq_addr any;
    for (size_t i = 0; i < net->listener_count; i++) {
        if (net_socket_reaches(&net->listeners[i].socket, addr)) {
            return &net->listeners[i].socket;
        }
    }
    if (net->listener_count == STOQ_COUNT(net->listeners) ||
        listen_on(net, &any, false, err) != STOQ_OK) {
        return NULL;
    }
    return &net->listeners[net->listener_count - 1].socket;
}

/* An IPv4 address among those to listen on takes IPv4 away from [::] on the same port. */
static bool v4_too(const struct stoq_net_config *cfg)
{
    for (size_t i = 0; i < cfg->listen_count; i++) {
        if (stoq_addr_is_v4(&cfg->listen[i])) {
            return true;
        }
    }
    return false;
}

static enum stoq_status listen_all(struct stoq_net *net, const struct stoq_net_config *cfg,
                                   struct stoq_error *err)
{
    static const struct stoq_addr any;
    net->accepting = cfg->listen_count > 0;
    if (cfg->listen_count == 0) {
        return listen_on(net, &any, false, err);
    }
    for (size_t i = 0; i < cfg->listen_count; i++) {
        enum stoq_status st = listen_on(net, &cfg->listen[i], v4_too(cfg), err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if (c->field == 0) {                                                                       \
            c->field = value;                                                                      \
        }                                                                                          \
    } while (0)

static void fill_defaults(struct stoq_net_config *c)
{
    DEFAULT(connections_max, 4096);
    DEFAULT(connections_prefix_max, (c->connections_max + 1) / 2);
    DEFAULT(handshakes_max, 256);
    DEFAULT(handshakes_prefix_max, 64);
    DEFAULT(handshakes_per_s, 500);
    DEFAULT(streams_max, 128);
    DEFAULT(stream_window_bytes, 4 * STOQ_MIB);
    DEFAULT(conn_window_bytes, 24 * STOQ_MIB);
    DEFAULT(send_buffer_bytes, 32 * STOQ_MIB);
    DEFAULT(memory_bytes, STOQ_GIB);
    DEFAULT(packet_bytes_max, 32700);
    DEFAULT(socket_buffer_bytes, 8U << 20);
    DEFAULT(handshake_timeout_ns, 5 * STOQ_SEC);
    DEFAULT(idle_timeout_ns, 30 * STOQ_SEC);
    DEFAULT(entropy, kernel_entropy);
    DEFAULT(threads, 1);
}

/* First packets come to the threads evenly: each may begin its part of the handshakes. */
static void share_handshakes(struct stoq_net_config *c)
{
    unsigned n = c->threads;
    c->handshakes_max = (c->handshakes_max + n - 1) / n;
    c->handshakes_prefix_max = (c->handshakes_prefix_max + n - 1) / n;
    c->handshakes_per_s = (c->handshakes_per_s + n - 1) / n;
}

static enum stoq_status check_config(const struct stoq_net_config *c, struct stoq_error *err)
{
    STOQ_ASSERT(c->loop != NULL && c->key != NULL && c->cb.opened != NULL && c->cb.closed != NULL &&
                c->cb.data != NULL);
    if (c->listen_count > STOQ_NET_LISTEN_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "at most %d addresses to listen on",
                         STOQ_NET_LISTEN_MAX);
    }
    if (c->packet_bytes_max < NGTCP2_MAX_UDP_PAYLOAD_SIZE || c->packet_bytes_max > 65000) {
        return stoq_fail(err, STOQ_RANGE, 0, "packets hold 1200 to 65000 bytes");
    }
    if (c->connections_max > UINT32_MAX / 2) {
        return stoq_fail(err, STOQ_RANGE, 0, "too many connections");
    }
    if (c->threads > STOQ_NET_THREADS_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "at most %d network threads", STOQ_NET_THREADS_MAX);
    }
    return STOQ_OK;
}

/* ngtcp2's helper fetches its ciphers once per process, or else anew for every packet. */
static void init_crypto(void)
{
    (void)ngtcp2_crypto_ossl_init();
}

static enum stoq_status init_parts(struct stoq_net *net, struct stoq_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t seeds[3];
    (void)pthread_once(&once, init_crypto);
    net_random(net, seeds, sizeof seeds);
    net_random(net, net->retry_secret, sizeof net->retry_secret);
    net->guard = calloc(1, sizeof *net->guard);
    if (!net_tls_secret(net->cfg.key, "stoq net reset v1", net->reset_secret) ||
        net->guard == NULL || net_cids_init(&net->cids, seeds + 1) != STOQ_OK ||
        net_cids_init(&net->tokens, seeds + 1) != STOQ_OK || net_rx_init(&net->rx) != STOQ_OK ||
        net_tx_init(&net->tx) != STOQ_OK) {
        return stoq_fail(err, STOQ_NOMEM, 0, "transport: out of memory");
    }
    net->tx.failed = on_send_failed;
    net->tx.user = net;
    net_guard_init(net->guard, seeds[0], net->cfg.handshakes_per_s, net->cfg.handshakes_max,
                   net->cfg.handshakes_prefix_max);
    enum stoq_status st = STOQ_OK;
    if (net->owner != NULL) {
        net_tls_borrow(&net->tls, &net->owner->tls); /* a ticket is good on every thread */
    } else {
        st = net_tls_init(&net->tls, net->cfg.mode, net->cfg.early_data, net->cfg.key,
                          &net_tls_owner, err);
    }
    if (st == STOQ_OK && net->cfg.early_data) {
        st = net_tickets_init(&net->tickets);
    }
    if (st == STOQ_OK && net->private) {
        st = net_replay_init(&net->replay, NET_REPLAY_HALF, net_member_now(net));
    }
    if (st == STOQ_OK) {
        st = net_rpc_init(net);
    }
    if (st == STOQ_OK) {
        st = stoq_timer_new(&net->timer, net->cfg.loop, on_timer, net, err);
    }
    return st;
}

/* One endpoint on cfg's loop. cfg has its defaults. */
static enum stoq_status endpoint_new(struct stoq_net **out, const struct stoq_net_config *cfg,
                                     struct stoq_net *owner, unsigned thread,
                                     struct stoq_error *err)
{
    struct stoq_net *net = calloc(1, sizeof *net);
    if (net == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "transport: out of memory");
    }
    net->cfg = *cfg;
    net->cfg.listen = NULL;
    net->cfg.network_key = NULL;
    net->owner = owner;
    net->thread = thread;
    net->reading = true;
    net->room = &net->own_room;
    if (owner != NULL) {
        net->room = owner->room;
        memcpy(net->network_mac, owner->network_mac, sizeof net->network_mac);
        memcpy(net->network_psk, owner->network_psk, sizeof net->network_psk);
        net->private = owner->private;
        net->threads = owner->threads;
    } else if (cfg->network_key != NULL) {
        net_member_key(net, cfg->network_key);
    }
    if (owner == NULL) {
        uint64_t seed;
        net_random(net, &seed, sizeof seed);
        net_room_init(net->room, cfg->connections_max, cfg->connections_prefix_max,
                      cfg->memory_bytes, seed);
    }
    net->clock = real_clock;
    net->wall = real_wall;
    net->self = stoq_key_peer_id(cfg->key);
    net->armed_at = STOQ_NEVER;
    net->now = stoq_now();
    TAILQ_INIT(&net->dirty);
    TAILQ_INIT(&net->unfinished);
    enum stoq_status st = init_parts(net, err);
    if (st == STOQ_OK) {
        st = listen_all(net, cfg, err);
    }
    if (st != STOQ_OK) {
        stoq_net_free(net);
        return st;
    }
    if (net->threads != NULL) {
        net_share_begin(net);
    }
    net->hook = (struct stoq_hook){.run = on_before_wait, .user = net};
    stoq_loop_before_wait(cfg->loop, &net->hook);
    *out = net;
    return STOQ_OK;
}

enum stoq_status net_new_beside(struct stoq_net **out, const struct stoq_net_config *cfg,
                                struct stoq_net *owner, unsigned thread, struct stoq_error *err)
{
    return endpoint_new(out, cfg, owner, thread, err);
}

/* The owner's sockets are bound: let the other threads bind theirs beside them, steer, begin. */
static enum stoq_status start_threads(struct stoq_net *net, struct stoq_error *err)
{
    enum stoq_status st = STOQ_OK;
    net->threads = net_threads_new(net->cfg.threads);
    if (net->threads == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "transport: out of memory");
    }
    net_share_begin(net);
    for (size_t i = 0; i < net->listener_count; i++) {
        net_socket_share(&net->listeners[i].socket);
    }
    for (unsigned i = 1; st == STOQ_OK && i < net->cfg.threads; i++) {
        st = net_far_start(&net->far[i], net, i, err);
    }
    for (size_t i = 0; st == STOQ_OK && net->accepting && i < net->listener_count; i++) {
        st = net_steer(&net->listeners[i].socket, net->cfg.threads, err);
    }
    for (unsigned i = 1; st == STOQ_OK && i < net->cfg.threads; i++) {
        st = net_far_run(net->far[i], err);
    }
    return st;
}

enum stoq_status stoq_net_new(struct stoq_net **out, const struct stoq_net_config *cfg,
                              struct stoq_error *err)
{
    struct stoq_net_config c = *cfg;
    fill_defaults(&c);
    enum stoq_status st = check_config(&c, err);
    if (st != STOQ_OK) {
        return st;
    }
    share_handshakes(&c);
    struct stoq_net *net = NULL;
    st = endpoint_new(&net, &c, NULL, 0, err);
    if (net != NULL && c.threads > 1) {
        st = start_threads(net, err);
        if (st != STOQ_OK) {
            stoq_net_free(net);
        }
    }
    if (st == STOQ_OK) {
        *out = net;
    }
    return st;
}

enum stoq_status stoq_net_can_listen(const struct stoq_addr *addr, struct stoq_error *err)
{
    struct net_socket s;
    enum stoq_status st = net_socket_open(&s, addr, false, false, 0, err);
    if (st == STOQ_OK) {
        net_socket_close(&s);
    }
    return st;
}

static void end_all(struct stoq_net *net)
{
    for (size_t i = 0; i < net->slot_count; i++) {
        struct net_conn *conn = net->slots[i].conn;
        if (conn != NULL) {
            conn->code = net->cfg.leave_code;
            net_conn_blame(conn, STOQ_NET_LOCAL, "going away");
            net_conn_end(conn, NET_SAY);
        }
    }
    struct stoq_heap_node *top;
    while ((top = stoq_heap_top(&net->deadlines)) != NULL) {
        net_conn_discard((struct net_conn *)top);
    }
    (void)net_tx_flush(&net->tx);
}

/* Halt all of them before the first is freed: they hand packets to each other. */
static void end_threads(struct stoq_net *net)
{
    for (size_t i = 1; i < STOQ_COUNT(net->far); i++) {
        if (net->far[i] != NULL) {
            net_far_halt(net->far[i]);
        }
    }
    for (size_t i = 1; i < STOQ_COUNT(net->far); i++) {
        net_far_free(net->far[i]);
        net->far[i] = NULL;
    }
    if (net->threads != NULL) {
        net_share_end(net);
    }
}

void stoq_net_free(struct stoq_net *net)
{
    if (net == NULL) {
        return;
    }
    net_room_shut(net->room); /* no dials from callbacks now */
    end_threads(net);
    net->now = net->clock(net->clock_user);
    end_all(net);
    net_rpc_release(net);
    net_tickets_release(&net->tickets);
    stoq_loop_unhook(net->cfg.loop, &net->hook);
    for (size_t i = 0; i < net->listener_count; i++) {
        stoq_watch_free(net->listeners[i].watch);
        net_socket_close(&net->listeners[i].socket);
    }
    stoq_timer_free(net->timer);
    net_tls_release(&net->tls);
    net_tx_release(&net->tx);
    net_rx_release(&net->rx);
    net_cids_release(&net->cids);
    net_cids_release(&net->tokens);
    stoq_heap_release(&net->deadlines);
    if (net->owner == NULL) {
        net_threads_free(net->threads);
        net_room_release(net->room);
    }
    net_replay_release(&net->replay);
    free(net->guard);
    free(net->slots);
    free(net);
}

bool stoq_net_local_addr(const struct stoq_net *net, size_t i, struct stoq_addr *out)
{
    if (i >= net->listener_count) {
        return false;
    }
    *out = net->listeners[i].socket.local;
    return true;
}

/*
 * Which thread a dial of ours goes to: the one with the fewest connections, of equals the last, since
 * the first does more than packets. NULL: the first. Whether early data can be used must be known when
 * the dial returns: with it all go there.
 */
static struct net_far *thread_for_dial(const struct stoq_net *net)
{
    struct net_far *best = NULL;
    size_t least = net->live;
    for (size_t i = 1; i < STOQ_COUNT(net->far) && !net->cfg.early_data; i++) {
        if (net->far[i] != NULL && net->far[i]->conns.count <= least) {
            best = net->far[i];
            least = best->conns.count;
        }
    }
    return best;
}

enum stoq_status net_dial_here(struct stoq_net *net, const struct stoq_net_dial *dial,
                               stoq_net_conn *out)
{
    struct net_conn *conn;
    net->now = net->clock(net->clock_user);
    enum stoq_status st = net_conn_dial(net, dial, &conn);
    if (st == STOQ_OK) {
        *out = conn->id;
    }
    return st;
}

enum stoq_status stoq_net_dial(struct stoq_net *net, const struct stoq_net_dial *dial,
                               stoq_net_conn *out)
{
    if (dial->addr.port == 0 || (net->private && dial->pin == NULL)) {
        return STOQ_RANGE;
    }
    if (net_room_enter(net->room) != NET_ROOM_TAKEN) {
        return STOQ_FULL;
    }
    struct net_far *far = thread_for_dial(net);
    return far != NULL ? net_far_dial(far, dial, out) : net_dial_here(net, dial, out);
}

void stoq_net_close(struct stoq_net *net, stoq_net_conn conn, uint64_t code, const char *text)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_close(far, conn, code, text);
        return;
    }
    struct net_conn *c = net_conn_find(net, conn);
    if (c == NULL || c->close_asked || c->failed) {
        return;
    }
    char clean[STOQ_NET_CLOSE_TEXT_MAX];
    const char *t = text == NULL ? "" : text;
    net_copy_printable(clean, sizeof clean, t, strlen(t));
    c->close_asked = true;
    c->code = code;
    net_conn_blame(c, STOQ_NET_LOCAL, clean);
    net_mark_dirty(c);
}

void stoq_net_keep_alive(struct stoq_net *net, stoq_net_conn conn, stoq_ns after_ns)
{
    struct net_far *far = net_far_of(net, conn);
    if (far != NULL) {
        net_far_keep_alive(far, conn, after_ns);
        return;
    }
    struct net_conn *c = net_conn_open(net, conn);
    if (c != NULL) {
        ngtcp2_conn_set_keep_alive_timeout(c->q, after_ns == 0 ? UINT64_MAX : after_ns);
        net_mark_dirty(c);
    }
}
