// Package version tells which build of coresmd is running.
// It knows the build, not what the build does.
//
// Each field comes from the first of these that has it: link flags (make build),
// the stamp that gen_version.bash wrote, Go's own build info.
package version

import (
	"cmp"
	"embed"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

const (
	modulePath = "github.com/OpenCHAMI/coresmd"
	unknown    = "unknown"
)

// Written by the linker only: -X github.com/OpenCHAMI/coresmd/internal/version.version=...
var version, commit, buildTime, goVersion, gitState, buildHost, buildUser string

// stamp holds the file "build" once gen_version.bash has run. Without it the folder's .gitignore keeps it embeddable.
//
//go:embed all:stamp
var stamp embed.FS

// Build describes one build. No field is empty; what is not known is "unknown".
type Build struct {
	Version   string // git describe, a module version, or "devel"
	Commit    string // full hash
	Time      string // RFC 3339, UTC
	GoVersion string // of the compiler
	State     string // of the tree: "clean" or "dirty"
	Host      string // where it was built
	User      string // who built it
}

// Read returns the running program's build.
func Read() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return linked().or(stamped()).or(fromInfo(info)).or(Build{
		Version:   unknown,
		Commit:    unknown,
		Time:      unknown,
		GoVersion: runtime.Version(),
		State:     unknown,
		Host:      unknown,
		User:      unknown,
	})
}

// String gives the three that a log line or a bug report needs.
func (b Build) String() string {
	return fmt.Sprintf("version %s, commit %s, built %s", b.Version, b.Commit, b.Time)
}

// Details gives all, a line each.
func (b Build) Details() string {
	return fmt.Sprintf("version  %s\ncommit   %s, %s\nbuilt    %s by %s on %s\ngo       %s\n", b.Version, b.Commit, b.State, b.Time, b.User, b.Host, b.GoVersion)
}

// or fills the empty fields of b from other.
func (b Build) or(other Build) Build {
	return Build{
		Version:   cmp.Or(b.Version, other.Version),
		Commit:    cmp.Or(b.Commit, other.Commit),
		Time:      cmp.Or(b.Time, other.Time),
		GoVersion: cmp.Or(b.GoVersion, other.GoVersion),
		State:     cmp.Or(b.State, other.State),
		Host:      cmp.Or(b.Host, other.Host),
		User:      cmp.Or(b.User, other.User),
	}
}

func linked() Build {
	return Build{
		Version:   version,
		Commit:    commit,
		Time:      buildTime,
		GoVersion: goVersion,
		State:     gitState,
		Host:      buildHost,
		User:      buildUser,
	}
}

func stamped() Build {
	text, err := stamp.ReadFile("stamp/build")
	if err != nil {
		return Build{}
	}
	return parseStamp(string(text))
}

// parseStamp reads the lines "name=value" of gen_version.bash. The names are those of the linker's variables.
func parseStamp(text string) Build {
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return Build{
		Version:   values["version"],
		Commit:    values["commit"],
		Time:      values["buildTime"],
		GoVersion: values["goVersion"],
		State:     values["gitState"],
		Host:      values["buildHost"],
		User:      values["buildUser"],
	}
}

// fromInfo reads what the go command recorded. Its vcs settings are those of the main module:
// they say nothing of coresmd when coresmd is a dependency.
func fromInfo(info *debug.BuildInfo) Build {
	b := Build{GoVersion: info.GoVersion}
	if info.Main.Path != modulePath {
		b.Version = dependency(info.Deps)
		return b
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	b.Version = plain(info.Main.Version)
	b.Commit = settings["vcs.revision"]
	b.Time = settings["vcs.time"]
	b.State = map[string]string{"true": "dirty", "false": "clean"}[settings["vcs.modified"]]
	return b
}

// dependency returns the version of coresmd among deps, "" if it is not there.
func dependency(deps []*debug.Module) string {
	for _, m := range deps {
		if m.Path != modulePath {
			continue
		}
		if m.Replace != nil {
			return cmp.Or(plain(m.Replace.Version), "devel")
		}
		return plain(m.Version)
	}
	return ""
}

// plain takes the brackets off the go command's "(devel)".
func plain(v string) string { return strings.Trim(v, "()") }
