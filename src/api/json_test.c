#include "api/error.h"
#include "api/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    struct stoq_error err;
    assert_int_equal(stoq_json_parse(&v, stoq_span_str(text), 1000, &err), STOQ_OK);
    return v;
}

static void refuse(const char *text, enum stoq_status want)
{
    json_t *v = NULL;
    struct stoq_error err;
    assert_int_equal(stoq_json_parse(&v, stoq_span_str(text), 1000, &err), want);
    assert_true(strlen(err.text) > 10);
}

static void test_parse(void **state)
{
    json_decref(parse("{\"a\":[1,{\"b\":\"]]]]]]]]]]\\\"[[[[[[[[[[\"}]}"));
    json_decref(parse("[[[[[[[[]]]]]]]]"));
    refuse("[[[[[[[[[]]]]]]]]]", STOQ_MALFORMED);
    refuse("{\"a\":1,\"a\":2}", STOQ_MALFORMED);
    refuse("{\"a\":1} x", STOQ_MALFORMED);
    refuse("", STOQ_MALFORMED);
    refuse("{\"a\":\"\xff\"}", STOQ_MALFORMED);
    char big[1002];
    memset(big, ' ', sizeof big);
    big[0] = '1';
    big[1001] = '\0';
    refuse(big, STOQ_FULL);
}

static const struct stoq_json_key keys[] = {
    {"id", STOQ_JSON_TEXT, true},     {"deep", STOQ_JSON_BOOL, false},
    {"limit", STOQ_JSON_UINT, false}, {"from", STOQ_JSON_TEXTS, false},
    {"notes", STOQ_JSON_MAP, false},
};

static void check(const char *text, const char *complaint)
{
    struct stoq_error err = {0};
    json_t *v = parse(text);
    enum stoq_status st = stoq_json_check(v, keys, STOQ_COUNT(keys), &err);
    if (complaint == NULL) {
        assert_int_equal(st, STOQ_OK);
    } else {
        assert_int_equal(st, STOQ_RANGE);
        assert_non_null(strstr(err.text, complaint));
    }
    json_decref(v);
}

static void test_check(void **state)
{
    check("{\"id\":\"x\"}", NULL);
    check("{\"id\":\"x\",\"deep\":true,\"limit\":7,\"from\":[\"a\"],\"notes\":{\"k\":\"v\"}}",
          NULL);
    check("[]", "object");
    check("{}", "'id' is missing");
    check("{\"id\":1}", "'id' must be a string");
    check("{\"id\":\"x\",\"deep\":1}", "'deep' must be true or false");
    check("{\"id\":\"x\",\"limit\":-1}", "'limit' must be a number");
    check("{\"id\":\"x\",\"limit\":1.5}", "'limit' must be a number");
    check("{\"id\":\"x\",\"from\":[1]}", "'from' must be an array of strings");
    check("{\"id\":\"x\",\"from\":{}}", "'from' must be an array of strings");
    check("{\"id\":\"x\",\"notes\":{\"k\":1}}", "'notes' must be an object of strings");
    check("{\"id\":\"x\",\"notes\":[]}", "'notes' must be an object of strings");
    check("{\"id\":\"x\",\"idd\":\"x\"}", "unknown argument 'idd'");
}

static void test_getters(void **state)
{
    json_t *v = parse("{\"id\":\"x\",\"deep\":true,\"limit\":7}");
    assert_string_equal(stoq_json_text(v, "id"), "x");
    assert_null(stoq_json_text(v, "none"));
    assert_true(stoq_json_bool(v, "deep", false));
    assert_true(stoq_json_bool(v, "none", true));
    assert_int_equal(stoq_json_u64(v, "limit", 0), 7);
    assert_int_equal(stoq_json_u64(v, "none", 9), 9);
    json_decref(v);
}

static void test_path(void **state)
{
    json_t *v = json_object();
    assert_true(stoq_json_set_path(v, "path", stoq_span_str("a/b")));
    assert_true(stoq_json_set_path(v, "other", stoq_span("a\xff", 2)));
    assert_true(stoq_json_set_path(v, "third", stoq_span("\xff", 1)));
    assert_true(stoq_json_set_path(v, "fourth", stoq_span("\xff\xfe\xfd", 3)));
    assert_true(stoq_json_set_u64(v, "n", 1));
    char *line = stoq_json_line(v);
    assert_string_equal(line, "{\"path\":\"a/b\",\"other_b64\":\"Yf8=\",\"third_b64\":\"/w==\","
                              "\"fourth_b64\":\"//79\",\"n\":1}");
    free(line);
    json_decref(v);
}

static void path_arg(const char *args, enum stoq_status want, const char *bytes)
{
    struct stoq_error err;
    struct stoq_buf out;
    stoq_buf_init(&out, 64);
    json_t *v = parse(args);
    assert_int_equal(stoq_json_path(v, "path", &out, &err), want);
    if (bytes != NULL) {
        assert_string_equal((char *)out.p, bytes);
        assert_int_equal(out.n, strlen(bytes));
    }
    stoq_buf_release(&out);
    json_decref(v);
}

