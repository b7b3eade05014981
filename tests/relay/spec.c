/* What a leg is to do, as text. */
#include "leg.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    double factor;
};

static const struct unit times[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {NULL, 0}};
static const struct unit shares[] = {{"%", LEG_PARTS / 100.0}, {NULL, 0}};
static const struct unit rates[] = {
    {"bit", 1}, {"kbit", 1e3}, {"mbit", 1e6}, {"gbit", 1e9}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"k", 1024}, {"m", 1024.0 * 1024}, {NULL, 0}};
static const struct unit numbers[] = {{"", 1}, {NULL, 0}};

static const struct key {
    const char *name;
    size_t at; /* of a uint64_t in struct leg_spec */
    const struct unit *units;
    double max;
} keys[] = {
    {"delay", offsetof(struct leg_spec, delay_ns), times, 60e9},
    {"jitter", offsetof(struct leg_spec, jitter_ns), times, 10e9},
    {"loss", offsetof(struct leg_spec, loss_parts), shares, 0.99e9},
    {"run", offsetof(struct leg_spec, loss_run), numbers, 1000},
    {"reorder", offsetof(struct leg_spec, reorder_parts), shares, 1e9},
    {"by", offsetof(struct leg_spec, reorder_by_ns), times, 10e9},
    {"duplicate", offsetof(struct leg_spec, duplicate_parts), shares, 1e9},
    {"rate", offsetof(struct leg_spec, rate_bits_per_s), rates, 1e12},
    {"burst", offsetof(struct leg_spec, burst_bytes), sizes, 1e9},
    {"queue", offsetof(struct leg_spec, queue_bytes), sizes, 1e9},
    {"mtu", offsetof(struct leg_spec, mtu_bytes), sizes, 65535},
};

static bool value_of(const struct key *key, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (end == text || errno != 0 || !(v >= 0)) {
        return false;
    }
    for (const struct unit *u = key->units; u->name != NULL; u++) {
        if (strcmp(u->name, end) == 0) {
            *out = (uint64_t)(v * u->factor + 0.5);
            return v * u->factor <= key->max;
        }
    }
    return false;
}

static bool take(struct leg_spec *spec, char *item, char why[128])
{
    char *equals = strchr(item, '=');
    if (equals != NULL) {
        *equals = '\0';
        for (size_t i = 0; i < STOQ_COUNT(keys); i++) {
            if (strcmp(keys[i].name, item) == 0) {
                uint64_t *to = (uint64_t *)(void *)((uint8_t *)spec + keys[i].at);
                if (value_of(&keys[i], equals + 1, to)) {
                    return true;
                }
                (void)snprintf(why, 128, "%s: '%.40s' is no such value, or too large", item,
                               equals + 1);
                return false;
            }
        }
    }
    (void)snprintf(why, 128, "'%.40s' is no KEY=VALUE of a leg", item);
    return false;
}

bool leg_spec_parse(struct leg_spec *spec, const char *text, char why[128])
{
    char copy[512];
    char *save;
    if (strlen(text) >= sizeof copy) {
        (void)snprintf(why, 128, "longer than %zu bytes", sizeof copy - 1);
        return false;
    }
    memcpy(copy, text, strlen(text) + 1);
    for (char *item = strtok_r(copy, ",", &save); item != NULL; item = strtok_r(NULL, ",", &save)) {
        if (!take(spec, item, why)) {
            return false;
        }
    }
    return true;
}
