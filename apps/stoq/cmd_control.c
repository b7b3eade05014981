/* Commands about a running daemon: peers, status, stop. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *text_or(const json_t *o, const char *key, const char *otherwise)
{
    const char *text = stoq_json_text(o, key);
    return text != NULL ? text : otherwise;
}

/* With --topology. */
static int peers_topology(struct cmd *cmd)
{
    size_t i;
    const json_t *p;
    json_t *result;
    int rc = call_op(cmd, "topology", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "topology"), i, p) {
        const json_t *rtt = json_object_get(p, "rtt_ms");
        char far[HUMAN_CAP] = "-";
        if (json_is_number(rtt)) {
            (void)snprintf(far, sizeof far, "%.1f ms", json_number_value(rtt));
        }
        (void)printf("%10s  %-11s  %s@%s  region %s  site %s  domain %s\n", far,
                     stoq_json_text(p, "state"), stoq_json_text(p, "peer"), text_or(p, "addr", "-"),
                     text_or(p, "region", "-"), text_or(p, "site", "-"), text_or(p, "domain", "-"));
    }
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_peers(struct cmd *cmd)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    size_t i;
    const json_t *p;
    json_t *result;
    if (cmd_flag(cmd, "why") || cmd_flag(cmd, "forgive")) {
        return peers_why(cmd);
    }
    if (cmd_flag(cmd, "topology")) {
        return peers_topology(cmd);
    }
    if (cmd_flag(cmd, "select")) {
        return peers_select(cmd);
    }
    int rc = call_op(cmd, "peers", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_array_foreach (json_object_get(result, "peers"), i, p) {
        const char *peer = stoq_json_text(p, "peer");
        (void)printf("%s@%s  %s  %s  %.1f ms  fetched %s  served %s\n",
                     peer != NULL ? peer : "(connecting)", stoq_json_text(p, "addr"),
                     stoq_json_bool(p, "inbound", false) ? "in" : "out", stoq_json_text(p, "group"),
                     json_number_value(json_object_get(p, "rtt_ms")),
                     human_bytes(a, stoq_json_u64(p, "bytes_fetched", 0)),
                     human_bytes(b, stoq_json_u64(p, "bytes_served", 0)));
    }
    json_array_foreach (json_object_get(result, "neighbours"), i, p) {
        (void)printf("%s@%s  on this network, heard %.0f s ago\n", stoq_json_text(p, "peer"),
                     stoq_json_text(p, "addr"),
                     json_number_value(json_object_get(p, "heard_seconds")));
    }
    json_decref(result);
    return cmd_finish(cmd);
}

static void print_scalar(const json_t *value)
{
    if (json_is_string(value)) {
        (void)printf("%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        (void)printf("%lld", (long long)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        (void)printf("%s", json_is_true(value) ? "yes" : "no");
    } else if (json_is_real(value)) {
        (void)printf("%.3g", json_number_value(value));
    } else {
        (void)printf("-");
    }
}

/* One object of a list on one line: `key value` pairs. */
static void print_item(const json_t *item)
{
    const char *key;
    const json_t *value;
    const char *before = "";
    if (!json_is_object(item)) {
        print_scalar(item);
        return;
    }
    json_object_foreach ((json_t *)(uintptr_t)item, key, value) {
        (void)printf("%s%s ", before, key);
        print_scalar(value);
        before = ", ";
    }
}

/* A limit: what is used of it, and the most. */
static bool print_limit(const json_t *o)
{
    const json_t *max = json_object_get(o, "max");
    if (max == NULL) {
        return false;
    }
    print_scalar(json_object_get(o, "used"));
    (void)printf(" of ");
    print_scalar(max);
    return true;
}

/* As deep as JSON may nest that was read (api/json.h). NOLINTNEXTLINE(misc-no-recursion) */
static void print_tree(const json_t *o, const char *before)
{
    const char *key;
    const json_t *value;
    size_t i;
    const json_t *item;
    json_object_foreach ((json_t *)(uintptr_t)o, key, value) {
        if (json_is_array(value)) {
            json_array_foreach (value, i, item) {
                (void)printf("%s%-20s ", before, key);
                print_item(item);
                (void)printf("\n");
            }
        } else if (json_is_object(value) && json_object_get(value, "max") == NULL) {
            (void)printf("%s%s\n", before, key);
            print_tree(value, "  ");
        } else {
            (void)printf("%s%-20s ", before, key);
            if (!json_is_object(value) || !print_limit(value)) {
                print_scalar(value);
            }
            (void)printf("\n");
        }
    }
}

int peers_why(struct cmd *cmd)
{
    bool forgive = cmd_flag(cmd, "forgive");
    json_t *result;
    json_t *args = json_pack("{s:b}", "forgive", (int)forgive);
    int rc = call_set_text(cmd, args, "peer", cmd_value(cmd, forgive ? "forgive" : "why"));
    rc = call_op_with(cmd, rc, "peers_why", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    (void)json_object_del(result, "penalties"); /* the counters say it */
    print_tree(result, "");
    json_decref(result);
    return cmd_finish(cmd);
}

int cmd_status(struct cmd *cmd)
{
    json_t *result;
    int rc = call_op(cmd, "status", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    print_tree(result, "");
    json_decref(result);
    return cmd_finish(cmd);
}

/* Wait until the process has ended; false when it has not within the time. */
static bool wait_gone(long fd, uint64_t timeout_s)
{
    struct pollfd p = {.fd = (int)fd, .events = POLLIN};
    if (fd < 0) {
        return true; /* gone already, or the kernel cannot tell */
    }
    int n = poll(&p, 1, (int)timeout_s * 1000);
    close((int)fd);
    return n > 0;
}

int cmd_stop(struct cmd *cmd)
{
    uint64_t timeout_s = 10;
    json_t *status;
    json_t *result;
    if (!cmd_value_u64(cmd, "timeout", 1, 3600, &timeout_s)) {
        return STOQ_EXIT_USAGE;
    }
    /* Hold on to the process before it is told to end, so that its number cannot be another's. */
    int rc = call_op(cmd, "status", json_object(), &status);
    if (rc != 0) {
        return rc;
    }
    long fd = syscall(SYS_pidfd_open, (pid_t)stoq_json_u64(status, "pid", 0), 0);
    json_decref(status);
    rc = call_op(cmd, "stop", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (!wait_gone(fd, timeout_s)) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_TIMEOUT, 0, "the daemon has not ended within %llu s",
                        (unsigned long long)timeout_s);
        json_decref(result);
        return cmd_fail(cmd, &err);
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    json_decref(result);
    return cmd_finish(cmd);
}
