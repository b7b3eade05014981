/*
 * The daemon: opens everything, serves peers and the control socket, says so in the ready file, then only
 * waits for signals. The main thread is the one that waits; `stop` sends the process a TERM, so there is
 * one way out. It has five seconds: three for running operations, two for peers.
 *
 * A service manager (os/notify.h) is told READY once it serves, RELOADING and READY around a reload, STOPPING
 * when it begins to end. The watchdog speaks for the network thread: a sign of life is asked for three times
 * in each interval, and the manager hears WATCHDOG only when the one before was given.
 */
#include "call.h"
#include "commands.h"
#include "signals.h"

#include "daemon/control.h"
#include "daemon/host.h"
#include "os/file.h"
#include "os/notify.h"
#include "os/sys.h"
#include "os/unix.h"
#include "wire/bech32m.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OPERATIONS_GRACE (3 * STOQ_SEC)
#define PEERS_GRACE (2 * STOQ_SEC)
#define BEATS_PER_WATCHDOG 3

struct daemon {
    struct cmd *cmd;
    struct stoq_home home;
    struct stoq_addr listen[STOQ_NET_LISTEN_MAX];
    size_t listen_count;
    struct stoq_host *host;
    struct stoq_api_server *api;
    struct stoq_notify manager;
    bool ready_written;
    sigset_t signals;
};

static void log_line(void *user, enum stoq_log_level level, const char *line)
{
    const struct daemon *d = user;
    if (!d->cmd->quiet || level == STOQ_LOG_QUIET) {
        (void)fprintf(stderr, "stoq: %s\n", line);
    }
}

static void ask_stop(void *user)
{
    (void)kill(getpid(), SIGTERM);
}

static int take_listen(struct daemon *d)
{
    const char *text;
    for (size_t i = 0; (text = cmd_value_at(d->cmd, "listen", i)) != NULL; i++) {
        if (i == STOQ_NET_LISTEN_MAX) {
            return cmd_usage(d->cmd, "more than %d --listen", STOQ_NET_LISTEN_MAX);
        }
        if (stoq_addr_parse(&d->listen[i], stoq_span_str(text), 0) != STOQ_OK) {
            return cmd_usage(d->cmd,
                             "--listen takes an address with a port, as in [::1]:4477 or "
                             "[::1]:0, not '%s'",
                             text);
        }
        d->listen_count++;
    }
    return 0;
}

static json_t *ready_json(struct daemon *d)
{
    char peer[STOQ_ID_TEXT_CAP];
    char text[STOQ_ADDR_TEXT_MAX];
    struct stoq_addr addr;
    struct stoq_peer_id id = stoq_key_peer_id(stoq_host_key(d->host));
    json_t *list = json_array();
    stoq_peer_id_put(peer, &id);
    for (size_t i = 0; stoq_engine_local_addr(stoq_host_engine(d->host), i, &addr); i++) {
        (void)json_array_append_new(list, json_string(stoq_addr_format(&addr, text)));
    }
    return json_pack("{s:s, s:o, s:I}", "peer", peer, "listen", list, "pid", (json_int_t)getpid());
}

/* Tell that we serve: the ready file, whole or not at all, and a line of the log. */
static enum stoq_status tell_ready(struct daemon *d, struct stoq_error *err)
{
    const char *path = cmd_value(d->cmd, "ready-file");
    json_t *ready = ready_json(d);
    char *line = ready != NULL ? stoq_json_line(ready) : NULL;
    enum stoq_status st = STOQ_OK;
    if (line == NULL) {
        st = stoq_fail(err, STOQ_NOMEM, 0, "no memory to start");
    } else {
        stoq_host_log(d->host, STOQ_LOG_INFO, "serving %s", line);
        if (path != NULL) {
            st = stoq_file_replace(path, stoq_span_str(line), 0644, err);
            d->ready_written = st == STOQ_OK;
        }
        if (d->cmd->json) {
            (void)printf("%s\n", line);
            (void)fflush(stdout);
        }
    }
    free(line);
    json_decref(ready);
    return st;
}

static enum stoq_status start(struct daemon *d, struct stoq_error *err)
{
    struct stoq_host_config cfg = {
        .home = &d->home,
        .lan = stoq_home_lan_here(),
        .log = log_line,
        .log_user = d,
        .log_level_min = d->cmd->verbose > 0 ? STOQ_LOG_DEBUG : STOQ_LOG_QUIET,
        .daemon = true,
        .listen = d->listen,
        .listen_count = d->listen_count,
        .stop = ask_stop,
    };
    if (stoq_unix_answers(d->home.socket)) {
        return stoq_fail_code(err, STOQ_BUSY, "DaemonRunning", "a daemon already serves %.300s",
                              d->home.socket);
    }
    enum stoq_status st = stoq_host_new(&d->host, &cfg, err);
    if (st == STOQ_OK) {
        st = stoq_host_start(d->host, err);
    }
    if (st == STOQ_OK) {
        st = stoq_control_start(&d->api, d->host, err);
    }
    return st == STOQ_OK ? tell_ready(d, err) : st;
}

