#ifndef STOQ_DAEMON_PIECES_H
#define STOQ_DAEMON_PIECES_H
/*
 * Where the bytes of a buffer come from: stretches of sources that the caller numbers. Not thread-safe.
 */
#include "base/bytes.h"

struct stoq_piece {
    uint64_t source;
    uint64_t offset; /* in the source */
    uint64_t bytes;
};

struct stoq_pieces {
    struct stoq_placed {
        size_t at; /* in the buffer */
        struct stoq_piece piece;
    } * v;
    size_t n;
    size_t cap;
};

void stoq_pieces_init(struct stoq_pieces *ps);
void stoq_pieces_release(struct stoq_pieces *ps);
void stoq_pieces_clear(struct stoq_pieces *ps);

/* The buffer's bytes from `at` on are this piece; at least the end of the one before, which it may
 * continue. STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pieces_add(struct stoq_pieces *ps, size_t at,
                                                  struct stoq_piece piece);

/* What of the pieces lies at `from` and behind, into an empty one, counted from there. STOQ_OK,
 * STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_pieces_move_on(const struct stoq_pieces *ps, size_t from,
                                                      struct stoq_pieces *out);

/*
 * The pieces that the n bytes at `at` are made of.
 *
 * first  where to look from; set to where the bytes behind should be looked for; 0 at the start
 * out    has room for ps->n
 *
 * Their number; 0: not all of these bytes come from a source.
 */
size_t stoq_pieces_of(const struct stoq_pieces *ps, size_t at, size_t n, size_t *first,
                      struct stoq_piece *out);

#endif
