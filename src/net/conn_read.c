/*
 * Packets in. A packet belongs to the connection its destination id names. A stranger's first packet
 * is weighed from the cheapest test to the dearest: form, a retry token, its prefix's budget, room, and
 * only then a handshake's cryptography. Whatever is answered without state is capped in rate and never longer
 * than what it answers (a retry, a version list) or shorter (a reset).
 */
#include "net/net_internal.h"

#include <string.h>

#define FIRST_FLIGHT_PACKETS 2
#define RESET_BYTES_MAX 43 /* what a reset looks like in size: a short packet */

static void commit_reply(struct stoq_net *net, struct net_out *out, const struct net_datagram *d,
                         ngtcp2_ssize n)
{
    if (n <= 0) {
        return;
    }
    out->n = (size_t)n;
    out->segment = out->n;
    out->to = d->from;
    out->from = d->to;
    net_tx_commit(&net->tx);
}

/* A slot for a reply without state, or NULL when the budget for these is spent. */
static struct net_out *reply_slot(struct stoq_net *net, struct net_socket *socket)
{
    return net_guard_reply(net->guard, net->now) ? net_tx_next(&net->tx, socket) : NULL;
}

static void reply_versions(struct stoq_net *net, struct net_socket *socket,
                           const struct net_datagram *d, const ngtcp2_version_cid *vc, size_t n)
{
    static const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    struct net_out *out;
    if (!net->accepting || net->private || n < NGTCP2_MAX_UDP_PAYLOAD_SIZE ||
        (out = reply_slot(net, socket)) == NULL) {
        net->stats.dropped_malformed++;
        return;
    }
    uint8_t random;
    net_random(net, &random, 1);
    commit_reply(net, out, d,
                 ngtcp2_pkt_write_version_negotiation(
                     net_tx_memory(&net->tx, out), NGTCP2_MAX_UDP_PAYLOAD_SIZE, random, vc->scid,
                     vc->scidlen, vc->dcid, vc->dcidlen, versions, STOQ_COUNT(versions)));
}

/* A short packet for a connection we know nothing of: tell the peer to give it up. */
static void reply_reset(struct stoq_net *net, struct net_socket *socket,
                        const struct net_datagram *d, const ngtcp2_version_cid *vc, size_t n)
{
    uint8_t random[RESET_BYTES_MAX];
    uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN];
    struct net_out *out;
    net->stats.dropped_unknown++;
    size_t want = n - 1 < RESET_BYTES_MAX ? n - 1 : RESET_BYTES_MAX;
    if (net->private ||
        want < NGTCP2_MIN_STATELESS_RESET_RANDLEN + NGTCP2_STATELESS_RESET_TOKENLEN ||
        (out = reply_slot(net, socket)) == NULL) {
        return;
    }
    size_t random_n = want - NGTCP2_STATELESS_RESET_TOKENLEN;
    ngtcp2_cid cid;
    ngtcp2_cid_init(&cid, vc->dcid, vc->dcidlen);
    net_reset_token(net, &cid, token);
    net_random(net, random, random_n);
    commit_reply(net, out, d,
                 ngtcp2_pkt_write_stateless_reset(net_tx_memory(&net->tx, out), want, token, random,
                                                  random_n));
    net->stats.resets_sent++;
}

static void reply_retry(struct stoq_net *net, struct net_socket *socket,
                        const struct net_datagram *d, const ngtcp2_pkt_hd *hd)
{
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
    ngtcp2_cid scid;
    struct sockaddr_in6 remote = stoq_addr_to_in6(&d->from);
    struct net_out *out = reply_slot(net, socket);
    if (out == NULL) {
        return;
    }
    net_new_cid(net, &scid);
    ngtcp2_ssize n = ngtcp2_crypto_generate_retry_token2(token, net->retry_secret, NET_SECRET_BYTES,
                                                         hd->version, (ngtcp2_sockaddr *)&remote,
                                                         sizeof remote, &scid, &hd->dcid, net->now);
    if (n < 0) {
        return;
    }
    commit_reply(net, out, d,
                 ngtcp2_crypto_write_retry(net_tx_memory(&net->tx, out),
                                           NGTCP2_MAX_UDP_PAYLOAD_SIZE, hd->version, &hd->scid,
                                           &scid, &hd->dcid, token, (size_t)n));
    net->stats.retries_sent++;
}

