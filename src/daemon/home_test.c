#include "daemon/home.h"

#include "package/private.h"
#include "sign/sign.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct stoq_home home;

static void find(const struct stoq_home_from *from)
{
    struct stoq_error err;
    if (stoq_home_find(&home, from, &err) != STOQ_OK) {
        fail_msg("%s", err.text);
    }
}

static void test_one_directory(void **state)
{
    find(&(struct stoq_home_from){.home_option = "/h",
                                  .stoq_home = "/other",
                                  .home = "/root",
                                  .xdg_data = "/data",
                                  .work_dir = "/w"});
    assert_string_equal(home.data_dir, "/h");
    assert_string_equal(home.config_file, "/h/stoq.conf");
    assert_string_equal(home.key_file, "/h/key.pem");
    assert_string_equal(home.store_dir, "/h/store");
    assert_string_equal(home.socket, "/h/control.sock");
    assert_false(home.config_named);
    find(&(struct stoq_home_from){.stoq_home = "rel", .home = "/root", .work_dir = "/w"});
    assert_string_equal(home.data_dir, "/w/rel");
    assert_string_equal(home.socket, "/w/rel/control.sock");
    find(&(struct stoq_home_from){
        .stoq_home = "/h", .config_option = "c.conf", .home = "/root", .work_dir = "/w"});
    assert_string_equal(home.config_file, "/w/c.conf");
    assert_true(home.config_named);
}

static void test_xdg(void **state)
{
    find(&(struct stoq_home_from){.home = "/u", .work_dir = "/w"});
    assert_string_equal(home.config_file, "/u/.config/stoq/stoq.conf");
    assert_string_equal(home.key_file, "/u/.local/share/stoq/key.pem");
    assert_string_equal(home.socket, "/u/.local/share/stoq/control.sock");
    find(&(struct stoq_home_from){
        .home = "/u", .xdg_config = "/c", .xdg_data = "/d", .xdg_runtime = "/r", .work_dir = "/w"});
    assert_string_equal(home.config_file, "/c/stoq/stoq.conf");
    assert_string_equal(home.store_dir, "/d/stoq/store");
    assert_string_equal(home.socket, "/r/stoq/control.sock");
    /* Relative and empty ones do not count. */
    find(&(struct stoq_home_from){.home_option = "",
                                  .stoq_home = "",
                                  .home = "/u",
                                  .xdg_config = "c",
                                  .xdg_data = "",
                                  .xdg_runtime = "r",
                                  .work_dir = "/w"});
    assert_string_equal(home.config_file, "/u/.config/stoq/stoq.conf");
    assert_string_equal(home.socket, "/u/.local/share/stoq/control.sock");
    /* No HOME, but everything needed. */
    find(&(struct stoq_home_from){.xdg_config = "/c", .xdg_data = "/d", .work_dir = "/w"});
    assert_string_equal(home.socket, "/d/stoq/control.sock");
}

static void test_nowhere(void **state)
{
    struct stoq_error err;
    char longer[5000];
    assert_int_equal(
        stoq_home_find(&home, &(struct stoq_home_from){.xdg_data = "/d", .work_dir = "/w"}, &err),
        STOQ_NOTFOUND);
    assert_string_equal(err.code, "HomeMissing");
    memset(longer, 'x', sizeof longer);
    longer[0] = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(
        stoq_home_find(&home, &(struct stoq_home_from){.home_option = longer, .work_dir = "/w"},
                       &err),
        STOQ_RANGE);
}

static void make_home(char dir[64])
{
    struct stoq_error err;
    (void)snprintf(dir, 64, "/tmp/stoq-home-XXXXXX");
    assert_non_null(mkdtemp(dir));
    find(&(struct stoq_home_from){.home_option = dir, .work_dir = "/"});
    assert_int_equal(stoq_home_make(&home, &err), STOQ_OK);
}

static void test_key(void **state)
{
    char dir[64];
    struct stat info;
    struct stoq_error err;
    struct stoq_key *key = NULL;
    struct stoq_key *again = NULL;
    make_home(dir);
    assert_int_equal(stoq_home_key(&home, &key, &err), STOQ_NOTFOUND);
    assert_string_equal(err.code, "HomeMissing");
    assert_int_equal(stoq_home_key_or_new(&home, &key, &err), STOQ_OK);
    assert_int_equal(stat(home.key_file, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stoq_home_key_or_new(&home, &again, &err), STOQ_OK);
    struct stoq_peer_id a = stoq_key_peer_id(key);
    struct stoq_peer_id b = stoq_key_peer_id(again);
    assert_memory_equal(&a, &b, sizeof a);
    stoq_key_free(again);
    stoq_key_free(key);

    assert_int_equal(chmod(home.key_file, 0640), 0);
    assert_int_equal(stoq_home_key(&home, &key, &err), STOQ_MALFORMED);
    assert_string_equal(err.code, "KeyInvalid");
    assert_non_null(strstr(err.text, "others may read it"));
    assert_int_equal(chmod(home.key_file, 0600), 0);
    assert_int_equal(truncate(home.key_file, 40), 0);
    assert_int_equal(stoq_home_key_or_new(&home, &key, &err), STOQ_MALFORMED); /* never replaced */
    assert_non_null(strstr(err.text, "damaged"));
    assert_int_equal(unlink(home.key_file), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_private_key(void **state)
{
    char dir[64];
    struct stat info;
    struct stoq_error err;
    struct stoq_private_key key;
    struct stoq_private_key again;
    const char *path = home.private_key_file;
    bool made;
    (void)state;
    make_home(dir);
    assert_int_equal(stoq_home_private_key(path, &key, &err), STOQ_NOTFOUND);
    mode_t before = umask(0);
    assert_int_equal(stoq_home_private_key_or_new(&home, &key, &made, &err), STOQ_OK);
    umask(before);
    assert_true(made);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stoq_home_private_key_or_new(&home, &again, &made, &err), STOQ_OK);
    assert_false(made);
    assert_memory_equal(&key, &again, sizeof key);
    assert_int_equal(chmod(path, 0604), 0);
    assert_int_equal(stoq_home_private_key(path, &key, &err), STOQ_MALFORMED);
    assert_non_null(strstr(err.text, "others may read it"));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 40), 0);
    assert_int_equal(stoq_home_private_key_or_new(&home, &key, &made, &err), STOQ_MALFORMED);
    assert_string_equal(err.code, "KeyInvalid"); /* never replaced */
    assert_int_equal(truncate(path, 4000), 0);
    assert_int_equal(stoq_home_private_key(path, &key, &err), STOQ_MALFORMED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_modes(void **state)
{
    char dir[64];
    char deep[96];
    struct stat info;
    struct stoq_error err;
    make_home(dir);
    (void)snprintf(deep, sizeof deep, "%s/a/b", dir);
    mode_t before = umask(0);
    find(&(struct stoq_home_from){.home_option = deep, .work_dir = "/"});
    assert_int_equal(stoq_home_make(&home, &err), STOQ_OK);
    umask(before);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(rmdir(deep), 0);
    *strrchr(deep, '/') = '\0';
    assert_int_equal(rmdir(deep), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_directory), cmocka_unit_test(test_xdg),
        cmocka_unit_test(test_nowhere),       cmocka_unit_test(test_key),
        cmocka_unit_test(test_private_key),   cmocka_unit_test(test_modes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
