/* Commands that read the store: ls, info, cat, verify. */
#include "call.h"
#include "cmd_alias.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>
#include <string.h>

int cmd_ls(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *p;
    json_t *result;
    int rc = call_op(cmd, "ls", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "packages"), i, p) {
        (void)printf("%s  %s %s  %s%s\n", stoq_json_text(p, "id"), stoq_json_text(p, "name"),
                     stoq_json_text(p, "version"), human_bytes(a, stoq_json_u64(p, "bytes", 0)),
                     stoq_json_bool(p, "complete", false) ? "" : "  incomplete");
    }
    uint64_t damaged = stoq_json_u64(result, "damaged", 0);
    if (damaged > 0) {
        (void)fprintf(stderr, "stoq: %llu package records are damaged\n",
                      (unsigned long long)damaged);
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static void print_files(const json_t *files)
{
    static const char mark[][2] = {"f", "x", "d", "l"};
    size_t i;
    const json_t *f;
    json_array_foreach (files, i, f) {
        const char *kind = stoq_json_text(f, "kind");
        const char *m = strcmp(kind, "file") == 0         ? mark[0]
                        : strcmp(kind, "executable") == 0 ? mark[1]
                        : strcmp(kind, "directory") == 0  ? mark[2]
                                                          : mark[3];
        (void)printf("%s %12llu  ", m, (unsigned long long)stoq_json_u64(f, "size", 0));
        human_path(f, "path");
        if (m == mark[3]) {
            (void)printf(" -> ");
            human_path(f, "target");
        }
        (void)printf("\n");
    }
}

static void print_value(const char *key, const json_t *value)
{
    if (json_is_string(value)) {
        (void)printf("%-12s %s\n", key, json_string_value(value));
    } else if (json_is_integer(value)) {
        (void)printf("%-12s %lld\n", key, (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)printf("%-12s %.3f\n", key, json_real_value(value));
    } else if (json_is_boolean(value)) {
        (void)printf("%-12s %s\n", key, json_is_true(value) ? "yes" : "no");
    } else if (json_is_null(value)) {
        (void)printf("%-12s -\n", key);
    }
}

/* "missing" of an incomplete package, "paths" of a verify that failed. */
static void print_missing(const json_t *o)
{
    const json_t *missing = json_object_get(o, "missing");
    char a[HUMAN_CAP];
    size_t i;
    const json_t *path;
    if (missing != NULL) {
        (void)printf("missing      %llu chunks, %s%s\n",
                     (unsigned long long)stoq_json_u64(missing, "chunks", 0),
                     human_bytes(a, stoq_json_u64(missing, "bytes", 0)),
                     stoq_json_bool(missing, "metadata", false) ? ", and lists of chunks" : "");
    }
    json_array_foreach (json_object_get(missing != NULL ? missing : o, "paths"), i, path) {
        (void)printf("missing of   ");
        human_path(path, "path");
        (void)printf("\n");
    }
}

static void print_info(const json_t *o)
{
    const char *key;
    const json_t *value;
    const char *name;
    const json_t *inner;
    size_t i;
    json_object_foreach ((json_t *)(uintptr_t)o, key, value) {
        print_value(key, value);
    }
    inner = json_object_get(o, "secondary");
    if (inner != NULL) {
        (void)printf("secondary    %s %s\n", stoq_json_text(inner, "algorithm"),
                     stoq_json_text(inner, "digest"));
    }
    json_object_foreach (json_object_get(o, "annotations"), name, inner) {
        (void)printf("annotation   %s=%s\n", name, json_string_value(inner));
    }
    json_array_foreach (json_object_get(o, "dependencies"), i, inner) {
        const char *id = stoq_json_text(inner, "id");
        (void)printf("depends      %s %s%s%s\n", stoq_json_text(inner, "name"),
                     stoq_json_text(inner, "requirement"), id != NULL ? " " : "",
                     id != NULL ? id : "");
    }
}

int cmd_info(struct cmd *cmd)
{
    json_t *result;
    json_t *args = json_pack("{s:b}", "files", (int)cmd_flag(cmd, "files"));
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    rc = call_op_with(cmd, rc, "info", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    print_info(result);
    print_missing(result);
    print_files(json_object_get(result, "files"));
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_cat(struct cmd *cmd)
{
    if (alias_is_asked(cmd)) {
        return cmd_flag(cmd, "from") || cmd_flag(cmd, "timeout")
                   ? cmd_usage(cmd, "a file named by a digest is looked for here alone")
                   : alias_get(cmd, "-");
    }
    if (cmd->arg_count < 2) {
        return cmd_usage(cmd, "too few arguments; use: stoq cat %s", cmd->row->synopsis);
    }
    json_t *result;
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (rc == 0 && !stoq_json_set_path(args, "path", stoq_span_str(cmd->args[1]))) {
        rc = STOQ_EXIT_FAILED;
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "range", cmd_value(cmd, "range"));
    }
    if (rc == 0 && cmd_flag(cmd, "from")) {
        rc = call_set_list(cmd, args, "from", "from");
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "timeout", "timeout_s", 1, 30 * 24 * 3600);
    }
    rc = call_op_with(cmd, rc, "cat", args, &result);
    json_decref(result);
    int flushed = cmd_finish(cmd);
    return rc != 0 ? rc : flushed;
}

static void print_verdict(const json_t *result, const char *what)
{
    const json_t *v = json_object_get(json_object_get(result, "reasons"), what);
    if (v == NULL) {
        return;
    }
    (void)printf("%-10s %-9s %s\n", what, stoq_json_bool(v, "valid", false) ? "valid" : "not valid",
                 stoq_json_text(v, "why"));
}

/* The check ran, and said no: exit code 4; the object then has an "error" beside its verdicts. */
static int tell_verdict(struct cmd *cmd, json_t *result)
{
    struct stoq_error err;
    bool valid = stoq_json_bool(result, "overall_valid", false);
    const json_t *overall = json_object_get(json_object_get(result, "reasons"), "overall");
    if (!valid) {
        (void)stoq_fail_code(&err, STOQ_PROOF, "IntegrityCheckFailed", "%s",
                             stoq_json_text(overall, "why"));
    }
    int rc = valid ? STOQ_EXIT_OK : (int)stoq_error_exit(&err);
    if (cmd->json) {
        if (!valid) {
            (void)json_object_set_new(result, "error", stoq_error_to_json(&err));
        }
        int printed = cmd_print_json(cmd, result);
        return rc != 0 ? rc : printed;
    }
    if (!cmd->quiet) {
        print_verdict(result, "merkle");
        print_verdict(result, "signature");
        print_verdict(result, "consensus");
        print_verdict(result, "secondary");
        print_verdict(result, "overall");
        print_missing(result);
    }
    json_decref(result);
    int printed = cmd_finish(cmd);
    return !valid ? cmd_fail(cmd, &err) : printed;
}

int cmd_verify(struct cmd *cmd)
{
    json_t *result;
    json_t *args = json_pack("{s:b}", "signed", (int)cmd_flag(cmd, "signed"));
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    rc = call_op_with(cmd, rc, "verify", args, &result);
    return rc != 0 ? rc : tell_verdict(cmd, result);
}
