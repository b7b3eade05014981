#include "store/mark.h"

#include "store/gc.h"

#include <string.h>
#include <sys/mman.h>

/* Open addressing stays short up to here. */
#define FULL (STOQ_MARK_SLOTS / 4 * 3)

enum stoq_status stoq_mark_init(struct stoq_mark *m)
{
    *m = (struct stoq_mark){.slot = NULL};
    void *p = mmap(NULL, STOQ_MARK_SLOTS * sizeof *m->slot, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    m->slot = p == MAP_FAILED ? NULL : p;
    return m->slot == NULL ? STOQ_NOMEM : STOQ_OK;
}

void stoq_mark_release(struct stoq_mark *m)
{
    if (m->slot != NULL) {
        (void)munmap(m->slot, STOQ_MARK_SLOTS * sizeof *m->slot);
        m->slot = NULL;
    }
}

void stoq_mark_begin(struct stoq_mark *m, uint64_t first, uint64_t last)
{
    if (m->count > 0) {
        (void)madvise(m->slot, STOQ_MARK_SLOTS * sizeof *m->slot, MADV_DONTNEED);
    }
    m->count = 0;
    m->first = first;
    m->last = last;
    m->is_full = false;
}

static uint64_t word_of(struct stoq_span key)
{
    uint64_t w = 0;
    STOQ_ASSERT(key.n >= 8);
    for (size_t i = 0; i < 8; i++) {
        w = w << 8 | key.p[i];
    }
    return w;
}

void stoq_mark_first_key(const struct stoq_mark *m, uint8_t out[8])
{
    for (size_t i = 0; i < 8; i++) {
        out[i] = (uint8_t)(m->first >> (56 - 8 * i));
    }
}

bool stoq_mark_in_range(const struct stoq_mark *m, struct stoq_span key)
{
    uint64_t w = word_of(key);
    return w >= m->first && w <= m->last;
}

/* Where the word is, or the free place for it. */
static size_t find(const struct stoq_mark *m, uint64_t w)
{
    size_t i = (size_t)((w * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % STOQ_MARK_SLOTS;
    while (m->slot[i] != 0 && m->slot[i] != w) {
        i = (i + 1) % STOQ_MARK_SLOTS;
    }
    return i;
}

void stoq_mark_add(struct stoq_mark *m, struct stoq_span key)
{
    if (m->is_full || !stoq_mark_in_range(m, key)) {
        return;
    }
    uint64_t w = word_of(key);
    w = w == 0 ? 1 : w;
    size_t i = find(m, w);
    if (m->slot[i] == w) {
        return;
    }
    m->is_full = m->count >= FULL;
    if (!m->is_full) {
        m->slot[i] = w;
        m->count++;
    }
}

bool stoq_mark_has(const struct stoq_mark *m, struct stoq_span key)
{
    uint64_t w = word_of(key);
    w = w == 0 ? 1 : w;
    return m->slot[find(m, w)] == w;
}
