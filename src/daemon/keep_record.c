#include "daemon/keep_record.h"

#include <string.h>

#include "daemon/source.h"
#include "hash/hash.h"
#include "wire/form.h"

#define FORMAT_VERSION 1

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

static void get_subject(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, 1, STOQ_SUBJECT_BYTES_MAX);
    if (stoq_subject_get(at, s) != STOQ_OK) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static bool put_subject(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    stoq_cbor_put_bytes(w, stoq_subject_span(at));
    return true;
}

/* A pin has the first two fields, a root and a lease one more each. */
#define IS_VERSION STOQ_IS_CONST(FORMAT_VERSION, STOQ_VERSION)
#define IS_SINCE STOQ_IS_UINT(struct stoq_keep, since, 0, UINT64_MAX)
static const struct stoq_field pin_fields[] = {{1, IS_VERSION}, {2, IS_SINCE}};
static const struct stoq_field root_fields[] = {
    {1, IS_VERSION},
    {2, IS_SINCE},
    {3,
     STOQ_IS_OWN(struct stoq_keep, subject, struct stoq_subject, get_subject, put_subject, 0, 0)},
};
static const struct stoq_field lease_fields[] = {
    {1, IS_VERSION},
    {2, IS_SINCE},
    {4, STOQ_IS_UINT(struct stoq_keep, expires_at, 0, UINT64_MAX)},
};
static const struct stoq_form forms[STOQ_RECORD_TYPES] = {
    [STOQ_RECORD_PIN] = STOQ_FORM(pin_fields),
    [STOQ_RECORD_ROOT] = STOQ_FORM(root_fields),
    [STOQ_RECORD_LEASE] = STOQ_FORM(lease_fields),
};

enum stoq_status stoq_keep_encode(const struct stoq_keep *k, struct stoq_buf *out)
{
    return stoq_form_encode(&forms[k->type], k, stoq_form_keys(&forms[k->type], k), out);
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
    *out = (struct stoq_keep){.type = type};
    if (payload.n > STOQ_KEEP_RECORD_BYTES_MAX || read_key(out, key) != STOQ_OK) {
        return STOQ_MALFORMED;
    }
    return stoq_form_decode(&forms[type], payload, out);
}
