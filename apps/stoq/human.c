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
