#include "commands.h"
#include "hash/hash.h"
#include "input.h"

#include <stdlib.h>
#include <string.h>

static enum stoq_status hash_input(enum stoq_hash_alg alg, const char *path, uint8_t *buf,
                                   struct stoq_digest *out, struct stoq_error *err)
{
    struct input in;
    struct stoq_hasher h;
    enum stoq_status st = input_open(&in, path, err);
    if (st != STOQ_OK) {
        return st;
    }
    st = stoq_hasher_init(&h, alg);
    if (st != STOQ_OK) {
        input_close(&in);
        return stoq_fail(err, st, 0, "no memory to hash %s", path);
    }
    size_t got = 0;
    do {
        st = input_read(&in, buf, INPUT_READ_BYTES, &got, err);
        if (st == STOQ_OK) {
            stoq_hasher_update(&h, stoq_span(buf, got));
        }
    } while (st == STOQ_OK && got == INPUT_READ_BYTES);
    if (st == STOQ_OK && stoq_hasher_final(&h, out) != STOQ_OK) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to hash %s", path);
    }
    stoq_hasher_release(&h);
    input_close(&in);
    return st;
}

/* A name with a line end or a backslash is escaped and its line starts with a backslash, as in the
 * output of b3sum and the coreutils. */
static void print_line(const char *hex, const char *name)
{
    bool is_plain = strpbrk(name, "\\\n") == NULL;
    (void)printf("%s%s  ", is_plain ? "" : "\\", hex);
    for (; *name != '\0'; name++) {
        if (*name == '\n' || *name == '\\') {
            (void)printf("\\%c", *name == '\n' ? 'n' : '\\');
        } else {
            (void)putchar(*name);
        }
    }
    (void)putchar('\n');
}

static bool add_json(json_t *list, const char *hex, const char *name)
{
    json_t *item = json_pack("{s:s}", "hash", hex);
    if (item == NULL || !stoq_json_set_path(item, "name", stoq_span_str(name))) {
        json_decref(item);
        return false;
    }
    return json_array_append_new(list, item) == 0;
}

/* With --json the first failure is the whole answer; otherwise the other files are still hashed, and
 * the first failure's exit code is returned. */
static int hash_all(struct cmd *cmd, enum stoq_hash_alg alg, uint8_t *buf, json_t *list)
{
    int exit_code = STOQ_EXIT_OK;
    for (int i = 0; i < cmd->arg_count; i++) {
        struct stoq_digest digest;
        struct stoq_error err;
        char hex[2 * STOQ_DIGEST_MAX + 1];
        enum stoq_status st = hash_input(alg, cmd->args[i], buf, &digest, &err);
        if (st == STOQ_OK) {
            stoq_hex_put(hex, stoq_digest_span(&digest));
        }
        if (st == STOQ_OK && !cmd->json) {
            print_line(hex, cmd->args[i]);
        } else if (st == STOQ_OK && !add_json(list, hex, cmd->args[i])) {
            st = stoq_fail(&err, STOQ_NOMEM, 0, "no memory for the result");
        }
        if (st != STOQ_OK) {
            int rc = cmd_fail(cmd, &err);
            exit_code = exit_code == STOQ_EXIT_OK ? rc : exit_code;
            if (cmd->json) {
                return rc;
            }
        }
    }
    return exit_code;
}

int cmd_hash(struct cmd *cmd)
{
    const char *name = cmd_value(cmd, "alg");
    enum stoq_hash_alg alg = stoq_hash_alg_named(name != NULL ? name : "blake3");
    if (alg == STOQ_HASH_NONE) {
        return cmd_usage(cmd, "--alg takes blake3, sha3-256, sha256, sha512 or xxh3-128, not '%s'",
                         name);
    }
    uint8_t *buf = malloc(INPUT_READ_BYTES);
    json_t *list = json_array();
    if (buf == NULL || list == NULL) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory to read");
        free(buf);
        json_decref(list);
        return cmd_fail(cmd, &err);
    }
    int exit_code = hash_all(cmd, alg, buf, list);
    free(buf);
    if (cmd->json && exit_code == STOQ_EXIT_OK) {
        return cmd_print_json(
            cmd, json_pack("{s:s, s:o}", "alg", stoq_hash_alg_name(alg), "hashes", list));
    }
    json_decref(list);
    int printed = cmd_finish(cmd);
    return exit_code != STOQ_EXIT_OK ? exit_code : printed;
}
