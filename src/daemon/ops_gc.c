/* gc: give back the space of what nothing refers to any more. */
#include "daemon/ops_internal.h"

#include "daemon/collect.h"
#include "os/sys.h"

static json_t *to_json(const struct stoq_collect_report *r, bool dry_run, stoq_ns elapsed)
{
    return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s?, s:o}", "dry_run",
                     (int)dry_run, "bytes_freed", (json_int_t)r->gc.bytes_freed, "packages",
                     (json_int_t)r->packages, "records", (json_int_t)r->gc.records, "record_bytes",
                     (json_int_t)r->gc.record_bytes, "leases", (json_int_t)r->leases, "segments",
                     (json_int_t)r->gc.segments, "bytes_copied", (json_int_t)r->gc.bytes_copied,
                     "tombstones", (json_int_t)r->gc.tombstones, "lost", (json_int_t)r->gc.lost,
                     "unreadable", r->was_marked ? NULL : r->why.text, "seconds",
                     op_seconds(elapsed));
}

enum stoq_status op_gc(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                       json_t **result, struct stoq_error *err)
{
    struct stoq_collect_report report;
    stoq_ns began = stoq_now();
    bool dry_run = stoq_json_bool(args, "dry_run", false);
    struct stoq_collect_ask ask = {
        .dry_run = dry_run,
        .rate_bytes_per_s = stoq_json_u64(args, "rate", 0),
        .grace_seconds = stoq_json_u64(args, "grace_s", STOQ_COLLECT_GRACE_SECONDS),
        .record_lock = stoq_host_record_lock(host),
        .cancelled = op_cancelled,
        .user = io,
    };
    enum stoq_status st = stoq_collect(stoq_host_store(host), &ask, &report, err);
    if (st == STOQ_OK) {
        *result = to_json(&report, dry_run, stoq_now() - began);
    }
    return st;
}
