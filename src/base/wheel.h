#ifndef STOQ_BASE_WHEEL_H
#define STOQ_BASE_WHEEL_H
/*
 * A timing wheel: events come out in the order of (at, to, from, seq), whatever order they went in. No
 * pointer takes part in that order, so the same events give the same sequence on every machine.
 */
#include "base/bytes.h"

/* One event, 32 bytes. kind and what are the owner's. Keys should be distinct: equal ones come out in
 * an order that depends on what else is in. */
struct stoq_wheel_event {
    stoq_ns at;
    uint32_t to;
    uint32_t from;
    uint64_t seq;
    uint32_t kind;
    uint32_t what;
};

struct stoq_wheel;

/* STOQ_OK, STOQ_NOMEM. Time begins at 0. */
STOQ_WARN_UNUSED enum stoq_status stoq_wheel_new(struct stoq_wheel **out);
void stoq_wheel_free(struct stoq_wheel *w); /* NULL is fine */
/*
 * Put an event in; at must not lie before the event that was popped last (asserted), and not be
 * STOQ_NEVER.
 *
 * STOQ_OK, STOQ_NOMEM (not taken in).
 */
STOQ_WARN_UNUSED enum stoq_status stoq_wheel_put(struct stoq_wheel *w, struct stoq_wheel_event ev);
/* The next event; false: there is none. */
bool stoq_wheel_pop(struct stoq_wheel *w, struct stoq_wheel_event *out);
size_t stoq_wheel_count(const struct stoq_wheel *w);

#endif
