#ifndef STOQ_DAEMON_NAMES_H
#define STOQ_DAEMON_NAMES_H
/* Warnings about the names of a tree that is being published. */
#include "os/tree_read.h"

/*
 * Tell of every pair of names that a file system which ignores case takes for one.
 *
 * warning  one sentence each, that names both; NULL: none
 * strict   refuse at the first pair instead
 * count    pairs found, or 1 when refused
 *
 * STOQ_OK
 * STOQ_MALFORMED  strict, and there is one (NamesCollide)
 * STOQ_NOMEM
 */
STOQ_WARN_UNUSED enum stoq_status stoq_names_check(const struct stoq_tree *tree, bool strict,
                                                   void (*warning)(void *user, const char *text),
                                                   void *user, uint64_t *count,
                                                   struct stoq_error *err);

#endif
