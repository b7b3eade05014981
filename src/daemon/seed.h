#ifndef STOQ_DAEMON_SEED_H
#define STOQ_DAEMON_SEED_H
/*
 * A seed: files on this disk that are no package here, an older version unpacked, say. It is cut as a
 * publish would cut it and its chunks are remembered by hash; a fetch then takes those it needs from
 * here and asks nobody for them. Nothing of a seed is believed: what is taken is hashed again, so
 * files may change at any time and only lose their use.
 */
#include "base/bytes.h"
#include "merkle/merkle.h"

/* Chunks remembered, 16 bytes each; what is behind them in a longer seed goes unused. */
#define STOQ_SEED_CHUNKS_MAX ((size_t)1 << 21)
/* Of the seed's file table, kept in memory; a longer one goes unused. */
#define STOQ_SEED_TABLE_BYTES_MAX ((size_t)32 << 20)

struct stoq_seed;

struct stoq_seed_progress {
    uint64_t bytes_total;
    uint64_t bytes_done; /* cut and hashed */
};

struct stoq_seed_ask {
    const char *path; /* a directory or a regular file */
    unsigned profile; /* of the package wanted; 0: not known, then each there is in turn */
    /* Both are called on the caller's thread, about ten times a second. NULL: none. */
    void (*progress)(void *user, const struct stoq_seed_progress *p);
    bool (*cancelled)(void *user);
    void *user;
};

/*
 * Cut and hash a seed. It is held once then: stoq_seed_drop lets go of it.
 *
 * STOQ_OK
 * STOQ_NOTFOUND   nothing at path
 * STOQ_RANGE      neither a directory nor a file, or names that no package can hold
 * STOQ_IO         something in it cannot be listed
 * STOQ_CANCELLED, STOQ_NOMEM
 * The sentence begins with "the seed: ". Files that cannot be read are passed over.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_seed_open(struct stoq_seed **out,
                                                 const struct stoq_seed_ask *ask,
                                                 struct stoq_error *err);
/* Hold it once more; any thread. */
void stoq_seed_hold(struct stoq_seed *seed);
/* Let go; the last to do so frees it. Any thread; NULL is fine. */
void stoq_seed_drop(struct stoq_seed *seed);

/*
 * The bytes of a chunk, if the seed has them, into out, cleared first; their hash has been checked.
 * STOQ_OK; STOQ_NOTFOUND: not here, or no longer; STOQ_NOMEM. Any thread.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_seed_read(struct stoq_seed *seed,
                                                 const struct stoq_merkle_chunk *want,
                                                 struct stoq_buf *out);

#endif