static void reply_close(struct stoq_net *net, struct net_socket *socket,
                        const struct net_datagram *d, const ngtcp2_pkt_hd *hd, const char *text)
{
    struct net_out *out = reply_slot(net, socket);
    if (out != NULL) {
        commit_reply(net, out, d,
                     ngtcp2_crypto_write_connection_close(
                         net_tx_memory(&net->tx, out), NGTCP2_MAX_UDP_PAYLOAD_SIZE, hd->version,
                         &hd->scid, &hd->dcid, NGTCP2_CONNECTION_REFUSED, (const uint8_t *)text,
                         strlen(text)));
    }
}

/* A place for one more, or its sender is told why there is none, and so is our owner. */
static bool take_place(struct stoq_net *net, struct net_socket *socket,
                       const struct net_datagram *d, const ngtcp2_pkt_hd *hd)
{
    static const char *const texts[] = {[NET_ROOM_CONNECTIONS] = NET_FULL_TEXT,
                                        [NET_ROOM_PREFIX] = NET_CROWDED_TEXT,
                                        [NET_ROOM_MEMORY] = NET_HEAVY_TEXT};
    enum net_room_answer answer =
        net_room_admit(net->room, stoq_addr_prefix(&d->from), net_all_bytes(net));
    if (answer == NET_ROOM_TAKEN) {
        return true;
    }
    *(answer == NET_ROOM_PREFIX ? &net->stats.dropped_crowded : &net->stats.dropped_full) += 1;
    reply_close(net, socket, d, hd, texts[answer]);
    net_tell_refused(net, &(struct stoq_net_closed){
                              .why = STOQ_NET_REFUSED, .text = texts[answer], .addr = d->from});
    return false;
}

/* Is there a retry token, and is it ours and fresh? Sets odcid when it is. To look costs as much as a
 * reply, so it takes from the same budget. */
static bool token_good(struct stoq_net *net, const struct net_datagram *d, const ngtcp2_pkt_hd *hd,
                       ngtcp2_cid *odcid)
{
    struct sockaddr_in6 remote = stoq_addr_to_in6(&d->from);
    return hd->tokenlen > 0 && hd->token[0] == NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2 &&
           net_guard_reply(net->guard, net->now) &&
           ngtcp2_crypto_verify_retry_token2(
               odcid, hd->token, hd->tokenlen, net->retry_secret, NET_SECRET_BYTES, hd->version,
               (ngtcp2_sockaddr *)&remote, sizeof remote, &hd->dcid, NET_RETRY_LIFE, net->now) == 0;
}

/*
 * May this first packet begin a handshake? A proven address may; others while their prefix has budget
 * and few handshakes are open. Whoever may not is asked to prove its address: so somebody honest who
 * shares a prefix with a flood still gets through, by way of the retry.
 */
static bool may_begin(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d,
                      const ngtcp2_pkt_hd *hd, bool proven)
{
    if (proven) {
        return true;
    }
    if (!net_guard_admit(net->guard, stoq_addr_prefix(&d->from), net->now)) {
        net->stats.dropped_prefix++;
        reply_retry(net, socket, d, hd);
        return false;
    }
    if (net_guard_wary(net->guard)) {
        reply_retry(net, socket, d, hd);
        return false;
    }
    return true;
}

/* More than a first flight has come: its sender gets our answers. */
static bool goes_on(const struct net_conn *conn)
{
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(conn->q, &info);
    return info.pkt_recv > FIRST_FLIGHT_PACKETS;
}

/*
 * No place is left: the oldest handshake of this prefix, or of all, that had its time and did not go on gives
 * its own up. An honest one goes on a round trip after it began; those that are begun and dropped would keep
 * everybody near them out until they time out.
 */
static bool make_way(struct stoq_net *net, uint64_t prefix)
{
    bool none_at_all = net->guard->open >= net->guard->open_max;
    stoq_ns turn = none_at_all ? NET_TURN : NET_TURN_PREFIX;
    struct net_conn *conn = TAILQ_FIRST(&net->unfinished);
    while (conn != NULL && net->now - conn->begun_at >= turn) {
        if ((none_at_all || stoq_addr_prefix(&conn->remote) == prefix) && !goes_on(conn)) {
            net->stats.displaced++;
            net_conn_blame(conn, STOQ_NET_TIMED_OUT, "its place was given to another handshake");
            net_conn_end(conn, NET_SILENT);
            return true;
        }
        conn = TAILQ_NEXT(conn, unfinished_link);
    }
    return false;
}

