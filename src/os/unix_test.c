#include "os/unix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void make_dir(char dir[64])
{
    (void)snprintf(dir, 64, "/tmp/stoq-unix-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static int listen_at(const char *path)
{
    int fd = -1;
    struct stoq_error err;
    if (stoq_unix_listen(path, &fd, &err) != STOQ_OK) {
        fail_msg("%s", err.text);
    }
    return fd;
}

static void test_listen(void **state)
{
    char dir[64];
    char path[96];
    struct stat info;
    struct stoq_error err;
    int other;
    make_dir(dir);
    (void)snprintf(path, sizeof path, "%s/s", dir);
    assert_false(stoq_unix_answers(path));
    mode_t before = umask(0);
    int fd = listen_at(path);
    umask(before);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_true(stoq_unix_answers(path));
    assert_int_equal(stoq_unix_listen(path, &other, &err), STOQ_BUSY);
    close(fd);
    assert_false(stoq_unix_answers(path)); /* the file is stale now */
    fd = listen_at(path);
    assert_true(stoq_unix_answers(path));
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_peer(void **state)
{
    int pair[2];
    uid_t uid = 12345;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_true(stoq_unix_peer_uid(pair[0], &uid));
    assert_int_equal(uid, geteuid());
    close(pair[0]);
    close(pair[1]);
    assert_false(stoq_unix_peer_uid(-1, &uid));
}

/* A path that no address holds works all the same. */
static void test_deep(void **state)
{
    char dir[64];
    char deep[300];
    char path[320];
    char fitting[STOQ_UNIX_PATH_CAP];
    struct stoq_error err;
    int dir_fd;
    make_dir(dir);
    int n = snprintf(deep, sizeof deep, "%s/%0100d", dir, 1);
    assert_int_equal(mkdir(deep, 0700), 0);
    (void)snprintf(deep + n, sizeof deep - (size_t)n, "/%0100d", 2);
    assert_int_equal(mkdir(deep, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/control.sock", deep);
    assert_true(strlen(path) > sizeof(((struct sockaddr_un *)0)->sun_path));
    assert_false(stoq_unix_answers(path));
    int fd = listen_at(path);
    assert_true(stoq_unix_answers(path));
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(stoq_unix_path(path, fitting, &dir_fd, &err), STOQ_OK);
    assert_true(dir_fd >= 0);
    close(dir_fd);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(deep), 0);
    deep[n] = '\0';
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(stoq_unix_path(path, fitting, &dir_fd, &err), STOQ_NOTFOUND);
    (void)snprintf(path, sizeof path, "/tmp/%0120d", 3);
    assert_int_equal(stoq_unix_path(path, fitting, &dir_fd, &err), STOQ_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_peer),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
