#include "call.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static long long whole(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

/* Run an operation with one text argument; print tells the result. */
static int run(struct cmd *cmd, const char *op, const char *key, const char *text,
               void (*print)(const json_t *result))
{
    json_t *result;
    json_t *args = json_object();
    int rc = key == NULL ? 0 : call_set_text(cmd, args, key, text);
    if (cmd_flag(cmd, "trace")) {
        (void)json_object_set_new(args, "trace", json_true());
    }
    rc = call_op_with(cmd, rc, op, args, &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    print(result);
    json_decref(result);
    return cmd_finish(cmd);
}

static void print_announced(const json_t *r)
{
    (void)printf("%lld of %lld hold it; announced again in %lld s\n", whole(r, "got"),
                 whole(r, "wanted"), whole(r, "again_in_s"));
}

int cmd_announce(struct cmd *cmd)
{
    return run(cmd, "announce", "id", cmd->args[0], print_announced);
}

static void print_joined(const json_t *r)
{
    (void)printf("joining by %s@%s; stoq dht status tells how it goes\n", stoq_json_text(r, "peer"),
                 stoq_json_text(r, "addr"));
}

int cmd_join(struct cmd *cmd)
{
    return run(cmd, "join", "to", cmd->args[0], print_joined);
}

static void print_trace(const json_t *r)
{
    size_t i;
    const json_t *h;
    json_array_foreach (json_object_get(r, "trace"), i, h) {
        (void)printf("hop %lld path %lld  %s  %s@%s  %lld contacts, %lld records  %.1f ms\n",
                     whole(h, "hop"), whole(h, "path"), stoq_json_text(h, "outcome"),
                     stoq_json_text(h, "peer"), stoq_json_text(h, "addr"), whole(h, "contacts"),
                     whole(h, "records"), number(h, "took_ms"));
    }
    (void)printf("%lld calls, %lld silent, %lld hops, %.1f ms\n", whole(r, "calls"),
                 whole(r, "silent"), whole(r, "hops"), number(r, "took_ms"));
}

static void print_providers(const json_t *r)
{
    size_t i;
    const json_t *p;
    if (json_object_get(r, "version") != NULL) {
        (void)printf("%s  %s %s\n", stoq_json_text(r, "id"), stoq_json_text(r, "name"),
                     stoq_json_text(r, "version"));
    }
    json_array_foreach (json_object_get(r, "providers"), i, p) {
        const json_t *addr = json_array_get(json_object_get(p, "addrs"), 0);
        (void)printf("%s@%s\n", stoq_json_text(p, "peer"),
                     addr == NULL ? "?" : json_string_value(addr));
    }
    json_array_foreach (json_object_get(r, "announced"), i, p) {
        (void)printf("%s@%s  announced on its connection\n", stoq_json_text(p, "peer"),
                     stoq_json_text(p, "addr"));
    }
    if (json_object_get(r, "trace") != NULL) {
        print_trace(r);
    }
}

int cmd_providers(struct cmd *cmd)
{
    return run(cmd, "providers", "id", cmd->args[0], print_providers);
}

static void print_nearest(const json_t *r)
{
    size_t i;
    const json_t *c;
    json_array_foreach (json_object_get(r, "nearest"), i, c) {
        (void)printf("%.16s..  %s@%s\n", stoq_json_text(c, "id"), stoq_json_text(c, "peer"),
                     stoq_json_text(c, "addr"));
    }
    print_trace(r);
}

static void print_table(const json_t *r)
{
    size_t i;
    const json_t *c;
    json_array_foreach (json_object_get(r, "contacts"), i, c) {
        (void)printf("%2lld  %.16s..  %s@%s  %.1f ms  %lld s ago%s\n", whole(c, "level"),
                     stoq_json_text(c, "id"), stoq_json_text(c, "peer"), stoq_json_text(c, "addr"),
                     number(c, "rtt_ms"), whole(c, "seen_s"),
                     json_is_true(json_object_get(c, "spare")) ? "  spare" : "");
    }
}

static void print_status(const json_t *r)
{
    const char *id = stoq_json_text(r, "id");
    bool on = json_is_true(json_object_get(r, "on"));
    (void)printf("%s\n", id != NULL                                      ? id
                         : !on                                           ? "off"
                         : json_is_true(json_object_get(r, "searching")) ? "searching for an id"
                                                                         : "on, nobody joined");
    (void)printf("contacts   %lld, %lld spare; the network is some %lld nodes\n",
                 whole(r, "contacts"), whole(r, "spare"), whole(r, "network_size"));
    (void)printf("records    %lld held for others\n", whole(r, "records"));
    (void)printf("announced  %lld, %lld of them held by enough, %lld due: %lld %% done\n",
                 whole(r, "announced"), whole(r, "announced_held"), whole(r, "announced_due"),
                 whole(r, "announced_percent"));
    (void)printf("lookups    %lld\n", whole(r, "lookups"));
    if (json_object_get(r, "held") != NULL) {
        const json_t *own = json_object_get(r, "own");
        (void)printf("package    %lld records of it here; ", whole(r, "held"));
        if (json_is_object(own)) {
            (void)printf("announced, %lld of %lld hold it\n", whole(own, "got"),
                         whole(own, "wanted"));
        } else {
            (void)printf("not announced by this daemon\n");
        }
    }
}

int cmd_dht(struct cmd *cmd)
{
    const char *what = cmd->args[0];
    if (strcmp(what, "status") == 0 && cmd->arg_count <= 2) {
        return run(cmd, "dht", cmd->arg_count == 2 ? "id" : NULL, cmd->args[1], print_status);
    }
    if (strcmp(what, "table") == 0 && cmd->arg_count == 1) {
        return run(cmd, "dht_table", NULL, NULL, print_table);
    }
    if (strcmp(what, "lookup") == 0 && cmd->arg_count == 2) {
        return run(cmd, "dht_lookup", "key", cmd->args[1], print_nearest);
    }
    return cmd_usage(cmd, "dht status [ID], dht table or dht lookup KEY|ID");
}
