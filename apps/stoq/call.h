#ifndef STOQ_APPS_STOQ_CALL_H
#define STOQ_APPS_STOQ_CALL_H
/* Run one operation: in the daemon where one serves this home, else in this process. */
#include "cmd.h"

#include "daemon/home.h"
#include "os/feed.h"

/* Find the home from options and environment; false after the error was told. */
bool call_home(const struct cmd *cmd, struct stoq_home *out, int *exit_code);

/*
 * Run op with args (taken). Progress is shown, content goes to stdout, Ctrl-C stops it.
 *
 * result  the operation's result, a new reference; an empty object for content
 *
 * STOQ_EXIT_OK, or the exit code after the error was told.
 */
int call_op(struct cmd *cmd, const char *op, json_t *args, json_t **result);
/* The same once args are set: set is what that came to, and where it is not 0, all that comes of it. */
int call_op_with(struct cmd *cmd, int set, const char *op, json_t *args, json_t **result);

/* args[key] = text, or a usage error when it is not UTF-8: 0 or its exit code. NULL sets nothing. */
int call_set_text(const struct cmd *cmd, json_t *args, const char *key, const char *text);
/* args[key] = the repeated option's values; likewise. */
int call_set_list(struct cmd *cmd, json_t *args, const char *option, const char *key);
/* args[key] = the option's number, when it is given; likewise. */
int call_set_number(struct cmd *cmd, json_t *args, const char *option, const char *key,
                    uint64_t min, uint64_t max);
/* args[key] = path, made absolute. 0, or the exit code after the error was told. */
int call_set_path(const struct cmd *cmd, json_t *args, const char *key, const char *path);

/* Hand standard input over as args["input"], through a socket beside the home's own; *feed is to be
 * freed after the call. 0, or the exit code after the error was told. */
int call_feed_input(const struct cmd *cmd, json_t *args, struct stoq_feed **feed);

/* -o FILE, or - for standard output, as args["output"] or args["stream"]. 0, or the exit code after the
 * error was told. */
int call_set_output(struct cmd *cmd, json_t *args, const char *output);
/* Run an operation, set as for call_op_with, and have tell say what it did, or with --json print what came
 * of it: nothing of this where the content itself goes to standard output. The exit code. */
int call_tell(struct cmd *cmd, int set, const char *op, json_t *args,
              void (*tell)(const json_t *result));

#endif
