/* Caps on bandwidth, and who has what of it. */
#include "daemon/ops_internal.h"
#include "wire/bech32m.h"

#include <stdlib.h>

static json_t *rate_or_null(uint64_t rate)
{
    return rate > 0 ? json_integer((json_int_t)rate) : json_null();
}

static json_t *to_json(const struct stoq_engine_budget *b)
{
    char peer[STOQ_ID_TEXT_CAP];
    json_t *peers = json_array();
    json_t *flows = json_array();
    for (size_t i = 0; i < b->peer_count; i++) {
        stoq_peer_id_put(peer, &b->peers[i].peer);
        (void)json_array_append_new(peers,
                                    json_pack("{s:s, s:o, s:o}", "peer", peer, "up",
                                              rate_or_null(b->peers[i].rate[STOQ_QOS_UP]), "down",
                                              rate_or_null(b->peers[i].rate[STOQ_QOS_DOWN])));
    }
    for (size_t i = 0; i < b->flow_count; i++) {
        const struct stoq_qos_view *v = &b->flows[i];
        stoq_peer_id_put(peer, &v->peer);
        (void)json_array_append_new(
            flows, json_pack("{s:s, s:s, s:I, s:I}", "peer", peer, "direction",
                             v->dir == STOQ_QOS_UP ? "up" : "down", "requested",
                             (json_int_t)v->wanted, "granted", (json_int_t)v->granted));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "up", rate_or_null(b->rate[STOQ_QOS_UP]), "down",
                     rate_or_null(b->rate[STOQ_QOS_DOWN]), "peers", peers, "allocations", flows);
}

static enum stoq_status set_limits(struct stoq_host *host, const json_t *args,
                                   struct stoq_error *err)
{
    struct stoq_peer_id id;
    const char *peer = stoq_json_text(args, "peer");
    uint64_t up = stoq_json_u64(args, "up", 0);
    uint64_t down = stoq_json_u64(args, "down", 0);
    if (peer != NULL && stoq_peer_id_get(&id, stoq_span_str(peer)) != STOQ_OK) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s' is not a peer id", peer);
    }
    enum stoq_status st = stoq_engine_limit(stoq_host_engine(host), peer != NULL ? &id : NULL,
                                            json_object_get(args, "up") != NULL ? &up : NULL,
                                            json_object_get(args, "down") != NULL ? &down : NULL);
    return st == STOQ_OK ? st
                         : stoq_fail(err, st, 0, "the limit is not set: at most %u peers have one",
                                     STOQ_QOS_PEERS_MAX);
}

enum stoq_status op_limit(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    enum stoq_status st = set_limits(host, args, err);
    struct stoq_engine_budget *b = st == STOQ_OK ? malloc(sizeof *b) : NULL;
    if (b == NULL) {
        return st != STOQ_OK ? st : stoq_fail(err, STOQ_NOMEM, 0, "no memory for the limits");
    }
    stoq_engine_budget(stoq_host_engine(host), b);
    *result = to_json(b);
    free(b);
    return STOQ_OK;
}
