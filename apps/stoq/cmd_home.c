/* The home itself: init makes one, key shows whose it is. */
#include "call.h"
#include "commands.h"

#include "daemon/host.h"
#include "package/private.h"
#include "wire/bech32m.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_init(struct cmd *cmd, struct stoq_host *host, bool created)
{
    char peer[STOQ_ID_TEXT_CAP];
    const struct stoq_home *home = stoq_host_home(host);
    struct stoq_peer_id id = stoq_key_peer_id(stoq_host_key(host));
    stoq_peer_id_put(peer, &id);
    if (cmd->json) {
        json_t *o = json_pack("{s:s, s:b}", "peer", peer, "created", (int)created);
        (void)stoq_json_set_path(o, "config", stoq_span_str(home->config_file));
        (void)stoq_json_set_path(o, "key", stoq_span_str(home->key_file));
        (void)stoq_json_set_path(o, "store", stoq_span_str(home->store_dir));
        (void)stoq_json_set_path(o, "socket", stoq_span_str(home->socket));
        return cmd_print_json(cmd, o);
    }
    (void)printf("%s\n", peer);
    if (!cmd->quiet) {
        (void)fprintf(stderr, "%s %s, configuration %s\n",
                      created ? "made" : "already there:", home->data_dir, home->config_file);
    }
    return cmd_finish(cmd);
}

int cmd_init(struct cmd *cmd)
{
    struct stoq_home home;
    struct stoq_error err;
    struct stoq_host *host = NULL;
    int exit_code;
    if (!call_home(cmd, &home, &exit_code)) {
        return exit_code;
    }
    struct stoq_host_config cfg = {.home = &home};
    enum stoq_status st = stoq_host_new(&host, &cfg, &err);
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    bool created = access(home.key_file, F_OK) != 0;
    st = stoq_host_open(host, true, &err);
    exit_code = st == STOQ_OK ? print_init(cmd, host, created) : cmd_fail(cmd, &err);
    if (stoq_host_free(host, 0, &err) != STOQ_OK && exit_code == 0) {
        exit_code = cmd_fail(cmd, &err);
    }
    return exit_code;
}

static int print_key(struct cmd *cmd, const struct stoq_home *home, const struct stoq_key *key)
{
    char peer[STOQ_ID_TEXT_CAP];
    char key_id[STOQ_ID_TEXT_CAP];
    char spki[STOQ_SPKI_TEXT_CAP];
    struct stoq_peer_id pid = stoq_key_peer_id(key);
    struct stoq_key_id kid = stoq_key_id(key);
    stoq_peer_id_put(peer, &pid);
    stoq_key_id_put(key_id, &kid);
    stoq_spki_put(spki, stoq_key_spki(key));
    bool pem = cmd->arg_count > 0 && strcmp(cmd->args[0], "export") == 0;
    if (cmd->json) {
        json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "peer", peer, "key", key_id, "algorithm",
                              "ed25519", "spki", spki);
        (void)stoq_json_set_path(o, "file", stoq_span_str(home->key_file));
        return cmd_print_json(cmd, o);
    }
    if (pem) {
        (void)printf("-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", spki);
    } else {
        (void)printf("peer %s\nkey  %s\nspki %s\nfile %s\n", peer, key_id, spki, home->key_file);
    }
    return cmd_finish(cmd);
}

/* The key of private packages: where it is, and a mark to compare it by. */
static int print_private_key(struct cmd *cmd, const struct stoq_home *home)
{
    struct stoq_private_key key;
    struct stoq_error err;
    char mark[STOQ_PRIVATE_MARK_CAP];
    bool made = false;
    enum stoq_status st = stoq_home_make(home, &err);
    if (st == STOQ_OK) {
        st = stoq_home_private_key_or_new(home, &key, &made, &err);
    }
    if (st != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    stoq_private_mark(mark, &key);
    stoq_key_wipe(&key, sizeof key);
    if (cmd->json) {
        json_t *o = json_pack("{s:s, s:b}", "private_key", mark, "private_key_made", (int)made);
        (void)stoq_json_set_path(o, "file", stoq_span_str(home->private_key_file));
        return cmd_print_json(cmd, o);
    }
    (void)printf("mark %s\nfile %s\n", mark, home->private_key_file);
    return cmd_finish(cmd);
}

int cmd_key(struct cmd *cmd)
{
    struct stoq_home home;
    struct stoq_error err;
    struct stoq_key *key = NULL;
    int exit_code;
    const char *word = cmd->arg_count > 0 ? cmd->args[0] : "show";
    bool is_private = strcmp(word, "private") == 0;
    if (!is_private && strcmp(word, "show") != 0 && strcmp(word, "export") != 0) {
        return cmd_usage(cmd, "stoq key takes show, export or private, not '%s'", word);
    }
    if (!call_home(cmd, &home, &exit_code)) {
        return exit_code;
    }
    if (is_private) {
        return print_private_key(cmd, &home);
    }
    if (stoq_home_key(&home, &key, &err) != STOQ_OK) {
        return cmd_fail(cmd, &err);
    }
    exit_code = print_key(cmd, &home, key);
    stoq_key_free(key);
    return exit_code;
}
