#include "daemon/source.h"

#include "wire/bech32m.h"

#include <stdio.h>
#include <string.h>

enum { ID_CHARACTERS = 64, ADDRESS_CHARACTERS = 65 }; /* stoq1... and peer1... alike; data1... */

/* Why text is not an id with this prefix ("stoq"), given that reading it failed with st. */
static enum stoq_status bad_id(const char *text, const char *hrp, const char *what,
                               enum stoq_status st, struct stoq_error *err)
{
    size_t n = strlen(text);
    int characters = strcmp(hrp, "data") == 0 ? ADDRESS_CHARACTERS : ID_CHARACTERS;
    if (n == 0) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "%s is empty", what);
    }
    if (st == STOQ_NOTFOUND) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId",
                              "'%.80s' is not %s: those begin with %s1", text, what, hrp);
    }
    if (st == STOQ_VERSION) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId",
                              "'%.80s' is of a newer form than this program reads", text);
    }
    if (n != (size_t)characters) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId", "'%.80s' has %zu characters; %s has %d",
                              text, n, what, characters);
    }
    return stoq_fail_code(err, STOQ_RANGE, "InvalidId",
                          "the checksum of '%.80s' is wrong: a character was mistyped or lost",
                          text);
}

enum stoq_status stoq_package_id_parse(struct stoq_package_id *out, const char *text,
                                       struct stoq_error *err)
{
    enum stoq_status st = stoq_package_id_get(out, stoq_span_str(text));
    return st == STOQ_OK ? STOQ_OK : bad_id(text, "stoq", "a package id", st, err);
}

enum stoq_status stoq_address_parse(struct stoq_address *out, const char *text,
                                    struct stoq_error *err)
{
    enum stoq_status st = stoq_address_get(out, stoq_span_str(text));
    if (st == STOQ_RANGE) {
        return stoq_fail_code(err, STOQ_RANGE, "InvalidId",
                              "'%.80s' names an algorithm that cannot address content: XXH3-128 "
                              "can be forged by anybody, others are aliases",
                              text);
    }
    return st == STOQ_OK ? STOQ_OK : bad_id(text, "data", "a content address", st, err);
}

enum stoq_status stoq_source_parse(struct stoq_fetch_source *out, const char *text,
                                   struct stoq_error *err)
{
    char peer[STOQ_ID_TEXT_CAP];
    struct stoq_fetch_source source;
    const char *at = strchr(text, '@');
    if (at == NULL) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "'%.120s' is not PEER@ADDRESS, as in peer1...@[::1]:4477", text);
    }
    int n = snprintf(peer, sizeof peer, "%.*s", (int)(at - text < 999 ? at - text : 999), text);
    enum stoq_status st =
        n < (int)sizeof peer ? stoq_peer_id_get(&source.peer, stoq_span_str(peer)) : STOQ_MALFORMED;
    if (st != STOQ_OK) {
        return bad_id(peer, "peer", "a peer id", st, err);
    }
    if (stoq_addr_parse(&source.addr, stoq_span_str(at + 1), 0) != STOQ_OK ||
        source.addr.port == 0) {
        return stoq_fail(err, STOQ_RANGE, 0,
                         "'%.80s' is not an address with a port, as in [::1]:4477", at + 1);
    }
    *out = source;
    return STOQ_OK;
}
