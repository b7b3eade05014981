#ifndef STOQ_DAEMON_SHARE_WORDS_H
#define STOQ_DAEMON_SHARE_WORDS_H
/* Priorities, strategies and caps as people write them: in the configuration, in a command, in JSON. */
#include "qos/qos.h"
#include "swarm/swarm.h"

/* "interactive", "normal", "background". Static. */
const char *stoq_priority_str(enum stoq_priority priority);
/* False: none of them; *out unchanged. */
bool stoq_priority_parse(const char *text, enum stoq_priority *out);

/* "fastest-first", "rarest", "sequential". Static. */
const char *stoq_strategy_str(enum stoq_swarm_strategy strategy);
bool stoq_strategy_parse(const char *text, enum stoq_swarm_strategy *out);

#define STOQ_BETWEEN_TEXT_MAX 12
/* "08:00-18:00"; only the two times of *out are set. */
bool stoq_between_parse(const char *text, struct stoq_qos_window *out);
const char *stoq_between_put(char out[STOQ_BETWEEN_TEXT_MAX], const struct stoq_qos_window *window);

/* A rate, or "none": 0. */
bool stoq_cap_parse(const char *text, uint64_t *out);

/* "up=2MiB" or "down=none". False: neither, or what is set already. */
bool stoq_cap_word_parse(const char *word, bool set[STOQ_QOS_DIRS], uint64_t rate[STOQ_QOS_DIRS]);

#endif
