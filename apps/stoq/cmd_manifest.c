/* Plumbing: a manifest's fields, bytes and id, from a file or from the store. */
#include "call.h"
#include "commands.h"

#include "daemon/manifest_json.h"
#include "os/file.h"
#include "package/manifest.h"
#include "wire/bech32m.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_id(const char *text)
{
    return strncmp(text, "stoq1", 5) == 0 || strncmp(text, "STOQ1", 5) == 0;
}

/* {"id", fields..., "manifest_hex"} of manifest bytes. */
static int from_bytes(struct cmd *cmd, struct stoq_span bytes, json_t **out)
{
    struct stoq_error err;
    char id[STOQ_ID_TEXT_CAP];
    struct stoq_manifest *m = malloc(sizeof *m);
    char *hex = malloc(2 * bytes.n + 1);
    int exit_code = STOQ_EXIT_OK;
    enum stoq_status st = STOQ_NOMEM;
    if (m != NULL && hex != NULL) {
        st = stoq_manifest_decode(bytes, m);
    }
    if (st == STOQ_OK) {
        struct stoq_package_id package = stoq_manifest_id(bytes);
        stoq_package_id_put(id, &package);
        stoq_hex_put(hex, bytes);
        *out = json_pack("{s:s, s:s}", "id", id, "manifest_hex", hex);
        st = stoq_manifest_to_json(*out, m) ? STOQ_OK : STOQ_NOMEM;
    }
    if (st != STOQ_OK) {
        (void)stoq_fail(&err, st, 0, "%.200s is not a manifest: %s", cmd->args[1],
                        stoq_status_str(st));
        exit_code = cmd_fail(cmd, &err);
    }
    free(m);
    free(hex);
    return exit_code;
}

static int from_file(struct cmd *cmd, json_t **out)
{
    struct stoq_error err;
    struct stoq_buf bytes;
    stoq_buf_init(&bytes, STOQ_MANIFEST_BYTES_MAX);
    enum stoq_status st = stoq_file_read(cmd->args[1], STOQ_MANIFEST_BYTES_MAX, &bytes, &err);
    int exit_code =
        st == STOQ_OK ? from_bytes(cmd, stoq_buf_span(&bytes), out) : cmd_fail(cmd, &err);
    stoq_buf_release(&bytes);
    return exit_code;
}

static int from_store(struct cmd *cmd, json_t **out)
{
    json_t *args = json_object();
    int rc = call_set_text(cmd, args, "id", cmd->args[1]);
    if (rc != 0) {
        json_decref(args);
        return rc;
    }
    return call_op(cmd, "manifest", args, out);
}

static int print_raw(struct cmd *cmd, const json_t *manifest)
{
    uint8_t bytes[STOQ_MANIFEST_BYTES_MAX];
    const char *hex = stoq_json_text(manifest, "manifest_hex");
    size_t n = hex != NULL ? strlen(hex) / 2 : 0;
    STOQ_ASSERT(n <= sizeof bytes && stoq_hex_get(bytes, n, hex));
    (void)fwrite(bytes, 1, n, stdout);
    return cmd_finish(cmd);
}

int cmd_manifest(struct cmd *cmd)
{
    const char *verb = cmd->args[0];
    json_t *manifest = NULL;
    if (strcmp(verb, "show") != 0 && strcmp(verb, "id") != 0 && strcmp(verb, "raw") != 0) {
        return cmd_usage(cmd, "stoq manifest takes show, id or raw, not '%s'", verb);
    }
    cmd->raw_output = verb[0] == 'r';
    int rc = is_id(cmd->args[1]) ? from_store(cmd, &manifest) : from_file(cmd, &manifest);
    if (rc != 0) {
        json_decref(manifest);
        return rc;
    }
    if (verb[0] == 'r') {
        rc = print_raw(cmd, manifest);
    } else if (cmd->json) {
        return cmd_print_json(cmd, manifest);
    } else if (verb[0] == 'i') {
        (void)printf("%s\n", stoq_json_text(manifest, "id"));
        rc = cmd_finish(cmd);
    } else {
        (void)json_object_del(manifest, "manifest_hex");
        char *text = stoq_json_pretty(manifest);
        (void)printf("%s\n", text != NULL ? text : "");
        free(text);
        rc = cmd_finish(cmd);
    }
    json_decref(manifest);
    return rc;
}
