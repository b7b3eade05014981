/*
 * The listing is made breadth first: the list of entries is its own queue. Directory i is opened by
 * its path from the root, its names are appended, then comes the next directory in the list. So there
 * is no recursion, and one descriptor is open at a time however deep the tree is. One sort by whole
 * path afterwards gives the order of the format; sorting directory by directory would not, since
 * "a-b" sorts between "a" and "a/b".
 *
 * Paths lie NUL-terminated in blocks that are never moved, a link's target right behind its path; an
 * entry is 48 bytes. Whether a name is a file, and its size, comes from one fstatat; directories and
 * links cost none where the file system tells their type.
 */
#include "os/tree_read.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "os/show.h"

#define BLOCK_BYTES ((size_t)256 * 1024)
#define CANCEL_EVERY 256 /* entries between two looks at cancelled */

struct block {
    struct block *next;
    size_t n;
    char p[];
};

struct item {
    const char *path; /* NUL, then the target of a link, NUL */
    uint16_t path_bytes;
    uint16_t target_bytes;
    uint8_t kind;
    uint64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
    uint64_t inode;
};

struct stoq_tree {
    char *root_path; /* as given, for messages */
    char *real_path; /* absolute, without links; NULL: not to be had */
    int root;        /* the directory, or the single file */
    bool is_single;
    struct stoq_beneath beneath;
    struct block *blocks;
    struct item *items;
    size_t count;
    size_t cap;
    bool (*cancelled)(void *user);
    void *user;
};

static int64_t ns_of(struct timespec t)
{
    return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

/* Keep what a regular file is like. */
static void take_file(struct item *it, const struct stat *st)
{
    it->size = (uint64_t)st->st_size;
    it->mtime_ns = ns_of(st->st_mtim);
    it->ctime_ns = ns_of(st->st_ctim);
    it->inode = st->st_ino;
}

static enum stoq_tree_kind file_kind(const struct stat *st)
{
    return (st->st_mode & S_IXUSR) != 0 ? STOQ_TREE_EXECUTABLE : STOQ_TREE_FILE;
}

/* root/path, or root alone, fit for a message. */
static const char *show(char out[STOQ_SHOW_BYTES], const struct stoq_tree *t, const char *path)
{
    char text[2 * STOQ_TREE_PATH_MAX + 512];
    size_t n = strnlen(t->root_path, STOQ_TREE_PATH_MAX);
    memcpy(text, t->root_path, n);
    if (path != NULL && !t->is_single) {
        size_t path_bytes = strnlen(path, STOQ_TREE_PATH_MAX + 256);
        if (n > 0 && text[n - 1] != '/') {
            text[n++] = '/';
        }
        memcpy(text + n, path, path_bytes);
        n += path_bytes;
    }
    return stoq_show_path(out, stoq_span(text, n));
}

static enum stoq_status fail_at(const struct stoq_tree *t, const char *path, enum stoq_status st,
                                int sys_errno, const char *what, struct stoq_error *err)
{
    char text[STOQ_SHOW_BYTES];
    return stoq_fail(err, st, sys_errno, "%s: %s", show(text, t, path), what);
}

/* A failed look at a name that was listed a moment ago. */
static enum stoq_status fail_gone(const struct stoq_tree *t, const char *path, const char *what,
                                  struct stoq_error *err)
{
    int e = errno;
    if (e == ENOENT || e == ELOOP || e == ENOTDIR || e == EXDEV) {
        return fail_at(t, path, STOQ_BUSY, 0, "changed while it was read", err);
    }
    return fail_at(t, path, e == ENOMEM ? STOQ_NOMEM : STOQ_IO, e, what, err);
}

/* Room for n bytes that stay where they are. */
static char *keep(struct stoq_tree *t, size_t n)
{
    struct block *b = t->blocks;
    if (b == NULL || BLOCK_BYTES - sizeof *b - b->n < n) {
        b = malloc(BLOCK_BYTES);
        if (b == NULL) {
            return NULL;
        }
        b->next = t->blocks;
        b->n = 0;
        t->blocks = b;
    }
    char *p = b->p + b->n;
    b->n += n;
    return p;
}

static struct item *append_item(struct stoq_tree *t)
{
    if (t->count == t->cap) {
        size_t cap = t->cap == 0 ? 256 : t->cap * 2;
        struct item *items = realloc(t->items, cap * sizeof *items);
        if (items == NULL) {
            return NULL;
        }
        t->items = items;
        t->cap = cap;
    }
    struct item *it = &t->items[t->count++];
    memset(it, 0, sizeof *it);
    return it;
}

/* What else the kernel tells about a name: fill it, or say why it cannot be part of a tree. */
static enum stoq_status look(struct stoq_tree *t, int dir, const char *name, struct item *it,
                             char *target, struct stoq_error *err)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_gone(t, it->path, "cannot be looked at", err);
    }
    if (S_ISREG(st.st_mode)) {
        it->kind = (uint8_t)file_kind(&st);
        take_file(it, &st);
        return STOQ_OK;
    }
    if (S_ISDIR(st.st_mode)) {
        it->kind = STOQ_TREE_DIRECTORY;
        return STOQ_OK;
    }
    if (!S_ISLNK(st.st_mode)) {
        return fail_at(t, it->path, STOQ_IO, 0,
                       "is neither a file, a directory nor a symbolic link", err);
    }
    ssize_t n = readlinkat(dir, name, target, STOQ_TREE_PATH_MAX);
    if (n < 0) {
        return fail_gone(t, it->path, "cannot be read", err);
    }
    if (n == 0 || n >= STOQ_TREE_PATH_MAX) {
        return fail_at(t, it->path, STOQ_RANGE, 0, "is a link of more than 4095 bytes", err);
    }
    it->kind = STOQ_TREE_LINK;
    it->target_bytes = (uint16_t)n;
    return STOQ_OK;
}

