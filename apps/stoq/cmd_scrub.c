/* stoq scrub: read the store again and mend what is damaged. */
#include "call.h"
#include "commands.h"
#include "human.h"

#include "daemon/units.h"

#include <stdio.h>
#include <time.h>

static void tell_list(const json_t *list)
{
    size_t i;
    json_t *what;
    json_array_foreach (list, i, what) {
        (void)printf("%s\n", json_string_value(what));
    }
}

static void tell_item(const json_t *item)
{
    char a[HUMAN_CAP];
    size_t i;
    const json_t *path;
    const char *name = stoq_json_text(item, "name");
    (void)printf("%s", stoq_json_text(item, "id"));
    if (name != NULL) {
        (void)printf(" %s %s", name, stoq_json_text(item, "version"));
    }
    if (stoq_json_bool(item, "mended", false)) {
        (void)printf(": mended, %llu chunks fetched again (%s)\n",
                     (unsigned long long)stoq_json_u64(item, "chunks", 0),
                     human_bytes(a, stoq_json_u64(item, "bytes", 0)));
    } else {
        (void)printf(": %llu chunks are missing: %s\n",
                     (unsigned long long)stoq_json_u64(item, "chunks_missing", 0),
                     stoq_json_text(item, "why"));
    }
    json_array_foreach (json_object_get(item, "paths"), i, path) {
        (void)printf("  ");
        human_path(path, "path");
        (void)printf("\n");
    }
}

static void tell(const json_t *o)
{
    char a[HUMAN_CAP];
    size_t i;
    json_t *item;
    tell_list(json_object_get(o, "found"));
    json_array_foreach (json_object_get(o, "items"), i, item) {
        tell_item(item);
    }
    tell_list(json_object_get(o, "lost_records"));
    (void)printf("%s read: %llu records, %llu chunks in place; %llu damaged places, %llu of them "
                 "harmless; %llu packages mended, %llu lack %llu chunks\n",
                 human_bytes(a, stoq_json_u64(o, "bytes", 0)),
                 (unsigned long long)stoq_json_u64(o, "records", 0),
                 (unsigned long long)stoq_json_u64(o, "places", 0),
                 (unsigned long long)stoq_json_u64(o, "damaged", 0),
                 (unsigned long long)stoq_json_u64(o, "harmless", 0),
                 (unsigned long long)stoq_json_u64(o, "mended", 0),
                 (unsigned long long)stoq_json_u64(o, "lacking", 0),
                 (unsigned long long)stoq_json_u64(o, "chunks_missing", 0));
}

static void tell_date(const char *what, uint64_t at)
{
    char text[64] = "never";
    time_t t = (time_t)at;
    struct tm tm;
    if (at > 0 && localtime_r(&t, &tm) != NULL) {
        (void)strftime(text, sizeof text, "%Y-%m-%d %H:%M", &tm);
    }
    (void)printf("%-14s %s\n", what, text);
}

static void tell_status(const json_t *o)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    (void)printf("%-14s %llu, %s%s\n", "pass", (unsigned long long)stoq_json_u64(o, "pass", 0),
                 stoq_json_text(o, "phase"),
                 stoq_json_bool(o, "running", false) ? ", running" : "");
    (void)printf("%-14s %s of %s\n", "read", human_bytes(a, stoq_json_u64(o, "bytes_done", 0)),
                 human_bytes(b, stoq_json_u64(o, "bytes_total", 0)));
    tell_date("last whole", stoq_json_u64(o, "finished_at", 0));
    tell_date("next", stoq_json_u64(o, "next_at", 0));
    (void)printf("%-14s %llu chunks of %llu packages\n", "missing",
                 (unsigned long long)stoq_json_u64(o, "chunks_missing", 0),
                 (unsigned long long)stoq_json_u64(o, "lacking", 0));
}

/* Something is missing: exit code 4, and the first of it in the sentence. */
static void explain(const json_t *o, struct stoq_error *err)
{
    size_t i;
    const json_t *item;
    json_array_foreach (json_object_get(o, "items"), i, item) {
        const json_t *path = json_array_get(json_object_get(item, "paths"), 0);
        const char *file = stoq_json_text(path, "path");
        const char *name = stoq_json_text(item, "name");
        if (!stoq_json_bool(item, "mended", false)) {
            (void)stoq_fail_code(
                err, STOQ_PROOF, "StoreDamaged", "%.80s %.64s lacks %llu chunks%s%.200s: %.100s",
                stoq_json_text(item, "id"), name != NULL ? name : "",
                (unsigned long long)stoq_json_u64(item, "chunks_missing", 0),
                file != NULL ? ", in " : "", file != NULL ? file : "", stoq_json_text(item, "why"));
            return;
        }
    }
    (void)stoq_fail_code(err, STOQ_PROOF, "StoreDamaged", "%llu small records are lost",
                         (unsigned long long)stoq_json_u64(o, "records_lost", 0));
}

static int tell_pass(struct cmd *cmd, json_t *result)
{
    struct stoq_error err = {0};
    bool whole = stoq_json_bool(result, "whole", false);
    if (!whole) {
        explain(result, &err);
    }
    if (cmd->json) {
        if (!whole) {
            (void)json_object_set_new(result, "error", stoq_error_to_json(&err));
        }
        int printed = cmd_print_json(cmd, result);
        return whole ? printed : (int)stoq_error_exit(&err);
    }
    if (!cmd->quiet) {
        tell(result);
    }
    json_decref(result);
    int printed = cmd_finish(cmd);
    return whole ? printed : cmd_fail(cmd, &err);
}

int cmd_scrub(struct cmd *cmd)
{
    json_t *result;
    const char *text;
    uint64_t rate = 0;
    bool status = cmd_flag(cmd, "status");
    text = cmd_value(cmd, "rate");
    if (text != NULL && (!stoq_bytes_parse(text, &rate) || rate > INT64_MAX)) {
        return cmd_usage(cmd, "--rate takes bytes a second, as in 8M, not '%s'", text);
    }
    json_t *from = json_array();
    for (size_t i = 0; (text = cmd_value_at(cmd, "from", i)) != NULL; i++) {
        (void)json_array_append_new(from, json_string(text));
    }
    json_t *args = json_pack("{s:b, s:b, s:I, s:o}", "status", (int)status, "once",
                             (int)cmd_flag(cmd, "once"), "rate", (json_int_t)rate, "from", from);
    int rc = call_op(cmd, "scrub", args, &result);
    if (rc != 0) {
        return rc;
    }
    if (!status) {
        return tell_pass(cmd, result);
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    tell_status(result);
    json_decref(result);
    return cmd_finish(cmd);
}
