#include "chunk/fastcdc.h"

#include "chunk/gear.h"

/*
 * A gear hash rolls over the bytes: each byte shifts it left by one and adds a table entry, so a byte
 * is forgotten after 64 more. A cut falls where the bits of a mask are all zero. Two masks pull the
 * lengths towards the average: a strict one (more bits) before it, a loose one (fewer bits) after it.
 *
 *     0          min             avg                                max
 *     |- skipped -|- strict mask -|------------ loose mask ----------|- cut at the latest
 *
 * Bytes are taken in pairs, which costs one shift for two of them: the first byte's entry comes from a
 * table shifted by one already and is tested against the mask shifted by one. Tried and left out, on
 * random data at profile 1's sizes (the plain loop: 1.95 GB/s): four pairs from one eight-byte load
 * (2.0), two lanes half a kilobyte apart (1.8 with gcc, 2.2 with clang). The gain is not worth a
 * second algorithm.
 */

#define ROW_FIRST 5
#define ROW_LAST 25

/* Masks by row, where a row is a number of bits of the wanted distance between cuts. */
static const uint64_t mask_rows[ROW_LAST - ROW_FIRST + 1] = {
    0x0000000001804110, 0x0000000001803110, 0x0000000018035100, 0x0000001800035300,
    0x0000019000353000, 0x0000590003530000, 0x0000d90003530000, 0x0000d90103530000,
    0x0000d90303530000, 0x0000d90313530000, 0x0000d90f03530000, 0x0000d90303537000,
    0x0000d90703537000, 0x0000d90707537000, 0x0000d91707537000, 0x0000d91747537000,
    0x0000d91767537000, 0x0000d93767537000, 0x0000d93777537000, 0x0000d93777577000,
    0x0000db3777577000,
};

static uint64_t mask_of_row(uint32_t row)
{
    STOQ_ASSERT(row >= ROW_FIRST && row <= ROW_LAST);
    return mask_rows[row - ROW_FIRST];
}

/* round(log2(v)) without floating point: v lies past the middle of two powers, 2^(l + 1/2), exactly
 * when v squared is over 2^(2l + 1); equality cannot be. */
static uint32_t log2_rounded(uint32_t v)
{
    uint32_t l = 31u - (uint32_t)__builtin_clz(v);
    uint64_t square = (uint64_t)v * v;
    return square >> (2 * l + 1) != 0 ? l + 1 : l;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

enum stoq_status stoq_chunk_params_check(const struct stoq_chunk_params *params,
                                         struct stoq_chunk_fault *out)
{
    const struct stoq_chunk_fault want[] = {
        {"min", params->min, STOQ_CHUNK_MIN_LO, STOQ_CHUNK_MIN_HI},
        {"avg", params->avg, larger(STOQ_CHUNK_AVG_LO, params->min), STOQ_CHUNK_AVG_HI},
        {"max", params->max, larger(STOQ_CHUNK_MAX_LO, params->avg), STOQ_CHUNK_MAX_HI},
        {"norm", params->level, 0, STOQ_CHUNK_LEVEL_HI},
    };
    for (size_t i = 0; i < STOQ_COUNT(want); i++) {
        if (want[i].value < want[i].lo || want[i].value > want[i].hi) {
            if (out != NULL) {
                *out = want[i];
            }
            return STOQ_RANGE;
        }
    }
    return STOQ_OK;
}

enum stoq_status stoq_chunker_init(struct stoq_chunker *c, const struct stoq_chunk_params *params)
{
    enum stoq_status st = stoq_chunk_params_check(params, NULL);
    if (st != STOQ_OK) {
        return st;
    }
    uint32_t row = log2_rounded(params->avg);
    *c = (struct stoq_chunker){
        .params = *params,
        .mask_strict = mask_of_row(row + params->level),
        .mask_loose = mask_of_row(row - params->level),
        .gear = stoq_gear,
        .gear_shifted = stoq_gear_shifted,
    };
    return STOQ_OK;
}

void stoq_gear_init(struct stoq_gear *g, const uint8_t numbers[STOQ_GEAR_BYTES])
{
    for (size_t i = 0; i < STOQ_COUNT(g->plain); i++) {
        g->plain[i] = stoq_le64(numbers + 8 * i);
        g->shifted[i] = g->plain[i] << 1;
    }
}

void stoq_chunker_set_gear(struct stoq_chunker *c, const struct stoq_gear *gear)
{
    c->gear = gear->plain;
    c->gear_shifted = gear->shifted;
}

/* Roll over pairs i .. end - 1 of p. Returns the cut, or 0 when no pair has one; *hash goes on. */
static size_t scan(const struct stoq_chunker *c, const uint8_t *p, size_t i, size_t end,
                   uint64_t mask, uint64_t *hash)
{
    const uint64_t *gear = c->gear;
    const uint64_t *gear_shifted = c->gear_shifted;
    uint64_t mask_first = mask << 1;
    uint64_t h = *hash;
    for (; i < end; i++) {
        h = (h << 2) + gear_shifted[p[2 * i]];
        if ((h & mask_first) == 0) {
            return 2 * i;
        }
        h += gear[p[2 * i + 1]];
        if ((h & mask) == 0) {
            return 2 * i + 1;
        }
    }
    *hash = h;
    return 0;
}

size_t stoq_chunker_cut(const struct stoq_chunker *c, struct stoq_span data, bool last)
{
    if (data.n < c->params.max && !last) {
        return 0;
    }
    if (data.n <= c->params.min) {
        return data.n;
    }
    size_t size = data.n < c->params.max ? data.n : c->params.max;
    size_t centre = c->params.avg < size ? c->params.avg : size;
    uint64_t hash = 0;
    size_t cut = scan(c, data.p, c->params.min / 2, centre / 2, c->mask_strict, &hash);
    if (cut == 0) {
        cut = scan(c, data.p, centre / 2, size / 2, c->mask_loose, &hash);
    }
    return cut != 0 ? cut : size;
}
