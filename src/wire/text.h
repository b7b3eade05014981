#ifndef STOQ_WIRE_TEXT_H
#define STOQ_WIRE_TEXT_H
/*
 * Text rules shared by the decoders.
 */
#include "base/bytes.h"

/* True when s is well-formed UTF-8 (RFC 3629): shortest forms, no surrogates, nothing past
 * U+10FFFF. The empty span is; NUL and control characters are. No allocation. Any thread. */
bool stoq_utf8_valid(struct stoq_span s);

#endif
