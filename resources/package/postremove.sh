#!/bin/sh
# With purge, what the server has kept goes too. Else leases and logs stay.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
if [ "$1" = purge ]; then
	rm -rf /var/lib/coredhcp /var/lib/private/coredhcp /var/log/coredhcp /var/log/private/coredhcp
	rmdir --ignore-fail-on-non-empty /etc/coredhcp 2>/dev/null || true
fi
