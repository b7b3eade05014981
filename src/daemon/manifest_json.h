#ifndef STOQ_DAEMON_MANIFEST_JSON_H
#define STOQ_DAEMON_MANIFEST_JSON_H
/* A manifest as JSON: every field under its name (docs/CLI.md), absent ones left out. */
#include "api/json.h"
#include "package/manifest.h"

/* Set the manifest's fields in obj. False: no memory. */
bool stoq_manifest_to_json(json_t *obj, const struct stoq_manifest *m);

#endif
