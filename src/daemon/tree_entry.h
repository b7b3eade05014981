#ifndef STOQ_DAEMON_TREE_ENTRY_H
#define STOQ_DAEMON_TREE_ENTRY_H
/* An entry of a listing as the file table writes it. */
#include "os/tree_read.h"
#include "package/table.h"

/* The bytes stay the listing's. */
struct stoq_entry stoq_tree_table_entry(const struct stoq_tree_entry *e);

#endif