/* A first packet of a client: a connection for it, or NULL after answering or dropping it. */
static struct net_conn *admit(struct stoq_net *net, struct net_socket *socket,
                              const struct net_datagram *d, const uint8_t *p, size_t n)
{
    ngtcp2_pkt_hd hd;
    ngtcp2_cid odcid;
    uint64_t prefix = stoq_addr_prefix(&d->from);
    if (n < NGTCP2_MAX_UDP_PAYLOAD_SIZE || ngtcp2_accept(&hd, p, n) != 0) {
        net->stats.dropped_malformed++;
        return NULL;
    }
    bool proven = token_good(net, d, &hd, &odcid);
    if (net->private && !proven && !net_member_may_begin(net, &d->from, &hd)) {
        return NULL; /* a retry token says that one is: only members were given it */
    }
    if (!may_begin(net, socket, d, &hd, proven)) {
        return NULL;
    }
    if (!take_place(net, socket, d, &hd)) {
        return NULL;
    }
    if (!net_guard_enter(net->guard, prefix) &&
        !(make_way(net, prefix) && net_guard_enter(net->guard, prefix))) {
        net->stats.dropped_full++;
        net_room_leave(net->room);
        net_room_forget(net->room);
        return NULL;
    }
    struct net_conn *conn = net_conn_accept(net, socket, d, &hd, proven ? &odcid : NULL);
    if (conn == NULL) {
        net_guard_leave(net->guard, prefix);
        return NULL;
    }
    net_conn_count(conn);
    return conn;
}

static void conn_read(struct net_conn *conn, struct net_socket *socket,
                      const struct net_datagram *d, const uint8_t *p, size_t n)
{
    if (conn->q == NULL) {
        net_conn_again(conn);
        return;
    }
    /* A dialler's own address is the kernel's choice, packet by packet: not a path of its own. */
    struct sockaddr_in6 local = stoq_addr_to_in6(conn->inbound ? &d->to : &conn->local);
    struct sockaddr_in6 remote = stoq_addr_to_in6(&d->from);
    ngtcp2_path path = {.local = {(ngtcp2_sockaddr *)&local, sizeof local},
                        .remote = {(ngtcp2_sockaddr *)&remote, sizeof remote},
                        .user_data = socket};
    ngtcp2_pkt_info pi = {.ecn = (uint8_t)d->ecn};
    int rv = ngtcp2_conn_read_pkt(conn->q, &path, &pi, p, n, net_conn_now(conn));
    if (rv != 0) {
        net_conn_error(conn, rv);
        return;
    }
    net_yield_note_rtt(conn);
    net_mark_dirty(conn);
}

static void receive_packet(struct stoq_net *net, struct net_socket *socket,
                           const struct net_datagram *d, const uint8_t *p, size_t n)
{
    ngtcp2_version_cid vc;
    if ((p[0] & 0xc0) == 0) { /* QUIC's fixed bit is clear, and we do not grease it */
        net_rpc_receive(net, socket, d, stoq_span(p, n));
        return;
    }
    int rv = ngtcp2_pkt_decode_version_cid(&vc, p, n, NET_CID_BYTES);
    if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
        reply_versions(net, socket, d, &vc, n);
        return;
    }
    if (rv != 0) {
        net->stats.dropped_malformed++;
        return;
    }
    struct stoq_span dcid = stoq_span(vc.dcid, vc.dcidlen);
    struct net_conn *conn = net_cids_find(&net->cids, dcid);
    if (conn == NULL && net_hand_on(net, socket, d, stoq_span(p, n), dcid)) {
        return;
    }
    if (conn == NULL && (p[0] & 0x80) == 0) {
        /* Short: a stateless reset for one of ours, or a peer we have forgotten. */
        size_t token_at = n - NGTCP2_STATELESS_RESET_TOKENLEN;
        if (n > NGTCP2_STATELESS_RESET_TOKENLEN) {
            conn = net_cids_find(&net->tokens,
                                 stoq_span(p + token_at, NGTCP2_STATELESS_RESET_TOKENLEN));
        }
        if (conn == NULL) {
            reply_reset(net, socket, d, &vc, n);
            return;
        }
    }
    if (conn == NULL && !net->accepting) {
        net->stats.dropped_unknown++;
        return;
    }
    if (conn == NULL) {
        conn = admit(net, socket, d, p, n);
    }
    if (conn != NULL) {
        conn_read(conn, socket, d, p, n);
    }
}

void net_receive(struct stoq_net *net, struct net_socket *socket, const struct net_datagram *d)
{
    net->stats.bytes_received += d->n;
    for (size_t at = 0; at < d->n; at += d->segment) {
        size_t n = d->n - at < d->segment ? d->n - at : d->segment;
        net->stats.datagrams_received++;
        receive_packet(net, socket, d, d->p + at, n);
    }
}
