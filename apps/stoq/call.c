/*
 * The daemon's reply is read as it comes: lines (progress, then a result or an error) or content. The
 * same operation table runs here when nobody serves the home's socket, so the outcome is the same either
 * way; only the operations that need a daemon refuse.
 */
#include "call.h"

#include "daemon/host.h"
#include "daemon/ops.h"
#include "http/client.h"
#include "os/sys.h"
#include "progress.h"
#include "signals.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct call {
    struct cmd *cmd;
    const char *op;
    struct stoq_home home;
    struct signals signals;
    struct progress progress;
    json_t *result;
    struct stoq_error err;
    /* the daemon's reply */
    bool content;
    bool answered;           /* its result or error line came */
    enum stoq_status status; /* of the operation, once answered */
    unsigned long long request;
    struct stoq_buf line;
};

bool call_home(const struct cmd *cmd, struct stoq_home *out, int *exit_code)
{
    struct stoq_error err;
    if (stoq_home_find_here(out, cmd->home, cmd->config, &err) != STOQ_OK) {
        *exit_code = cmd_fail(cmd, &err);
        return false;
    }
    return true;
}

int call_set_text(const struct cmd *cmd, json_t *args, const char *key, const char *text)
{
    if (text == NULL || stoq_json_set_text(args, key, stoq_span_str(text))) {
        return 0;
    }
    return cmd_usage(cmd, "the %s is not UTF-8", key);
}

int call_set_list(struct cmd *cmd, json_t *args, const char *option, const char *key)
{
    json_t *list = json_array();
    const char *text;
    for (size_t i = 0; (text = cmd_value_at(cmd, option, i)) != NULL; i++) {
        if (json_array_append_new(list, json_string(text)) != 0) {
            json_decref(list);
            return cmd_usage(cmd, "--%s is not UTF-8", option);
        }
    }
    return json_object_set_new(args, key, list) == 0 ? 0 : STOQ_EXIT_FAILED;
}

int call_set_number(struct cmd *cmd, json_t *args, const char *option, const char *key,
                    uint64_t min, uint64_t max)
{
    uint64_t v = 0;
    if (cmd_value(cmd, option) == NULL) {
        return 0;
    }
    if (!cmd_value_u64(cmd, option, min, max, &v)) {
        return STOQ_EXIT_USAGE;
    }
    return stoq_json_set_u64(args, key, v) ? 0 : STOQ_EXIT_FAILED;
}

int call_set_path(const struct cmd *cmd, json_t *args, const char *key, const char *path)
{
    char work_dir[STOQ_HOME_PATH_MAX];
    char full[2 * STOQ_HOME_PATH_MAX];
    struct stoq_error err;
    if (path[0] == '\0') {
        return cmd_usage(cmd, "the %s is empty", key);
    }
    if (path[0] == '/') {
        return stoq_json_set_path(args, key, stoq_span_str(path)) ? 0 : STOQ_EXIT_FAILED;
    }
    if (getcwd(work_dir, sizeof work_dir) == NULL) {
        (void)stoq_fail(&err, STOQ_IO, errno, "the working directory");
        return cmd_fail(cmd, &err);
    }
    int n = snprintf(full, sizeof full, "%s/%s", strcmp(work_dir, "/") == 0 ? "" : work_dir, path);
    if (n < 0 || (size_t)n >= sizeof full) {
        return cmd_usage(cmd, "the %s is too long", key);
    }
    return stoq_json_set_path(args, key, stoq_span_str(full)) ? 0 : STOQ_EXIT_FAILED;
}

