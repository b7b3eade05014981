/* Removal, and what only a running daemon can tell or do: peers, status, stop. */
#include "daemon/ops_internal.h"

#include "daemon/keep.h"
#include "daemon/keeper.h"
#include "daemon/replicator.h"
#include "os/sys.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum stoq_status op_rm(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                       json_t **result, struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_local_removed removed = {0};
    enum stoq_status st = op_id(args, &id, err);
    if (st == STOQ_OK) {
        st = stoq_host_content_begin(host, true, OP_WAIT_NS, op_cancelled, io, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_subject subject = stoq_subject_of_package(&id);
    st = stoq_keep_check_free(stoq_host_store(host), &subject, stoq_wall_seconds(), err);
    if (st == STOQ_OK) {
        st = stoq_local_remove(stoq_host_store(host), &id, &removed, err);
    }
    stoq_host_content_end(host, true);
    if (st == STOQ_OK) {
        stoq_host_tell(host, &id, false);
        *result = json_pack("{s:s, s:I, s:I, s:I}", "id", stoq_json_text(args, "id"), "chunks",
                            (json_int_t)removed.chunks, "bytes", (json_int_t)removed.bytes,
                            "chunks_shared", (json_int_t)removed.chunks_shared);
    }
    return st;
}

static double milliseconds(stoq_ns ns)
{
    uint64_t us = ns / 1000;
    return (double)us / 1e3;
}

static double loss_of(const struct stoq_net_info *n)
{
    return n->packets_sent == 0 ? 0 : (double)n->packets_lost / (double)n->packets_sent;
}

/* What was agreed on with this peer. */
static bool add_agreed(json_t *o, const struct stoq_engine_peer *p)
{
    const struct stoq_net_info *n = &p->net;
    bool ok = json_object_set_new(o, "mode", json_string(stoq_net_mode_str(n->mode))) == 0;
    ok &= json_object_set_new(o, "group", json_string(n->group)) == 0;
    ok &= json_object_set_new(o, "congestion", json_string(n->cc)) == 0;
    ok &= json_object_set_new(o, "compression",
                              p->said_hello ? json_string(p->raw ? "none" : "zstd")
                                            : json_null()) == 0;
    return ok;
}

static bool add_path(json_t *o, const struct stoq_net_info *n)
{
    json_t *path = json_pack(
        "{s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "rtt_ms", milliseconds(n->srtt_ns),
        "min_rtt_ms", milliseconds(n->min_rtt_ns), "loss", loss_of(n), "packets_sent",
        (json_int_t)n->packets_sent, "packets_lost", (json_int_t)n->packets_lost, "packet_bytes",
        (json_int_t)n->packet_bytes, "cwnd_bytes", (json_int_t)n->cwnd_bytes, "wire_bytes_sent",
        (json_int_t)n->bytes_sent, "wire_bytes_received", (json_int_t)n->bytes_received);
    bool ok = path != NULL && json_object_update(o, path) == 0;
    json_decref(path);
    return ok;
}

static void add_peer(void *user, const struct stoq_engine_peer *p)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    const struct stoq_net_info *n = &p->net;
    stoq_peer_id_put(peer, &n->peer);
    json_t *o =
        json_pack("{s:s*, s:s, s:b, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:f}", "peer",
                  n->opened ? peer : NULL, "addr", stoq_addr_format(&n->addr, addr), "inbound",
                  (int)n->inbound, "connected", (int)n->opened, "agent", p->agent, "bytes_fetched",
                  (json_int_t)p->bytes_fetched, "bytes_served", (json_int_t)p->bytes_served,
                  "requests_served", (json_int_t)p->requests_served, "streams",
                  (json_int_t)n->streams, "memory_bytes", (json_int_t)n->memory_bytes, "seconds",
                  n->opened ? milliseconds(stoq_now() - n->opened_at_ns) / 1e3 : 0.0);
    if (o != NULL && add_agreed(o, p) && add_path(o, n)) {
        (void)json_array_append_new(user, o);
    } else {
        json_decref(o);
    }
}

