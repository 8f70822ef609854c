// Package firmware boots emulated machines: QEMU with the firmware and the
// network boot programs of Debian's packages, against the built coredhcp. The
// tests have the build tag firmware and are run by make test-firmware.
package firmware
