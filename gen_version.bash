#!/usr/bin/env bash
# Stamps this tree with its version, for builds that set no link flags.
# Call it from anywhere: it describes the tree it stands in.
#
#   gen_version.bash            writes internal/version/stamp/build (ignored by git)
#   gen_version.bash --print    prints the same lines
#   gen_version.bash --ldflags  prints them as link flags
#
# These variables override what it finds: BUILD_VERSION, BUILD_COMMIT, BUILD_TIME (or SOURCE_DATE_EPOCH),
# GIT_STATE, BUILD_HOST, GO_VERSION, BUILD_USER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX

package=github.com/OpenCHAMI/coresmd/internal/version

# git answers only when this folder is the top of a work tree: a repository around it is not ours.
git() { command git --no-optional-locks "$@" 2>/dev/null; }
ours() { [ "$(git rev-parse --show-toplevel)" = "$(pwd -P)" ]; }

describe() { ours && git describe --tags --always --dirty; }
revision() { ours && git rev-parse HEAD; }
state() {
	ours || return
	local changes
	changes=$(git status --porcelain --untracked-files=no) || return
	if [ -z "$changes" ]; then echo clean; else echo dirty; fi
}
now() { date -u ${SOURCE_DATE_EPOCH:+--date="@$SOURCE_DATE_EPOCH"} +%Y-%m-%dT%H:%M:%SZ; }

# field NAME OVERRIDE COMMAND...: one line; what cannot be found stays empty.
# Link flags are split at blanks and quotes: a value holds neither.
field() {
	local name=$1 value=$2
	shift 2
	[ -n "$value" ] || value=$("$@" 2>/dev/null) || value=
	printf '%s=%s\n' "$name" "$(tr -c 'A-Za-z0-9.,:/@+~-' _ <<<"$value" | sed 's/_*$//')"
}

lines() {
	field version "${BUILD_VERSION:-}" describe
	field commit "${BUILD_COMMIT:-}" revision
	field buildTime "${BUILD_TIME:-}" now
	field goVersion "${GO_VERSION:-}" go env GOVERSION
	field gitState "${GIT_STATE:-}" state
	field buildHost "${BUILD_HOST:-}" uname -n
	field buildUser "${BUILD_USER:-}" id -un
}

case "${1:-}" in
'') lines >internal/version/stamp/build ;;
--print) lines ;;
--ldflags) lines | sed "s|^|-X $package.|" | paste -sd ' ' ;;
*)
	echo "usage: gen_version.bash [--print | --ldflags]" >&2
	exit 2
	;;
esac
