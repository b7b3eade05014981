#ifndef STOQ_API_SERVER_INTERNAL_H
#define STOQ_API_SERVER_INTERNAL_H
/* What server.c (connections) and reply.c (the queue between two threads) share. */
#include "api/server.h"

#include <pthread.h>

#define REPLY_QUEUE_BYTES ((size_t)STOQ_MIB) /* waiting for the client; then content blocks */

enum reply_kind {
    REPLY_NONE,    /* nothing yet */
    REPLY_LINES,   /* NDJSON */
    REPLY_CONTENT, /* octet-stream */
};

/*
 * A bounded queue of bytes: the operation's thread writes, the connection's thread reads. Each holds one
 * reference; the last one frees.
 */
struct stoq_api_reply {
    struct stoq_api_server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct stoq_buf bytes;
    size_t taken; /* of bytes, already read */
    enum reply_kind kind;
    int http_status;
    bool ended;  /* no more output comes */
    bool broken; /* ended inside the content */
    bool gone;   /* the client went away */
    int refs;
    uint64_t number; /* of the request, to ask for its failure */
    int fd;          /* the connection's socket, to notice a client that went away */
    char *name;
    json_t *args;
};

/* NULL: no memory. Takes args. */
struct stoq_api_reply *reply_new(struct stoq_api_server *server, int fd, const char *name,
                                 json_t *args);
void reply_unref(struct stoq_api_reply *reply);
/* The connection's side is through with it: nobody reads any more. */
void reply_leave(struct stoq_api_reply *reply);
/* Wait until there is output or the end; false when the client went away. */
bool reply_wait(struct stoq_api_reply *reply);
/* Up to max bytes, waiting for some. 0: the end; -1: broken off. */
ssize_t reply_read(struct stoq_api_reply *reply, char *out, size_t max);

/* Keep why a content broke off. Takes error; NULL is fine. */
void server_keep_failure(struct stoq_api_server *server, uint64_t number, json_t *error);

/* The server wants everything to end. */
bool server_cancelling(struct stoq_api_server *server);

#endif
