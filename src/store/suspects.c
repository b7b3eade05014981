/*
 * A handle for reading only cannot write what it learns. What it found damaged it keeps, and when it is
 * closed it opens the store for writing, if nobody else does, and reads those records once more: then they
 * go into quarantine as they would have at once. Else the next reader finds them again.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

struct stoq_suspects {
    size_t count;
    struct stoq_entry entry[STOQ_SUSPECTS_MAX];
};

void stoq_suspect_note(struct stoq_store *s, const struct stoq_entry *e)
{
    (void)pthread_mutex_lock(&s->log.lock);
    if (s->suspects == NULL) {
        s->suspects = calloc(1, sizeof *s->suspects);
    }
    struct stoq_suspects *list = s->suspects;
    bool known = list == NULL || list->count == STOQ_SUSPECTS_MAX;
    for (size_t i = 0; !known && i < list->count; i++) {
        known = list->entry[i].type == e->type && list->entry[i].sequence == e->sequence;
    }
    if (!known) {
        list->entry[list->count++] = *e;
    }
    (void)pthread_mutex_unlock(&s->log.lock);
}

void stoq_suspects_mark(const struct stoq_store_config *cfg, struct stoq_suspects *suspects)
{
    struct stoq_store *s = NULL;
    if (suspects == NULL || stoq_store_open(&s, cfg, NULL) != STOQ_OK) {
        free(suspects);
        return;
    }
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_RECORD_BYTES_MAX);
    for (size_t i = 0; i < suspects->count; i++) {
        const struct stoq_entry *e = &suspects->entry[i];
        struct stoq_stored info;
        bool is_chunk = e->type == STOQ_RECORD_CHUNK || e->type == STOQ_RECORD_IN_PLACE;
        enum stoq_record_type type = is_chunk ? STOQ_RECORD_CHUNK : (enum stoq_record_type)e->type;
        /* Whatever it gives: if it is damaged still, it is in quarantine now. */
        enum stoq_status st = stoq_store_read_stored(
            s, type, stoq_entry_key(e), is_chunk ? STOQ_STORE_VERIFY : 0, &info, &bytes, NULL);
        (void)st;
    }
    stoq_buf_release(&bytes);
    free(suspects);
    (void)stoq_store_close(s, NULL);
}
