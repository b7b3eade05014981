#include "daemon/home.h"

#include "os/file.h"
#include "os/outfile.h"
#include "os/sys.h"
#include "package/private.h"
#include "sign/sign.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *non_empty(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static const char *absolute(const char *text)
{
    return text != NULL && text[0] == '/' ? text : NULL;
}

static bool put(char out[STOQ_HOME_PATH_MAX], const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static bool put(char out[STOQ_HOME_PATH_MAX], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, STOQ_HOME_PATH_MAX, fmt, ap);
    va_end(ap);
    return n >= 0 && n < STOQ_HOME_PATH_MAX;
}

/* path seen from the working directory. */
static bool put_absolute(char out[STOQ_HOME_PATH_MAX], const struct stoq_home_from *from,
                         const char *path)
{
    return path[0] == '/' ? put(out, "%s", path) : put(out, "%s/%s", from->work_dir, path);
}

static bool put_one_dir(struct stoq_home *out, const struct stoq_home_from *from, const char *dir)
{
    return put_absolute(out->data_dir, from, dir) && put(out->config_dir, "%s", out->data_dir) &&
           put(out->runtime_dir, "%s", out->data_dir);
}

static bool put_xdg_dirs(struct stoq_home *out, const struct stoq_home_from *from)
{
    const char *config = absolute(from->xdg_config);
    const char *data = absolute(from->xdg_data);
    const char *runtime = absolute(from->xdg_runtime);
    bool ok = config != NULL ? put(out->config_dir, "%s/stoq", config)
                             : put(out->config_dir, "%s/.config/stoq", from->home);
    ok &= data != NULL ? put(out->data_dir, "%s/stoq", data)
                       : put(out->data_dir, "%s/.local/share/stoq", from->home);
    ok &= runtime != NULL ? put(out->runtime_dir, "%s/stoq", runtime)
                          : put(out->runtime_dir, "%s", out->data_dir);
    return ok;
}

enum stoq_status stoq_home_find(struct stoq_home *out, const struct stoq_home_from *from,
                                struct stoq_error *err)
{
    const char *one = non_empty(from->home_option);
    const char *config = non_empty(from->config_option);
    bool xdg_complete = absolute(from->xdg_config) != NULL && absolute(from->xdg_data) != NULL;
    bool ok;
    memset(out, 0, sizeof *out);
    if (one == NULL) {
        one = non_empty(from->stoq_home);
    }
    if (one != NULL) {
        ok = put_one_dir(out, from, one);
    } else if (absolute(from->home) != NULL || xdg_complete) {
        ok = put_xdg_dirs(out, from);
    } else {
        return stoq_fail_code(err, STOQ_NOTFOUND, "HomeMissing",
                              "nothing says where the home is: use --home or STOQ_HOME");
    }
    ok &= put(out->key_file, "%s/key.pem", out->data_dir);
    ok &= put(out->peers_file, "%s/peers", out->data_dir);
    ok &= put(out->dht_file, "%s/dht", out->data_dir);
    ok &= put(out->trust_file, "%s/trust", out->data_dir);
    ok &= put(out->history_file, "%s/transfers", out->data_dir);
    ok &= put(out->private_key_file, "%s/private.key", out->data_dir);
    ok &= put(out->store_dir, "%s/store", out->data_dir);
    ok &= put(out->socket, "%s/control.sock", out->runtime_dir);
    ok &= config != NULL ? put_absolute(out->config_file, from, config)
                         : put(out->config_file, "%s/stoq.conf", out->config_dir);
    out->config_named = config != NULL;
    return ok ? STOQ_OK : stoq_fail(err, STOQ_RANGE, 0, "the home's path is too long");
}

enum stoq_status stoq_home_find_here(struct stoq_home *out, const char *home_option,
                                     const char *config_option, struct stoq_error *err)
{
    char work_dir[STOQ_HOME_PATH_MAX];
    if (getcwd(work_dir, sizeof work_dir) == NULL) {
        work_dir[0] = '\0'; /* matters for relative paths only; those then start at the root */
    }
    struct stoq_home_from from = {
        .home_option = home_option,
        .config_option = config_option,
        .stoq_home = getenv("STOQ_HOME"),
        .home = getenv("HOME"),
        .xdg_config = getenv("XDG_CONFIG_HOME"),
        .xdg_data = getenv("XDG_DATA_HOME"),
        .xdg_runtime = getenv("XDG_RUNTIME_DIR"),
        .work_dir = work_dir,
    };
    return stoq_home_find(out, &from, err);
}

bool stoq_home_lan_here(void)
{
    const char *value = getenv("STOQ_LAN");
    return value == NULL || strcmp(value, "off") != 0;
}

enum stoq_status stoq_home_make(const struct stoq_home *home, struct stoq_error *err)
{
    const char *const dirs[] = {home->data_dir, home->config_dir, home->runtime_dir};
    for (size_t i = 0; i < STOQ_COUNT(dirs); i++) {
        enum stoq_status st = stoq_file_mkdir_p(dirs[i], 0700, err);
        if (st != STOQ_OK) {
            return st;
        }
    }
    return STOQ_OK;
}

static enum stoq_status bad_key(const char *path, const char *why, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_MALFORMED, "KeyInvalid", "%.300s: %s", path, why);
}

