/*
 * One thread per connection, made by libmicrohttpd, and one per running operation, made here:
 *
 *   connection thread                      operation thread
 *   on_request: head, body (bounded)
 *     start ------------------------------> serve(name, args, reply)
 *     wait for the first output  <--------- reply: events, content, the end
 *     queue the response: its status and type depend on that first output
 *   read_reply: queue -> socket  <---------
 *   on_completed: leave the queue
 *
 * A client that hangs up, and a server that shuts down, both show as a cancelled reply to the operation;
 * it ends with an error that nobody reads.
 */
#include "api/server_internal.h"

#include "os/cond.h"
#include "os/sys.h"
#include "os/unix.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HEAD_TIMEOUT_S = 10,
    REPLY_BLOCK_BYTES = 64 * 1024,
    NAME_MAX_BYTES = 64,
    FAILURES_KEPT = 16
};

struct failure {
    uint64_t number; /* of the request; 0: none */
    json_t *error;
};

struct stoq_api_server {
    struct stoq_api_config config;
    struct MHD_Daemon *http;
    char *socket_path;
    atomic_bool stopping;   /* nothing new */
    atomic_bool cancelling; /* running operations are to end */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned requests; /* with an operation, until their reply is out */
    unsigned threads;  /* operation threads */
    uint64_t next_number;
    struct failure failures[FAILURES_KEPT]; /* by number modulo */
};

/* One request while its body arrives; then its reply. */
struct request {
    struct stoq_buf body;
    struct stoq_api_reply *reply;
};

bool server_cancelling(struct stoq_api_server *server)
{
    return atomic_load(&server->cancelling);
}

void server_keep_failure(struct stoq_api_server *server, uint64_t number, json_t *error)
{
    struct failure *f = &server->failures[number % FAILURES_KEPT];
    pthread_mutex_lock(&server->lock);
    json_t *old = f->error;
    *f = (struct failure){number, error};
    pthread_mutex_unlock(&server->lock);
    json_decref(old);
}

/* A deep copy: two threads must not count one object's references. */
static json_t *find_failure(struct stoq_api_server *server, uint64_t number)
{
    struct failure *f = &server->failures[number % FAILURES_KEPT];
    pthread_mutex_lock(&server->lock);
    json_t *copy = number != 0 && f->number == number ? json_deep_copy(f->error) : NULL;
    pthread_mutex_unlock(&server->lock);
    return copy;
}

static void count(struct stoq_api_server *server, unsigned *what, int change)
{
    pthread_mutex_lock(&server->lock);
    *what = (unsigned)((int)*what + change);
    pthread_cond_broadcast(&server->idle);
    pthread_mutex_unlock(&server->lock);
}

static enum MHD_Result send_error(struct MHD_Connection *c, unsigned http_status,
                                  const struct stoq_error *err)
{
    json_t *object = stoq_error_to_json(err);
    if (object != NULL) {
        (void)json_object_set_new(object, "type", json_string("error"));
    }
    char *line = object != NULL ? stoq_json_line(object) : NULL;
    json_decref(object);
    if (line == NULL) {
        return MHD_NO;
    }
    struct MHD_Response *r =
        MHD_create_response_from_buffer(strlen(line), line, MHD_RESPMEM_MUST_FREE);
    if (r == NULL) {
        free(line);
        return MHD_NO;
    }
    (void)MHD_add_response_header(r, "Content-Type", "application/x-ndjson");
    enum MHD_Result rc = MHD_queue_response(c, http_status, r);
    MHD_destroy_response(r);
    return rc;
}

static int connection_fd(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

static bool may_ask(struct MHD_Connection *c)
{
    uid_t uid;
    return stoq_unix_peer_uid(connection_fd(c), &uid) && (uid == geteuid() || uid == 0);
}

/* Refusals that need no body; MHD_YES with *refused false when the request may go on. */
static enum MHD_Result check_head(struct stoq_api_server *server, struct MHD_Connection *c,
                                  const char *url, const char *method, bool *refused)
{
    struct stoq_error err;
    *refused = true;
    if (!may_ask(c)) {
        (void)stoq_fail(&err, STOQ_IO, 0, "this socket serves its own user only");
        return send_error(c, MHD_HTTP_FORBIDDEN, &err);
    }
    if (atomic_load(&server->stopping)) {
        (void)stoq_fail(&err, STOQ_BUSY, 0, "the daemon is stopping");
        return send_error(c, MHD_HTTP_SERVICE_UNAVAILABLE, &err);
    }
    if (strncmp(url, "/v1/", 4) != 0 || strlen(url + 4) > NAME_MAX_BYTES) {
        (void)stoq_fail(&err, STOQ_NOTFOUND, 0, "no such path; operations are at /v1/NAME");
        return send_error(c, MHD_HTTP_NOT_FOUND, &err);
    }
    if (strcmp(method, MHD_HTTP_METHOD_POST) != 0) {
        (void)stoq_fail(&err, STOQ_RANGE, 0, "operations are called with POST");
        return send_error(c, MHD_HTTP_METHOD_NOT_ALLOWED, &err);
    }
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > STOQ_JSON_REQUEST_MAX) {
        (void)stoq_fail(&err, STOQ_FULL, 0, "a request has at most %zu bytes",
                        STOQ_JSON_REQUEST_MAX);
        return send_error(c, MHD_HTTP_CONTENT_TOO_LARGE, &err);
    }
    *refused = false;
    return MHD_YES;
}

