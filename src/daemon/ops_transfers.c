/*
 * transfers and why: how fetches go and went. The sentences of why are made here, so that scripts get them
 * as well: who was asked, what each answered, where the time went.
 */
#include "daemon/ops_internal.h"

#include "daemon/share_words.h"
#include "wire/bech32m.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SENTENCE_MAX 640

static const char *state_of(const struct stoq_transfer *t)
{
    if (!t->over) {
        return t->waits ? "waiting" : "running";
    }
    if (t->did_not_end) {
        return "interrupted";
    }
    if (t->status == STOQ_OK) {
        return "done";
    }
    return t->status == STOQ_CANCELLED ? "cancelled" : "failed";
}

static json_t *seconds_or_null(stoq_ns ns)
{
    return ns == 0 ? json_null() : op_seconds(ns);
}

static json_t *rate_or_null(uint64_t rate)
{
    return rate > 0 ? json_integer((json_int_t)rate) : json_null();
}

static json_t *source_to_json(const struct stoq_fetch_report_source *s)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &s->peer);
    return json_pack("{s:s, s:s, s:b, s:s*, s:o, s:I, s:I, s:I, s:f, s:o, s:o, s:s*}", "peer", peer,
                     "addr", stoq_addr_format(&s->addr, addr), "connected", (int)s->connected,
                     "group", s->group[0] != '\0' ? s->group : NULL, "ready_seconds",
                     seconds_or_null(s->ready_ns), "bytes", (json_int_t)s->bytes, "bytes_stored",
                     (json_int_t)s->bytes_stored, "chunks", (json_int_t)s->chunks, "held_seconds",
                     (double)s->held_ns / 1e9, "cap_here", rate_or_null(s->cap_here_bytes_per_s),
                     "cap_there", rate_or_null(s->cap_there_bytes_per_s), "why",
                     s->why[0] != '\0' ? s->why : NULL);
}

static json_t *request_to_json(const struct stoq_request *r)
{
    char source[STOQ_ID_TEXT_CAP];
    char destination[STOQ_ID_TEXT_CAP];
    json_t *runs = json_array();
    stoq_peer_id_put(source, &r->source);
    stoq_peer_id_put(destination, &r->destination);
    for (uint32_t i = 0; i < r->run_count; i++) {
        (void)json_array_append_new(runs,
                                    json_pack("{s:I, s:I}", "first", (json_int_t)r->runs[i].first,
                                              "count", (json_int_t)r->runs[i].count));
    }
    return json_pack("{s:o, s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:o, s:s}", "ranges", runs, "chunks",
                     (json_int_t)r->chunks, "chunks_done", (json_int_t)r->chunks_done, "source",
                     source, "destination", destination, "priority", stoq_priority_str(r->priority),
                     "bytes", (json_int_t)r->bytes, "began_at", (json_int_t)r->began_at, "seconds",
                     op_seconds(r->took_ns), "result", r->result);
}

static json_t *requests_to_json(const struct stoq_transfer *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->request_count; i++) {
        (void)json_array_append_new(list, request_to_json(&t->requests[i]));
    }
    return list;
}

static json_t *times_to_json(const struct stoq_fetch_times *t)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "source", seconds_or_null(t->source_ns), "manifest",
                     seconds_or_null(t->manifest_ns), "shard_list",
                     seconds_or_null(t->shard_list_ns), "chunks", seconds_or_null(t->chunks_ns));
}

