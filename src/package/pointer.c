/*
 * Sealing hides a pointer from those who keep it for others: they see who left it there, not what it is
 * about. The key is made of publisher and name, which whoever looks for it knows, and who does not can only
 * guess. The nonce is a hash of the bytes under that key, so equal pointers are equal when sealed, no two
 * others share a key stream, and damage shows when it is opened. The stream is BLAKE3's extendable output.
 */
#include "package/pointer.h"

#include "hash/hash.h"
#include "package/manifest.h"
#include "wire/form.h"

#include <string.h>

#define POINTER_VERSION 1
#define SECRET_BYTES 32

static const struct stoq_field fields[] = {
    {1, STOQ_IS_CONST(POINTER_VERSION, STOQ_MALFORMED)},
    {2, STOQ_IS_BYTES(struct stoq_pointer, spki, 1, STOQ_CONTACT_SPKI_MAX)},
    {3, STOQ_IS_TEXT(struct stoq_pointer, name, 1, STOQ_MANIFEST_NAME_MAX)},
    {4, STOQ_IS_TEXT(struct stoq_pointer, version, 1, STOQ_MANIFEST_VERSION_TEXT_MAX)},
    {5, STOQ_IS_HASH(struct stoq_pointer, id.h)},
    {6, STOQ_IS_UINT(struct stoq_pointer, sequence, 0, UINT64_MAX)},
    {7, STOQ_IS_UINT(struct stoq_pointer, issued_at_s, 0, UINT64_MAX)},
    {8, STOQ_IS_UINT(struct stoq_pointer, expires_s, 0, UINT64_MAX)},
};
static const struct stoq_form form = STOQ_FORM(fields);

static bool names_fit(const struct stoq_pointer *p)
{
    return stoq_manifest_name_fault(p->name) == NULL &&
           stoq_manifest_version_fault(p->version) == NULL;
}

enum stoq_status stoq_pointer_sign(const struct stoq_key *key, const struct stoq_pointer *p,
                                   struct stoq_buf *out)
{
    struct stoq_buf body;
    size_t before = out->n;
    if (!names_fit(p)) {
        return STOQ_RANGE;
    }
    stoq_buf_init(&body, STOQ_SIGNED_BODY_MAX);
    enum stoq_status st = stoq_form_encode(&form, p, stoq_form_keys(&form, p), &body);
    if (st == STOQ_OK) {
        st = stoq_object_sign(key, STOQ_SIGN_POINTER, stoq_buf_span(&body), out);
    }
    if (st == STOQ_OK && out->n - before > STOQ_POINTER_BYTES_MAX) {
        out->n = before;
        st = STOQ_RANGE;
    }
    stoq_buf_release(&body);
    return st;
}

static enum stoq_status decode(struct stoq_span bytes, struct stoq_signed *s,
                               struct stoq_pointer *out)
{
    *out = (struct stoq_pointer){0};
    if (bytes.n > STOQ_POINTER_BYTES_MAX || !stoq_signed_next(&bytes, s) || bytes.n > 0 ||
        stoq_form_decode(&form, s->body, out) != STOQ_OK || !names_fit(out)) {
        return STOQ_MALFORMED;
    }
    return STOQ_OK;
}

enum stoq_status stoq_pointer_decode(struct stoq_span bytes, struct stoq_pointer *out)
{
    struct stoq_signed s;
    return decode(bytes, &s, out);
}

enum stoq_status stoq_pointer_check(struct stoq_span bytes, const struct stoq_pointer_name *want,
                                    uint64_t now_s, struct stoq_pointer *out)
{
    struct stoq_signed s;
    enum stoq_status st = decode(bytes, &s, out);
    if (st != STOQ_OK) {
        return st;
    }
    struct stoq_key_id publisher = stoq_spki_key_id(out->spki);
    if (!stoq_hash_eq(&publisher.h, &want->publisher.h) || !stoq_span_eq(out->name, want->name) ||
        (want->version.n > 0 && !stoq_span_eq(out->version, want->version))) {
        return STOQ_NOTFOUND;
    }
    if (out->expires_s <= now_s ||
        (out->issued_at_s > now_s && out->issued_at_s - now_s > STOQ_POINTER_SKEW_S)) {
        return STOQ_RANGE;
    }
    return stoq_object_check(&s, STOQ_SIGN_POINTER, out->spki);
}

