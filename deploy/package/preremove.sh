#!/bin/sh
# Before removing, but not before an upgrade: stops worker and gateway. deb says remove, rpm says 0.
set -e
case ${1:-} in remove | 0) ;; *) exit 0 ;; esac
[ -d /run/systemd/system ] || exit 0
systemctl disable --now voucherd-worker.service voucherd-gateway.service