static json_t *transfer_to_json(const struct stoq_transfer *t)
{
    char id[STOQ_ID_TEXT_CAP];
    json_t *sources = json_array();
    stoq_package_id_put(id, &t->id);
    for (size_t i = 0; i < t->source_count; i++) {
        (void)json_array_append_new(sources, source_to_json(&t->sources[i]));
    }
    bool over = t->over;
    json_t *o = json_pack(
        "{s:I, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:I, s:o}",
        "number", (json_int_t)t->number, "id", id, "state", state_of(t), "destination", "store",
        "strategy", stoq_strategy_str(t->strategy), "priority", stoq_priority_str(t->priority),
        "began_at", (json_int_t)t->began_at, "seconds", op_seconds(t->elapsed_ns), "bytes",
        (json_int_t)(over ? t->bytes : t->progress.bytes_total), "bytes_done",
        (json_int_t)(over ? t->bytes_had + t->bytes_from_seed + t->bytes_from_peers
                          : t->progress.bytes_done),
        "bytes_from_peers", (json_int_t)(over ? t->bytes_from_peers : t->progress.bytes_from_peers),
        "bytes_wire", (json_int_t)t->bytes_wire, "times", times_to_json(&t->times), "sources",
        sources, "request_count", (json_int_t)t->request_total, "requests", requests_to_json(t));
    if (o != NULL && t->is_part) {
        (void)json_object_set_new(
            o, "part",
            json_pack("{s:I, s:I}", "first", (json_int_t)t->first, "end", (json_int_t)t->end));
    }
    if (o != NULL && t->code[0] != '\0') {
        (void)stoq_json_set_text(o, "code", stoq_span_str(t->code));
        (void)stoq_json_set_text(o, "why", stoq_span_str(t->why));
    }
    return o;
}

static void add_transfer(void *user, const struct stoq_transfer *t)
{
    (void)json_array_append_new(user, transfer_to_json(t));
}

static void add_served(void *user, const struct stoq_request *r)
{
    char id[STOQ_ID_TEXT_CAP];
    json_t *o = request_to_json(r);
    stoq_package_id_put(id, &r->id);
    (void)stoq_json_set_text(o, "id", stoq_span_str(id));
    (void)json_object_del(o, "chunks_done"); /* the peer's to know */
    (void)json_array_append_new(user, o);
}

enum stoq_status op_transfers(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                              json_t **result, struct stoq_error *err)
{
    struct stoq_engine *e = stoq_host_engine(host);
    json_t *list = json_array();
    json_t *served = json_array();
    if (stoq_engine_transfers(e, add_transfer, list) != STOQ_OK ||
        stoq_engine_served(e, add_served, served) != STOQ_OK) {
        json_decref(list);
        json_decref(served);
        return stoq_fail(err, STOQ_NOMEM, 0, "no memory for the list of transfers");
    }
    *result = json_pack("{s:o, s:o}", "transfers", list, "served", served);
    return STOQ_OK;
}

/* The sentences. */
struct story {
    struct stoq_package_id id;
    bool told;
    json_t *sentences;
    json_t *transfer;
    json_t *known; /* as op_standing lists them */
};