static enum MHD_Result begin(struct stoq_api_server *server, struct MHD_Connection *c,
                             const char *url, const char *method, void **state)
{
    bool refused;
    enum MHD_Result rc = check_head(server, c, url, method, &refused);
    if (refused) {
        return rc;
    }
    struct request *rq = calloc(1, sizeof *rq);
    if (rq == NULL) {
        return MHD_NO;
    }
    stoq_buf_init(&rq->body, STOQ_JSON_REQUEST_MAX);
    *state = rq;
    return MHD_YES;
}

static void serve_failure(struct stoq_api_server *server, struct stoq_api_reply *reply)
{
    struct stoq_error err;
    json_t *found = find_failure(server, stoq_json_u64(reply->args, "request", 0));
    if (found != NULL) {
        stoq_api_reply_result(reply, found);
    } else {
        (void)stoq_fail(&err, STOQ_NOTFOUND, 0, "no failure is kept under that number");
        stoq_api_reply_error(reply, &err);
    }
    json_decref(found);
}

static void *operation_main(void *user)
{
    struct stoq_api_reply *reply = user;
    struct stoq_api_server *server = reply->server;
    if (strcmp(reply->name, "failure") == 0) {
        serve_failure(server, reply);
    } else {
        server->config.serve(server->config.user, reply->name, reply->args, reply);
    }
    STOQ_ASSERT(reply->ended);
    reply_unref(reply);
    count(server, &server->threads, -1);
    return NULL;
}

static bool start_operation(struct stoq_api_server *server, struct stoq_api_reply *reply)
{
    pthread_t thread;
    pthread_attr_t attr;
    reply->refs++;
    count(server, &server->threads, 1);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    bool ok = pthread_create(&thread, &attr, operation_main, reply) == 0;
    pthread_attr_destroy(&attr);
    if (!ok) {
        reply->refs--;
        count(server, &server->threads, -1);
    }
    return ok;
}

static ssize_t read_reply(void *user, uint64_t pos, char *out, size_t max)
{
    ssize_t n = reply_read(user, out, max);
    if (n == 0) {
        return MHD_CONTENT_READER_END_OF_STREAM;
    }
    return n < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : n;
}

/* The first output is there: it decides how the response begins. */
static enum MHD_Result send_reply(struct MHD_Connection *c, struct stoq_api_reply *reply)
{
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, REPLY_BLOCK_BYTES,
                                                               read_reply, reply, NULL);
    if (r == NULL) {
        return MHD_NO;
    }
    char type[64] = "application/x-ndjson";
    pthread_mutex_lock(&reply->lock); /* the operation goes on meanwhile */
    unsigned http_status = (unsigned)reply->http_status;
    if (reply->kind == REPLY_CONTENT) {
        (void)snprintf(type, sizeof type, "application/octet-stream; request=%llu",
                       (unsigned long long)reply->number);
    }
    pthread_mutex_unlock(&reply->lock);
    (void)MHD_add_response_header(r, "Content-Type", type);
    (void)MHD_add_response_header(r, "Cache-Control", "no-store");
    enum MHD_Result rc = MHD_queue_response(c, http_status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum stoq_status parse_args(struct stoq_span body, json_t **out, struct stoq_error *err)
{
    if (body.n > 0) {
        return stoq_json_parse(out, body, STOQ_JSON_REQUEST_MAX, err);
    }
    *out = json_object();
    return *out != NULL ? STOQ_OK : stoq_fail(err, STOQ_NOMEM, 0, "no memory for a request");
}

static uint64_t begin_request(struct stoq_api_server *server)
{
    pthread_mutex_lock(&server->lock);
    uint64_t number = ++server->next_number;
    server->requests++;
    pthread_mutex_unlock(&server->lock);
    return number;
}

static enum MHD_Result run(struct stoq_api_server *server, struct MHD_Connection *c,
                           const char *url, struct request *rq)
{
    struct stoq_error err;
    json_t *args = NULL;
    if (parse_args(stoq_buf_span(&rq->body), &args, &err) != STOQ_OK) {
        err.status = STOQ_RANGE;
        err.code = "Usage";
        return send_error(c, MHD_HTTP_BAD_REQUEST, &err);
    }
    stoq_buf_release(&rq->body);
    rq->reply = reply_new(server, connection_fd(c), url + 4, args);
    if (rq->reply == NULL) {
        return MHD_NO;
    }
    rq->reply->number = begin_request(server);
    /* An operation may be silent for long; its end, not a clock, ends the connection. */
    (void)MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, 0U);
    if (!start_operation(server, rq->reply) || !reply_wait(rq->reply)) {
        return MHD_NO;
    }
    return send_reply(c, rq->reply);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **state)
{
    struct stoq_api_server *server = user;
    struct request *rq = *state;
    if (rq == NULL) {
        return begin(server, c, url, method, state);
    }
    if (*data_bytes > 0) {
        if (stoq_buf_add(&rq->body, stoq_span(data, *data_bytes)) != STOQ_OK) {
            return MHD_NO; /* over the limit without having said so: nothing to answer */
        }
        *data_bytes = 0;
        return MHD_YES;
    }
    return run(server, c, url, rq);
}

