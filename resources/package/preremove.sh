#!/bin/sh
# remove (deb) and 0 (rpm): it goes. upgrade and 1: the next one takes over.
set -e
if { [ "$1" = remove ] || [ "$1" = 0 ]; } && [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now coredhcp.service || true
fi
