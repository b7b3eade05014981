/*
 * Placing a package.
 *
 * As many candidates as are wanted are asked at once, each of another failure domain: the first in order
 * of preference whose domain has none that is asked or verified. One that fails leaves its place, and the
 * next in order whose domain is free takes it, of the same domain or another. When nobody is left for a
 * free place the others are still waited for, and the placement ends short: it never counts two
 * copies of one domain, and never asks more peers than it needs, which would leave copies nobody counts.
 *
 *      SPARE --OFFER--> OFFERED --ACCEPTED--> AT_WORK --RECEIPT, last slice--> VERIFIED
 *                          |  ^                  |  \--RECEIPT, other--> OFFERED, next slice
 *                          |  +--LOOK_EVERY------+
 *                          +--DECLINED, time-out-+--> OUT
 *
 * An offer that is repeated asks how it goes: a replica at work says Accepted again, one that has failed says
 * why, one that is done sends its receipt again. So neither end has to remember the other over a
 * broken connection, and a lost receipt is no lost replica.
 */
#include "replica/replica.h"

struct candidate {
    uint32_t domain;
    enum stoq_replica_state state;
    enum stoq_replica_why why;
    bool leave; /* LEAVE is owed */
    uint32_t slice;
    uint64_t cookie; /* of the OFFER that is not closed; 0: none */
    uint32_t busy;   /* in a row */
    uint32_t lost;   /* likewise */
    stoq_ns look_at; /* OFFERED, AT_WORK: when to offer (again); STOQ_NEVER: an answer is awaited */
    stoq_ns answer_by; /* of that one */
    stoq_ns moved_at;
    stoq_ns began_at;
    stoq_ns ended_at;
    uint64_t bytes_sent;
};

struct stoq_replica {
    struct stoq_alloc alloc;
    uint32_t wanted;
    uint64_t shards;
    uint32_t slices;
    stoq_ns silent_after;
    bool stopping;
    bool over;
    bool ended_told;
    uint64_t last_cookie;
    uint32_t count;
    struct candidate c[];
};

uint32_t stoq_replica_slices(uint64_t shards)
{
    uint64_t n = (shards + STOQ_REPLICA_SLICE_SHARDS - 1) / STOQ_REPLICA_SLICE_SHARDS;
    return n == 0 ? 1 : (uint32_t)n;
}

enum stoq_status stoq_replica_new(struct stoq_replica **out, const struct stoq_replica_config *cfg)
{
    if (cfg->wanted < 1 || cfg->wanted > STOQ_REPLICA_COUNT_MAX ||
        cfg->candidate_count > STOQ_REPLICA_CANDIDATES_MAX ||
        cfg->shards / STOQ_REPLICA_SLICE_SHARDS >= UINT32_MAX) {
        return STOQ_RANGE;
    }
    struct stoq_replica *r =
        stoq_alloc(&cfg->alloc, 1, sizeof *r + cfg->candidate_count * sizeof(struct candidate));
    if (r == NULL) {
        return STOQ_NOMEM;
    }
    r->alloc = cfg->alloc;
    r->wanted = cfg->wanted;
    r->shards = cfg->shards;
    r->slices = stoq_replica_slices(cfg->shards);
    uint64_t slice_bytes = cfg->bytes / r->slices;
    r->silent_after = STOQ_REPLICA_SILENT_AFTER + slice_bytes / STOQ_REPLICA_REREAD_RATE * STOQ_SEC;
    r->count = cfg->candidate_count;
    for (uint32_t i = 0; i < r->count; i++) {
        r->c[i].domain = cfg->domains[i];
        r->c[i].look_at = STOQ_NEVER;
    }
    *out = r;
    return STOQ_OK;
}

void stoq_replica_free(struct stoq_replica *r)
{
    if (r != NULL) {
        struct stoq_alloc alloc = r->alloc;
        stoq_free(&alloc, r);
    }
}

static bool is_active(const struct candidate *c)
{
    return c->state == STOQ_REPLICA_OFFERED || c->state == STOQ_REPLICA_AT_WORK;
}

static void end_candidate(struct candidate *c, enum stoq_replica_why why, stoq_ns now)
{
    c->state = why == STOQ_REPLICA_FINE ? STOQ_REPLICA_VERIFIED : STOQ_REPLICA_OUT;
    c->why = why;
    c->leave = true;
    c->cookie = 0;
    c->look_at = STOQ_NEVER;
    c->ended_at = now;
}

static void ask_again(struct candidate *c, stoq_ns at)
{
    c->cookie = 0;
    c->look_at = at;
}

