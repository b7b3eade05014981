#include "http/client.h"

#include "os/unix.h"

#include <curl/curl.h>
#include <stdio.h>
#include <unistd.h>

struct exchange {
    CURL *curl;
    const struct stoq_http_sink *sink;
    enum stoq_status status; /* of the sink, once it refused */
    bool head_done;
};

static enum stoq_status tell_head(struct exchange *x)
{
    long http_status = 0;
    const char *type = NULL;
    if (x->head_done) {
        return STOQ_OK;
    }
    x->head_done = true;
    curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &http_status);
    curl_easy_getinfo(x->curl, CURLINFO_CONTENT_TYPE, &type);
    return x->sink->head(x->sink->user, (int)http_status, type != NULL ? type : "");
}

static size_t on_body(char *p, size_t size, size_t count, void *user)
{
    struct exchange *x = user;
    x->status = tell_head(x);
    if (x->status == STOQ_OK) {
        x->status = x->sink->body(x->sink->user, stoq_span(p, size * count));
    }
    return x->status == STOQ_OK ? size * count : 0;
}

static int on_progress(void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up)
{
    struct exchange *x = user;
    if (x->sink->cancelled != NULL && x->sink->cancelled(x->sink->user)) {
        x->status = STOQ_CANCELLED;
        return 1;
    }
    return 0;
}

static enum stoq_status outcome(struct exchange *x, CURLcode rc, const char *path,
                                struct stoq_error *err)
{
    if (x->status == STOQ_CANCELLED) {
        return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
    }
    if (x->status != STOQ_OK) {
        return x->status;
    }
    switch (rc) {
    case CURLE_OK:
        return tell_head(x);
    case CURLE_COULDNT_CONNECT:
        return stoq_fail(err, STOQ_NOTFOUND, 0, "nobody serves %s", path);
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
        return stoq_fail(err, STOQ_TRUNC, 0, "the reply from %s ended early", path);
    case CURLE_OUT_OF_MEMORY:
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for an HTTP exchange");
    default:
        return stoq_fail(err, STOQ_NET, 0, "request to %s failed: %s", path,
                         curl_easy_strerror(rc));
    }
}

static bool set_options(struct exchange *x, const struct stoq_http_request *request,
                        const char *socket_path, const struct curl_slist *headers)
{
    CURL *c = x->curl;
    const char *body = request->body.n > 0 ? (const char *)request->body.p : "";
    bool ok = true;
    ok &= curl_easy_setopt(c, CURLOPT_URL, request->url) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket_path) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PROXY, "") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_POST, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.n) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_POSTFIELDS, body) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEDATA, x) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_XFERINFODATA, x) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    return ok;
}

static enum stoq_status run(struct exchange *x, const struct stoq_http_request *request,
                            const char *socket_path, struct stoq_error *err)
{
    char type[128];
    int n = snprintf(type, sizeof type, "Content-Type: %s", request->content_type);
    STOQ_ASSERT(n > 0 && (size_t)n < sizeof type);
    struct curl_slist *headers = curl_slist_append(NULL, type);
    struct curl_slist *more = curl_slist_append(headers, "Expect:"); /* no 100-continue wait */
    enum stoq_status st;
    if (headers == NULL || more == NULL || !set_options(x, request, socket_path, headers)) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for an HTTP exchange");
    } else {
        st = outcome(x, curl_easy_perform(x->curl), request->unix_socket, err);
    }
    curl_slist_free_all(headers);
    return st;
}

enum stoq_status stoq_http_post(const struct stoq_http_request *request,
                                const struct stoq_http_sink *sink, struct stoq_error *err)
{
    char socket_path[STOQ_UNIX_PATH_CAP];
    int dir_fd;
    enum stoq_status st = stoq_unix_path(request->unix_socket, socket_path, &dir_fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    struct exchange x = {.curl = curl_easy_init(), .sink = sink};
    if (x.curl == NULL) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for an HTTP exchange");
    } else {
        st = run(&x, request, socket_path, err);
        curl_easy_cleanup(x.curl);
    }
    if (dir_fd >= 0) {
        close(dir_fd);
    }
    return st;
}