/* The path of a name in the directory `above`, kept; NULL: no memory. */
static char *keep_path(struct stoq_tree *t, const struct item *above, const char *name, size_t n)
{
    size_t up = above == NULL ? 0 : above->path_bytes + (size_t)1;
    char *path = keep(t, up + n + 1);
    if (path != NULL && up > 0) {
        memcpy(path, above->path, up - 1);
        path[up - 1] = '/';
    }
    if (path != NULL) {
        memcpy(path + up, name, n + 1);
    }
    return path;
}

static enum stoq_status add_name(struct stoq_tree *t, size_t above, int dir, const struct dirent *d,
                                 struct stoq_error *err)
{
    const struct item *up = above == SIZE_MAX ? NULL : &t->items[above];
    size_t n = strlen(d->d_name);
    size_t path_bytes = (up == NULL ? 0 : up->path_bytes + (size_t)1) + n;
    if (t->count == STOQ_TREE_ENTRIES_MAX) {
        return fail_at(t, NULL, STOQ_RANGE, 0, "has more than 16777216 entries", err);
    }
    if (path_bytes > STOQ_TREE_PATH_MAX) {
        return fail_at(t, up == NULL ? NULL : up->path, STOQ_RANGE, 0,
                       "holds a path of more than 4096 bytes", err);
    }
    const char *path = keep_path(t, up, d->d_name, n);
    struct item *it = path == NULL ? NULL : append_item(t);
    if (it == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
    }
    it->path = path;
    it->path_bytes = (uint16_t)path_bytes;
    if (d->d_type == DT_DIR) {
        it->kind = STOQ_TREE_DIRECTORY;
        return STOQ_OK;
    }
    char target[STOQ_TREE_PATH_MAX];
    enum stoq_status st = look(t, dir, d->d_name, it, target, err);
    if (st == STOQ_OK && it->kind == STOQ_TREE_LINK) {
        /* Path and target lie together: keep both anew where the block has no room behind. */
        size_t bytes = path_bytes + 1 + it->target_bytes + 1;
        char *both = keep(t, bytes);
        if (both == NULL) {
            return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
        }
        memcpy(both, path, path_bytes + 1);
        memcpy(both + path_bytes + 1, target, it->target_bytes);
        both[bytes - 1] = 0;
        it->path = both;
    }
    return st;
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0));
}

/* Append the names of one directory (SIZE_MAX: the root); takes fd. */
static enum stoq_status list_directory(struct stoq_tree *t, size_t above, int fd,
                                       struct stoq_error *err)
{
    const char *path = above == SIZE_MAX ? NULL : t->items[above].path;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd);
        return fail_at(t, path, STOQ_NOMEM, errno, "cannot be listed", err);
    }
    enum stoq_status st = STOQ_OK;
    while (st == STOQ_OK) {
        errno = 0;
        const struct dirent *d = readdir(dir);
        if (d == NULL) {
            if (errno != 0) {
                st = fail_at(t, path, STOQ_IO, errno, "cannot be listed", err);
            }
            break;
        }
        if (!is_dots(d->d_name)) {
            st = add_name(t, above, fd, d, err);
        }
        if (st == STOQ_OK && t->count % CANCEL_EVERY == 0 && t->cancelled != NULL &&
            t->cancelled(t->user)) {
            st = stoq_fail(err, STOQ_CANCELLED, 0, "interrupted");
        }
    }
    (void)closedir(dir);
    return st;
}

