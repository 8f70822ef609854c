#!/usr/bin/env bash
# Takes iPXE out of a package of a Debian release, which is not installed: FOLDER then has the
# package's files, its name and version in the file "package", and its licence.
#
#     ipxe.bash FOLDER [RELEASE]
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [RELEASE]"}
release=${2:-trixie}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | grep -v '^#' | grep -v security | grep -oE '[a-z]+://[^ ]+' | sed 's|/$||;1q')
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$work/sources.list"
options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
	-o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
mkdir -p "$work"/{lists,cache/archives}/partial
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download ipxe)

rm -rf "$folder"
mkdir -p "$folder"
dpkg-deb -x "$work"/ipxe_*.deb "$folder"
dpkg-deb -W --showformat='${Package} ${Version}\n' "$work"/ipxe_*.deb >"$folder/package"
cp "$folder/usr/share/doc/ipxe/copyright" "$folder/copyright"
