/*
 * The checksum is a BCH code over GF(32): the symbols are coefficients of a polynomial, six more
 * are appended so that the whole is the constant 0x2bc830a3 modulo the generator. It finds every
 * error of up to four symbols in 90 characters (BIP 173; BIP 350 changed the constant from 1,
 * which missed insertions before a final `p`). The prefix takes part as its high bits, a zero and
 * its low bits.
 */
#include "wire/bech32m.h"
#include "wire/bech32m_internal.h"

#include <string.h>

#define CONSTANT 0x2bc830a3u

static const char charset[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/* Multiply by x, add the symbol, reduce. */
static uint32_t push(uint32_t sum, uint8_t symbol)
{
    static const uint32_t generator[] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                         0x2a1462b3};
    uint32_t top = sum >> 25;
    sum = (sum & 0x1ffffff) << 5 ^ symbol;
    for (size_t i = 0; i < STOQ_COUNT(generator); i++) {
        if ((top >> i & 1) != 0) {
            sum ^= generator[i];
        }
    }
    return sum;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

static uint32_t push_hrp(struct stoq_span hrp)
{
    uint32_t sum = 1;
    for (size_t i = 0; i < hrp.n; i++) {
        sum = push(sum, lower(hrp.p[i]) >> 5);
    }
    sum = push(sum, 0);
    for (size_t i = 0; i < hrp.n; i++) {
        sum = push(sum, lower(hrp.p[i]) & 31);
    }
    return sum;
}

/* Characters before the last '1'; text.n when there is none. */
static size_t separator(struct stoq_span text)
{
    for (size_t i = text.n; i-- > 0;) {
        if (text.p[i] == '1') {
            return i;
        }
    }
    return text.n;
}

/* Printable, and not of both cases. */
static bool is_clean(struct stoq_span text)
{
    bool has_lower = false;
    bool has_upper = false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < 33 || text.p[i] > 126) {
            return false;
        }
        has_lower = has_lower || (text.p[i] >= 'a' && text.p[i] <= 'z');
        has_upper = has_upper || (text.p[i] >= 'A' && text.p[i] <= 'Z');
    }
    return !(has_lower && has_upper);
}

bool stoq_bech32m_decode(struct stoq_bech32m *out, struct stoq_span text)
{
    if (text.n > STOQ_BECH32M_TEXT_MAX || !is_clean(text)) {
        return false;
    }
    size_t hrp_n = separator(text);
    if (hrp_n == 0 || text.n - hrp_n < 1 + STOQ_BECH32M_CHECKSUM) {
        return false;
    }
    uint32_t sum = push_hrp(stoq_span(text.p, hrp_n));
    out->hrp_n = hrp_n;
    out->symbol_count = text.n - hrp_n - 1;
    for (size_t i = 0; i < out->symbol_count; i++) {
        const char *at = strchr(charset, lower(text.p[hrp_n + 1 + i]));
        if (at == NULL) {
            return false;
        }
        out->symbol[i] = (uint8_t)(at - charset);
        sum = push(sum, out->symbol[i]);
    }
    return sum == CONSTANT;
}

static size_t symbols_for(size_t payload_n)
{
    return (payload_n * 8 + 4) / 5;
}

enum stoq_status stoq_id_put(char *out, size_t cap, const char *hrp, struct stoq_span payload)
{
    size_t hrp_n = strlen(hrp);
    STOQ_ASSERT(hrp_n >= 1 && hrp_n <= 16 && payload.n <= STOQ_ID_PAYLOAD_MAX);
    size_t count = 1 + symbols_for(payload.n);
    if (cap < hrp_n + 1 + count + STOQ_BECH32M_CHECKSUM + 1) {
        return STOQ_FULL;
    }
    memcpy(out, hrp, hrp_n);
    char *p = out + hrp_n;
    *p++ = '1';
    uint32_t sum = push_hrp(stoq_span(hrp, hrp_n));
    for (size_t i = 0; i < count; i++) {
        /* Symbol 0 is the version, 0; symbol i the payload's bits from 5 * (i - 1). */
        uint8_t symbol = 0;
        for (size_t bit = 0; i > 0 && bit < 5; bit++) {
            size_t at = 5 * (i - 1) + bit;
            unsigned byte = at < 8 * payload.n ? payload.p[at / 8] : 0;
            symbol = (uint8_t)((unsigned)symbol << 1 | (byte >> (7 - at % 8) & 1));
        }
        sum = push(sum, symbol);
        *p++ = charset[symbol];
    }
    for (size_t i = 0; i < STOQ_BECH32M_CHECKSUM; i++) {
        sum = push(sum, 0);
    }
    sum ^= CONSTANT;
    for (size_t i = 0; i < STOQ_BECH32M_CHECKSUM; i++) {
        *p++ = charset[sum >> (5 * (STOQ_BECH32M_CHECKSUM - 1 - i)) & 31];
    }
    *p = '\0';
    return STOQ_OK;
}

