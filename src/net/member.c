/*
 * What members of a private network show before they are answered. A first packet carries the time at which
 * it was made and a MAC under the network's key, of that time, of the peer it is meant for and of the
 * packet's own ids: so it is good at one listener, for a few minutes, and (replay.c) once.
 */
#include "net/net_internal.h"

#include "hash/hash.h"

#include <stdio.h>
#include <string.h>

#define MADE_AT 1 /* offsets in the token */
#define MAC_AT (MADE_AT + NET_MADE_BYTES)

/* One key for first packets, one for sealed datagrams. */
void net_member_key(struct stoq_net *net, const uint8_t key[NET_SECRET_BYTES])
{
    struct stoq_span k = stoq_span(key, NET_SECRET_BYTES);
    struct stoq_hash mac = stoq_hash_blake3_2(stoq_span_str("stoq network initial v1"), k);
    struct stoq_hash psk = stoq_hash_blake3_2(stoq_span_str("stoq network datagram v1"), k);
    memcpy(net->network_mac, mac.b, sizeof net->network_mac);
    memcpy(net->network_psk, psk.b, sizeof net->network_psk);
    net->private = true;
}

uint64_t net_member_now(const struct stoq_net *net)
{
    return net->wall(net->clock_user);
}

void net_member_token(const struct stoq_net *net, const struct stoq_peer_id *to, uint64_t made_ms,
                      const ngtcp2_cid *dcid, const ngtcp2_cid *scid, uint8_t out[NET_MEMBER_BYTES])
{
    uint8_t head[NET_MADE_BYTES + 2];
    net_made_put(head, made_ms);
    head[NET_MADE_BYTES] = (uint8_t)dcid->datalen;
    head[NET_MADE_BYTES + 1] = (uint8_t)scid->datalen;
    const struct stoq_span parts[] = {
        stoq_span(net->network_mac, sizeof net->network_mac), stoq_span(to->h.b, sizeof to->h.b),
        stoq_span(head, sizeof head), stoq_span(dcid->data, dcid->datalen),
        stoq_span(scid->data, scid->datalen)};
    struct stoq_hash h = stoq_hash_blake3_parts(parts, STOQ_COUNT(parts));
    out[0] = NET_MEMBER_MAGIC;
    memcpy(out + MADE_AT, head, NET_MADE_BYTES);
    memcpy(out + MAC_AT, h.b, NET_MEMBER_BYTES - MAC_AT);
}

/* Stands for an address; nobody can find another one that has the same. */
static uint64_t mark_of(const struct stoq_net *net, const struct stoq_addr *addr)
{
    struct stoq_hash h = stoq_hash_blake3_2(stoq_span(net->retry_secret, sizeof net->retry_secret),
                                            stoq_span((const uint8_t *)addr, sizeof *addr));
    return stoq_le64(h.b);
}

static void tell(struct stoq_net *net, const struct stoq_addr *from, enum net_replay_answer answer,
                 uint64_t made_ms)
{
    char text[STOQ_NET_CLOSE_TEXT_MAX];
    long long ago = (long long)net_member_now(net) - (long long)made_ms;
    if (answer == NET_REPLAY_COPY) {
        (void)snprintf(text, sizeof text, "a copy of what a member of this network has sent");
    } else {
        (void)snprintf(text, sizeof text,
                       "made %lld ms %s: a copy of what a member has sent, or a clock is wrong",
                       ago < 0 ? -ago : ago, ago < 0 ? "ahead" : "ago");
    }
    net->stats.dropped_replayed++;
    net_tell_refused(
        net, &(struct stoq_net_closed){.why = STOQ_NET_REFUSED, .text = text, .addr = *from});
}

bool net_member_fresh(struct stoq_net *net, const struct stoq_addr *from, const uint8_t tag[8],
                      uint64_t made_ms)
{
    enum net_replay_answer answer = net_replay_take(
        &net->replay, stoq_le64(tag), mark_of(net, from), made_ms, net_member_now(net));
    if (answer != NET_REPLAY_FRESH) {
        tell(net, from, answer, made_ms);
    }
    return answer == NET_REPLAY_FRESH;
}

bool net_member_may_begin(struct stoq_net *net, const struct stoq_addr *from,
                          const ngtcp2_pkt_hd *hd)
{
    uint8_t want[NET_MEMBER_BYTES];
    uint8_t differ = 0;
    if (hd->tokenlen != sizeof want) {
        net->stats.dropped_outsider++;
        return false;
    }
    uint64_t made_ms = net_made_get(hd->token + MADE_AT);
    net_member_token(net, &net->self, made_ms, &hd->dcid, &hd->scid, want);
    for (size_t i = 0; i < sizeof want; i++) {
        differ |= (uint8_t)(want[i] ^ hd->token[i]);
    }
    if (differ != 0) {
        net->stats.dropped_outsider++;
        return false;
    }
    return net_member_fresh(net, from, want + MAC_AT, made_ms);
}
