#include "api/error.h"

#include <errno.h>
#include <string.h>

struct known {
    const char *code;
    enum stoq_exit exit_code;
    const char *meaning;
};

static const struct known known[] = {
    {"ContentNotFound", STOQ_EXIT_NOT_FOUND,
     "no such package, file or content here or at any source"},
    {"ChunkNotFound", STOQ_EXIT_NOT_FOUND, "a chunk is missing here and at every source"},
    {"IntegrityCheckFailed", STOQ_EXIT_INTEGRITY,
     "bytes do not match their hash, proof or signature"},
    {"SourceChanged", STOQ_EXIT_INTEGRITY,
     "a file that was published in place is gone or has other bytes now"},
    {"InvalidChunkIndex", STOQ_EXIT_USAGE, "a chunk index at or past the chunk count"},
    {"InsufficientReplicas", STOQ_EXIT_FAILED, "fewer verified copies than asked for"},
    {"InvalidProof", STOQ_EXIT_INTEGRITY, "a proof does not lead to the trusted root"},
    {"InvalidSignature", STOQ_EXIT_INTEGRITY, "a signature does not verify"},
    {"Usage", STOQ_EXIT_USAGE, "the command line or a request's arguments are wrong"},
    {"InvalidId", STOQ_EXIT_USAGE, "a text id is damaged; the message says how"},
    {"ConfigInvalid", STOQ_EXIT_FAILED,
     "the configuration file has an error; the message names the line"},
    {"RuleInvalid", STOQ_EXIT_FAILED, "a rule has an error; the message names line and column"},
    {"DaemonNotRunning", STOQ_EXIT_NO_DAEMON, "the command needs a running daemon"},
    {"DaemonRunning", STOQ_EXIT_FAILED, "a daemon already serves this home"},
    {"PeerUnreachable", STOQ_EXIT_NETWORK, "no source could be reached"},
    {"KeyMismatch", STOQ_EXIT_NETWORK, "the peer's key is not the pinned one"},
    {"NoCommonGroup", STOQ_EXIT_NETWORK, "no encryption mode in common with the peer"},
    {"NoSource", STOQ_EXIT_NETWORK,
     "the package is not complete here, no source is named and nobody who was asked instead has it"},
    {"Network", STOQ_EXIT_NETWORK, "a connection was lost or refused"},
    {"Timeout", STOQ_EXIT_NETWORK, "a wait reached its limit"},
    {"Interrupted", STOQ_EXIT_INTERRUPTED, "stopped by a signal or by the client going away"},
    {"DiskFull", STOQ_EXIT_FAILED, "no space left; what was stored stays stored"},
    {"QuotaReached", STOQ_EXIT_FAILED,
     "the store's quota is used up; what was stored stays stored"},
    {"LimitReached", STOQ_EXIT_FAILED, "a configured limit is reached"},
    {"ContentKept", STOQ_EXIT_FAILED, "a pin, a named root or a lease keeps it"},
    {"NamesCollide", STOQ_EXIT_FAILED,
     "two names differ only in upper and lower case, and --strict was asked"},
    {"OutputExists", STOQ_EXIT_FAILED, "the output is there already and is not overwritten"},
    {"StoreBusy", STOQ_EXIT_FAILED, "another process writes to the store"},
    {"StoreDamaged", STOQ_EXIT_INTEGRITY, "the store's own files fail their checks"},
    {"HomeMissing", STOQ_EXIT_NOT_FOUND, "no home here yet; stoq init makes one"},
    {"KeyInvalid", STOQ_EXIT_FAILED, "the key file cannot be used"},
    {"Malformed", STOQ_EXIT_FAILED, "input breaks its format"},
    {"Io", STOQ_EXIT_FAILED, "the operating system refused"},
    {"Busy", STOQ_EXIT_FAILED, "held by someone else now"},
    {"NotFound", STOQ_EXIT_NOT_FOUND, "no such thing here"},
    {"UnsupportedVersion", STOQ_EXIT_FAILED, "a newer format or protocol than this program speaks"},
    {"OutOfMemory", STOQ_EXIT_FAILED, "memory could not be had"},
    {"Failed", STOQ_EXIT_FAILED, "anything else"},
};

static const struct known *find(const char *code)
{
    for (size_t i = 0; code != NULL && i < STOQ_COUNT(known); i++) {
        if (strcmp(known[i].code, code) == 0) {
            return &known[i];
        }
    }
    return NULL;
}

static const char *generic(enum stoq_status status, int sys_errno)
{
    if (sys_errno == ENOSPC || sys_errno == EDQUOT) {
        return "DiskFull";
    }
    switch (status) {
    case STOQ_OK:
        return "Failed";
    case STOQ_NOMEM:
        return "OutOfMemory";
    case STOQ_FULL:
        return "LimitReached";
    case STOQ_TRUNC:
    case STOQ_MALFORMED:
        return "Malformed";
    case STOQ_PROOF:
        return "IntegrityCheckFailed";
    case STOQ_NOTFOUND:
        return "NotFound";
    case STOQ_IO:
        return "Io";
    case STOQ_BUSY:
        return "Busy";
    case STOQ_VERSION:
        return "UnsupportedVersion";
    case STOQ_RANGE:
        return "Usage";
    case STOQ_NET:
        return "Network";
    case STOQ_TIMEOUT:
        return "Timeout";
    case STOQ_CANCELLED:
        return "Interrupted";
    case STOQ_EXISTS:
        return "OutputExists";
    }
    return "Failed";
}

const char *stoq_error_code(const struct stoq_error *err)
{
    return err->code != NULL ? err->code : generic(err->status, err->sys_errno);
}

enum stoq_exit stoq_error_exit(const struct stoq_error *err)
{
    const struct known *k = find(stoq_error_code(err));
    if (k == NULL) {
        k = find(generic(err->status, err->sys_errno));
    }
    return k->exit_code;
}

json_t *stoq_error_to_json(const struct stoq_error *err)
{
    const char *text = err->text[0] != '\0' ? err->text : stoq_status_str(err->status);
    json_t *value = json_pack("{s:s, s:i, s:i}", "code", stoq_error_code(err), "status",
                              (int)err->status, "exit", (int)stoq_error_exit(err));
    /* A sentence may quote a path that is not UTF-8; then it goes out with '?' for each such byte. */
    if (value != NULL && !stoq_json_set_text(value, "message", stoq_span_str(text))) {
        char plain[sizeof err->text];
        size_t n = 0;
        for (; text[n] != '\0' && n + 1 < sizeof plain; n++) {
            plain[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
        }
        (void)stoq_json_set_text(value, "message", stoq_span(plain, n));
    }
    return value;
}

void stoq_error_from_json(struct stoq_error *err, const json_t *value)
{
    const json_t *status = json_object_get(value, "status");
    const char *text = stoq_json_text(value, "message");
    json_int_t number = json_is_integer(status) ? json_integer_value(status) : STOQ_IO;
    if (number >= STOQ_OK || number < STOQ_EXISTS) {
        number = STOQ_IO;
    }
    (void)stoq_fail(err, (enum stoq_status)number, 0, "%s",
                    text != NULL ? text : "the daemon gave no reason");
    const struct known *k = find(stoq_json_text(value, "code"));
    err->code = k != NULL ? k->code : NULL;
}

bool stoq_error_at(size_t i, const char **code, enum stoq_exit *exit_code, const char **meaning)
{
    if (i >= STOQ_COUNT(known)) {
        return false;
    }
    *code = known[i].code;
    *exit_code = known[i].exit_code;
    *meaning = known[i].meaning;
    return true;
}
