/* stoq store WORD: content by address, and the store itself. */
#include "cmd_store.h"
#include "call.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>
#include <string.h>

struct word {
    const char *name;
    int args;            /* after the word */
    const char *options; /* the ones it takes, each between spaces */
    int (*run)(struct cmd *cmd);
};

static const char *argument(const struct cmd *cmd)
{
    return cmd->args[1];
}

static int put_args(struct cmd *cmd, json_t *args)
{
    json_t *list = json_array();
    const char *text;
    uint64_t threads = 0;
    int rc = call_set_text(cmd, args, "hash", cmd_value(cmd, "hash"));
    if (rc == 0) {
        rc = call_set_text(cmd, args, "expect", cmd_value(cmd, "expect"));
    }
    for (size_t i = 0; (text = cmd_value_at(cmd, "secondary", i)) != NULL; i++) {
        (void)json_array_append_new(list, json_string(text));
    }
    if (json_object_set_new(args, "secondary", list) != 0) {
        return STOQ_EXIT_FAILED;
    }
    if (rc == 0 && !cmd_value_u64(cmd, "threads", 1, 64, &threads)) {
        return STOQ_EXIT_USAGE;
    }
    return rc != 0 || threads == 0 || stoq_json_set_u64(args, "threads", threads)
               ? rc
               : STOQ_EXIT_FAILED;
}

static int tell_put(struct cmd *cmd, json_t *result)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    char c[HUMAN_CAP];
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    (void)printf("%s\n", stoq_json_text(result, "address"));
    if (!cmd->quiet) {
        (void)fprintf(stderr, "%s in %llu chunks, %s new, %s stored, %.2f s%s\n",
                      human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                      (unsigned long long)stoq_json_u64(result, "chunks", 0),
                      human_bytes(b, stoq_json_u64(result, "bytes_new", 0)),
                      human_bytes(c, stoq_json_u64(result, "bytes_stored", 0)),
                      json_number_value(json_object_get(result, "seconds")),
                      stoq_json_bool(result, "existed", false) ? ", was here before" : "");
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static int put(struct cmd *cmd)
{
    struct stoq_feed *feed = NULL;
    json_t *result = NULL;
    json_t *args = json_object();
    int rc = put_args(cmd, args);
    if (rc == 0 && strcmp(argument(cmd), "-") == 0) {
        rc = call_feed_input(cmd, args, &feed);
    } else if (rc == 0) {
        rc = call_set_path(cmd, args, "path", argument(cmd));
    }
    rc = call_op_with(cmd, rc, "store_put", args, &result);
    stoq_feed_free(feed);
    return rc != 0 ? rc : tell_put(cmd, result);
}

/* Run an operation on the address named. */
static int on_address(struct cmd *cmd, const char *op, void (*tell)(const json_t *result))
{
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "address", argument(cmd));
    return call_tell(cmd, rc, op, args, tell);
}

static int get(struct cmd *cmd)
{
    const char *output = cmd_value(cmd, "output");
    bool is_stream = output == NULL || strcmp(output, "-") == 0;
    json_t *result = NULL;
    json_t *args = json_object();
    cmd->raw_output = is_stream;
    int rc = call_set_text(cmd, args, "address", argument(cmd));
    if (rc == 0 && is_stream) {
        rc = json_object_set_new(args, "stream", json_true()) == 0 ? 0 : STOQ_EXIT_FAILED;
    } else if (rc == 0) {
        rc = call_set_path(cmd, args, "output", output);
    }
    rc = call_op_with(cmd, rc, "store_get", args, &result);
    if (rc == 0 && cmd->json && !is_stream) {
        return cmd_print_json(cmd, result);
    }
    json_decref(result);
    int flushed = cmd_finish(cmd);
    return rc != 0 ? rc : flushed;
}

static void tell_verified(const json_t *result)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *d;
    (void)printf("valid: %s, %s", human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                 stoq_json_text(result, "hash"));
    json_array_foreach (json_object_get(result, "secondary"), i, d) {
        (void)printf(", %s", stoq_json_text(d, "alg"));
    }
    (void)printf("\n");
}

static int verify(struct cmd *cmd)
{
    return on_address(cmd, "store_verify", tell_verified);
}

static void tell_removed(const json_t *result)
{
    char a[HUMAN_CAP];
    (void)fprintf(stderr, "removed %llu chunks, %s; %llu are used by others\n",
                  (unsigned long long)stoq_json_u64(result, "chunks", 0),
                  human_bytes(a, stoq_json_u64(result, "bytes", 0)),
                  (unsigned long long)stoq_json_u64(result, "chunks_shared", 0));
}

static int rm(struct cmd *cmd)
{
    return on_address(cmd, "store_rm", tell_removed);
}

static int ls(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *c;
    json_t *result;
    int rc = call_op(cmd, "store_ls", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "contents"), i, c) {
        (void)printf("%s  %s\n", stoq_json_text(c, "address"),
                     human_bytes(a, stoq_json_u64(c, "bytes", 0)));
    }
    uint64_t damaged = stoq_json_u64(result, "damaged", 0);
    if (damaged > 0) {
        (void)fprintf(stderr, "stoq: %llu content records are damaged\n",
                      (unsigned long long)damaged);
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static const struct word words[] = {
    {"put", 1, " hash secondary expect threads ", put},
    {"get", 1, " output ", get},
    {"verify", 1, " ", verify},
    {"rm", 1, " ", rm},
    {"ls", 0, " ", ls},
    {"stats", 0, " ", store_stats},
    {"rebuild", 0, " ", store_rebuild},
};

/* The options of the other words are refused, not ignored. */
static bool options_fit(struct cmd *cmd, const struct word *word, int *exit_code)
{
    for (size_t i = 0; i < cmd->value_count; i++) {
        char spaced[32];
        (void)snprintf(spaced, sizeof spaced, " %s ", cmd->values[i].option->name);
        if (strstr(word->options, spaced) == NULL) {
            *exit_code = cmd_usage(cmd, "stoq store %s takes no --%s", word->name,
                                   cmd->values[i].option->name);
            return false;
        }
    }
    return true;
}

int cmd_store(struct cmd *cmd)
{
    int exit_code;
    for (size_t i = 0; i < STOQ_COUNT(words); i++) {
        const struct word *word = &words[i];
        if (strcmp(cmd->args[0], word->name) != 0) {
            continue;
        }
        if (cmd->arg_count != 1 + word->args) {
            return cmd_usage(cmd, "stoq store %s takes %s", word->name,
                             word->args == 0 ? "no argument" : "one argument");
        }
        return options_fit(cmd, word, &exit_code) ? word->run(cmd) : exit_code;
    }
    return cmd_usage(cmd, "stoq store takes put, get, verify, rm, ls, stats or rebuild, not '%s'",
                     cmd->args[0]);
}
