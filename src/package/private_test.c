/* Keyed profiles against the independent encoder's vectors (tests/vectors/chunks.txt), and key files. */
#include "package/private.h"

#include "chunk/profile.h"
#include "tests/vectors.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct stoq_private_key key_of(struct vectors *v)
{
    struct stoq_private_key key;
    assert_true(stoq_hex_get(key.b, sizeof key.b, vectors_str(v, 1)));
    return key;
}

static void check_gear(struct vectors *v)
{
    const struct stoq_private_key key = key_of(v);
    struct stoq_gear gear;
    uint64_t i = vectors_u64(v, 2);
    stoq_private_gear(&gear, &key);
    assert_true(i < 256 && gear.plain[i] == strtoull(vectors_str(v, 3), NULL, 16));
    assert_true(gear.shifted[i] == gear.plain[i] << 1);
}

static void numbers_of_a_key(void **state)
{
    (void)state;
    vectors_each("chunks", "keyedgear", check_gear);
}

static void check_lengths(struct vectors *v)
{
    const struct stoq_private_key key = key_of(v);
    size_t n = (size_t)vectors_u64(v, 5);
    uint8_t *b = vectors_input(vectors_str(v, 3), vectors_u64(v, 4), n);
    struct stoq_gear gear;
    struct stoq_chunker c;
    stoq_private_gear(&gear, &key);
    assert_int_equal(stoq_chunker_init(&c, &stoq_chunk_profile(vectors_u64(v, 2))->params),
                     STOQ_OK);
    stoq_chunker_set_gear(&c, &gear);
    const char *want = vectors_str(v, 6);
    struct stoq_span rest = stoq_span(b, n);
    while (rest.n > 0) {
        char *end;
        size_t length = stoq_chunker_cut(&c, rest, true);
        assert_int_equal(length, strtoull(want, &end, 10));
        want = *end == ',' ? end + 1 : end;
        rest = stoq_span(rest.p + length, rest.n - length);
    }
    assert_int_equal(*want, '\0');
    free(b);
}

static void lengths_under_a_key(void **state)
{
    (void)state;
    vectors_each("chunks", "keyed", check_lengths);
}

static void a_key_file_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct stoq_private_key key;
    struct stoq_private_key got;
    char text[STOQ_PRIVATE_TEXT_CAP];
    char marks[2][STOQ_PRIVATE_MARK_CAP];
    memset(key.b, 0xa5, sizeof key.b);
    stoq_private_put(text, &key);
    size_t n = strlen(text);
    assert_int_equal(text[n - 1], '\n');
    assert_int_equal(stoq_private_get(&got, stoq_span(text, n)), STOQ_OK);
    assert_memory_equal(&got, &key, sizeof key);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(stoq_private_get(&got, stoq_span(text, cut)), STOQ_MALFORMED);
    }
    text[17] = '2'; /* the version */
    assert_int_equal(stoq_private_get(&got, stoq_span(text, n)), STOQ_VERSION);
    stoq_private_put(text, &key);
    text[30] = 'g';
    assert_int_equal(stoq_private_get(&got, stoq_span(text, n)), STOQ_MALFORMED);
    stoq_private_mark(marks[0], &key);
    key.b[31] ^= 1;
    stoq_private_mark(marks[1], &key);
    assert_int_equal(strlen(marks[0]), STOQ_PRIVATE_MARK_CAP - 1);
    assert_true(strcmp(marks[0], marks[1]) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_key),
        cmocka_unit_test(lengths_under_a_key),
        cmocka_unit_test(a_key_file_is_read_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
