#ifndef STOQ_DAEMON_KEEP_RECORD_H
#define STOQ_DAEMON_KEEP_RECORD_H
/*
 * The records that keep content from being collected: pins, named roots and leases (docs/FORMATS.md
 * section 9.3), written and read strictly. What they keep is a package or a content by address.
 */
#include "store/store.h"
#include "wire/bech32m.h"

/* A package id (32 bytes), or an address: algorithm code and digest (33 bytes). */
#define STOQ_SUBJECT_BYTES_MAX 33
struct stoq_subject {
    uint8_t b[STOQ_SUBJECT_BYTES_MAX];
    size_t n;
};

#define STOQ_ROOT_NAME_MAX 64 /* a record's key holds no more */
#define STOQ_KEEP_RECORD_BYTES_MAX 64

struct stoq_subject stoq_subject_of_package(const struct stoq_package_id *id);
struct stoq_subject stoq_subject_of_address(const struct stoq_address *address);
static inline struct stoq_span stoq_subject_span(const struct stoq_subject *s)
{
    return stoq_span(s->b, s->n);
}
static inline bool stoq_subject_is_package(const struct stoq_subject *s)
{
    return s->n == sizeof(struct stoq_package_id);
}
/* From a record's bytes. STOQ_MALFORMED: neither of the two. */
STOQ_WARN_UNUSED enum stoq_status stoq_subject_get(struct stoq_subject *out, struct stoq_span s);
/* From `stoq1...` or `data1...`. STOQ_RANGE (InvalidId). */
STOQ_WARN_UNUSED enum stoq_status stoq_subject_parse(struct stoq_subject *out, const char *text,
                                                     struct stoq_error *err);
/* As text; out holds STOQ_ID_TEXT_CAP. */
void stoq_subject_put(char *out, const struct stoq_subject *s);

/* Is this a name for a root: [A-Za-z0-9][A-Za-z0-9+._/-]{0,63}? */
bool stoq_root_name_ok(struct stoq_span name);

/* A pin (key: subject), a named root (key: name) or a lease (key: subject). */
struct stoq_keep {
    enum stoq_record_type type; /* STOQ_RECORD_PIN, STOQ_RECORD_ROOT, STOQ_RECORD_LEASE */
    struct stoq_subject subject;
    char name[STOQ_ROOT_NAME_MAX + 1]; /* of a root */
    uint64_t since;                    /* seconds since 1970: when it was made or last changed */
    uint64_t expires_at;               /* of a lease; it is over from this second on */
};

/* The record's key, pointing into k. */
struct stoq_span stoq_keep_key(const struct stoq_keep *k);
/* Append the payload. STOQ_OK; STOQ_FULL or STOQ_NOMEM from the buffer. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_encode(const struct stoq_keep *k, struct stoq_buf *out);
/* Read a record of k->type. STOQ_OK; STOQ_MALFORMED, STOQ_TRUNC; STOQ_VERSION: of a newer format. */
STOQ_WARN_UNUSED enum stoq_status stoq_keep_decode(enum stoq_record_type type, struct stoq_span key,
                                                   struct stoq_span payload, struct stoq_keep *out);

#endif
