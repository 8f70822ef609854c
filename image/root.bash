#!/usr/bin/env bash
# Lays out the root of the container image: our binaries, busybox, curl, CA bundle, loaders,
# and the licences of all of it. Called by the Dockerfile in the source folder.
#
#     root.bash FOLDER
set -euo pipefail

root=${1:?"usage: $0 FOLDER"}
tools=/usr/src/tools
licences=$root/usr/share/licenses

mkdir -p "$root"/{bin,etc/coredhcp,etc/ssl/certs,root_ca,run,tmp,usr/bin,usr/share,var/lib/coredhcp} "$licences"/{coresmd,busybox,curl,openssl,glibc,ipxe,go}
chmod 1777 "$root/tmp"

# A user without rights may serve, and ask as a client does: the files bring what they need
# for ports below 1024 and raw sockets.
install bin/coredhcp bin/coresmd bin/dhcping "$root/"
setcap cap_net_bind_service,cap_net_raw+ep "$root/coredhcp"
setcap cap_net_bind_service+ep "$root/coresmd" cap_net_bind_service+ep "$root/dhcping"
ln -s /dhcping "$root/usr/bin/dhcping"
install "$tools/curl" "$root/usr/bin/curl"
install "$tools/busybox" "$root/bin/busybox"
for name in $("$tools/busybox" --list); do
	[ "$name" = busybox ] || ln -s busybox "$root/bin/$name"
done

install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
cat >"$root/etc/passwd" <<-'END'
	root:x:0:0:root:/:/bin/sh
	coredhcp:x:998:998:coredhcp:/:/bin/sh
	nobody:x:65534:65534:nobody:/:/bin/sh
END
cat >"$root/etc/group" <<-'END'
	root:x:0:
	coredhcp:x:998:
	nogroup:x:65534:
END
chown 998:998 "$root/var/lib/coredhcp"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
cp -r build/tftpboot "$root/tftpboot"

install -m 644 LICENSE "$licences/coresmd/"
install -m 644 "$(go env GOROOT)/LICENSE" "$licences/go/"
cp -r build/licences "$licences/modules"
install -m 644 "$tools/busybox.copyright" "$licences/busybox/copyright"
install -m 644 "$tools/curl.copyright" "$licences/curl/copyright"
install -m 644 /usr/share/doc/libssl-dev/copyright "$licences/openssl/"
install -m 644 /usr/share/doc/libc6-dev/copyright "$licences/glibc/"
cp build/ipxe/copyright "$licences/ipxe/"
{
	echo "busybox $(cat "$tools/busybox.version")"
	echo "ca-certificates $(dpkg-query -W -f='${Version}' ca-certificates)"
	echo "curl $(cat "$tools/curl.version")"
	echo "glibc $(dpkg-query -W -f='${Version}' libc6-dev)"
	echo "openssl $(dpkg-query -W -f='${Version}' libssl-dev)"
	cat build/ipxe/package
} >"$licences/versions.txt"
