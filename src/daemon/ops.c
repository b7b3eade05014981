#include "daemon/ops.h"

#include "daemon/ops_internal.h"
#include "wire/bech32m.h"

#include <string.h>
#include <unistd.h>

static const struct stoq_json_key publish_keys[] = {
    {"path", STOQ_JSON_TEXT, false},        {"path_b64", STOQ_JSON_TEXT, false},
    {"name", STOQ_JSON_TEXT, true},         {"version", STOQ_JSON_TEXT, true},
    {"description", STOQ_JSON_TEXT, false}, {"license", STOQ_JSON_TEXT, false},
    {"annotations", STOQ_JSON_MAP, false},  {"depends", STOQ_JSON_TEXTS, false},
    {"sign", STOQ_JSON_BOOL, false},        {"read_bytes", STOQ_JSON_UINT, false},
    {"input", STOQ_JSON_TEXT, false},       {"input_b64", STOQ_JSON_TEXT, false},
    {"entry", STOQ_JSON_TEXT, false},       {"private", STOQ_JSON_BOOL, false},
    {"private_key", STOQ_JSON_TEXT, false}, {"private_key_b64", STOQ_JSON_TEXT, false},
    {"threads", STOQ_JSON_UINT, false},     {"aliases", STOQ_JSON_TEXTS, false},
    {"strict", STOQ_JSON_BOOL, false},      {"secondary", STOQ_JSON_TEXT, false},
    {"profile", STOQ_JSON_UINT, false},     {"in_place", STOQ_JSON_BOOL, false},
    {"newest", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key get_keys[] = {
    {"id", STOQ_JSON_TEXT, true},          {"output", STOQ_JSON_TEXT, false},
    {"output_b64", STOQ_JSON_TEXT, false}, {"stream", STOQ_JSON_BOOL, false},
    {"from", STOQ_JSON_TEXTS, false},      {"timeout_s", STOQ_JSON_UINT, false},
    {"range", STOQ_JSON_TEXT, false},      {"seed", STOQ_JSON_TEXT, false},
    {"seed_b64", STOQ_JSON_TEXT, false},   {"no_sync", STOQ_JSON_BOOL, false},
    {"priority", STOQ_JSON_TEXT, false},   {"strategy", STOQ_JSON_TEXT, false},
};
static const struct stoq_json_key info_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"files", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key cat_keys[] = {
    {"id", STOQ_JSON_TEXT, true},     {"range", STOQ_JSON_TEXT, false},
    {"path", STOQ_JSON_TEXT, false},  {"path_b64", STOQ_JSON_TEXT, false},
    {"from", STOQ_JSON_TEXTS, false}, {"timeout_s", STOQ_JSON_UINT, false},
};
static const struct stoq_json_key verify_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"signed", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key id_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key gc_keys[] = {
    {"dry_run", STOQ_JSON_BOOL, false},
    {"rate", STOQ_JSON_UINT, false},
    {"grace_s", STOQ_JSON_UINT, false},
};
static const struct stoq_json_key lease_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"seconds", STOQ_JSON_UINT, true},
};
static const struct stoq_json_key root_keys[] = {
    {"name", STOQ_JSON_TEXT, true},
    {"id", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key name_keys[] = {
    {"name", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key alias_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"aliases", STOQ_JSON_TEXTS, true},
};
static const struct stoq_json_key find_keys[] = {
    {"alg", STOQ_JSON_TEXT, true},
    {"digest", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key get_file_keys[] = {
    {"alg", STOQ_JSON_TEXT, true},     {"digest", STOQ_JSON_TEXT, true},
    {"output", STOQ_JSON_TEXT, false}, {"output_b64", STOQ_JSON_TEXT, false},
    {"stream", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key store_put_keys[] = {
    {"path", STOQ_JSON_TEXT, false},       {"path_b64", STOQ_JSON_TEXT, false},
    {"input", STOQ_JSON_TEXT, false},      {"input_b64", STOQ_JSON_TEXT, false},
    {"hash", STOQ_JSON_TEXT, false},       {"expect", STOQ_JSON_TEXT, false},
    {"secondary", STOQ_JSON_TEXTS, false}, {"threads", STOQ_JSON_UINT, false},
};
static const struct stoq_json_key store_get_keys[] = {
    {"address", STOQ_JSON_TEXT, true},
    {"output", STOQ_JSON_TEXT, false},
    {"output_b64", STOQ_JSON_TEXT, false},
    {"stream", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key address_keys[] = {
    {"address", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key export_keys[] = {
    {"ids", STOQ_JSON_TEXTS, true},        {"have", STOQ_JSON_TEXTS, false},
    {"have_ids", STOQ_JSON_TEXTS, false},  {"output", STOQ_JSON_TEXT, false},
    {"output_b64", STOQ_JSON_TEXT, false}, {"stream", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key import_keys[] = {
    {"path", STOQ_JSON_TEXT, false},
    {"path_b64", STOQ_JSON_TEXT, false},
    {"input", STOQ_JSON_TEXT, false},
    {"input_b64", STOQ_JSON_TEXT, false},
};
static const struct stoq_json_key ping_keys[] = {
    {"to", STOQ_JSON_TEXT, true},
    {"datagram", STOQ_JSON_BOOL, false},
    {"timeout_s", STOQ_JSON_UINT, false},
};
static const struct stoq_json_key join_keys[] = {
    {"to", STOQ_JSON_TEXT, true},
};
static const struct stoq_json_key providers_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"trace", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key dht_keys[] = {
    {"id", STOQ_JSON_TEXT, false},
};
static const struct stoq_json_key dht_lookup_keys[] = {
    {"key", STOQ_JSON_TEXT, true},
    {"trace", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key limit_keys[] = {
    {"up", STOQ_JSON_UINT, false},      {"down", STOQ_JSON_UINT, false},
    {"peer", STOQ_JSON_TEXT, false},    {"class", STOQ_JSON_TEXT, false},
    {"between", STOQ_JSON_TEXT, false},
};
static const struct stoq_json_key peers_why_keys[] = {
    {"peer", STOQ_JSON_TEXT, true},
    {"forgive", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key peers_select_keys[] = {
    {"kind", STOQ_JSON_TEXT, true},
    {"number", STOQ_JSON_UINT, false},
    {"text", STOQ_JSON_TEXT, false},
    {"name", STOQ_JSON_TEXT, false},
};
static const struct stoq_json_key distribute_keys[] = {
    {"id", STOQ_JSON_TEXT, true},        {"replicas", STOQ_JSON_UINT, false},
    {"strategy", STOQ_JSON_TEXT, false}, {"kind", STOQ_JSON_TEXT, false},
    {"number", STOQ_JSON_UINT, false},   {"text", STOQ_JSON_TEXT, false},
    {"name", STOQ_JSON_TEXT, false},     {"keep_s", STOQ_JSON_UINT, false},
};
static const struct stoq_json_key track_keys[] = {
    {"id", STOQ_JSON_TEXT, true},
    {"follow", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key output_keys[] = {
    {"output", STOQ_JSON_TEXT, false},
    {"output_b64", STOQ_JSON_TEXT, false},
    {"stream", STOQ_JSON_BOOL, false},
};
static const struct stoq_json_key prove_keys[] = {
    {"id", STOQ_JSON_TEXT, true},        {"chunks", STOQ_JSON_TEXT, false},
    {"shard", STOQ_JSON_UINT, false},    {"path", STOQ_JSON_TEXT, false},
    {"path_b64", STOQ_JSON_TEXT, false}, {"range", STOQ_JSON_TEXT, false},
    {"table", STOQ_JSON_BOOL, false},    {"data", STOQ_JSON_BOOL, false},
    {"output", STOQ_JSON_TEXT, false},   {"output_b64", STOQ_JSON_TEXT, false},
    {"stream", STOQ_JSON_BOOL, false},
};

static const struct stoq_json_key scrub_keys[] = {
    {"rate", STOQ_JSON_UINT, false},
    {"once", STOQ_JSON_BOOL, false},
    {"status", STOQ_JSON_BOOL, false},
    {"from", STOQ_JSON_TEXTS, false},
};

#define KEYS(a) (a), STOQ_COUNT(a)

static const struct stoq_op ops[] = {
    {"publish", op_publish, STOQ_OP_WRITES, KEYS(publish_keys)},
    {"get", op_get, STOQ_OP_WRITES | STOQ_OP_DATA, KEYS(get_keys)},
    {"ls", op_ls, STOQ_OP_NO_STORE, NULL, 0},
    {"info", op_info, 0, KEYS(info_keys)},
    {"manifest", op_manifest, 0, KEYS(id_keys)},
    {"cat", op_cat, STOQ_OP_DATA | STOQ_OP_MAY_FETCH, KEYS(cat_keys)},
    {"verify", op_verify, 0, KEYS(verify_keys)},
    {"rm", op_rm, STOQ_OP_WRITES, KEYS(id_keys)},
    {"gc", op_gc, STOQ_OP_WRITES, KEYS(gc_keys)},
    {"pin", op_pin, STOQ_OP_WRITES, KEYS(id_keys)},
    {"unpin", op_unpin, STOQ_OP_WRITES, KEYS(id_keys)},
    {"pins", op_pins, STOQ_OP_NO_STORE, NULL, 0},
    {"root_set", op_root_set, STOQ_OP_WRITES, KEYS(root_keys)},
    {"root_rm", op_root_rm, STOQ_OP_WRITES, KEYS(name_keys)},
    {"roots", op_roots, STOQ_OP_NO_STORE, NULL, 0},
    {"lease", op_lease, STOQ_OP_WRITES, KEYS(lease_keys)},
    {"lease_end", op_lease_end, STOQ_OP_WRITES, KEYS(id_keys)},
    {"leases", op_leases, STOQ_OP_NO_STORE, NULL, 0},
    {"alias", op_alias, STOQ_OP_WRITES, KEYS(alias_keys)},
    {"find", op_find, 0, KEYS(find_keys)},
    {"get_file", op_get_file, STOQ_OP_DATA, KEYS(get_file_keys)},
    {"store_put", op_store_put, STOQ_OP_WRITES, KEYS(store_put_keys)},
    {"store_get", op_store_get, STOQ_OP_DATA, KEYS(store_get_keys)},
    {"store_verify", op_store_verify, 0, KEYS(address_keys)},
    {"store_rm", op_store_rm, STOQ_OP_WRITES, KEYS(address_keys)},
    {"store_ls", op_store_ls, STOQ_OP_NO_STORE, NULL, 0},
    {"store_stats", op_store_stats, 0, NULL, 0},
    {"fsck", op_fsck, 0, NULL, 0},
    {"doctor", op_doctor, STOQ_OP_BARE, NULL, 0},
    {"scrub", op_scrub, STOQ_OP_WRITES, KEYS(scrub_keys)},
    {"export", op_export, STOQ_OP_DATA, KEYS(export_keys)},
    {"import", op_import, STOQ_OP_WRITES, KEYS(import_keys)},
    {"bundle", op_bundle, STOQ_OP_NO_STORE, KEYS(import_keys)},
    {"have", op_have, STOQ_OP_DATA, KEYS(output_keys)},
    {"ping", op_ping, STOQ_OP_WRITES, KEYS(ping_keys)},
    {"prove", op_prove, STOQ_OP_DATA, KEYS(prove_keys)},
    {"peers", op_peers, STOQ_OP_DAEMON_ONLY, NULL, 0},
    {"topology", op_topology, STOQ_OP_DAEMON_ONLY, NULL, 0},
    {"join", op_join, STOQ_OP_DAEMON_ONLY, KEYS(join_keys)},
    {"announce", op_announce, STOQ_OP_DAEMON_ONLY, KEYS(id_keys)},
    {"providers", op_providers, STOQ_OP_DAEMON_ONLY, KEYS(providers_keys)},
    {"dht", op_dht, STOQ_OP_DAEMON_ONLY, KEYS(dht_keys)},
    {"dht_table", op_dht_table, STOQ_OP_DAEMON_ONLY, NULL, 0},
    {"dht_lookup", op_dht_lookup, STOQ_OP_DAEMON_ONLY, KEYS(dht_lookup_keys)},
    {"limit", op_limit, STOQ_OP_DAEMON_ONLY, KEYS(limit_keys)},
    {"peers_why", op_peers_why, STOQ_OP_DAEMON_ONLY, KEYS(peers_why_keys)},
    {"peers_select", op_peers_select, STOQ_OP_DAEMON_ONLY, KEYS(peers_select_keys)},
    {"distribute", op_distribute, STOQ_OP_DAEMON_ONLY, KEYS(distribute_keys)},
    {"track", op_track, 0, KEYS(track_keys)},
    {"transfers", op_transfers, STOQ_OP_DAEMON_ONLY, NULL, 0},
    {"why", op_why, STOQ_OP_DAEMON_ONLY, KEYS(id_keys)},
    {"status", op_status, STOQ_OP_DAEMON_ONLY, NULL, 0},
    {"stop", op_stop, STOQ_OP_DAEMON_ONLY, NULL, 0},
};

const struct stoq_op *stoq_op_at(size_t i)
{
    return i < STOQ_COUNT(ops) ? &ops[i] : NULL;
}

const struct stoq_op *stoq_op_find(const char *name)
{
    for (size_t i = 0; i < STOQ_COUNT(ops); i++) {
        if (strcmp(ops[i].name, name) == 0) {
            return &ops[i];
        }
    }
    return NULL;
}

bool stoq_op_streams(const struct stoq_op *op, const json_t *args)
{
    bool only_content = op->fn == op_cat;
    return (op->flags & STOQ_OP_DATA) != 0 &&
           (only_content || stoq_json_bool(args, "stream", false));
}

/* What may fetch needs the writer's lock only if there is somebody to fetch from; where the
 * configuration alone names them, it does without when the lock is taken. */
static enum stoq_status open_host(struct stoq_host *host, const struct stoq_op *op,
                                  const json_t *args, struct stoq_error *err)
{
    bool writes =
        (op->flags & STOQ_OP_WRITES) != 0 || json_array_size(json_object_get(args, "from")) > 0;
    /* A read makes no home for the sake of neighbours there may be. */
    bool somebody = stoq_host_peer_count(host) > 0 ||
                    (stoq_host_lan(host) && access(stoq_host_home(host)->store_dir, F_OK) == 0);
    if (!writes && (op->flags & STOQ_OP_MAY_FETCH) != 0 && somebody) {
        enum stoq_status st = stoq_host_open(host, true, err);
        if (st != STOQ_BUSY) {
            return st;
        }
    }
    return stoq_host_open(host, writes, err);
}

enum stoq_status stoq_op_run(struct stoq_host *host, const struct stoq_op *op, const json_t *args,
                             struct stoq_op_io *io, json_t **result, struct stoq_error *err)
{
    enum stoq_status st = stoq_json_check(args, op->keys, op->key_count, err);
    if (st != STOQ_OK) {
        return st;
    }
    if ((op->flags & STOQ_OP_DAEMON_ONLY) != 0 && !stoq_host_is_daemon(host)) {
        return stoq_fail_code(err, STOQ_NET, "DaemonNotRunning",
                              "no daemon is running for this home; start one with 'stoq daemon'");
    }
    if (!stoq_host_is_daemon(host) && (op->flags & STOQ_OP_BARE) == 0) {
        st = open_host(host, op, args, err);
    }
    if (st == STOQ_NOTFOUND && (op->flags & STOQ_OP_NO_STORE) != 0) {
        st = STOQ_OK;
    }
    if (st != STOQ_OK) {
        return st;
    }
    *result = NULL;
    st = op->fn(host, args, io, result, err);
    if (st == STOQ_OK && *result == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the result of %s", op->name);
    }
    return st;
}

enum stoq_status op_id(const json_t *args, struct stoq_package_id *out, struct stoq_error *err)
{
    return stoq_package_id_parse(out, stoq_json_text(args, "id"), err);
}

json_t *op_seconds(uint64_t ns)
{
    uint64_t us = ns / 1000;
    return json_real((double)us / 1e6);
}

json_t *op_key_id(bool present, const struct stoq_key_id *id)
{
    char text[STOQ_ID_TEXT_CAP];
    if (!present) {
        return json_null();
    }
    stoq_key_id_put(text, id);
    return json_string(text);
}

void op_progress(struct stoq_op_io *io, json_t *event)
{
    if (event != NULL && io->progress != NULL) {
        io->progress(io->user, event);
    }
    json_decref(event);
}

bool op_cancelled(void *io)
{
    struct stoq_op_io *o = io;
    return o->cancelled != NULL && o->cancelled(o->user);
}
