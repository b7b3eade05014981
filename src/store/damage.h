#ifndef STOQ_STORE_DAMAGE_H
#define STOQ_STORE_DAMAGE_H
/* Damaged stretches of one segment, and what the index promises of them. */
#include "store/store_internal.h"

/* More are joined to the last one: then a few whole records are read again for nothing. */
#define STOQ_DAMAGE_STRETCHES_MAX 256

struct stoq_damage {
    uint32_t segment;
    size_t count;
    struct stoq_stretch {
        uint64_t from;
        uint64_t to;
        bool needed; /* set by stoq_damage_each */
    } stretch[STOQ_DAMAGE_STRETCHES_MAX];
};

/* In order of their offsets. */
void stoq_damage_add(struct stoq_damage *d, uint64_t offset, uint64_t bytes);

/* Is the record whole on the disk itself, read by itself? A reader from the segment's start may not have
 * believed it, for what lies before it is damaged (scan.c). fd is the segment's, -1: there is none.
 * STOQ_OK, STOQ_NOMEM. */
STOQ_WARN_UNUSED enum stoq_status stoq_damage_is_whole(int fd, struct stoq_codec *codec,
                                                       const struct stoq_entry *e, bool *whole);

/*
 * Call each for every entry of the index that lies in one of the stretches, tombstones and what is in
 * quarantine included; a failure of it ends the walk. *is_whole false: the stretch is needed.
 *
 * stop  asked now and then; NULL: never
 *
 * STOQ_OK, STOQ_CANCELLED, STOQ_IO, STOQ_NOMEM, and what each returned
 * Cost: a walk through the whole index.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_damage_each(
    struct stoq_store *s, struct stoq_damage *d,
    enum stoq_status (*each)(void *user, const struct stoq_entry *e, bool *is_whole,
                             struct stoq_error *err),
    bool (*stop)(void *user), void *user, struct stoq_error *err);

#endif
