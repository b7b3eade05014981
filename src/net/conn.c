/* Connections from their first packet to their last: numbers, settings, memory. */
#include "net/net_internal.h"

#include "hash/hash.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_PATH_NS (5 * STOQ_MS)
#define STREAM_WINDOW_START STOQ_MIB
#define CONN_WINDOW_START (4 * STOQ_MIB)
#define NEAR_WINDOW (6 * STOQ_MIB) /* 10 Gb/s at 5 ms; so much at most is lost when we are killed */
/* Packets until one is acknowledged at once. Fewer than the ten that a connection may begin with, or its
 * sender would wait; more than two, since each acknowledgement wakes a sender that others of this machine
 * wait for. */
#define LOOPBACK_ACK_PACKETS 8
#define STRANGER_WINDOW_MIN (64 * STOQ_KIB) /* one frame fits */

/* Payload sizes path-MTU discovery tries, up to the configured largest: Ethernet over IPv6, jumbo
 * frames, then fractions of a loopback's 64 KiB. ngtcp2's own list ends at the first. */
static const uint16_t probe_sizes[] = {1452, 8952, 16336, 32700, 65000};

struct net_conn *net_conn_find(const struct stoq_net *net, stoq_net_conn id)
{
    uint32_t index = (uint32_t)id;
    if (index == 0 || index > net->slot_count) {
        return NULL;
    }
    const struct net_slot *slot = &net->slots[index - 1];
    return slot->generation == (uint32_t)(id >> 32) ? slot->conn : NULL;
}

struct net_conn *net_conn_open(const struct stoq_net *net, stoq_net_conn id)
{
    struct net_conn *conn = net_conn_find(net, id);
    if (conn == NULL || conn->close_asked || conn->failed) {
        return NULL;
    }
    bool early = conn->state == NET_HANDSHAKE && conn->early;
    return conn->state == NET_OPEN || early ? conn : NULL;
}

static enum stoq_status grow_slots(struct stoq_net *net)
{
    size_t count = net->slot_count == 0 ? 16 : net->slot_count * 2;
    struct net_slot *slots = realloc(net->slots, count * sizeof *slots);
    if (slots == NULL) {
        return STOQ_NOMEM;
    }
    for (size_t i = count; i > net->slot_count; i--) {
        slots[i - 1] = (struct net_slot){.generation = 1, .next_free = net->free_slot};
        net->free_slot = (uint32_t)i;
    }
    net->slots = slots;
    net->slot_count = count;
    return STOQ_OK;
}

static enum stoq_status take_slot(struct stoq_net *net, struct net_conn *conn)
{
    if (net->free_slot == 0 && grow_slots(net) != STOQ_OK) {
        return STOQ_NOMEM;
    }
    struct net_slot *slot = &net->slots[net->free_slot - 1];
    conn->id = (uint64_t)slot->generation << 32 | net->free_slot;
    net->free_slot = slot->next_free;
    slot->conn = conn;
    net->live++;
    return STOQ_OK;
}

static void give_slot_back(struct net_conn *conn)
{
    struct stoq_net *net = conn->net;
    if (conn->id == 0) {
        return;
    }
    uint32_t index = (uint32_t)conn->id;
    struct net_slot *slot = &net->slots[index - 1];
    slot->conn = NULL;
    conn->id = 0;
    net->live--;
    net_room_leave(net->room);
    slot->generation++;
    if (slot->generation <
        1U << 31) { /* worn out: numbers are never given twice, the top bit is another's */
        slot->next_free = net->free_slot;
        net->free_slot = index;
    }
}

void net_new_cid(struct stoq_net *net, ngtcp2_cid *cid)
{
    cid->datalen = NET_CID_BYTES;
    net_random(net, cid->data, NET_CID_BYTES);
    cid->data[0] = (uint8_t)net->thread;
}

void net_reset_token(struct stoq_net *net, const ngtcp2_cid *cid, uint8_t *token)
{
    STOQ_ASSERT(ngtcp2_crypto_generate_stateless_reset_token(token, net->reset_secret,
                                                             NET_SECRET_BYTES, cid) == 0);
}

ngtcp2_tstamp net_conn_now(struct net_conn *conn)
{
    if (conn->net->now > conn->last_ts) {
        conn->last_ts = conn->net->now;
    }
    return conn->last_ts;
}

void net_conn_set_timer(struct net_conn *conn)
{
    stoq_ns at = ngtcp2_conn_get_expiry(conn->q);
    stoq_ns yields = net_yield_at(conn);
    stoq_heap_put(&conn->net->deadlines, &conn->timer, yields < at ? yields : at);
}

