#include "daemon/pieces.h"

#include <stdlib.h>

void stoq_pieces_init(struct stoq_pieces *ps)
{
    *ps = (struct stoq_pieces){0};
}

void stoq_pieces_release(struct stoq_pieces *ps)
{
    free(ps->v);
    *ps = (struct stoq_pieces){0};
}

void stoq_pieces_clear(struct stoq_pieces *ps)
{
    ps->n = 0;
}

enum stoq_status stoq_pieces_add(struct stoq_pieces *ps, size_t at, struct stoq_piece piece)
{
    struct stoq_placed *last = ps->n > 0 ? &ps->v[ps->n - 1] : NULL;
    STOQ_ASSERT(last == NULL || at >= last->at + last->piece.bytes);
    if (last != NULL && last->at + last->piece.bytes == at && last->piece.source == piece.source &&
        last->piece.offset + last->piece.bytes == piece.offset) {
        last->piece.bytes += piece.bytes;
        return STOQ_OK;
    }
    if (ps->n == ps->cap) {
        size_t cap = ps->cap == 0 ? 64 : ps->cap * 2;
        struct stoq_placed *v = realloc(ps->v, cap * sizeof *v);
        if (v == NULL) {
            return STOQ_NOMEM;
        }
        ps->v = v;
        ps->cap = cap;
    }
    ps->v[ps->n++] = (struct stoq_placed){at, piece};
    return STOQ_OK;
}

/* The part of a placed piece between two places of the buffer; 0 bytes: none of it. */
static struct stoq_piece part(const struct stoq_placed *p, size_t from, size_t to)
{
    size_t begin = p->at > from ? p->at : from;
    size_t end = p->at + (size_t)p->piece.bytes;
    end = end < to ? end : to;
    if (end <= begin) {
        return (struct stoq_piece){0};
    }
    return (struct stoq_piece){
        .source = p->piece.source,
        .offset = p->piece.offset + (begin - p->at),
        .bytes = end - begin,
    };
}

enum stoq_status stoq_pieces_move_on(const struct stoq_pieces *ps, size_t from,
                                     struct stoq_pieces *out)
{
    enum stoq_status st = STOQ_OK;
    for (size_t i = 0; st == STOQ_OK && i < ps->n; i++) {
        const struct stoq_placed *p = &ps->v[i];
        struct stoq_piece rest = part(p, from, SIZE_MAX);
        if (rest.bytes > 0) {
            st = stoq_pieces_add(out, p->at > from ? p->at - from : 0, rest);
        }
    }
    return st;
}

size_t stoq_pieces_of(const struct stoq_pieces *ps, size_t at, size_t n, size_t *first,
                      struct stoq_piece *out)
{
    size_t count = 0;
    uint64_t bytes = 0;
    size_t i = *first;
    for (; i < ps->n && ps->v[i].at < at + n; i++) {
        struct stoq_piece p = part(&ps->v[i], at, at + n);
        if (p.bytes > 0) {
            out[count++] = p;
            bytes += p.bytes;
        }
        if (ps->v[i].at + ps->v[i].piece.bytes > at + n) {
            break; /* its rest belongs to what follows */
        }
    }
    *first = i;
    return bytes == n ? count : 0;
}
