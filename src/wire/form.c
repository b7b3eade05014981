#include "wire/form.h"

#include <string.h>

static uint64_t load(const void *at, uint32_t bytes)
{
    switch (bytes) {
    case sizeof(uint8_t):
        return *(const uint8_t *)at;
    case sizeof(uint16_t):
        return *(const uint16_t *)at;
    case sizeof(uint32_t):
        return *(const uint32_t *)at;
    default:
        return *(const uint64_t *)at;
    }
}

static void save(void *at, uint32_t bytes, uint64_t v)
{
    switch (bytes) {
    case sizeof(uint8_t):
        *(uint8_t *)at = (uint8_t)v;
        break;
    case sizeof(uint16_t):
        *(uint16_t *)at = (uint16_t)v;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)at = (uint32_t)v;
        break;
    default:
        *(uint64_t *)at = v;
    }
}

static void *member(void *object, uint32_t offset)
{
    return (uint8_t *)object + offset;
}

static const void *const_member(const void *object, uint32_t offset)
{
    return (const uint8_t *)object + offset;
}

/* Strings of whole units; an empty one has them too. */
static bool is_whole(const struct stoq_field *f, struct stoq_span s)
{
    return f->unit == 0 || s.n % f->unit == 0;
}

static void get_string(struct stoq_cbor_rd *r, const struct stoq_field *f, struct stoq_span *out)
{
    *out = f->kind == STOQ_FIELD_TEXT ? stoq_cbor_rd_text(r, f->min, f->max)
                                      : stoq_cbor_rd_bytes(r, f->min, f->max);
    if (!is_whole(f, *out)) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
}

static void get_array(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at)
{
    struct stoq_span s = stoq_cbor_rd_bytes(r, f->bytes, f->bytes);
    if (s.n == f->bytes) {
        memcpy(at, s.p, s.n);
    }
}

static void get_field(struct stoq_cbor_rd *r, const struct stoq_field *f, void *object,
                      void *memory)
{
    void *at = member(object, f->offset);
    switch (f->kind) {
    case STOQ_FIELD_CONST:
        if (stoq_cbor_rd_uint(r) != f->min) {
            stoq_cbor_rd_fail(r, f->otherwise);
        }
        break;
    case STOQ_FIELD_UINT:
        save(at, f->bytes, stoq_cbor_rd_uint_in(r, f->min, f->max));
        break;
    case STOQ_FIELD_BYTES:
    case STOQ_FIELD_TEXT:
        get_string(r, f, at);
        break;
    case STOQ_FIELD_HASH:
        *(struct stoq_hash *)at = stoq_cbor_rd_hash(r);
        break;
    case STOQ_FIELD_ARRAY:
        get_array(r, f, at);
        break;
    case STOQ_FIELD_BOOL:
        *(bool *)at = stoq_cbor_rd_bool(r);
        break;
    case STOQ_FIELD_TRUE:
        *(bool *)at = stoq_cbor_rd_bool(r);
        if (!*(bool *)at) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
        }
        break;
    case STOQ_FIELD_OWN:
        f->get(r, f, at, memory);
        break;
    }
}

static uint32_t needed_keys(const struct stoq_form *form)
{
    uint32_t keys = 0;
    for (size_t i = 0; i < form->count; i++) {
        keys |= form->fields[i].optional ? 0 : STOQ_KEY(form->fields[i].key);
    }
    return keys;
}

uint32_t stoq_form_get(struct stoq_cbor_rd *r, const struct stoq_form *form, void *object,
                       void *memory)
{
    size_t i = 0;
    uint32_t seen = 0;
    uint64_t key;
    (void)stoq_cbor_rd_map(r);
    while (stoq_cbor_rd_key(r, &key)) {
        while (i < form->count && form->fields[i].key < key) { /* keys ascend here and there */
            i++;
        }
        if (i == form->count || form->fields[i].key != key) {
            stoq_cbor_rd_fail(r, STOQ_MALFORMED);
            break;
        }
        const struct stoq_field *f = &form->fields[i];
        get_field(r, f, object, memory);
        if (f->sets > 0) {
            *(bool *)member(object, f->sets - 1) = true;
        }
        seen |= STOQ_KEY(f->key);
    }
    stoq_cbor_rd_leave(r);
    if ((needed_keys(form) & ~seen) != 0) {
        stoq_cbor_rd_fail(r, STOQ_MALFORMED);
    }
    return seen;
}

