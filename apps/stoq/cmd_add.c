/* Commands that change what the store holds: publish, get, rm. */
#include "call.h"
#include "chunk/profile.h"
#include "cmd_alias.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>
#include <string.h>

/* --annotation k=v ... as an object. */
static int set_annotations(struct cmd *cmd, json_t *args)
{
    json_t *map = json_object();
    const char *text;
    for (size_t i = 0; (text = cmd_value_at(cmd, "annotation", i)) != NULL; i++) {
        const char *eq = strchr(text, '=');
        if (eq == NULL || eq == text) {
            json_decref(map);
            return cmd_usage(cmd, "--annotation takes KEY=VALUE, not '%s'", text);
        }
        char key[256];
        int n = snprintf(key, sizeof key, "%.*s", (int)(eq - text < 255 ? eq - text : 255), text);
        if (eq - text > n || json_object_get(map, key) != NULL) {
            json_decref(map);
            return cmd_usage(cmd, "--annotation '%.80s' is too long or given twice", key);
        }
        if (!stoq_json_set_text(map, key, stoq_span_str(eq + 1))) {
            json_decref(map);
            return cmd_usage(cmd, "--annotation '%.80s' is not UTF-8", key);
        }
    }
    return json_object_set_new(args, "annotations", map) == 0 ? 0 : STOQ_EXIT_FAILED;
}

/* What is to be published; *feed is made for standard input. */
static int publish_source(struct cmd *cmd, json_t *args, struct stoq_feed **feed)
{
    if (strcmp(cmd->args[0], "-") == 0) {
        int rc = call_set_text(cmd, args, "entry", cmd_value(cmd, "entry"));
        return rc == 0 ? call_feed_input(cmd, args, feed) : rc;
    }
    return cmd_flag(cmd, "entry")
               ? cmd_usage(cmd, "--entry names what comes from standard input; PATH has a name")
               : call_set_path(cmd, args, "path", cmd->args[0]);
}