stoq_ns net_conn_min_rtt(const struct net_conn *conn)
{
    ngtcp2_conn_info info;
    if (!conn->opened) {
        return 0;
    }
    ngtcp2_conn_get_conn_info(conn->q, &info);
    return info.min_rtt == UINT64_MAX ? 0 : info.min_rtt;
}

static ngtcp2_conn *conn_of_ref(ngtcp2_crypto_conn_ref *ref)
{
    struct net_conn *conn = ref->user_data;
    return conn->q;
}

/* A place in the room was taken for one that is not to be. */
static void give_place_back(struct stoq_net *net)
{
    net_room_leave(net->room);
    net_room_forget(net->room);
}

static struct net_conn *conn_new(struct stoq_net *net, struct net_socket *socket,
                                 const struct stoq_addr *local, const struct stoq_addr *remote)
{
    struct net_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL ||
        stoq_heap_reserve(&net->deadlines, net->live + net->closing + 1) != STOQ_OK ||
        take_slot(net, conn) != STOQ_OK) {
        free(conn);
        give_place_back(net);
        return NULL;
    }
    conn->net = net;
    conn->socket = socket;
    conn->local = *local;
    conn->remote = *remote;
    conn->prefix = stoq_addr_prefix(remote);
    conn->group = "";
    conn->last_ts = net->now;
    conn->ref = (ngtcp2_crypto_conn_ref){conn_of_ref, conn};
    TAILQ_INIT(&conn->streams);
    for (size_t i = 0; i < STOQ_COUNT(conn->ready); i++) {
        TAILQ_INIT(&conn->ready[i]);
    }
    return conn;
}

static ngtcp2_cc_algo choose_cc(struct net_conn *conn, stoq_ns min_rtt_ns)
{
    enum stoq_net_cc cc = conn->net->cfg.cc;
    conn->unpaced = cc == STOQ_NET_CC_AUTO && stoq_addr_is_loopback(&conn->remote);
    conn->near = stoq_addr_is_loopback(&conn->remote) || stoq_addr_is_link_local(&conn->remote) ||
                 (min_rtt_ns != 0 && min_rtt_ns < SHORT_PATH_NS);
    if (cc == STOQ_NET_CC_AUTO) {
        cc = conn->near ? STOQ_NET_CC_CUBIC : STOQ_NET_CC_BBR;
    }
    conn->cc = stoq_net_cc_str(cc);
    return cc == STOQ_NET_CC_CUBIC ? NGTCP2_CC_ALGO_CUBIC : NGTCP2_CC_ALGO_BBR;
}

/* The probes up to max, and max itself; returns their count. */
static size_t choose_probes(uint16_t probes[STOQ_COUNT(probe_sizes) + 1], uint16_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < STOQ_COUNT(probe_sizes) && probe_sizes[i] < max; i++) {
        probes[n++] = probe_sizes[i];
    }
    if (max > NGTCP2_MAX_UDP_PAYLOAD_SIZE) {
        probes[n++] = max;
    }
    return n;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void fill_settings(struct net_conn *conn, ngtcp2_settings *s, stoq_ns timeout_ns,
                          stoq_ns min_rtt_ns)
{
    const struct stoq_net_config *cfg = &conn->net->cfg;
    ngtcp2_settings_default(s);
    s->cc_algo = choose_cc(conn, min_rtt_ns);
    s->initial_ts = conn->last_ts;
    s->handshake_timeout = timeout_ns;
    s->rand_ctx.native_handle = conn->net;
    s->max_tx_udp_payload_size = cfg->packet_bytes_max;
    s->no_pmtud = cfg->packet_bytes_max <= NGTCP2_MAX_UDP_PAYLOAD_SIZE;
    s->max_stream_window = cfg->stream_window_bytes;
    s->ack_thresh = conn->unpaced ? LOOPBACK_ACK_PACKETS : s->ack_thresh;
    s->max_window =
        conn->near ? least(cfg->conn_window_bytes, NEAR_WINDOW) : cfg->conn_window_bytes;
}

/*
 * How much a connection may send before we have consumed any of it. Whoever dials us asks: frames, each
 * consumed as it comes. So its window begins small, such that even if everybody sends it with a gap in
 * front, to be kept until the gap is filled, half of the memory allowed is left. It grows as it is used.
 */
static uint64_t window_start(const struct net_conn *conn)
{
    const struct stoq_net_config *cfg = &conn->net->cfg;
    uint64_t window = CONN_WINDOW_START;
    if (conn->inbound) {
        window = cfg->memory_bytes / 2 / cfg->connections_max;
        window = window < STRANGER_WINDOW_MIN ? STRANGER_WINDOW_MIN : window;
        window = least(window, CONN_WINDOW_START);
    }
    return least(cfg->conn_window_bytes, window);
}

