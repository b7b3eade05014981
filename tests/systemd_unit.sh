#!/bin/bash
# The unit that `make install` installs: systemd understands all of it and rates what it leaves open at 2.0 at most
# (10 is an unconfined service). The program it names is the installed one.
set -euo pipefail
command -v systemd-analyze >/dev/null || { echo "systemd-analyze is not here" && exit 77; }
unit=$STOQ_BUILD/packaging/stoq.service
grep -q '^ExecStart=/.*/bin/stoq --home /var/lib/stoq daemon$' "$unit" || { grep ExecStart "$unit" && exit 1; }
sed "s|^ExecStart=[^ ]*|ExecStart=$STOQ|" "$unit" >"$TMP/stoq.service"
systemd-analyze verify --man=no "$TMP/stoq.service" >"$TMP/verify" 2>&1 || { cat "$TMP/verify" && exit 1; }
! grep "stoq.service" "$TMP/verify" || exit 1
systemd-analyze security --offline=true --no-pager --threshold=20 "$TMP/stoq.service" >"$TMP/rating" || { cat "$TMP/rating" && exit 1; }
grep 'Overall exposure level' "$TMP/rating"
