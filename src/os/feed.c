/*
 * A piece is a u32le length, 1 .. PIECE_MAX, and that many bytes. Length 0 is the end; FAILED is
 * followed by a u32le errno and is the end too. A socket rather than a named pipe: both sides notice
 * the other's death, opening it never blocks, and the kernel says whose process is at the other end.
 */
#include "os/feed.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/unix.h"

#define HEAD_BYTES 4
#define PIECE_MAX ((uint32_t)(256 * STOQ_KIB))
#define FAILED UINT32_MAX
#define LOOK_EVERY_MS 100

struct stoq_feed {
    int fd; /* what is given */
    int listen_fd;
    int stop_fd; /* readable: stop */
    pthread_mutex_t lock;
    int taker; /* under the lock; -1: none */
    char *path;
    pthread_t thread;
    uint8_t piece[HEAD_BYTES + PIECE_MAX];
};

/* Wait until fd can be read; false when it is time to stop. */
static bool wait_for(const struct stoq_feed *f, int fd)
{
    struct pollfd p[2] = {{.fd = f->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int n;
    do {
        n = poll(p, 2, -1);
    } while (n < 0 && errno == EINTR);
    return n > 0 && p[0].revents == 0;
}

static bool is_ours(int fd)
{
    uid_t uid;
    return stoq_unix_peer_uid(fd, &uid) && (uid == geteuid() || uid == 0);
}

static int accept_taker(struct stoq_feed *f)
{
    while (wait_for(f, f->listen_fd)) {
        int fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && is_ours(fd)) {
            return fd;
        }
        if (fd >= 0) {
            (void)close(fd);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            break;
        }
    }
    return -1;
}

static bool send_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w < 0) {
            return false;
        }
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* Copy until the end, of the input or of the taker's patience. */
static void give(struct stoq_feed *f, int taker)
{
    for (;;) {
        if (!wait_for(f, f->fd)) {
            return;
        }
        ssize_t n = read(f->fd, f->piece + HEAD_BYTES, PIECE_MAX);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        size_t bytes = HEAD_BYTES;
        if (n < 0) {
            stoq_le32_put(f->piece, FAILED);
            stoq_le32_put(f->piece + HEAD_BYTES, (uint32_t)errno);
            bytes += HEAD_BYTES;
        } else {
            stoq_le32_put(f->piece, (uint32_t)n);
            bytes += (size_t)n;
        }
        if (!send_all(taker, f->piece, bytes) || n <= 0) {
            return;
        }
    }
}

static void *run(void *user)
{
    struct stoq_feed *f = user;
    int taker = accept_taker(f);
    if (taker < 0) {
        return NULL;
    }
    (void)unlink(f->path); /* one taker; and nothing is left behind should we be killed */
    (void)pthread_mutex_lock(&f->lock);
    f->taker = taker;
    (void)pthread_mutex_unlock(&f->lock);
    give(f, taker);
    (void)pthread_mutex_lock(&f->lock);
    f->taker = -1;
    (void)pthread_mutex_unlock(&f->lock);
    (void)close(taker);
    return NULL;
}

enum stoq_status stoq_feed_new(struct stoq_feed **out, const char *path, int fd,
                               struct stoq_error *err)
{
    struct stoq_feed *f = calloc(1, sizeof *f);
    char *copy = strdup(path);
    if (f == NULL || copy == NULL) {
        free(f);
        free(copy);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to hand over an input");
    }
    f->fd = fd;
    f->taker = -1;
    f->path = copy;
    f->stop_fd = -1;
    enum stoq_status st = stoq_unix_listen(path, &f->listen_fd, err);
    if (st != STOQ_OK) {
        free(copy);
        free(f);
        return st;
    }
    (void)pthread_mutex_init(&f->lock, NULL);
    f->stop_fd = eventfd(0, EFD_CLOEXEC);
    int e = f->stop_fd < 0 ? errno : pthread_create(&f->thread, NULL, run, f);
    if (e != 0) {
        (void)close(f->listen_fd);
        if (f->stop_fd >= 0) {
            (void)close(f->stop_fd);
        }
        (void)unlink(path);
        (void)pthread_mutex_destroy(&f->lock);
        free(copy);
        free(f);
        return stoq_fail(err, STOQ_IO, e, "hand over an input");
    }
    *out = f;
    return STOQ_OK;
}

