#include "sim/pool.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_ITEMS 1024u

void *sim_alloc(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);
    STOQ_ASSERT(p != NULL);
    return p;
}

void sim_pool_init(struct sim_pool *pool, size_t size)
{
    STOQ_ASSERT(size >= sizeof(uint32_t));
    *pool = (struct sim_pool){.size = (size + 7) & ~(size_t)7, .spare = SIM_NONE};
}

void sim_pool_release(struct sim_pool *pool)
{
    for (uint32_t i = 0; i < pool->block_count; i++) {
        free(pool->blocks[i]);
    }
    free(pool->blocks);
}

void *sim_pool_at(const struct sim_pool *pool, uint32_t handle)
{
    STOQ_ASSERT(handle < pool->count);
    return pool->blocks[handle / BLOCK_ITEMS] + (size_t)(handle % BLOCK_ITEMS) * pool->size;
}

uint32_t sim_pool_take(struct sim_pool *pool)
{
    uint32_t handle = pool->spare;
    if (handle == SIM_NONE) {
        handle = pool->count++;
        if (handle % BLOCK_ITEMS == 0) {
            pool->blocks = realloc(pool->blocks, (pool->block_count + 1) * sizeof *pool->blocks);
            STOQ_ASSERT(pool->blocks != NULL);
            pool->blocks[pool->block_count++] = sim_alloc(BLOCK_ITEMS, pool->size);
        }
    } else {
        memcpy(&pool->spare, sim_pool_at(pool, handle), sizeof pool->spare);
    }
    pool->used++;
    memset(sim_pool_at(pool, handle), 0, pool->size);
    return handle;
}

void sim_pool_give(struct sim_pool *pool, uint32_t handle)
{
    memcpy(sim_pool_at(pool, handle), &pool->spare, sizeof pool->spare);
    pool->spare = handle;
    pool->used--;
}
