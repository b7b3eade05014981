#include "net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct stoq_addr parsed(const char *text)
{
    struct stoq_addr a;
    assert_int_equal(stoq_addr_parse(&a, stoq_span_str(text), 0), STOQ_OK);
    return a;
}

static void text_comes_back(void **state)
{
    (void)state;
    static const char *const same[] = {"[::1]:4433",         "127.0.0.1:1", "[fe80::1%1]:65535",
                                       "[2001:db8::5]:4433", "0.0.0.0:0",   "[::]:0"};
    for (size_t i = 0; i < STOQ_COUNT(same); i++) {
        struct stoq_addr a = parsed(same[i]);
        char text[STOQ_ADDR_TEXT_MAX];
        assert_string_equal(stoq_addr_format(&a, text), same[i]);
    }
}

static void default_port_fills_in(void **state)
{
    (void)state;
    struct stoq_addr a;
    assert_int_equal(stoq_addr_parse(&a, stoq_span_str("::1"), 7), STOQ_OK);
    assert_int_equal(a.port, 7);
    assert_int_equal(stoq_addr_parse(&a, stoq_span_str("[::1]"), 7), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&a, stoq_span_str("10.0.0.1"), 7), STOQ_OK);
    assert_int_equal(stoq_addr_parse(&a, stoq_span_str("10.0.0.1:9"), 7), STOQ_OK);
    assert_int_equal(a.port, 9);
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "::1",
        "[::1]",
        "10.0.0.1",
        "localhost:1",
        "example.org:4433",
        "[::1]:65536",
        "[::1]:01",
        "[::1]:",
        "[::1]:+1",
        "[::1]x:1",
        "[::1:1",
        "[10.0.0.1]:1",
        "10.0.1:1",
        "0x7f.0.0.1:1",
        "1:1",
        "[::1]:1 ",
        ":1",
        "[]:1",
        "[::1]:123456",
        "10.0.0.256:1",
    };
    struct stoq_addr a;
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        assert_int_equal(stoq_addr_parse(&a, stoq_span_str(bad[i]), 0), STOQ_MALFORMED);
    }
    assert_int_equal(stoq_addr_parse(&a, stoq_span("[::1]:1\0", 8), 0), STOQ_MALFORMED);
}

static void kernel_forms_agree(void **state)
{
    (void)state;
    struct stoq_addr v4 = parsed("192.0.2.7:9");
    struct sockaddr_in6 in6 = stoq_addr_to_in6(&v4);
    struct stoq_addr back;
    assert_int_equal(stoq_addr_from_sockaddr(&back, (struct sockaddr *)&in6, sizeof in6), STOQ_OK);
    assert_true(stoq_addr_eq(&v4, &back));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(9)};
    in.sin_addr.s_addr = htonl(0xc0000207);
    assert_int_equal(stoq_addr_from_sockaddr(&back, (struct sockaddr *)&in, sizeof in), STOQ_OK);
    assert_true(stoq_addr_eq(&v4, &back));
    assert_int_equal(stoq_addr_from_sockaddr(&back, (struct sockaddr *)&in6, 8), STOQ_MALFORMED);
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    struct stoq_addr a = parsed("[::1]:1");
    struct stoq_addr b = parsed("127.9.9.9:1");
    struct stoq_addr c = parsed("[fe80::1%1]:1");
    struct stoq_addr d = parsed("169.254.1.1:1");
    struct stoq_addr e = parsed("[2001:db8::1]:1");
    assert_true(stoq_addr_is_loopback(&a) && stoq_addr_is_loopback(&b));
    assert_false(stoq_addr_is_loopback(&c) || stoq_addr_is_loopback(&e));
    assert_true(stoq_addr_is_link_local(&c) && stoq_addr_is_link_local(&d));
    assert_false(stoq_addr_is_link_local(&a) || stoq_addr_is_link_local(&e));
    assert_true(stoq_addr_is_v4(&b) && !stoq_addr_is_v4(&a));
    struct stoq_addr any4 = parsed("0.0.0.0:1");
    struct stoq_addr any6 = parsed("[::]:1");
    assert_true(stoq_addr_is_any(&any4) && stoq_addr_is_any(&any6) && !stoq_addr_is_any(&a));
}

static void prefixes_group_neighbours(void **state)
{
    (void)state;
    struct stoq_addr a = parsed("[2001:db8::1]:1");
    struct stoq_addr b = parsed("[2001:db8:0:ffff::2]:9");
    struct stoq_addr c = parsed("[2001:db8:1::1]:1");
    struct stoq_addr d = parsed("10.0.0.1:1");
    struct stoq_addr e = parsed("10.0.0.200:2");
    struct stoq_addr f = parsed("10.0.1.1:1");
    struct stoq_addr zero = parsed("[::a00:1]:1"); /* looks like 10.0.0.1, is not */
    assert_true(stoq_addr_prefix(&a) == stoq_addr_prefix(&b));
    assert_true(stoq_addr_prefix(&a) != stoq_addr_prefix(&c));
    assert_true(stoq_addr_prefix(&d) == stoq_addr_prefix(&e));
    assert_true(stoq_addr_prefix(&d) != stoq_addr_prefix(&f));
    assert_true(stoq_addr_prefix(&d) != stoq_addr_prefix(&zero));
    assert_true(stoq_addr_cmp(&d, &e) < 0 && stoq_addr_cmp(&e, &d) > 0);
    assert_int_equal(stoq_addr_cmp(&a, &a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_comes_back),          cmocka_unit_test(default_port_fills_in),
        cmocka_unit_test(anything_else_is_refused), cmocka_unit_test(kernel_forms_agree),
        cmocka_unit_test(kinds_are_told_apart),     cmocka_unit_test(prefixes_group_neighbours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
