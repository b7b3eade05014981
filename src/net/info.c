/* What an endpoint shows of itself. */
#include "net/net_internal.h"

static const char *const whys[] = {
    [STOQ_NET_LOCAL] = "closed here",
    [STOQ_NET_PEER] = "closed by the peer",
    [STOQ_NET_REFUSED] = "refused, the peer is full",
    [STOQ_NET_UNREACHABLE] = "unreachable",
    [STOQ_NET_TIMED_OUT] = "timed out",
    [STOQ_NET_WRONG_KEY] = "wrong key",
    [STOQ_NET_NO_KEY] = "no key shown",
    [STOQ_NET_NO_GROUP] = "no key exchange in common",
    [STOQ_NET_NO_ALPN] = "does not speak " STOQ_NET_ALPN,
    [STOQ_NET_RESET] = "the peer lost its state",
    [STOQ_NET_PROTOCOL] = "protocol broken",
    [STOQ_NET_FAILED] = "failed here",
};

static const char *const modes[] = {
    [STOQ_NET_KYBER1024] = "kyber1024",
    [STOQ_NET_KYBER1024_PURE] = "kyber1024-pure",
    [STOQ_NET_KYBER768_HYBRID] = "kyber768-hybrid",
};

static const char *const ccs[] = {
    [STOQ_NET_CC_AUTO] = "auto",
    [STOQ_NET_CC_CUBIC] = "cubic",
    [STOQ_NET_CC_BBR] = "bbr",
};

const char *stoq_net_why_str(enum stoq_net_why why)
{
    return (size_t)why < STOQ_COUNT(whys) ? whys[why] : "unknown";
}

const char *stoq_net_mode_str(enum stoq_net_mode mode)
{
    return (size_t)mode < STOQ_COUNT(modes) ? modes[mode] : "unknown";
}

const char *stoq_net_cc_str(enum stoq_net_cc cc)
{
    return (size_t)cc < STOQ_COUNT(ccs) ? ccs[cc] : "unknown";
}

static bool find_name(size_t *out, const char *const *names, size_t count, struct stoq_span text)
{
    for (size_t i = 0; i < count; i++) {
        if (stoq_span_eq(stoq_span_str(names[i]), text)) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool stoq_net_mode_parse(enum stoq_net_mode *out, struct stoq_span text)
{
    size_t i;
    if (!find_name(&i, modes, STOQ_COUNT(modes), text)) {
        return false;
    }
    *out = (enum stoq_net_mode)i;
    return true;
}

bool stoq_net_cc_parse(enum stoq_net_cc *out, struct stoq_span text)
{
    size_t i;
    if (!find_name(&i, ccs, STOQ_COUNT(ccs), text)) {
        return false;
    }
    *out = (enum stoq_net_cc)i;
    return true;
}

static void fill_info(const struct net_conn *conn, struct stoq_net_info *out)
{
    ngtcp2_conn_info info;
    ngtcp2_conn_get_conn_info(conn->q, &info);
    *out = (struct stoq_net_info){
        .conn = conn->id,
        .addr = conn->remote,
        .inbound = conn->inbound,
        .opened = conn->opened,
        .mode = conn->net->cfg.mode,
        .group = conn->group,
        .cc = conn->cc,
        .srtt_ns = info.smoothed_rtt,
        .near = conn->near,
        .min_rtt_ns = net_conn_min_rtt(conn),
        .late_rtt_ns = net_yield_rtt(conn),
        .cwnd_bytes = info.cwnd,
        .in_flight_bytes = info.bytes_in_flight,
        .bytes_sent = info.bytes_sent,
        .bytes_received = info.bytes_recv,
        .packets_sent = info.pkt_sent,
        .packets_received = info.pkt_recv,
        .packets_lost = info.pkt_lost,
        .bytes_lost = info.bytes_lost,
        .background_bytes = conn->yield.sent,
        .buffered_bytes = conn->buffered,
        .packet_bytes = ngtcp2_conn_get_path_max_tx_udp_payload_size(conn->q),
        .streams = conn->stream_count,
        .peer_streams = conn->peer_stream_count,
        .streams_left = ngtcp2_conn_get_streams_bidi_left(conn->q),
        .memory_bytes = NET_CONN_BYTES + conn->buffered + conn->unconsumed,
        .opened_at_ns = conn->opened_at,
    };
    if (conn->opened) {
        out->peer = conn->peer;
    } else {
        out->srtt_ns = 0;
    }
}

bool stoq_net_info(const struct stoq_net *net, stoq_net_conn id, struct stoq_net_info *out)
{
    struct net_far *far = net_far_of(net, id);
    if (far != NULL) {
        return net_far_info(far, id, out);
    }
    const struct net_conn *conn = net_conn_find(net, id);
    if (conn == NULL) {
        return false;
    }
    fill_info(conn, out);
    return true;
}

void stoq_net_each(struct stoq_net *net, void (*fn)(void *user, const struct stoq_net_info *info),
                   void *user)
{
    /* By index: fn may dial, and the slots move then. */
    for (size_t i = 0; i < net->slot_count; i++) {
        const struct net_conn *conn = net->slots[i].conn;
        if (conn != NULL) {
            struct stoq_net_info info;
            fill_info(conn, &info);
            fn(user, &info);
        }
    }
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        net_far_each(net->far[i], fn, user);
    }
}

void stoq_net_refresh(struct stoq_net *net)
{
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        net_far_send_commands(net->far[i]);
        net_far_refresh(net->far[i]);
    }
}