static json_t *neighbours_to_json(struct stoq_host *host)
{
    struct stoq_engine_lan lan;
    struct stoq_engine_neighbour n[STOQ_ENGINE_NEIGHBOURS_MAX];
    json_t *list = json_array();
    stoq_engine_lan(stoq_host_engine(host), &lan, n, STOQ_COUNT(n));
    for (size_t i = 0; i < lan.neighbours && i < STOQ_COUNT(n); i++) {
        char peer[STOQ_ID_TEXT_CAP];
        char addr[STOQ_ADDR_TEXT_MAX];
        stoq_peer_id_put(peer, &n[i].peer);
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:f, s:f}", "peer", peer, "addr",
                                              stoq_addr_format(&n[i].addr, addr), "known_seconds",
                                              milliseconds(n[i].known_ns) / 1e3, "heard_seconds",
                                              milliseconds(n[i].heard_ns) / 1e3));
    }
    return list;
}

/* Every connection; NULL with err: no answer. */
static json_t *connections(struct stoq_host *host, struct stoq_error *err)
{
    json_t *list = json_array();
    enum stoq_status st = stoq_engine_peers(stoq_host_engine(host), add_peer, list);
    if (st != STOQ_OK) {
        json_decref(list);
        (void)stoq_fail(err, st, 0, "the network thread gave no answer");
        return NULL;
    }
    return list;
}

enum stoq_status op_peers(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    json_t *list = connections(host, err);
    if (list == NULL) {
        return err->status;
    }
    json_t *known = NULL;
    enum stoq_status st = op_standing(host, &known, err);
    *result = st == STOQ_OK ? json_pack("{s:O, s:o, s:o}", "peers", list, "known", known,
                                        "neighbours", neighbours_to_json(host))
                            : NULL;
    json_decref(list);
    return st;
}

static json_t *listen_to_json(const struct stoq_engine *engine)
{
    struct stoq_addr addr = {0};
    char text[STOQ_ADDR_TEXT_MAX];
    json_t *list = json_array();
    for (size_t i = 0; stoq_engine_local_addr(engine, i, &addr); i++) {
        (void)json_array_append_new(list, json_string(stoq_addr_format(&addr, text)));
    }
    return list;
}

/* How full the store may be and is, and what was done about it. */
static json_t *room_to_json(struct stoq_host *host)
{
    struct stoq_keeper_status k;
    stoq_keeper_status(stoq_host_keeper(host), &k);
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "quota_bytes", (json_int_t)k.quota_bytes,
        "used_bytes", (json_int_t)k.used_bytes, "high_bytes", (json_int_t)k.high_bytes, "low_bytes",
        (json_int_t)k.low_bytes, "collections", (json_int_t)k.collections, "bytes_freed",
        (json_int_t)k.bytes_freed, "packages_given_up", (json_int_t)k.packages_given_up);
}

static json_t *store_to_json(const struct stoq_store_stats *s)
{
    const struct stoq_store_type_stats *chunk = &s->type[STOQ_RECORD_CHUNK];
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "packages",
        (json_int_t)s->type[STOQ_RECORD_PACKAGE].records, "chunks", (json_int_t)chunk->records,
        "chunk_bytes", (json_int_t)chunk->raw_bytes, "chunk_bytes_stored",
        (json_int_t)chunk->stored_bytes, "segments", (json_int_t)s->segment_count, "segment_bytes",
        (json_int_t)s->segment_bytes, "index_bytes", (json_int_t)s->index_bytes, "dedup_bytes",
        (json_int_t)s->dedup_bytes, "zstd_saved_bytes", (json_int_t)s->zstd_saved_bytes,
        "compressions", (json_int_t)s->compressions, "quarantined", (json_int_t)s->quarantined);
}

/* What each network thread carries. */
static json_t *threads_to_json(const struct stoq_engine_stats *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->thread_count; i++) {
        const struct stoq_net_stats *t = &s->threads[i];
        (void)json_array_append_new(
            list,
            json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "connections", (json_int_t)t->connections,
                      "opened_inbound", (json_int_t)t->opened_inbound, "opened_outbound",
                      (json_int_t)t->opened_outbound, "wire_bytes_sent", (json_int_t)t->bytes_sent,
                      "wire_bytes_received", (json_int_t)t->bytes_received, "handed_on",
                      (json_int_t)t->handed_on));
    }
    return list;
}

