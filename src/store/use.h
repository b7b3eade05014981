#ifndef STOQ_STORE_USE_H
#define STOQ_STORE_USE_H
/*
 * Who is using what: a count for each package or content that somebody reads or serves, and when it was
 * last used. In memory, since the store was opened. Any thread.
 */
#include "store/store.h"

/* Somebody begins to use what this key stands for (at most 33 bytes). Waits while it is being given up, some
 * milliseconds; then it is no longer there to be found. STOQ_OK; STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_store_use_begin(struct stoq_store *s, struct stoq_span key);
void stoq_store_use_end(struct stoq_store *s, struct stoq_span key);
/* When its use last ended, seconds since 1970, UINT64_MAX while it lasts; 0: not since the store was
 * opened. */
uint64_t stoq_store_last_use(struct stoq_store *s, struct stoq_span key);

/* Give something up: until stoq_store_give_up_end nobody begins to use it. False: somebody is using it. */
bool stoq_store_give_up_begin(struct stoq_store *s, struct stoq_span key);
void stoq_store_give_up_end(struct stoq_store *s, struct stoq_span key);

#endif
