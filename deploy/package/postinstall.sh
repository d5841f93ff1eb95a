#!/bin/sh
# After installing or upgrading: makes the user, and restarts what runs. Starts nothing that did not run.
set -e
systemd-sysusers /usr/lib/sysusers.d/voucherd.conf
chgrp voucherd /etc/voucherd /etc/voucherd/voucherd.env
[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
systemctl try-restart voucherd-worker.service voucherd-gateway.service
