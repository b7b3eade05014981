#include "cmd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void print_error_json(const struct cmd *cmd, const struct stoq_error *err)
{
    json_t *object = json_pack("{s:o}", "error", stoq_error_to_json(err));
    char *line = object != NULL ? stoq_json_line(object) : NULL;
    FILE *to = cmd->raw_output ? stderr : stdout;
    (void)fprintf(to, "%s\n", line != NULL ? line : "{\"error\":{\"code\":\"OutOfMemory\"}}");
    (void)fflush(to);
    free(line);
    json_decref(object);
}

int cmd_fail(const struct cmd *cmd, const struct stoq_error *err)
{
    if (err->sys_errno == EPIPE) {
        return STOQ_EXIT_FAILED; /* the reader left on purpose: nothing to tell */
    }
    if (cmd->json) {
        print_error_json(cmd, err);
    } else {
        (void)fprintf(stderr, "stoq: %s\n",
                      err->text[0] != '\0' ? err->text : stoq_status_str(err->status));
    }
    return (int)stoq_error_exit(err);
}

int cmd_usage(const struct cmd *cmd, const char *fmt, ...)
{
    char text[400];
    struct stoq_error err;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)stoq_fail_code(&err, STOQ_RANGE, "Usage", "%s", text);
    int rc = cmd_fail(cmd, &err);
    if (!cmd->json && !cmd->quiet) {
        (void)fprintf(stderr, "Try 'stoq help%s%s'.\n", cmd->row != NULL ? " " : "",
                      cmd->row != NULL ? cmd->row->name : "");
    }
    return rc;
}

int cmd_finish(const struct cmd *cmd)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0) {
        return STOQ_EXIT_OK;
    }
    struct stoq_error err;
    (void)stoq_fail(&err, STOQ_IO, errno, "cannot write standard output");
    return cmd_fail(cmd, &err);
}

int cmd_print_json(const struct cmd *cmd, json_t *result)
{
    char *line = result != NULL ? stoq_json_line(result) : NULL;
    json_decref(result);
    if (line == NULL) {
        struct stoq_error err;
        (void)stoq_fail(&err, STOQ_NOMEM, 0, "no memory for the result");
        return cmd_fail(cmd, &err);
    }
    (void)printf("%s\n", line);
    free(line);
    return cmd_finish(cmd);
}