static void say(struct story *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct story *s, const char *fmt, ...)
{
    char text[SENTENCE_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_t *holder = json_object(); /* what is not UTF-8 is made so there */
    if (stoq_json_set_text(holder, "line", stoq_span_str(text))) {
        (void)json_array_append(s->sentences, json_object_get(holder, "line"));
    }
    json_decref(holder);
}

static double sec(stoq_ns ns)
{
    return (double)ns / 1e9;
}

static double mega(uint64_t bytes)
{
    return (double)bytes / 1e6;
}

struct size_text {
    char s[32];
};

static struct size_text size_of(uint64_t bytes)
{
    struct size_text out;
    if (bytes < 1000) {
        (void)snprintf(out.s, sizeof out.s, "%u B", (unsigned)bytes);
    } else {
        bool is_kilo = bytes < 1000000;
        (void)snprintf(out.s, sizeof out.s, "%.1f %s", (double)bytes / (is_kilo ? 1e3 : 1e6),
                       is_kilo ? "kB" : "MB");
    }
    return out;
}

static void say_outcome(struct story *s, const struct stoq_transfer *t)
{
    if (!t->over && t->waits) {
        say(s, "It waits for its turn since %.1f s: no more than transfer.max_concurrent run.",
            sec(t->elapsed_ns));
    } else if (!t->over) {
        say(s, "It is running since %.1f s: %s of %s are here, %u sources are connected.",
            sec(t->elapsed_ns), size_of(t->progress.bytes_done).s,
            size_of(t->progress.bytes_total).s, t->progress.sources);
    } else if (t->did_not_end) {
        say(s,
            "The daemon ended before it did, after %.1f s or somewhat more, with %s of %s here: "
            "get it again, what is here is not fetched again.",
            sec(t->elapsed_ns), size_of(t->bytes_had + t->bytes_from_peers).s, size_of(t->bytes).s);
    } else if (t->status == STOQ_OK) {
        say(s, "It succeeded in %.2f s: %s from peers, %s were here already.", sec(t->elapsed_ns),
            size_of(t->bytes_from_peers).s, size_of(t->bytes_had + t->bytes_from_seed).s);
    } else {
        say(s, "It ended after %.2f s with %s: %s.", sec(t->elapsed_ns), t->code, t->why);
    }
}

/* What a running fetch waits for from a source. */
static void say_open(struct story *s, const struct stoq_transfer *t,
                     const struct stoq_fetch_report_source *src)
{
    char peer[STOQ_ID_TEXT_CAP];
    stoq_ns oldest = 0;
    uint64_t chunks = 0;
    for (size_t i = 0; i < t->request_count; i++) {
        const struct stoq_request *r = &t->requests[i];
        if (strcmp(r->result, "running") == 0 && stoq_hash_eq(&r->source.h, &src->peer.h)) {
            chunks += r->chunks - r->chunks_done;
            oldest = r->took_ns > oldest ? r->took_ns : oldest;
        }
    }
    if (chunks > 0) {
        stoq_peer_id_put(peer, &src->peer);
        peer[15] = '\0';
        say(s, "%s.. is waited for with %llu chunks, the longest since %.1f s.", peer,
            (unsigned long long)chunks, sec(oldest));
    }
}

static void say_source(struct story *s, const struct stoq_transfer *t,
                       const struct stoq_fetch_report_source *src)
{
    char peer[STOQ_ID_TEXT_CAP];
    char addr[STOQ_ADDR_TEXT_MAX];
    stoq_peer_id_put(peer, &src->peer);
    peer[15] = '\0';
    stoq_addr_format(&src->addr, addr);
    char gave[128] = "gave nothing";
    if (src->chunks > 0) {
        (void)snprintf(gave, sizeof gave, "gave %llu chunks, %s, %.0f %% of what peers gave",
                       (unsigned long long)src->chunks, size_of(src->bytes).s,
                       100.0 * (double)src->bytes /
                           (double)(t->bytes_from_peers == 0 ? 1 : t->bytes_from_peers));
    }
    if (!t->over && src->ready_ns == 0) {
        say(s, "%s.. at %s is %sconnected%s%s.", peer, addr, src->connected ? "" : "not ",
            src->why[0] != '\0' ? "; " : "", src->why);
    } else if (!t->over) {
        say(s, "%s.. at %s was connected after %.3f s and %s so far%s%s.", peer, addr,
            sec(src->ready_ns), gave, src->why[0] != '\0' ? "; given up: " : "", src->why);
        say_open(s, t, src);
    } else if (src->ready_ns == 0) {
        say(s, "%s.. at %s was never connected%s%s.", peer, addr, src->why[0] != '\0' ? ": " : "",
            src->why);
    } else {
        say(s, "%s.. at %s was connected after %.3f s and %s%s%s.", peer, addr, sec(src->ready_ns),
            gave, src->why[0] != '\0' ? "; given up: " : "", src->why);
    }
}

/* Where it stands on the map: how far, and in which place. */
static void say_path(struct story *s, const struct stoq_fetch_report_source *src)
{
    char peer[STOQ_ID_TEXT_CAP];
    size_t i;
    const json_t *p;
    stoq_peer_id_put(peer, &src->peer);
    json_array_foreach (s->known, i, p) {
        const char *id = stoq_json_text(p, "peer");
        const json_t *rtt = json_object_get(p, "rtt_ms");
        if (id == NULL || strcmp(id, peer) != 0 || !json_is_number(rtt)) {
            continue;
        }
        const char *region = stoq_json_text(p, "region");
        const char *domain = stoq_json_text(p, "domain");
        peer[15] = '\0';
        say(s, "%s.. is %.1f ms away%s%s%s%s.", peer, json_number_value(rtt),
            domain != NULL ? ", in " : "", domain != NULL ? domain : "",
            region != NULL ? ", region " : "", region != NULL ? region : "");
        return;
    }
}

/* Caps, here and at the source, where they set the pace. */
static void say_caps(struct story *s, const struct stoq_transfer *t,
                     const struct stoq_fetch_report_source *src)
{
    char peer[STOQ_ID_TEXT_CAP];
    stoq_peer_id_put(peer, &src->peer);
    peer[15] = '\0';
    stoq_ns began = src->ready_ns < t->elapsed_ns ? src->ready_ns : 0;
    double time = sec(t->elapsed_ns - began);
    if (10 * src->held_ns > t->elapsed_ns) {
        say(s,
            "A cap here held %s.. back for %.1f of %.1f s: no more than %.3f MB are taken a second.",
            peer, sec(src->held_ns), time, mega(src->cap_here_bytes_per_s));
    }
    uint64_t cap = src->cap_there_bytes_per_s;
    bool is_its_pace = !t->over || (time > 0 && 2 * mega(src->bytes_stored) / time > mega(cap));
    if (cap > 0 && is_its_pace) {
        say(s,
            "A cap at %s.. holds back what it sends: no more than %.3f MB a second, of all that it "
            "sends under that cap.",
            peer, mega(cap));
    }
}

/* The steps in order; each began when the one before it was done. */
static void say_times(struct story *s, const struct stoq_transfer *t)
{
    const struct {
        const char *name;
        stoq_ns at;
    } step[] = {
        {"finding a source", t->times.source_ns},
        {"the manifest", t->times.manifest_ns},
        {"the shard list", t->times.shard_list_ns},
        {"the chunks", t->times.chunks_ns},
        {"making them durable", t->over && t->status == STOQ_OK ? t->elapsed_ns : 0},
    };
    stoq_ns before = 0;
    stoq_ns most = 0;
    const char *longest = NULL;
    for (size_t i = 0; i < STOQ_COUNT(step); i++) {
        if (step[i].at <= before) {
            continue;
        }
        stoq_ns took = step[i].at - before;
        say(s, "%.3f s went into %s.", sec(took), step[i].name);
        longest = took > most ? step[i].name : longest;
        most = took > most ? took : most;
        before = step[i].at;
    }
    if (!t->over && !t->waits && t->elapsed_ns > before) {
        size_t i = 0;
        while (i + 1 < STOQ_COUNT(step) && step[i].at != 0) {
            i++;
        }
        say(s, "%.3f s went into %s so far.", sec(t->elapsed_ns - before), step[i].name);
    }
    if (t->over && t->elapsed_ns > before && t->status != STOQ_OK) {
        say(s, "The last %.3f s brought nothing further.", sec(t->elapsed_ns - before));
    }
    if (t->over && longest != NULL && t->elapsed_ns > 0 && 2 * most > t->elapsed_ns) {
        say(s, "Most of the time, %.0f %%, went into %s.",
            100.0 * (double)most / (double)t->elapsed_ns, longest);
    }
}

static void tell(void *user, const struct stoq_transfer *t)
{
    struct story *s = user;
    if (s->told || !stoq_hash_eq(&t->id.h, &s->id.h)) {
        return;
    }
    s->told = true;
    s->transfer = transfer_to_json(t);
    say_outcome(s, t);
    if (t->source_count == 0) {
        say(s, "Nobody was asked.");
    }
    for (size_t i = 0; i < t->source_count; i++) {
        say_source(s, t, &t->sources[i]);
        say_path(s, &t->sources[i]);
        say_caps(s, t, &t->sources[i]);
    }
    say_times(s, t);
}

enum stoq_status op_why(struct stoq_host *host, const json_t *args, struct stoq_op_io *io,
                        json_t **result, struct stoq_error *err)
{
    struct story story = {.sentences = json_array()};
    enum stoq_status st = op_id(args, &story.id, err);
    if (st == STOQ_OK) {
        st = op_standing(host, &story.known, err);
    }
    if (st == STOQ_OK && stoq_engine_transfers(stoq_host_engine(host), tell, &story) != STOQ_OK) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory for an explanation");
    }
    json_decref(story.known);
    if (st == STOQ_OK && !story.told) {
        st = stoq_fail_code(err, STOQ_NOTFOUND, "ContentNotFound",
                            "none of the daemon's last %d fetches was of this package",
                            STOQ_TRANSFERS_KEPT);
    }
    if (st != STOQ_OK) {
        json_decref(story.sentences);
        return st;
    }
    *result = json_pack("{s:s, s:o, s:o}", "id", stoq_json_text(args, "id"), "explanation",
                        story.sentences, "transfer", story.transfer);
    return STOQ_OK;
}
