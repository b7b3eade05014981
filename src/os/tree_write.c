#include "os/tree_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/beneath.h"
#include "os/file.h"
#include "os/show.h"
#include "os/sys.h"
#include "os/tree_read.h"

#define TARGET_MAX 4095
#define TEMP_NAME_PART 200 /* of the final name, so that the temporary one fits 255 bytes */

struct stoq_tree_writer {
    int parent; /* of the destination */
    int root;   /* the temporary directory */
    bool is_committed;
    bool must_chmod; /* the umask takes something from 0755 */
    char name[STOQ_BENEATH_NAME_MAX + 1];
    char temp[STOQ_BENEATH_NAME_MAX + 1];
    char shown[STOQ_SHOW_BYTES]; /* the destination, for messages */
    struct stoq_beneath beneath;
};

static enum stoq_status fail_exists(const struct stoq_tree_writer *w, struct stoq_error *err)
{
    return stoq_fail(err, STOQ_EXISTS, 0, "%s is there already", w->shown);
}

/* Split the destination into the directory it is in and its name. STOQ_RANGE, STOQ_EXISTS. */
static enum stoq_status split(struct stoq_tree_writer *w, const char *out, char *parent, size_t cap,
                              struct stoq_error *err)
{
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/') {
        n--;
    }
    size_t start = n;
    while (start > 0 && out[start - 1] != '/') {
        start--;
    }
    size_t name_bytes = n - start;
    if (n == 0 || start >= cap || name_bytes > STOQ_BENEATH_NAME_MAX) {
        return stoq_fail(err, STOQ_RANGE, 0, "the output's name is %s",
                         n == 0 ? "empty" : "too long");
    }
    memcpy(w->name, out + start, name_bytes);
    w->name[name_bytes] = 0;
    if (name_bytes == 0 || strcmp(w->name, ".") == 0 || strcmp(w->name, "..") == 0) {
        return fail_exists(w, err);
    }
    if (start == 0) {
        memcpy(parent, ".", 2);
    } else {
        memcpy(parent, out, start);
        parent[start] = 0;
    }
    return STOQ_OK;
}

static enum stoq_status make_temp(struct stoq_tree_writer *w, struct stoq_error *err)
{
    for (int attempt = 0; attempt < 16; attempt++) {
        uint32_t salt;
        stoq_entropy(&salt, sizeof salt);
        (void)snprintf(w->temp, sizeof w->temp, ".%.*s.stoq-%08x", TEMP_NAME_PART, w->name, salt);
        if (mkdirat(w->parent, w->temp, 0755) == 0) {
            w->root = openat(w->parent, w->temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (w->root >= 0) {
                return STOQ_OK;
            }
            int e = errno;
            (void)unlinkat(w->parent, w->temp, AT_REMOVEDIR);
            errno = e;
            break;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return stoq_fail(err, stoq_file_status(errno), errno, "make a directory beside the output");
}

static enum stoq_status open_root(struct stoq_tree_writer *w, const char *out,
                                  struct stoq_error *err)
{
    char parent[STOQ_BENEATH_PATH_MAX];
    char text[STOQ_SHOW_BYTES];
    enum stoq_status st = split(w, out, parent, sizeof parent, err);
    if (st != STOQ_OK) {
        return st;
    }
    w->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->parent < 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "%s",
                         stoq_show_path(text, stoq_span_str(parent)));
    }
    struct stat s;
    if (fstatat(w->parent, w->name, &s, AT_SYMLINK_NOFOLLOW) == 0) {
        return fail_exists(w, err);
    }
    st = make_temp(w, err);
    if (st != STOQ_OK) {
        return st;
    }
    if (fstat(w->root, &s) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "look at the directory just made");
    }
    w->must_chmod = (s.st_mode & 0777) != 0755;
    if (w->must_chmod && fchmod(w->root, 0755) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "set the mode of the output");
    }
    return STOQ_OK;
}

enum stoq_status stoq_tree_writer_new(struct stoq_tree_writer **out_writer, const char *out,
                                      struct stoq_error *err)
{
    struct stoq_tree_writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to write a tree");
    }
    w->parent = -1;
    w->root = -1;
    stoq_beneath_init(&w->beneath, -1);
    (void)stoq_show_path(w->shown, stoq_span_str(out));
    enum stoq_status st = open_root(w, out, err);
    if (st != STOQ_OK) {
        stoq_tree_writer_free(w);
        return st;
    }
    w->beneath.root = w->root;
    *out_writer = w;
    return STOQ_OK;
}

