#include "daemon/units.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char *text, uint64_t *out, const char **rest)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    *out = v;
    *rest = end;
    return text[0] >= '0' && text[0] <= '9' && errno == 0;
}

static bool times(uint64_t v, uint64_t unit, uint64_t *out)
{
    if (v > UINT64_MAX / unit) {
        return false;
    }
    *out = v * unit;
    return true;
}

bool stoq_bytes_parse(const char *text, uint64_t *out)
{
    static const char letters[] = "KMGT";
    uint64_t v;
    const char *rest;
    if (!number(text, &v, &rest)) {
        return false;
    }
    const char *letter = rest[0] == '\0' ? NULL : strchr(letters, rest[0]);
    if (rest[0] != '\0' && (letter == NULL || (rest[1] != '\0' && strcmp(rest + 1, "iB") != 0))) {
        return false;
    }
    return times(v, letter == NULL ? 1 : (uint64_t)1 << (10 * (letter - letters + 1)), out);
}

bool stoq_seconds_parse(const char *text, uint64_t *out)
{
    static const struct {
        char letter;
        uint64_t seconds;
    } unit[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    uint64_t v;
    const char *rest;
    if (!number(text, &v, &rest)) {
        return false;
    }
    if (rest[0] == '\0') {
        *out = v;
        return true;
    }
    for (size_t i = 0; i < STOQ_COUNT(unit); i++) {
        if (rest[0] == unit[i].letter && rest[1] == '\0') {
            return times(v, unit[i].seconds, out);
        }
    }
    return false;
}
