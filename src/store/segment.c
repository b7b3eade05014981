#include "store/segment.h"

#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* 64 x 256 MiB: the hot 16 GiB of a store without an open per read. */
#define CACHE_SLOTS 64

void stoq_segment_name(char out[STOQ_SEGMENT_NAME_BYTES], uint32_t number)
{
    (void)snprintf(out, STOQ_SEGMENT_NAME_BYTES, "%08x.seg", number);
}

bool stoq_segment_number(const char *name, uint32_t *number)
{
    if (strlen(name) != STOQ_SEGMENT_NAME_BYTES - 1) {
        return false;
    }
    *number = (uint32_t)strtoul(name, NULL, 16);
    char again[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(again, *number);
    return *number != 0 && strcmp(again, name) == 0;
}

static int by_number(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa;
    uint32_t b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

static enum stoq_status list_into(DIR *d, struct stoq_buf *list)
{
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (e == NULL) {
            return errno == 0 ? STOQ_OK : STOQ_IO;
        }
        uint32_t number;
        if (stoq_segment_number(e->d_name, &number)) {
            enum stoq_status st = stoq_buf_add(list, stoq_span(&number, sizeof number));
            if (st != STOQ_OK) {
                return STOQ_NOMEM;
            }
        }
    }
}

enum stoq_status stoq_segment_list(int dir_fd, uint32_t **out, size_t *count,
                                   struct stoq_error *err)
{
    *out = NULL;
    *count = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (d == NULL) {
        int e = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return stoq_fail(err, STOQ_IO, e, "list segments");
    }
    struct stoq_buf list;
    stoq_buf_init(&list, SIZE_MAX);
    enum stoq_status st = list_into(d, &list);
    int e = errno;
    (void)closedir(d);
    if (st != STOQ_OK) {
        stoq_buf_release(&list);
        return stoq_fail(err, st, e, "list segments");
    }
    *out = (uint32_t *)(void *)list.p;
    *count = list.n / sizeof(uint32_t);
    if (*count > 0) {
        qsort(*out, *count, sizeof(uint32_t), by_number);
    }
    return STOQ_OK;
}

int stoq_segment_create(const struct stoq_durable_fault *fault, int dir_fd,
                        const struct stoq_segment_header *header, int *fd_out)
{
    char name[STOQ_SEGMENT_NAME_BYTES];
    stoq_segment_name(name, header->number);
    int e = stoq_durable_ask(fault, STOQ_DURABLE_SEGMENT_CREATE);
    if (e != 0) {
        return e;
    }
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    uint8_t bytes[STOQ_SEGMENT_HEADER_BYTES];
    stoq_segment_header_encode(bytes, header);
    if (stoq_file_pwrite_all(fd, stoq_span(bytes, sizeof bytes), 0) != STOQ_OK) {
        e = errno;
        (void)unlinkat(dir_fd, name, 0);
        (void)close(fd);
        return e;
    }
    *fd_out = fd;
    return 0;
}

struct cache_slot {
    uint32_t number; /* 0: empty, or dropped while in use */
    int fd;
    unsigned refs;
    uint64_t used;
};

struct stoq_segment_cache {
    int dir_fd;
    pthread_mutex_t lock;
    uint64_t clock;
    struct cache_slot slot[CACHE_SLOTS];
};

enum stoq_status stoq_segment_cache_new(struct stoq_segment_cache **out, int dir_fd)
{
    struct stoq_segment_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return STOQ_NOMEM;
    }
    cache->dir_fd = dir_fd;
    (void)pthread_mutex_init(&cache->lock, NULL);
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        cache->slot[i].fd = -1;
    }
    *out = cache;
    return STOQ_OK;
}

void stoq_segment_cache_free(struct stoq_segment_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        STOQ_ASSERT(cache->slot[i].refs == 0);
        if (cache->slot[i].fd >= 0) {
            (void)close(cache->slot[i].fd);
        }
    }
    (void)pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* The slot of a segment, else the best one to use for it, else -1. Lock held. */
static int find_slot(const struct stoq_segment_cache *cache, uint32_t number)
{
    int best = -1;
    for (int i = 0; i < CACHE_SLOTS; i++) {
        const struct cache_slot *s = &cache->slot[i];
        if (s->number == number) {
            return i;
        }
        if (s->refs == 0 && (best < 0 || s->used < cache->slot[best].used)) {
            best = i;
        }
    }
    return best;
}

enum stoq_status stoq_segment_cache_get(struct stoq_segment_cache *cache, uint32_t number,
                                        struct stoq_segment_ref *out)
{
    enum stoq_status st = STOQ_OK;
    (void)pthread_mutex_lock(&cache->lock);
    int i = find_slot(cache, number);
    struct cache_slot *s = i < 0 ? NULL : &cache->slot[i];
    *out = (struct stoq_segment_ref){.fd = s == NULL ? -1 : s->fd, .slot = i};
    if (s == NULL || s->number != number) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        stoq_segment_name(name, number);
        out->fd = openat(cache->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        st = out->fd >= 0 ? STOQ_OK : errno == ENOENT ? STOQ_NOTFOUND : STOQ_IO;
    }
    if (s != NULL && st == STOQ_OK) {
        if (s->fd >= 0 && s->fd != out->fd) {
            (void)close(s->fd);
        }
        s->fd = out->fd;
        s->number = number;
        s->refs++;
        s->used = ++cache->clock;
    }
    (void)pthread_mutex_unlock(&cache->lock);
    return st;
}

void stoq_segment_cache_put(struct stoq_segment_cache *cache, struct stoq_segment_ref ref)
{
    if (ref.slot < 0) {
        (void)close(ref.fd);
        return;
    }
    (void)pthread_mutex_lock(&cache->lock);
    struct cache_slot *s = &cache->slot[ref.slot];
    STOQ_ASSERT(s->refs > 0);
    s->refs--;
    if (s->refs == 0 && s->number == 0 && s->fd >= 0) {
        (void)close(s->fd); /* dropped meanwhile: the file's space is to be free */
        s->fd = -1;
    }
    (void)pthread_mutex_unlock(&cache->lock);
}

void stoq_segment_cache_drop(struct stoq_segment_cache *cache, uint32_t number)
{
    (void)pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        struct cache_slot *s = &cache->slot[i];
        if (s->number == number) {
            s->number = 0;
            s->used = 0;
            if (s->refs == 0 && s->fd >= 0) {
                (void)close(s->fd);
                s->fd = -1;
            }
        }
    }
    (void)pthread_mutex_unlock(&cache->lock);
}