static void reload(struct daemon *d)
{
    struct stoq_error err;
    stoq_notify_send(&d->manager, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)(stoq_now() / 1000));
    if (stoq_host_reload(d->host, &err) == STOQ_OK) {
        struct stoq_host_reading r;
        stoq_host_reading(d->host, &r);
        stoq_host_log(d->host, STOQ_LOG_INFO, "configuration read again%s%s",
                      r.waits[0] != '\0' ? "; these count from the next start: " : "", r.waits);
        stoq_notify_send(&d->manager, "READY=1\nSTATUS=serving");
    } else {
        stoq_host_log(d->host, STOQ_LOG_QUIET, "configuration kept as it was: %s", err.text);
        stoq_notify_send(&d->manager, "READY=1\nSTATUS=serving; configuration refused: %s",
                         err.text);
    }
}

/* The next signal, or 0 when it is time for a sign of life. */
static int next_signal(struct daemon *d)
{
    stoq_ns beat = d->manager.watchdog_ns / BEATS_PER_WATCHDOG;
    if (beat == 0) {
        int signum;
        return sigwait(&d->signals, &signum) == 0 ? signum : SIGTERM;
    }
    struct timespec wait = {.tv_sec = (time_t)(beat / STOQ_SEC),
                            .tv_nsec = (long)(beat % STOQ_SEC)};
    int signum = sigtimedwait(&d->signals, NULL, &wait);
    return signum > 0 ? signum : 0;
}

static void wait_for_end(struct daemon *d)
{
    int signum = 0;
    while (signum != SIGTERM && signum != SIGINT) {
        signum = next_signal(d);
        if (signum == SIGHUP) {
            reload(d);
        }
        if (d->manager.watchdog_ns != 0 && stoq_engine_beat(stoq_host_engine(d->host))) {
            stoq_notify_send(&d->manager, "WATCHDOG=1");
        }
    }
}

/* A second signal while we drain. */
static void *second_signal(void *user)
{
    const struct daemon *d = user;
    stoq_ns first_at = stoq_now();
    int signum = 0;
    while ((signum != SIGTERM && signum != SIGINT) ||
           stoq_now() - first_at <= SIGNALS_SAME_WITHIN) {
        if (sigwait(&d->signals, &signum) != 0) {
            break;
        }
    }
    _exit(STOQ_EXIT_INTERRUPTED);
}

static enum stoq_status end(struct daemon *d, struct stoq_error *err)
{
    pthread_t watcher;
    stoq_notify_send(&d->manager, "STOPPING=1\nSTATUS=ending");
    bool watching = pthread_create(&watcher, NULL, second_signal, d) == 0;
    if (d->ready_written) {
        (void)unlink(cmd_value(d->cmd, "ready-file"));
    }
    stoq_api_server_free(d->api, OPERATIONS_GRACE);
    enum stoq_status st = stoq_host_free(d->host, PEERS_GRACE, err);
    if (watching) {
        pthread_cancel(watcher);
        pthread_join(watcher, NULL);
    }
    return st;
}

static void block_signals(struct daemon *d)
{
    signals_of_writes_ignore();
    sigemptyset(&d->signals);
    sigaddset(&d->signals, SIGTERM);
    sigaddset(&d->signals, SIGINT);
    sigaddset(&d->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &d->signals, NULL);
}

int cmd_daemon(struct cmd *cmd)
{
    struct daemon *d = calloc(1, sizeof *d);
    struct stoq_error err;
    struct stoq_error closing;
    int exit_code = STOQ_EXIT_FAILED;
    if (d == NULL) {
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory for the daemon");
        return cmd_fail(cmd, &err);
    }
    d->cmd = cmd;
    if ((exit_code = take_listen(d)) == 0 && call_home(cmd, &d->home, &exit_code)) {
        block_signals(d);
        stoq_notify_open(&d->manager);
        enum stoq_status st = start(d, &err);
        if (st == STOQ_OK) {
            stoq_notify_send(&d->manager, "READY=1\nSTATUS=serving");
            wait_for_end(d);
        }
        enum stoq_status ended = end(d, &closing);
        if (st == STOQ_OK && ended != STOQ_OK) {
            st = ended;
            err = closing;
        }
        stoq_notify_close(&d->manager);
        exit_code = st == STOQ_OK ? STOQ_EXIT_OK : cmd_fail(cmd, &err);
    }
    free(d);
    return exit_code;
}