static bool is_there(const struct stoq_field *f, const void *object)
{
    const void *at = const_member(object, f->offset);
    if (f->sets > 0) {
        return *(const bool *)const_member(object, f->sets - 1);
    }
    switch (f->kind) {
    case STOQ_FIELD_UINT:
        return load(at, f->bytes) != 0;
    case STOQ_FIELD_BYTES:
    case STOQ_FIELD_TEXT:
        return ((const struct stoq_span *)at)->n > 0;
    case STOQ_FIELD_TRUE:
        return *(const bool *)at;
    case STOQ_FIELD_CONST:
    case STOQ_FIELD_HASH:
    case STOQ_FIELD_ARRAY:
    case STOQ_FIELD_BOOL:
    case STOQ_FIELD_OWN:
        break;
    }
    return false;
}

uint32_t stoq_form_keys(const struct stoq_form *form, const void *object)
{
    uint32_t keys = needed_keys(form);
    for (size_t i = 0; i < form->count; i++) {
        const struct stoq_field *f = &form->fields[i];
        keys |= f->optional && is_there(f, object) ? STOQ_KEY(f->key) : 0;
    }
    return keys;
}

static bool in_limits(const struct stoq_field *f, uint64_t v)
{
    return v >= f->min && v <= f->max;
}

static bool put_string(struct stoq_cbor_wr *w, const struct stoq_field *f,
                       const struct stoq_span *s)
{
    if (f->kind == STOQ_FIELD_TEXT) {
        stoq_cbor_put_text(w, *s);
    } else {
        stoq_cbor_put_bytes(w, *s);
    }
    return in_limits(f, s->n) && is_whole(f, *s);
}

static bool put_field(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *object)
{
    const void *at = const_member(object, f->offset);
    switch (f->kind) {
    case STOQ_FIELD_CONST:
        stoq_cbor_put_uint(w, f->min);
        return true;
    case STOQ_FIELD_UINT:
        stoq_cbor_put_uint(w, load(at, f->bytes));
        return in_limits(f, load(at, f->bytes));
    case STOQ_FIELD_BYTES:
    case STOQ_FIELD_TEXT:
        return put_string(w, f, at);
    case STOQ_FIELD_HASH:
        stoq_cbor_put_hash(w, at);
        return true;
    case STOQ_FIELD_ARRAY:
        stoq_cbor_put_bytes(w, stoq_span(at, f->bytes));
        return true;
    case STOQ_FIELD_BOOL:
    case STOQ_FIELD_TRUE:
        stoq_cbor_put_bool(w, *(const bool *)at);
        return true;
    case STOQ_FIELD_OWN:
        return f->put(w, f, at);
    }
    return false;
}

bool stoq_form_put(struct stoq_cbor_wr *w, const struct stoq_form *form, const void *object,
                   uint32_t keys)
{
    uint64_t count = 0;
    bool fits = true;
    for (size_t i = 0; i < form->count; i++) {
        count += keys >> form->fields[i].key & 1;
    }
    stoq_cbor_put_map(w, count);
    for (size_t i = 0; fits && i < form->count; i++) {
        const struct stoq_field *f = &form->fields[i];
        if ((keys & STOQ_KEY(f->key)) != 0) {
            stoq_cbor_put_uint(w, f->key);
            fits = put_field(w, f, object);
        }
    }
    return fits;
}

enum stoq_status stoq_form_decode(const struct stoq_form *form, struct stoq_span bytes,
                                  void *object)
{
    struct stoq_cbor_rd r = stoq_cbor_rd(bytes);
    (void)stoq_form_get(&r, form, object, NULL);
    return stoq_cbor_rd_done(&r);
}

enum stoq_status stoq_form_encode(const struct stoq_form *form, const void *object, uint32_t keys,
                                  struct stoq_buf *out)
{
    size_t before = out->n;
    struct stoq_cbor_wr w = stoq_cbor_wr(out);
    bool fits = stoq_form_put(&w, form, object, keys);
    enum stoq_status st = fits ? stoq_cbor_wr_done(&w) : STOQ_RANGE;
    if (st != STOQ_OK) {
        out->n = before;
    }
    return st;
}