static void fill_params(const struct net_conn *conn, ngtcp2_transport_params *p)
{
    const struct stoq_net_config *cfg = &conn->net->cfg;
    ngtcp2_transport_params_default(p);
    p->initial_max_stream_data_bidi_local = least(cfg->stream_window_bytes, STREAM_WINDOW_START);
    p->initial_max_stream_data_bidi_remote = p->initial_max_stream_data_bidi_local;
    p->initial_max_data = window_start(conn);
    p->initial_max_streams_bidi = cfg->streams_max;
    p->initial_max_streams_uni = 0;
    p->max_idle_timeout = cfg->idle_timeout_ns;
    p->active_connection_id_limit = 4;
}

/* The kernel's forms behind an ngtcp2_path must outlive its use. */
struct path_memory {
    struct sockaddr_in6 local;
    struct sockaddr_in6 remote;
};

static ngtcp2_path path_of(struct net_conn *conn, struct path_memory *m)
{
    m->local = stoq_addr_to_in6(&conn->local);
    m->remote = stoq_addr_to_in6(&conn->remote);
    return (ngtcp2_path){.local = {(ngtcp2_sockaddr *)&m->local, sizeof m->local},
                         .remote = {(ngtcp2_sockaddr *)&m->remote, sizeof m->remote},
                         .user_data = conn->socket};
}

/* TLS for a connection whose ngtcp2 half exists. */
static bool attach_tls(struct net_conn *conn)
{
    conn->ssl = net_tls_new(&conn->net->tls, conn->inbound, &conn->ref);
    if (conn->ssl == NULL || ngtcp2_crypto_ossl_ctx_new(&conn->ossl, conn->ssl) != 0) {
        return false;
    }
    ngtcp2_conn_set_tls_native_handle(conn->q, conn->ossl);
    if (!conn->inbound) {
        net_ticket_use(conn);
    }
    if (conn->net->cfg.keep_alive_ns != 0) {
        ngtcp2_conn_set_keep_alive_timeout(conn->q, conn->net->cfg.keep_alive_ns);
    }
    return true;
}

static bool route(struct net_conn *conn, const ngtcp2_cid *cid)
{
    return net_cids_add(&conn->net->cids, &conn->cids, conn, stoq_span(cid->data, cid->datalen)) ==
           STOQ_OK;
}

static bool start_client(struct net_conn *conn, const struct stoq_net_dial *dial)
{
    ngtcp2_callbacks cb;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    uint16_t probes[STOQ_COUNT(probe_sizes) + 1];
    struct path_memory memory;
    ngtcp2_path path = path_of(conn, &memory);
    ngtcp2_cid dcid = {.datalen = 16};
    ngtcp2_cid scid;
    net_callbacks(&cb, false);
    fill_settings(conn, &settings,
                  dial->timeout_ns == 0 ? conn->net->cfg.handshake_timeout_ns : dial->timeout_ns,
                  dial->min_rtt_ns);
    settings.pmtud_probes = probes;
    settings.pmtud_probeslen = choose_probes(probes, conn->net->cfg.packet_bytes_max);
    fill_params(conn, &params);
    net_random(conn->net, dcid.data, dcid.datalen);
    net_new_cid(conn->net, &scid);
    uint8_t member[NET_MEMBER_BYTES];
    if (conn->net->private) {
        net_member_token(conn->net, &conn->pin, net_member_now(conn->net), &dcid, &scid, member);
        settings.token = member;
        settings.tokenlen = sizeof member;
        settings.token_type = NGTCP2_TOKEN_TYPE_NEW_TOKEN;
    }
    return ngtcp2_conn_client_new(&conn->q, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &cb,
                                  &settings, &params, NULL, conn) == 0 &&
           route(conn, &scid) && attach_tls(conn);
}

enum stoq_status net_conn_dial(struct stoq_net *net, const struct stoq_net_dial *dial,
                               struct net_conn **out)
{
    struct stoq_error err = {0};
    struct net_socket *socket = net_socket_for(net, &dial->addr, &err);
    if (socket == NULL) {
        give_place_back(net);
        return err.status;
    }
    struct net_conn *conn = conn_new(net, socket, &socket->local, &dial->addr);
    if (conn == NULL) {
        return STOQ_NOMEM;
    }
    if (dial->pin != NULL) {
        conn->pinned = true;
        conn->pin = *dial->pin;
    }
    if (!start_client(conn, dial)) {
        net_conn_discard(conn);
        return STOQ_NOMEM;
    }
    net_conn_set_timer(conn);
    net_mark_dirty(conn);
    *out = conn;
    return STOQ_OK;
}

