#ifndef STOQ_CHUNK_GEAR_H
#define STOQ_CHUNK_GEAR_H
/*
 * The numbers that the rolling hash adds, one per byte value. The shifted ones are the same, shifted
 * left by one: a pair's first byte takes them. Internal to the module.
 */
#include "base/bytes.h"

extern const uint64_t stoq_gear[256];
extern const uint64_t stoq_gear_shifted[256];

#endif
