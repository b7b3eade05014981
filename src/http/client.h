#ifndef STOQ_HTTP_CLIENT_H
#define STOQ_HTTP_CLIENT_H
/*
 * One HTTP exchange, blocking, with the reply handed over as it arrives. Over a Unix socket today; proxy
 * settings of the environment are ignored.
 */
#include "base/bytes.h"

struct stoq_http_request {
    const char *unix_socket;  /* path of the server's socket */
    const char *url;          /* "http://localhost/v1/ls": the host is only a name here */
    const char *content_type; /* of body */
    struct stoq_span body;    /* sent by POST; borrowed */
};

/* Where the reply goes. head comes once, before the first body; members return STOQ_OK to go on, anything
 * else ends the exchange with it. cancelled (may be NULL) is asked at least once a second. */
struct stoq_http_sink {
    void *user;
    enum stoq_status (*head)(void *user, int http_status, const char *content_type);
    enum stoq_status (*body)(void *user, struct stoq_span bytes);
    bool (*cancelled)(void *user);
};

/*
 * STOQ_OK         the whole reply was handed over, whatever its HTTP status
 * STOQ_NOTFOUND   nobody listens at the socket; nothing was sent
 * STOQ_TRUNC      the connection ended inside the reply
 * STOQ_CANCELLED  sink->cancelled said so
 * STOQ_NET        any other failure of the exchange
 * STOQ_NOMEM, and what the sink returned (err is the sink's to fill then)
 */
STOQ_WARN_UNUSED enum stoq_status stoq_http_post(const struct stoq_http_request *request,
                                                 const struct stoq_http_sink *sink,
                                                 struct stoq_error *err);

#endif
