#ifndef STOQ_CRASH_READER_H
#define STOQ_CRASH_READER_H
/* A reader of segments from docs/FORMATS.md section 9, without a line of the store's. */
#include "keys.h"
#include "state.h"

/* What the segments below dir/segments say of each key: its newest record is a chunk with the right
 * bytes, or it is deleted or not there. A wrong chunk counts as not there. false: errno. */
bool crash_reader_run(const struct crash_keys *keys, const char *dir,
                      enum crash_expect out[CRASH_KEYS]);

#endif