static bool hrp_is(struct stoq_span text, size_t hrp_n, const char *hrp)
{
    if (hrp_n == text.n || hrp_n != strlen(hrp)) {
        return false;
    }
    for (size_t i = 0; i < hrp_n; i++) {
        if (lower(text.p[i]) != (uint8_t)hrp[i]) {
            return false;
        }
    }
    return true;
}

/* Symbols of payload into n bytes; false when the padding is not zero. */
static bool unpack(uint8_t *out, size_t n, const uint8_t *symbol)
{
    memset(out, 0, n);
    bool is_padding_zero = true;
    for (size_t at = 0; at < 5 * symbols_for(n); at++) {
        unsigned value = (unsigned)symbol[at / 5] >> (4 - at % 5) & 1;
        if (at < 8 * n) {
            out[at / 8] = (uint8_t)(out[at / 8] | value << (7 - at % 8));
        } else if (value != 0) {
            is_padding_zero = false;
        }
    }
    return is_padding_zero;
}

enum stoq_status stoq_id_get(uint8_t *out, size_t n, const char *hrp, struct stoq_span text)
{
    struct stoq_bech32m d;
    uint8_t payload[STOQ_ID_PAYLOAD_MAX];
    STOQ_ASSERT(n <= sizeof payload);
    if (!hrp_is(text, separator(text), hrp)) {
        return STOQ_NOTFOUND;
    }
    if (!stoq_bech32m_decode(&d, text)) {
        return STOQ_MALFORMED;
    }
    if (d.symbol_count > STOQ_BECH32M_CHECKSUM && d.symbol[0] != 0) {
        return STOQ_VERSION;
    }
    bool fits = d.symbol_count == 1 + symbols_for(n) + STOQ_BECH32M_CHECKSUM;
    if (!fits || !unpack(payload, n, d.symbol + 1)) {
        return STOQ_MALFORMED;
    }
    memcpy(out, payload, n);
    return STOQ_OK;
}

static void put_hash(char *out, const char *hrp, const struct stoq_hash *h)
{
    enum stoq_status st = stoq_id_put(out, STOQ_ID_TEXT_CAP, hrp, stoq_span(h->b, sizeof h->b));
    STOQ_ASSERT(st == STOQ_OK);
}

void stoq_package_id_put(char *out, const struct stoq_package_id *id)
{
    put_hash(out, "stoq", &id->h);
}

void stoq_peer_id_put(char *out, const struct stoq_peer_id *id)
{
    put_hash(out, "peer", &id->h);
}

void stoq_key_id_put(char *out, const struct stoq_key_id *id)
{
    put_hash(out, "key", &id->h);
}

void stoq_address_put(char *out, const struct stoq_address *address)
{
    uint8_t payload[1 + sizeof address->digest.b];
    STOQ_ASSERT(address->algorithm == 1 || address->algorithm == 2);
    payload[0] = address->algorithm;
    memcpy(payload + 1, address->digest.b, sizeof address->digest.b);
    enum stoq_status st =
        stoq_id_put(out, STOQ_ID_TEXT_CAP, "data", stoq_span(payload, sizeof payload));
    STOQ_ASSERT(st == STOQ_OK);
}

enum stoq_status stoq_package_id_get(struct stoq_package_id *out, struct stoq_span text)
{
    return stoq_id_get(out->h.b, sizeof out->h.b, "stoq", text);
}

enum stoq_status stoq_peer_id_get(struct stoq_peer_id *out, struct stoq_span text)
{
    return stoq_id_get(out->h.b, sizeof out->h.b, "peer", text);
}

enum stoq_status stoq_key_id_get(struct stoq_key_id *out, struct stoq_span text)
{
    return stoq_id_get(out->h.b, sizeof out->h.b, "key", text);
}

enum stoq_status stoq_address_get(struct stoq_address *out, struct stoq_span text)
{
    uint8_t payload[1 + sizeof out->digest.b];
    enum stoq_status st = stoq_id_get(payload, sizeof payload, "data", text);
    if (st != STOQ_OK) {
        return st;
    }
    if (payload[0] != 1 && payload[0] != 2) {
        return STOQ_RANGE;
    }
    out->algorithm = payload[0];
    memcpy(out->digest.b, payload + 1, sizeof out->digest.b);
    return STOQ_OK;
}
