#include "package/private.h"

#include <string.h>

#include "hash/hash.h"

#define HEAD "stoq-private-key 1 "
#define HEAD_BYTES (sizeof HEAD - 1)
#define VERSION_AT (HEAD_BYTES - 2)
#define HEX_BYTES (2 * sizeof((struct stoq_private_key *)NULL)->b)

void stoq_private_gear(struct stoq_gear *out, const struct stoq_private_key *key)
{
    uint8_t numbers[STOQ_GEAR_BYTES];
    stoq_hash_derive("stoq gear v1", stoq_span(key->b, sizeof key->b), numbers, sizeof numbers);
    stoq_gear_init(out, numbers);
    explicit_bzero(numbers, sizeof numbers);
}

void stoq_private_mark(char out[STOQ_PRIVATE_MARK_CAP], const struct stoq_private_key *key)
{
    uint8_t mark[8];
    stoq_hash_derive("stoq private key mark v1", stoq_span(key->b, sizeof key->b), mark,
                     sizeof mark);
    stoq_hex_put(out, stoq_span(mark, sizeof mark));
}

void stoq_private_put(char out[STOQ_PRIVATE_TEXT_CAP], const struct stoq_private_key *key)
{
    _Static_assert(HEAD_BYTES + HEX_BYTES + 2 <= STOQ_PRIVATE_TEXT_CAP, "head, digits, newline");
    memcpy(out, HEAD, HEAD_BYTES);
    stoq_hex_put(out + HEAD_BYTES, stoq_span(key->b, sizeof key->b));
    memcpy(out + HEAD_BYTES + HEX_BYTES, "\n", 2);
}

enum stoq_status stoq_private_get(struct stoq_private_key *out, struct stoq_span text)
{
    char digits[HEX_BYTES + 1] = "";
    if (text.n <= HEAD_BYTES || memcmp(text.p, HEAD, VERSION_AT) != 0) {
        return STOQ_MALFORMED;
    }
    if (memcmp(text.p, HEAD, HEAD_BYTES) != 0) {
        return STOQ_VERSION;
    }
    if (text.n != HEAD_BYTES + HEX_BYTES + 1 || text.p[text.n - 1] != '\n') {
        return STOQ_MALFORMED;
    }
    memcpy(digits, text.p + HEAD_BYTES, HEX_BYTES);
    bool is_hex = stoq_hex_get(out->b, sizeof out->b, digits);
    explicit_bzero(digits, sizeof digits);
    return is_hex ? STOQ_OK : STOQ_MALFORMED;
}
