#include "daemon/rate.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void rates_have_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t rate;
    } good[] = {
        {"0", 0},
        {"1", 1},
        {"17 B", 17},
        {"1kB", 1000},
        {"2 MiB", 2097152},
        {"2MiB/s", 2097152},
        {"1.5MB", 1500000},
        {"10Mbit", 1250000},
        {"1Gbit/s", 125000000},
        {"0.000001MB", 1},
        {"999.999kB", 999999},
        {"3GiB", 3221225472},
        {"12345.678901kB", 12345678},
    };
    static const char *const bad[] = {"",           "MB",      "1.",
                                      "-1",         "1 mb",    "1.2.3",
                                      "1e3",        "1MB/min", "99999999999999999999",
                                      "10000000GB", "0x10",    "1.12345678",
                                      "1 MB more"};
    (void)state;
    for (size_t i = 0; i < STOQ_COUNT(good); i++) {
        uint64_t rate = 99;
        if (!stoq_rate_parse(good[i].text, &rate) || rate != good[i].rate) {
            fail_msg("%s is %llu", good[i].text, (unsigned long long)rate);
        }
    }
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        uint64_t rate;
        if (stoq_rate_parse(bad[i], &rate)) {
            fail_msg("'%s' is %llu", bad[i], (unsigned long long)rate);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rates_have_units)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
