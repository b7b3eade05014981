#ifndef STOQ_OS_FEED_H
#define STOQ_OS_FEED_H
/*
 * A descriptor's bytes handed to another process of the same user, through a private Unix socket: how
 * a command's standard input reaches the daemon. Every piece says how long it is and the last one says
 * that it is the last, so that a giver who dies is never taken for one who is done.
 */
#include "base/bytes.h"

/* The giver: a thread that waits for one taker and copies to it until the descriptor ends. */
struct stoq_feed;

/*
 * Listen at path (mode 0600, only our own user is served) and give what fd reads.
 *
 * fd  kept until free; not closed
 *
 * STOQ_OK; STOQ_BUSY, STOQ_IO, STOQ_RANGE, STOQ_NOTFOUND as stoq_unix_listen; STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_feed_new(struct stoq_feed **out, const char *path, int fd,
                                                struct stoq_error *err);
/* Stop giving, whatever is under way, and remove the socket. NULL is fine. */
void stoq_feed_free(struct stoq_feed *feed);

/* The taker. One thread at a time. */
struct stoq_intake {
    int fd;
    uint32_t left; /* of the piece under way */
    bool at_end;
};

/* STOQ_OK; STOQ_NOTFOUND: nobody gives there; STOQ_IO: also a giver of another user; STOQ_RANGE. */
STOQ_WARN_UNUSED enum stoq_status stoq_intake_open(struct stoq_intake *in, const char *path,
                                                   struct stoq_error *err);
void stoq_intake_close(struct stoq_intake *in);

/*
 * Some of the next bytes: *got is 1 .. n, or 0 at the end.
 *
 * cancelled  asked about ten times a second while nothing comes; NULL: never
 *
 * STOQ_OK
 * STOQ_TRUNC      the giver went away before its end
 * STOQ_IO         reading failed, here or at the giver
 * STOQ_MALFORMED  no giver of ours
 * STOQ_CANCELLED
 */
STOQ_WARN_UNUSED enum stoq_status stoq_intake_read(struct stoq_intake *in, void *p, size_t n,
                                                   size_t *got, bool (*cancelled)(void *user),
                                                   void *user, struct stoq_error *err);

#endif