static void accepted(struct candidate *c, stoq_ns now)
{
    if (c->state == STOQ_REPLICA_OFFERED) {
        c->moved_at = now;
    }
    c->state = STOQ_REPLICA_AT_WORK;
    c->busy = 0;
    c->lost = 0;
    ask_again(c, now + STOQ_REPLICA_LOOK_EVERY);
}

static void declined(struct candidate *c, enum stoq_replica_why why, stoq_ns now)
{
    static const stoq_ns wait[] = {[STOQ_REPLICA_BUSY] = STOQ_REPLICA_BUSY_EVERY,
                                   [STOQ_REPLICA_LOST] = STOQ_REPLICA_LOST_AGAIN};
    bool again = (why == STOQ_REPLICA_BUSY && ++c->busy < STOQ_REPLICA_BUSY_MAX) ||
                 (why == STOQ_REPLICA_LOST && ++c->lost < STOQ_REPLICA_LOST_MAX);
    if (again) {
        ask_again(c, now + wait[why]);
    } else {
        end_candidate(c, why == STOQ_REPLICA_FINE ? STOQ_REPLICA_FAILED : why, now);
    }
}

static void receipt(struct stoq_replica *r, struct candidate *c, enum stoq_replica_why why,
                    stoq_ns now)
{
    if (why != STOQ_REPLICA_FINE) {
        end_candidate(c, why, now);
        return;
    }
    if (++c->slice == r->slices) {
        end_candidate(c, STOQ_REPLICA_FINE, now);
        return;
    }
    c->state = STOQ_REPLICA_OFFERED;
    c->moved_at = now;
    ask_again(c, now);
}

void stoq_replica_feed(struct stoq_replica *r, const struct stoq_replica_event *ev, stoq_ns now)
{
    if (ev->kind == STOQ_REPLICA_STOP) {
        r->stopping = true;
        return;
    }
    STOQ_ASSERT(ev->candidate < r->count);
    struct candidate *c = &r->c[ev->candidate];
    if (!is_active(c)) {
        return;
    }
    switch (ev->kind) {
    case STOQ_REPLICA_REACHED:
        if (ev->cookie == c->cookie && c->cookie != 0) {
            c->answer_by = now + STOQ_REPLICA_ANSWER_TIMEOUT;
        }
        break;
    case STOQ_REPLICA_ACCEPTED:
        if (ev->cookie == c->cookie && c->cookie != 0) {
            accepted(c, now);
        }
        break;
    case STOQ_REPLICA_DECLINED:
        if (ev->cookie == c->cookie && c->cookie != 0) {
            declined(c, ev->u.why, now);
        }
        break;
    case STOQ_REPLICA_RECEIPT:
        if (ev->u.receipt.slice == c->slice) {
            receipt(r, c, ev->u.receipt.why, now);
        }
        break;
    case STOQ_REPLICA_MOVED:
        c->bytes_sent += ev->u.bytes;
        c->moved_at = now;
        break;
    default:
        break;
    }
}

/* Is a candidate of this domain asked or verified? */
static bool is_taken(const struct stoq_replica *r, uint32_t domain)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct candidate *c = &r->c[i];
        if (c->domain == domain && (is_active(c) || c->state == STOQ_REPLICA_VERIFIED)) {
            return true;
        }
    }
    return false;
}

/* The next to ask; NULL: nobody. */
static struct candidate *pick(struct stoq_replica *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct candidate *c = &r->c[i];
        if (c->state == STOQ_REPLICA_SPARE && c->domain != STOQ_REPLICA_NO_DOMAIN &&
            !is_taken(r, c->domain)) {
            return c;
        }
    }
    return NULL;
}

void stoq_replica_sum(const struct stoq_replica *r, struct stoq_replica_sum *out)
{
    *out = (struct stoq_replica_sum){.over = r->over};
    for (uint32_t i = 0; i < r->count; i++) {
        out->verified += r->c[i].state == STOQ_REPLICA_VERIFIED;
        out->active += is_active(&r->c[i]);
    }
}

static void time_out(struct stoq_replica *r, stoq_ns now)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct candidate *c = &r->c[i];
        bool unanswered = c->cookie != 0 && c->answer_by <= now;
        bool still = c->state == STOQ_REPLICA_AT_WORK && now >= c->moved_at &&
                     now - c->moved_at >= r->silent_after;
        if (is_active(c) && (unanswered || still)) {
            end_candidate(c, STOQ_REPLICA_SILENT, now);
        }
    }
}

