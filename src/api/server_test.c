#include "api/server.h"

#include "http/client.h"
#include "os/sys.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE (60 * STOQ_SEC) /* of any wait: a failure, not a pace */

struct fixture {
    char dir[64];
    char path[96];
    struct stoq_api_server *server;
    atomic_int waiting;   /* operations inside "wait" */
    atomic_int cancelled; /* of them, ended because they were cancelled */
    atomic_ulong content_sent;
};

static void serve_wait(struct fixture *f, struct stoq_api_reply *reply)
{
    struct stoq_error err;
    atomic_fetch_add(&f->waiting, 1);
    stoq_ns limit = stoq_now() + PATIENCE;
    while (!stoq_api_reply_cancelled(reply) && stoq_now() < limit) {
        (void)poll(NULL, 0, 1);
    }
    if (stoq_api_reply_cancelled(reply)) {
        atomic_fetch_add(&f->cancelled, 1);
    }
    (void)stoq_fail(&err, STOQ_CANCELLED, 0, "interrupted");
    stoq_api_reply_error(reply, &err);
}

static void serve_content(struct fixture *f, const json_t *args, struct stoq_api_reply *reply)
{
    struct stoq_error err;
    uint64_t bytes = stoq_json_u64(args, "bytes", 0);
    uint8_t block[10000];
    memset(block, 'x', sizeof block);
    for (uint64_t sent = 0; sent < bytes; sent += sizeof block) {
        uint64_t n = bytes - sent < sizeof block ? bytes - sent : sizeof block;
        if (stoq_api_reply_data(reply, stoq_span(block, n)) != STOQ_OK) {
            atomic_fetch_add(&f->cancelled, 1);
            break;
        }
        atomic_fetch_add(&f->content_sent, n);
    }
    if (stoq_json_bool(args, "fail", false)) {
        (void)stoq_fail(&err, STOQ_PROOF, 0, "a chunk is damaged");
        stoq_api_reply_error(reply, &err);
        return;
    }
    json_t *null = json_null();
    stoq_api_reply_result(reply, null);
}

