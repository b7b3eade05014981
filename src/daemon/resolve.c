/*
 * A name is looked up where pointers may be: in the store, with peers, and in the DHT, whose records are
 * opened with the name that is looked for. Of those that hold the highest sequence counts, and none that is
 * lower than one seen before: whoever keeps an old one can hide a newer one from us for a while, but not take
 * us back.
 */
#include "daemon/resolve.h"

#include "daemon/engine_dht.h"
#include "daemon/engine_names.h"
#include "os/sys.h"
#include "package/manifest.h"
#include "wire/bech32m.h"

#include <stdlib.h>
#include <string.h>

#define RESOLVE_TIME (3 * STOQ_SEC)

bool stoq_name_is(const char *text)
{
    return strchr(text, '/') != NULL;
}

enum stoq_status stoq_name_parse(struct stoq_pointer_name *out, const char *text,
                                 struct stoq_error *err)
{
    const char *slash = strchr(text, '/');
    const char *fault = NULL;
    *out = (struct stoq_pointer_name){0};
    if (slash == NULL ||
        stoq_key_id_get(&out->publisher, stoq_span(text, (size_t)(slash - text))) != STOQ_OK) {
        return stoq_fail_code(
            err, STOQ_RANGE, "InvalidId",
            "'%.80s': a release is named KEY/NAME or KEY/NAME@VERSION, where KEY is "
            "the publisher's id, key1...",
            text);
    }
    const char *at = strchr(slash, '@');
    const char *end = at == NULL ? slash + strlen(slash) : at;
    out->name = stoq_span(slash + 1, (size_t)(end - slash - 1));
    fault = stoq_manifest_name_fault(out->name);
    if (fault != NULL) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s': the name %s", text, fault);
    }
    if (at != NULL) {
        out->version = stoq_span_str(at + 1);
        fault = stoq_manifest_version_fault(out->version);
    }
    return fault == NULL ? STOQ_OK
                         : stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s': the version %s",
                                          text, fault);
}

struct resolving {
    const struct stoq_resolve_ask *ask;
    struct stoq_pointer_name want;
    uint64_t now_s;
    uint64_t least;                /* sequence that was seen before */
    struct stoq_pointer_kept *out; /* the best until now; n = 0: none */
};

static bool is_cancelled(void *user)
{
    const struct resolving *r = user;
    return r->ask->cancelled != NULL && r->ask->cancelled(r->ask->user);
}

/* A pointer that somebody has. */
static void take(struct resolving *r, struct stoq_span bytes)
{
    struct stoq_pointer p;
    if (stoq_pointer_check(bytes, &r->want, r->now_s, &p) != STOQ_OK || p.sequence < r->least ||
        (r->out->n > 0 && p.sequence <= r->out->p.sequence)) {
        return;
    }
    if (stoq_pointer_kept_set(r->out, bytes) == STOQ_OK) {
        r->least = p.sequence;
    }
}

static void take_sealed(void *user, struct stoq_span sealed)
{
    struct resolving *r = user;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_POINTER_BYTES_MAX);
    if (stoq_pointer_open(&r->want, sealed, &bytes) == STOQ_OK) {
        take(r, stoq_buf_span(&bytes));
    }
    stoq_buf_release(&bytes);
}

static void look_in_store(struct resolving *r, struct stoq_store *store,
                          const struct stoq_hash *key)
{
    struct stoq_pointer_kept had;
    struct stoq_error none;
    if (stoq_pointers_load(store, key, &had, &none) == STOQ_OK) {
        r->least = had.p.sequence;
        take(r, stoq_span(had.bytes, had.n));
    }
}

static void look_in_dht(struct resolving *r, struct stoq_host *host, const struct stoq_hash *key)
{
    struct stoq_engine_dht_found *found = r->ask->dht ? malloc(sizeof *found) : NULL;
    const struct stoq_engine_dht_ask look = {.target = *key,
                                             .value = true,
                                             .deep = true,
                                             .want = STOQ_DHT_VALUES_MAX,
                                             .timeout_ns = RESOLVE_TIME,
                                             .cancelled = is_cancelled,
                                             .user = r};
    if (found == NULL) {
        return;
    }
    found->provider_count = 0;
    /* A lookup that was not over in time has found something all the same. */
    (void)!stoq_engine_dht_look(stoq_host_engine(host), &look, found, NULL);
    for (size_t i = 0; i < found->provider_count; i++) {
        take_sealed(r, stoq_span(found->providers[i].value, found->providers[i].value_n));
    }
    free(found);
}

static enum stoq_status look_everywhere(struct resolving *r, struct stoq_host *host,
                                        const struct stoq_hash *key)
{
    const struct stoq_resolve_ask *ask = r->ask;
    struct stoq_names *names = NULL;
    const struct stoq_names_ask peers = {.key = *key,
                                         .sources = ask->sources,
                                         .source_count = ask->source_count,
                                         .lan = ask->lan,
                                         .timeout_ns = RESOLVE_TIME,
                                         .found = take_sealed,
                                         .cancelled = is_cancelled,
                                         .user = r};
    enum stoq_status st = stoq_names_begin(stoq_host_engine(host), &peers, &names);
    look_in_dht(r, host, key);
    enum stoq_status end = stoq_names_end(names);
    return st == STOQ_OK ? end : st;
}

enum stoq_status stoq_resolve(struct stoq_host *host, const struct stoq_resolve_ask *ask,
                              struct stoq_pointer_kept *out, struct stoq_error *err)
{
    struct resolving r = {.ask = ask, .now_s = stoq_wall_seconds(), .out = out};
    out->n = 0;
    enum stoq_status st = stoq_name_parse(&r.want, ask->name, err);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_hash key = stoq_pointer_key(&r.want);
    look_in_store(&r, stoq_host_store(host), &key);
    st = stoq_host_start(host, err);
    if (st == STOQ_OK) {
        st = look_everywhere(&r, host, &key);
        st = st == STOQ_OK ? st : stoq_fail(err, st, 0, "look up a name: %s", stoq_status_str(st));
    }
    if (st == STOQ_OK && out->n == 0) {
        return stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                              "nobody who was asked knows a valid release pointer for '%.300s'",
                              ask->name);
    }
    if (st == STOQ_OK) {
        st = stoq_pointers_keep(stoq_host_store(host), stoq_host_record_lock(host), &key,
                                stoq_span(out->bytes, out->n), err);
    }
    return st;
}
