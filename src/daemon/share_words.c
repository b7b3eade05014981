#include "daemon/share_words.h"

#include "daemon/rate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const priorities[STOQ_PRIORITIES] = {
    [STOQ_PRIORITY_NORMAL] = "normal",
    [STOQ_PRIORITY_INTERACTIVE] = "interactive",
    [STOQ_PRIORITY_BACKGROUND] = "background",
};

static const char *const strategies[] = {
    [STOQ_SWARM_RAREST] = "rarest",
    [STOQ_SWARM_SEQUENTIAL] = "sequential",
    [STOQ_SWARM_FASTEST] = "fastest-first",
};

/* Which of the words it is; count: none. */
static size_t word_of(const char *const *words, size_t count, const char *text)
{
    size_t i = 0;
    while (i < count && strcmp(words[i], text) != 0) {
        i++;
    }
    return i;
}

const char *stoq_priority_str(enum stoq_priority priority)
{
    return priorities[priority];
}

bool stoq_priority_parse(const char *text, enum stoq_priority *out)
{
    size_t i = word_of(priorities, STOQ_COUNT(priorities), text);
    *out = i < STOQ_COUNT(priorities) ? (enum stoq_priority)i : *out;
    return i < STOQ_COUNT(priorities);
}

const char *stoq_strategy_str(enum stoq_swarm_strategy strategy)
{
    return strategies[strategy];
}

bool stoq_strategy_parse(const char *text, enum stoq_swarm_strategy *out)
{
    size_t i = word_of(strategies, STOQ_COUNT(strategies), text);
    *out = i < STOQ_COUNT(strategies) ? (enum stoq_swarm_strategy)i : *out;
    return i < STOQ_COUNT(strategies);
}

/* Two digits under limit; UINT16_MAX: not that. */
static uint16_t two_digits(const char *at, uint16_t limit)
{
    if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9') {
        return UINT16_MAX;
    }
    uint16_t v = (uint16_t)((at[0] - '0') * 10 + (at[1] - '0'));
    return v < limit ? v : UINT16_MAX;
}

static bool time_of_day(const char *at, uint16_t *out)
{
    uint16_t hour = two_digits(at, 24);
    uint16_t minute = hour != UINT16_MAX && at[2] == ':' ? two_digits(at + 3, 60) : UINT16_MAX;
    *out = minute == UINT16_MAX ? 0 : (uint16_t)(hour * 60 + minute);
    return minute != UINT16_MAX;
}

bool stoq_between_parse(const char *text, struct stoq_qos_window *out)
{
    uint16_t from;
    uint16_t to;
    if (strlen(text) != STOQ_BETWEEN_TEXT_MAX - 1 || text[5] != '-' || !time_of_day(text, &from) ||
        !time_of_day(text + 6, &to)) {
        return false;
    }
    out->from_minute = from;
    out->to_minute = to;
    return true;
}

const char *stoq_between_put(char out[STOQ_BETWEEN_TEXT_MAX], const struct stoq_qos_window *w)
{
    (void)snprintf(out, STOQ_BETWEEN_TEXT_MAX, "%02u:%02u-%02u:%02u", w->from_minute / 60 % 24,
                   w->from_minute % 60u, w->to_minute / 60 % 24, w->to_minute % 60u);
    return out;
}

bool stoq_cap_parse(const char *text, uint64_t *out)
{
    if (strcmp(text, "none") == 0) {
        *out = 0;
        return true;
    }
    return stoq_rate_parse(text, out) && *out > 0;
}

bool stoq_cap_word_parse(const char *word, bool set[STOQ_QOS_DIRS], uint64_t rate[STOQ_QOS_DIRS])
{
    bool is_up = strncmp(word, "up=", 3) == 0;
    if (!is_up && strncmp(word, "down=", 5) != 0) {
        return false;
    }
    enum stoq_qos_dir dir = is_up ? STOQ_QOS_UP : STOQ_QOS_DOWN;
    if (set[dir] || !stoq_cap_parse(word + (is_up ? 3 : 5), &rate[dir])) {
        return false;
    }
    set[dir] = true;
    return true;
}
