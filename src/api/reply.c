/*
 * The queue between the thread that runs an operation and the thread that serves its connection. The
 * reader may block as long as the operation is silent, so it wakes now and then to look whether the client
 * hung up: closing the connection is how a client cancels. Only a full hang-up counts; a client may shut
 * down its sending side and go on reading.
 */
#include "api/server_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "os/cond.h"
#include "os/sys.h"

enum { LOOK_EVERY_MS = 100 };

struct stoq_api_reply *reply_new(struct stoq_api_server *server, int fd, const char *name,
                                 json_t *args)
{
    struct stoq_api_reply *reply = calloc(1, sizeof *reply);
    char *copy = strdup(name);
    if (reply == NULL || copy == NULL) {
        free(reply);
        free(copy);
        json_decref(args);
        return NULL;
    }
    stoq_cond_init(&reply->changed);
    pthread_mutex_init(&reply->lock, NULL);
    stoq_buf_init(&reply->bytes, 2 * REPLY_QUEUE_BYTES + STOQ_JSON_REPLY_MAX); /* lines behind it */
    reply->server = server;
    reply->http_status = 200;
    reply->refs = 1;
    reply->fd = fd;
    reply->name = copy;
    reply->args = args;
    return reply;
}

void reply_unref(struct stoq_api_reply *reply)
{
    pthread_mutex_lock(&reply->lock);
    int left = --reply->refs;
    pthread_mutex_unlock(&reply->lock);
    if (left > 0) {
        return;
    }
    stoq_buf_release(&reply->bytes);
    pthread_cond_destroy(&reply->changed);
    pthread_mutex_destroy(&reply->lock);
    json_decref(reply->args);
    free(reply->name);
    free(reply);
}

void reply_leave(struct stoq_api_reply *reply)
{
    pthread_mutex_lock(&reply->lock);
    reply->gone = true;
    pthread_cond_broadcast(&reply->changed);
    pthread_mutex_unlock(&reply->lock);
    reply_unref(reply);
}

static bool hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = 0};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static void wait_a_moment(struct stoq_api_reply *reply)
{
    (void)stoq_cond_wait_until(&reply->changed, &reply->lock, stoq_now() + LOOK_EVERY_MS * STOQ_MS);
}

/* With the lock held. */
static bool wait_locked(struct stoq_api_reply *reply)
{
    while (reply->taken == reply->bytes.n && !reply->ended && !reply->gone) {
        wait_a_moment(reply);
        if (reply->taken == reply->bytes.n && !reply->ended && hung_up(reply->fd)) {
            reply->gone = true;
            pthread_cond_broadcast(&reply->changed);
        }
    }
    return !reply->gone;
}

bool reply_wait(struct stoq_api_reply *reply)
{
    pthread_mutex_lock(&reply->lock);
    bool ok = wait_locked(reply);
    pthread_mutex_unlock(&reply->lock);
    return ok;
}

ssize_t reply_read(struct stoq_api_reply *reply, char *out, size_t max)
{
    pthread_mutex_lock(&reply->lock);
    ssize_t got = -1;
    if (wait_locked(reply)) {
        size_t n = reply->bytes.n - reply->taken;
        n = n < max ? n : max;
        if (n > 0) {
            memcpy(out, reply->bytes.p + reply->taken, n);
            reply->taken += n;
        }
        got = n > 0 ? (ssize_t)n : (reply->broken ? -1 : 0);
        if (reply->taken == reply->bytes.n) {
            stoq_buf_clear(&reply->bytes);
            reply->taken = 0;
        }
        pthread_cond_broadcast(&reply->changed);
    }
    pthread_mutex_unlock(&reply->lock);
    return got;
}

bool stoq_api_reply_cancelled(struct stoq_api_reply *reply)
{
    pthread_mutex_lock(&reply->lock);
    bool gone = reply->gone;
    pthread_mutex_unlock(&reply->lock);
    return gone || server_cancelling(reply->server);
}

/* Append one line, with the lock held. */
static bool add_line(struct stoq_api_reply *reply, const json_t *object)
{
    char *line = stoq_json_line(object);
    size_t n = line != NULL ? strlen(line) : 0;
    bool ok = line != NULL && n <= STOQ_JSON_REPLY_MAX &&
              stoq_buf_reserve(&reply->bytes, n + 1) == STOQ_OK &&
              stoq_buf_add(&reply->bytes, stoq_span(line, n)) == STOQ_OK &&
              stoq_buf_add(&reply->bytes, stoq_span_str("\n")) == STOQ_OK;
    free(line);
    return ok;
}