/* publisher ‖ u8 length ‖ name ‖ version: what a key or a secret is made of. */
static void derive(const char *context, const struct stoq_pointer_name *name,
                   struct stoq_span version, uint8_t *out, size_t n)
{
    uint8_t b[sizeof name->publisher + 1 + STOQ_MANIFEST_NAME_MAX + STOQ_MANIFEST_VERSION_TEXT_MAX];
    struct stoq_wr w = stoq_wr(b, sizeof b);
    stoq_wr_bytes(&w, stoq_span(name->publisher.h.b, sizeof name->publisher.h.b));
    stoq_wr_u8(&w, (uint8_t)name->name.n);
    stoq_wr_bytes(&w, name->name);
    stoq_wr_bytes(&w, version);
    STOQ_ASSERT(!w.bad);
    stoq_hash_derive(context, stoq_wr_span(&w), out, n);
}

struct stoq_hash stoq_pointer_key(const struct stoq_pointer_name *name)
{
    struct stoq_hash key;
    derive("stoq pointer v1", name, name->version, key.b, sizeof key.b);
    return key;
}

struct sealing {
    uint8_t secret[SECRET_BYTES];
    uint8_t nonce[STOQ_POINTER_NONCE_BYTES];
};

static void secret_of(struct sealing *s, const struct stoq_pointer_name *name)
{
    derive("stoq pointer seal v1", name, stoq_span(NULL, 0), s->secret, sizeof s->secret);
}

/* The nonce that belongs to these bytes. */
static void nonce_of(const struct sealing *s, struct stoq_span bytes,
                     uint8_t out[STOQ_POINTER_NONCE_BYTES])
{
    uint8_t b[SECRET_BYTES + STOQ_POINTER_BYTES_MAX];
    struct stoq_wr w = stoq_wr(b, sizeof b);
    stoq_wr_bytes(&w, stoq_span(s->secret, sizeof s->secret));
    stoq_wr_bytes(&w, bytes);
    stoq_hash_derive("stoq pointer nonce v1", stoq_wr_span(&w), out, STOQ_POINTER_NONCE_BYTES);
}

/* Exclusive-or with the stream of secret and nonce. */
static void mix(const struct sealing *s, uint8_t *p, size_t n)
{
    uint8_t stream[STOQ_POINTER_BYTES_MAX];
    uint8_t key[SECRET_BYTES + STOQ_POINTER_NONCE_BYTES];
    memcpy(key, s->secret, sizeof s->secret);
    memcpy(key + sizeof s->secret, s->nonce, sizeof s->nonce);
    stoq_hash_derive("stoq pointer stream v1", stoq_span(key, sizeof key), stream, n);
    for (size_t i = 0; i < n; i++) {
        p[i] ^= stream[i];
    }
}

enum stoq_status stoq_pointer_seal(const struct stoq_pointer_name *name, struct stoq_span bytes,
                                   struct stoq_buf *out)
{
    struct sealing s;
    if (bytes.n > STOQ_POINTER_BYTES_MAX) {
        return STOQ_RANGE;
    }
    enum stoq_status st = stoq_buf_reserve(out, sizeof s.nonce + bytes.n);
    if (st != STOQ_OK) {
        return st;
    }
    secret_of(&s, name);
    nonce_of(&s, bytes, s.nonce);
    memcpy(out->p + out->n, s.nonce, sizeof s.nonce);
    memcpy(out->p + out->n + sizeof s.nonce, bytes.p, bytes.n);
    mix(&s, out->p + out->n + sizeof s.nonce, bytes.n);
    out->n += sizeof s.nonce + bytes.n;
    return STOQ_OK;
}

enum stoq_status stoq_pointer_open(const struct stoq_pointer_name *name, struct stoq_span sealed,
                                   struct stoq_buf *out)
{
    struct sealing s;
    uint8_t nonce[STOQ_POINTER_NONCE_BYTES];
    uint8_t clear[STOQ_POINTER_BYTES_MAX];
    if (sealed.n <= sizeof s.nonce || sealed.n > STOQ_POINTER_SEALED_MAX) {
        return STOQ_MALFORMED;
    }
    size_t n = sealed.n - sizeof s.nonce;
    secret_of(&s, name);
    memcpy(s.nonce, sealed.p, sizeof s.nonce);
    memcpy(clear, sealed.p + sizeof s.nonce, n);
    mix(&s, clear, n);
    nonce_of(&s, stoq_span(clear, n), nonce);
    if (memcmp(nonce, s.nonce, sizeof nonce) != 0) {
        return STOQ_MALFORMED;
    }
    return stoq_buf_add(out, stoq_span(clear, n));
}
