#include "os/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A manager's socket under this name; '@' for an abstract one. */
static int manager(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    memcpy(at.sun_path, name, n);
    if (name[0] == '@') {
        at.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                     0);
    return fd;
}

static void told(int fd, const char *expected)
{
    char got[2048];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    assert_true(n >= 0);
    got[n] = '\0';
    assert_string_equal(got, expected);
}

static void tell(const char *name)
{
    struct stoq_notify n;
    int fd = manager(name);
    setenv("NOTIFY_SOCKET", name, 1);
    stoq_notify_open(&n);
    assert_true(stoq_notify_on(&n));
    stoq_notify_send(&n, "READY=1\nSTATUS=serving %d", 3);
    told(fd, "READY=1\nSTATUS=serving 3");
    close(fd);
    stoq_notify_send(&n, "STOPPING=1"); /* nobody hears it, nobody minds */
    stoq_notify_close(&n);
    assert_false(stoq_notify_on(&n));
}

static void path_is_told(void **state)
{
    char dir[64] = "/tmp/stoq-notify-XXXXXX";
    char path[96];
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s", dir);
    tell(path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void abstract_name_is_told(void **state)
{
    char name[64];
    (void)state;
    (void)snprintf(name, sizeof name, "@stoq-notify-test-%d", (int)getpid());
    tell(name);
}

static void nobody_to_tell(void **state)
{
    struct stoq_notify n;
    char longer[200] = "/tmp/";
    (void)state;
    memset(longer + 5, 'x', sizeof longer - 6);
    const char *const bad[] = {"", "relative", "@", "/", longer};
    for (size_t i = 0; i < STOQ_COUNT(bad); i++) {
        setenv("NOTIFY_SOCKET", bad[i], 1);
        stoq_notify_open(&n);
        assert_false(stoq_notify_on(&n));
        stoq_notify_send(&n, "READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    stoq_notify_open(&n);
    assert_false(stoq_notify_on(&n));
    stoq_notify_close(&n);
}

static void long_message_is_cut(void **state)
{
    struct stoq_notify n;
    char text[1500];
    char name[64];
    (void)state;
    (void)snprintf(name, sizeof name, "@stoq-notify-cut-%d", (int)getpid());
    int fd = manager(name);
    setenv("NOTIFY_SOCKET", name, 1);
    stoq_notify_open(&n);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    stoq_notify_send(&n, "%s", text);
    text[1023] = '\0';
    told(fd, text);
    stoq_notify_close(&n);
    close(fd);
}

static stoq_ns watchdog_of(const char *usec, const char *pid)
{
    struct stoq_notify n;
    setenv("NOTIFY_SOCKET", "@somebody", 1);
    if (usec != NULL) {
        setenv("WATCHDOG_USEC", usec, 1);
    }
    if (pid != NULL) {
        setenv("WATCHDOG_PID", pid, 1);
    }
    stoq_notify_open(&n);
    stoq_ns ns = n.watchdog_ns;
    stoq_notify_close(&n);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return ns;
}

static void watchdog_is_read(void **state)
{
    char self[32];
    (void)state;
    (void)snprintf(self, sizeof self, "%d", (int)getpid());
    assert_int_equal(watchdog_of(NULL, NULL), 0);
    assert_int_equal(watchdog_of("30000000", NULL), 30 * STOQ_SEC);
    assert_int_equal(watchdog_of("30000000", self), 30 * STOQ_SEC);
    assert_int_equal(watchdog_of("30000000", "1"), 0);
    assert_int_equal(watchdog_of("3x", NULL), 0);
    assert_int_equal(watchdog_of("-3", NULL), 0);
    assert_int_equal(watchdog_of("99999999999999999999999", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(path_is_told),     cmocka_unit_test(abstract_name_is_told),
        cmocka_unit_test(nobody_to_tell),   cmocka_unit_test(long_message_is_cut),
        cmocka_unit_test(watchdog_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
