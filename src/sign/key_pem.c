/*
 * Key files, read by hand rather than by OpenSSL's PEM and PKCS #8 readers: those ask a terminal
 * for a password, load what a configuration names, and accept far more than a key of ours can be.
 * An Ed25519 key has exactly one plain encoding, 16 fixed bytes and the seed (RFC 8410 section 7),
 * and 48 bytes are 64 characters of base64 without padding: one line of PEM.
 */
#include "sign/sign_internal.h"

#include <openssl/err.h>
#include <string.h>

#define LABEL "PRIVATE KEY"

static const char pem_begin[] = "-----BEGIN " LABEL "-----\n";
static const char pem_end[] = "\n-----END " LABEL "-----\n";

static const uint8_t pkcs8_head[] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                     0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};

enum {
    DER_BYTES = sizeof pkcs8_head + STOQ_KEY_SEED_BYTES,
    BASE64_CHARS = DER_BYTES / 3 * 4,
};

_Static_assert(DER_BYTES % 3 == 0, "no padding");

/* Where what begins in s at or after from; s.n when nowhere. */
static size_t find(struct stoq_span s, size_t from, struct stoq_span what)
{
    for (size_t i = from; what.n <= s.n && i <= s.n - what.n; i++) {
        if (memcmp(s.p + i, what.p, what.n) == 0) {
            return i;
        }
    }
    return s.n;
}

static bool is_space(uint8_t c)
{
    return c == '\n' || c == '\r' || c == ' ' || c == '\t';
}

/* The characters between the first BEGIN line of a private key and its END. STOQ_VERSION: the key
 * is of another, labelled kind (encrypted, RSA's own form, ...). */
static enum stoq_status find_body(struct stoq_span pem, struct stoq_span *out)
{
    struct stoq_span dashes = stoq_span_str("-----");
    struct stoq_span begin_word = stoq_span_str("-----BEGIN ");
    struct stoq_span label = stoq_span_str(LABEL);
    for (size_t at = find(pem, 0, begin_word); at < pem.n; at = find(pem, at + 1, begin_word)) {
        size_t name = at + begin_word.n;
        size_t name_end = find(pem, name, dashes);
        if (name_end - name < label.n ||
            memcmp(pem.p + name_end - label.n, label.p, label.n) != 0) {
            continue;
        }
        if (name_end - name != label.n) {
            return STOQ_VERSION;
        }
        size_t body = name_end + dashes.n;
        size_t end = find(pem, name_end, stoq_span_str("-----END " LABEL "-----"));
        if (end == pem.n || body > end) {
            return STOQ_MALFORMED;
        }
        *out = stoq_span(pem.p + body, end - body);
        return STOQ_OK;
    }
    return STOQ_MALFORMED;
}

/* Base64 without its line ends into der; *out_n bytes. */
static enum stoq_status decode_body(struct stoq_span body, uint8_t der[STOQ_KEY_PEM_MAX],
                                    size_t *out_n)
{
    uint8_t text[STOQ_KEY_PEM_MAX];
    size_t n = 0;
    for (size_t i = 0; i < body.n; i++) {
        if (!is_space(body.p[i])) {
            text[n++] = body.p[i];
        }
    }
    int got = n > 0 ? EVP_DecodeBlock(der, text, (int)n) : -1;
    stoq_key_wipe(text, sizeof text);
    if (got <= 0) {
        ERR_clear_error();
        return STOQ_MALFORMED;
    }
    /* The function counts padding as bytes; of a key of ours there is none. */
    *out_n = (size_t)got;
    return STOQ_OK;
}

enum stoq_status stoq_key_from_pem(struct stoq_key **out, struct stoq_span pem)
{
    struct stoq_span body;
    uint8_t der[STOQ_KEY_PEM_MAX];
    size_t n = 0;
    if (pem.n > STOQ_KEY_PEM_MAX) {
        return STOQ_MALFORMED;
    }
    enum stoq_status st = find_body(pem, &body);
    if (st == STOQ_OK) {
        st = decode_body(body, der, &n);
    }
    if (st != STOQ_OK) {
        return st;
    }
    if (n == DER_BYTES && memcmp(der, pkcs8_head, sizeof pkcs8_head) == 0) {
        st = stoq_key_from_seed(out, der + sizeof pkcs8_head);
    } else {
        /* A SEQUENCE of some other shape is some other key; anything else is damage. */
        st = der[0] == 0x30 ? STOQ_VERSION : STOQ_MALFORMED;
    }
    stoq_key_wipe(der, sizeof der);
    return st;
}

void stoq_spki_put(char out[STOQ_SPKI_TEXT_CAP], struct stoq_span spki)
{
    STOQ_ASSERT(spki.n == STOQ_SPKI_BYTES);
    (void)EVP_EncodeBlock((uint8_t *)out, spki.p, (int)spki.n);
}

enum stoq_status stoq_key_to_pem(const struct stoq_key *key, struct stoq_buf *out)
{
    uint8_t der[DER_BYTES];
    uint8_t text[BASE64_CHARS + 1];
    size_t n = STOQ_KEY_SEED_BYTES;
    enum stoq_status st =
        stoq_buf_reserve(out, sizeof pem_begin - 1 + BASE64_CHARS + sizeof pem_end - 1);
    if (st != STOQ_OK) {
        return st;
    }
    memcpy(der, pkcs8_head, sizeof pkcs8_head);
    if (EVP_PKEY_get_raw_private_key(key->evp, der + sizeof pkcs8_head, &n) != 1) {
        ERR_clear_error();
        return STOQ_NOMEM;
    }
    (void)EVP_EncodeBlock(text, der, sizeof der);
    const struct stoq_span parts[] = {stoq_span_str(pem_begin), stoq_span(text, BASE64_CHARS),
                                      stoq_span_str(pem_end)};
    for (size_t i = 0; i < STOQ_COUNT(parts) && st == STOQ_OK; i++) {
        st = stoq_buf_add(out, parts[i]);
    }
    stoq_key_wipe(der, sizeof der);
    stoq_key_wipe(text, sizeof text);
    return st;
}
