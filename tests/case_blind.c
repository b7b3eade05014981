/*
 * Preloaded into the program under test, this makes every file system ignore the case of A to Z for
 * names that are made: what mounts that fold case do, without needing one.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's headers have theirs */

static const char *fold(char *out, size_t cap, const char *path)
{
    int n = snprintf(out, cap, "%s", path);
    for (int i = 0; i < n && out[i] != 0; i++) {
        out[i] = (char)(out[i] >= 'A' && out[i] <= 'Z' ? out[i] - 'A' + 'a' : out[i]);
    }
    return out;
}

int openat(int dir, const char *path, int flags, ...)
{
    int (*real)(int, const char *, int, ...);
    char name[4096];
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    *(void **)&real = dlsym(RTLD_NEXT, "openat");
    /* The outputs are made with O_EXCL; the program's own files keep their names. */
    return real(dir, (flags & O_EXCL) != 0 ? fold(name, sizeof name, path) : path, flags, mode);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    int (*real)(int, const char *, mode_t);
    char name[4096];
    *(void **)&real = dlsym(RTLD_NEXT, "mkdirat");
    return real(dir, fold(name, sizeof name, path), mode);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
