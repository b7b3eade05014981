#ifndef STOQ_CHUNK_GEAR_H
#define STOQ_CHUNK_GEAR_H
/* The numbers that the rolling hash adds per byte value. Internal to the module. */
#include "base/bytes.h"

extern const uint64_t stoq_gear[256];
extern const uint64_t stoq_gear_shifted[256]; /* each shifted left by one, for a pair's first byte */

#endif