static json_t *net_to_json(const struct stoq_engine_stats *s)
{
    return json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
        "threads", threads_to_json(s), "dialling", (json_int_t)s->dials, "dialling_most",
        (json_int_t)s->dials_most, "dialling_most_all", (json_int_t)s->dials_all_most,
        "dials_begun", (json_int_t)s->dials_begun, "early_asked", (json_int_t)s->early_asks,
        "early_taken", (json_int_t)s->net.early_streams, "early_rejected",
        (json_int_t)s->net.early_rejected, "dials_waiting", (json_int_t)s->dials_waiting,
        "rpc_answered", (json_int_t)s->net.rpc_answered, "rpc_dropped",
        (json_int_t)s->net.rpc_dropped, "dropped_outsider", (json_int_t)s->net.dropped_outsider,
        "requests_refused", (json_int_t)s->requests_refused, "peers_known",
        (json_int_t)s->peers_known, "connections", (json_int_t)s->net.connections, "handshakes",
        (json_int_t)s->net.handshakes, "opened_inbound", (json_int_t)s->net.opened_inbound,
        "opened_outbound", (json_int_t)s->net.opened_outbound, "refused",
        (json_int_t)s->net.refused, "wire_bytes_sent", (json_int_t)s->net.bytes_sent,
        "wire_bytes_received", (json_int_t)s->net.bytes_received, "bytes_served",
        (json_int_t)s->bytes_served, "bytes_fetched", (json_int_t)s->bytes_fetched,
        "requests_served", (json_int_t)s->requests_served, "serving", (json_int_t)s->serving,
        "fetching", (json_int_t)s->fetching);
}

/* What was turned away, by the check that did it (docs/PROTOCOL.md section 18). */
static json_t *rejected_to_json(const struct stoq_engine_stats *s)
{
    const struct stoq_net_stats *n = &s->net;
    const struct {
        const char *name;
        uint64_t count;
    } checks[] = {
        {"malformed", n->dropped_malformed},
        {"unknown", n->dropped_unknown},
        {"outsider", n->dropped_outsider},
        {"replayed", n->dropped_replayed},
        {"prefix", n->dropped_prefix},
        {"full", n->dropped_full},
        {"crowded", n->dropped_crowded},
        {"displaced", n->displaced},
        {"retries", n->retries_sent},
        {"resets", n->resets_sent},
        {"rpc", n->rpc_dropped},
        {"early", n->early_refused},
        {"handshake_timed_out", n->refused_why[STOQ_NET_TIMED_OUT]},
        {"handshake_no_key", n->refused_why[STOQ_NET_NO_KEY]},
        {"handshake_wrong_key", n->refused_why[STOQ_NET_WRONG_KEY]},
        {"handshake_no_group", n->refused_why[STOQ_NET_NO_GROUP]},
        {"handshake_no_alpn", n->refused_why[STOQ_NET_NO_ALPN]},
        {"handshake_protocol", n->refused_why[STOQ_NET_PROTOCOL]},
        {"handshake_given_up", n->refused_why[STOQ_NET_PEER]},
        {"handshake_unreachable", n->refused_why[STOQ_NET_UNREACHABLE]},
        {"request_malformed", s->requests_malformed},
        {"request_refused", s->requests_refused - s->requests_malformed},
        {"request_slow", s->requests_slow},
        {"request_broken", s->streams_broken},
        {"reply_stalled", s->replies_stalled},
        {"peer_closed", s->peers_closed},
    };
    json_t *out = json_object();
    for (size_t i = 0; i < STOQ_COUNT(checks); i++) {
        if (json_object_set_new(out, checks[i].name, json_integer((json_int_t)checks[i].count)) !=
            0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static json_t *limit(uint64_t used, uint64_t max)
{
    return json_pack("{s:I, s:I}", "used", (json_int_t)used, "max", (json_int_t)max);
}

/* Every limit beside what is in use of it. */
static json_t *limits_to_json(const struct stoq_engine_stats *s)
{
    uint64_t files = 0;
    uint64_t files_max = 0;
    const struct stoq_engine_limits *u = &s->used;
    const struct stoq_engine_limits *m = &s->limits;
    if (stoq_open_files(&files, &files_max) != STOQ_OK) {
        files_max = 0; /* /proc is not mounted */
    }
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "handshakes", limit(u->handshakes, m->handshakes),
        "connections", limit(u->connections, m->connections), "connections_prefix",
        limit(u->connections_prefix, m->connections_prefix), "streams",
        limit(u->streams, m->streams), "memory_peer",
        limit(u->memory_peer_bytes, m->memory_peer_bytes), "memory",
        limit(u->memory_bytes, m->memory_bytes), "open_files", limit(files, files_max));
}

static json_t *source_to_json(const struct stoq_fetch_source *s, const struct stoq_peers_place *at)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    static const struct stoq_peers_place nowhere;
    stoq_peer_id_put(peer, &s->peer);
    at = at == NULL ? &nowhere : at;
    return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:s*}", "peer", peer, "addr",
                     stoq_addr_format(&s->addr, addr), "host", at->host[0] ? at->host : NULL,
                     "site", at->site[0] ? at->site : NULL, "rack", at->rack[0] ? at->rack : NULL,
                     "region", at->region[0] ? at->region : NULL);
}

