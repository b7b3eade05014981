/*
 * distribute: choose peers, place a package with them, keep their receipts, and say how it went with
 * each. Who is asked first is the selection's order; that no two replicas share a failure domain is the
 * placement's rule whatever the selection.
 */
#include "daemon/ops_internal.h"

#include "api/error.h"
#include "daemon/held.h"
#include "daemon/receipts.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS 3 /* the specification's */

struct placing {
    struct stoq_host *host;
    struct stoq_op_io *io;
    struct stoq_placement_ask ask;
    uint64_t *slice_bytes;
    uint32_t slices;
    struct stoq_placement_candidate *candidates;
    struct stoq_placement_replica *replicas;
    struct stoq_buf *receipts; /* of each candidate, items so far */
    struct stoq_error unkept;  /* receipts could not be kept; status STOQ_OK: they were */
    stoq_ns elapsed_ns;
};

static bool on_cancelled(void *user)
{
    return op_cancelled(((struct placing *)user)->io);
}

/* Gather a holder's receipts; with the last of them keep them. */
static void on_receipt(void *user, size_t candidate, struct stoq_span item)
{
    struct placing *p = user;
    struct stoq_buf *items = &p->receipts[candidate];
    struct stoq_holding held;
    enum stoq_status st = stoq_buf_add(items, item);
    stoq_receipts_read(stoq_buf_span(items), &p->ask.id, &p->candidates[candidate].peer, &held);
    if (st == STOQ_OK && held.receipts == p->slices) {
        st = stoq_receipts_put(stoq_host_store(p->host), &p->ask.id, &p->candidates[candidate].peer,
                               stoq_buf_span(items), &p->unkept);
    }
    if (st != STOQ_OK && p->unkept.status == STOQ_OK) {
        (void)stoq_fail(&p->unkept, st, 0, "keep a receipt");
    }
}

static uint64_t bytes_sent(const struct stoq_placement *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->count; i++) {
        sum += p->replicas[i].view.bytes_sent;
    }
    return sum;
}

static void on_progress(void *user, const struct stoq_placement *p)
{
    struct placing *placing = user;
    uint64_t total = p->bytes * p->wanted;
    op_progress(placing->io,
                json_pack("{s:s, s:s, s:I, s:I, s:o}", "type", "progress", "phase", "distribute",
                          "bytes", (json_int_t)bytes_sent(p), "bytes_total", (json_int_t)total,
                          "replicas", op_replicas(p)));
}

json_t *op_replicas(const struct stoq_placement *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->count; i++) {
        const struct stoq_placement_replica *r = &p->replicas[i];
        const struct stoq_replica_view *v = &r->view;
        char peer[STOQ_ID_TEXT_CAP];
        char addr[STOQ_ADDR_TEXT_MAX];
        if (v->began_at == 0) {
            continue;
        }
        stoq_peer_id_put(peer, &p->candidates[i].peer);
        stoq_ns until = v->ended_at != 0 ? v->ended_at : stoq_now();
        bool verified = v->state == STOQ_REPLICA_VERIFIED;
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I}", "peer", peer, "addr",
                              stoq_addr_format(&p->candidates[i].addr, addr), "domain",
                              p->candidates[i].domain, "state", stoq_replica_state_str(v->state),
                              "bytes", (json_int_t)(verified ? p->bytes : 0), "bytes_sent",
                              (json_int_t)v->bytes_sent, "seconds", op_seconds(until - v->began_at),
                              "verified_at", (json_int_t)r->verified_at_s, "keep_until",
                              (json_int_t)r->keep_until_s);
        if (v->state == STOQ_REPLICA_OUT) {
            (void)json_object_set_new(o, "code", json_string(stoq_replica_why_code(v->why)));
        }
        if (r->why[0] != '\0') {
            (void)stoq_json_set_text(o, "why", stoq_span_str(r->why));
        }
        (void)json_array_append_new(list, o);
    }
    return list;
}

/* The package, which must be here, and its slices. */
static enum stoq_status look_at_package(struct placing *p, struct stoq_error *err)
{
    struct stoq_held *held = NULL;
    struct stoq_local_facts facts;
    struct stoq_store *store = stoq_host_store(p->host);
    enum stoq_status st = stoq_local_facts(store, &p->ask.id, &facts, err);
    if (st == STOQ_OK && !facts.complete) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "the package is not complete here");
    }
    st = st == STOQ_OK ? stoq_held_open(&held, store, &p->ask.id, err) : st;
    if (st != STOQ_OK) {
        return st;
    }
    p->ask.shards = stoq_held_shard_count(held);
    p->ask.bytes = stoq_held_manifest(held)->bytes;
    p->slices = stoq_replica_slices(p->ask.shards);
    p->slice_bytes = calloc(p->slices, sizeof *p->slice_bytes);
    if (p->slice_bytes == NULL) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for a placement");
    }
    for (uint64_t i = 0; p->slice_bytes != NULL && i < p->ask.shards; i++) {
        p->slice_bytes[i / STOQ_REPLICA_SLICE_SHARDS] +=
            stoq_merkle_shard_at(stoq_held_shard_list(held), i).bytes;
    }
    p->ask.slice_bytes = p->slice_bytes;
    stoq_held_close(held);
    return st;
}

