#ifndef STOQ_WIRE_FORM_H
#define STOQ_WIRE_FORM_H
/*
 * A CBOR map with small numbers as keys, written down as a table: which key holds what, where it lies in a
 * struct, what it may be. Reader, writer and the set of keys that are there follow from the same rows.
 *
 *     static const struct stoq_field fields[] = {
 *         {1, STOQ_IS_CONST(1, STOQ_VERSION)},
 *         {2, STOQ_IS_TEXT(struct pet, name, 1, 64)},
 *         {3, STOQ_IS_UINT(struct pet, age_years, 0, 200), .optional = true},
 *         {4, STOQ_IS_HASH(struct pet, mother), STOQ_SETS(struct pet, has_mother)},
 *     };
 *     static const struct stoq_form form = STOQ_FORM(fields);
 *
 * The compiler refuses a row whose member has another type than the row says.
 */
#include "wire/cbor.h"

#include <stddef.h>

#define STOQ_FORM_KEY_MAX 23

enum stoq_field_kind {
    STOQ_FIELD_CONST, /* one number and no other; no member */
    STOQ_FIELD_UINT,
    STOQ_FIELD_BYTES, /* struct stoq_span, borrowed from the input */
    STOQ_FIELD_TEXT,
    STOQ_FIELD_HASH,
    STOQ_FIELD_ARRAY, /* uint8_t[], all of it */
    STOQ_FIELD_BOOL,
    STOQ_FIELD_TRUE, /* presence is the meaning: only true is ever written */
    STOQ_FIELD_OWN,  /* functions of its own */
};

struct stoq_field;
/* Read one item into the member at `at`, or make the reader bad; memory is what stoq_form_get was given. */
typedef void stoq_field_get_fn(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at,
                               void *memory);
/* Write one item; false: it is outside its limits. */
typedef bool stoq_field_put_fn(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at);

struct stoq_field {
    uint8_t key; /* 1 .. STOQ_FORM_KEY_MAX, ascending in a form */
    enum stoq_field_kind kind;
    uint32_t offset;            /* of the member */
    uint32_t bytes;             /* of the member */
    uint32_t sets;              /* where a bool tells that the key was there; 0: nowhere */
    uint32_t unit;              /* a string has a multiple of so many bytes; 0: any number */
    bool optional;              /* may be absent; the member keeps what it had */
    enum stoq_status otherwise; /* of a constant: what another number is */
    uint64_t min;               /* of the number, or of a string's bytes */
    uint64_t max;
    stoq_field_get_fn *get; /* of STOQ_FIELD_OWN */
    stoq_field_put_fn *put;
};

struct stoq_form {
    const struct stoq_field *fields;
    size_t count;
};
#define STOQ_FORM(rows)                                                                            \
    {                                                                                              \
        (rows), STOQ_COUNT(rows)                                                                   \
    }

/* An offset, of a member of this type only. NOLINTNEXTLINE(bugprone-macro-parentheses): a type has none. */
#define STOQ_MEMBER_AT(T, m, type) _Generic(((T *)0)->m, type : offsetof(T, m))
#define STOQ_MEMBER_BYTES(T, m) sizeof(((T *)0)->m)

#define STOQ_IS_CONST(value, other_status)                                                         \
    .kind = STOQ_FIELD_CONST, .min = (value), .max = (value), .otherwise = (other_status)
#define STOQ_IS_UINT(T, m, lo, hi)                                                                 \
    .kind = STOQ_FIELD_UINT, .bytes = STOQ_MEMBER_BYTES(T, m), .min = (lo), .max = (hi),           \
    .offset = _Generic(((T *)0)->m, uint8_t                                                        \
                       : offsetof(T, m), uint16_t                                                  \
                       : offsetof(T, m), uint32_t                                                  \
                       : offsetof(T, m), uint64_t                                                  \
                       : offsetof(T, m))
#define STOQ_IS_BYTES(T, m, lo, hi)                                                                \
    .kind = STOQ_FIELD_BYTES, .min = (lo), .max = (hi),                                            \
    .offset = STOQ_MEMBER_AT(T, m, struct stoq_span)
#define STOQ_IS_TEXT(T, m, lo, hi)                                                                 \
    .kind = STOQ_FIELD_TEXT, .min = (lo), .max = (hi),                                             \
    .offset = STOQ_MEMBER_AT(T, m, struct stoq_span)
#define STOQ_IS_HASH(T, m) .kind = STOQ_FIELD_HASH, .offset = STOQ_MEMBER_AT(T, m, struct stoq_hash)
#define STOQ_IS_ARRAY(T, m)                                                                        \
    .kind = STOQ_FIELD_ARRAY, .bytes = STOQ_MEMBER_BYTES(T, m),                                    \
    .offset = STOQ_MEMBER_AT(T, m, uint8_t *)
#define STOQ_IS_BOOL(T, m) .kind = STOQ_FIELD_BOOL, .offset = STOQ_MEMBER_AT(T, m, bool)
#define STOQ_IS_TRUE(T, m)                                                                         \
    .kind = STOQ_FIELD_TRUE, .offset = STOQ_MEMBER_AT(T, m, bool), .optional = true
#define STOQ_IS_OWN(T, m, type, get_, put_, lo, hi)                                                \
    .kind = STOQ_FIELD_OWN, .get = (get_), .put = (put_), .min = (lo), .max = (hi),                \
    .offset = STOQ_MEMBER_AT(T, m, type)
/* Functions of its own for several members: they get the whole object. */
#define STOQ_IS_OWN_OF_ALL(get_, put_) .kind = STOQ_FIELD_OWN, .get = (get_), .put = (put_)
/* Beside one of the above: an optional key, and the member that tells that it is there. */
#define STOQ_SETS(T, m) .sets = STOQ_MEMBER_AT(T, m, bool) + 1, .optional = true

#define STOQ_KEY(k) (1u << (k))

/*
 * Read the map that is next. Keys that the form does not have, values outside their limits and missing keys
 * make the reader bad: STOQ_MALFORMED, a constant's other numbers what its row says.
 *
 * object  the struct of the form; it keeps what no key says. Borrows strings from the input
 * memory  for fields with functions of their own; may be NULL
 *
 * Returns a bit (STOQ_KEY) for each key that was there.
 */
uint32_t stoq_form_get(struct stoq_cbor_rd *r, const struct stoq_form *form, void *object,
                       void *memory);

/* The keys of an object: those that are not optional, and of those that are, numbers but 0, strings but the
 * empty one, what its member says is there, what is true. Optional fields of other kinds are the
 * caller's to add. */
uint32_t stoq_form_keys(const struct stoq_form *form, const void *object);

/* Write a map of these keys. False: a value is outside its limits; a part of the map is written then. */
bool stoq_form_put(struct stoq_cbor_wr *w, const struct stoq_form *form, const void *object,
                   uint32_t keys);

/* A whole input that is one such map. STOQ_OK; else as the reader says, STOQ_MALFORMED for bytes behind. */
STOQ_WARN_UNUSED enum stoq_status stoq_form_decode(const struct stoq_form *form,
                                                   struct stoq_span bytes, void *object);
/* Append one. STOQ_OK; STOQ_RANGE: a value is outside its limits; STOQ_FULL, STOQ_NOMEM from the buffer;
 * STOQ_MALFORMED for text that is not UTF-8. On failure out is unchanged. */
STOQ_WARN_UNUSED enum stoq_status stoq_form_encode(const struct stoq_form *form, const void *object,
                                                   uint32_t keys, struct stoq_buf *out);

#endif
