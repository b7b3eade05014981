#ifndef STOQ_APPS_STOQ_CMD_MERKLE_H
#define STOQ_APPS_STOQ_CMD_MERKLE_H
/* The parts of `stoq merkle`: one pass over an input, and the three things it can do. */
#include "commands.h"
#include "cut.h"
#include "merkle/proof.h"

/* What one pass collects. */
struct pass {
    bool proving;               /* collect what a proof of `index` needs */
    uint64_t index;             /* of a chunk */
    struct stoq_buf shard_list; /* only when proving */
    struct stoq_buf chunk_list; /* of the shard that holds the chunk */
    struct stoq_merkle_root root;
};

/* Cut, hash and build the tree of an input. STOQ_OK, and as cut_open and cut_next. Released always. */
STOQ_WARN_UNUSED enum stoq_status pass_run(struct pass *p, const char *path,
                                           const struct stoq_chunk_params *params,
                                           struct stoq_error *err);
void pass_release(struct pass *p);

int merkle_root(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params);
int merkle_prove(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params);
int merkle_verify(struct cmd *cmd, const char *path, const struct stoq_chunk_params *params);

#endif
