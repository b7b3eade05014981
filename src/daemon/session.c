/*
 * The public face: a session is a host (daemon/host.h) without an API server, and its functions are the
 * operations of the command line with JSON on neither side. stoq.h stands alone: it shares no name and no
 * type with the headers of the modules.
 */
#include "stoq.h"

#include "api/error.h"
#include "daemon/host.h"
#include "daemon/ops.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN (5 * STOQ_SEC)

struct stoq_session {
    struct stoq_host *host;
    int (*on_event)(void *user, const struct stoq_event *event);
    void *user;
};

/* One running operation: whether its callback asked it to stop. */
struct run {
    struct stoq_session *session;
    bool stop;
};

const char *stoq_version(void)
{
    return STOQ_PROGRAM_VERSION;
}

static enum stoq_result fail(struct stoq_failure *out, const struct stoq_error *err)
{
    enum stoq_result result = (enum stoq_result)stoq_error_exit(err);
    if (out != NULL) {
        out->result = result;
        (void)snprintf(out->code, sizeof out->code, "%s", stoq_error_code(err));
        (void)snprintf(out->message, sizeof out->message, "%s", err->text);
    }
    return result;
}

enum stoq_result stoq_session_open(struct stoq_session **out,
                                   const struct stoq_session_options *options,
                                   struct stoq_failure *failure)
{
    struct stoq_error err = {0};
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX];
    struct stoq_home *home = calloc(1, sizeof *home);
    struct stoq_session *s = calloc(1, sizeof *s);
    enum stoq_status st = STOQ_OK;
    if (home == NULL || s == NULL) {
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory");
        st = STOQ_NOMEM;
    }
    if (st == STOQ_OK && options->listen_count > STOQ_NET_LISTEN_MAX) {
        st = stoq_fail(&err, STOQ_RANGE, 0, "at most %d addresses", STOQ_NET_LISTEN_MAX);
    }
    for (size_t i = 0; st == STOQ_OK && i < options->listen_count; i++) {
        st = stoq_addr_parse(&listen[i], stoq_span_str(options->listen[i]), 0);
        if (st != STOQ_OK) {
            (void)stoq_fail(&err, STOQ_RANGE, 0, "'%.100s' is not an address with a port",
                            options->listen[i]);
        }
    }
    if (st == STOQ_OK) {
        st = stoq_home_find_here(home, options->home, NULL, &err);
    }
    if (st == STOQ_OK) {
        struct stoq_host_config cfg = {.home = home,
                                       .lan = stoq_home_lan_here(),
                                       .daemon = options->listen_count > 0,
                                       .listen = listen,
                                       .listen_count = options->listen_count};
        s->on_event = options->on_event;
        s->user = options->user;
        st = stoq_host_new(&s->host, &cfg, &err);
    }
    if (st == STOQ_OK) {
        st = stoq_host_open(s->host, true, &err);
    }
    if (st == STOQ_OK && options->listen_count > 0) {
        st = stoq_host_start(s->host, &err);
    }
    free(home);
    if (st != STOQ_OK) {
        stoq_session_close(s);
        return fail(failure, &err);
    }
    *out = s;
    return STOQ_RESULT_OK;
}

void stoq_session_close(struct stoq_session *s)
{
    if (s != NULL) {
        (void)stoq_host_free(s->host, DRAIN, NULL);
        free(s);
    }
}

enum stoq_result stoq_session_contact(struct stoq_session *s, char *out)
{
    struct stoq_addr addr;
    struct stoq_engine *engine = stoq_host_engine(s->host);
    if (engine == NULL || !stoq_engine_local_addr(engine, 0, &addr)) {
        return STOQ_RESULT_NOT_FOUND;
    }
    char peer[STOQ_ID_TEXT_CAP];
    char text[STOQ_ADDR_TEXT_MAX];
    struct stoq_peer_id id = stoq_key_peer_id(stoq_host_key(s->host));
    stoq_peer_id_put(peer, &id);
    (void)snprintf(out, STOQ_CONTACT_SIZE, "%s@%s", peer, stoq_addr_format(&addr, text));
    return STOQ_RESULT_OK;
}