static enum stoq_status list_all(struct stoq_tree *t, struct stoq_error *err)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int fd = openat(t->root, ".", flags);
    if (fd < 0) {
        return fail_at(t, NULL, STOQ_IO, errno, "cannot be listed", err);
    }
    enum stoq_status st = list_directory(t, SIZE_MAX, fd, err);
    for (size_t i = 0; st == STOQ_OK && i < t->count; i++) {
        if (t->items[i].kind != STOQ_TREE_DIRECTORY) {
            continue;
        }
        fd = stoq_beneath_open(t->root, t->items[i].path, flags, 0);
        st = fd < 0 ? fail_gone(t, t->items[i].path, "cannot be listed", err)
                    : list_directory(t, i, fd, err);
    }
    return st;
}

static enum stoq_status list_single(struct stoq_tree *t, const char *path, const struct stat *st,
                                    struct stoq_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    t->is_single = true;
    const char *kept = keep_path(t, NULL, name, strlen(name));
    struct item *it = kept == NULL ? NULL : append_item(t);
    if (it == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
    }
    it->path = kept;
    it->path_bytes = (uint16_t)strlen(name);
    it->kind = (uint8_t)file_kind(st);
    take_file(it, st);
    return STOQ_OK;
}

static int item_cmp(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    return stoq_span_cmp(stoq_span(x->path, x->path_bytes), stoq_span(y->path, y->path_bytes));
}

/* The tree of an open directory or file; takes fd, path is for messages and a single file's name. */
static enum stoq_status list_open(struct stoq_tree **out, int fd, const char *path,
                                  bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    struct stoq_tree *t = calloc(1, sizeof *t);
    if (t == NULL || (t->root_path = strdup(path)) == NULL) {
        free(t);
        (void)close(fd);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of files");
    }
    t->real_path = realpath(path, NULL);
    t->root = fd;
    t->cancelled = cancelled;
    t->user = user;
    stoq_beneath_init(&t->beneath, fd);
    struct stat st;
    enum stoq_status result;
    if (fstat(fd, &st) != 0) {
        result = fail_at(t, NULL, STOQ_IO, errno, "cannot be looked at", err);
    } else if (S_ISDIR(st.st_mode)) {
        result = list_all(t, err);
    } else if (S_ISREG(st.st_mode)) {
        result = list_single(t, path, &st, err);
    } else {
        result = fail_at(t, NULL, STOQ_RANGE, 0, "is neither a directory nor a file", err);
    }
    if (result != STOQ_OK) {
        stoq_tree_free(t);
        return result;
    }
    if (t->count > 1) {
        qsort(t->items, t->count, sizeof t->items[0], item_cmp);
    }
    *out = t;
    return STOQ_OK;
}

enum stoq_status stoq_tree_list(struct stoq_tree **out, const char *path,
                                bool (*cancelled)(void *user), void *user, struct stoq_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        int e = errno;
        char text[STOQ_SHOW_BYTES];
        enum stoq_status st = e == ENOENT || e == ENOTDIR ? STOQ_NOTFOUND : STOQ_IO;
        return stoq_fail(err, st, e, "%s", stoq_show_path(text, stoq_span_str(path)));
    }
    return list_open(out, fd, path, cancelled, user, err);
}

void stoq_tree_free(struct stoq_tree *tree)
{
    if (tree == NULL) {
        return;
    }
    stoq_beneath_release(&tree->beneath);
    (void)close(tree->root);
    while (tree->blocks != NULL) {
        struct block *b = tree->blocks;
        tree->blocks = b->next;
        free(b);
    }
    free(tree->items);
    free(tree->root_path);
    free(tree->real_path);
    free(tree);
}

size_t stoq_tree_count(const struct stoq_tree *tree)
{
    return tree->count;
}

struct stoq_tree_entry stoq_tree_at(const struct stoq_tree *tree, size_t i)
{
    STOQ_ASSERT(i < tree->count);
    const struct item *it = &tree->items[i];
    struct stoq_tree_entry e = {
        .path = stoq_span(it->path, it->path_bytes),
        .kind = (enum stoq_tree_kind)it->kind,
        .size = it->size,
    };
    if (e.kind == STOQ_TREE_LINK) {
        e.target = stoq_span(it->path + it->path_bytes + 1, it->target_bytes);
    }
    return e;
}

