#include "base/shelf.h"

#include <stddef.h>

void *stoq_shelf_take(struct stoq_shelf *shelf)
{
    if (shelf->count == 0) {
        return NULL;
    }
    void *item = shelf->item[--shelf->count];
    if (shelf->count < shelf->least) {
        shelf->least = shelf->count;
    }
    return item;
}

bool stoq_shelf_put(struct stoq_shelf *shelf, void *item)
{
    if (shelf->count == STOQ_SHELF_MAX) {
        return false;
    }
    shelf->item[shelf->count++] = item;
    return true;
}

void stoq_shelf_trim(struct stoq_shelf *shelf, void (*drop)(void *item))
{
    for (uint32_t n = shelf->least; n > 0; n--) {
        drop(shelf->item[--shelf->count]);
    }
    shelf->least = shelf->count;
}

void stoq_shelf_empty(struct stoq_shelf *shelf, void (*drop)(void *item))
{
    shelf->least = shelf->count;
    stoq_shelf_trim(shelf, drop);
}
