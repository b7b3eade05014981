#ifndef STOQ_DAEMON_SOURCE_H
#define STOQ_DAEMON_SOURCE_H
/* Sources of a fetch as text: PEER@ADDR, `peer1...@[::1]:4433`. And ids that say what is wrong. */
#include "daemon/engine.h"
#include "wire/bech32m.h"

/* STOQ_OK; STOQ_RANGE (InvalidId for a damaged peer id): the sentence says what is wrong. */
STOQ_WARN_UNUSED enum stoq_status stoq_source_parse(struct stoq_fetch_source *out, const char *text,
                                                    struct stoq_error *err);

/* A package id. STOQ_OK; STOQ_RANGE with code InvalidId: another prefix, length, version, checksum. */
STOQ_WARN_UNUSED enum stoq_status stoq_package_id_parse(struct stoq_package_id *out,
                                                        const char *text, struct stoq_error *err);

/* A content address, likewise; also of an algorithm that may not address content. */
STOQ_WARN_UNUSED enum stoq_status stoq_address_parse(struct stoq_address *out, const char *text,
                                                     struct stoq_error *err);

#endif
