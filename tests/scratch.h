#ifndef STOQ_TESTS_SCRATCH_H
#define STOQ_TESTS_SCRATCH_H
/* A test's folder, and its end with all that is in it: by the C library alone, so that what is tested does
 * not clear up after itself. */
#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>

static inline int scratch_remove_one(const char *path, const struct stat *sb, int kind,
                                     struct FTW *ftw)
{
    (void)sb;
    (void)kind;
    (void)ftw;
    return remove(path);
}

/* A file, or a folder with all below it; links are not followed. False: something is left. */
static inline bool scratch_remove(const char *path)
{
    return nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

#endif
