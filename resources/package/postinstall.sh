#!/bin/sh
# Nothing is started: a DHCP server needs its configuration first. One that runs takes the new
# binary into service.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	systemctl try-reload-or-restart coredhcp.service || true
fi