int call_feed_input(const struct cmd *cmd, json_t *args, struct stoq_feed **feed)
{
    struct stoq_home home;
    struct stoq_error err;
    char path[STOQ_HOME_PATH_MAX + 64];
    uint64_t salt;
    int exit_code;
    if (!call_home(cmd, &home, &exit_code)) {
        return exit_code;
    }
    stoq_entropy(&salt, sizeof salt);
    (void)snprintf(path, sizeof path, "%s/input-%016llx.sock", home.runtime_dir,
                   (unsigned long long)salt);
    if (stoq_home_make(&home, &err) != STOQ_OK ||
        stoq_feed_new(feed, path, STDIN_FILENO, &err) != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    return stoq_json_set_path(args, "input", stoq_span_str(path)) ? 0 : STOQ_EXIT_FAILED;
}

static void on_progress(void *user, const json_t *event)
{
    struct call *c = user;
    progress_event(&c->progress, event);
}

static enum stoq_status on_data(void *user, struct stoq_span bytes)
{
    struct call *c = user;
    if (bytes.n > 0 && fwrite(bytes.p, 1, bytes.n, stdout) != bytes.n) {
        return stoq_fail(&c->err, STOQ_IO, errno, "cannot write standard output");
    }
    return STOQ_OK;
}

static bool on_cancelled(void *user)
{
    struct call *c = user;
    return signals_asked(&c->signals);
}

static enum stoq_status take_line(struct call *c, struct stoq_span line)
{
    json_t *object = NULL;
    enum stoq_status st = stoq_json_parse(&object, line, STOQ_JSON_REPLY_MAX, &c->err);
    if (st != STOQ_OK) {
        stoq_error_prefix(&c->err, "the daemon's reply: ");
        return st;
    }
    const char *type = stoq_json_text(object, "type");
    if (type != NULL && strcmp(type, "progress") == 0) {
        progress_event(&c->progress, object);
    } else if (type != NULL && strcmp(type, "result") == 0) {
        c->answered = true;
        c->result = json_incref(json_object_get(object, "result"));
    } else {
        c->answered = true;
        stoq_error_from_json(&c->err, object);
        c->status = c->err.status;
    }
    json_decref(object);
    return STOQ_OK;
}

/* Whether the reply is content; its request's number is behind the type then. */
static bool is_content(const char *content_type, unsigned long long *request)
{
    static const char type[] = "application/octet-stream; request=";
    if (strncmp(content_type, type, sizeof type - 1) != 0) {
        return false;
    }
    const char *digits = content_type + sizeof type - 1;
    char *end;
    *request = strtoull(digits, &end, 10);
    return end != digits;
}

static enum stoq_status on_head(void *user, int http_status, const char *content_type)
{
    struct call *c = user;
    c->content = is_content(content_type, &c->request);
    return STOQ_OK;
}

static enum stoq_status on_body(void *user, struct stoq_span bytes)
{
    struct call *c = user;
    if (c->content) {
        return on_data(c, bytes);
    }
    while (bytes.n > 0) {
        const uint8_t *end = memchr(bytes.p, '\n', bytes.n);
        size_t n = end != NULL ? (size_t)(end - bytes.p) : bytes.n;
        enum stoq_status st = stoq_buf_add(&c->line, stoq_span(bytes.p, n));
        if (st == STOQ_OK && end != NULL) {
            st = take_line(c, stoq_buf_span(&c->line));
            stoq_buf_clear(&c->line);
            n++;
        }
        if (st != STOQ_OK) {
            return st;
        }
        bytes = stoq_span(bytes.p + n, bytes.n - n);
    }
    return STOQ_OK;
}

static enum stoq_status post(struct call *c, const char *op, const json_t *args)
{
    char url[128];
    char *body = stoq_json_line(args);
    if (body == NULL) {
        return stoq_fail(&c->err, STOQ_NOMEM, 0, "no memory for a request");
    }
    (void)snprintf(url, sizeof url, "http://localhost/v1/%s", op);
    struct stoq_http_request request = {
        .unix_socket = c->home.socket,
        .url = url,
        .content_type = "application/json",
        .body = stoq_span_str(body),
    };
    struct stoq_http_sink sink = {
        .user = c, .head = on_head, .body = on_body, .cancelled = on_cancelled};
    enum stoq_status st = stoq_http_post(&request, &sink, &c->err);
    free(body);
    return st;
}

/* The content broke off: ask the daemon why. */
static enum stoq_status ask_why(struct call *c)
{
    json_t *args = json_pack("{s:I}", "request", (json_int_t)c->request);
    c->content = false;
    c->answered = false;
    enum stoq_status st = post(c, "failure", args);
    json_decref(args);
    if (st == STOQ_OK && c->answered && c->status == STOQ_OK) {
        stoq_error_from_json(&c->err, c->result);
        json_decref(c->result);
        c->result = NULL;
        return c->err.status;
    }
    return stoq_fail(&c->err, STOQ_NET, 0, "the daemon broke off inside the content");
}

/* STOQ_NOTFOUND with *served false: nobody serves the socket. */
static enum stoq_status run_in_daemon(struct call *c, const json_t *args, bool *served)
{
    enum stoq_status st = post(c, c->op, args);
    *served = st != STOQ_NOTFOUND || c->answered;
    if (!*served) {
        return st;
    }
    if (st == STOQ_TRUNC && c->content) {
        return ask_why(c);
    }
    if (st == STOQ_OK && c->content) {
        c->result = json_object();
        return STOQ_OK;
    }
    if (c->answered) {
        return c->status;
    }
    return st == STOQ_OK || st == STOQ_TRUNC
               ? stoq_fail(&c->err, STOQ_NET, 0, "the daemon ended before it answered")
               : st;
}

static void log_line(void *user, enum stoq_log_level level, const char *line)
{
    const struct call *c = user;
    if (!c->cmd->quiet && (level < STOQ_LOG_INFO || c->cmd->verbose > 0)) {
        (void)fprintf(stderr, "stoq: %s\n", line);
    }
}

static enum stoq_status run_here(struct call *c, const json_t *args)
{
    struct stoq_host *host = NULL;
    struct stoq_host_config cfg = {
        .home = &c->home,
        .lan = stoq_home_lan_here(),
        .log = log_line,
        .log_user = c,
        .log_level_min = c->cmd->verbose > 1 ? STOQ_LOG_DEBUG : STOQ_LOG_QUIET,
    };
    struct stoq_op_io io = {
        .user = c, .progress = on_progress, .data = on_data, .cancelled = on_cancelled};
    const struct stoq_op *op = stoq_op_find(c->op);
    STOQ_ASSERT(op != NULL);
    enum stoq_status st = stoq_host_new(&host, &cfg, &c->err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_op_run(host, op, args, &io, &c->result, &c->err);
    struct stoq_error closing;
    enum stoq_status closed = stoq_host_free(host, 0, &closing);
    if (st == STOQ_OK && closed != STOQ_OK) {
        c->err = closing;
        return closed;
    }
    return st;
}

static enum stoq_status run(struct call *c, const json_t *args)
{
    bool served = false;
    enum stoq_status st = run_in_daemon(c, args, &served);
    return served ? st : run_here(c, args);
}

int call_op(struct cmd *cmd, const char *op, json_t *args, json_t **result)
{
    struct call *c = calloc(1, sizeof *c);
    int exit_code = STOQ_EXIT_FAILED;
    *result = NULL;
    if (c == NULL || args == NULL) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory for the command");
        exit_code = cmd_fail(cmd, &err);
    } else if (call_home(cmd, &c->home, &exit_code)) {
        c->cmd = cmd;
        c->op = op;
        stoq_buf_init(&c->line, STOQ_JSON_REPLY_MAX);
        signals_start(&c->signals);
        progress_init(&c->progress, cmd);
        enum stoq_status st = run(c, args);
        progress_end(&c->progress);
        signals_end(&c->signals);
        stoq_buf_release(&c->line);
        *result = c->result;
        exit_code = st == STOQ_OK ? STOQ_EXIT_OK : cmd_fail(cmd, &c->err);
    }
    json_decref(args);
    free(c);
    return exit_code;
}

int call_op_with(struct cmd *cmd, int set, const char *op, json_t *args, json_t **result)
{
    if (set == 0) {
        return call_op(cmd, op, args, result);
    }
    *result = NULL;
    json_decref(args);
    return set;
}

int call_set_output(struct cmd *cmd, json_t *args, const char *output)
{
    if (strcmp(output, "-") != 0) {
        return call_set_path(cmd, args, "output", output);
    }
    cmd->raw_output = true;
    if (isatty(STDOUT_FILENO) == 1) {
        return cmd_usage(cmd, "the output is a terminal; use -o FILE or a pipe");
    }
    return json_object_set_new(args, "stream", json_true()) == 0 ? 0 : STOQ_EXIT_FAILED;
}

int call_tell(struct cmd *cmd, int set, const char *op, json_t *args,
              void (*tell)(const json_t *result))
{
    json_t *result;
    int rc = call_op_with(cmd, set, op, args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json && !cmd->raw_output) {
        return cmd_print_json(cmd, result);
    }
    if (!cmd->quiet && !cmd->raw_output) {
        tell(result);
    }
    json_decref(result);
    return cmd_finish(cmd);
}
