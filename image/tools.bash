#!/usr/bin/env bash
# Builds what deployed health checks call, out of Debian's sources, static: FOLDER has then
# curl, which knows HTTP and HTTPS only, busybox, which has pgrep too, and for each its
# version and its licence.
#
#     tools.bash FOLDER
set -euo pipefail

folder=${1:?"usage: $0 FOLDER"}
work=$(mktemp -d)
trap '[ $? = 0 ] || cat "$work/log" >&2; rm -rf "$work"' EXIT

. /etc/os-release
mirror=$({ cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null || true; } | grep -v '^#' | grep -v security | grep -oE '[a-z]+://[^ ]+' | sed 's|/$||;1q')
{
	for suite in "$VERSION_CODENAME" "$VERSION_CODENAME-updates"; do
		echo "deb-src $mirror $suite main"
	done
	echo "deb-src $mirror-security $VERSION_CODENAME-security main"
} >"$work/sources.list"
options=(-qq -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o APT::Sandbox::User=root)

# note NAME: version and licence of the source in the working directory.
note() {
	dpkg-parsechangelog -S Version >"$folder/$1.version"
	cp debian/copyright "$folder/$1.copyright"
}

curl() {
	./configure --quiet --disable-shared --enable-static --with-openssl --with-ca-bundle=/etc/ssl/certs/ca-certificates.crt \
		--disable-{dict,file,ftp,gopher,imap,ldap,ldaps,manual,mqtt,pop3,rtsp,smb,smtp,telnet,tftp,ntlm,alt-svc,tls-srp} \
		--without-{brotli,libgsasl,libidn2,libpsl,librtmp,libssh2,nghttp2,zlib,zstd}
	make -s -j2 -C lib
	make -s -j2 -C src LDFLAGS=-all-static
	strip -o "$folder/curl" src/curl
}

busybox() {
	sed 's/^# CONFIG_PGREP is not set$/CONFIG_PGREP=y/' debian/config/pkg/static >.config
	make -s oldconfig < <(yes '')
	make -s -j2 busybox
	install -s busybox "$folder/busybox"
}

mkdir -p "$folder"
touch "$work/log"
apt-get "${options[@]}" update
for name in curl busybox; do
	cd "$work"
	apt-get "${options[@]}" source "$name" >/dev/null
	cd "$work/$name"-*/
	{ "$name"; note "$name"; } >"$work/log" 2>&1
done
