#ifndef STOQ_API_SERVER_H
#define STOQ_API_SERVER_H
/*
 * The control API's server: HTTP/1.1 on a Unix socket. POST /v1/NAME with a JSON object runs one operation
 * on a thread of its own; the reply is NDJSON (progress events, then one result or error line) or, for
 * operations that stream bytes, application/octet-stream. Only our own user and root are served.
 *
 * Content that breaks off ends the connection short. Why it did is kept for a while under the number in its
 * Content-Type ("application/octet-stream; request=7"): POST /v1/failure {"request":7} gives that error.
 */
#include "api/error.h"

struct stoq_api_server;
struct stoq_api_reply;

struct stoq_api_config {
    const char *socket_path;
    unsigned connections_max; /* one more is closed at once */
    /* Run the operation on this thread and end reply exactly once. args is borrowed. */
    void (*serve)(void *user, const char *name, const json_t *args, struct stoq_api_reply *reply);
    void *user;
};

/* Start serving. STOQ_OK; STOQ_BUSY: somebody serves that socket; STOQ_IO; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_api_server_new(struct stoq_api_server **out,
                                                      const struct stoq_api_config *config,
                                                      struct stoq_error *err);
/* Accept nothing new, let what runs finish for at most grace, then cancel it and wait for its end. The
 * socket file is removed. NULL is fine. */
void stoq_api_server_free(struct stoq_api_server *server, stoq_ns grace);

/* For serve. One line of progress; dropped when the client reads too slowly. */
void stoq_api_reply_event(struct stoq_api_reply *reply, const json_t *event);
/* Bytes of the content, before any other output. Blocks while the client is slow. STOQ_OK;
 * STOQ_CANCELLED: it went away. */
STOQ_WARN_UNUSED enum stoq_status stoq_api_reply_data(struct stoq_api_reply *reply,
                                                      struct stoq_span bytes);
/* The client went away, or the server is being freed. */
bool stoq_api_reply_cancelled(struct stoq_api_reply *reply);
/* End: {"type":"result","result":RESULT}, or just the end of the content. result is borrowed. */
void stoq_api_reply_result(struct stoq_api_reply *reply, const json_t *result);
/* End: {"type":"error","code","message","status","exit"} with an HTTP status that fits when nothing went
 * out before; after content the connection is closed short, so that nobody takes it for whole. */
void stoq_api_reply_error(struct stoq_api_reply *reply, const struct stoq_error *err);

#endif
