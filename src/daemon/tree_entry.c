#include "daemon/tree_entry.h"

struct stoq_entry stoq_tree_table_entry(const struct stoq_tree_entry *e)
{
    static const enum stoq_entry_kind kinds[] = {
        [STOQ_TREE_FILE] = STOQ_ENTRY_FILE,
        [STOQ_TREE_EXECUTABLE] = STOQ_ENTRY_EXECUTABLE,
        [STOQ_TREE_DIRECTORY] = STOQ_ENTRY_DIRECTORY,
        [STOQ_TREE_LINK] = STOQ_ENTRY_LINK,
    };
    return (struct stoq_entry){e->path, kinds[e->kind], e->size, e->target};
}
