#ifndef STOQ_DAEMON_CANDIDATES_H
#define STOQ_DAEMON_CANDIDATES_H
/*
 * Peers as the candidates of a rule (docs/RULES.md): the fields that rules may look at, their values out
 * of the objects that `stoq peers --json` prints, and verdicts as JSON.
 */
#include "api/json.h"
#include "rule/rule.h"

/*
 * Read a rule about peers; name stands for it in messages.
 * STOQ_MALFORMED, STOQ_FULL with code RuleInvalid: "NAME:LINE:COLUMN: reason"; STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_candidates_rule(struct stoq_rule **out, const char *name,
                                                       struct stoq_span text,
                                                       struct stoq_error *err);

/*
 * Judge the peers of an array of objects. An absent or null key is not known; other keys are ignored.
 *
 * *out  {"kept": N, "candidates": [{"peer", "verdict", ...}]}, see docs/CLI.md
 *
 * STOQ_MALFORMED: not such an array, a key of another type; STOQ_FULL: too many; STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_candidates_judge(const struct stoq_rule *rule,
                                                        const json_t *list, json_t **out,
                                                        struct stoq_error *err);

#endif
