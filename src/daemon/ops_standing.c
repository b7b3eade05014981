/* What is known of peers, and the choices made among them. */
#include "api/error.h"
#include "daemon/candidates.h"
#include "daemon/ops_internal.h"
#include "peers/peers.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

/* A fraction of 2^-32 as a number. */
static double fraction(int64_t q32)
{
    return (double)q32 / 4294967296.0;
}

static void add_known(void *user, const struct stoq_peers_view *v,
                      const struct stoq_node_standing *s, const struct stoq_addr *addr)
{
    char peer[STOQ_ID_TEXT_CAP];
    char where[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &v->id);
    uint64_t rtt_us = v->rtt_ns / 1000;
    json_t *o =
        json_pack("{s:s, s:s?, s:b, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:I, s:f}", "peer", peer,
                  "addr", addr != NULL ? stoq_addr_format(addr, where) : NULL, "connected",
                  (int)v->connected, "host", or_null(v->place.host), "subnet", or_null(v->subnet),
                  "site", or_null(v->place.site), "rack", or_null(v->place.rack), "region",
                  or_null(v->place.region), "domain", or_null(v->domain), "bytes_fetched",
                  (json_int_t)v->bytes_fetched, "rtt_ms", (double)rtt_us / 1e3);
    if (v->rtt_ns == 0) {
        (void)json_object_set_new(o, "rtt_ms", json_null());
    }
    (void)json_object_set_new(o, "rate_bytes_per_s",
                              v->rate_known ? json_integer((json_int_t)v->rate_bytes_per_s)
                                            : json_null());
    (void)json_object_set_new(o, "rate_age_s",
                              v->rate_known ? op_seconds(v->rate_age_ns) : json_null());
    (void)json_object_set_new(o, "score", json_integer(s->score * 1000 / (1LL << 32)));
    (void)json_object_set_new(o, "trusted", json_boolean(s->is_trusted));
    (void)json_object_set_new(o, "cut", json_boolean(s->is_cut));
    (void)json_array_append_new(user, o);
}

enum stoq_status op_standing(struct stoq_host *host, json_t **list, struct stoq_error *err)
{
    *list = json_array();
    enum stoq_status st = stoq_engine_standing(stoq_host_engine(host), add_known, *list);
    if (st != STOQ_OK) {
        json_decref(*list);
        *list = NULL;
        return stoq_fail(err, st, 0, "the network thread gave no answer");
    }
    return STOQ_OK;
}

enum stoq_status op_selection(const json_t *args, struct stoq_peers_selection *out,
                              struct stoq_error *err)
{
    static const char *const kinds[] = {
        [STOQ_PEERS_REPLICATION_FACTOR] = "replication",
        [STOQ_PEERS_GEOGRAPHIC] = "geographic",
        [STOQ_PEERS_BANDWIDTH] = "bandwidth",
        [STOQ_PEERS_CUSTOM] = "custom",
    };
    const char *kind = stoq_json_text(args, "kind");
    const char *text = stoq_json_text(args, "text");
    kind = kind != NULL ? kind : kinds[STOQ_PEERS_REPLICATION_FACTOR];
    uint64_t number = stoq_json_u64(args, "number", 0);
    for (size_t i = 0; i < STOQ_COUNT(kinds); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            *out = (struct stoq_peers_selection){.kind = (enum stoq_peers_selection_kind)i,
                                                 .count = number > UINT32_MAX ? UINT32_MAX
                                                                              : (uint32_t)number,
                                                 .rate_bytes_per_s = number,
                                                 .text = stoq_span_str(text != NULL ? text : "")};
            return STOQ_OK;
        }
    }
    return stoq_fail(
        err, STOQ_RANGE, 0,
        "peers are selected by replication, geographic, bandwidth or custom, not '%.40s'", kind);
}

/* Fewer than wanted is an answer too: the verdicts say why, and an error stands beside them. */
static enum stoq_status add_shortfall(const struct stoq_peers_selection *sel, json_t *result)
{
    struct stoq_error err;
    uint64_t kept = stoq_json_u64(result, "kept", 0);
    uint32_t wants = stoq_peers_selection_wants(sel);
    bool ok = stoq_json_set_u64(result, "wanted", wants);
    if (kept < wants) {
        (void)stoq_fail_code(
            &err, STOQ_NOTFOUND, "InsufficientReplicas", "%u %s wanted, %llu there", wants,
            sel->kind == STOQ_PEERS_REPLICATION_FACTOR ? "peers in different failure domains"
                                                       : "peer at least",
            (unsigned long long)kept);
        ok = ok && json_object_set_new(result, "error", stoq_error_to_json(&err)) == 0;
    }
    return ok ? STOQ_OK : STOQ_NOMEM;
}

