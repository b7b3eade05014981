/* Files by the digests other programs print: alias, find, and the --sha256 and the like of get and cat. */
#include "cmd_alias.h"

#include "call.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>
#include <string.h>

static const char *const algs[] = {"b3sum", "sha256", "sha512", "sha3-256"};

/* Append the words between commas. */
static void add_words(json_t *list, const char *text)
{
    for (;;) {
        size_t n = strcspn(text, ",");
        (void)json_array_append_new(list, json_stringn(text, n));
        if (text[n] == '\0') {
            break;
        }
        text += n + 1;
    }
}

int alias_set_option(struct cmd *cmd, json_t *args)
{
    json_t *list = json_array();
    const char *text;
    for (size_t i = 0; (text = cmd_value_at(cmd, "alias", i)) != NULL; i++) {
        add_words(list, text);
    }
    return json_object_set_new(args, "aliases", list) == 0 ? 0 : STOQ_EXIT_FAILED;
}

int cmd_alias(struct cmd *cmd)
{
    json_t *result;
    json_t *list = json_array();
    json_t *args = json_object();
    add_words(list, cmd->args[1]);
    int rc = call_set_text(cmd, args, "id", cmd->args[0]);
    if (json_object_set_new(args, "aliases", list) != 0 && rc == 0) {
        rc = STOQ_EXIT_FAILED;
    }
    rc = call_op_with(cmd, rc, "alias", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    if (!cmd->quiet) {
        (void)fprintf(stderr, "%llu aliases\n",
                      (unsigned long long)stoq_json_u64(result, "aliases", 0));
    }
    json_decref(result);
    return cmd_finish(cmd);
}

bool alias_is_asked(const struct cmd *cmd)
{
    for (size_t i = 0; i < STOQ_COUNT(algs); i++) {
        if (cmd_flag(cmd, algs[i])) {
            return true;
        }
    }
    return false;
}

/* The one digest option as "alg" and "digest". 0, or the exit code after the usage error was told. */
static int set_digest(const struct cmd *cmd, json_t *args)
{
    const char *alg = NULL;
    for (size_t i = 0; i < STOQ_COUNT(algs); i++) {
        if (cmd_flag(cmd, algs[i]) && alg != NULL) {
            return cmd_usage(cmd, "either --%s or --%s, not both", alg, algs[i]);
        }
        alg = cmd_flag(cmd, algs[i]) ? algs[i] : alg;
    }
    if (alg == NULL) {
        return cmd_usage(cmd, "a digest is missing: --b3sum, --sha256, --sha512 or --sha3-256");
    }
    int rc = call_set_text(cmd, args, "alg", alg);
    return rc != 0 ? rc : call_set_text(cmd, args, "digest", cmd_value(cmd, alg));
}

int cmd_find(struct cmd *cmd)
{
    size_t i;
    const json_t *m;
    json_t *result;
    if (cmd->arg_count == 1) {
        return cmd_providers(cmd);
    }
    json_t *args = json_object();
    int rc = set_digest(cmd, args);
    rc = call_op_with(cmd, rc, "find", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "matches"), i, m) {
        (void)printf("%s  %s %s  ", stoq_json_text(m, "id"), stoq_json_text(m, "name"),
                     stoq_json_text(m, "version"));
        human_path(m, "path");
        (void)printf("\n");
    }
    const char *address = stoq_json_text(result, "address");
    if (address != NULL) {
        (void)printf("%s\n", address);
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static void tell_file(const struct cmd *cmd, const json_t *result)
{
    char a[HUMAN_CAP];
    const char *address = stoq_json_text(result, "address");
    if (cmd->quiet) {
        return;
    }
    (void)printf("%s  ", address != NULL ? address : stoq_json_text(result, "id"));
    if (address == NULL) {
        human_path(result, "path");
        (void)printf("  ");
    }
    (void)printf("%s\n", human_bytes(a, stoq_json_u64(result, "bytes", 0)));
}

int alias_get(struct cmd *cmd, const char *output)
{
    json_t *result = NULL;
    json_t *args = json_object();
    int rc = set_digest(cmd, args);
    if (rc == 0 && cmd->arg_count > 0) {
        rc = cmd_usage(cmd, "either a digest or an id, not both");
    }
    if (rc == 0 && cmd_value(cmd, "range") != NULL) {
        rc = cmd_usage(cmd, "--range needs an id: a digest is of the whole file");
    }
    if (rc == 0 && output != NULL && strcmp(output, "-") == 0) {
        cmd->raw_output = true;
        rc = json_object_set_new(args, "stream", json_true()) == 0 ? 0 : STOQ_EXIT_FAILED;
    } else if (rc == 0 && output != NULL) {
        rc = call_set_path(cmd, args, "output", output);
    }
    rc = call_op_with(cmd, rc, "get_file", args, &result);
    if (rc == 0 && cmd->json && !cmd->raw_output) {
        return cmd_print_json(cmd, result);
    }
    if (rc == 0 && !cmd->raw_output) {
        tell_file(cmd, result);
    }
    json_decref(result);
    int flushed = cmd_finish(cmd);
    return rc != 0 ? rc : flushed;
}
