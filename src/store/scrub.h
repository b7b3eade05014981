#ifndef STOQ_STORE_SCRUB_H
#define STOQ_STORE_SCRUB_H
/*
 * A scrub reads the whole store again, little by little: every segment in order, past the page cache
 * where the file system allows it; then every chunk that is in place; then whether each promise of the
 * index leads into a segment at all. What is damaged and promised is quarantined; what can be made good
 * here, from a copy in memory or since only a deletion was lost, is written anew.
 *
 * It has no clock and no thread: whoever calls stoq_scrub_step sets the pace. No lock of the store is
 * held while it reads. One scrub at a time per store; the store is open for writing.
 */
#include "store/store.h"

enum stoq_scrub_phase {
    STOQ_SCRUB_IDLE, /* no pass is under way */
    STOQ_SCRUB_SEGMENTS,
    STOQ_SCRUB_PLACES,
    STOQ_SCRUB_PROMISES,
};
/* "idle", "segments", ...; static storage. */
const char *stoq_scrub_phase_str(enum stoq_scrub_phase phase);

struct stoq_scrub_counts {
    uint64_t bytes;    /* read of segments and of files in place */
    uint64_t records;  /* whole ones, needed or not */
    uint64_t places;   /* chunks in place that were read */
    uint64_t damaged;  /* stretches of segments that are no whole record */
    uint64_t harmless; /* of these: nothing that is promised lies there */
    uint64_t lost;     /* promised records that cannot be had: in quarantine */
    uint64_t healed;   /* promised records that were made good again here */
};

/* Where a pass stands, and how the one before it ended: what the file `scrub` beside the segments keeps
 * (docs/FORMATS.md section 9.4). Zeroed: never scrubbed. */
struct stoq_scrub_state {
    uint64_t pass; /* number of the pass under way, or of the last one */
    enum stoq_scrub_phase phase;
    uint32_t segment; /* SEGMENTS: go on here */
    uint64_t offset;
    bool has_key; /* PLACES: go on behind this chunk */
    uint8_t key[32];
    uint64_t began_at;    /* seconds since 1970 */
    uint64_t finished_at; /* of the last whole pass; 0: none */
    struct stoq_scrub_counts counts;
    struct stoq_scrub_counts last; /* of the last whole pass */
};

/* STOQ_OK; STOQ_NOTFOUND: there is none, or it is damaged: *out is zeroed; STOQ_IO, STOQ_NOMEM. dir is
 * the store's. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_load(const char *dir, struct stoq_scrub_state *out,
                                                  struct stoq_error *err);
/* Whole or not at all. STOQ_OK, STOQ_IO, STOQ_FULL, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_save(const char *dir,
                                                  const struct stoq_scrub_state *state,
                                                  struct stoq_error *err);
/* Its bytes: appended to out, and read strictly. STOQ_MALFORMED, STOQ_TRUNC, STOQ_VERSION. */
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_state_encode(const struct stoq_scrub_state *state,
                                                          struct stoq_buf *out);
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_state_decode(struct stoq_span bytes,
                                                          struct stoq_scrub_state *out);

struct stoq_scrub_config {
    struct stoq_store *store; /* kept */
    /* A sentence for everything that is found, and whether it is lost now. NULL: none. */
    void (*found)(void *user, bool lost, const char *what);
    bool (*stop)(void *user); /* asked often; true: give up soon with STOQ_CANCELLED. NULL: never */
    void *user;
};

struct stoq_scrub;

/*
 * Begin, or go on from where state stands; a phase IDLE begins a new pass.
 *
 * state  kept, and kept up to date: it may be saved after each step
 *
 * STOQ_OK; STOQ_NOMEM; STOQ_RANGE: the store is open for reading only
 */
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_new(struct stoq_scrub **out,
                                                 const struct stoq_scrub_config *cfg,
                                                 struct stoq_scrub_state *state,
                                                 struct stoq_error *err);
void stoq_scrub_free(struct stoq_scrub *sc); /* NULL is fine */

/*
 * Read some bytes_max more, one record or chunk at least.
 *
 * done  the pass is complete: state->phase is IDLE, state->last its counts; finished_at is the caller's
 *
 * STOQ_OK; STOQ_CANCELLED; STOQ_IO, STOQ_NOMEM, STOQ_FULL: it could not; the same step may be tried again
 */
STOQ_WARN_UNUSED enum stoq_status stoq_scrub_step(struct stoq_scrub *sc, uint64_t bytes_max,
                                                  bool *done, struct stoq_error *err);

/* Bytes of segments that a whole pass would read now; chunks in place come on top. For progress; 0: not
 * known. */
uint64_t stoq_scrub_bytes_total(struct stoq_store *s);

#endif
