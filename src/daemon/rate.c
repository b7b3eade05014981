#include "daemon/rate.h"

#include <string.h>

#define RATE_MAX ((uint64_t)1000000000000000)

/* In bytes, times 8, so that a bit is 1. */
static bool take_unit(const char *text, uint64_t *eighths)
{
    static const struct {
        const char *name;
        uint64_t eighths;
    } units[] = {
        {"", 8},
        {"B", 8},
        {"kB", 8000},
        {"MB", 8000000},
        {"GB", 8000000000},
        {"KiB", 8192},
        {"MiB", 8388608},
        {"GiB", 8589934592},
        {"kbit", 1000},
        {"Mbit", 1000000},
        {"Gbit", 1000000000},
    };
    size_t n = strlen(text);
    if (n >= 2 && strcmp(text + n - 2, "/s") == 0) {
        n -= 2;
    }
    for (size_t i = 0; i < STOQ_COUNT(units); i++) {
        if (strlen(units[i].name) == n && memcmp(units[i].name, text, n) == 0) {
            *eighths = units[i].eighths;
            return true;
        }
    }
    return false;
}

bool stoq_rate_parse(const char *text, uint64_t *out)
{
    uint64_t millionths = 0;
    uint64_t place = 1000000;
    bool digit = false;
    for (; *text >= '0' && *text <= '9'; text++) {
        millionths = millionths * 10 + (uint64_t)(*text - '0') * 1000000;
        digit = true;
        if (millionths > RATE_MAX * 1000) {
            return false;
        }
    }
    if (digit && *text == '.') {
        for (text++; *text >= '0' && *text <= '9' && place > 1; text++) {
            place /= 10;
            millionths += (uint64_t)(*text - '0') * place;
        }
        digit = place < 1000000;
    }
    uint64_t eighths;
    uint64_t product;
    while (*text == ' ') {
        text++;
    }
    if (!digit || !take_unit(text, &eighths) ||
        __builtin_mul_overflow(millionths / 8, eighths, &product)) {
        return false;
    }
    uint64_t rest = millionths % 8 * eighths / 8;
    *out = (product + rest) / 1000000;
    return *out <= RATE_MAX;
}
