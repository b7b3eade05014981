/* PeerSelection as rules. What is known counts before what is not: "prefer" puts unknown rates last. */
#include "peers/peers.h"

#include <stdio.h>

static const struct stoq_rule_field fields[STOQ_PEERS_FIELDS] = {
    [STOQ_PEERS_FIELD_PEER] = {"peer", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_ADDR] = {"addr", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_HOST] = {"host", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_SUBNET] = {"subnet", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_SITE] = {"site", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_RACK] = {"rack", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_REGION] = {"region", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_DOMAIN] = {"domain", STOQ_RULE_TEXT},
    [STOQ_PEERS_FIELD_CONNECTED] = {"connected", STOQ_RULE_BOOL},
    [STOQ_PEERS_FIELD_RTT] = {"rtt", STOQ_RULE_NUMBER},
    [STOQ_PEERS_FIELD_RATE] = {"rate", STOQ_RULE_NUMBER},
    [STOQ_PEERS_FIELD_FETCHED] = {"fetched", STOQ_RULE_NUMBER},
    [STOQ_PEERS_FIELD_SCORE] = {"score", STOQ_RULE_NUMBER},
    [STOQ_PEERS_FIELD_TRUSTED] = {"trusted", STOQ_RULE_BOOL},
    [STOQ_PEERS_FIELD_CUT] = {"cut", STOQ_RULE_BOOL},
};

const struct stoq_rule_field *stoq_peers_fields(void)
{
    return fields;
}

uint32_t stoq_peers_selection_wants(const struct stoq_peers_selection *sel)
{
    return sel->kind == STOQ_PEERS_REPLICATION_FACTOR ? sel->count : 1;
}

static bool is_label(struct stoq_span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return s.n > 0 && s.n <= STOQ_PEERS_LABEL_MAX;
}

enum stoq_status stoq_peers_selection_rule(const struct stoq_peers_selection *sel,
                                           struct stoq_buf *out)
{
    char text[256] = "";
    stoq_buf_clear(out);
    switch (sel->kind) {
    case STOQ_PEERS_REPLICATION_FACTOR:
        if (sel->count < 1 || sel->count > STOQ_PEERS_MAX) {
            return STOQ_RANGE;
        }
        (void)snprintf(
            text, sizeof text,
            "drop cut\nprefer connected\nprefer trusted\nprefer rate\nrequire known(domain)\n"
            "apart domain\n"
            "take %u\n",
            sel->count);
        break;
    case STOQ_PEERS_GEOGRAPHIC:
        if (!is_label(sel->text)) {
            return STOQ_RANGE;
        }
        (void)snprintf(text, sizeof text,
                       "require region == \"%.*s\"\ndrop cut\nprefer connected\nprefer rate\n",
                       (int)sel->text.n, (const char *)sel->text.p);
        break;
    case STOQ_PEERS_BANDWIDTH:
        if (sel->rate_bytes_per_s > INT64_MAX) {
            return STOQ_RANGE;
        }
        (void)snprintf(text, sizeof text, "require rate >= %llu\ndrop cut\nprefer rate\n",
                       (unsigned long long)sel->rate_bytes_per_s);
        break;
    case STOQ_PEERS_CUSTOM:
        return stoq_buf_add(out, sel->text);
    }
    return stoq_buf_add(out, stoq_span_str(text));
}