enum stoq_status stoq_home_key(const struct stoq_home *home, struct stoq_key **out,
                               struct stoq_error *err)
{
    struct stat info;
    struct stoq_buf pem;
    if (stat(home->key_file, &info) != 0) {
        return errno == ENOENT
                   ? stoq_fail_code(err, STOQ_NOTFOUND, "HomeMissing",
                                    "no key at %.300s yet; 'stoq init' makes one", home->key_file)
                   : stoq_fail(err, STOQ_IO, errno, "%.300s", home->key_file);
    }
    if ((info.st_mode & 077) != 0) {
        return bad_key(home->key_file, "others may read it; make its mode 0600", err);
    }
    stoq_buf_init(&pem, STOQ_KEY_PEM_MAX);
    enum stoq_status st = stoq_file_read(home->key_file, STOQ_KEY_PEM_MAX, &pem, err);
    if (st == STOQ_OK) {
        st = stoq_key_from_pem(out, stoq_buf_span(&pem));
        if (st == STOQ_VERSION) {
            st = bad_key(home->key_file, "not an unencrypted Ed25519 private key", err);
        } else if (st == STOQ_MALFORMED) {
            st = bad_key(home->key_file, "damaged, or not a PEM private key", err);
        } else if (st != STOQ_OK) {
            st = stoq_fail(err, st, 0, "cannot read the key %.300s", home->key_file);
        }
    }
    stoq_key_wipe(pem.p, pem.n);
    stoq_buf_release(&pem);
    return st;
}

static enum stoq_status make_key(const struct stoq_home *home, struct stoq_key **out,
                                 struct stoq_error *err)
{
    uint8_t seed[STOQ_KEY_SEED_BYTES];
    struct stoq_key *key = NULL;
    struct stoq_buf pem;
    stoq_buf_init(&pem, STOQ_KEY_PEM_MAX);
    stoq_entropy(seed, sizeof seed);
    enum stoq_status st = stoq_key_from_seed(&key, seed);
    stoq_key_wipe(seed, sizeof seed);
    if (st == STOQ_OK) {
        st = stoq_key_to_pem(key, &pem);
    }
    if (st == STOQ_OK) {
        st = stoq_file_replace(home->key_file, stoq_buf_span(&pem), 0600, err);
    } else {
        st = stoq_fail(err, st, 0, "cannot make a key");
    }
    stoq_key_wipe(pem.p, pem.n);
    stoq_buf_release(&pem);
    if (st != STOQ_OK) {
        stoq_key_free(key);
        return st;
    }
    *out = key;
    return STOQ_OK;
}

enum stoq_status stoq_home_key_or_new(const struct stoq_home *home, struct stoq_key **out,
                                      struct stoq_error *err)
{
    enum stoq_status st = stoq_home_key(home, out, err);
    return st == STOQ_NOTFOUND ? make_key(home, out, err) : st;
}

enum stoq_status stoq_home_private_key(const char *path, struct stoq_private_key *out,
                                       struct stoq_error *err)
{
    struct stat info;
    struct stoq_buf text;
    if (stat(path, &info) == 0 && (info.st_mode & 077) != 0) {
        return bad_key(path, "others may read it; make its mode 0600", err);
    }
    stoq_buf_init(&text, STOQ_PRIVATE_TEXT_CAP);
    enum stoq_status st = stoq_file_read(path, STOQ_PRIVATE_TEXT_CAP, &text, err);
    if (st == STOQ_OK) {
        st = stoq_private_get(out, stoq_buf_span(&text));
        if (st == STOQ_VERSION) {
            st = stoq_fail(err, st, 0, "%.300s: a newer kind of key than this program knows", path);
        } else if (st != STOQ_OK) {
            st = bad_key(path, "damaged, or no key of private packages", err);
        }
    } else if (st == STOQ_FULL) {
        st = bad_key(path, "no key of private packages", err);
    }
    stoq_key_wipe(text.p, text.n);
    stoq_buf_release(&text);
    return st;
}

static enum stoq_status make_private_key(const char *path, struct stoq_error *err)
{
    char text[STOQ_PRIVATE_TEXT_CAP];
    struct stoq_private_key key;
    struct stoq_outfile *file = NULL;
    stoq_entropy(key.b, sizeof key.b);
    stoq_private_put(text, &key);
    enum stoq_status st = stoq_outfile_new(&file, path, err);
    if (st == STOQ_OK) {
        st = stoq_outfile_make_private(file, err);
    }
    if (st == STOQ_OK) {
        st = stoq_outfile_write(file, stoq_span_str(text), err);
    }
    if (st == STOQ_OK) {
        st = stoq_outfile_commit(file, err);
    }
    stoq_outfile_free(file);
    stoq_key_wipe(text, sizeof text);
    stoq_key_wipe(&key, sizeof key);
    return st;
}

enum stoq_status stoq_home_private_key_or_new(const struct stoq_home *home,
                                              struct stoq_private_key *out, bool *made,
                                              struct stoq_error *err)
{
    const char *path = home->private_key_file;
    *made = false;
    enum stoq_status st = stoq_home_private_key(path, out, err);
    if (st != STOQ_NOTFOUND) {
        return st;
    }
    st = make_private_key(path, err);
    *made = st == STOQ_OK;
    /* Another may have made one meanwhile: whichever came first is it. */
    return st == STOQ_OK || st == STOQ_EXISTS ? stoq_home_private_key(path, out, err) : st;
}