struct stoq_tree_identity stoq_tree_identity_at(const struct stoq_tree *tree, size_t i)
{
    STOQ_ASSERT(i < tree->count);
    const struct item *it = &tree->items[i];
    return (struct stoq_tree_identity){it->size, it->mtime_ns, it->ctime_ns, it->inode};
}

enum stoq_status stoq_tree_path(const struct stoq_tree *tree, size_t i, struct stoq_buf *out)
{
    STOQ_ASSERT(i < tree->count);
    const struct item *it = &tree->items[i];
    stoq_buf_clear(out);
    if (tree->real_path == NULL) {
        return STOQ_IO;
    }
    enum stoq_status st = stoq_buf_add(out, stoq_span_str(tree->real_path));
    if (st == STOQ_OK && !tree->is_single) {
        st = stoq_buf_add(out, stoq_span("/", tree->real_path[1] != 0 ? 1 : 0));
    }
    if (st == STOQ_OK && !tree->is_single) {
        st = stoq_buf_add(out, stoq_span(it->path, it->path_bytes));
    }
    return st == STOQ_OK && out->n > STOQ_TREE_PATH_MAX ? STOQ_FULL : st;
}

void stoq_tree_where(const struct stoq_tree *tree, struct stoq_beneath *where)
{
    stoq_beneath_init(where, tree->root);
}

enum stoq_status stoq_tree_open(struct stoq_tree *tree, size_t i, int *fd, struct stoq_error *err)
{
    return stoq_tree_open_with(tree, &tree->beneath, i, fd, err);
}

enum stoq_status stoq_tree_open_with(const struct stoq_tree *tree, struct stoq_beneath *where,
                                     size_t i, int *fd, struct stoq_error *err)
{
    STOQ_ASSERT(i < tree->count);
    const struct item *it = &tree->items[i];
    int got;
    if (tree->is_single) {
        got = fcntl(tree->root, F_DUPFD_CLOEXEC, 0);
    } else {
        char name[STOQ_BENEATH_NAME_MAX + 1];
        int dir = stoq_beneath_parent(where, stoq_span(it->path, it->path_bytes), name);
        got = dir < 0
                  ? -1
                  : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    if (got < 0) {
        return fail_gone(tree, it->path, "cannot be read", err);
    }
    *fd = got;
    return STOQ_OK;
}

enum stoq_status stoq_tree_read(const struct stoq_tree *tree, size_t i, int fd, void *p, size_t n,
                                uint64_t offset, struct stoq_error *err)
{
    enum stoq_status st = stoq_file_pread_all(fd, p, n, offset);
    if (st == STOQ_OK) {
        return st;
    }
    const char *path = tree->items[i].path;
    if (st == STOQ_TRUNC) {
        return fail_at(tree, path, STOQ_BUSY, 0, "changed while it was read", err);
    }
    return fail_at(tree, path, STOQ_IO, errno, "cannot be read", err);
}

enum stoq_status stoq_tree_close(const struct stoq_tree *tree, size_t i, int fd,
                                 struct stoq_error *err)
{
    const struct item *it = &tree->items[i];
    struct stat st;
    bool looked = fstat(fd, &st) == 0;
    (void)close(fd);
    if (!looked || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != it->size ||
        st.st_ino != it->inode || ns_of(st.st_mtim) != it->mtime_ns) {
        return fail_at(tree, it->path, STOQ_BUSY, 0, "changed while it was read", err);
    }
    return STOQ_OK;
}

enum stoq_status stoq_tree_remove(int dir_fd, const char *name, struct stoq_error *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "%s", name);
    }
    struct stoq_tree *t = NULL;
    enum stoq_status st = list_open(&t, fd, name, NULL, NULL, err);
    if (st != STOQ_OK || t == NULL) {
        return st;
    }
    /* From the end: what is in a directory sorts after it. */
    for (size_t i = t->count; st == STOQ_OK && i > 0; i--) {
        const struct item *it = &t->items[i - 1];
        char last[STOQ_BENEATH_NAME_MAX + 1];
        int dir = stoq_beneath_parent(&t->beneath, stoq_span(it->path, it->path_bytes), last);
        int flags = it->kind == STOQ_TREE_DIRECTORY ? AT_REMOVEDIR : 0;
        if (dir < 0 || unlinkat(dir, last, flags) != 0) {
            st = fail_at(t, it->path, STOQ_IO, errno, "cannot be removed", err);
        }
    }
    stoq_tree_free(t);
    if (st == STOQ_OK && unlinkat(dir_fd, name, AT_REMOVEDIR) != 0) {
        st = stoq_fail(err, STOQ_IO, errno, "%s: cannot be removed", name);
    }
    return st;
}