static int publish_args(struct cmd *cmd, json_t *args)
{
    static const char *const texts[] = {"name", "version", "description", "license"};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < STOQ_COUNT(texts); i++) {
        const char *text = cmd_value(cmd, texts[i]);
        if (text == NULL && i < 2) {
            return cmd_usage(cmd, "--%s is missing", texts[i]);
        }
        rc = call_set_text(cmd, args, texts[i], text);
    }
    if (rc == 0) {
        rc = set_annotations(cmd, args);
    }
    if (rc == 0) {
        rc = call_set_list(cmd, args, "depends", "depends");
    }
    if (rc == 0) {
        rc = alias_set_option(cmd, args);
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "profile", "profile", STOQ_PROFILE_1, STOQ_PROFILE_2);
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "read-bytes", "read_bytes", 1, 16 * STOQ_MIB);
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "threads", "threads", 1, 64);
    }
    if (rc == 0 && cmd_flag(cmd, "in-place") &&
        json_object_set_new(args, "in_place", json_true()) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    if (rc == 0 && cmd_flag(cmd, "newest") &&
        json_object_set_new(args, "newest", json_true()) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    if (rc == 0 && cmd_flag(cmd, "private") &&
        json_object_set_new(args, "private", json_true()) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    if (rc == 0 && cmd_value(cmd, "private-key") != NULL) {
        rc = call_set_path(cmd, args, "private_key", cmd_value(cmd, "private-key"));
    }
    if (rc == 0 && cmd_flag(cmd, "no-sign") &&
        json_object_set_new(args, "sign", json_false()) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "secondary", cmd_value(cmd, "secondary"));
    }
    if (rc == 0 && cmd_flag(cmd, "strict") &&
        json_object_set_new(args, "strict", json_true()) != 0) {
        rc = STOQ_EXIT_FAILED;
    }
    return rc;
}

static void tell_warnings(const json_t *result)
{
    size_t i;
    const json_t *text;
    json_array_foreach (json_object_get(result, "warnings"), i, text) {
        (void)fprintf(stderr, "warning: %s\n", json_string_value(text));
    }
}

int cmd_publish(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    char c[HUMAN_CAP];
    json_t *result;
    struct stoq_feed *feed = NULL;
    json_t *args = json_object();
    int rc = publish_args(cmd, args);
    if (rc == 0) {
        rc = publish_source(cmd, args, &feed);
    }
    rc = call_op_with(cmd, rc, "publish", args, &result);
    stoq_feed_free(feed);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    (void)printf("%s\n", stoq_json_text(result, "id"));
    if (!cmd->quiet) {
        tell_warnings(result);
        if (stoq_json_bool(result, "private_key_made", false)) {
            (void)fprintf(stderr,
                          "made a key of private packages; 'stoq key private' tells where\n");
        }
        (void)fprintf(stderr, "%s %s: %s in %llu chunks, %s new, %s stored, %.2f s, %s%s\n",
                      stoq_json_text(result, "name"), stoq_json_text(result, "version"),
                      human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                      (unsigned long long)stoq_json_u64(result, "chunks", 0),
                      human_bytes(b, stoq_json_u64(result, "bytes_new", 0)),
                      human_bytes(c, stoq_json_u64(result, "bytes_stored", 0)),
                      json_number_value(json_object_get(result, "seconds")),
                      stoq_json_text(result, "signed_by") != NULL ? "signed" : "unsigned",
                      json_is_false(json_object_get(result, "newest"))
                          ? ", not the newest release of its name (--newest)"
                          : "");
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static int get_args(struct cmd *cmd, json_t *args)
{
    const char *output = cmd_value(cmd, "output");
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (rc == 0 && output != NULL && strcmp(output, "-") == 0) {
        cmd->raw_output = true;
        rc = json_object_set_new(args, "stream", json_true()) == 0 ? 0 : STOQ_EXIT_FAILED;
    } else if (rc == 0 && output != NULL) {
        rc = call_set_path(cmd, args, "output", output);
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "range", cmd_value(cmd, "range"));
    }
    if (rc == 0 && cmd_value(cmd, "seed") != NULL) {
        rc = call_set_path(cmd, args, "seed", cmd_value(cmd, "seed"));
    }
    if (rc == 0 && cmd_flag(cmd, "no-sync")) {
        rc = json_object_set_new(args, "no_sync", json_true()) == 0 ? 0 : STOQ_EXIT_FAILED;
    }
    if (rc == 0) {
        rc = call_set_list(cmd, args, "from", "from");
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "priority", cmd_value(cmd, "priority"));
    }
    if (rc == 0) {
        rc = call_set_text(cmd, args, "strategy", cmd_value(cmd, "strategy"));
    }
    if (rc == 0) {
        rc = call_set_number(cmd, args, "timeout", "timeout_s", 1, 30 * 24 * 3600);
    }
    return rc;
}

static void tell_get(const json_t *result)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    char c[HUMAN_CAP];
    const char *signer = stoq_json_text(result, "signed_by");
    const char *group = stoq_json_text(result, "group");
    uint64_t from_peers = stoq_json_u64(result, "bytes_from_peers", 0);
    uint64_t from_seed = stoq_json_u64(result, "bytes_from_seed", 0);
    double seconds = json_number_value(json_object_get(result, "seconds"));
    (void)fprintf(stderr, "%s %s: %s, %s had", stoq_json_text(result, "name"),
                  stoq_json_text(result, "version"),
                  human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                  human_bytes(b, stoq_json_u64(result, "bytes_had", 0)));
    if (from_seed > 0) {
        (void)fprintf(stderr, ", %s from the seed", human_bytes(a, from_seed));
    }
    (void)fprintf(stderr, ", %s from peers", human_bytes(c, from_peers));
    if (from_peers > 0 && seconds > 0) {
        (void)fprintf(stderr, " in %.2f s (%.0f MB/s, %s)", seconds,
                      (double)from_peers / 1e6 / seconds, group != NULL ? group : "?");
    }
    (void)fprintf(stderr, ", %s%s\n", signer != NULL ? "signed by " : "unsigned",
                  signer != NULL ? signer : "");
    size_t i;
    const json_t *source;
    json_array_foreach (json_object_get(result, "sources"), i, source) {
        const char *why = stoq_json_text(source, "why");
        (void)fprintf(stderr, "  %s@%s: %s%s%s\n", stoq_json_text(source, "peer"),
                      stoq_json_text(source, "addr"),
                      human_bytes(a, stoq_json_u64(source, "bytes", 0)), why != NULL ? ", " : "",
                      why != NULL ? why : "");
    }
}

int cmd_get(struct cmd *cmd)
{
    if (alias_is_asked(cmd)) {
        bool is_local =
            !cmd_flag(cmd, "from") && !cmd_flag(cmd, "timeout") && !cmd_flag(cmd, "seed");
        return is_local ? alias_get(cmd, cmd_value(cmd, "output"))
                        : cmd_usage(cmd, "a file named by a digest is looked for here alone");
    }
    if (cmd->arg_count < 1) {
        return cmd_usage(cmd, "too few arguments; use: stoq get %s", cmd->row->synopsis);
    }
    json_t *args = json_object();
    int rc = get_args(cmd, args);
    return call_tell(cmd, rc, "get", args, tell_get);
}

int cmd_rm(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    json_t *result;
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    rc = call_op_with(cmd, rc, "rm", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    if (!cmd->quiet) {
        (void)fprintf(stderr, "removed %llu chunks, %s; %llu are used by other packages\n",
                      (unsigned long long)stoq_json_u64(result, "chunks", 0),
                      human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                      (unsigned long long)stoq_json_u64(result, "chunks_shared", 0));
    }
    json_decref(result);
    return cmd_finish(cmd);
}
