#ifndef STOQ_DAEMON_RESOLVE_H
#define STOQ_DAEMON_RESOLVE_H
/* Names of releases, `key1.../NAME[@VERSION]`, and which package they stand for. */
#include "daemon/host.h"
#include "daemon/pointers.h"

/* Is this text a name of a release, and no id? */
bool stoq_name_is(const char *text);

/* Read one; name's spans are borrowed from text. STOQ_OK; STOQ_RANGE (InvalidId): the sentence says what is
 * wrong. */
STOQ_WARN_UNUSED enum stoq_status stoq_name_parse(struct stoq_pointer_name *out, const char *text,
                                                  struct stoq_error *err);

struct stoq_resolve_ask {
    const char *name;
    const struct stoq_fetch_source *sources; /* asked besides those who are connected */
    size_t source_count;
    bool lan; /* and neighbours */
    bool dht; /* and the DHT */
    bool (*cancelled)(void *user);
    void *user;
};

/*
 * Find the newest pointer that its publisher signed for a name: all who may know are asked side by side, for
 * 3 s at most, and the store knows what was seen before. What is found is kept there.
 *
 * STOQ_OK         *out is it
 * STOQ_NOTFOUND   nobody knows one (ContentNotFound)
 * STOQ_RANGE      no name (InvalidId)
 * STOQ_CANCELLED, STOQ_NOMEM, what the store gives
 */
STOQ_WARN_UNUSED enum stoq_status stoq_resolve(struct stoq_host *host,
                                               const struct stoq_resolve_ask *ask,
                                               struct stoq_pointer_kept *out,
                                               struct stoq_error *err);

#endif
