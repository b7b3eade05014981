/*
 * The recorder: this program's own open, write, fsync, rename ... take the place of the C
 * library's, for the store's code and for LMDB alike, make the system call and note it. Which files
 * belong to the folder is known by inode: a folder that is in the log has whatever is created in it
 * in the log too. One lock is held over call and note, so that the log's order is the real one.
 *
 * What LMDB does to lock.mdb through its map is not seen; it begins that file anew whenever no
 * process has it.
 */
#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct crash_log *recording;
static struct {
    enum crash_kind kind;
    unsigned left; /* the call that brings it to 0 fails */
    bool write_fails;
    int e;
} fault;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct crash_log *crash_log_new(void)
{
    void *p = mmap(NULL, sizeof(struct crash_log), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void crash_log_free(struct crash_log *log)
{
    if (log != NULL) {
        (void)munmap(log, sizeof *log);
    }
}

bool crash_log_save(const struct crash_log *log, const char *path)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) {
        return false;
    }
    size_t n = offsetof(struct crash_log, data) + log->used;
    bool good = fwrite(log, 1, n, f) == n;
    return fclose(f) == 0 && good;
}

bool crash_log_load(struct crash_log *log, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return false;
    }
    size_t got = fread(log, 1, sizeof *log, f);
    (void)fclose(f);
    return got > offsetof(struct crash_log, data) &&
           got == offsetof(struct crash_log, data) + log->used && log->op_count <= CRASH_OPS_MAX &&
           log->inode_count <= CRASH_INODES_MAX;
}

static struct crash_op *note(enum crash_kind kind)
{
    if (recording->op_count == CRASH_OPS_MAX) {
        recording->overflow = 1;
        return NULL;
    }
    struct crash_op *op = &recording->op[recording->op_count++];
    *op = (struct crash_op){.kind = kind};
    return op;
}

static int known(const struct stat *sb)
{
    for (uint32_t i = recording->inode_count; i > 0; i--) {
        const struct crash_inode *in = &recording->inode[i - 1];
        if (in->ino == sb->st_ino && in->dev == sb->st_dev) {
            return (int)i - 1;
        }
    }
    return -1;
}

/* The log's number of an open file; -1: not ours. Errno is kept. */
static int inode_of_fd(int fd)
{
    struct stat sb;
    int e = errno;
    int found = recording != NULL && fstat(fd, &sb) == 0 ? known(&sb) : -1;
    errno = e;
    return found;
}

/* The log's number of the folder that path (from dirfd) is in; base: its last component. */
static int parent_of(int dirfd, const char *path, char base[CRASH_NAME_MAX])
{
    if (recording == NULL || strlen(path) > 4000) {
        return -1;
    }
    char a[4096];
    char b[4096];
    (void)snprintf(a, sizeof a, "%s", path);
    (void)snprintf(b, sizeof b, "%s", path);
    const char *last = basename(b);
    struct stat sb;
    int e = errno;
    int found = fstatat(dirfd, dirname(a), &sb, 0) == 0 ? known(&sb) : -1;
    errno = e;
    if (found >= 0) {
        (void)snprintf(base, CRASH_NAME_MAX, "%.*s", CRASH_NAME_MAX - 1, last);
    }
    return found;
}

static uint32_t inode_add(const struct stat *sb, const char *name)
{
    if (recording->inode_count == CRASH_INODES_MAX) {
        recording->overflow = 1;
        return 0;
    }
    struct crash_inode *in = &recording->inode[recording->inode_count];
    *in = (struct crash_inode){
        .dev = sb->st_dev, .ino = sb->st_ino, .is_dir = S_ISDIR(sb->st_mode) != 0};
    (void)snprintf(in->name, sizeof in->name, "%s", name);
    return recording->inode_count++;
}

static void note_new(enum crash_kind kind, int parent, const char *name, const struct stat *sb)
{
    struct crash_op *op = note(kind);
    if (op != NULL) {
        op->parent = (uint32_t)parent;
        op->inode = inode_add(sb, name);
        (void)snprintf(op->name, sizeof op->name, "%s", name);
    }
}

