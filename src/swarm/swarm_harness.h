#ifndef STOQ_SWARM_SWARM_HARNESS_H
#define STOQ_SWARM_SWARM_HARNESS_H
/* One swarm, fed by hand, for the tests of this folder. All chunks have CHUNK bytes. */
#include "swarm/swarm_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHUNK 65536u

struct stoq_swarm *new_swarm(enum stoq_swarm_strategy strategy);
/* Events, all at time 1 but the last three. */
enum stoq_status add(struct stoq_swarm *sw, uint64_t first, uint32_t count, const uint8_t *have);
enum stoq_status add_peer(struct stoq_swarm *sw, stoq_peer peer, bool partial);
enum stoq_status simple(struct stoq_swarm *sw, enum stoq_swarm_event_kind kind);
/* Of peer 3, where that matters. */
enum stoq_status chunk(struct stoq_swarm *sw, enum stoq_swarm_event_kind kind,
                       stoq_swarm_cookie cookie, uint64_t index, stoq_ns now);
enum stoq_status ended(struct stoq_swarm *sw, stoq_swarm_cookie cookie, enum stoq_status status,
                       stoq_ns now);
enum stoq_status progress(struct stoq_swarm *sw, stoq_swarm_cookie cookie, uint64_t bytes,
                          stoq_ns now);
/* Poll for an action of this kind, passing over NEED_MORE. */
struct stoq_swarm_action expect(struct stoq_swarm *sw, enum stoq_swarm_action_kind kind,
                                stoq_ns now);

#endif