static void serve(void *user, const char *name, const json_t *args, struct stoq_api_reply *reply)
{
    struct stoq_error err;
    if (strcmp(name, "echo") == 0) {
        stoq_api_reply_result(reply, args);
    } else if (strcmp(name, "count") == 0) {
        for (int i = 0; i < 3; i++) {
            json_t *event = json_pack("{s:s, s:i}", "type", "progress", "n", i);
            stoq_api_reply_event(reply, event);
            json_decref(event);
        }
        stoq_api_reply_result(reply, args);
    } else if (strcmp(name, "large") == 0) {
        size_t n = (size_t)stoq_json_u64(args, "bytes", 0);
        char *text = malloc(n);
        memset(text, 'y', n);
        json_t *result = json_stringn(text, n);
        stoq_api_reply_result(reply, result);
        json_decref(result);
        free(text);
    } else if (strcmp(name, "content") == 0) {
        serve_content(user, args, reply);
    } else if (strcmp(name, "wait") == 0) {
        serve_wait(user, reply);
    } else {
        (void)stoq_fail(&err, STOQ_NOTFOUND, 0, "no operation '%s'", name);
        stoq_api_reply_error(reply, &err);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct stoq_error err;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/stoq-api-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/sock", f->dir);
    struct stoq_api_config config = {
        .socket_path = f->path, .connections_max = 8, .serve = serve, .user = f};
    assert_int_equal(stoq_api_server_new(&f->server, &config, &err), STOQ_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stoq_api_server_free(f->server, 0);
    assert_int_not_equal(access(f->path, F_OK), 0);
    rmdir(f->dir);
    free(f);
    return 0;
}

struct got {
    int http_status;
    char type[64];
    struct stoq_buf body;
    atomic_bool stop;
};

static enum stoq_status on_head(void *user, int http_status, const char *content_type)
{
    struct got *g = user;
    g->http_status = http_status;
    (void)snprintf(g->type, sizeof g->type, "%s", content_type);
    return STOQ_OK;
}

static enum stoq_status on_body(void *user, struct stoq_span bytes)
{
    struct got *g = user;
    return stoq_buf_add(&g->body, bytes);
}

static bool on_cancelled(void *user)
{
    struct got *g = user;
    return g->stop;
}

static enum stoq_status post(struct fixture *f, const char *name, const char *args, struct got *g)
{
    char url[128];
    struct stoq_error err;
    (void)snprintf(url, sizeof url, "http://localhost/v1/%s", name);
    memset(g, 0, sizeof *g);
    stoq_buf_init(&g->body, 16 * STOQ_MIB);
    struct stoq_http_request rq = {f->path, url, "application/json", stoq_span_str(args)};
    struct stoq_http_sink sink = {g, on_head, on_body, on_cancelled};
    enum stoq_status st = stoq_http_post(&rq, &sink, &err);
    assert_int_equal(stoq_buf_add(&g->body, stoq_span("", 1)), STOQ_OK);
    return st;
}

static void expect(struct fixture *f, const char *name, const char *args, int http_status,
                   const char *text)
{
    struct got g;
    assert_int_equal(post(f, name, args, &g), STOQ_OK);
    assert_int_equal(g.http_status, http_status);
    assert_string_equal(g.type, "application/x-ndjson");
    if (strstr((char *)g.body.p, text) == NULL) {
        fail_msg("no %s in %s", text, (char *)g.body.p);
    }
    stoq_buf_release(&g.body);
}

static void test_json(void **state)
{
    struct fixture *f = *state;
    expect(f, "echo", "{\"a\":\"b\"}", 200, "{\"type\":\"result\",\"result\":{\"a\":\"b\"}}\n");
    expect(f, "echo", "", 200, "{\"type\":\"result\",\"result\":{}}\n");
    expect(f, "count", "{}", 200,
           "{\"type\":\"progress\",\"n\":0}\n{\"type\":\"progress\",\"n\":1}\n"
           "{\"type\":\"progress\",\"n\":2}\n{\"type\":\"result\",\"result\":{}}\n");
    expect(f, "nothing", "{}", 404, "\"message\":\"no operation 'nothing'\"");
    expect(f, "echo", "{\"a\":", 400, "\"code\":\"Usage\"");
    expect(f, "echo", "[[[[[[[[[[[[]]]]]]]]]]]]", 400, "nested 12 deep");
}

static void test_content(void **state)
{
    struct fixture *f = *state;
    struct got g;
    assert_int_equal(post(f, "content", "{\"bytes\":3000000}", &g), STOQ_OK);
    assert_string_equal(g.type, "application/octet-stream; request=1");
    assert_int_equal(g.body.n, 3000001);
    stoq_buf_release(&g.body);
    assert_int_equal(post(f, "content", "{\"bytes\":3000000,\"fail\":true}", &g), STOQ_TRUNC);
    assert_int_equal(g.body.n, 3000001);
    assert_string_equal(g.type, "application/octet-stream; request=2");
    stoq_buf_release(&g.body);
    expect(f, "failure", "{\"request\":2}", 200, "\"code\":\"IntegrityCheckFailed\"");
    expect(f, "failure", "{\"request\":1}", 404, "no failure is kept");
    expect(f, "content", "{\"fail\":true}", 500, "\"code\":\"IntegrityCheckFailed\"");
}

/* A result larger than the queue arrives; one over the limit is refused in words. */
static void test_large_result(void **state)
{
    struct fixture *f = *state;
    struct got g;
    assert_int_equal(post(f, "large", "{\"bytes\":9000000}", &g), STOQ_OK);
    assert_true(g.body.n > 9000000 && g.body.n < 9000100);
    stoq_buf_release(&g.body);
    expect(f, "large", "{\"bytes\":70000000}", 200, "\"code\":\"LimitReached\"");
}

static int dial(struct fixture *f)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s", f->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct timeval limit = {.tv_sec = 20};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* What comes until the server closes, or the first block of it. */
static void listen_for(int fd, char *out, size_t cap)
{
    ssize_t n = recv(fd, out, cap - 1, 0);
    out[n > 0 ? n : 0] = '\0';
}

static void expect_raw(struct fixture *f, const char *text, const char *answer)
{
    char got[4096];
    int fd = dial(f);
    say(fd, text);
    listen_for(fd, got, sizeof got);
    close(fd);
    if (strncmp(got, answer, strlen(answer)) != 0) {
        fail_msg("to %.40s came %.60s", text, got);
    }
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    expect_raw(f, "GET /v1/echo HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405");
    expect_raw(f, "POST /v2/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 404");
    expect_raw(f, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n",
               "HTTP/1.1 413");
    expect_raw(f, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: -7\r\n\r\n", "HTTP/1.1 4");
    expect_raw(f, "\x01\x02\x03\r\n\r\n", "");
    expect_raw(f, "POST\r\n\r\n", "");
    expect(f, "echo", "{}", 200, "result");
}

/* A body that grows past the limit without having said so is cut off. */
static void test_oversize_chunked(void **state)
{
    struct fixture *f = *state;
    char got[256];
    char block[8192 + 16];
    int fd = dial(f);
    say(fd, "POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    int n = snprintf(block, sizeof block, "2000\r\n%08192d\r\n", 0);
    assert_int_equal(n, 8192 + 8);
    int sent = 0;
    while (sent < 100 * 1024 * 1024 && send(fd, block, (size_t)n, MSG_NOSIGNAL) > 0) {
        sent += n;
    }
    assert_true(sent < 16 * 1024 * 1024);
    listen_for(fd, got, sizeof got);
    assert_string_equal(got, "");
    close(fd);
    expect(f, "echo", "{}", 200, "result");
}

static void wait_for(atomic_int *what, int value)
{
    stoq_ns limit = stoq_now() + PATIENCE;
    while (atomic_load(what) < value) {
        assert_true(stoq_now() < limit);
        (void)poll(NULL, 0, 1);
    }
}

static void test_disconnect_cancels(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    wait_for(&f->waiting, 1);
    assert_int_equal(atomic_load(&f->cancelled), 0);
    close(fd);
    wait_for(&f->cancelled, 1);
}

static void test_half_close_does_not(void **state)
{
    struct fixture *f = *state;
    char got[4096];
    int fd = dial(f);
    say(fd, "POST /v1/content HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n{\"bytes\":5}");
    shutdown(fd, SHUT_WR);
    listen_for(fd, got, sizeof got);
    assert_int_equal(strncmp(got, "HTTP/1.1 200", 12), 0);
    close(fd);
}

/* A client that asks for much and reads nothing holds a bounded queue, and its leaving ends the work. */
static void test_slow_reader_is_bounded(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "POST /v1/content HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
            "{\"bytes\":1000000000}");
    stoq_ns limit = stoq_now() + PATIENCE;
    unsigned long before;
    do { /* until it stands still */
        before = atomic_load(&f->content_sent);
        (void)poll(NULL, 0, 100);
        assert_true(stoq_now() < limit);
    } while (before == 0 || atomic_load(&f->content_sent) != before);
    assert_true(before < 4 * STOQ_MIB);
    close(fd);
    wait_for(&f->cancelled, 1);
}

static void test_free_cancels(void **state)
{
    struct fixture *f = *state;
    int fd = dial(f);
    say(fd, "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    wait_for(&f->waiting, 1);
    stoq_ns start = stoq_now();
    stoq_api_server_free(f->server, 200 * STOQ_MS);
    f->server = NULL;
    assert_in_range(stoq_now() - start, 200 * STOQ_MS, PATIENCE - STOQ_SEC); /* not to its end */
    assert_int_equal(atomic_load(&f->cancelled), 1);
    close(fd);
}

struct stopper {
    struct fixture *f;
    struct got *g;
};

static void *stop_when_it_waits(void *user)
{
    struct stopper *s = user;
    wait_for(&s->f->waiting, 1);
    s->g->stop = true;
    return NULL;
}

static void test_client_cancels(void **state)
{
    struct fixture *f = *state;
    struct got g;
    struct stoq_error err;
    pthread_t thread;
    memset(&g, 0, sizeof g);
    struct stoq_http_request rq = {f->path, "http://localhost/v1/wait", "application/json", {0}};
    struct stoq_http_sink sink = {&g, on_head, on_body, on_cancelled};
    struct stopper stopper = {f, &g};
    pthread_create(&thread, NULL, stop_when_it_waits, &stopper);
    assert_int_equal(stoq_http_post(&rq, &sink, &err), STOQ_CANCELLED);
    pthread_join(thread, NULL);
    wait_for(&f->cancelled, 1);
}

static void test_nobody_there(void **state)
{
    struct fixture *f = *state;
    struct got g;
    stoq_api_server_free(f->server, 0);
    f->server = NULL;
    assert_int_equal(post(f, "echo", "{}", &g), STOQ_NOTFOUND);
    stoq_buf_release(&g.body);
}

static void test_socket(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    struct stoq_error err;
    struct stoq_api_server *second;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct stoq_api_config config = {
        .socket_path = f->path, .connections_max = 8, .serve = serve, .user = f};
    assert_int_equal(stoq_api_server_new(&second, &config, &err), STOQ_BUSY);
}

static void test_connection_cap(void **state)
{
    struct fixture *f = *state;
    int fd[9];
    char got[64];
    for (int i = 0; i < 8; i++) {
        fd[i] = dial(f);
        say(fd[i], "POST /v1/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    }
    wait_for(&f->waiting, 8);
    fd[8] = dial(f);
    say(fd[8], "POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    struct timeval limit = {.tv_usec = 300000};
    setsockopt(fd[8], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    listen_for(fd[8], got, sizeof got);
    assert_string_equal(got, "");
    for (int i = 0; i < 9; i++) {
        close(fd[i]);
    }
    wait_for(&f->cancelled, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_result, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oversize_chunked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_disconnect_cancels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_close_does_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slow_reader_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_cancels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_cancels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_connection_cap, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
