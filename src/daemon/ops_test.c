#include "daemon/host.h"
#include "daemon/ops.h"

#include "api/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/scratch.h"

struct fixture {
    char dir[64];
    struct stoq_home home;
    struct stoq_host *host;
    struct stoq_buf content;
    int events;
};

static void on_event(void *user, const json_t *event)
{
    struct fixture *f = user;
    f->events++;
    assert_string_equal(stoq_json_text(event, "type"), "progress");
}

static enum stoq_status on_data(void *user, struct stoq_span bytes)
{
    struct fixture *f = user;
    return stoq_buf_add(&f->content, bytes);
}

static void open_host(struct fixture *f)
{
    struct stoq_error err;
    struct stoq_host_config cfg = {.home = &f->home};
    if (stoq_host_new(&f->host, &cfg, &err) != STOQ_OK) {
        fail_msg("%s", err.text);
    }
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct stoq_error err;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/stoq-ops-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    char home[96];
    (void)snprintf(home, sizeof home, "%s/home", f->dir);
    struct stoq_home_from from = {.home_option = home, .work_dir = "/"};
    assert_int_equal(stoq_home_find(&f->home, &from, &err), STOQ_OK);
    stoq_buf_init(&f->content, STOQ_MIB);
    open_host(f);
    *state = f;
    return 0;
}

static int setup_made(void **state)
{
    struct stoq_error err;
    int rc = setup(state);
    struct fixture *f = *state;
    assert_int_equal(stoq_host_open(f->host, true, &err), STOQ_OK);
    return rc;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct stoq_error err;
    assert_int_equal(stoq_host_free(f->host, 0, &err), STOQ_OK);
    stoq_buf_release(&f->content);
    assert_true(scratch_remove(f->dir));
    free(f);
    return 0;
}

/* Run an operation with arguments as JSON text. */
static enum stoq_status run(struct fixture *f, const char *name, const char *args, json_t **result,
                            struct stoq_error *err)
{
    json_t *a = NULL;
    struct stoq_op_io io = {.user = f, .progress = on_event, .data = on_data};
    const struct stoq_op *op = stoq_op_find(name);
    assert_non_null(op);
    assert_int_equal(stoq_json_parse(&a, stoq_span_str(args), STOQ_JSON_REQUEST_MAX, err), STOQ_OK);
    memset(err, 0, sizeof *err);
    enum stoq_status st = stoq_op_run(f->host, op, a, &io, result, err);
    json_decref(a);
    return st;
}

static void refuse(struct fixture *f, const char *name, const char *args, const char *code,
                   const char *text)
{
    struct stoq_error err;
    json_t *result = NULL;
    assert_int_not_equal(run(f, name, args, &result, &err), STOQ_OK);
    assert_null(result);
    assert_string_equal(stoq_error_code(&err), code);
    if (strstr(err.text, text) == NULL) {
        fail_msg("%s %s: '%s' lacks '%s'", name, args, err.text, text);
    }
}

static json_t *accept_op(struct fixture *f, const char *name, const char *args)
{
    struct stoq_error err;
    json_t *result = NULL;
    if (run(f, name, args, &result, &err) != STOQ_OK) {
        fail_msg("%s %s: %s", name, args, err.text);
    }
    assert_non_null(result);
    return result;
}

#define ID "stoq1qquqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlek395"

static void test_table(void **state)
{
    const struct stoq_op *op;
    size_t count = 0;
    for (; (op = stoq_op_at(count)) != NULL; count++) {
        assert_ptr_equal(stoq_op_find(op->name), op);
    }
    assert_true(count > 0);
    assert_null(stoq_op_find("nothing"));
    assert_null(stoq_op_find(""));
}

#define ADDRESS "data1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqxx"

