#include "human.h"

#include <stdio.h>

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
