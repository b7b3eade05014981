#ifndef STOQ_CRASH_CHECK_H
#define STOQ_CRASH_CHECK_H
/* Is a store, as a crash left it, what it promised to be? */
#include "keys.h"
#include "state.h"

#define CRASH_SEGMENT_BYTES (64 * STOQ_KIB)
#define CRASH_MAP_BYTES (8 * STOQ_MIB)

/*
 * Read the segments with the independent reader; open the store, which recovers; ask for each key
 * and read what it has; put a chunk, sync, close; read the segments again. With rebuild, make the
 * index anew, ask once more, collect what is dead, and ask again.
 *
 * false: *why says which promise is broken.
 */
bool crash_check(const struct crash_keys *keys, const char *dir,
                 const enum crash_expect expect[CRASH_KEYS], bool rebuild, char why[512]);

#endif
