#include "base/ip.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t *ip(const char *text)
{
    static uint8_t out[16];
    memset(out, 0, sizeof out);
    if (strchr(text, ':') != NULL) {
        assert_int_equal(inet_pton(AF_INET6, text, out), 1);
    } else {
        out[10] = out[11] = 0xff;
        assert_int_equal(inet_pton(AF_INET, text, out + 12), 1);
    }
    return out;
}

static void every_range_has_its_scope(void **state)
{
    static const struct {
        const char *text;
        enum stoq_ip_scope scope;
    } rows[] = {
        {"127.0.0.1", STOQ_IP_LOOPBACK},
        {"127.255.255.254", STOQ_IP_LOOPBACK},
        {"::1", STOQ_IP_LOOPBACK},
        {"0.0.0.0", STOQ_IP_NOWHERE},
        {"0.1.2.3", STOQ_IP_NOWHERE},
        {"224.0.0.1", STOQ_IP_NOWHERE},
        {"255.255.255.255", STOQ_IP_NOWHERE},
        {"::", STOQ_IP_NOWHERE},
        {"::2", STOQ_IP_NOWHERE},
        {"::10.0.0.1", STOQ_IP_NOWHERE},
        {"ff02::1", STOQ_IP_NOWHERE},
        {"64:ff9b::a00:1", STOQ_IP_NOWHERE},
        {"2002:a00:1::1", STOQ_IP_NOWHERE},
        {"4000::1", STOQ_IP_NOWHERE},
        {"169.254.1.1", STOQ_IP_LINK},
        {"fe80::1", STOQ_IP_LINK},
        {"febf::1", STOQ_IP_LINK},
        {"10.0.0.1", STOQ_IP_PRIVATE},
        {"172.16.0.1", STOQ_IP_PRIVATE},
        {"172.31.255.1", STOQ_IP_PRIVATE},
        {"192.168.9.9", STOQ_IP_PRIVATE},
        {"100.64.0.1", STOQ_IP_PRIVATE},
        {"100.127.0.1", STOQ_IP_PRIVATE},
        {"fd00::1", STOQ_IP_PRIVATE},
        {"fc00::1", STOQ_IP_PRIVATE},
        {"9.255.255.255", STOQ_IP_PUBLIC},
        {"11.0.0.1", STOQ_IP_PUBLIC},
        {"172.15.0.1", STOQ_IP_PUBLIC},
        {"172.32.0.1", STOQ_IP_PUBLIC},
        {"192.167.0.1", STOQ_IP_PUBLIC},
        {"100.63.0.1", STOQ_IP_PUBLIC},
        {"100.128.0.1", STOQ_IP_PUBLIC},
        {"192.0.2.1", STOQ_IP_PUBLIC},
        {"2001:db8::1", STOQ_IP_PUBLIC},
        {"3fff::1", STOQ_IP_PUBLIC},
    };
    for (size_t i = 0; i < STOQ_COUNT(rows); i++) {
        if (stoq_ip_scope(ip(rows[i].text)) != rows[i].scope) {
            fail_msg("%s: %d", rows[i].text, (int)stoq_ip_scope(ip(rows[i].text)));
        }
    }
}

static void private_blocks_are_told_apart(void **state)
{
    assert_true(stoq_ip_block(ip("10.1.1.1")) == stoq_ip_block(ip("10.9.9.9")));
    assert_true(stoq_ip_block(ip("10.1.1.1")) != stoq_ip_block(ip("192.168.1.1")));
    assert_true(stoq_ip_block(ip("172.16.1.1")) != stoq_ip_block(ip("192.168.1.1")));
    assert_true(stoq_ip_block(ip("fd00:1:2:3::1")) == stoq_ip_block(ip("fd00:1:2:4::1")));
    assert_true(stoq_ip_block(ip("fd00:1:2:3::1")) != stoq_ip_block(ip("fd00:1:3:3::1")));
    assert_true(stoq_ip_block(ip("192.0.2.1")) == 0);
    assert_true(stoq_ip_block(ip("::1")) == 0);
    assert_true(stoq_ip_block(ip("fe80::1")) == 0);
}

static void subnets_are_of_public_addresses(void **state)
{
    assert_true(stoq_ip_subnet(ip("192.0.2.1")) == stoq_ip_subnet(ip("192.0.2.254")));
    assert_true(stoq_ip_subnet(ip("192.0.2.1")) != stoq_ip_subnet(ip("192.0.3.1")));
    assert_true(stoq_ip_subnet(ip("2001:db8:1::1")) == stoq_ip_subnet(ip("2001:db8:1:f::2")));
    assert_true(stoq_ip_subnet(ip("2001:db8:1::1")) != stoq_ip_subnet(ip("2001:db8:2::1")));
    assert_true(stoq_ip_subnet(ip("10.0.0.1")) == 0);
    assert_true(stoq_ip_subnet(ip("127.0.0.1")) == 0);
    assert_true(stoq_ip_subnet(ip("fe80::1")) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_has_its_scope),
        cmocka_unit_test(private_blocks_are_told_apart),
        cmocka_unit_test(subnets_are_of_public_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