static enum stoq_status judge(struct stoq_host *host, const char *name, struct stoq_span text,
                              json_t **list, json_t **verdicts, struct stoq_error *err)
{
    struct stoq_rule *rule = NULL;
    enum stoq_status st = stoq_candidates_rule(&rule, name, text, err);
    if (st == STOQ_OK) {
        st = op_standing(host, list, err);
    }
    if (st == STOQ_OK) {
        st = stoq_candidates_judge(rule, *list, verdicts, err);
    }
    if (st == STOQ_OK && !stoq_json_set_text(*verdicts, "rule", text)) {
        json_decref(*verdicts);
        *verdicts = NULL;
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for the verdicts");
    }
    stoq_rule_free(rule);
    return st;
}

enum stoq_status op_select(struct stoq_host *host, const json_t *args,
                           const struct stoq_peers_selection *sel, json_t **list, json_t **verdicts,
                           struct stoq_error *err)
{
    struct stoq_buf text;
    const char *name = stoq_json_text(args, "name");
    name = name != NULL ? name : "the selection"; /* one of ours, which is without fault */
    stoq_buf_init(&text, STOQ_JSON_REQUEST_MAX);
    *list = NULL;
    enum stoq_status st = stoq_peers_selection_rule(sel, &text);
    if (st == STOQ_OK) {
        st = judge(host, name, stoq_buf_span(&text), list, verdicts, err);
    } else {
        (void)stoq_fail(
            err, st, 0,
            "no such selection: a count of 1 to %u, or a region of 1 to %d letters, digits, . _ -",
            STOQ_PEERS_MAX, STOQ_PEERS_LABEL_MAX);
    }
    stoq_buf_release(&text);
    return st;
}

enum stoq_status op_peers_select(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                                 json_t **result, struct stoq_error *err)
{
    struct stoq_peers_selection sel;
    json_t *list = NULL;
    enum stoq_status st = op_selection(args, &sel, err);
    if (st == STOQ_OK) {
        st = op_select(host, args, &sel, &list, result, err);
        json_decref(list);
    }
    if (st == STOQ_OK && add_shortfall(&sel, *result) != STOQ_OK) {
        json_decref(*result);
        *result = NULL;
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for the verdicts");
    }
    return st;
}

static json_t *penalties(const struct stoq_trust_record *r)
{
    const struct {
        const char *kind;
        uint64_t count;
    } all[] = {{"InvalidData", r->invalid_data_count},
               {"Violation", r->violations},
               {"Timeout", r->timeout_count},
               {"FailedTransfer", r->failed_transfers}};
    json_t *list = json_array();
    for (size_t i = 0; i < STOQ_COUNT(all); i++) {
        if (all[i].count > 0) {
            (void)json_array_append_new(list, json_pack("{s:s, s:I}", "kind", all[i].kind, "count",
                                                        (json_int_t)all[i].count));
        }
    }
    return list;
}

static json_t *standing_to_json(const char *peer, const struct stoq_node_standing *s)
{
    const struct stoq_trust_record *r = &s->record;
    json_t *o = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:b, s:b, s:f, s:f, s:f, s:i, s:i, s:o, s:o}", "peer",
        peer, "successful_transfers", (json_int_t)r->successful_transfers, "failed_transfers",
        (json_int_t)r->failed_transfers, "invalid_data_count", (json_int_t)r->invalid_data_count,
        "timeout_count", (json_int_t)r->timeout_count, "violations", (json_int_t)r->violations,
        "trust_value", fraction(s->score), "is_trusted", (int)s->is_trusted, "is_cut",
        (int)s->is_cut, "good", fraction((int64_t)r->good), "bad", fraction((int64_t)r->bad),
        "bad_proven", fraction((int64_t)r->proven), "neighbours", (int)s->neighbours, "quarantines",
        (int)r->quarantines, "quarantine_s",
        r->quarantine_ns > 0 ? op_seconds(r->quarantine_ns) : json_null(), "penalties",
        penalties(r));
    if (o != NULL && !s->is_trusted && !s->is_cut) {
        (void)json_object_set_new(o, "budget_chunks", json_integer(STOQ_NODE_BUDGET_CHUNKS));
    }
    return o;
}

enum stoq_status op_peers_why(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    struct stoq_peer_id id;
    struct stoq_node_standing standing;
    char peer[STOQ_ID_TEXT_CAP];
    const char *text = stoq_json_text(args, "peer");
    if (stoq_peer_id_get(&id, stoq_span_str(text)) != STOQ_OK) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s' is not a peer id", text);
    }
    if (stoq_json_bool(args, "forgive", false)) {
        stoq_engine_forgive(stoq_host_engine(host), &id);
    }
    stoq_engine_trust(stoq_host_engine(host), &id, &standing);
    stoq_peer_id_put(peer, &id);
    *result = standing_to_json(peer, &standing);
    return STOQ_OK;
}
