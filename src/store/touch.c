/*
 * The race this is for: an addition asks "is chunk X here?", hears yes, and will name X in a package's
 * list later; a collection, which found no list with X, deletes it in between. So the asking itself
 * leaves a mark, before the answer is looked up, and the collection looks at the mark under the lock
 * that orders all appends. Either the mark is there first, and X stays; or the tombstone is, and the
 * answer is no.
 *
 * Two generations of bits, so that a store that is always being added to does not fill its only one:
 * when a collection begins and the current bits are well used, they become the old ones. The old ones
 * can be forgotten once the additions that began under them have ended (their packages are recorded
 * then, and the next collection's marking finds them) and no collection runs that began before.
 */
#include "store/touch.h"

#include <string.h>
#include <sys/mman.h>

#include "hash/hash.h"

#define BITS ((uint64_t)1 << 26) /* 8 MiB: a million touches leave 0.1 % of the others in doubt */
#define BYTES ((size_t)(BITS / 8))
#define LINE_BITS                                                                                  \
    512 /* of a cache line: both bits of a record are in one, so in one page as well */
#define WELL_USED (BITS / 16)

void stoq_touch_init(struct stoq_touch *t)
{
    memset(t, 0, sizeof *t);
    (void)pthread_mutex_init(&t->lock, NULL);
}

void stoq_touch_release(struct stoq_touch *t)
{
    for (size_t i = 0; i < 2; i++) {
        _Atomic uint64_t *bits = atomic_load(&t->bits[i]);
        if (bits != NULL) {
            (void)munmap((void *)(uintptr_t)bits, BYTES);
        }
    }
    (void)pthread_mutex_destroy(&t->lock);
}

/* Memory that costs nothing until it is touched; it stays mapped, for others may be in it. */
static void provide(struct stoq_touch *t, unsigned i)
{
    if (atomic_load(&t->bits[i]) == NULL) {
        void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            atomic_store(&t->blind, true);
            return;
        }
        atomic_store(&t->bits[i], (_Atomic uint64_t *)p);
    }
}

static void wipe(struct stoq_touch *t, unsigned i)
{
    _Atomic uint64_t *bits = atomic_load(&t->bits[i]);
    if (bits != NULL) {
        (void)madvise((void *)(uintptr_t)bits, BYTES,
                      MADV_DONTNEED); /* anonymous: zeros from now on */
    }
}

/* Somebody begins. Lock held. */
static void begin(struct stoq_touch *t)
{
    provide(t, atomic_load(&t->current));
    atomic_store(&t->active, true);
}

/* Somebody has ended: forget what nobody needs any more. Lock held. */
static void settle(struct stoq_touch *t)
{
    unsigned current = atomic_load(&t->current);
    if (t->collecting > 0) {
        return;
    }
    if (t->old_in_use && t->adding[!current] == 0) {
        wipe(t, !current);
        t->old_in_use = false;
    }
    if (!t->old_in_use && t->adding[current] == 0) {
        atomic_store(&t->active, false);
        wipe(t, current);
        atomic_store(&t->touched, 0);
        atomic_store(&t->blind, false);
    }
}

unsigned stoq_touch_add_begin(struct stoq_touch *t)
{
    (void)pthread_mutex_lock(&t->lock);
    begin(t);
    unsigned number = atomic_load(&t->current);
    t->adding[number]++;
    (void)pthread_mutex_unlock(&t->lock);
    return number;
}

void stoq_touch_add_end(struct stoq_touch *t, unsigned number)
{
    (void)pthread_mutex_lock(&t->lock);
    t->adding[number]--;
    settle(t);
    (void)pthread_mutex_unlock(&t->lock);
}

void stoq_touch_collect_begin(struct stoq_touch *t)
{
    (void)pthread_mutex_lock(&t->lock);
    unsigned current = atomic_load(&t->current);
    if (t->collecting == 0 && !t->old_in_use && atomic_load(&t->touched) > WELL_USED) {
        provide(t, !current);
        t->old_in_use = true;
        atomic_store(&t->touched, 0);
        atomic_store(&t->current, !current);
    }
    t->collecting++;
    begin(t);
    (void)pthread_mutex_unlock(&t->lock);
}

void stoq_touch_collect_end(struct stoq_touch *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->collecting--;
    settle(t);
    (void)pthread_mutex_unlock(&t->lock);
}

static uint64_t hash_of(uint8_t type, struct stoq_span key)
{
    const struct stoq_span parts[] = {stoq_span(&type, 1), key};
    return stoq_hash_xxh3_64_parts(parts, STOQ_COUNT(parts));
}

/* The two bits of a record: the low bits of its hash choose the line, the high ones the places in it. */
struct places {
    uint64_t at[2];
};

static struct places places_of(uint64_t h)
{
    uint64_t line = h % (BITS / LINE_BITS) * LINE_BITS;
    return (struct places){{line + (h >> 40) % LINE_BITS, line + (h >> 52) % LINE_BITS}};
}

/* Written without a look before: a page read first is mapped twice, and every thread hears of the second. */
static bool set_bit(_Atomic uint64_t *bits, uint64_t at)
{
    uint64_t bit = (uint64_t)1 << (at & 63);
    return (atomic_fetch_or(&bits[at / 64], bit) & bit) == 0;
}

static bool has_bit(_Atomic uint64_t *bits, uint64_t at)
{
    return (atomic_load(&bits[at / 64]) >> (at & 63) & 1) != 0;
}

void stoq_touch_mark(struct stoq_touch *t, uint8_t type, struct stoq_span key)
{
    if (!atomic_load(&t->active)) {
        return;
    }
    struct places p = places_of(hash_of(type, key));
    _Atomic uint64_t *bits = atomic_load(&t->bits[atomic_load(&t->current)]);
    if (bits != NULL) {
        bool is_new = set_bit(bits, p.at[0]);
        if (set_bit(bits, p.at[1]) || is_new) {
            atomic_fetch_add(&t->touched, 1);
        }
    }
}

bool stoq_touch_was(struct stoq_touch *t, uint8_t type, struct stoq_span key)
{
    if (atomic_load(&t->blind)) {
        return true;
    }
    struct places p = places_of(hash_of(type, key));
    for (size_t i = 0; i < 2; i++) {
        _Atomic uint64_t *bits = atomic_load(&t->bits[i]);
        if (bits != NULL && has_bit(bits, p.at[0]) && has_bit(bits, p.at[1])) {
            return true;
        }
    }
    return false;
}