bool stoq_net_refreshed(struct stoq_net *net, stoq_ns until)
{
    bool all = true;
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        all = net_far_refreshed(net->far[i], until) && all;
    }
    return all;
}

/* Of this endpoint alone. */
static void own_stats(const struct stoq_net *net, struct stoq_net_stats *out)
{
    *out = net->stats;
    out->connections = net->live;
    out->handshakes = net->guard->open;
    out->sends = net->tx.calls;
    out->bytes_sent = net->tx.sent_bytes;
    out->datagrams_sent = net->tx.sent_datagrams;
    out->dropped_send = net->tx.dropped;
    out->buffered_bytes = net->buffered;
    out->memory_bytes = (net->live + net->closing) * NET_CONN_BYTES + net_own_bytes(net);
}

bool stoq_net_thread_stats(const struct stoq_net *net, size_t i, struct stoq_net_stats *out)
{
    if (i == 0) {
        own_stats(net, out);
        return true;
    }
    if (i >= STOQ_COUNT(net->far) || net->far[i] == NULL) {
        return false;
    }
    net_far_stats(net->far[i], out);
    return true;
}

static void add_stats(struct stoq_net_stats *to, const struct stoq_net_stats *s)
{
    to->connections += s->connections;
    to->handshakes += s->handshakes;
    to->opened_inbound += s->opened_inbound;
    to->opened_outbound += s->opened_outbound;
    to->refused += s->refused;
    for (size_t i = 0; i < STOQ_NET_WHYS; i++) {
        to->refused_why[i] += s->refused_why[i];
    }
    to->bytes_sent += s->bytes_sent;
    to->bytes_received += s->bytes_received;
    to->datagrams_sent += s->datagrams_sent;
    to->datagrams_received += s->datagrams_received;
    to->sends += s->sends;
    to->receives += s->receives;
    to->dropped_malformed += s->dropped_malformed;
    to->dropped_unknown += s->dropped_unknown;
    to->dropped_prefix += s->dropped_prefix;
    to->dropped_outsider += s->dropped_outsider;
    to->dropped_replayed += s->dropped_replayed;
    to->dropped_full += s->dropped_full;
    to->dropped_crowded += s->dropped_crowded;
    to->displaced += s->displaced;
    to->dropped_send += s->dropped_send;
    to->rpc_answered += s->rpc_answered;
    to->rpc_dropped += s->rpc_dropped;
    to->early_streams += s->early_streams;
    to->early_rejected += s->early_rejected;
    to->early_refused += s->early_refused;
    to->retries_sent += s->retries_sent;
    to->resets_sent += s->resets_sent;
    to->handed_on += s->handed_on;
    to->buffered_bytes += s->buffered_bytes;
    to->memory_bytes += s->memory_bytes;
}

void stoq_net_stats(const struct stoq_net *net, struct stoq_net_stats *out)
{
    own_stats(net, out);
    out->connections_prefix = net_room_prefix_most(net->room);
    for (size_t i = 1; i < STOQ_COUNT(net->far) && net->far[i] != NULL; i++) {
        struct stoq_net_stats there;
        net_far_stats(net->far[i], &there);
        add_stats(out, &there);
    }
}
