#include "input.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum stoq_status input_open(struct input *in, const char *path, struct stoq_error *err)
{
    if (strcmp(path, "-") == 0) {
        *in = (struct input){STDIN_FILENO, "standard input"};
        return STOQ_OK;
    }
    *in = (struct input){open(path, O_RDONLY | O_CLOEXEC), path};
    if (in->fd < 0) {
        return stoq_fail(err, stoq_file_status(errno), errno, "cannot open %s", path);
    }
    struct stat st;
    if (fstat(in->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        input_close(in);
        return stoq_fail(err, STOQ_IO, EISDIR, "cannot read %s", path);
    }
    (void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return STOQ_OK;
}

void input_close(struct input *in)
{
    if (in->fd > STDIN_FILENO) {
        (void)close(in->fd);
    }
    in->fd = -1;
}

enum stoq_status input_read(struct input *in, void *p, size_t n, size_t *got,
                            struct stoq_error *err)
{
    *got = 0;
    while (*got < n) {
        ssize_t r = read(in->fd, (uint8_t *)p + *got, n - *got);
        if (r == 0) {
            break;
        }
        if (r > 0) {
            *got += (size_t)r;
        } else if (errno != EINTR) {
            return stoq_fail(err, STOQ_IO, errno, "cannot read %s", in->name);
        }
    }
    return STOQ_OK;
}
