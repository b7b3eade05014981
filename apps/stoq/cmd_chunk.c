#include "commands.h"
#include "cut.h"
#include "daemon/tree_cut.h"

#include <string.h>

/* One chunk's length: a line, or an element of the list. */
static enum stoq_status put_length(struct cmd *cmd, json_t *lengths, size_t n,
                                   struct stoq_error *err)
{
    if (!cmd->json) {
        (void)printf("%zu\n", n);
        return STOQ_OK;
    }
    if (json_array_append_new(lengths, json_integer((json_int_t)n)) != 0) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the lengths");
    }
    return STOQ_OK;
}

static enum stoq_status put_lengths(struct cmd *cmd, const char *path,
                                    const struct stoq_chunk_params *params, json_t *lengths,
                                    struct stoq_error *err)
{
    struct cut c;
    enum stoq_status st = cut_open(&c, path, params, err);
    if (st != STOQ_OK) {
        return st;
    }
    while (st == STOQ_OK) {
        struct stoq_span chunk;
        st = cut_next(&c, &chunk, err);
        if (st == STOQ_OK) {
            st = put_length(cmd, lengths, chunk.n, err);
        }
    }
    cut_close(&c);
    return st == STOQ_NOTFOUND ? STOQ_OK : st;
}

static enum stoq_status put_package_lengths(struct cmd *cmd, const char *path,
                                            const struct stoq_chunk_profile *profile,
                                            json_t *lengths, struct stoq_error *err)
{
    struct stoq_tree *tree = NULL;
    struct stoq_tree_cut *cut = NULL;
    enum stoq_status st = stoq_tree_list(&tree, path, NULL, NULL, err);
    if (st == STOQ_OK) {
        const struct stoq_tree_cut_ask ask = {.tree = tree, .profile = profile};
        st = stoq_tree_cut_open(&cut, &ask, err);
    }
    while (st == STOQ_OK) {
        struct stoq_span chunk;
        st = stoq_tree_cut_next(cut, &chunk, err);
        if (st == STOQ_OK) {
            st = put_length(cmd, lengths, chunk.n, err);
        }
    }
    bool is_done = cut != NULL && st == STOQ_NOTFOUND;
    stoq_tree_cut_close(cut);
    stoq_tree_free(tree);
    return is_done ? STOQ_OK : st;
}

/* The profile asked for, NULL when none is; --profile stands alone. False after the usage error was
 * told. */
static bool check_profile(const struct cmd *cmd, const struct stoq_chunk_profile **out)
{
    uint64_t code = 0;
    if (!cmd_value_u64(cmd, "profile", STOQ_PROFILE_1, STOQ_PROFILE_2, &code)) {
        return false;
    }
    *out = stoq_chunk_profile(code);
    if (cmd_flag(cmd, "profile") && (cmd_flag(cmd, "min") || cmd_flag(cmd, "avg") ||
                                     cmd_flag(cmd, "max") || cmd_flag(cmd, "norm"))) {
        (void)cmd_usage(cmd, "--profile stands for all of --min, --avg, --max and --norm");
        return false;
    }
    if (cmd_flag(cmd, "profile") && strcmp(cmd->args[0], "-") == 0) {
        (void)cmd_usage(cmd, "--profile needs a file or directory; standard input has no name");
        return false;
    }
    return true;
}

int cmd_chunk(struct cmd *cmd)
{
    const struct stoq_chunk_profile *profile;
    struct stoq_chunk_params params;
    struct stoq_error err;
    if (!check_profile(cmd, &profile) || !cut_options(cmd, &params)) {
        return STOQ_EXIT_USAGE;
    }
    json_t *lengths = json_array();
    enum stoq_status st = profile != NULL
                              ? put_package_lengths(cmd, cmd->args[0], profile, lengths, &err)
                              : put_lengths(cmd, cmd->args[0], &params, lengths, &err);
    if (st != STOQ_OK) {
        json_decref(lengths);
        return cmd_fail(cmd, &err);
    }
    if (cmd->json) {
        return cmd_print_json(cmd, json_pack("{s:o}", "lengths", lengths));
    }
    json_decref(lengths);
    return cmd_finish(cmd);
}