static void test_store_arguments(void **state)
{
    struct fixture *f = *state;
    refuse(f, "store_put", "{}", "Usage", "'path' is missing");
    refuse(f, "store_put", "{\"path\":\"/\"}", "Usage", "no regular file");
    refuse(f, "store_put", "{\"path\":\"/none\"}", "NotFound", "open /none");
    refuse(f, "store_put", "{\"path\":\"/etc/passwd\",\"hash\":\"xxh3-128\"}", "Usage",
           "anybody can make other bytes");
    refuse(f, "store_put", "{\"path\":\"/etc/passwd\",\"hash\":\"md5\"}", "Usage", "not 'md5'");
    refuse(f, "store_put", "{\"path\":\"/etc/passwd\",\"secondary\":[\"sha256=00\"]}", "Usage",
           "needs 64 hexadecimal digits");
    refuse(f, "store_put", "{\"path\":\"/etc/passwd\",\"secondary\":[\"blake3\"]}", "Usage",
           "other than the address's");
    refuse(f, "store_put", "{\"path\":\"/etc/passwd\",\"expect\":\"" ADDRESS "\"}", "InvalidId",
           "checksum");
    refuse(f, "store_put", "{\"input\":\"/none\"}", "NotFound", "connect");
    refuse(f, "store_get", "{\"address\":\"" ID "\",\"stream\":true}", "InvalidId",
           "begin with data1");
    refuse(f, "store_get", "{\"address\":\"data1q\",\"stream\":true}", "InvalidId", "65");
    json_decref(accept_op(f, "store_ls", "{}"));
}

static void test_arguments(void **state)
{
    struct fixture *f = *state;
    refuse(f, "publish", "{}", "Usage", "'name' is missing");
    refuse(f, "publish", "{\"name\":\"a\",\"version\":\"1\"}", "Usage", "'path' is missing");
    refuse(f, "publish", "{\"name\":\"a\",\"version\":\"1\",\"path\":\"/\",\"path_b64\":\"Lw==\"}",
           "Usage", "given twice");
    refuse(f, "publish", "{\"name\":1}", "Usage", "'name' must be a string");
    refuse(f, "publish", "{\"name\":\"a\",\"version\":\"1\",\"path\":\"/\",\"threads\":65}",
           "Usage", "threads at most 64");
    refuse(f, "publish",
           "{\"name\":\"a\",\"version\":\"1\",\"path\":\"/\",\"depends\":[\"x#stoq1q\"]}",
           "InvalidId", "6 characters");
    refuse(f, "publish", "{\"name\":\"A\",\"version\":\"1\",\"path\":\"/tmp\"}", "Usage", "name");
    refuse(f, "get", "{\"id\":\"" ID "\",\"output\":\"/x\",\"stream\":true}", "Usage", "not both");
    refuse(f, "get", "{\"id\":\"" ID "\",\"timeout_s\":99999999}", "Usage", "timeout_s");
    refuse(f, "get", "{\"id\":\"" ID "\",\"from\":[\"x\"]}", "Usage", "PEER@ADDRESS");
    refuse(f, "get", "{\"id\":\"" ID "\",\"from\":[\"" ID "@[::1]:1\"]}", "InvalidId",
           "those begin with peer1");
    refuse(f, "get", "{\"id\":\"" ID "\"}", "NoSource", "no source is named");
    refuse(f, "get", "{\"id\":\"x\"}", "InvalidId", "those begin with stoq1");
    refuse(f, "cat", "{\"id\":\"" ID "\"}", "Usage", "'path' is missing");
    refuse(f, "ls", "{\"x\":1}", "Usage", "unknown argument 'x'");
    refuse(f, "info", "{\"id\":\"" ID "\"}", "ContentNotFound", "");
    refuse(f, "rm", "{\"id\":\"" ID "\"}", "ContentNotFound", "");
    refuse(f, "verify", "{\"id\":\"" ID "\"}", "ContentNotFound", "");
}

static void test_needs_daemon(void **state)
{
    struct fixture *f = *state;
    refuse(f, "status", "{}", "DaemonNotRunning", "stoq daemon");
    refuse(f, "peers", "{}", "DaemonNotRunning", "stoq daemon");
    refuse(f, "stop", "{}", "DaemonNotRunning", "stoq daemon");
}

static void test_empty_home(void **state)
{
    struct fixture *f = *state;
    json_t *result = accept_op(f, "ls", "{}");
    assert_int_equal(json_array_size(json_object_get(result, "packages")), 0);
    json_decref(result);
    refuse(f, "info", "{\"id\":\"" ID "\"}", "HomeMissing", "no store");
    assert_int_not_equal(access(f->home.data_dir, F_OK), 0);
}

