#include "cmd.h"
#include "cut.h"
#include "package/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* The file table of a package of this one file, which is its first run. */
static enum stoq_status table_length(const char *path, uint64_t *out, struct stoq_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        enum stoq_status status = errno == ENOENT ? STOQ_NOTFOUND : STOQ_IO;
        return stoq_fail(err, status, errno, "cannot read %s", path);
    }
    if (!S_ISREG(st.st_mode)) {
        return stoq_fail(err, STOQ_RANGE, 0, "%s: --profile shows the cuts of a regular file",
                         path);
    }
    const char *slash = strrchr(path, '/');
    struct stoq_entry entry = {
        .path = stoq_span_str(slash != NULL ? slash + 1 : path),
        .kind = (st.st_mode & S_IXUSR) != 0 ? STOQ_ENTRY_EXECUTABLE : STOQ_ENTRY_FILE,
        .size = (uint64_t)st.st_size,
    };
    struct stoq_table_writer *w = malloc(sizeof *w);
    struct stoq_buf table;
    stoq_buf_init(&table, STOQ_TABLE_ENTRY_BYTES_MAX);
    if (w == NULL) {
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the table");
    }
    stoq_table_writer_init(w);
    enum stoq_status status = stoq_table_writer_add(w, &entry, &table);
    *out = w->table_bytes;
    stoq_buf_release(&table);
    free(w);
    return status == STOQ_OK
               ? status
               : stoq_fail(err, status, 0, "%s: no package can hold a file of that name", path);
}

/* A package's cuts: the table's run, at most one chunk for a single entry, then the file's. */
static enum stoq_status put_package_lengths(struct cmd *cmd, const char *path, json_t *lengths,
                                            struct stoq_error *err)
{
    const struct stoq_chunk_params params = STOQ_CHUNK_PROFILE_1;
    uint64_t table_bytes = 0;
    enum stoq_status st = table_length(path, &table_bytes, err);
    if (st == STOQ_OK) {
        STOQ_ASSERT(table_bytes <= params.min);
        st = put_length(cmd, lengths, (size_t)table_bytes, err);
    }
    return st == STOQ_OK ? put_lengths(cmd, path, &params, lengths, err) : st;
}

/* --profile stands alone. False after the usage error was told. */
static bool check_profile(const struct cmd *cmd)
{
    uint64_t profile = STOQ_CHUNK_PROFILE_1_CODE;
    if (!cmd_value_u64(cmd, "profile", profile, profile, &profile)) {
        return false;
    }
    if (cmd_flag(cmd, "profile") && (cmd_flag(cmd, "min") || cmd_flag(cmd, "avg") ||
                                     cmd_flag(cmd, "max") || cmd_flag(cmd, "norm"))) {
        (void)cmd_usage(cmd, "--profile stands for all of --min, --avg, --max and --norm");
        return false;
    }
    if (cmd_flag(cmd, "profile") && strcmp(cmd->args[0], "-") == 0) {
        (void)cmd_usage(cmd, "--profile needs a file with a name; standard input has none");
        return false;
    }
    return true;
}

int cmd_chunk(struct cmd *cmd)
{
    struct stoq_chunk_params params;
    struct stoq_error err;
    if (!check_profile(cmd) || !cut_options(cmd, &params)) {
        return STOQ_EXIT_USAGE;
    }
    json_t *lengths = json_array();
    enum stoq_status st = cmd_flag(cmd, "profile")
                              ? put_package_lengths(cmd, cmd->args[0], lengths, &err)
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
