#ifndef STOQ_WIRE_BECH32M_INTERNAL_H
#define STOQ_WIRE_BECH32M_INTERNAL_H
/*
 * BIP 350 itself, below our ids: any prefix, any symbols. For bech32m.c and for its tests, which
 * run the BIP's own vectors.
 */
#include "base/bytes.h"

#define STOQ_BECH32M_TEXT_MAX 90
#define STOQ_BECH32M_CHECKSUM 6

/* A decoded text: hrp_n characters before the separator, symbols of 5 bits with the checksum. */
struct stoq_bech32m {
    size_t hrp_n;
    size_t symbol_count;
    uint8_t symbol[STOQ_BECH32M_TEXT_MAX];
};

/* False for whatever BIP 350 calls invalid. */
bool stoq_bech32m_decode(struct stoq_bech32m *out, struct stoq_span text);

#endif
