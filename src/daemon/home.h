#ifndef STOQ_DAEMON_HOME_H
#define STOQ_DAEMON_HOME_H
/*
 * Where things are. With --home or STOQ_HOME everything is below one directory; else the XDG directories
 * hold it: configuration, data (key and store), runtime (socket).
 */
#include "base/bytes.h"

#define STOQ_HOME_PATH_MAX 4096

/* What the paths depend on; NULL where unset. */
struct stoq_home_from {
    const char *home_option;   /* --home */
    const char *config_option; /* --config */
    const char *stoq_home;     /* STOQ_HOME */
    const char *home;          /* HOME */
    const char *xdg_config;    /* XDG_CONFIG_HOME; relative values are ignored, as its rules say */
    const char *xdg_data;      /* XDG_DATA_HOME */
    const char *xdg_runtime;   /* XDG_RUNTIME_DIR */
    const char *work_dir;      /* absolute; what relative options are relative to */
};

struct stoq_home {
    char config_dir[STOQ_HOME_PATH_MAX];
    char config_file[STOQ_HOME_PATH_MAX];
    char data_dir[STOQ_HOME_PATH_MAX];
    char key_file[STOQ_HOME_PATH_MAX];
    char trust_file[STOQ_HOME_PATH_MAX];   /* reputation */
    char history_file[STOQ_HOME_PATH_MAX]; /* transfers */
    char peers_file[STOQ_HOME_PATH_MAX];
    char dht_file[STOQ_HOME_PATH_MAX];         /* what the DHT remembers */
    char private_key_file[STOQ_HOME_PATH_MAX]; /* of private packages */
    char store_dir[STOQ_HOME_PATH_MAX];        /* unless the configuration names another */
    char runtime_dir[STOQ_HOME_PATH_MAX];
    char socket[STOQ_HOME_PATH_MAX];
    bool config_named; /* --config: the file must be there */
};

/* STOQ_OK; STOQ_NOTFOUND (HomeMissing): nothing says where; STOQ_RANGE: a path is too long. */
STOQ_WARN_UNUSED enum stoq_status stoq_home_find(struct stoq_home *out,
                                                 const struct stoq_home_from *from,
                                                 struct stoq_error *err);
/* From this process's environment and working directory. */
STOQ_WARN_UNUSED enum stoq_status stoq_home_find_here(struct stoq_home *out,
                                                      const char *home_option,
                                                      const char *config_option,
                                                      struct stoq_error *err);

/* Does this process's environment allow LAN discovery? STOQ_LAN=off does not. */
bool stoq_home_lan_here(void);

/* Make the directories, 0700. STOQ_OK also when they are there. */
STOQ_WARN_UNUSED enum stoq_status stoq_home_make(const struct stoq_home *home,
                                                 struct stoq_error *err);

struct stoq_key;
/*
 * Read the key file. It must belong to its reader alone.
 * STOQ_OK; STOQ_NOTFOUND: none; STOQ_MALFORMED (KeyInvalid): damaged, of another kind, or others may read
 * it; STOQ_IO; STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_home_key(const struct stoq_home *home, struct stoq_key **out,
                                                struct stoq_error *err);
/* The same, and where there is none make one, durable, 0600. The caller holds the store's lock, so that
 * two do not make one each. */
STOQ_WARN_UNUSED enum stoq_status stoq_home_key_or_new(const struct stoq_home *home,
                                                       struct stoq_key **out,
                                                       struct stoq_error *err);

struct stoq_private_key;
/*
 * Read a key of private packages (package/private.h) from a file that belongs to its reader alone.
 * STOQ_OK; STOQ_NOTFOUND: no such file; STOQ_MALFORMED (KeyInvalid); STOQ_VERSION; STOQ_IO; STOQ_NOMEM.
 */
STOQ_WARN_UNUSED enum stoq_status stoq_home_private_key(const char *path,
                                                        struct stoq_private_key *out,
                                                        struct stoq_error *err);
/* The home's own, made where there is none, durable, 0600; *made tells. Any number of processes at once
 * get the same. */
STOQ_WARN_UNUSED enum stoq_status stoq_home_private_key_or_new(const struct stoq_home *home,
                                                               struct stoq_private_key *out,
                                                               bool *made, struct stoq_error *err);

#endif
