/*
 * A record that is signed anew says what it said before, at another time: whoever has the one before needs
 * the new signature and no more of it, a seventh of the record or so. What a job signs anew is issued at
 * one time and with one sequence, so that a message says both once, for as many records as fit a datagram.
 * Their holders make them again and look at them as at any that is brought; who has the one before no more
 * says so, and gets it whole (renew.c). From who does not answer the one before is soon over, long before the
 * next round: then that comes after five minutes, by digests, and who has missed the patch is found.
 */
#include "dht/dht_internal.h"

#include <stdlib.h>
#include <string.h>

static void anew_send(struct stoq_dht *d, struct job *j, struct anew *a)
{
    struct stoq_dht_patch *patch = a->patch;
    struct pending *p = NULL;
    a->patch = NULL;
    if (patch == NULL) {
        return;
    }
    struct own **owns = calloc(patch->count, sizeof(struct own *));
    if (owns != NULL) {
        struct stoq_dht_call call = {.ask = STOQ_DHT_PATCH, .patch = patch};
        memcpy(owns, a->v, patch->count * sizeof(struct own *));
        p = dht_call(d, a->to, &call);
    }
    if (p != NULL) {
        p->job = j;
        p->owns = owns;   /* taken */
        p->patch = patch; /* likewise */
        d->provide.stores += patch->count;
        return;
    }
    free(owns);
    for (uint32_t i = 0; i < patch->count; i++) {
        provide_closed(d, j, a->v[i]);
    }
    stoq_dht_patch_drop(patch);
}

/* Has it the time and the sequence of the others? */
static bool fits(const struct stoq_dht_patch *patch, const struct stoq_dht_record *record)
{
    const struct stoq_dht_record *first = patch->records[0];
    return first->sequence == record->sequence && first->issued_at_s == record->issued_at_s;
}

bool patch_tell(struct stoq_dht *d, struct job *j, struct own *o, stoq_contact_no to,
                const struct telling *t)
{
    struct anew **at = &j->anew;
    while (*at != NULL && (*at)->to != to) {
        at = &(*at)->next;
    }
    if (*at == NULL && (*at = calloc(1, sizeof **at)) == NULL) {
        return false;
    }
    struct anew *a = *at;
    a->to = to;
    if (a->patch != NULL && !fits(a->patch, t->record)) {
        anew_send(d, j, a);
    }
    if (a->patch == NULL && (a->patch = stoq_dht_patch_new()) == NULL) {
        return false;
    }
    a->v[a->patch->count] = o;
    stoq_dht_patch_add(a->patch, t->before, t->record);
    if (a->patch->count == STOQ_DHT_PATCH_MAX) {
        anew_send(d, j, a);
    }
    return true;
}

void patch_drive(struct stoq_dht *d, struct job *j)
{
    for (struct anew *a = j->anew; a != NULL && j->done == j->count && j->makes == 0; a = a->next) {
        anew_send(d, j, a);
    }
}

void patch_release(struct job *j)
{
    while (j->anew != NULL) {
        struct anew *next = j->anew->next;
        stoq_dht_patch_drop(j->anew->patch);
        free(j->anew);
        j->anew = next;
    }
}