static json_t *sources_to_json(const struct stoq_fetch_source *s, const struct stoq_peers_place *at,
                               size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, source_to_json(&s[i], at == NULL ? NULL : &at[i]));
    }
    return list;
}

/* Which configuration holds, and why a later one does not. */
static json_t *reading_to_json(struct stoq_host *host)
{
    struct stoq_host_reading r;
    stoq_host_reading(host, &r);
    return json_pack("{s:s, s:I, s:s*, s:s*}", "file", stoq_host_home(host)->config_file, "read_at",
                     (json_int_t)r.at, "refused", r.failed ? r.why : NULL, "next_start",
                     r.waits[0] != '\0' ? r.waits : NULL);
}

static json_t *dns_sd_to_json(const struct stoq_engine_dnssd *s)
{
    return json_pack("{s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "on", (int)s->on, "name", s->name,
                     "links", (json_int_t)s->links, "queries", (json_int_t)s->queries, "sent",
                     (json_int_t)s->sent, "refused", (json_int_t)s->refused, "throttled",
                     (json_int_t)s->throttled, "renamed", (json_int_t)s->renamed);
}

static json_t *lan_to_json(struct stoq_host *host)
{
    struct stoq_engine_lan lan;
    stoq_engine_lan(stoq_host_engine(host), &lan, NULL, 0);
    return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "on", (int)lan.on,
                     "announced", (int)lan.serving, "links", (json_int_t)lan.links, "neighbours",
                     (json_int_t)lan.neighbours, "beacons_sent", (json_int_t)lan.sent,
                     "beacons_heard", (json_int_t)lan.heard, "beacons_refused",
                     (json_int_t)lan.refused, "beacons_throttled", (json_int_t)lan.throttled,
                     "dns_sd", dns_sd_to_json(&lan.dns_sd));
}

/* What came of peers telling each other of peers. */
static json_t *exchange_to_json(struct stoq_host *host)
{
    struct stoq_engine_exchange x;
    stoq_engine_exchange(stoq_host_engine(host), &x);
    const struct stoq_exchange_stats *s = &x.stats;
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "on",
                     (int)x.on, "known", (json_int_t)s->known, "met", (json_int_t)s->met, "asked",
                     (json_int_t)s->asked, "answered", (json_int_t)s->answered, "too_soon",
                     (json_int_t)s->refused, "dialled", (json_int_t)s->dialled, "records_taken",
                     (json_int_t)s->taken, "records_foreign",
                     (json_int_t)s->verdicts[STOQ_EXCHANGE_FOREIGN], "records_forged",
                     (json_int_t)s->verdicts[STOQ_EXCHANGE_FORGED], "records_expired",
                     (json_int_t)s->verdicts[STOQ_EXCHANGE_EXPIRED], "records_refused",
                     (json_int_t)s->verdicts[STOQ_EXCHANGE_FULL]);
}

