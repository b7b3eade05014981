/*
 * The quota is one number, used_bytes: what the segment files have, and what is on its way to them.
 * It is raised, under the log's lock, before a byte is written, and lowered when a file is gone or
 * cut; so the
 * files never hold more. Three may use three shares of it:
 *
 *     new content          up to the quota less the reserve
 *     tombstones, pins ... up to the quota less half of the reserve: what is full can be emptied
 *     a collection's copies up to the quota: a whole segment's, before the original goes
 */
#include "store/store_internal.h"

#include "os/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Segments are small beside the quota, so that the reserve is. */
#define SEGMENTS_MIN 32
#define SLACK_BYTES 4096

void stoq_quota_init(struct stoq_store *s, uint64_t quota_bytes)
{
    if (quota_bytes == 0) {
        return;
    }
    uint64_t segment = quota_bytes / SEGMENTS_MIN;
    segment = segment < STOQ_SEGMENT_BYTES_MIN ? STOQ_SEGMENT_BYTES_MIN : segment;
    s->segment_bytes = segment < s->segment_bytes ? segment : s->segment_bytes;
    s->quota_bytes = quota_bytes;
    uint64_t reserve = 2 * s->segment_bytes + SLACK_BYTES;
    s->quota_reserve = reserve < quota_bytes ? reserve : quota_bytes;
}

enum stoq_status stoq_quota_count(struct stoq_store *s, struct stoq_error *err)
{
    uint32_t *number;
    size_t count;
    uint64_t sum = 0;
    enum stoq_status st = stoq_segment_list(s->segments_fd, &number, &count, err);
    for (size_t i = 0; st == STOQ_OK && i < count; i++) {
        char name[STOQ_SEGMENT_NAME_BYTES];
        struct stat sb;
        stoq_segment_name(name, number[i]);
        if (fstatat(s->segments_fd, name, &sb, AT_SYMLINK_NOFOLLOW) == 0) {
            sum += (uint64_t)sb.st_size;
        }
    }
    free(number);
    s->log.used_bytes = sum;
    return st;
}

uint64_t stoq_quota_limit(const struct stoq_store *s, uint8_t type)
{
    if (s->quota_bytes == 0) {
        return UINT64_MAX;
    }
    bool is_light = type == STOQ_RECORD_TOMBSTONE || type == STOQ_RECORD_PIN ||
                    type == STOQ_RECORD_ROOT || type == STOQ_RECORD_LEASE ||
                    type == STOQ_RECORD_RECEIPT;
    return s->quota_bytes - (is_light ? s->quota_reserve / 2 : s->quota_reserve);
}

bool stoq_quota_has(const struct stoq_store *s, uint64_t n, uint64_t limit)
{
    return s->log.used_bytes <= limit && n <= limit - s->log.used_bytes;
}

enum stoq_status stoq_quota_fail(const struct stoq_store *s, struct stoq_error *err)
{
    return stoq_fail_code(err, STOQ_FULL, "QuotaReached",
                          "the store's quota of %llu bytes is used up; remove what is not needed "
                          "(stoq rm, unpin, gc) or raise store.quota",
                          (unsigned long long)s->quota_bytes);
}

bool stoq_quota_take(struct stoq_store *s, uint64_t n)
{
    (void)pthread_mutex_lock(&s->log.lock);
    bool fits = stoq_quota_has(s, n, s->quota_bytes == 0 ? UINT64_MAX : s->quota_bytes);
    s->log.used_bytes += fits ? n : 0;
    (void)pthread_mutex_unlock(&s->log.lock);
    return fits;
}

void stoq_quota_give(struct stoq_store *s, uint64_t n)
{
    (void)pthread_mutex_lock(&s->log.lock);
    STOQ_ASSERT(s->log.used_bytes >= n);
    s->log.used_bytes -= n;
    (void)pthread_mutex_unlock(&s->log.lock);
}

void stoq_store_room(struct stoq_store *s, struct stoq_store_room *out)
{
    (void)pthread_mutex_lock(&s->log.lock);
    *out = (struct stoq_store_room){.used_bytes = s->log.used_bytes,
                                    .quota_bytes = s->quota_bytes,
                                    .content_bytes_max = stoq_quota_limit(s, STOQ_RECORD_CHUNK)};
    (void)pthread_mutex_unlock(&s->log.lock);
}
