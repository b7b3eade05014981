#include "human.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

const char *human_bytes(char out[HUMAN_CAP], uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double v = (double)bytes;
    size_t i = 0;
    while (v >= 1024 && i + 1 < STOQ_COUNT(unit)) {
        v /= 1024;
        i++;
    }
    (void)snprintf(out, HUMAN_CAP, i == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, unit[i]);
    return out;
}

const char *human_time(char out[HUMAN_CAP], double seconds)
{
    if (!(seconds < 86400.0 * 2)) {
        double days = seconds / 86400;
        (void)snprintf(out, HUMAN_CAP, days < 10000 ? "%.0f d" : "long", days);
        return out;
    }
    unsigned s = (unsigned)(seconds + 0.5);
    if (s >= 3600) {
        (void)snprintf(out, HUMAN_CAP, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
    } else {
        (void)snprintf(out, HUMAN_CAP, "%u:%02u", s / 60, s % 60);
    }
    return out;
}

void human_path(const json_t *o, const char *key)
{
    char coded[32];
    const char *text = stoq_json_text(o, key);
    if (text == NULL) {
        (void)snprintf(coded, sizeof coded, "%s_b64", key);
        text = stoq_json_text(o, coded);
        (void)printf("base64:");
    }
    for (const char *c = text != NULL ? text : "?"; *c != '\0'; c++) {
        unsigned char b = (unsigned char)*c;
        if (b < 0x20 || b == 0x7f) {
            (void)printf("\\x%02x", b);
        } else {
            (void)putchar(*c);
        }
    }
}

struct unit {
    char letter;
    uint64_t value;
};

/* A number and the letter of a unit. */
static bool read_number(const char *text, const struct unit *unit, size_t count, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno != 0 || n > UINT32_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (end[0] == unit[i].letter && (end[0] == '\0' || end[1] == '\0')) {
            *out = n * unit[i].value;
            return true;
        }
    }
    return false;
}

bool human_read_time(const char *text, uint64_t *seconds)
{
    static const struct unit unit[] = {
        {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    return read_number(text, unit, STOQ_COUNT(unit), seconds);
}

bool human_read_bytes(const char *text, uint64_t *bytes)
{
    static const struct unit unit[] = {
        {'\0', 1}, {'K', STOQ_KIB}, {'M', STOQ_MIB}, {'G', STOQ_GIB}};
    return read_number(text, unit, STOQ_COUNT(unit), bytes);
}
