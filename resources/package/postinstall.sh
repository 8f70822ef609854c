#!/bin/sh
# Nothing is started: a DHCP server needs its configuration first. One that runs is restarted
# with the new binary.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-restart coredhcp.service || true
fi
