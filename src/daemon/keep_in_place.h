#ifndef STOQ_DAEMON_KEEP_IN_PLACE_H
#define STOQ_DAEMON_KEEP_IN_PLACE_H
/*
 * The keeper of a publish in place: a chunk of the tree's files gets a record that says where it is
 * (store/place.h). The file table, chunks that are stored already, and those whose record would be long
 * beside them (many tiny files) are left to the store.
 */
#include "daemon/ingest.h"
#include "os/tree_read.h"

struct stoq_keep_in_place {
    struct stoq_store *store;
    const struct stoq_tree *tree; /* sources are its entries' numbers */
};

/* Both are kept as long as the ingest. */
struct stoq_keeper stoq_keep_in_place(struct stoq_keep_in_place *keep);

#endif
