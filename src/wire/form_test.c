#include "wire/form.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct pet {
    struct stoq_span name;
    struct stoq_span spots; /* two bytes each */
    uint8_t legs;
    uint16_t grams;
    uint32_t steps;
    uint64_t born_s;
    uint8_t chip[3];
    bool is_alive;
    bool is_tame;
    bool has_mother;
    struct stoq_hash mother;
    uint64_t own; /* written twice as large */
};

static void get_twice(struct stoq_cbor_rd *r, const struct stoq_field *f, void *at, void *memory)
{
    uint64_t *out = at;
    *out = stoq_cbor_rd_uint_in(r, f->min, f->max) / 2;
    *(uint64_t *)memory += 1;
}

static bool put_twice(struct stoq_cbor_wr *w, const struct stoq_field *f, const void *at)
{
    const uint64_t *v = at;
    stoq_cbor_put_uint(w, 2 * *v);
    return 2 * *v >= f->min && 2 * *v <= f->max;
}

static const struct stoq_field pet_fields[] = {
    {1, STOQ_IS_CONST(7, STOQ_VERSION)},
    {2, STOQ_IS_TEXT(struct pet, name, 1, 8)},
    {3, STOQ_IS_BYTES(struct pet, spots, 2, 6), .unit = 2, .optional = true},
    {4, STOQ_IS_UINT(struct pet, legs, 0, 8)},
    {5, STOQ_IS_UINT(struct pet, grams, 1, UINT16_MAX), .optional = true},
    {6, STOQ_IS_UINT(struct pet, steps, 0, UINT32_MAX), .optional = true},
    {7, STOQ_IS_UINT(struct pet, born_s, 0, UINT64_MAX), .optional = true},
    {9, STOQ_IS_ARRAY(struct pet, chip)},
    {10, STOQ_IS_BOOL(struct pet, is_alive)},
    {11, STOQ_IS_TRUE(struct pet, is_tame)},
    {12, STOQ_IS_HASH(struct pet, mother), STOQ_SETS(struct pet, has_mother)},
    {23, STOQ_IS_OWN(struct pet, own, uint64_t, get_twice, put_twice, 0, 10), .optional = true},
};
static const struct stoq_form pet_form = STOQ_FORM(pet_fields);

#define NEEDED (STOQ_KEY(1) | STOQ_KEY(2) | STOQ_KEY(4) | STOQ_KEY(9) | STOQ_KEY(10))

static struct pet small_pet(void)
{
    return (struct pet){.name = stoq_span_str("rex"), .chip = {1, 2, 3}};
}

/* {1: 7, 2: "rex", 4: 0, 9: h'010203', 10: false} */
#define SMALL "\xa5\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"
#define BYTES(s) s, sizeof(s) - 1

static void a_form_is_written_and_read(void **state)
{
    (void)state;
    struct pet all = small_pet();
    struct pet got = {.legs = 0};
    struct stoq_buf b;
    uint64_t calls = 0;
    all.spots = stoq_span_str("abcd");
    all.legs = 8;
    all.grams = 0x1234;
    all.steps = 0x12345678;
    all.born_s = UINT64_MAX;
    all.is_alive = true;
    all.is_tame = true;
    all.has_mother = true;
    all.own = 5;
    memset(all.mother.b, 0x5a, sizeof all.mother.b);
    stoq_buf_init(&b, 1000);
    uint32_t keys = stoq_form_keys(&pet_form, &all);
    assert_int_equal(keys, 0x1efe); /* all, but the field of its own functions */
    keys |= STOQ_KEY(23);
    assert_int_equal(stoq_form_encode(&pet_form, &all, keys, &b), STOQ_OK);
    struct stoq_cbor_rd r = stoq_cbor_rd(stoq_buf_span(&b));
    assert_int_equal(stoq_form_get(&r, &pet_form, &got, &calls), keys);
    assert_int_equal(stoq_cbor_rd_done(&r), STOQ_OK);
    assert_int_equal(calls, 1);
    assert_true(stoq_span_eq(got.name, all.name) && stoq_span_eq(got.spots, all.spots));
    assert_true(got.legs == 8 && got.grams == 0x1234 && got.steps == 0x12345678);
    assert_true(got.born_s == UINT64_MAX && got.is_alive && got.is_tame && got.has_mother);
    assert_memory_equal(got.chip, all.chip, sizeof all.chip);
    assert_true(stoq_hash_eq(&got.mother, &all.mother));
    assert_int_equal(got.own, 5);
    stoq_buf_release(&b);
}

