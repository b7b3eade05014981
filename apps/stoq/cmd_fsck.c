/* stoq fsck: is the store what it was? */
#include "call.h"
#include "commands.h"
#include "human.h"

#include <stdio.h>

static void tell(const json_t *o)
{
    char a[HUMAN_CAP];
    size_t i;
    json_t *problem;
    json_array_foreach (json_object_get(o, "problem"), i, problem) {
        (void)printf("%s\n", json_string_value(problem));
    }
    (void)printf(
        "%llu records in %llu segments read (%s), %llu damaged places, %llu of them harmless; "
        "%llu of %llu promised records cannot be had\n",
        (unsigned long long)stoq_json_u64(o, "records", 0),
        (unsigned long long)stoq_json_u64(o, "segments", 0),
        human_bytes(a, stoq_json_u64(o, "bytes", 0)),
        (unsigned long long)stoq_json_u64(o, "damaged", 0),
        (unsigned long long)stoq_json_u64(o, "harmless", 0),
        (unsigned long long)stoq_json_u64(o, "lost", 0),
        (unsigned long long)stoq_json_u64(o, "live", 0));
}

int cmd_fsck(struct cmd *cmd)
{
    json_t *result;
    int rc = call_op(cmd, "fsck", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    struct stoq_error err = {0};
    bool sound = stoq_json_bool(result, "sound", false);
    if (!sound) {
        (void)stoq_fail_code(&err, STOQ_PROOF, "StoreDamaged", "the store has %llu problems",
                             (unsigned long long)stoq_json_u64(result, "problems", 0));
    }
    if (cmd->json) {
        if (!sound) {
            (void)json_object_set_new(result, "error", stoq_error_to_json(&err));
        }
        int printed = cmd_print_json(cmd, result);
        return sound ? printed : (int)stoq_error_exit(&err);
    }
    if (!cmd->quiet) {
        tell(result);
    }
    json_decref(result);
    int printed = cmd_finish(cmd);
    return sound ? printed : cmd_fail(cmd, &err);
}