/* Fill free places, see whether it is over. */
static void drive(struct stoq_replica *r, stoq_ns now)
{
    struct stoq_replica_sum sum;
    stoq_replica_sum(r, &sum);
    while (!r->stopping && sum.verified + sum.active < r->wanted) {
        struct candidate *c = pick(r);
        if (c == NULL) {
            break;
        }
        c->state = STOQ_REPLICA_OFFERED;
        c->began_at = now;
        c->moved_at = now;
        c->look_at = now;
        sum.active++;
    }
    if (!r->stopping && sum.active > 0) {
        return;
    }
    r->over = true;
    for (uint32_t i = 0; i < r->count; i++) {
        if (is_active(&r->c[i])) {
            end_candidate(&r->c[i], STOQ_REPLICA_FAILED, now);
        }
    }
}

static void offer(struct stoq_replica *r, uint32_t i, stoq_ns now, struct stoq_replica_action *out)
{
    struct candidate *c = &r->c[i];
    c->cookie = ++r->last_cookie;
    c->look_at = STOQ_NEVER;
    c->answer_by = now + STOQ_REPLICA_ANSWER_TIMEOUT;
    *out = (struct stoq_replica_action){
        .kind = STOQ_REPLICA_OFFER, .candidate = i, .cookie = c->cookie, .slice = c->slice};
    if (r->slices > 1) {
        out->first_shard = (uint64_t)c->slice * STOQ_REPLICA_SLICE_SHARDS;
        uint64_t rest = r->shards - out->first_shard;
        out->shard_count = rest < STOQ_REPLICA_SLICE_SHARDS ? rest : STOQ_REPLICA_SLICE_SHARDS;
    }
}

bool stoq_replica_poll(struct stoq_replica *r, stoq_ns now, struct stoq_replica_action *out)
{
    if (!r->over) {
        time_out(r, now);
        drive(r, now);
    }
    for (uint32_t i = 0; i < r->count; i++) {
        struct candidate *c = &r->c[i];
        if (c->leave) {
            c->leave = false;
            *out = (struct stoq_replica_action){.kind = STOQ_REPLICA_LEAVE, .candidate = i};
            return true;
        }
        if (is_active(c) && c->look_at <= now) {
            offer(r, i, now, out);
            return true;
        }
    }
    if (r->over && !r->ended_told) {
        r->ended_told = true;
        *out = (struct stoq_replica_action){.kind = STOQ_REPLICA_ENDED};
        return true;
    }
    return false;
}

stoq_ns stoq_replica_deadline(const struct stoq_replica *r)
{
    stoq_ns at = STOQ_NEVER;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct candidate *c = &r->c[i];
        if (!is_active(c)) {
            continue;
        }
        at = c->look_at < at ? c->look_at : at;
        at = c->cookie != 0 && c->answer_by < at ? c->answer_by : at;
        bool at_work = c->state == STOQ_REPLICA_AT_WORK;
        at = at_work && c->moved_at + r->silent_after < at ? c->moved_at + r->silent_after : at;
    }
    return at;
}

void stoq_replica_at(const struct stoq_replica *r, uint32_t candidate,
                     struct stoq_replica_view *out)
{
    STOQ_ASSERT(candidate < r->count);
    const struct candidate *c = &r->c[candidate];
    *out = (struct stoq_replica_view){.state = c->state,
                                      .why = c->why,
                                      .slices_done = c->slice,
                                      .bytes_sent = c->bytes_sent,
                                      .began_at = c->began_at,
                                      .ended_at = c->ended_at};
}

const char *stoq_replica_state_str(enum stoq_replica_state state)
{
    static const char *const text[] = {
        [STOQ_REPLICA_SPARE] = "spare",     [STOQ_REPLICA_OFFERED] = "offered",
        [STOQ_REPLICA_AT_WORK] = "at work", [STOQ_REPLICA_VERIFIED] = "verified",
        [STOQ_REPLICA_OUT] = "out",
    };
    return text[state];
}

const char *stoq_replica_why_code(enum stoq_replica_why why)
{
    static const char *const code[STOQ_REPLICA_WHYS] = {
        [STOQ_REPLICA_FINE] = "",
        [STOQ_REPLICA_UNREACHABLE] = "PeerUnreachable",
        [STOQ_REPLICA_LOST] = "Network",
        [STOQ_REPLICA_REFUSED] = "Refused",
        [STOQ_REPLICA_QUOTA] = "QuotaReached",
        [STOQ_REPLICA_DISK_FULL] = "DiskFull",
        [STOQ_REPLICA_BUSY] = "Busy",
        [STOQ_REPLICA_UNABLE] = "Unsupported",
        [STOQ_REPLICA_DAMAGED] = "IntegrityCheckFailed",
        [STOQ_REPLICA_BAD_RECEIPT] = "InvalidSignature",
        [STOQ_REPLICA_SILENT] = "Timeout",
        [STOQ_REPLICA_FAILED] = "Failed",
    };
    return code[why];
}