static void what_is_absent_stays_as_it_was(void **state)
{
    (void)state;
    struct pet in = small_pet();
    struct pet got = {.legs = 4, .grams = 9, .own = 3};
    struct stoq_buf b;
    stoq_buf_init(&b, 1000);
    assert_int_equal(stoq_form_keys(&pet_form, &in), NEEDED);
    assert_int_equal(stoq_form_encode(&pet_form, &in, NEEDED, &b), STOQ_OK);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span(BYTES(SMALL))));
    assert_int_equal(stoq_form_decode(&pet_form, stoq_span(BYTES(SMALL)), &got), STOQ_OK);
    assert_true(got.legs == 0 && got.grams == 9 && got.own == 3 && !got.has_mother);
    stoq_buf_release(&b);
}

static void what_a_form_does_not_allow_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        const char *in;
        size_t n;
        enum stoq_status st;
    } rows[] = {
        {"nothing", BYTES(""), STOQ_TRUNC},
        {"an array", BYTES("\x80"), STOQ_MALFORMED},
        {"no keys", BYTES("\xa0"), STOQ_MALFORMED},
        {"another constant", BYTES("\xa5\x01\x08\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_VERSION},
        {"key 0", BYTES("\xa6\x00\x00\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"a key between",
         BYTES("\xa6\x01\x07\x02\x63rex\x04\x00\x08\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"a key behind",
         BYTES("\xa6\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4\x16\x00"),
         STOQ_MALFORMED},
        {"a key past 32 bits",
         BYTES("\xa6\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4\x18\x22\x00"),
         STOQ_MALFORMED},
        {"the last one missing", BYTES("\xa4\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03"),
         STOQ_MALFORMED},
        {"one within missing", BYTES("\xa4\x01\x07\x02\x63rex\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"an empty text", BYTES("\xa5\x01\x07\x02\x60\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"a long text", BYTES("\xa5\x01\x07\x02\x69rexrexrex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"half a unit",
         BYTES("\xa6\x01\x07\x02\x63rex\x03\x43...\x04\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"nine legs", BYTES("\xa5\x01\x07\x02\x63rex\x04\x09\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"256 legs", BYTES("\xa5\x01\x07\x02\x63rex\x04\x19\x01\x00\x09\x43\x01\x02\x03\x0a\xf4"),
         STOQ_MALFORMED},
        {"a short array", BYTES("\xa5\x01\x07\x02\x63rex\x04\x00\x09\x42\x01\x02\x0a\xf4"),
         STOQ_MALFORMED},
        {"a said no", BYTES("\xa6\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a\xf4\x0b\xf4"),
         STOQ_MALFORMED},
        {"bytes behind", BYTES(SMALL "\x00"), STOQ_MALFORMED},
        {"cut short", BYTES("\xa5\x01\x07\x02\x63rex\x04\x00\x09\x43\x01\x02\x03\x0a"), STOQ_TRUNC},
    };
    for (size_t i = 0; i < STOQ_COUNT(rows); i++) {
        struct pet got = {.legs = 0};
        enum stoq_status st = stoq_form_decode(&pet_form, stoq_span(rows[i].in, rows[i].n), &got);
        if (st != rows[i].st) {
            fail_msg("%s: %s", rows[i].what, stoq_status_str(st));
        }
    }
}

static void what_is_outside_its_limits_is_not_written(void **state)
{
    (void)state;
    struct stoq_buf b;
    struct pet p;
    stoq_buf_init(&b, 40);
    assert_int_equal(stoq_buf_add(&b, stoq_span_str("before")), STOQ_OK);
    p = small_pet();
    p.legs = 9;
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED, &b), STOQ_RANGE);
    p = small_pet();
    p.name = stoq_span_str("");
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED, &b), STOQ_RANGE);
    p = small_pet();
    p.name = stoq_span_str("\xff");
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED, &b), STOQ_MALFORMED);
    p = small_pet();
    p.spots = stoq_span_str("abc");
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED | STOQ_KEY(3), &b), STOQ_RANGE);
    p = small_pet();
    p.own = 6;
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED | STOQ_KEY(23), &b), STOQ_RANGE);
    p = small_pet();
    assert_int_equal(stoq_form_encode(&pet_form, &p, NEEDED | STOQ_KEY(12), &b), STOQ_FULL);
    assert_true(stoq_span_eq(stoq_buf_span(&b), stoq_span_str("before")));
    stoq_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_written_and_read),
        cmocka_unit_test(what_is_absent_stays_as_it_was),
        cmocka_unit_test(what_a_form_does_not_allow_is_refused),
        cmocka_unit_test(what_is_outside_its_limits_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
