/*
 * Preloaded into a daemon, this makes its disk a bad one: once something is durable in a segment, a byte in
 * the midst of it is another.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int flip_fdatasync(int fd) __asm__("fdatasync"); /* the headers declare the other name */

#define LARGE 300000 /* beyond small records: in the middle of a package's chunks */

static int is_segment(int fd)
{
    char link[64];
    char path[4096] = "";
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 4 && strcmp(path + n - 4, ".seg") == 0;
}

int flip_fdatasync(int fd)
{
    static ino_t flipped; /* once: a second time it would be as it was */
    int (*real)(int);
    struct stat info;
    unsigned char byte;
    char link[64];
    *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(fd);
    if (result == 0 && is_segment(fd) && fstat(fd, &info) == 0 && info.st_size > LARGE &&
        info.st_ino != flipped) {
        /* The store's own descriptor may be for appending. */
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        FILE *f = fopen(link, "r+b");
        if (f != NULL && pread(fileno(f), &byte, 1, LARGE) == 1) {
            byte ^= 0x10;
            flipped = info.st_ino;
            if (pwrite(fileno(f), &byte, 1, LARGE) != 1) {
                (void)fputs("flip_after_sync: the byte could not be changed\n", stderr);
            }
        }
        if (f != NULL) {
            (void)fclose(f);
        }
    }
    return result;
}
