/* The DHT: taking part, announcing, finding, and looking into it. */
#include "daemon/engine_dht.h"
#include "daemon/ops_internal.h"
#include "daemon/pointers.h"

#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S_MAX 600

static json_t *hex(const struct stoq_hash *h)
{
    char text[2 * sizeof h->b + 1];
    stoq_hex_put(text, stoq_span(h->b, sizeof h->b));
    return json_string(text);
}

static json_t *peer_json(const struct stoq_peer_id *id)
{
    char text[STOQ_ID_TEXT_CAP];
    stoq_peer_id_put(text, id);
    return json_string(text);
}

static json_t *addr_json(const struct stoq_addr *addr)
{
    char text[STOQ_ADDR_TEXT_MAX];
    return json_string(stoq_addr_format(addr, text));
}

static json_t *ms_json(stoq_ns ns)
{
    return ns == 0 ? json_null() : json_real((double)ns / 1e6);
}

static enum stoq_status no_memory(struct stoq_error *err)
{
    return stoq_fail(err, STOQ_NOMEM, 0, "no memory to tell of the DHT");
}

enum stoq_status op_join(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    struct stoq_fetch_source way;
    struct stoq_engine_dht_status status;
    (void)io;
    enum stoq_status st = stoq_source_parse(&way, stoq_json_text(args, "to"), err);
    if (st != STOQ_OK) {
        return st;
    }
    stoq_engine_dht_status(stoq_host_engine(host), &status);
    if (!status.on) {
        return stoq_fail(err, STOQ_NOTFOUND, 0,
                         "this daemon takes no part in a DHT: discovery.dht is off");
    }
    stoq_engine_dht_join(stoq_host_engine(host), &way);
    *result = json_pack("{s:o, s:o}", "peer", peer_json(&way.peer), "addr", addr_json(&way.addr));
    return *result == NULL ? no_memory(err) : STOQ_OK;
}

enum stoq_status op_announce(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_dht_announced a = {0};
    enum stoq_status st = op_id(args, &id, err);
    if (st == STOQ_OK && !stoq_local_has(stoq_host_store(host), &id)) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "only a package that is complete here can be announced");
    }
    if (st == STOQ_OK) {
        st = stoq_engine_dht_announce(stoq_host_engine(host), &id, &a, op_cancelled, io, err);
    }
    if (st != STOQ_OK) {
        return st;
    }
    if (!a.enough) {
        return stoq_fail_code(err, STOQ_FULL, "InsufficientReplicas",
                              "%u of %u nodes hold the record, a majority is needed; it is tried "
                              "again in the background",
                              a.got, a.wanted);
    }
    *result = json_pack("{s:s, s:o, s:i, s:i, s:I}", "id", stoq_json_text(args, "id"), "key",
                        hex(&a.key), "wanted", (int)a.wanted, "got", (int)a.got, "again_in_s",
                        (json_int_t)(a.again_in_ns / STOQ_SEC));
    return *result == NULL ? no_memory(err) : STOQ_OK;
}

static json_t *hops_json(const struct stoq_engine_dht_found *found)
{
    static const char *const outcome[] = {
        [STOQ_DHT_DONE] = "ok",           [STOQ_DHT_SILENT] = "silent",
        [STOQ_DHT_BUSY] = "busy",         [STOQ_DHT_STALE] = "stale",
        [STOQ_DHT_REJECTED] = "rejected", [STOQ_DHT_REFUSED] = "refused",
        [STOQ_DHT_BROKEN] = "broken"};
    json_t *list = json_array();
    for (size_t i = 0; i < found->hop_count; i++) {
        const struct stoq_engine_dht_hop *h = &found->hops[i];
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:s, s:i, s:i, s:i, s:i, s:o}", "peer",
                            peer_json(&h->peer), "addr", addr_json(&h->addr), "id", hex(&h->id),
                            "outcome", outcome[h->outcome], "hop", (int)h->hop, "path",
                            (int)h->path, "contacts", (int)h->contacts, "records", (int)h->records,
                            "took_ms", ms_json(h->took_ns)));
    }
    return list;
}

static json_t *providers_json(const struct stoq_engine_dht_found *found)
{
    json_t *list = json_array();
    for (size_t i = 0; i < found->provider_count; i++) {
        const struct stoq_engine_dht_provider *p = &found->providers[i];
        json_t *addrs = json_array();
        for (size_t k = 0; k < p->addr_count; k++) {
            (void)json_array_append_new(addrs, addr_json(&p->addrs[k]));
        }
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:I, s:i}", "peer", peer_json(&p->peer), "addrs", addrs,
                            "issued_at", (json_int_t)p->issued_at_s, "ttl_s", (int)p->ttl_s));
    }
    return list;
}

