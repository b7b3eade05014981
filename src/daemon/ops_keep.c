/* Pins, named roots and leases: what keeps content from being collected. */
#include "daemon/ops_internal.h"

#include "daemon/keep.h"
#include "daemon/keeper.h"
#include "os/sys.h"

#include <string.h>

#define LEASE_SECONDS_MAX ((uint64_t)(10 * 366 * 24 * 3600ULL))

/* {"id": ...} or {"address": ...}, and what else the record says. */
static json_t *keep_to_json(const struct stoq_keep *k)
{
    char text[STOQ_ID_TEXT_CAP];
    stoq_subject_put(text, &k->subject);
    json_t *o = json_pack("{s:s, s:I}", stoq_subject_is_package(&k->subject) ? "id" : "address",
                          text, "since", (json_int_t)k->since);
    if (o != NULL && k->type == STOQ_RECORD_ROOT) {
        (void)json_object_set_new(o, "name", json_string(k->name));
    } else if (o != NULL && k->type == STOQ_RECORD_LEASE) {
        uint64_t now = stoq_wall_seconds();
        uint64_t left = k->expires_at > now ? k->expires_at - now : 0;
        (void)stoq_json_set_u64(o, "expires_at", k->expires_at);
        (void)stoq_json_set_u64(o, "seconds_left", left);
    }
    return o;
}

static enum stoq_status subject_here(struct stoq_host *host, const json_t *args,
                                     struct stoq_subject *out, struct stoq_error *err)
{
    enum stoq_status st = stoq_subject_parse(out, stoq_json_text(args, "id"), err);
    if (st == STOQ_OK && !stoq_subject_is_here(stoq_host_store(host), out)) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "it is not here; what is not here cannot be kept");
    }
    return st;
}

/* A keep's reading, change and writing, one at a time; and never beside a removal of what it keeps. */
static enum stoq_status put(struct stoq_host *host, struct stoq_op_io *io, struct stoq_keep *k,
                            json_t **result, struct stoq_error *err)
{
    struct stoq_store *store = stoq_host_store(host);
    struct stoq_keep old;
    enum stoq_status st = stoq_host_content_begin(host, false, OP_WAIT_NS, op_cancelled, io, err);
    if (st != STOQ_OK) {
        return st;
    }
    pthread_mutex_lock(stoq_host_record_lock(host));
    if (!stoq_subject_is_here(store, &k->subject)) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound", "it has just been removed");
    }
    bool existed =
        st == STOQ_OK && stoq_keep_get(store, k->type, stoq_keep_key(k), &old, NULL) == STOQ_OK;
    if (existed && k->type == STOQ_RECORD_LEASE && old.expires_at > k->expires_at) {
        k->expires_at = old.expires_at;
    }
    if (existed && k->type == STOQ_RECORD_PIN) {
        *k = old;
    } else if (st == STOQ_OK) {
        st = stoq_keep_put(store, k, err);
    }
    pthread_mutex_unlock(stoq_host_record_lock(host));
    stoq_host_content_end(host, false);
    if (st == STOQ_OK && (*result = keep_to_json(k)) != NULL) {
        (void)json_object_set_new(*result, "existed", json_boolean(existed));
    }
    return st;
}

static enum stoq_status drop(struct stoq_host *host, enum stoq_record_type type,
                             struct stoq_span key, struct stoq_error *err)
{
    pthread_mutex_lock(stoq_host_record_lock(host));
    enum stoq_status st = stoq_keep_drop(stoq_host_store(host), type, key, err);
    pthread_mutex_unlock(stoq_host_record_lock(host));
    stoq_keeper_wake(stoq_host_keeper(host));
    return st;
}

enum stoq_status op_pin(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                        json_t **result, struct stoq_error *err)
{
    struct stoq_keep k = {.type = STOQ_RECORD_PIN, .since = stoq_wall_seconds()};
    enum stoq_status st = subject_here(host, args, &k.subject, err);
    return st == STOQ_OK ? put(host, io, &k, result, err) : st;
}

