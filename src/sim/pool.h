#ifndef STOQ_SIM_POOL_H
#define STOQ_SIM_POOL_H
/*
 * Things of one size, named by 4-byte handles. They stay where they are; a handle that was given back
 * is the next to be taken, so the same calls give the same handles.
 */
#include "base/bytes.h"

#define SIM_NONE UINT32_MAX

struct sim_pool {
    size_t size;
    uint8_t **blocks;
    uint32_t block_count;
    uint32_t count; /* handles ever made */
    uint32_t used;
    uint32_t spare; /* first handle given back */
};

void sim_pool_init(struct sim_pool *pool, size_t size);
void sim_pool_release(struct sim_pool *pool);
/* Zeroed. */
uint32_t sim_pool_take(struct sim_pool *pool);
void sim_pool_give(struct sim_pool *pool, uint32_t handle);
void *sim_pool_at(const struct sim_pool *pool, uint32_t handle);

/* Zeroed memory; aborts when there is none. */
void *sim_alloc(size_t count, size_t size);

#endif