static bool start_server(struct net_conn *conn, const ngtcp2_pkt_hd *hd, const ngtcp2_cid *odcid)
{
    ngtcp2_callbacks cb;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    uint16_t probes[STOQ_COUNT(probe_sizes) + 1];
    struct path_memory memory;
    ngtcp2_path path = path_of(conn, &memory);
    ngtcp2_cid scid;
    net_callbacks(&cb, true);
    fill_settings(conn, &settings, conn->net->cfg.handshake_timeout_ns, 0);
    settings.pmtud_probes = probes;
    settings.pmtud_probeslen = choose_probes(probes, conn->net->cfg.packet_bytes_max);
    fill_params(conn, &params);
    params.original_dcid = odcid == NULL ? hd->dcid : *odcid;
    params.original_dcid_present = 1;
    if (odcid != NULL) {
        params.retry_scid = hd->dcid;
        params.retry_scid_present = 1;
        settings.token = hd->token;
        settings.tokenlen = hd->tokenlen;
        settings.token_type = NGTCP2_TOKEN_TYPE_RETRY;
    }
    net_new_cid(conn->net, &scid);
    net_reset_token(conn->net, &scid, params.stateless_reset_token);
    params.stateless_reset_token_present = 1;
    return ngtcp2_conn_server_new(&conn->q, &hd->scid, &scid, &path, hd->version, &cb, &settings,
                                  &params, NULL, conn) == 0 &&
           route(conn, &scid) && route(conn, &hd->dcid) && attach_tls(conn);
}

struct net_conn *net_conn_accept(struct stoq_net *net, struct net_socket *socket,
                                 const struct net_datagram *d, const ngtcp2_pkt_hd *hd,
                                 const ngtcp2_cid *odcid)
{
    struct net_conn *conn = conn_new(net, socket, &d->to, &d->from);
    if (conn == NULL) {
        return NULL;
    }
    conn->inbound = true;
    if (!start_server(conn, hd, odcid)) {
        net_conn_discard(conn);
        return NULL;
    }
    net_conn_set_timer(conn);
    return conn;
}

static void free_tls(struct net_conn *conn)
{
    if (conn->complete && conn->ssl != NULL) {
        SSL_set_shutdown(conn->ssl,
                         SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* keeps its tickets good */
    }
    if (conn->ossl != NULL) {
        ngtcp2_crypto_ossl_ctx_del(conn->ossl);
        conn->ossl = NULL;
    }
    SSL_free(conn->ssl);
    conn->ssl = NULL;
}

void net_conn_drop_tls(struct net_conn *conn)
{
    SSL_set_app_data(conn->ssl, NULL);
    ngtcp2_conn_set_tls_native_handle(conn->q, NULL);
    free_tls(conn);
}

void net_conn_count(struct net_conn *conn)
{
    conn->counted = true;
    conn->begun_at = conn->net->now;
    TAILQ_INSERT_TAIL(&conn->net->unfinished, conn, unfinished_link);
}

void net_conn_uncount(struct net_conn *conn)
{
    if (conn->counted) {
        net_guard_leave(conn->net->guard, conn->prefix);
        TAILQ_REMOVE(&conn->net->unfinished, conn, unfinished_link);
        conn->counted = false;
    }
}

bool net_conn_settle(struct net_conn *conn)
{
    net_conn_uncount(conn);
    if (!conn->inbound || conn->settled) {
        return true;
    }
    conn->settled = net_room_settle(conn->net->room, conn->prefix);
    if (!conn->settled) { /* others of its prefix came in while it shook hands */
        conn->net->stats.dropped_crowded++;
        conn->code = NGTCP2_CONNECTION_REFUSED;
        net_conn_blame(conn, STOQ_NET_REFUSED, NET_CROWDED_TEXT);
    }
    return conn->settled;
}

void net_conn_strip(struct net_conn *conn)
{
    net_streams_release(conn);
    net_cids_clear(&conn->net->tokens, &conn->tokens);
    if (conn->ssl != NULL) {
        SSL_set_app_data(conn->ssl, NULL);
    }
    ngtcp2_conn_del(conn->q);
    conn->q = NULL;
    conn->net->unconsumed -= conn->unconsumed;
    conn->unconsumed = 0;
    free_tls(conn);
    net_conn_uncount(conn);
    if (conn->settled) {
        net_room_unsettle(conn->net->room, conn->prefix);
        conn->settled = false;
    }
    give_slot_back(conn);
}

void net_conn_discard(struct net_conn *conn)
{
    struct stoq_net *net = conn->net;
    if (conn->state == NET_CLOSING || conn->state == NET_DRAINING) {
        net->closing--;
    }
    net_conn_strip(conn);
    net_cids_clear(&net->cids, &conn->cids);
    stoq_heap_remove(&net->deadlines, &conn->timer);
    if (conn->dirty) {
        TAILQ_REMOVE(&net->dirty, conn, dirty_link);
    }
    free(conn->text);
    free(conn->goodbye);
    free(conn);
    net_room_forget(net->room);
}