/* What came of packages announced on connections. */
static json_t *announcements_to_json(struct stoq_host *host)
{
    struct stoq_engine_tell t;
    stoq_engine_tell(stoq_host_engine(host), &t);
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "on", (int)t.on, "sent",
                     (json_int_t)t.told, "accepted", (json_int_t)t.accepted, "taken",
                     (json_int_t)t.taken, "refused", (json_int_t)t.refused, "forged",
                     (json_int_t)t.forged, "kept", (json_int_t)t.kept);
}

/* Offers of others. */
static json_t *offers_to_json(struct stoq_host *host)
{
    struct stoq_replicator_status s;
    stoq_replicator_status(stoq_host_replicator(host), &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "waiting", (json_int_t)s.waiting, "at_work",
                     (json_int_t)s.at_work, "kept", (json_int_t)s.kept, "failed",
                     (json_int_t)s.failed, "refused", (json_int_t)s.refused, "bytes_kept",
                     (json_int_t)s.bytes_kept);
}

static enum stoq_status gather(struct stoq_host *host, struct stoq_engine_stats *net,
                               struct stoq_store_stats *store, struct stoq_error *err)
{
    enum stoq_status st = stoq_engine_stats(stoq_host_engine(host), net);
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "the network thread gave no answer");
    }
    return stoq_store_stats(stoq_host_store(host), store, err);
}

static json_t *status_to_json(struct stoq_host *host, const struct stoq_config *c,
                              const struct stoq_engine_stats *net,
                              const struct stoq_store_stats *store)
{
    char peer[STOQ_ID_TEXT_CAP];
    struct stoq_peer_id id = stoq_key_peer_id(stoq_host_key(host));
    stoq_peer_id_put(peer, &id);
    return json_pack("{s:s, s:s, s:s, s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:o}",
                     "peer", peer, "version", STOQ_PROGRAM_VERSION, "protocol", STOQ_NET_ALPN,
                     "pid", (json_int_t)getpid(), "listen", listen_to_json(stoq_host_engine(host)),
                     "home", stoq_host_home(host)->data_dir, "mode", c->client ? "client" : "p2p",
                     "encryption", stoq_net_mode_str(c->encryption), "compression",
                     c->raw ? "none" : "zstd", "congestion", stoq_net_cc_str(c->congestion),
                     "seconds", op_seconds(stoq_now() - stoq_host_started_at(host)), "store",
                     store_to_json(store), "room", room_to_json(host), "net", net_to_json(net),
                     "limits", limits_to_json(net), "static_peers",
                     sources_to_json(c->peers, c->peer_places, c->peer_count), "bootstrap",
                     sources_to_json(c->bootstrap, NULL, c->bootstrap_count));
}

enum stoq_status op_status(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    struct stoq_engine_stats net = {0};
    struct stoq_store_stats store = {0};
    struct stoq_config *config = malloc(sizeof *config);
    if (config == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the status");
    }
    enum stoq_status st = gather(host, &net, &store, err);
    json_t *list = st == STOQ_OK ? connections(host, err) : NULL;
    if (list != NULL) {
        stoq_host_config(host, config);
        *result = status_to_json(host, config, &net, &store);
        if (*result == NULL || json_object_set(*result, "connections", list) != 0 ||
            json_object_set_new(*result, "lan", lan_to_json(host)) != 0 ||
            json_object_set_new(*result, "exchange", exchange_to_json(host)) != 0 ||
            json_object_set_new(*result, "announcements", announcements_to_json(host)) != 0 ||
            json_object_set_new(*result, "rejected", rejected_to_json(&net)) != 0 ||
            json_object_set_new(*result, "scrub", op_scrub_status(host)) != 0 ||
            json_object_set_new(*result, "offers", offers_to_json(host)) != 0 ||
            json_object_set_new(*result, "configuration", reading_to_json(host)) != 0) {
            st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for the status");
        }
    } else if (st == STOQ_OK) {
        st = err->status;
    }
    json_decref(list);
    free(config);
    return st;
}

enum stoq_status op_stop(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    *result = json_pack("{s:b, s:I}", "stopping", 1, "pid", (json_int_t)getpid());
    if (*result != NULL) {
        stoq_host_request_stop(host);
    }
    return STOQ_OK;
}