static void test_path_argument(void **state)
{
    path_arg("{\"path\":\"a/b\"}", STOQ_OK, "a/b");
    path_arg("{\"path\":\"\"}", STOQ_OK, "");
    path_arg("{\"path_b64\":\"Yf8=\"}", STOQ_OK, "a\xff");
    path_arg("{\"path_b64\":\"//79\"}", STOQ_OK, "\xff\xfe\xfd");
    path_arg("{\"path_b64\":\"/w==\"}", STOQ_OK, "\xff");
    path_arg("{\"path_b64\":\"AA==\"}", STOQ_RANGE, NULL);
    path_arg("{\"path_b64\":\"YQ=\"}", STOQ_RANGE, NULL);
    path_arg("{\"path_b64\":\"Y===\"}", STOQ_RANGE, NULL);
    path_arg("{\"path_b64\":\"YQ==YQ==\"}", STOQ_RANGE, NULL);
    path_arg("{\"path_b64\":\"Y!==\"}", STOQ_RANGE, NULL);
    path_arg("{}", STOQ_RANGE, NULL);
    path_arg("{\"path\":\"a\",\"path_b64\":\"YQ==\"}", STOQ_RANGE, NULL);
    path_arg("{\"path\":\"0123456789012345678901234567890123456789012345678901234567890123456\"}",
             STOQ_RANGE, NULL);
}

static void expect_error(enum stoq_status status, int sys_errno, const char *own, const char *code,
                         enum stoq_exit exit_code)
{
    struct stoq_error err;
    struct stoq_error back = {0};
    (void)stoq_fail(&err, status, sys_errno, "what went wrong");
    err.code = own;
    assert_string_equal(stoq_error_code(&err), code);
    assert_int_equal(stoq_error_exit(&err), exit_code);
    json_t *v = stoq_error_to_json(&err);
    assert_string_equal(stoq_json_text(v, "code"), code);
    assert_int_equal(stoq_json_u64(v, "exit", 99), exit_code);
    stoq_error_from_json(&back, v);
    assert_string_equal(stoq_error_code(&back), code);
    assert_int_equal(stoq_error_exit(&back), exit_code);
    assert_string_equal(back.text, err.text);
    json_decref(v);
}

static void test_errors(void **state)
{
    expect_error(STOQ_NOTFOUND, 0, "ContentNotFound", "ContentNotFound", STOQ_EXIT_NOT_FOUND);
    expect_error(STOQ_NOTFOUND, 0, NULL, "NotFound", STOQ_EXIT_NOT_FOUND);
    expect_error(STOQ_PROOF, 0, NULL, "IntegrityCheckFailed", STOQ_EXIT_INTEGRITY);
    expect_error(STOQ_NET, 0, NULL, "Network", STOQ_EXIT_NETWORK);
    expect_error(STOQ_NET, 0, "PeerUnreachable", "PeerUnreachable", STOQ_EXIT_NETWORK);
    expect_error(STOQ_TIMEOUT, 0, NULL, "Timeout", STOQ_EXIT_NETWORK);
    expect_error(STOQ_RANGE, 0, NULL, "Usage", STOQ_EXIT_USAGE);
    expect_error(STOQ_IO, ENOSPC, NULL, "DiskFull", STOQ_EXIT_FAILED);
    expect_error(STOQ_FULL, EDQUOT, NULL, "DiskFull", STOQ_EXIT_FAILED);
    expect_error(STOQ_IO, EACCES, NULL, "Io", STOQ_EXIT_FAILED);
    expect_error(STOQ_EXISTS, 0, NULL, "OutputExists", STOQ_EXIT_FAILED);
    expect_error(STOQ_CANCELLED, 0, NULL, "Interrupted", STOQ_EXIT_INTERRUPTED);
    expect_error(STOQ_NET, 0, "DaemonNotRunning", "DaemonNotRunning", STOQ_EXIT_NO_DAEMON);
    expect_error(STOQ_RANGE, 0, "InvalidChunkIndex", "InvalidChunkIndex", STOQ_EXIT_USAGE);
}

static void test_error_names_bytes(void **state)
{
    struct stoq_error err;
    (void)stoq_fail(&err, STOQ_IO, 0,
                    "cannot read a\xff"
                    "b");
    json_t *v = stoq_error_to_json(&err);
    assert_string_equal(stoq_json_text(v, "message"), "cannot read a?b");
    json_decref(v);
}

/* Every status has a code, every code is known, and the list is what docs/CLI.md shows. */
static void test_codes_documented(void **state)
{
    FILE *f = fopen("docs/CLI.md", "re");
    assert_non_null(f);
    char *text = calloc(1, 1 << 17);
    assert_true(fread(text, 1, (1 << 17) - 1, f) > 0);
    fclose(f);
    const char *code;
    const char *meaning;
    enum stoq_exit exit_code;
    for (size_t i = 0; stoq_error_at(i, &code, &exit_code, &meaning); i++) {
        char row[256];
        (void)snprintf(row, sizeof row, "| `%s` | %d | %s |", code, (int)exit_code, meaning);
        if (strstr(text, row) == NULL) {
            fail_msg("docs/CLI.md lacks: %s", row);
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_getters),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_path_argument),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_names_bytes),
        cmocka_unit_test(test_codes_documented),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
