#ifndef STOQ_CRASH_LOG_H
#define STOQ_CRASH_LOG_H
/*
 * The operation log of a store workload: every call that changes files below one folder, in order,
 * with its bytes, and what the store had acknowledged in between. It lies in shared memory, so that
 * sessions in child processes write into the same one, and can be saved whole.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_OPS_MAX 8192
#define CRASH_INODES_MAX 256
#define CRASH_NAME_MAX 40
#define CRASH_DATA_MAX ((size_t)48 << 20)
#define CRASH_KEYS 160

enum crash_kind {
    CRASH_CREATE, /* parent, name, inode */
    CRASH_MKDIR,
    CRASH_UNLINK, /* parent, name */
    CRASH_RENAME, /* parent, name, to parent2, name2 */
    CRASH_WRITE,  /* inode, offset, n bytes at data */
    CRASH_TRUNCATE,
    CRASH_SYNC,  /* inode: all of it before this is durable */
    CRASH_TOUCH, /* key is being put, or deleted if `deleted` */
    CRASH_ACK,   /* everything touched before, in this session, is acknowledged */
    CRASH_KILL,  /* the session ended without a sync */
    CRASH_DOUBT, /* key: its put or delete failed, and may have happened all the same */
    CRASH_LOST,  /* inode: a sync failed; what was not synced then never will be */
};

struct crash_op {
    enum crash_kind kind;
    bool durable; /* a write through O_DSYNC; a sync by crash_record_base, not by a call */
    bool deleted;
    bool data_only; /* a sync by fdatasync */
    uint32_t inode;
    uint32_t parent;
    uint32_t parent2;
    uint32_t key;
    uint64_t offset;
    uint64_t n;
    uint64_t data;
    char name[CRASH_NAME_MAX];
    char name2[CRASH_NAME_MAX];
};

struct crash_inode {
    uint64_t dev;
    uint64_t ino;
    bool is_dir;
    char name[CRASH_NAME_MAX]; /* the first it had */
};

struct crash_log {
    uint32_t op_count;
    uint32_t base_count; /* operations that no crash undoes */
    uint32_t inode_count;
    uint32_t overflow;
    uint64_t used;
    struct crash_inode inode[CRASH_INODES_MAX]; /* 0 is the folder itself */
    struct crash_op op[CRASH_OPS_MAX];
    uint8_t data[CRASH_DATA_MAX];
};

/* Shared memory for a log; NULL: none to have. */
struct crash_log *crash_log_new(void);
void crash_log_free(struct crash_log *log);
/* false: errno. */
bool crash_log_save(const struct crash_log *log, const char *path);
bool crash_log_load(struct crash_log *log, const char *path);

/* Record what this process and its children do below dir from now on; NULL: stop. */
bool crash_record(struct crash_log *log, const char *dir);
void crash_record_touch(uint32_t key, bool deleted);
void crash_record_ack(void);
void crash_record_kill(void);
void crash_record_doubt(uint32_t key);
/* Let the nth CRASH_WRITE or CRASH_SYNC from now on, counted from 1, fail with an errno: the write
 * comes back short by half, and the one after it fails; the sync loses what it was to make durable.
 * 0: none. */
void crash_record_fail(enum crash_kind kind, unsigned nth, int with_errno);
/* Whatever was recorded is durable. */
void crash_record_base(void);

#endif
