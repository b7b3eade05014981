#ifndef STOQ_CRASH_STATE_H
#define STOQ_CRASH_STATE_H
/* What a disk may hold after a crash: the first operations of a log, those that no sync covers
 * applied or not. */
#include "log.h"

/*
 * Make in dir, an empty folder, the files as a power cut after the first prefix operations may
 * leave them. Everything that a sync had covered is there. Of the rest:
 *
 *   variant 0  nothing           1  everything
 *           2  everything, the last write torn at a multiple of 512 bytes
 *           3  every name and size, no bytes
 *           from 4 on, in turn: one operation lacks; one alone is there; a random subset, its
 *           writes whole, torn, with sectors missing or as size alone
 *
 * The same log, prefix, variant and seed give the same files. false: errno.
 */
bool crash_state_make(const struct crash_log *log, uint32_t prefix, uint32_t variant, uint64_t seed,
                      const char *dir);

enum crash_expect { CRASH_ANY, CRASH_PRESENT, CRASH_ABSENT };
/* What must be true of each key then. */
void crash_state_expect(const struct crash_log *log, uint32_t prefix,
                        enum crash_expect out[CRASH_KEYS]);

#endif