/* Where the configuration says that a peer is, else where it was seen. */
static bool find_addr(const struct stoq_config *c, const json_t *known,
                      const struct stoq_peer_id *id, struct stoq_addr *out)
{
    for (size_t i = 0; i < c->peer_count; i++) {
        if (stoq_hash_eq(&c->peers[i].peer.h, &id->h)) {
            *out = c->peers[i].addr;
            return true;
        }
    }
    const char *text = stoq_json_text(known, "addr");
    return text != NULL && stoq_addr_parse(out, stoq_span_str(text), 0) == STOQ_OK;
}

static void add_candidate(struct placing *p, const struct stoq_config *c, const json_t *known)
{
    struct stoq_placement_candidate *out = &p->candidates[p->ask.candidate_count];
    const char *domain = stoq_json_text(known, "domain");
    const char *peer = stoq_json_text(known, "peer");
    if (peer == NULL || stoq_peer_id_get(&out->peer, stoq_span_str(peer)) != STOQ_OK ||
        !find_addr(c, known, &out->peer, &out->addr)) {
        return; /* nowhere to reach it at */
    }
    (void)snprintf(out->domain, sizeof out->domain, "%s", domain != NULL ? domain : "");
    p->ask.candidate_count++;
}

/* Whom the selection keeps, in its order. Of "replication" those as well that it only leaves out for sharing
 * a domain or coming late: the placement sees to domains, and may need them. */
static enum stoq_status take_candidates(struct placing *p, const json_t *list,
                                        const json_t *verdicts, bool spares, struct stoq_error *err)
{
    const json_t *all = json_object_get(verdicts, "candidates");
    struct stoq_config *c = malloc(sizeof *c);
    size_t n = json_array_size(all);
    p->candidates = calloc(n + 1, sizeof *p->candidates);
    p->replicas = calloc(n + 1, sizeof *p->replicas);
    p->receipts = calloc(n + 1, sizeof *p->receipts);
    if (c == NULL || p->candidates == NULL || p->replicas == NULL || p->receipts == NULL) {
        free(c);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for %zu candidates", n);
    }
    stoq_host_config(p->host, c);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(all, i);
        const char *verdict = stoq_json_text(v, "verdict");
        stoq_buf_init(&p->receipts[i], STOQ_RECEIPTS_BYTES_MAX);
        if (strcmp(verdict, "kept") == 0 || (spares && strcmp(verdict, "dropped") != 0)) {
            add_candidate(p, c, json_array_get(list, stoq_json_u64(v, "candidate", 0)));
        }
    }
    free(c);
    p->ask.candidates = p->candidates;
    return STOQ_OK;
}

static enum stoq_status choose(struct placing *p, const json_t *args, json_t **verdicts,
                               struct stoq_error *err)
{
    struct stoq_peers_selection sel;
    json_t *list = NULL;
    enum stoq_status st = op_selection(args, &sel, err);
    bool spares = st == STOQ_OK && sel.kind == STOQ_PEERS_REPLICATION_FACTOR;
    if (spares) {
        sel.count = p->ask.wanted;
    }
    if (st == STOQ_OK) {
        st = op_select(p->host, args, &sel, &list, verdicts, err);
    }
    if (st == STOQ_OK) {
        st = take_candidates(p, list, *verdicts, spares, err);
    }
    json_decref(list);
    return st;
}

/* Domains that could not give a replica, each with the last thing one of its peers said. */
static json_t *missing_domains(const struct placing *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->ask.candidate_count; i++) {
        const char *domain = p->candidates[i].domain;
        const char *why = NULL;
        bool missing = domain[0] != '\0';
        for (size_t k = 0; k < p->ask.candidate_count; k++) {
            const struct stoq_placement_replica *r = &p->replicas[k];
            if (strcmp(p->candidates[k].domain, domain) == 0) {
                missing = missing && k >= i && r->view.state == STOQ_REPLICA_OUT;
                why = r->why[0] != '\0' ? r->why : stoq_replica_why_code(r->view.why);
            }
        }
        if (missing) {
            (void)json_array_append_new(list,
                                        json_pack("{s:s, s:s}", "domain", domain, "why", why));
        }
    }
    return list;
}

static uint32_t verified(const struct placing *p)
{
    uint32_t n = 0;
    for (size_t i = 0; i < p->ask.candidate_count; i++) {
        n += p->replicas[i].view.state == STOQ_REPLICA_VERIFIED;
    }
    return n;
}