void stoq_tree_writer_free(struct stoq_tree_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->root >= 0) {
        stoq_beneath_release(&w->beneath);
        (void)close(w->root);
        if (!w->is_committed && stoq_tree_remove(w->parent, w->temp, NULL) != STOQ_OK) {
            /* Nothing to be done from here: the name says what is left and whose it is. */
        }
    }
    if (w->parent >= 0) {
        (void)close(w->parent);
    }
    free(w);
}

/* errno of a failed creation of path. */
static enum stoq_status fail_create(struct stoq_span path, struct stoq_error *err)
{
    char text[STOQ_SHOW_BYTES];
    stoq_show_path(text, path);
    int e = errno;
    switch (e) {
    case EEXIST:
        return stoq_fail(err, STOQ_MALFORMED, 0,
                         "%s: is there twice, or this file system takes two names for one", text);
    case EINVAL:
    case EXDEV:
    case ELOOP:
    case ENOTDIR:
    case ENOENT:
        return stoq_fail(err, STOQ_MALFORMED, e, "%s: cannot be inside the output", text);
    default:
        return stoq_fail(err, stoq_file_status(e), e, "%s: cannot be made", text);
    }
}

enum stoq_status stoq_tree_writer_directory(struct stoq_tree_writer *w, struct stoq_span path,
                                            struct stoq_error *err)
{
    char name[STOQ_BENEATH_NAME_MAX + 1];
    int dir = stoq_beneath_parent(&w->beneath, path, name);
    if (dir < 0 || mkdirat(dir, name, 0755) != 0 ||
        (w->must_chmod && fchmodat(dir, name, 0755, 0) != 0)) {
        return fail_create(path, err);
    }
    return STOQ_OK;
}

enum stoq_status stoq_tree_writer_link(struct stoq_tree_writer *w, struct stoq_span path,
                                       struct stoq_span target, struct stoq_error *err)
{
    char name[STOQ_BENEATH_NAME_MAX + 1];
    char text[TARGET_MAX + 1];
    if (target.n == 0 || target.n > TARGET_MAX) {
        errno = EINVAL;
        return fail_create(path, err);
    }
    memcpy(text, target.p, target.n);
    text[target.n] = 0;
    int dir = stoq_beneath_parent(&w->beneath, path, name);
    if (dir < 0 || symlinkat(text, dir, name) != 0) {
        return fail_create(path, err);
    }
    return STOQ_OK;
}

enum stoq_status stoq_tree_writer_file(struct stoq_tree_writer *w, struct stoq_span path,
                                       bool executable, int *fd, struct stoq_error *err)
{
    char name[STOQ_BENEATH_NAME_MAX + 1];
    const mode_t mode = executable ? 0755 : 0644;
    int dir = stoq_beneath_parent(&w->beneath, path, name);
    int got = dir < 0
                  ? -1
                  : openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (got >= 0 && w->must_chmod && fchmod(got, mode) != 0) {
        int e = errno;
        (void)close(got);
        errno = e;
        got = -1;
    }
    if (got < 0) {
        return fail_create(path, err);
    }
    *fd = got;
    return STOQ_OK;
}

/* Rename without replacing; where the file system cannot promise that, look first. */
static int rename_new(const struct stoq_tree_writer *w)
{
    if (renameat2(w->parent, w->temp, w->parent, w->name, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    struct stat s;
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (fstatat(w->parent, w->name, &s, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(w->parent, w->temp, w->parent, w->name);
}

enum stoq_status stoq_tree_writer_commit(struct stoq_tree_writer *w, bool durable,
                                         struct stoq_error *err)
{
    if (durable && syncfs(w->root) != 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "bring the output to the disk");
    }
    if (rename_new(w) != 0) {
        if (errno == EEXIST) {
            return fail_exists(w, err);
        }
        return stoq_fail(err, stoq_file_status(errno), errno, "give the output its name");
    }
    w->is_committed = true;
    if (durable && fsync(w->parent) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "bring the output's name to the disk");
    }
    return STOQ_OK;
}
