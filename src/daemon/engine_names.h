#ifndef STOQ_DAEMON_ENGINE_NAMES_H
#define STOQ_DAEMON_ENGINE_NAMES_H
/* Release pointers as operations ask peers for them: whoever is connected, neighbours, and those named. */
#include "daemon/engine.h"

struct stoq_names_ask {
    struct stoq_hash key;                    /* lookup key of the name */
    const struct stoq_fetch_source *sources; /* to be dialled, too */
    size_t source_count;
    bool lan; /* neighbours, too */
    stoq_ns timeout_ns;
    /* On the caller's thread: what a peer said, sealed; borrowed. */
    void (*found)(void *user, struct stoq_span sealed);
    bool (*cancelled)(void *user);
    void *user;
};

/* One that is under way. */
struct stoq_names;

/* Begin to ask; ask is kept until stoq_names_end, which must follow. Any thread but the network's.
 * STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_names_begin(struct stoq_engine *engine,
                                                   const struct stoq_names_ask *ask,
                                                   struct stoq_names **out);
/* Wait until all have answered, or the time is over, and tell what came. STOQ_OK; STOQ_CANCELLED. NULL is
 * STOQ_OK. */
enum stoq_status stoq_names_end(struct stoq_names *names);

#endif
