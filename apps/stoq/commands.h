#ifndef STOQ_APPS_STOQ_COMMANDS_H
#define STOQ_APPS_STOQ_COMMANDS_H
/* One function per command; each returns the exit code. What they take and do is in table.c. */
#include "cmd.h"

int cmd_init(struct cmd *cmd);
int cmd_daemon(struct cmd *cmd);
int cmd_publish(struct cmd *cmd);
int cmd_get(struct cmd *cmd);
int cmd_alias(struct cmd *cmd);
int cmd_find(struct cmd *cmd);
int cmd_ls(struct cmd *cmd);
int cmd_info(struct cmd *cmd);
int cmd_cat(struct cmd *cmd);
int cmd_verify(struct cmd *cmd);
int cmd_rm(struct cmd *cmd);
int cmd_gc(struct cmd *cmd);
int cmd_pin(struct cmd *cmd);
int cmd_unpin(struct cmd *cmd);
int cmd_pins(struct cmd *cmd);
int cmd_root(struct cmd *cmd);
int cmd_lease(struct cmd *cmd);
int cmd_leases(struct cmd *cmd);
int cmd_store(struct cmd *cmd);
int cmd_doctor(struct cmd *cmd);
int cmd_fsck(struct cmd *cmd);
int cmd_scrub(struct cmd *cmd);
int cmd_export(struct cmd *cmd);
int cmd_import(struct cmd *cmd);
int cmd_have(struct cmd *cmd);
int cmd_prove(struct cmd *cmd);
int cmd_check_proof(struct cmd *cmd);
int cmd_peers(struct cmd *cmd);
int peers_select(struct cmd *cmd); /* cmd_peers with --select */
/* A selection's arguments out of its text, "bandwidth:2MiB". 0, or the exit code after the error was told. */
int select_args(struct cmd *cmd, const char *spec, json_t *args);
/* Show a result (taken) by --json or tell, and fail with the "error" in it, where it falls short. */
int select_finish(struct cmd *cmd, json_t *result, void (*tell)(const json_t *result));
int cmd_distribute(struct cmd *cmd);
int cmd_track(struct cmd *cmd);
int peers_why(struct cmd *cmd); /* with --why or --forgive */
int cmd_transfers(struct cmd *cmd);
int cmd_why(struct cmd *cmd);
int cmd_rule(struct cmd *cmd);
int cmd_limit(struct cmd *cmd);
int cmd_ping(struct cmd *cmd);
int cmd_announce(struct cmd *cmd);
int cmd_join(struct cmd *cmd);
int cmd_dht(struct cmd *cmd);
int cmd_providers(struct cmd *cmd); /* find ID */
int cmd_status(struct cmd *cmd);
int cmd_stop(struct cmd *cmd);
int cmd_key(struct cmd *cmd);
int cmd_help(struct cmd *cmd);
int cmd_version(struct cmd *cmd);
int cmd_manifest(struct cmd *cmd);
int cmd_hash(struct cmd *cmd);
int cmd_chunk(struct cmd *cmd);
int cmd_merkle(struct cmd *cmd);

#endif
