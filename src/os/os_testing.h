#ifndef STOQ_OS_OS_TESTING_H
#define STOQ_OS_OS_TESTING_H
/* What tests of files share: a folder of a test's own, and paths in it. */
#include "os/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char scratch[64];

/* A new one. Its end is the test's. */
static inline bool scratch_begin(void)
{
    (void)snprintf(scratch, sizeof scratch, "/tmp/stoq-os-XXXXXX");
    return mkdtemp(scratch) != NULL;
}

/* The path of a name in it; the last four are kept. */
static inline char *at(const char *name)
{
    static char path[4][512];
    static int next;
    char *out = path[next++ % 4];
    assert_int_equal(stoq_file_join(out, sizeof path[0], scratch, name), STOQ_OK);
    return out;
}

#endif