/* Take away the pin or lease of "id". */
static enum stoq_status drop_of_subject(struct stoq_host *host, enum stoq_record_type type,
                                        const json_t *args, json_t **result, struct stoq_error *err)
{
    struct stoq_subject s;
    const char *text = stoq_json_text(args, "id");
    enum stoq_status st = stoq_subject_parse(&s, text, err);
    if (st == STOQ_OK) {
        st = drop(host, type, stoq_subject_span(&s), err);
    }
    if (st == STOQ_OK) {
        *result = json_pack("{s:s}", stoq_subject_is_package(&s) ? "id" : "address", text);
    }
    return st;
}

enum stoq_status op_unpin(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    return drop_of_subject(host, STOQ_RECORD_PIN, args, result, err);
}

enum stoq_status op_lease(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    uint64_t now = stoq_wall_seconds();
    uint64_t seconds = stoq_json_u64(args, "seconds", 0);
    struct stoq_keep k = {.type = STOQ_RECORD_LEASE, .since = now, .expires_at = now + seconds};
    if (seconds < 1 || seconds > LEASE_SECONDS_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "a lease is for 1 s to 10 years");
    }
    enum stoq_status st = subject_here(host, args, &k.subject, err);
    return st == STOQ_OK ? put(host, io, &k, result, err) : st;
}

enum stoq_status op_lease_end(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    return drop_of_subject(host, STOQ_RECORD_LEASE, args, result, err);
}

static enum stoq_status root_name(const json_t *args, struct stoq_span *out, struct stoq_error *err)
{
    *out = stoq_span_str(stoq_json_text(args, "name"));
    if (!stoq_root_name_ok(*out)) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "a root's name is 1 to %d letters, digits and + . _ / -, beginning with a "
                         "letter or digit",
                         STOQ_ROOT_NAME_MAX);
    }
    return STOQ_OK;
}

enum stoq_status op_root_set(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                             json_t **result, struct stoq_error *err)
{
    struct stoq_keep k = {.type = STOQ_RECORD_ROOT, .since = stoq_wall_seconds()};
    struct stoq_span name;
    enum stoq_status st = root_name(args, &name, err);
    if (st == STOQ_OK) {
        memcpy(k.name, name.p, name.n);
        st = subject_here(host, args, &k.subject, err);
    }
    return st == STOQ_OK ? put(host, io, &k, result, err) : st;
}

enum stoq_status op_root_rm(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                            json_t **result, struct stoq_error *err)
{
    struct stoq_span name;
    enum stoq_status st = root_name(args, &name, err);
    if (st == STOQ_OK) {
        st = drop(host, STOQ_RECORD_ROOT, name, err);
    }
    if (st == STOQ_OK) {
        *result = json_pack("{s:s}", "name", stoq_json_text(args, "name"));
    }
    return st;
}

static bool add_one(void *user, const struct stoq_keep *k)
{
    return json_array_append_new(user, keep_to_json(k)) == 0;
}

static enum stoq_status list(struct stoq_host *host, enum stoq_record_type type, const char *key,
                             json_t **result, struct stoq_error *err)
{
    uint64_t damaged = 0;
    enum stoq_status st = STOQ_OK;
    json_t *all = json_array();
    if (stoq_host_store(host) != NULL) {
        st = stoq_keep_each(stoq_host_store(host), type, add_one, all, &damaged, err);
    }
    if (st == STOQ_OK) {
        *result = json_pack("{s:O, s:I}", key, all, "damaged", (json_int_t)damaged);
    }
    json_decref(all);
    return st;
}

enum stoq_status op_pins(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                         json_t **result, struct stoq_error *err)
{
    return list(host, STOQ_RECORD_PIN, "pins", result, err);
}

enum stoq_status op_roots(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                          json_t **result, struct stoq_error *err)
{
    return list(host, STOQ_RECORD_ROOT, "roots", result, err);
}

enum stoq_status op_leases(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                           json_t **result, struct stoq_error *err)
{
    return list(host, STOQ_RECORD_LEASE, "leases", result, err);
}
