#include "daemon/control.h"

#include "daemon/ops.h"

#include <stdlib.h>

static void on_progress(void *user, const json_t *event)
{
    stoq_api_reply_event(user, event);
}

/* A streaming operation has no progress: its first bytes say that content comes. */
static void no_progress(void *user, const json_t *event)
{
}

static enum stoq_status on_data(void *user, struct stoq_span bytes)
{
    return stoq_api_reply_data(user, bytes);
}

static bool on_cancelled(void *user)
{
    return stoq_api_reply_cancelled(user);
}

static void serve(void *user, const char *name, const json_t *args, struct stoq_api_reply *reply)
{
    struct stoq_host *host = user;
    struct stoq_error err = {0};
    json_t *result = NULL;
    const struct stoq_op *op = stoq_op_find(name);
    if (op == NULL) {
        (void)stoq_fail(&err, STOQ_NOTFOUND, 0, "no operation '%s'", name);
        stoq_api_reply_error(reply, &err);
        return;
    }
    bool content = stoq_op_streams(op, args);
    struct stoq_op_io io = {
        .user = reply,
        .progress = content ? no_progress : on_progress,
        .data = on_data,
        .cancelled = on_cancelled,
    };
    enum stoq_status st = stoq_op_run(host, op, args, &io, &result, &err);
    if (st == STOQ_OK && content) {
        st = stoq_api_reply_data(reply, stoq_span(NULL, 0)); /* an empty file is content too */
    }
    if (st == STOQ_OK) {
        stoq_api_reply_result(reply, result);
    } else {
        stoq_host_log(host, STOQ_LOG_DEBUG, "%s: %s", name, err.text);
        stoq_api_reply_error(reply, &err);
    }
    json_decref(result);
}

enum stoq_status stoq_control_start(struct stoq_api_server **out, struct stoq_host *host,
                                    struct stoq_error *err)
{
    struct stoq_config *config = malloc(sizeof *config);
    if (config == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the API server");
    }
    stoq_host_config(host, config);
    struct stoq_api_config api = {
        .socket_path = stoq_host_home(host)->socket,
        .connections_max = config->api_connections_max,
        .serve = serve,
        .user = host,
    };
    enum stoq_status st = stoq_api_server_new(out, &api, err);
    if (st == STOQ_BUSY && err != NULL) {
        err->code = "DaemonRunning";
    }
    free(config);
    return st;
}
