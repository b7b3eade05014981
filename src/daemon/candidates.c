#include "daemon/candidates.h"

#include "peers/peers.h"

#include <stdlib.h>
#include <string.h>

/* Rules have short names, the listings of peers have names with units. */
static const char *const keys[STOQ_PEERS_FIELDS] = {
    [STOQ_PEERS_FIELD_PEER] = "peer",
    [STOQ_PEERS_FIELD_ADDR] = "addr",
    [STOQ_PEERS_FIELD_HOST] = "host",
    [STOQ_PEERS_FIELD_SUBNET] = "subnet",
    [STOQ_PEERS_FIELD_SITE] = "site",
    [STOQ_PEERS_FIELD_RACK] = "rack",
    [STOQ_PEERS_FIELD_REGION] = "region",
    [STOQ_PEERS_FIELD_DOMAIN] = "domain",
    [STOQ_PEERS_FIELD_CONNECTED] = "connected",
    [STOQ_PEERS_FIELD_RTT] = "rtt_ms",
    [STOQ_PEERS_FIELD_RATE] = "rate_bytes_per_s",
    [STOQ_PEERS_FIELD_FETCHED] = "bytes_fetched",
    [STOQ_PEERS_FIELD_SCORE] = "score",
    [STOQ_PEERS_FIELD_TRUSTED] = "trusted",
    [STOQ_PEERS_FIELD_CUT] = "cut",
};

