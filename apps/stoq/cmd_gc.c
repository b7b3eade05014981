/* stoq gc: give back the space of what nothing refers to. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include "daemon/units.h"

#include <stdio.h>

static void tell(const json_t *o)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    bool dry = stoq_json_bool(o, "dry_run", false);
    const char *unreadable = stoq_json_text(o, "unreadable");
    (void)fprintf(
        stderr, "%s%llu records that nothing refers to (%s); %llu segments, which %s %s\n",
        dry ? "would delete " : "deleted ", (unsigned long long)stoq_json_u64(o, "records", 0),
        human_bytes(a, stoq_json_u64(o, "record_bytes", 0)),
        (unsigned long long)stoq_json_u64(o, "segments", 0), dry ? "would free" : "freed",
        human_bytes(b, stoq_json_u64(o, "bytes_freed", 0)));
    if (unreadable != NULL) {
        (void)fprintf(stderr, "stoq: nothing was deleted: %s\n", unreadable);
    }
}

static int set_args(struct cmd *cmd, json_t *args)
{
    const char *rate = cmd_value(cmd, "rate");
    const char *grace = cmd_value(cmd, "grace");
    uint64_t v = 0;
    if (rate != NULL) {
        if (!stoq_bytes_parse(rate, &v) || v == 0) {
            return cmd_usage(cmd, "--rate takes bytes as in 4096, 500K, 50M or 1G, not '%s'", rate);
        }
        (void)stoq_json_set_u64(args, "rate", v);
    }
    if (grace != NULL) {
        if (!stoq_seconds_parse(grace, &v)) {
            return cmd_usage(cmd, "--grace takes a time as in 90s, 30m, 2h, 7d or 4w, not '%s'",
                             grace);
        }
        (void)stoq_json_set_u64(args, "grace_s", v);
    }
    return 0;
}

int cmd_gc(struct cmd *cmd)
{
    json_t *args = json_pack("{s:b}", "dry_run", (int)cmd_flag(cmd, "dry-run"));
    int rc = set_args(cmd, args);
    return call_tell(cmd, rc, "gc", args, tell);
}