static void note_write(int fd, const void *p, size_t n, uint64_t offset)
{
    int inode = inode_of_fd(fd);
    if (inode < 0) {
        return;
    }
    struct crash_op *op = n <= CRASH_DATA_MAX - recording->used ? note(CRASH_WRITE) : NULL;
    if (op == NULL) {
        recording->overflow = 1;
        return;
    }
    op->inode = (uint32_t)inode;
    op->durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
    op->offset = offset;
    op->n = n;
    op->data = recording->used;
    memcpy(recording->data + op->data, p, n);
    recording->used += n;
}

static void note_size(int inode, uint64_t n)
{
    struct crash_op *op = note(CRASH_TRUNCATE);
    if (op != NULL) {
        op->inode = (uint32_t)inode;
        op->n = n;
    }
}

bool crash_record(struct crash_log *log, const char *dir)
{
    recording = NULL;
    struct stat sb;
    if (dir == NULL) {
        return true;
    }
    if (stat(dir, &sb) != 0) {
        return false;
    }
    log->op_count = 0;
    log->base_count = 0;
    log->inode_count = 0;
    log->overflow = 0;
    log->used = 0;
    recording = log;
    (void)inode_add(&sb, "");
    return true;
}

static void note_mark(enum crash_kind kind, uint32_t key, bool deleted)
{
    (void)pthread_mutex_lock(&lock);
    struct crash_op *op = note(kind);
    if (op != NULL) {
        op->key = key;
        op->deleted = deleted;
    }
    (void)pthread_mutex_unlock(&lock);
}

void crash_record_touch(uint32_t key, bool deleted)
{
    note_mark(CRASH_TOUCH, key, deleted);
}

void crash_record_ack(void)
{
    note_mark(CRASH_ACK, 0, false);
}

void crash_record_kill(void)
{
    note_mark(CRASH_KILL, 0, false);
}

void crash_record_doubt(uint32_t key)
{
    note_mark(CRASH_DOUBT, key, false);
}

void crash_record_fail(enum crash_kind kind, unsigned nth, int with_errno)
{
    (void)pthread_mutex_lock(&lock);
    fault.kind = kind;
    fault.left = nth;
    fault.e = with_errno;
    fault.write_fails = false;
    (void)pthread_mutex_unlock(&lock);
}

static bool fails_now(enum crash_kind kind, int inode)
{
    if (inode < 0 || fault.kind != kind || fault.left == 0) {
        return false;
    }
    fault.left--;
    return fault.left == 0;
}

/* How much of a write is let through; -1: it fails. */
static ssize_t let_write(int fd, size_t n)
{
    int inode = inode_of_fd(fd);
    if (inode >= 0 && fault.write_fails) {
        fault.write_fails = false;
        errno = fault.e;
        return -1;
    }
    if (!fails_now(CRASH_WRITE, inode)) {
        return (ssize_t)n;
    }
    fault.write_fails = true;
    return n < 2 ? 1 : (ssize_t)n / 2;
}

void crash_record_base(void)
{
    for (uint32_t i = 0; i < recording->inode_count; i++) {
        struct crash_op *op = note(CRASH_SYNC);
        if (op != NULL) {
            op->inode = i;
            op->durable = true;
        }
    }
    recording->base_count = recording->op_count;
}

/* --- in the C library's place; its headers name parameters otherwise --- */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
    char base[CRASH_NAME_MAX];
    (void)pthread_mutex_lock(&lock);
    int parent = (flags & (O_CREAT | O_TRUNC)) != 0 ? parent_of(dirfd, path, base) : -1;
    struct stat sb;
    int e = errno;
    bool was = parent >= 0 && fstatat(dirfd, path, &sb, AT_SYMLINK_NOFOLLOW) == 0;
    errno = e;
    int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    if (fd >= 0 && parent >= 0) {
        if (!was && fstat(fd, &sb) == 0) {
            note_new(CRASH_CREATE, parent, base, &sb);
        } else if ((flags & O_TRUNC) != 0 && known(&sb) >= 0) {
            note_size(known(&sb), 0);
        }
    }
    (void)pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE_OF(flags)                                                                             \
    mode_t mode = 0;                                                                               \
    if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {                                                \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode = va_arg(ap, mode_t);                                                                 \
        va_end(ap);                                                                                \
    }

