#ifndef STOQ_BASE_FIXED_H
#define STOQ_BASE_FIXED_H
/*
 * Fractions in 2^-32 parts, for decisions: the same bits from every compiler and machine.
 */
#include "base/bytes.h"

#define STOQ_Q32_ONE ((uint64_t)1 << 32)

/* v * fraction, rounded down; fraction at most one. */
uint64_t stoq_q32_mul(uint64_t v, uint64_t fraction);
/* a / b as a fraction, rounded down; 0 <= a <= b, 0 < b < 2^63. */
uint64_t stoq_q32_div(uint64_t a, uint64_t b);
/* Of a fraction below one, rounded down. */
uint64_t stoq_q32_sqrt(uint64_t fraction);
/* 2^-(t / half_life); off by at most 2^-27. */
uint64_t stoq_q32_decay(uint64_t t, uint64_t half_life);

#endif
