/*
 * What `rule try` is given: a rule, a NUL, the candidates as JSON. They are refused with a sentence, or
 * judged; a judgement has every candidate.
 */
#include "daemon/candidates.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct stoq_rule *rule, struct stoq_span text)
{
    struct stoq_error err = {0};
    json_t *list = NULL;
    json_t *out = NULL;
    if (stoq_json_parse(&list, text, (size_t)1 << 16, &err) != STOQ_OK) {
        STOQ_ASSERT(err.text[0] != '\0');
        return;
    }
    if (stoq_candidates_judge(rule, list, &out, &err) == STOQ_OK) {
        const json_t *all = json_object_get(out, "candidates");
        json_int_t kept = json_integer_value(json_object_get(out, "kept"));
        STOQ_ASSERT(json_array_size(all) == json_array_size(list));
        STOQ_ASSERT(kept >= 0 && (size_t)kept <= json_array_size(all));
    } else {
        STOQ_ASSERT(err.text[0] != '\0');
    }
    json_decref(out);
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stoq_error err = {0};
    struct stoq_rule *rule = NULL;
    const uint8_t *nul = size > 0 ? memchr(data, '\0', size) : NULL;
    size_t rule_bytes = nul != NULL ? (size_t)(nul - data) : size;
    if (stoq_candidates_rule(&rule, "the rule", stoq_span(data, rule_bytes), &err) != STOQ_OK) {
        STOQ_ASSERT(err.text[0] != '\0');
        return 0;
    }
    if (nul != NULL) {
        judge(rule, stoq_span(nul + 1, size - rule_bytes - 1));
    }
    stoq_rule_free(rule);
    return 0;
}
