/* stoq limit: caps on bandwidth while the daemon runs. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include "daemon/share_words.h"

#include <stdio.h>

static int take_rate(struct cmd *cmd, const char *name, json_t *args)
{
    uint64_t rate = 0;
    const char *text = cmd_value(cmd, name);
    if (text == NULL) {
        return 0;
    }
    if (!stoq_cap_parse(text, &rate)) {
        return cmd_usage(cmd, "--%s takes a rate, as in 2MiB or 20Mbit, or none, not '%s'", name,
                         text);
    }
    return stoq_json_set_u64(args, name, rate) ? 0 : STOQ_EXIT_FAILED;
}

static int take_whose(struct cmd *cmd, json_t *args)
{
    bool is_between = cmd_value(cmd, "between") != NULL;
    bool is_set = cmd_value(cmd, "up") != NULL || cmd_value(cmd, "down") != NULL;
    if (cmd_flag(cmd, "remove") ? !is_between || is_set : is_between && !is_set) {
        return cmd_usage(cmd, "--between takes --up or --down, or --remove alone");
    }
    int rc = call_set_text(cmd, args, "peer", cmd_value(cmd, "peer"));
    rc = rc != 0 ? rc : call_set_text(cmd, args, "class", cmd_value(cmd, "class"));
    return rc != 0 ? rc : call_set_text(cmd, args, "between", cmd_value(cmd, "between"));
}

static const char *rate_text(const json_t *o, const char *key, char out[HUMAN_CAP + 2])
{
    uint64_t rate = stoq_json_u64(o, key, 0);
    char bytes[HUMAN_CAP];
    if (rate == 0) {
        return "none";
    }
    (void)snprintf(out, HUMAN_CAP + 2, "%s/s", human_bytes(bytes, rate));
    return out;
}

static void print_limits(const json_t *result)
{
    char a[HUMAN_CAP + 2];
    char b[HUMAN_CAP + 2];
    size_t i;
    const json_t *o;
    (void)printf("up %s, down %s\n", rate_text(result, "up", a), rate_text(result, "down", b));
    json_array_foreach (json_object_get(result, "windows"), i, o) {
        (void)printf("%s  up %s, down %s%s\n", stoq_json_text(o, "between"),
                     json_object_get(o, "up") != NULL ? rate_text(o, "up", a) : "as always",
                     json_object_get(o, "down") != NULL ? rate_text(o, "down", b) : "as always",
                     stoq_json_bool(o, "now", false) ? ", now" : "");
    }
    json_array_foreach (json_object_get(result, "classes"), i, o) {
        (void)printf("%s  up %s, down %s\n", stoq_json_text(o, "class"), rate_text(o, "up", a),
                     rate_text(o, "down", b));
    }
    json_array_foreach (json_object_get(result, "peers"), i, o) {
        (void)printf("%s  up %s, down %s\n", stoq_json_text(o, "peer"), rate_text(o, "up", a),
                     rate_text(o, "down", b));
    }
    json_array_foreach (json_object_get(result, "allocations"), i, o) {
        (void)printf("%s  %-4s  %-11s  %llu requested, %llu granted, %s\n",
                     stoq_json_text(o, "peer"), stoq_json_text(o, "direction"),
                     stoq_json_text(o, "class"),
                     (unsigned long long)stoq_json_u64(o, "requested", 0),
                     (unsigned long long)stoq_json_u64(o, "granted", 0), rate_text(o, "rate", a));
    }
}

int cmd_limit(struct cmd *cmd)
{
    json_t *args = json_object();
    json_t *result;
    int rc = take_rate(cmd, "up", args);
    rc = rc != 0 ? rc : take_rate(cmd, "down", args);
    rc = rc != 0 ? rc : take_whose(cmd, args);
    rc = call_op_with(cmd, rc, "limit", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    print_limits(result);
    json_decref(result);
    return cmd_finish(cmd);
}