static void write_input(struct fixture *f, char path[96])
{
    (void)snprintf(path, 96, "%s/input", f->dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (int i = 0; i < 100000; i++) {
        (void)fprintf(file, "%d\n", i);
    }
    assert_int_equal(fclose(file), 0);
}

static void test_life_of_a_package(void **state)
{
    struct fixture *f = *state;
    char path[96];
    char args[512];
    char id[128];
    write_input(f, path);
    (void)snprintf(
        args, sizeof args,
        "{\"path\":\"%s\",\"name\":\"n\",\"version\":\"1\",\"annotations\":{\"k\":\"v\"},"
        "\"depends\":[\"a\",\"b@>=1\",\"c@2#" ID "\"]}",
        path);
    json_t *result = accept_op(f, "publish", args);
    (void)snprintf(id, sizeof id, "%s", stoq_json_text(result, "id"));
    assert_int_equal(stoq_json_u64(result, "files", 0), 1);
    assert_true(stoq_json_u64(result, "bytes_new", 0) > 500000);
    assert_non_null(stoq_json_text(result, "signed_by"));
    json_decref(result);

    (void)snprintf(args, sizeof args, "{\"id\":\"%s\",\"files\":true}", id);
    result = accept_op(f, "info", args);
    const json_t *depends = json_object_get(result, "dependencies");
    assert_int_equal(json_array_size(depends), 3);
    assert_string_equal(stoq_json_text(json_array_get(depends, 1), "requirement"), ">=1");
    assert_string_equal(stoq_json_text(json_array_get(depends, 2), "id"), ID);
    assert_string_equal(stoq_json_text(json_object_get(result, "annotations"), "k"), "v");
    const json_t *file = json_array_get(json_object_get(result, "files"), 0);
    assert_string_equal(stoq_json_text(file, "path"), "input");
    assert_int_equal(stoq_json_u64(file, "size", 0), 588890);
    json_decref(result);

    (void)snprintf(args, sizeof args, "{\"id\":\"%s\",\"path\":\"input\"}", id);
    json_decref(accept_op(f, "cat", args));
    assert_int_equal(f->content.n, 588890);
    stoq_buf_clear(&f->content);
    (void)snprintf(args, sizeof args, "{\"id\":\"%s\",\"stream\":true}", id);
    json_decref(accept_op(f, "get", args));
    assert_int_equal(f->content.n, 588890);

    (void)snprintf(args, sizeof args, "{\"id\":\"%s\"}", id);
    result = accept_op(f, "verify", args);
    assert_true(stoq_json_bool(result, "overall_valid", false));
    json_decref(result);
    json_decref(accept_op(f, "manifest", args));
    json_decref(accept_op(f, "rm", args));
    refuse(f, "info", args, "ContentNotFound", "");
}

struct contender {
    struct fixture *f;
    atomic_int *order;
    int at;
};

static void *remove_later(void *user)
{
    struct contender *c = user;
    assert_int_equal(stoq_host_content_begin(c->f->host, true, 20 * STOQ_SEC, NULL, NULL, NULL),
                     STOQ_OK);
    c->at = atomic_fetch_add(c->order, 1);
    stoq_host_content_end(c->f->host, true);
    return NULL;
}

static bool always(void *user)
{
    return true;
}

/* Additions run beside one another, a removal alone: it waits, gives up in time, and can be cancelled. */
static void test_removal_runs_alone(void **state)
{
    struct fixture *f = *state;
    struct stoq_error err;
    atomic_int order = 0;
    pthread_t thread;
    struct contender c = {f, &order, -1};
    assert_int_equal(stoq_host_content_begin(f->host, false, 0, NULL, NULL, &err), STOQ_OK);
    assert_int_equal(stoq_host_content_begin(f->host, false, 0, NULL, NULL, &err), STOQ_OK);
    stoq_host_content_end(f->host, false);
    assert_int_equal(stoq_host_content_begin(f->host, true, 0, NULL, NULL, &err), STOQ_BUSY);
    assert_int_equal(stoq_host_content_begin(f->host, true, STOQ_SEC, always, NULL, &err),
                     STOQ_CANCELLED);
    pthread_create(&thread, NULL, remove_later, &c);
    assert_int_equal(stoq_host_content_begin(f->host, true, 300 * STOQ_MS, NULL, NULL, &err),
                     STOQ_BUSY);
    atomic_fetch_add(&order, 1);
    stoq_host_content_end(f->host, false);
    pthread_join(thread, NULL);
    assert_int_equal(c.at, 1);
    assert_int_equal(stoq_host_content_begin(f->host, true, 0, NULL, NULL, &err), STOQ_OK);
    assert_int_equal(stoq_host_content_begin(f->host, false, 0, NULL, NULL, &err), STOQ_BUSY);
    stoq_host_content_end(f->host, true);
}

static void write_config(struct fixture *f, const char *text)
{
    FILE *file = fopen(f->home.config_file, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* A reload takes peers and log level; an error keeps everything. */
static void test_reload(void **state)
{
    struct fixture *f = *state;
    struct stoq_error err;
    struct stoq_config *config = calloc(1, sizeof *config);
    assert_int_equal(stoq_host_open(f->host, true, &err), STOQ_OK);
    assert_int_equal(access(f->home.config_file, F_OK), 0); /* the template */
    write_config(f, "log.level = debug\n");
    assert_int_equal(stoq_host_reload(f->host, &err), STOQ_OK);
    stoq_host_config(f->host, config);
    assert_int_equal(config->log_level, STOQ_LOG_DEBUG);
    write_config(f, "log.level = quiet\nnonsense\n");
    assert_int_equal(stoq_host_reload(f->host, &err), STOQ_MALFORMED);
    assert_non_null(strstr(err.text, "stoq.conf:2: "));
    stoq_host_config(f->host, config);
    assert_int_equal(config->log_level, STOQ_LOG_DEBUG);
    assert_int_equal(unlink(f->home.config_file), 0);
    assert_int_equal(stoq_host_reload(f->host, &err), STOQ_NOTFOUND);
    stoq_host_config(f->host, config);
    assert_int_equal(config->log_level, STOQ_LOG_DEBUG);
    free(config);
}

static const char *waits_after(struct fixture *f, const char *text)
{
    static struct stoq_host_reading reading;
    struct stoq_error err;
    write_config(f, text);
    assert_int_equal(stoq_host_reload(f->host, &err), STOQ_OK);
    stoq_host_reading(f->host, &reading);
    return reading.waits;
}

/* A reload names what it could not change, and refuses what the next start would. */
static void test_reload_and_next_start(void **state)
{
    struct fixture *f = *state;
    struct stoq_error err;
    assert_int_equal(stoq_host_open(f->host, true, &err), STOQ_OK);
    assert_string_equal(waits_after(f, "log.level = debug\n"), "");
    assert_string_equal(waits_after(f, "log.level = info\nlisten = [::1]:1\nlisten = [::1]:2\n"
                                       "bandwidth.up = 1MB\nstore.gc_rate = 1MiB\n"),
                        "listen, bandwidth.up");
    write_config(f, "network.key = /nonexistent/key\n");
    assert_int_equal(stoq_host_reload(f->host, &err), STOQ_IO);
    assert_non_null(strstr(err.text, "network.key: /nonexistent/key"));
    assert_string_equal(waits_after(f, "log.level = debug\n"), "");
}

/* A second writer is refused with the reason, a reader is not. */
static void test_two_processes(void **state)
{
    struct fixture *f = *state;
    struct stoq_error err;
    assert_int_equal(stoq_host_open(f->host, true, &err), STOQ_OK);
    pid_t child = fork();
    if (child == 0) {
        struct stoq_host *other = NULL;
        struct stoq_host_config cfg = {.home = &f->home};
        bool ok = stoq_host_new(&other, &cfg, &err) == STOQ_OK;
        ok = ok && stoq_host_open(other, true, &err) == STOQ_BUSY &&
             strcmp(stoq_error_code(&err), "StoreBusy") == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test_setup_teardown(test_arguments, setup_made, teardown),
        cmocka_unit_test_setup_teardown(test_store_arguments, setup_made, teardown),
        cmocka_unit_test_setup_teardown(test_needs_daemon, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_home, setup, teardown),
        cmocka_unit_test_setup_teardown(test_life_of_a_package, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removal_runs_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reload_and_next_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
