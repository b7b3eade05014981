#ifndef STOQ_PACKAGE_NAMES_H
#define STOQ_PACKAGE_NAMES_H
/*
 * Names that a file system which ignores case takes for one: two entries of the same directory whose
 * names differ only in the case of the letters A to Z. Other letters are compared as bytes: which of
 * them fold, and how, differs between file systems and their versions, and an id or a refusal must not
 * depend on a table that changes. Extraction notices whatever really collides.
 */
#include "base/bytes.h"

/*
 * Find them among all entries of a tree.
 *
 * count    entries, at most 2^32 - 1 (asserted)
 * path_at  the i-th path, as a file table has it; each path once
 * each     called for every entry that collides, with the first of its kind; in order of `other`
 *
 * STOQ_OK; STOQ_NOMEM: each was not called. Cost: one hash per entry, 16 to 32 bytes of memory each.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_names_collide(
    size_t count, struct stoq_span (*path_at)(void *user, size_t i),
    void (*each)(void *user, size_t first, size_t other), void *user);

#endif
