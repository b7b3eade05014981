#include "os/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file.h"
#include "os/show.h"
#include "os/sys.h"

#define NAME_BYTES_MAX 255
#define TEMP_NAME_PART 200 /* of the final name, so that the temporary one fits 255 bytes */

struct stoq_outfile {
    int parent; /* directory of the destination */
    int fd;
    bool is_committed;
    char name[NAME_BYTES_MAX + 1];
    char temp[NAME_BYTES_MAX + 1];
    char shown[STOQ_SHOW_BYTES]; /* the destination, for messages */
};

static enum stoq_status fail_exists(const struct stoq_outfile *f, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_EXISTS, "OutputExists",
                          "%s is there already; nothing was written", f->shown);
}

static enum stoq_status fail_write(const struct stoq_outfile *f, enum stoq_status st,
                                   struct stoq_error *err)
{
    return stoq_fail(err, st, errno, "%s cannot be written", f->shown);
}

/* Open the destination's directory and keep the name in it. */
static enum stoq_status open_parent(struct stoq_outfile *f, const char *path,
                                    struct stoq_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t n = strlen(name);
    if (n == 0 || n > NAME_BYTES_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return stoq_fail(err, STOQ_RANGE, 0, "%s is no name for a file", f->shown);
    }
    memcpy(f->name, name, n + 1);
    char *dir = slash != NULL ? strndup(path, (size_t)(slash + 1 - path)) : strdup(".");
    if (dir == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to write a file");
    }
    f->parent = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (f->parent < 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "the directory of %s", f->shown);
    }
    struct stat s;
    return fstatat(f->parent, f->name, &s, AT_SYMLINK_NOFOLLOW) == 0 ? fail_exists(f, err)
                                                                     : STOQ_OK;
}

static enum stoq_status make_temp(struct stoq_outfile *f, struct stoq_error *err)
{
    for (int attempt = 0; attempt < 16; attempt++) {
        uint32_t salt;
        stoq_entropy(&salt, sizeof salt);
        (void)snprintf(f->temp, sizeof f->temp, ".%.*s.stoq-%08x", TEMP_NAME_PART, f->name, salt);
        f->fd =
            openat(f->parent, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (f->fd >= 0) {
            return STOQ_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return fail_write(f, stoq_file_status(errno), err);
}

enum stoq_status stoq_outfile_new(struct stoq_outfile **out, const char *path,
                                  struct stoq_error *err)
{
    struct stoq_outfile *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory to write a file");
    }
    f->parent = -1;
    f->fd = -1;
    (void)stoq_show_path(f->shown, stoq_span_str(path));
    enum stoq_status st = open_parent(f, path, err);
    if (st == STOQ_OK) {
        st = make_temp(f, err);
    }
    if (st != STOQ_OK) {
        stoq_outfile_free(f);
        return st;
    }
    *out = f;
    return STOQ_OK;
}

enum stoq_status stoq_outfile_make_private(struct stoq_outfile *f, struct stoq_error *err)
{
    return fchmod(f->fd, 0600) == 0 ? STOQ_OK : fail_write(f, STOQ_IO, err);
}

void stoq_outfile_free(struct stoq_outfile *f)
{
    if (f == NULL) {
        return;
    }
    if (f->fd >= 0) {
        (void)close(f->fd);
        if (!f->is_committed) {
            (void)unlinkat(f->parent, f->temp, 0);
        }
    }
    if (f->parent >= 0) {
        (void)close(f->parent);
    }
    free(f);
}

enum stoq_status stoq_outfile_write(struct stoq_outfile *f, struct stoq_span s,
                                    struct stoq_error *err)
{
    enum stoq_status st = stoq_file_write_all(f->fd, s);
    return st == STOQ_OK ? st : fail_write(f, st, err);
}

/* Never over something that came meanwhile: the rename refuses that, and where a file system has no
 * such rename, a hard link does. */
static int link_new(const struct stoq_outfile *f)
{
    if (renameat2(f->parent, f->temp, f->parent, f->name, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (linkat(f->parent, f->temp, f->parent, f->name, 0) != 0) {
        return -1;
    }
    return unlinkat(f->parent, f->temp, 0);
}

enum stoq_status stoq_outfile_commit(struct stoq_outfile *f, struct stoq_error *err)
{
    if (fsync(f->fd) != 0) {
        return fail_write(f, stoq_file_status(errno), err);
    }
    if (link_new(f) != 0) {
        return errno == EEXIST ? fail_exists(f, err) : fail_write(f, stoq_file_status(errno), err);
    }
    f->is_committed = true;
    if (fsync(f->parent) != 0) {
        return fail_write(f, STOQ_IO, err);
    }
    return STOQ_OK;
}
