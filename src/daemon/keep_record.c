#include "daemon/keep_record.h"

#include <string.h>

#include "daemon/source.h"
#include "hash/hash.h"
#include "wire/cbor.h"

#define FORMAT_VERSION 1
enum { FIELD_VERSION = 1, FIELD_SINCE = 2, FIELD_SUBJECT = 3, FIELD_EXPIRES = 4 };

struct stoq_subject stoq_subject_of_package(const struct stoq_package_id *id)
{
    struct stoq_subject s = {.n = sizeof id->h.b};
    memcpy(s.b, id->h.b, sizeof id->h.b);
    return s;
}

struct stoq_subject stoq_subject_of_address(const struct stoq_address *address)
{
    struct stoq_subject s = {.n = 1 + sizeof address->digest.b};
    s.b[0] = address->algorithm;
    memcpy(s.b + 1, address->digest.b, sizeof address->digest.b);
    return s;
}

enum stoq_status stoq_subject_get(struct stoq_subject *out, struct stoq_span s)
{
    bool is_address =
        s.n == STOQ_SUBJECT_BYTES_MAX && stoq_hash_alg_is_address(stoq_hash_alg_code(s.p[0]));
    if (s.n != sizeof(struct stoq_package_id) && !is_address) {
        return STOQ_MALFORMED;
    }
    *out = (struct stoq_subject){.n = s.n};
    memcpy(out->b, s.p, s.n);
    return STOQ_OK;
}

enum stoq_status stoq_subject_parse(struct stoq_subject *out, const char *text,
                                    struct stoq_error *err)
{
    struct stoq_address address;
    struct stoq_package_id id;
    static const char of_content[] = "data1";
    bool is_content = strncmp(text, of_content, sizeof of_content - 1) == 0 ||
                      strncmp(text, "DATA1", sizeof of_content - 1) == 0;
    enum stoq_status st = is_content ? stoq_address_parse(&address, text, err)
                                     : stoq_package_id_parse(&id, text, err);
    if (st == STOQ_OK) {
        *out = is_content ? stoq_subject_of_address(&address) : stoq_subject_of_package(&id);
    }
    return st;
}

void stoq_subject_put(char *out, const struct stoq_subject *s)
{
    if (stoq_subject_is_package(s)) {
        struct stoq_package_id id;
        memcpy(id.h.b, s->b, sizeof id.h.b);
        stoq_package_id_put(out, &id);
        return;
    }
    struct stoq_address address = {.algorithm = s->b[0]};
    memcpy(address.digest.b, s->b + 1, sizeof address.digest.b);
    stoq_address_put(out, &address);
}

bool stoq_root_name_ok(struct stoq_span name)
{
    static const char inside[] = "+._/-";
    if (name.n < 1 || name.n > STOQ_ROOT_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (i == 0 || c == '\0' || strchr(inside, c) == NULL)) {
            return false;
        }
    }
    return true;
}

struct stoq_span stoq_keep_key(const struct stoq_keep *k)
{
    return k->type == STOQ_RECORD_ROOT ? stoq_span_str(k->name) : stoq_subject_span(&k->subject);
}

enum stoq_status stoq_keep_encode(const struct stoq_keep *k, struct stoq_buf *out)
{
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    stoq_cbor_put_map(&w, k->type == STOQ_RECORD_PIN ? 2 : 3);
    stoq_cbor_put_uint(&w, FIELD_VERSION);
    stoq_cbor_put_uint(&w, FORMAT_VERSION);
    stoq_cbor_put_uint(&w, FIELD_SINCE);
    stoq_cbor_put_uint(&w, k->since);
    if (k->type == STOQ_RECORD_ROOT) {
        stoq_cbor_put_uint(&w, FIELD_SUBJECT);
        stoq_cbor_put_bytes(&w, stoq_subject_span(&k->subject));
    } else if (k->type == STOQ_RECORD_LEASE) {
        stoq_cbor_put_uint(&w, FIELD_EXPIRES);
        stoq_cbor_put_uint(&w, k->expires_at);
    }
    return stoq_cbor_wr_done(&w);
}

static void read_subject(struct stoq_cbor_rd *r, struct stoq_subject *out)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 1, STOQ_SUBJECT_BYTES_MAX);
    if (stoq_subject_get(out, s) != STOQ_OK) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void read_field(struct stoq_cbor_rd *r, uint64_t field, struct stoq_keep *out)
{
    if (field == FIELD_VERSION) {
        if (stoq_cbor_rd_uint(r) != FORMAT_VERSION) {
            stoq_cbor_rd_fail(r, STOQ_VERSION);
        }
    } else if (field == FIELD_SINCE) {
        out->since = stoq_cbor_rd_uint(r);
    } else if (field == FIELD_SUBJECT && out->type == STOQ_RECORD_ROOT) {
        read_subject(r, &out->subject);
    } else if (field == FIELD_EXPIRES && out->type == STOQ_RECORD_LEASE) {
        out->expires_at = stoq_cbor_rd_uint(r);
    } else {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

/* What the key says: a name, or the subject. */
static enum stoq_status read_key(struct stoq_keep *out, struct stoq_span key)
{
    if (out->type != STOQ_RECORD_ROOT) {
        return stoq_subject_get(&out->subject, key);
    }
    if (!stoq_root_name_ok(key)) {
        return STOQ_MALFORMED;
    }
    memcpy(out->name, key.p, key.n);
    return STOQ_OK;
}

enum stoq_status stoq_keep_decode(enum stoq_record_type type, struct stoq_span key,
                                  struct stoq_span payload, struct stoq_keep *out)
{
    static const unsigned wanted[STOQ_RECORD_TYPES] = {
        [STOQ_RECORD_PIN] = 1U << FIELD_VERSION | 1U << FIELD_SINCE,
        [STOQ_RECORD_ROOT] = 1U << FIELD_VERSION | 1U << FIELD_SINCE | 1U << FIELD_SUBJECT,
        [STOQ_RECORD_LEASE] = 1U << FIELD_VERSION | 1U << FIELD_SINCE | 1U << FIELD_EXPIRES,
    };
    *out = (struct stoq_keep){.type = type};
    if (payload.n > STOQ_KEEP_RECORD_BYTES_MAX || read_key(out, key) != STOQ_OK) {
        return STOQ_MALFORMED;
    }
    struct stoq_cbor_rd r = stoq_cbor_rd(payload);
    uint64_t field;
    unsigned seen = 0;
    (void)stoq_cbor_rd_map(&r);
    while (stoq_cbor_rd_key(&r, &field)) {
        read_field(&r, field, out);
        seen |= field < 8 ? 1U << field : 0;
    }
    stoq_cbor_rd_leave(&r);
    enum stoq_status st = stoq_cbor_rd_done(&r);
    return st == STOQ_OK && seen != wanted[type] ? STOQ_MALFORMED : st;
}