/* One sentence: who is missing, or that there are no more domains. */
static void tell_shortfall(const struct placing *p, uint32_t got, const json_t *missing,
                           struct stoq_error *err)
{
    size_t i;
    const json_t *m;
    (void)stoq_fail_code(err, STOQ_NOTFOUND, "InsufficientReplicas",
                         "%u replicas in different failure domains wanted, %u verified",
                         p->ask.wanted, got);
    size_t n = strlen(err->text);
    json_array_foreach (missing, i, m) {
        n += (size_t)snprintf(err->text + n, sizeof err->text - n, "; missing %s: %s",
                              stoq_json_text(m, "domain"), stoq_json_text(m, "why"));
        if (n >= sizeof err->text) {
            return;
        }
    }
    if (json_array_size(missing) == 0) {
        (void)snprintf(err->text + n, sizeof err->text - n,
                       "; of the %zu peers that the selection keeps none is of another domain",
                       p->ask.candidate_count);
    }
}

static json_t *to_json(const struct placing *p, const json_t *verdicts, const char *kind)
{
    char id[STOQ_ID_TEXT_CAP];
    const struct stoq_placement all = {.bytes = p->ask.bytes,
                                       .count = p->ask.candidate_count,
                                       .candidates = p->candidates,
                                       .replicas = p->replicas};
    uint32_t got = verified(p);
    json_t *missing = missing_domains(p);
    stoq_package_id_put(id, &p->ask.id);
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O, s:O*}", "id", id,
                  "strategy", "parallel-redundant", "selection", kind, "wanted",
                  (json_int_t)p->ask.wanted, "got", (json_int_t)got, "bytes",
                  (json_int_t)p->ask.bytes, "shards", (json_int_t)p->ask.shards, "bytes_sent",
                  (json_int_t)bytes_sent(&all), "seconds", op_seconds(p->elapsed_ns), "replicas",
                  op_replicas(&all), "missing", missing, "rule", json_object_get(verdicts, "rule"));
    if (o != NULL && got < p->ask.wanted) {
        struct stoq_error err;
        tell_shortfall(p, got, missing, &err);
        (void)json_object_set_new(o, "error", stoq_error_to_json(&err));
    }
    if (o != NULL && p->unkept.status != STOQ_OK) {
        (void)stoq_json_set_text(o, "receipts_lost", stoq_span_str(p->unkept.text));
    }
    json_decref(missing);
    return o;
}

static enum stoq_status take_args(struct placing *p, const json_t *args, struct stoq_error *err)
{
    const char *strategy = stoq_json_text(args, "strategy");
    uint64_t replicas = stoq_json_u64(args, "replicas", REPLICAS);
    uint64_t keep_s = stoq_json_u64(args, "keep_s", 0);
    if (strategy != NULL && strcmp(strategy, "parallel-redundant") != 0) {
        return stoq_fail(err, STOQ_RANGE, 0, "the strategy is parallel-redundant, not '%.40s'",
                         strategy);
    }
    if (replicas < 1 || replicas > STOQ_REPLICA_COUNT_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "1 to %u replicas can be had", STOQ_REPLICA_COUNT_MAX);
    }
    if (keep_s > UINT32_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "keep_s is at most %u", UINT32_MAX);
    }
    p->ask.wanted = (uint32_t)replicas;
    p->ask.keep_until_s = keep_s == 0 ? 0 : stoq_wall_seconds() + keep_s;
    return op_id(args, &p->ask.id, err);
}

static enum stoq_status place(struct placing *p, struct stoq_error *err)
{
    stoq_ns began = stoq_now();
    p->ask.receipt = on_receipt;
    p->ask.progress = p->io->progress != NULL ? on_progress : NULL;
    p->ask.cancelled = on_cancelled;
    p->ask.user = p;
    enum stoq_status st =
        stoq_engine_distribute(stoq_host_engine(p->host), &p->ask, p->replicas, err);
    if (verified(p) > 0 && p->unkept.status == STOQ_OK) {
        enum stoq_status kept = stoq_store_sync(stoq_host_store(p->host), &p->unkept);
        p->unkept.status = kept;
    }
    p->elapsed_ns = stoq_now() - began;
    return st == STOQ_NOTFOUND ? STOQ_OK : st; /* a shortfall is a result, with its error in it */
}

static void placing_release(struct placing *p)
{
    for (size_t i = 0; p->receipts != NULL && i < p->ask.candidate_count; i++) {
        stoq_buf_release(&p->receipts[i]);
    }
    free(p->receipts);
    free(p->replicas);
    free(p->candidates);
    free(p->slice_bytes);
}

enum stoq_status op_distribute(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                               json_t **result, struct stoq_error *err)
{
    struct placing p = {.host = host, .io = io};
    json_t *verdicts = NULL;
    const char *kind = stoq_json_text(args, "kind");
    enum stoq_status st = take_args(&p, args, err);
    if (st == STOQ_OK) {
        st = look_at_package(&p, err);
    }
    if (st == STOQ_OK) {
        st = choose(&p, args, &verdicts, err);
    }
    if (st == STOQ_OK) {
        st = place(&p, err);
    }
    if (st == STOQ_OK) {
        *result = to_json(&p, verdicts, kind != NULL ? kind : "replication");
    }
    json_decref(verdicts);
    placing_release(&p);
    return st;
}