static void on_completed(void *user, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct stoq_api_server *server = user;
    struct request *rq = *state;
    if (rq == NULL) {
        return;
    }
    stoq_buf_release(&rq->body);
    if (rq->reply != NULL) {
        reply_leave(rq->reply);
        count(server, &server->requests, -1);
    }
    free(rq);
    *state = NULL;
}

static void destroy(struct stoq_api_server *server)
{
    for (size_t i = 0; i < FAILURES_KEPT; i++) {
        json_decref(server->failures[i].error);
    }
    pthread_cond_destroy(&server->idle);
    pthread_mutex_destroy(&server->lock);
    free(server->socket_path);
    free(server);
}

static struct stoq_api_server *make(const struct stoq_api_config *config)
{
    struct stoq_api_server *server = calloc(1, sizeof *server);
    char *path = strdup(config->socket_path);
    if (server == NULL || path == NULL) {
        free(server);
        free(path);
        return NULL;
    }
    stoq_cond_init(&server->idle);
    pthread_mutex_init(&server->lock, NULL);
    server->config = *config;
    server->config.socket_path = path;
    server->socket_path = path;
    return server;
}

enum stoq_status stoq_api_server_new(struct stoq_api_server **out,
                                     const struct stoq_api_config *config, struct stoq_error *err)
{
    int fd;
    struct stoq_api_server *server = make(config);
    if (server == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the API server");
    }
    enum stoq_status st = stoq_unix_listen(config->socket_path, &fd, err);
    if (st != STOQ_OK) {
        destroy(server);
        return st;
    }
    server->http =
        MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
                             MHD_USE_POLL | MHD_USE_ITC,
                         0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, config->connections_max,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HEAD_TIMEOUT_S,
                         MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
    if (server->http == NULL) {
        st = stoq_fail(err, STOQ_IO, errno, "cannot start the API server");
        close(fd);
        (void)unlink(config->socket_path);
        destroy(server);
        return st;
    }
    *out = server;
    return STOQ_OK;
}

/* Wait until nothing runs, or until deadline. */
static void wait_idle(struct stoq_api_server *server, stoq_ns deadline)
{
    pthread_mutex_lock(&server->lock);
    while ((server->requests > 0 || server->threads > 0) &&
           stoq_cond_wait_until(&server->idle, &server->lock, deadline)) {
    }
    pthread_mutex_unlock(&server->lock);
}

static void wait_threads(struct stoq_api_server *server)
{
    pthread_mutex_lock(&server->lock);
    while (server->threads > 0) {
        pthread_cond_wait(&server->idle, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

void stoq_api_server_free(struct stoq_api_server *server, stoq_ns grace)
{
    if (server == NULL) {
        return;
    }
    atomic_store(&server->stopping, true);
    (void)unlink(server->socket_path);
    int fd = MHD_quiesce_daemon(server->http);
    wait_idle(server, stoq_now() + grace);
    atomic_store(&server->cancelling, true);
    MHD_stop_daemon(server->http);
    wait_threads(server);
    if (fd >= 0) {
        close(fd);
    }
    destroy(server);
}