static void on_progress(void *user, const json_t *event)
{
    struct run *r = user;
    if (r->session->on_event == NULL) {
        return;
    }
    const char *phase = stoq_json_text(event, "phase");
    struct stoq_event e = {.phase = phase == NULL ? "" : phase,
                           .bytes = stoq_json_u64(event, "bytes", 0),
                           .bytes_total = stoq_json_u64(event, "bytes_total", 0),
                           .bytes_from_peers = stoq_json_u64(event, "bytes_from_peers", 0),
                           .sources = (uint32_t)stoq_json_u64(event, "sources", 0)};
    r->stop = r->session->on_event(r->session->user, &e) != 0 || r->stop;
}

static bool on_cancelled(void *user)
{
    return ((struct run *)user)->stop;
}

/* Run an operation; args is taken. *result is the caller's on STOQ_RESULT_OK. */
static enum stoq_result operate(struct stoq_session *s, const char *name, json_t *args,
                                json_t **result, struct stoq_failure *failure)
{
    struct run run = {.session = s};
    struct stoq_op_io io = {.user = &run, .progress = on_progress, .cancelled = on_cancelled};
    struct stoq_error err = {0};
    enum stoq_status st;
    if (args == NULL) {
        st = stoq_fail(&err, STOQ_RANGE, 0, "an argument is not UTF-8, or memory ran out");
    } else {
        st = stoq_op_run(s->host, stoq_op_find(name), args, &io, result, &err);
    }
    json_decref(args);
    return st == STOQ_OK ? STOQ_RESULT_OK : fail(failure, &err);
}

static void take_text(char *out, size_t cap, const json_t *from, const char *key)
{
    const char *text = stoq_json_text(from, key);
    (void)snprintf(out, cap, "%s", text == NULL ? "" : text);
}

enum stoq_result stoq_session_publish(struct stoq_session *s, const char *path, const char *name,
                                      const char *version, struct stoq_published *out,
                                      struct stoq_failure *failure)
{
    json_t *result = NULL;
    json_t *args = json_pack("{s:s, s:s, s:s}", "path", path, "name", name, "version", version);
    enum stoq_result r = operate(s, "publish", args, &result, failure);
    if (r == STOQ_RESULT_OK) {
        take_text(out->id, sizeof out->id, result, "id");
        out->bytes = stoq_json_u64(result, "bytes", 0);
        out->chunks = stoq_json_u64(result, "chunks", 0);
        out->bytes_new = stoq_json_u64(result, "bytes_new", 0);
        json_decref(result);
    }
    return r;
}

enum stoq_result stoq_session_fetch(struct stoq_session *s, const char *id,
                                    const char *const *sources, size_t source_count,
                                    const char *output, struct stoq_fetched *out,
                                    struct stoq_failure *failure)
{
    json_t *from = json_array();
    for (size_t i = 0; i < source_count; i++) {
        (void)json_array_append_new(from, json_string(sources[i]));
    }
    json_t *result = NULL;
    json_t *args = json_pack("{s:s, s:o, s:s*}", "id", id, "from", from, "output", output);
    enum stoq_result r = operate(s, "get", args, &result, failure);
    if (r == STOQ_RESULT_OK) {
        out->bytes = stoq_json_u64(result, "bytes", 0);
        out->chunks = stoq_json_u64(result, "chunks", 0);
        out->bytes_from_peers = stoq_json_u64(result, "bytes_from_peers", 0);
        out->bytes_had = stoq_json_u64(result, "bytes_had", 0);
        out->seconds = json_number_value(json_object_get(result, "seconds"));
        take_text(out->signed_by, sizeof out->signed_by, result, "signed_by");
        json_decref(result);
    }
    return r;
}

enum stoq_result stoq_session_verify(struct stoq_session *s, const char *id,
                                     struct stoq_verified *out, struct stoq_failure *failure)
{
    json_t *result = NULL;
    memset(out, 0, sizeof *out);
    enum stoq_result r = operate(s, "verify", json_pack("{s:s}", "id", id), &result, failure);
    if (r != STOQ_RESULT_OK) {
        return r;
    }
    out->merkle_valid = stoq_json_bool(result, "merkle_valid", false);
    out->signature_valid = stoq_json_bool(result, "signature_valid", false);
    out->consensus_valid = stoq_json_bool(result, "consensus_valid", false);
    out->overall_valid = stoq_json_bool(result, "overall_valid", false);
    json_decref(result);
    if (out->overall_valid) {
        return STOQ_RESULT_OK;
    }
    struct stoq_error err = {0};
    (void)stoq_fail_code(&err, STOQ_PROOF, "IntegrityCheckFailed",
                         "the package does not match its id");
    return fail(failure, &err);
}
