/*
 * track: where a package is: placements that run, and the receipts of those that ended, checked as they
 * are shown.
 */
#include "daemon/ops_internal.h"

#include "daemon/receipts.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <string.h>
#include <time.h>

#define LOOK_EVERY (100 * STOQ_MS)

struct tracking {
    struct stoq_package_id id;
    json_t *running;
    json_t *receipts;
    const json_t *known; /* of op_standing; NULL: no daemon */
    uint64_t shards;     /* of the package; 0: not here */
    uint64_t bytes_sent; /* of the placements that run */
    uint64_t bytes_total;
};

static void add_running(void *user, const struct stoq_placement *p)
{
    struct tracking *t = user;
    struct stoq_replica_sum sum = {0};
    for (size_t i = 0; i < p->count; i++) {
        sum.verified += p->replicas[i].view.state == STOQ_REPLICA_VERIFIED;
        t->bytes_sent += p->replicas[i].view.bytes_sent;
    }
    t->bytes_total += p->bytes * p->wanted;
    (void)json_array_append_new(
        t->running, json_pack("{s:I, s:I, s:I, s:o, s:o}", "wanted", (json_int_t)p->wanted, "got",
                              (json_int_t)sum.verified, "bytes", (json_int_t)p->bytes, "seconds",
                              op_seconds(p->elapsed_ns), "replicas", op_replicas(p)));
}

static const char *domain_of(const struct tracking *t, const char *peer)
{
    size_t i;
    const json_t *o;
    json_array_foreach (t->known, i, o) {
        const char *name = stoq_json_text(o, "peer");
        if (name != NULL && strcmp(name, peer) == 0) {
            return stoq_json_text(o, "domain");
        }
    }
    return NULL;
}

static void add_receipt(void *user, const struct stoq_holding *h)
{
    struct tracking *t = user;
    char peer[STOQ_ID_TEXT_CAP];
    bool partial = h->shard_count > 0 && t->shards > 0 && h->shard_count < t->shards;
    const char *why = h->why[0] != '\0' ? h->why : partial ? "not for all shards" : NULL;
    stoq_peer_id_put(peer, &h->peer);
    (void)json_array_append_new(
        t->receipts, json_pack("{s:s, s:s?, s:b, s:I, s:I, s:I, s:s*}", "peer", peer, "domain",
                               domain_of(t, peer), "valid", (int)(h->valid && !partial), "bytes",
                               (json_int_t)h->bytes, "verified_at", (json_int_t)h->verified_at_s,
                               "keep_until", (json_int_t)h->keep_until_s, "why", why));
}

static bool count_shards(void *user, const struct stoq_local_package *p)
{
    ((struct tracking *)user)->shards = p->manifest->shards;
    return true;
}

static enum stoq_status look(struct stoq_host *host, struct tracking *t, struct stoq_error *err)
{
    json_array_clear(t->running);
    t->bytes_sent = 0;
    t->bytes_total = 0;
    if (!stoq_host_is_daemon(host)) {
        return STOQ_OK;
    }
    enum stoq_status st = stoq_engine_placements(stoq_host_engine(host), &t->id, add_running, t);
    return st == STOQ_OK ? st : stoq_fail(err, st, 0, "no memory for a placement");
}

/* Show placements until none runs. */
static enum stoq_status follow(struct stoq_host *host, struct tracking *t, struct stoq_op_io *io,
                               struct stoq_error *err)
{
    enum stoq_status st = look(host, t, err);
    while (st == STOQ_OK && json_array_size(t->running) > 0) {
        const struct timespec nap = {.tv_nsec = (long)LOOK_EVERY};
        op_progress(io, json_pack("{s:s, s:s, s:I, s:I, s:O}", "type", "progress", "phase",
                                  "distribute", "bytes", (json_int_t)t->bytes_sent, "bytes_total",
                                  (json_int_t)t->bytes_total, "placements", t->running));
        (void)nanosleep(&nap, NULL);
        st = op_cancelled(io) ? stoq_fail(err, STOQ_CANCELLED, 0, "interrupted")
                              : look(host, t, err);
    }
    return st;
}

static enum stoq_status track(struct stoq_host *host, struct tracking *t, const json_t *args,
                              struct stoq_op_io *io, struct stoq_error *err)
{
    struct stoq_store *store = stoq_host_store(host);
    struct stoq_error absent; /* a package that is gone may still be tracked */
    json_t *known = NULL;
    enum stoq_status st =
        stoq_json_bool(args, "follow", false) ? follow(host, t, io, err) : look(host, t, err);
    if (st == STOQ_OK && stoq_host_is_daemon(host)) {
        st = op_standing(host, &known, err);
    }
    if (st == STOQ_OK) {
        t->known = known;
        if (stoq_local_info(store, &t->id, count_shards, t, &absent) != STOQ_OK) {
            t->shards = 0;
        }
        st = stoq_receipts_each(store, &t->id, add_receipt, t, err);
    }
    json_decref(known);
    return st;
}

enum stoq_status op_track(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    struct tracking t = {.running = json_array(), .receipts = json_array()};
    enum stoq_status st = op_id(args, &t.id, err);
    if (st == STOQ_OK) {
        st = track(host, &t, args, io, err);
    }
    if (st == STOQ_OK && t.shards == 0 && json_array_size(t.receipts) == 0 &&
        json_array_size(t.running) == 0 && !stoq_local_has(stoq_host_store(host), &t.id)) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "no such package here, and no receipt for it");
    }
    if (st == STOQ_OK) {
        *result = json_pack("{s:s, s:O, s:O}", "id", stoq_json_text(args, "id"), "placements",
                            t.running, "receipts", t.receipts);
    }
    json_decref(t.running);
    json_decref(t.receipts);
    return st;
}
