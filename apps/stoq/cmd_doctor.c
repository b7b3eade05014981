#include "call.h"
#include "commands.h"

#include "daemon/config.h"
#include "daemon/home.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A configuration that cannot be read: nothing else can be looked at. NULL: it is in order. */
static json_t *of_config(struct cmd *cmd)
{
    struct stoq_home home;
    struct stoq_error err = {0};
    struct stoq_config *config = malloc(sizeof *config);
    json_t *result = NULL;
    if (config != NULL && stoq_home_find_here(&home, cmd->home, cmd->config, &err) == STOQ_OK) {
        enum stoq_status st = stoq_config_load(config, home.config_file, &err);
        if (st != STOQ_OK && (st != STOQ_NOTFOUND || home.config_named)) {
            result = json_pack("{s:b, s:i, s:[{s:s, s:s, s:s, s:s, s:s}]}", "daemon", 0, "problems",
                               1, "findings", "check", "config", "level", "problem", "what",
                               err.text, "where", home.config_file, "fix",
                               "correct that line; docs/CLI.md has a table of all keys");
        }
    }
    free(config);
    return result;
}

static void tell(const json_t *result)
{
    size_t i;
    const json_t *f;
    const json_t *list = json_object_get(result, "findings");
    json_array_foreach (list, i, f) {
        (void)printf("%s: %s: %s\n  %s\n  %s\n", stoq_json_text(f, "level"),
                     stoq_json_text(f, "check"), stoq_json_text(f, "where"),
                     stoq_json_text(f, "what"), stoq_json_text(f, "fix"));
    }
    if (json_array_size(list) == 0) {
        (void)printf("nothing found\n");
    }
}

int cmd_doctor(struct cmd *cmd)
{
    json_t *result = of_config(cmd);
    struct stoq_error err = {0};
    if (result == NULL) {
        int rc = call_op(cmd, "doctor", json_object(), &result);
        if (rc != 0) {
            return rc;
        }
    }
    unsigned long long problems = stoq_json_u64(result, "problems", 0);
    if (problems > 0) {
        (void)stoq_fail_code(&err, STOQ_IO, "Failed", "%llu problem%s", problems,
                             problems == 1 ? "" : "s");
    }
    if (cmd->json) {
        if (problems > 0) {
            (void)json_object_set_new(result, "error", stoq_error_to_json(&err));
        }
        int printed = cmd_print_json(cmd, result);
        return problems > 0 ? (int)stoq_error_exit(&err) : printed;
    }
    if (!cmd->quiet) {
        tell(result);
    }
    json_decref(result);
    int printed = cmd_finish(cmd);
    return problems > 0 ? cmd_fail(cmd, &err) : printed;
}
