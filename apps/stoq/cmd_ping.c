#include "call.h"
#include "commands.h"

#include <stdio.h>

static int print(const struct cmd *cmd, json_t *result)
{
    const char *group = stoq_json_text(result, "group");
    const json_t *connect = json_object_get(result, "connect_ms");
    (void)printf(
        "%s@%s  %.3f ms  %s", stoq_json_text(result, "peer"), stoq_json_text(result, "addr"),
        json_number_value(json_object_get(result, "rtt_ms")), stoq_json_text(result, "over"));
    if (group != NULL) {
        (void)printf("  %s", group);
    }
    if (json_is_real(connect)) {
        (void)printf("  connected in %.1f ms", json_number_value(connect));
    }
    if (stoq_json_bool(result, "key_learned", false)) {
        (void)printf("  its key for datagrams is remembered");
    }
    (void)printf("\n");
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_ping(struct cmd *cmd)
{
    uint64_t timeout_s = 0;
    json_t *result;
    json_t *args = json_object();
    if (!cmd_value_u64(cmd, "timeout", 1, 3600, &timeout_s)) {
        json_decref(args);
        return STOQ_EXIT_USAGE;
    }
    int rc = call_set_text(cmd, args, "to", cmd->args[0]);
    if (timeout_s > 0) {
        (void)stoq_json_set_u64(args, "timeout_s", timeout_s);
    }
    if (cmd_flag(cmd, "datagram")) {
        (void)json_object_set_new(args, "datagram", json_true());
    }
    rc = call_op_with(cmd, rc, "ping", args, &result);
    if (rc != 0) {
        return rc;
    }
    return cmd->json ? cmd_print_json(cmd, result) : print(cmd, result);
}
