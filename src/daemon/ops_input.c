#include "daemon/ops_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static enum stoq_status open_file(struct op_input *in, struct stoq_error *err)
{
    const char *path = (const char *)in->path.p;
    struct stat info;
    in->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (in->fd < 0) {
        return stoq_fail(err, errno == ENOENT ? STOQ_NOTFOUND : STOQ_IO, errno, "open %.300s",
                         path);
    }
    if (fstat(in->fd, &info) != 0) {
        return stoq_fail(err, STOQ_IO, errno, "look at %.300s", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return stoq_fail(err, STOQ_RANGE, 0, "%.300s is no regular file; pipe it into - instead",
                         path);
    }
    (void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    in->bytes_total = (uint64_t)info.st_size;
    return STOQ_OK;
}

bool op_input_is_fed(const json_t *args)
{
    return json_object_get(args, "input") != NULL || json_object_get(args, "input_b64") != NULL;
}

enum stoq_status op_input_open(struct op_input *in, const json_t *args, struct stoq_error *err)
{
    bool is_fed = op_input_is_fed(args);
    stoq_buf_init(&in->path, OP_PATH_MAX);
    in->fd = -1;
    in->intake.fd = -1;
    in->bytes_total = 0;
    enum stoq_status st = stoq_json_path(args, is_fed ? "input" : "path", &in->path, err);
    if (st != STOQ_OK) {
        return st;
    }
    return is_fed ? stoq_intake_open(&in->intake, (const char *)in->path.p, err)
                  : open_file(in, err);
}

void op_input_close(struct op_input *in)
{
    if (in->fd >= 0) {
        (void)close(in->fd);
    }
    stoq_intake_close(&in->intake);
    stoq_buf_release(&in->path);
}

enum stoq_status op_input_read(void *user, uint8_t *p, size_t n, size_t *got,
                               struct stoq_error *err)
{
    struct op_input *in = user;
    if (in->fd < 0) {
        return stoq_intake_read(&in->intake, p, n, got, op_cancelled, in->io, err);
    }
    ssize_t r;
    do {
        r = read(in->fd, p, n);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        return stoq_fail(err, STOQ_IO, errno, "read %.300s", (const char *)in->path.p);
    }
    *got = (size_t)r;
    return STOQ_OK;
}
