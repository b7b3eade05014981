#ifndef STOQ_STORE_TOUCH_H
#define STOQ_STORE_TOUCH_H
/*
 * What those who add content have asked for or put: a collection must not delete it, though nothing
 * refers to it yet. A filter of bits: it may say yes of what nobody touched (that stays until the next
 * collection), never no of what somebody did.
 *
 * Bits are kept from the beginning of every addition until it has ended and no collection is running.
 * Any thread.
 */
#include "base/bytes.h"

#include <pthread.h>
#include <stdatomic.h>

struct stoq_touch {
    pthread_mutex_t lock;
    _Atomic bool active; /* somebody adds or collects */
    _Atomic bool blind;  /* no memory for the bits: everything counts as touched */
    _Atomic unsigned current;
    _Atomic(_Atomic uint64_t *) bits[2];
    uint64_t adding[2]; /* additions that began under each; lock */
    unsigned collecting;
    bool old_in_use;          /* bits[!current] are still looked at */
    _Atomic uint64_t touched; /* since current began */
};

void stoq_touch_init(struct stoq_touch *t);
void stoq_touch_release(struct stoq_touch *t);

/* An addition begins; the number goes to its end. */
unsigned stoq_touch_add_begin(struct stoq_touch *t);
void stoq_touch_add_end(struct stoq_touch *t, unsigned number);
/* A collection begins and ends. */
void stoq_touch_collect_begin(struct stoq_touch *t);
void stoq_touch_collect_end(struct stoq_touch *t);

/* Somebody counts on this record from now on. To be called before it is looked for. */
void stoq_touch_mark(struct stoq_touch *t, uint8_t type, struct stoq_span key);
bool stoq_touch_was(struct stoq_touch *t, uint8_t type, struct stoq_span key);

#endif