int open(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dirfd, path, flags, mode);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    (void)pthread_mutex_lock(&lock);
    ssize_t let = let_write(fd, n);
    ssize_t got = let < 0 ? -1 : syscall(SYS_pwrite64, fd, p, (size_t)let, offset);
    if (got > 0) {
        note_write(fd, p, (size_t)got, (uint64_t)offset);
    }
    (void)pthread_mutex_unlock(&lock);
    return got;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset)
{
    return pwrite(fd, p, n, offset);
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (inode_of_fd(fd) < 0) {
        return syscall(SYS_write, fd, p, n);
    }
    (void)pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t let = let_write(fd, n);
    ssize_t got = let < 0 ? -1 : syscall(SYS_write, fd, p, (size_t)let);
    if (got > 0) {
        note_write(fd, p, (size_t)got, (uint64_t)at);
    }
    (void)pthread_mutex_unlock(&lock);
    return got;
}

ssize_t writev(int fd, const struct iovec *v, int count)
{
    if (inode_of_fd(fd) < 0) {
        return syscall(SYS_writev, fd, v, count);
    }
    (void)pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t let = let_write(fd, v[0].iov_len);
    bool whole = let == (ssize_t)v[0].iov_len;
    ssize_t got = -1;
    if (let >= 0) {
        got = whole ? syscall(SYS_writev, fd, v, count)
                    : syscall(SYS_write, fd, v[0].iov_base, (size_t)let);
    }
    size_t left = got > 0 ? (size_t)got : 0;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = v[i].iov_len < left ? v[i].iov_len : left;
        note_write(fd, v[i].iov_base, n, (uint64_t)at);
        at += (off_t)n;
        left -= n;
    }
    (void)pthread_mutex_unlock(&lock);
    return got;
}

static int do_sync(int fd, long call)
{
    (void)pthread_mutex_lock(&lock);
    int inode = inode_of_fd(fd);
    bool lost = fails_now(CRASH_SYNC, inode);
    int rc = lost ? -1 : (int)syscall(call, fd);
    struct crash_op *op = inode >= 0 && (rc == 0 || lost) ? note(CRASH_SYNC) : NULL;
    if (op != NULL) {
        op->kind = lost ? CRASH_LOST : CRASH_SYNC;
        op->inode = (uint32_t)inode;
        op->data_only = call == SYS_fdatasync;
    }
    errno = lost ? fault.e : errno;
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int fsync(int fd)
{
    return do_sync(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return do_sync(fd, SYS_fdatasync);
}

int ftruncate(int fd, off_t n)
{
    (void)pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_ftruncate, fd, n);
    int inode = inode_of_fd(fd);
    if (rc == 0 && inode >= 0) {
        note_size(inode, (uint64_t)n);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}

int renameat(int from, const char *a, int to, const char *b)
{
    char name[CRASH_NAME_MAX];
    char name2[CRASH_NAME_MAX];
    (void)pthread_mutex_lock(&lock);
    int parent = parent_of(from, a, name);
    int parent2 = parent_of(to, b, name2);
    int rc = (int)syscall(SYS_renameat, from, a, to, b);
    struct crash_op *op = rc == 0 && parent >= 0 && parent2 >= 0 ? note(CRASH_RENAME) : NULL;
    if (op != NULL) {
        op->parent = (uint32_t)parent;
        op->parent2 = (uint32_t)parent2;
        (void)snprintf(op->name, sizeof op->name, "%s", name);
        (void)snprintf(op->name2, sizeof op->name2, "%s", name2);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int rename(const char *a, const char *b)
{
    return renameat(AT_FDCWD, a, AT_FDCWD, b);
}

int unlinkat(int dirfd, const char *path, int flags)
{
    char name[CRASH_NAME_MAX];
    (void)pthread_mutex_lock(&lock);
    int parent = parent_of(dirfd, path, name);
    int rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);
    struct crash_op *op = rc == 0 && parent >= 0 ? note(CRASH_UNLINK) : NULL;
    if (op != NULL) {
        op->parent = (uint32_t)parent;
        (void)snprintf(op->name, sizeof op->name, "%s", name);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    char name[CRASH_NAME_MAX];
    struct stat sb;
    (void)pthread_mutex_lock(&lock);
    int parent = parent_of(dirfd, path, name);
    int rc = (int)syscall(SYS_mkdirat, dirfd, path, mode);
    if (rc == 0 && parent >= 0 && fstatat(dirfd, path, &sb, 0) == 0) {
        note_new(CRASH_MKDIR, parent, name, &sb);
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