void stoq_feed_free(struct stoq_feed *f)
{
    if (f == NULL) {
        return;
    }
    const uint64_t one = 1;
    ssize_t written = write(f->stop_fd, &one, sizeof one);
    STOQ_ASSERT(written == sizeof one);
    (void)pthread_mutex_lock(&f->lock);
    if (f->taker >= 0) {
        (void)shutdown(f->taker, SHUT_RDWR); /* wakes a send that waits */
    }
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    (void)unlink(f->path);
    (void)close(f->listen_fd);
    (void)close(f->stop_fd);
    (void)pthread_mutex_destroy(&f->lock);
    free(f->path);
    free(f);
}

enum stoq_status stoq_intake_open(struct stoq_intake *in, const char *path, struct stoq_error *err)
{
    *in = (struct stoq_intake){.fd = -1};
    int fd;
    enum stoq_status st = stoq_unix_connect(path, &fd, err);
    if (st != STOQ_OK) {
        return st;
    }
    if (!is_ours(fd)) {
        (void)close(fd);
        return stoq_fail(err, STOQ_IO, 0, "the input %s is another user's", path);
    }
    in->fd = fd;
    return STOQ_OK;
}

void stoq_intake_close(struct stoq_intake *in)
{
    if (in->fd >= 0) {
        (void)close(in->fd);
    }
    in->fd = -1;
}

static enum stoq_status wait_for_bytes(const struct stoq_intake *in, bool (*cancelled)(void *user),
                                       void *user, struct stoq_error *err)
{
    for (;;) {
        struct pollfd p = {.fd = in->fd, .events = POLLIN};
        int n = poll(&p, 1, LOOK_EVERY_MS);
        if (n > 0) {
            return STOQ_OK;
        }
        if (n < 0 && errno != EINTR) {
            return stoq_fail(err, STOQ_IO, errno, "wait for the input");
        }
        if (cancelled != NULL && cancelled(user)) {
            return stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
    }
}

static enum stoq_status take(const struct stoq_intake *in, void *p, size_t n, size_t *got,
                             bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    enum stoq_status st = wait_for_bytes(in, cancelled, user, err);
    if (st != STOQ_OK) {
        return st;
    }
    ssize_t r;
    do {
        r = recv(in->fd, p, n, 0);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno != ECONNRESET) {
        return stoq_fail(err, STOQ_IO, errno, "read the input");
    }
    if (r <= 0) {
        return stoq_fail(err, STOQ_TRUNC, 0, "the input broke off");
    }
    *got = (size_t)r;
    return STOQ_OK;
}

/* A whole u32le. */
static enum stoq_status take_word(const struct stoq_intake *in, uint32_t *out,
                                  bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    uint8_t head[HEAD_BYTES];
    size_t have = 0;
    while (have < sizeof head) {
        size_t got = 0;
        enum stoq_status st = take(in, head + have, sizeof head - have, &got, cancelled, user, err);
        if (st != STOQ_OK) {
            return st;
        }
        have += got;
    }
    *out = stoq_le32(head);
    return STOQ_OK;
}

enum stoq_status stoq_intake_read(struct stoq_intake *in, void *p, size_t n, size_t *got,
                                  bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    *got = 0;
    enum stoq_status st = STOQ_OK;
    if (in->left == 0 && !in->at_end) {
        st = take_word(in, &in->left, cancelled, user, err);
        in->at_end = st == STOQ_OK && in->left == 0;
    }
    if (st == STOQ_OK && in->left == FAILED) {
        uint32_t e = 0;
        st = take_word(in, &e, cancelled, user, err);
        return st != STOQ_OK ? st : stoq_fail(err, STOQ_IO, (int)e, "the input cannot be read");
    }
    if (st == STOQ_OK && in->left > PIECE_MAX) {
        st = stoq_fail(err, STOQ_MALFORMED, 0, "the input is not one of ours");
    }
    if (st != STOQ_OK || in->at_end) {
        return st;
    }
    st = take(in, p, n < in->left ? n : in->left, got, cancelled, user, err);
    in->left -= (uint32_t)*got;
    return st;
}