static json_t *near_json(const struct stoq_engine_dht_found *found)
{
    json_t *list = json_array();
    for (size_t i = 0; i < found->near_count; i++) {
        const struct stoq_engine_dht_contact *c = &found->near[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:o, s:o, s:o}", "peer", peer_json(&c->peer),
                                              "addr", addr_json(&c->addr), "id", hex(&c->id)));
    }
    return list;
}

/* Look, and tell all of it. */
static enum stoq_status look(struct stoq_host *host, const struct stoq_hash *key, bool value,
                             bool trace, struct stoq_op_io *io, json_t **result,
                             struct stoq_error *err)
{
    struct stoq_engine_dht_found *found = malloc(sizeof *found);
    struct stoq_engine_dht_ask ask = {
        .target = *key, .value = value, .trace = trace, .cancelled = op_cancelled, .user = io};
    if (found == NULL) {
        return no_memory(err);
    }
    enum stoq_status st = stoq_engine_dht_look(stoq_host_engine(host), &ask, found, err);
    if (st == STOQ_OK) {
        *result = json_pack("{s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:o}", "key", hex(key),
                            "providers", providers_json(found), "nearest", near_json(found),
                            "calls", (int)found->calls, "silent", (int)found->silent, "hops",
                            (int)found->hops_most, "paths", (int)found->paths, "took_ms",
                            ms_json(found->took_ns));
        if (*result != NULL && trace) {
            (void)json_object_set_new(*result, "trace", hops_json(found));
        }
        st = *result == NULL ? no_memory(err) : STOQ_OK;
    }
    free(found);
    return st;
}

/* What a name stands for is an answer, whoever provides it. */
static enum stoq_status add_name(const struct stoq_pointer_kept *name, json_t **result,
                                 struct stoq_error *err)
{
    char id[STOQ_ID_TEXT_CAP];
    struct stoq_key_id publisher = stoq_spki_key_id(name->p.spki);
    stoq_package_id_put(id, &name->p.id);
    json_t *o = *result != NULL ? *result : json_pack("{s:[]}", "providers");
    bool ok = o != NULL && json_object_set_new(o, "id", json_string(id)) == 0;
    ok = ok && json_object_set_new(o, "publisher", op_key_id(true, &publisher)) == 0;
    ok = ok && stoq_json_set_text(o, "name", name->p.name);
    ok = ok && stoq_json_set_text(o, "version", name->p.version);
    ok = ok && stoq_json_set_u64(o, "sequence", name->p.sequence);
    ok = ok && stoq_json_set_u64(o, "issued_at", name->p.issued_at_s);
    ok = ok && stoq_json_set_u64(o, "expires_at", name->p.expires_s);
    *result = o;
    return ok ? STOQ_OK : no_memory(err);
}

/* Peers that have announced it on their connections; where there are some, no DHT is needed. */
static enum stoq_status add_tellers(struct stoq_host *host, const struct stoq_package_id *id,
                                    enum stoq_status st, json_t **result, struct stoq_error *err)
{
    struct stoq_fetch_source list[STOQ_FETCH_SOURCES_MAX];
    size_t n = stoq_engine_tellers(stoq_host_engine(host), id, list, STOQ_COUNT(list));
    json_t *tellers = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(tellers,
                                    json_pack("{s:o, s:o}", "peer", peer_json(&list[i].peer),
                                              "addr", addr_json(&list[i].addr)));
    }
    if (n > 0 && st == STOQ_NOTFOUND) {
        *result = json_pack("{s:[]}", "providers");
        st = STOQ_OK;
    }
    if (st != STOQ_OK) {
        json_decref(tellers);
        return st;
    }
    bool ok = *result != NULL && json_object_set_new(*result, "announced", tellers) == 0;
    return ok ? STOQ_OK : no_memory(err);
}

enum stoq_status op_providers(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    struct stoq_package_id id;
    struct stoq_pointer_kept name = {.n = 0};
    struct stoq_fetch_source sources[STOQ_FETCH_SOURCES_MAX];
    size_t source_count = 0;
    bool lan;
    enum stoq_status st = op_sources(host, args, sources, &source_count, &lan, err);
    if (st == STOQ_OK) {
        st = op_id_or_name(host, args, sources, source_count, io, &id, &name, err);
    }
    if (st == STOQ_OK) {
        struct stoq_hash key = stoq_dht_key(&id);
        st = look(host, &key, true, stoq_json_bool(args, "trace", false), io, result, err);
        st = add_tellers(host, &id, st, result, err);
    }
    if (name.n > 0 && (st == STOQ_OK || st == STOQ_NOTFOUND)) {
        return add_name(&name, result, err);
    }
    if (st == STOQ_OK && json_array_size(json_object_get(*result, "providers")) == 0 &&
        json_array_size(json_object_get(*result, "announced")) == 0) {
        json_decref(*result);
        *result = NULL;
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                              "nobody in the DHT says that it provides this package, and no "
                              "peer has announced it");
    }
    return st;
}