enum stoq_status stoq_candidates_rule(struct stoq_rule **out, const char *name,
                                      struct stoq_span text, struct stoq_error *err)
{
    struct stoq_rule_fault f;
    enum stoq_status st = stoq_rule_new(out, stoq_peers_fields(), STOQ_PEERS_FIELDS, text, &f);
    if (st == STOQ_OK) {
        return STOQ_OK;
    }
    if (st == STOQ_NOMEM) {
        return stoq_fail(err, st, 0, "no memory for the rule");
    }
    char token[41] = "";
    size_t n = f.length < sizeof token ? f.length : sizeof token - 1;
    for (size_t i = 0; i < n && (size_t)f.offset + i < text.n; i++) {
        uint8_t c = text.p[f.offset + i];
        token[i] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    return stoq_fail_code(err, st, "RuleInvalid", "%.200s:%u:%u: %s%s%s%s", name, f.line, f.column,
                          stoq_rule_why_str(f.why), token[0] != '\0' ? ": '" : "", token,
                          token[0] != '\0' ? "'" : "");
}

/* A number as rules count: whole, towards zero. */
static bool take_number(const json_t *v, struct stoq_rule_value *out)
{
    out->known = json_is_number(v);
    if (json_is_integer(v)) {
        out->number = json_integer_value(v);
    } else if (json_is_real(v)) {
        double d = json_real_value(v);
        out->number = d >= 9.2e18 ? INT64_MAX : d <= -9.2e18 ? INT64_MIN : (int64_t)d;
    }
    return out->known;
}

/* False: of another type. */
static bool take_value(const json_t *v, enum stoq_rule_type type, struct stoq_rule_value *out)
{
    *out = (struct stoq_rule_value){.type = type};
    if (v == NULL || json_is_null(v)) {
        return true;
    }
    switch (type) {
    case STOQ_RULE_NUMBER:
        return take_number(v, out);
    case STOQ_RULE_TEXT:
        out->known = json_is_string(v);
        out->text = stoq_span(json_string_value(v), json_string_length(v));
        return out->known;
    default:
        out->known = json_is_boolean(v);
        out->number = json_is_true(v);
        return out->known;
    }
}

static enum stoq_status take_values(const json_t *list, struct stoq_rule_value *values,
                                    struct stoq_error *err)
{
    size_t i;
    const json_t *o;
    json_array_foreach (list, i, o) {
        if (!json_is_object(o)) {
            return stoq_fail(err, STOQ_MALFORMED, 0, "candidate %zu is no object", i);
        }
        for (size_t f = 0; f < STOQ_PEERS_FIELDS; f++) {
            const json_t *v = json_object_get(o, keys[f]);
            v = v != NULL ? v : json_object_get(o, stoq_peers_fields()[f].name);
            if (!take_value(v, stoq_peers_fields()[f].type, &values[i * STOQ_PEERS_FIELDS + f])) {
                static const char *const words[] = {"a number", "a text", "true or false"};
                return stoq_fail(err, STOQ_MALFORMED, 0, "candidate %zu: %s is not %s", i, keys[f],
                                 words[stoq_peers_fields()[f].type]);
            }
        }
    }
    return STOQ_OK;
}

static json_t *value_to_json(const struct stoq_rule_value *v)
{
    if (!v->known) {
        return json_null();
    }
    switch (v->type) {
    case STOQ_RULE_NUMBER:
        return json_integer(v->number);
    case STOQ_RULE_TEXT:
        return json_stringn((const char *)v->text.p, v->text.n);
    default:
        return json_boolean(v->number);
    }
}

/* What the clause looked at, by the names it uses. */
static json_t *values_to_json(const struct stoq_rule_clause *c,
                              const struct stoq_rule_value *values)
{
    json_t *o = json_object();
    for (size_t i = 0; i < c->field_count; i++) {
        (void)json_object_set_new(o, stoq_peers_fields()[c->fields[i]].name,
                                  value_to_json(&values[c->fields[i]]));
    }
    return o;
}

static json_t *name_of(const json_t *list, uint32_t i)
{
    const json_t *o = json_array_get(list, i);
    const char *peer = stoq_json_text(o, "peer");
    return peer != NULL ? json_string(peer) : json_null();
}

static json_t *preferences(const struct stoq_rule *rule, const struct stoq_rule_verdict *v)
{
    struct stoq_rule_clause c;
    json_t *list = json_array();
    size_t n = 0;
    for (size_t i = 0; stoq_rule_clause(rule, i, &c); i++) {
        if (c.kind == STOQ_RULE_PREFER) {
            int64_t key = v->prefer[n++];
            (void)json_array_append_new(list, key == INT64_MIN ? json_null() : json_integer(key));
        }
    }
    return list;
}

static json_t *verdict_to_json(const struct stoq_rule *rule, const json_t *list,
                               const struct stoq_rule_value *values,
                               const struct stoq_rule_verdict *v)
{
    static const char *const words[] = {"kept", "beyond", "same", "dropped"};
    struct stoq_rule_clause c;
    json_t *o = json_pack("{s:o, s:I, s:s}", "peer", name_of(list, v->candidate), "candidate",
                          (json_int_t)v->candidate, "verdict", words[v->outcome]);
    if (o == NULL) {
        return NULL;
    }
    if (v->outcome != STOQ_RULE_DROPPED) {
        (void)json_object_set_new(o, "prefer", preferences(rule, v));
    }
    if (v->outcome != STOQ_RULE_KEPT && stoq_rule_clause(rule, v->clause, &c)) {
        const struct stoq_rule_value *own = &values[v->candidate * STOQ_PEERS_FIELDS];
        (void)json_object_set_new(o, "line", json_integer(c.line));
        (void)stoq_json_set_text(o, "clause", c.text);
        (void)json_object_set_new(o, "values", values_to_json(&c, own));
    }
    if (v->outcome == STOQ_RULE_SAME) {
        (void)json_object_set_new(o, "beside", name_of(list, v->beside));
    }
    return o;
}

enum stoq_status stoq_candidates_judge(const struct stoq_rule *rule, const json_t *list,
                                       json_t **out, struct stoq_error *err)
{
    size_t n = json_array_size(list);
    if (!json_is_array(list)) {
        return stoq_fail(err, STOQ_MALFORMED, 0, "the candidates are no array");
    }
    if (n > STOQ_RULE_CANDIDATES_MAX) {
        return stoq_fail(err, STOQ_FULL, 0, "%zu candidates; a rule judges %u at most", n,
                         STOQ_RULE_CANDIDATES_MAX);
    }
    struct stoq_rule_value *values = calloc(n + 1, STOQ_PEERS_FIELDS * sizeof *values);
    struct stoq_rule_verdict *verdicts = calloc(n + 1, sizeof *verdicts);
    json_t *judged = json_array();
    enum stoq_status st = STOQ_NOMEM;
    if (values != NULL && verdicts != NULL && judged != NULL) {
        st = take_values(list, values, err);
    } else {
        (void)stoq_fail(err, st, 0, "no memory for %zu candidates", n);
    }
    if (st == STOQ_OK) {
        size_t kept = stoq_rule_choose(rule, values, n, verdicts);
        for (size_t i = 0; i < n; i++) {
            (void)json_array_append_new(judged, verdict_to_json(rule, list, values, &verdicts[i]));
        }
        *out = json_pack("{s:I, s:O}", "kept", (json_int_t)kept, "candidates", judged);
        st = *out != NULL && json_array_size(judged) == n
                 ? STOQ_OK
                 : stoq_fail(err, STOQ_NOMEM, 0, "no memory for the verdicts");
    }
    json_decref(judged);
    free(values);
    free(verdicts);
    return st;
}
