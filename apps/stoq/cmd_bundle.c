/* Commands that carry packages without a network: export, import, have. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --have ... as two lists: an id is one unless a file is called like that. */
static int set_have(struct cmd *cmd, json_t *args)
{
    json_t *files = json_array();
    json_t *ids = json_array();
    const char *text;
    int rc = json_object_set_new(args, "have", files) == 0 ? 0 : STOQ_EXIT_FAILED;
    if (json_object_set_new(args, "have_ids", ids) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    for (size_t i = 0; rc == 0 && (text = cmd_value_at(cmd, "have", i)) != NULL; i++) {
        if (strncmp(text, "stoq1", 5) == 0 && access(text, F_OK) != 0) {
            rc = json_array_append_new(ids, json_string(text)) == 0 ? 0 : STOQ_EXIT_FAILED;
            continue;
        }
        json_t *one = json_object();
        rc = call_set_path(cmd, one, "path", text);
        json_t *path = json_object_get(one, "path");
        if (rc == 0 && json_array_append(files, path) != 0) {
            rc = cmd_usage(cmd, "the name of a have-list must be UTF-8");
        }
        json_decref(one);
    }
    return rc;
}

static int export_args(struct cmd *cmd, json_t *args)
{
    json_t *ids = json_array();
    const char *output = cmd_value(cmd, "output");
    int rc = json_object_set_new(args, "ids", ids) == 0 ? 0 : STOQ_EXIT_FAILED;
    if (output == NULL) {
        return cmd_usage(cmd, "-o is missing: the file to write, or - for standard output");
    }
    for (int i = 0; rc == 0 && i < cmd->arg_count; i++) {
        if (json_array_append_new(ids, json_string(cmd->args[i])) != 0) {
            rc = cmd_usage(cmd, "an id is not UTF-8");
        }
    }
    if (rc == 0) {
        rc = set_have(cmd, args);
    }
    return rc == 0 ? call_set_output(cmd, args, output) : rc;
}

static void tell_export(const json_t *result)
{
    char a[HUMAN_CAP];
    uint64_t packages = stoq_json_u64(result, "packages", 0);
    (void)fprintf(stderr, "%llu package%s: %s, %llu chunks", (unsigned long long)packages,
                  packages == 1 ? "" : "s", human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                  (unsigned long long)stoq_json_u64(result, "chunks", 0));
    uint64_t assumed = stoq_json_u64(result, "chunks_assumed", 0);
    if (assumed > 0) {
        (void)fprintf(stderr, ", %llu left out", (unsigned long long)assumed);
    }
    (void)fprintf(stderr, ", %.2f s\n", json_number_value(json_object_get(result, "seconds")));
}

int cmd_export(struct cmd *cmd)
{
    json_t *args = json_object();
    int rc = export_args(cmd, args);
    return call_tell(cmd, rc, "export", args, tell_export);
}

static void tell_have(const json_t *result)
{
    (void)fprintf(stderr, "%llu chunks, %llu shards\n",
                  (unsigned long long)stoq_json_u64(result, "chunks", 0),
                  (unsigned long long)stoq_json_u64(result, "shards", 0));
}

int cmd_have(struct cmd *cmd)
{
    const char *output = cmd_value(cmd, "output");
    json_t *args = json_object();
    int rc = call_set_output(cmd, args, output != NULL ? output : "-");
    return call_tell(cmd, rc, "have", args, tell_have);
}

static void tell_import(const struct cmd *cmd, const json_t *result)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    size_t i;
    const json_t *p;
    json_array_foreach (json_object_get(result, "packages"), i, p) {
        (void)printf("%s  %s %s  %s%s\n", stoq_json_text(p, "id"), stoq_json_text(p, "name"),
                     stoq_json_text(p, "version"), human_bytes(a, stoq_json_u64(p, "bytes", 0)),
                     stoq_json_bool(p, "existed", false) ? "  was here before" : "");
    }
    if (!cmd->quiet && !cmd_flag(cmd, "list")) {
        (void)fprintf(stderr, "%s new, %s stored, %llu chunks were here, %.2f s\n",
                      human_bytes(a, stoq_json_u64(result, "bytes_new", 0)),
                      human_bytes(b, stoq_json_u64(result, "bytes_stored", 0)),
                      (unsigned long long)stoq_json_u64(result, "chunks_had", 0),
                      json_number_value(json_object_get(result, "seconds")));
    }
    uint64_t assumed = stoq_json_u64(result, "chunks_assumed", 0);
    if (!cmd->quiet && assumed > 0) {
        (void)fprintf(stderr, "%llu chunks are left out: it is for a store that has them\n",
                      (unsigned long long)assumed);
    }
}

int cmd_import(struct cmd *cmd)
{
    struct stoq_feed *feed = NULL;
    json_t *result = NULL;
    json_t *args = json_object();
    bool is_fed = strcmp(cmd->args[0], "-") == 0;
    int rc =
        is_fed ? call_feed_input(cmd, args, &feed) : call_set_path(cmd, args, "path", cmd->args[0]);
    rc = call_op_with(cmd, rc, cmd_flag(cmd, "list") ? "bundle" : "import", args, &result);
    stoq_feed_free(feed);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    tell_import(cmd, result);
    json_decref(result);
    return cmd_finish(cmd);
}