enum stoq_status op_dht_lookup(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                               json_t **result, struct stoq_error *err)
{
    const char *text = stoq_json_text(args, "key");
    struct stoq_package_id id;
    struct stoq_hash key;
    if (strlen(text) == 2 * sizeof key.b && stoq_hex_get(key.b, sizeof key.b, text)) {
        return look(host, &key, false, stoq_json_bool(args, "trace", false), io, result, err);
    }
    enum stoq_status st = stoq_package_id_parse(&id, text, err);
    if (st != STOQ_OK && strncmp(text, "stoq1", 5) != 0) {
        return stoq_fail_code(err, st, "InvalidId",
                              "'%.80s' is neither a key, 64 hexadecimal digits, nor a package id",
                              text);
    }
    if (st == STOQ_OK) {
        key = stoq_dht_key(&id);
        st = look(host, &key, false, stoq_json_bool(args, "trace", false), io, result, err);
    }
    return st;
}

static void add_contact(void *user, const struct stoq_engine_dht_contact *c)
{
    (void)json_array_append_new(user, json_pack("{s:o, s:o, s:o, s:i, s:o, s:I, s:i, s:b}", "peer",
                                                peer_json(&c->peer), "addr", addr_json(&c->addr),
                                                "id", hex(&c->id), "level", (int)c->about.level,
                                                "rtt_ms", ms_json(c->about.rtt_ns), "seen_s",
                                                (json_int_t)(c->about.seen_ns / STOQ_SEC), "fails",
                                                (int)c->about.fails, "spare", (int)c->about.spare));
}

enum stoq_status op_dht_table(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    json_t *list = json_array();
    (void)args;
    (void)io;
    enum stoq_status st = stoq_engine_dht_table(stoq_host_engine(host), add_contact, list);
    *result = json_pack("{s:o}", "contacts", list);
    return st == STOQ_OK && *result != NULL ? STOQ_OK : no_memory(err);
}

enum stoq_status op_dht(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                        json_t **result, struct stoq_error *err)
{
    struct stoq_engine_dht_status s;
    struct stoq_dht_announced own = {0};
    struct stoq_package_id id;
    (void)io;
    stoq_engine_dht_status(stoq_host_engine(host), &s);
    json_t *refused = json_object();
    for (int i = 0; i < STOQ_DHT_REFUSALS; i++) {
        (void)json_object_set_new(refused, stoq_dht_refusal_str((enum stoq_dht_refusal)i),
                                  json_integer((json_int_t)s.stats.refused[i]));
    }
    *result = json_pack(
        "{s:b, s:b, s:b, s:b, s:o, s:i, s:i, s:i, s:i, s:I, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:I, "
        "s:I, s:I, s:I, s:I, s:o}",
        "on", (int)s.on, "client", (int)s.client, "up", (int)s.up, "searching", (int)s.searching,
        "id", s.up && !s.client ? hex(&s.id) : json_null(), "bits", (int)s.work_bits, "contacts",
        (int)s.stats.contacts, "spare", (int)s.stats.spare, "levels", (int)s.stats.levels,
        "network_size", (json_int_t)(s.stats.network_size & INT64_MAX), "records",
        (int)s.stats.records, "announced", (int)s.stats.own, "announced_held",
        (int)s.stats.own_held, "announced_due", (int)s.stats.own_due, "lookups",
        (json_int_t)s.stats.lookups, "stores", (json_int_t)s.stats.stores, "renewed",
        (json_int_t)s.stats.renewed, "patched", (json_int_t)s.stats.patched, "sent",
        (json_int_t)s.stats.sent, "kept", (json_int_t)s.stats.kept, "anew",
        (json_int_t)s.stats.anew, "signatures", (json_int_t)s.stats.signatures, "refused", refused);
    if (*result != NULL) {
        uint64_t percent = s.stats.own == 0 ? 100 : (uint64_t)s.stats.own_fresh * 100 / s.stats.own;
        (void)json_object_set_new(*result, "announced_percent", json_integer((json_int_t)percent));
    }
    if (*result != NULL && json_object_get(args, "id") != NULL) {
        size_t held;
        enum stoq_status st = op_id(args, &id, err);
        if (st != STOQ_OK) {
            return st;
        }
        bool known = stoq_engine_dht_own(stoq_host_engine(host), &id, &own, &held);
        (void)json_object_set_new(*result, "held", json_integer((json_int_t)held));
        (void)json_object_set_new(*result, "own",
                                  known ? json_pack("{s:i, s:i, s:b}", "wanted", (int)own.wanted,
                                                    "got", (int)own.got, "enough", (int)own.enough)
                                        : json_null());
    }
    return *result == NULL ? no_memory(err) : STOQ_OK;
}