void stoq_api_reply_event(struct stoq_api_reply *reply, const json_t *event)
{
    pthread_mutex_lock(&reply->lock);
    if (reply->kind != REPLY_CONTENT && reply->bytes.n < REPLY_QUEUE_BYTES) {
        reply->kind = REPLY_LINES;
        (void)add_line(reply, event); /* progress may be lost */
        pthread_cond_broadcast(&reply->changed);
    }
    pthread_mutex_unlock(&reply->lock);
}

enum stoq_status stoq_api_reply_data(struct stoq_api_reply *reply, struct stoq_span bytes)
{
    enum stoq_status st = STOQ_OK;
    pthread_mutex_lock(&reply->lock);
    STOQ_ASSERT(reply->kind != REPLY_LINES);
    reply->kind = REPLY_CONTENT;
    while (bytes.n > 0 && st == STOQ_OK) {
        while (reply->bytes.n >= REPLY_QUEUE_BYTES && !reply->gone &&
               !server_cancelling(reply->server)) {
            wait_a_moment(reply);
        }
        if (reply->gone || server_cancelling(reply->server)) {
            st = STOQ_CANCELLED;
            break;
        }
        size_t room = REPLY_QUEUE_BYTES - reply->bytes.n;
        size_t n = bytes.n < room ? bytes.n : room;
        st = stoq_buf_add(&reply->bytes, stoq_span(bytes.p, n));
        bytes = stoq_span(bytes.p + n, bytes.n - n);
        pthread_cond_broadcast(&reply->changed);
    }
    pthread_mutex_unlock(&reply->lock);
    return st;
}

static int http_status_of(const struct stoq_error *err)
{
    switch (stoq_error_exit(err)) {
    case STOQ_EXIT_USAGE:
        return 400;
    case STOQ_EXIT_NOT_FOUND:
        return 404;
    case STOQ_EXIT_NETWORK:
        return err->status == STOQ_TIMEOUT ? 504 : 502;
    default:
        return err->status == STOQ_BUSY ? 503 : 500;
    }
}

/* What is said instead of a result that does not fit, or that there was no memory for. */
static bool add_excuse(struct stoq_api_reply *reply)
{
    struct stoq_error err;
    (void)stoq_fail(&err, STOQ_FULL, 0, "the result is over the limit of %zu bytes, or of memory",
                    STOQ_JSON_REPLY_MAX);
    json_t *object = stoq_error_to_json(&err);
    bool ok = object != NULL && json_object_set_new(object, "type", json_string("error")) == 0 &&
              add_line(reply, object);
    json_decref(object);
    return ok;
}

/* The last output; the reply breaks off when not even an excuse can be had. */
static void end_with(struct stoq_api_reply *reply, const json_t *object)
{
    if (object == NULL || !add_line(reply, object)) {
        reply->broken = !add_excuse(reply);
    }
    if (reply->kind == REPLY_NONE) {
        reply->kind = REPLY_LINES;
    }
    reply->ended = true;
    pthread_cond_broadcast(&reply->changed);
}

void stoq_api_reply_result(struct stoq_api_reply *reply, const json_t *result)
{
    json_t *object = json_pack("{s:s, s:O}", "type", "result", "result", result);
    pthread_mutex_lock(&reply->lock);
    STOQ_ASSERT(!reply->ended);
    if (reply->kind == REPLY_CONTENT) {
        reply->ended = true;
        pthread_cond_broadcast(&reply->changed);
    } else {
        end_with(reply, object);
    }
    pthread_mutex_unlock(&reply->lock);
    json_decref(object);
}

void stoq_api_reply_error(struct stoq_api_reply *reply, const struct stoq_error *err)
{
    json_t *object = stoq_error_to_json(err);
    if (object != NULL) {
        (void)json_object_set_new(object, "type", json_string("error"));
    }
    server_keep_failure(reply->server, reply->number, json_incref(object));
    pthread_mutex_lock(&reply->lock);
    STOQ_ASSERT(!reply->ended);
    if (reply->kind == REPLY_CONTENT) {
        reply->broken = true;
        reply->ended = true;
        pthread_cond_broadcast(&reply->changed);
    } else {
        reply->http_status = reply->kind == REPLY_NONE ? http_status_of(err) : 200;
        end_with(reply, object);
    }
    pthread_mutex_unlock(&reply->lock);
    json_decref(object);
}
