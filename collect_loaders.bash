#!/usr/bin/env bash
# Copies iPXE from Debian's package into a folder, under the names that coresmd
# offers to machines, and writes down in loaders.txt what each is.
#
#     collect_loaders.bash FOLDER [PACKAGE]
#
# PACKAGE is a folder with what image/ipxe.bash took out of a package; without it
# the installed one is taken.
set -euo pipefail

folder=${1:?"usage: $0 FOLDER [PACKAGE]"}
from=${2:-}

# The name, then the places where Debian's packages have had that loader; the
# first that is there is taken. Debian 12 has those for x86 only, Debian 13 none
# for IA32 and ARM32.
loaders=(
	"undionly.kpxe    /usr/lib/ipxe/undionly.kpxe"
	"ipxe-i386.efi    /usr/lib/ipxe/ipxe-i386.efi /usr/lib/ipxe/ipxe32.efi"
	"ipxe-x86_64.efi  /usr/lib/ipxe/ipxe-amd64.efi /usr/lib/ipxe/ipxe.efi /boot/ipxe.efi"
	"ipxe-arm32.efi   /usr/lib/ipxe/ipxe-arm32.efi"
	"ipxe-arm64.efi   /usr/lib/ipxe/ipxe-arm64.efi"
	"ipxe-riscv64.efi /usr/lib/ipxe/ipxe-riscv64.efi"
	"ipxe-loong64.efi /usr/lib/ipxe/ipxe-loong64.efi"
)

# package prints the package that has a file, and its version.
package() {
	local real name
	[ -z "$from" ] || { cat "$from/package"; return; }
	real=$(readlink -f "$1")
	name=$(dpkg-query -S "$real" | head -n 1 | cut -d: -f1)
	dpkg-query -W -f='${Package} ${Version}' "$name"
}

mkdir -p "$folder"
rm -f "$folder/loaders.txt"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
missing=()
for line in "${loaders[@]}"; do
	read -r name places <<<"$line"
	found=
	for place in $places; do
		[ -e "$from$place" ] && { found=$place; break; }
	done
	if [ -z "$found" ]; then
		missing+=("$name")
		continue
	fi
	install -m 644 "$from$found" "$folder/$name"
	echo "$(sha256sum "$folder/$name" | cut -d' ' -f1)  $name  $(package "$from$found")  $found" >>"$list"
done
[ -s "$list" ] || { echo "$0: no iPXE here: apt-get install --no-install-recommends ipxe" >&2; exit 1; }
{
	echo "# SHA-256, name, Debian package and version, where it was. To check the files:"
	echo "# grep -v '^#' loaders.txt | awk '{print \$1 \"  \" \$2}' | sha256sum -c"
	cat "$list"
	for name in "${missing[@]}"; do echo "# none in Debian's packages: $name"; done
} >"$folder/loaders.txt"
cat "$folder/loaders.txt"
