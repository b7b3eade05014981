#include "daemon/names.h"

#include <stdio.h>

#include "os/show.h"
#include "package/names.h"

struct check {
    const struct stoq_tree *tree;
    bool is_strict;
    void (*warning)(void *user, const char *text);
    void *user;
    uint64_t count;
    struct stoq_error refusal;
};

static struct stoq_span path_at(void *user, size_t i)
{
    const struct check *c = user;
    return stoq_tree_at(c->tree, i).path;
}

static void tell(void *user, size_t first, size_t other)
{
    struct check *c = user;
    char a[STOQ_SHOW_BYTES];
    char b[STOQ_SHOW_BYTES];
    char text[2 * STOQ_SHOW_BYTES + 100];
    if (c->is_strict && c->count > 0) {
        return;
    }
    c->count++;
    stoq_show_path(a, path_at(c, first));
    stoq_show_path(b, path_at(c, other));
    if (c->is_strict) {
        (void)stoq_fail_code(&c->refusal, STOQ_MALFORMED, "NamesCollide",
                             "%s and %s differ only in upper and lower case", a, b);
    } else if (c->warning != NULL) {
        (void)snprintf(text, sizeof text,
                       "%s and %s differ only in upper and lower case: they cannot be extracted "
                       "where case is ignored",
                       a, b);
        c->warning(c->user, text);
    }
}

enum stoq_status stoq_names_check(const struct stoq_tree *tree, bool strict,
                                  void (*warning)(void *user, const char *text), void *user,
                                  uint64_t *count, struct stoq_error *err)
{
    struct check c = {.tree = tree, .is_strict = strict, .warning = warning, .user = user};
    enum stoq_status st = stoq_names_collide(stoq_tree_count(tree), path_at, tell, &c);
    *count = c.count;
    if (st != STOQ_OK) {
        return stoq_fail(err, st, 0, "no memory to compare names");
    }
    if (c.refusal.status != STOQ_OK && err != NULL) {
        *err = c.refusal;
    }
    return c.refusal.status;
}
