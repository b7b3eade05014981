#ifndef STOQ_DAEMON_INGEST_INTERNAL_H
#define STOQ_DAEMON_INGEST_INTERNAL_H
/* An ingest under way: ingest.c is the ring and what the caller does, ingest_cut.c cuts, ingest_work.c
 * hashes and stores, and shows the bytes to followers. */
#include "daemon/ingest.h"

#include <pthread.h>

#include "os/workers.h"

/* A block begins with room for what the one before left uncut, which is shorter than the longest chunk. */
#define BLOCK_HEAD ((size_t)STOQ_MERKLE_CHUNK_BYTES_MAX)
#define BLOCK_BYTES (BLOCK_HEAD + STOQ_INGEST_ROOM_MAX)

/* Something that happens at a place in a block. */
struct event {
    size_t at;
    uint64_t value;
};

struct events {
    struct event *v;
    size_t n;
    size_t cap;
};

/* Places in a block are counted from `bytes` on. The caller fills it, then the cutter has it, then a worker
 * and the followers side by side. */
struct block {
    struct stoq_job job;
    struct stoq_ingest *in;
    uint8_t *bytes;
    /* by the caller */
    size_t filled;
    struct events ends;       /* of runs */
    struct events marks;      /* for followers */
    struct stoq_pieces fresh; /* where the bytes from BLOCK_HEAD on come from, with a keeper */
    /* by the cutter */
    size_t begin; /* what was left uncut lies from here to BLOCK_HEAD */
    size_t cut;
    struct stoq_merkle_chunk *chunks; /* lengths by the cutter, hashes by the worker */
    size_t chunk_count;
    size_t chunk_cap;
    struct stoq_pieces pieces; /* of all bytes from begin on */
    /* under the lock */
    unsigned pending; /* worker and followers that are not done with it */
};

struct follower {
    struct stoq_ingest_follower to;
    struct stoq_ingest *in;
    pthread_t thread;
};

struct stoq_ingest {
    struct stoq_store *store;
    struct stoq_chunker chunker;
    struct stoq_chunk_sink sink;
    struct stoq_keeper keeper;    /* keep NULL: none */
    struct stoq_workers *workers; /* NULL: one thread, and no cutter */
    struct block *blocks;
    size_t block_count;
    /* the caller's own */
    uint64_t first;  /* oldest block not retired; block n is blocks[n % block_count] */
    uint64_t next;   /* the one being filled */
    uint64_t source; /* of what is being filled, and where in it */
    uint64_t source_offset;
    /* the cutter's own: what the last block left uncut */
    uint8_t *rest;
    size_t rest_bytes;
    struct stoq_pieces rest_pieces;
    pthread_t cutter;
    bool has_cutter;
    struct follower followers[STOQ_INGEST_FOLLOWERS_MAX];
    unsigned follower_count;
    pthread_mutex_t lock;
    pthread_cond_t done;   /* somebody is done with a block */
    pthread_cond_t handed; /* a block was handed over, or it is time to stop */
    /* Under the lock: */
    uint64_t handed_count; /* blocks that the caller has handed over */
    bool stop;
    struct stoq_ingest_counts counts;
    struct stoq_error failed; /* status STOQ_OK: nothing has */
};

static inline struct block *block_at(struct stoq_ingest *in, uint64_t n)
{
    return &in->blocks[n % in->block_count];
}

/* Keep the first failure, from any thread. */
void ingest_fail(struct stoq_ingest *in, const struct stoq_error *err);
enum stoq_status ingest_failure(struct stoq_ingest *in, struct stoq_error *err);

/* Cut the block that follows the one cut last. */
void ingest_cut(struct stoq_ingest *in, struct block *b);
/* Hash and store its chunks; a worker is done with it then. */
void ingest_work(struct block *b);
/* Show its bytes and marks to a follower. */
void ingest_show(const struct follower *f, const struct block *b);
/* The worker or a follower is done with it. */
void ingest_done(struct block *b);

#endif
