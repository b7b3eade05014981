/*
 * A half-life's fraction of a power of two is a product over the bits of the exponent: the table holds
 * 2^-(2^-k) for k = 1 .. 32, each rounded to 2^-32. Division and square root go bit by bit, so that
 * no intermediate value needs more than 64 bits.
 */
#include "base/fixed.h"

static const uint32_t root_of_half[32] = {
    3037000500u, 3611622603u, 3938502376u, 4112874773u, 4202935003u, 4248701965u, 4271771996u,
    4283353945u, 4289156690u, 4292061010u, 4293513907u, 4294240540u, 4294603903u, 4294785595u,
    4294876445u, 4294921870u, 4294944583u, 4294955939u, 4294961618u, 4294964457u, 4294965876u,
    4294966586u, 4294966941u, 4294967119u, 4294967207u, 4294967252u, 4294967274u, 4294967285u,
    4294967290u, 4294967293u, 4294967295u, 4294967295u,
};

uint64_t stoq_q32_mul(uint64_t v, uint64_t fraction)
{
    STOQ_ASSERT(fraction <= STOQ_Q32_ONE);
    if (fraction == STOQ_Q32_ONE) {
        return v;
    }
    return (v >> 32) * fraction + (((v & UINT32_MAX) * fraction) >> 32);
}

uint64_t stoq_q32_div(uint64_t a, uint64_t b)
{
    STOQ_ASSERT(b > 0 && b >> 63 == 0 && a <= b);
    uint64_t q = a == b;
    uint64_t rest = a == b ? 0 : a;
    for (int i = 0; i < 32; i++) {
        rest <<= 1;
        q <<= 1;
        if (rest >= b) {
            rest -= b;
            q |= 1;
        }
    }
    return q;
}

uint64_t stoq_q32_sqrt(uint64_t fraction)
{
    STOQ_ASSERT(fraction < STOQ_Q32_ONE);
    uint64_t square = fraction << 32;
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit > 0; bit >>= 1) {
        uint64_t next = root | bit;
        if (next * next <= square) {
            root = next;
        }
    }
    return root;
}

uint64_t stoq_q32_decay(uint64_t t, uint64_t half_life)
{
    STOQ_ASSERT(half_life > 0 && half_life >> 63 == 0);
    uint64_t whole = t / half_life;
    if (whole >= 32) {
        return 0;
    }
    uint64_t exponent = stoq_q32_div(t % half_life, half_life);
    uint64_t out = STOQ_Q32_ONE;
    for (int k = 0; k < 32; k++) {
        if ((exponent >> (31 - k) & 1) != 0) {
            out = stoq_q32_mul(out, root_of_half[k]);
        }
    }
    return out >> whole;
}
