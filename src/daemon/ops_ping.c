/* ping: is this peer there, and how far away. */
#include "daemon/ops_internal.h"

#include "wire/bech32m.h"

static double milliseconds(stoq_ns ns)
{
    return (double)ns / 1e6;
}

static json_t *to_json(const struct stoq_ping_ask *ask, const struct stoq_ping_report *r)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &ask->to.peer);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:f, s:b, s:b, s:b, s:s?}", "peer", peer, "addr",
                  stoq_addr_format(&r->addr, addr), "over",
                  ask->datagram ? "datagram" : "connection", "rtt_ms", milliseconds(r->rtt_ns),
                  "connected_before", (int)r->connected_before, "key_learned", (int)r->key_learned,
                  "early", (int)r->early, "group", r->group[0] != '\0' ? r->group : NULL);
    if (o != NULL) {
        (void)json_object_set_new(o, "connect_ms",
                                  r->connect_ns == 0 ? json_null()
                                                     : json_real(milliseconds(r->connect_ns)));
    }
    return o;
}

enum stoq_status op_ping(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    struct stoq_ping_report report;
    uint64_t timeout_s = stoq_json_u64(args, "timeout_s", 0);
    struct stoq_ping_ask ask = {.datagram = stoq_json_bool(args, "datagram", false),
                                .timeout_ns = timeout_s * STOQ_SEC,
                                .cancelled = op_cancelled,
                                .user = io};
    if (timeout_s > OP_TIMEOUT_S_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "timeout_s is at most %llu",
                         (unsigned long long)OP_TIMEOUT_S_MAX);
    }
    enum stoq_status st = stoq_source_parse(&ask.to, stoq_json_text(args, "to"), err);
    if (st == STOQ_OK) {
        st = stoq_host_start(host, err);
    }
    if (st == STOQ_OK) {
        st = stoq_engine_ping(stoq_host_engine(host), &ask, &report, err);
        if (st != STOQ_OK && st != STOQ_CANCELLED) {
            char addr[STOQ_ADDR_TEXT_MAX];
            stoq_error_prefix(err, "%s: ", stoq_addr_format(&ask.to.addr, addr));
        }
    }
    if (st == STOQ_OK) {
        *result = to_json(&ask, &report);
    }
    return st;
}
