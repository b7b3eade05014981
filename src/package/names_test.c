#include "package/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct found {
    const char *const *paths;
    char text[256];
    size_t pairs;
};

static struct stoq_span path_at(void *user, size_t i)
{
    const struct found *f = user;
    return stoq_span_str(f->paths[i]);
}

static void note(void *user, size_t first, size_t other)
{
    struct found *f = user;
    size_t n = strlen(f->text);
    (void)snprintf(f->text + n, sizeof f->text - n, "%s=%s;", f->paths[first], f->paths[other]);
    f->pairs++;
}

static void pairs_are(const char *const *paths, size_t count, const char *expected)
{
    struct found f = {.paths = paths};
    assert_int_equal(stoq_names_collide(count, path_at, note, &f), STOQ_OK);
    assert_string_equal(f.text, expected);
}

static void names_that_differ_only_by_case(void **state)
{
    (void)state;
    static const char *const none[] = {"a", "a/b", "ab", "b", "b/a", "b/b"};
    pairs_are(none, STOQ_COUNT(none), "");
    pairs_are(none, 0, "");
    static const char *const some[] = {"README", "Readme", "docs", "docs/A", "docs/a", "readme"};
    pairs_are(some, STOQ_COUNT(some), "README=Readme;docs/A=docs/a;README=readme;");
}

static void only_letters_fold_and_only_names(void **state)
{
    (void)state;
    /* '@' and '`', '[' and '{' lie just outside the letters; 0xc0 and 0xe0 are bytes of others. */
    static const char *const apart[] = {"@", "[", "`", "{", "\xc0", "\xe0"};
    pairs_are(apart, STOQ_COUNT(apart), "");
    static const char *const ends[] = {"A", "Z", "a", "z"};
    pairs_are(ends, STOQ_COUNT(ends), "A=a;Z=z;");
    /* What is below two directories that collide is theirs. */
    static const char *const below[] = {"D", "D/x", "d", "d/X", "d/x"};
    pairs_are(below, STOQ_COUNT(below), "D=d;d/X=d/x;");
}

struct many {
    char (*paths)[16];
    size_t pairs;
};

static struct stoq_span many_at(void *user, size_t i)
{
    const struct many *m = user;
    return stoq_span_str(m->paths[i]);
}

static void count_pair(void *user, size_t first, size_t other)
{
    struct many *m = user;
    assert_int_equal(other - first, 10000);
    m->pairs++;
}

static void every_pair_of_many_is_found(void **state)
{
    (void)state;
    struct many m = {.paths = calloc(20000, sizeof *m.paths)};
    assert_non_null(m.paths);
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(m.paths[i], sizeof m.paths[i], "%c%u", i < 10000 ? 'X' : 'x', i % 10000);
    }
    assert_int_equal(stoq_names_collide(20000, many_at, count_pair, &m), STOQ_OK);
    assert_int_equal(m.pairs, 10000);
    free(m.paths);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_differ_only_by_case),
        cmocka_unit_test(only_letters_fold_and_only_names),
        cmocka_unit_test(every_pair_of_many_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
