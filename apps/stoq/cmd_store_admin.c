/* stoq store stats and rebuild: what the store holds, and its index made anew. */
#include "call.h"
#include "cmd_store.h"
#include "human.h"

#include "daemon/host.h"
#include "os/sys.h"
#include "os/unix.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tell_stats(const json_t *o)
{
    char a[HUMAN_CAP];
    char b[HUMAN_CAP];
    char c[HUMAN_CAP];
    const json_t *saved = json_object_get(o, "saved");
    const json_t *why = json_object_get(o, "why");
    (void)printf("%llu packages, %llu contents: %s\n",
                 (unsigned long long)stoq_json_u64(o, "packages", 0),
                 (unsigned long long)stoq_json_u64(o, "contents", 0),
                 human_bytes(a, stoq_json_u64(o, "content_bytes", 0)));
    (void)printf("in %llu chunks of %s, stored as %s\n",
                 (unsigned long long)stoq_json_u64(o, "chunks", 0),
                 human_bytes(a, stoq_json_u64(o, "chunk_bytes", 0)),
                 human_bytes(b, stoq_json_u64(o, "chunk_bytes_stored", 0)));
    (void)printf("saved by sharing %s: %s\n",
                 human_bytes(a, stoq_json_u64(saved, "dedup_bytes", 0)),
                 stoq_json_text(why, "dedup"));
    (void)printf("saved by zstd %s: %s\n", human_bytes(a, stoq_json_u64(saved, "zstd_bytes", 0)),
                 stoq_json_text(why, "zstd"));
    (void)printf("on disk %s in %llu segments, of which %s live; index %s\n",
                 human_bytes(a, stoq_json_u64(o, "segment_bytes", 0)),
                 (unsigned long long)stoq_json_u64(o, "segments", 0),
                 human_bytes(b, stoq_json_u64(o, "segment_bytes_live", 0)),
                 human_bytes(c, stoq_json_u64(o, "index_bytes", 0)));
}

int store_stats(struct cmd *cmd)
{
    json_t *result;
    int rc = call_op(cmd, "store_stats", json_object(), &result);
    if (rc != 0) {
        return rc;
    }
    if (cmd->json) {
        return cmd_print_json(cmd, result);
    }
    tell_stats(result);
    json_decref(result);
    return cmd_finish(cmd);
}

static void tell_notice(void *user, const char *text)
{
    const struct cmd *cmd = user;
    if (!cmd->quiet) {
        (void)fprintf(stderr, "stoq: %s\n", text);
    }
}

/* Where the store is, which the configuration may say. */
static enum stoq_status find_store(const struct stoq_home *home, char **dir, struct stoq_error *err)
{
    struct stoq_host *host = NULL;
    const struct stoq_host_config cfg = {.home = home};
    enum stoq_status st = stoq_host_new(&host, &cfg, err);
    if (st == STOQ_OK) {
        *dir = strdup(stoq_host_home(host)->store_dir);
        st = *dir != NULL ? STOQ_OK : stoq_fail(err, STOQ_NOMEM, 0, "no memory");
    }
    (void)stoq_host_free(host, 0, NULL);
    return st;
}

static enum stoq_status rebuild(struct cmd *cmd, const struct stoq_home *home,
                                struct stoq_store_rebuild_report *report, struct stoq_error *err)
{
    char *dir = NULL;
    if (stoq_unix_answers(home->socket)) {
        return stoq_fail_code(err, STOQ_BUSY, "DaemonRunning",
                              "a daemon serves this home; stop it first (stoq stop)");
    }
    enum stoq_status st = find_store(home, &dir, err);
    if (st == STOQ_OK) {
        const struct stoq_store_config cfg = {
            .dir = dir, .notice = tell_notice, .notice_user = cmd};
        st = stoq_store_rebuild(&cfg, report, err);
    }
    free(dir);
    if (st == STOQ_NOTFOUND && err->code == NULL) {
        err->code = "HomeMissing";
    } else if (st == STOQ_BUSY) {
        err->code = "StoreBusy";
    }
    return st;
}

int store_rebuild(struct cmd *cmd)
{
    struct stoq_home home;
    struct stoq_error err = {0};
    struct stoq_store_rebuild_report r = {0};
    int exit_code;
    stoq_ns began = stoq_now();
    if (!call_home(cmd, &home, &exit_code)) {
        return exit_code;
    }
    if (rebuild(cmd, &home, &r, &err) != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    uint64_t us = (stoq_now() - began) / 1000;
    if (cmd->json) {
        return cmd_print_json(
            cmd, json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "segments", (json_int_t)r.segments,
                           "records", (json_int_t)r.records, "live", (json_int_t)r.live,
                           "quarantined", (json_int_t)r.quarantined, "torn_bytes",
                           (json_int_t)r.torn_bytes, "seconds", (double)us / 1e6));
    }
    if (!cmd->quiet) {
        (void)printf("%llu records in %llu segments, %llu of them live, %llu damaged, "
                     "%llu torn bytes\n",
                     (unsigned long long)r.records, (unsigned long long)r.segments,
                     (unsigned long long)r.live, (unsigned long long)r.quarantined,
                     (unsigned long long)r.torn_bytes);
    }
    return cmd_finish(cmd);
}
