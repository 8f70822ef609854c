package version

import (
	"reflect"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadLeavesNothingEmpty(t *testing.T) {
	t.Parallel()
	got := reflect.ValueOf(Read())
	for i := range got.NumField() {
		if got.Field(i).String() == "" {
			t.Errorf("%s is empty", got.Type().Field(i).Name)
		}
	}
}

func TestString(t *testing.T) {
	t.Parallel()
	b := Build{Version: "v1.2.3", Commit: "0123abcd", Time: "2026-01-02T03:04:05Z", Host: "build.example.org"}
	want := "version v1.2.3, commit 0123abcd, built 2026-01-02T03:04:05Z"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDetails(t *testing.T) {
	t.Parallel()
	b := Build{
		Version: "v1.2.3", Commit: "0123abcd", Time: "2026-01-02T03:04:05Z",
		GoVersion: "go1.26.0", State: "dirty", Host: "build.example.org", User: "builder",
	}
	want := "version  v1.2.3\ncommit   0123abcd, dirty\nbuilt    2026-01-02T03:04:05Z by builder on build.example.org\ngo       go1.26.0\n"
	if got := b.Details(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOrKeepsWhatIsSet(t *testing.T) {
	t.Parallel()
	got := Build{Version: "v1.2.3", State: "clean"}.or(Build{Version: "v0.0.0", Commit: "0123abcd"})
	want := Build{Version: "v1.2.3", State: "clean", Commit: "0123abcd"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseStamp(t *testing.T) {
	t.Parallel()
	full := Build{
		Version: "v1.2.3-4-g0123abc-dirty", Commit: "0123abcd", Time: "2026-01-02T03:04:05Z",
		GoVersion: "go1.26.0", State: "dirty", Host: "build.example.org", User: "builder",
	}
	tests := map[string]struct {
		text string
		want Build
	}{
		"empty":          {"", Build{}},
		"all":            {stampOf(full), full},
		"crlf":           {strings.ReplaceAll(stampOf(full), "\n", "\r\n"), full},
		"value with =":   {"version=a=b\n", Build{Version: "a=b"}},
		"no newline":     {"commit=0123abcd", Build{Commit: "0123abcd"}},
		"unknown name":   {"colour=red\nversion=v1\n", Build{Version: "v1"}},
		"no equals sign": {"version\n\n", Build{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, parseStamp(test.text)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func stampOf(b Build) string {
	return "version=" + b.Version + "\ncommit=" + b.Commit + "\nbuildTime=" + b.Time + "\ngoVersion=" + b.GoVersion +
		"\ngitState=" + b.State + "\nbuildHost=" + b.Host + "\nbuildUser=" + b.User + "\n"
}

func TestFromInfo(t *testing.T) {
	t.Parallel()
	vcs := []debug.BuildSetting{
		{Key: "vcs.revision", Value: "0123abcd"},
		{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
		{Key: "vcs.modified", Value: "true"},
	}
	other := debug.Module{Path: "coredhcp", Version: "(devel)"}
	tests := map[string]struct {
		info debug.BuildInfo
		want Build
	}{
		"nothing": {debug.BuildInfo{}, Build{}},
		"main module": {
			debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Path: modulePath, Version: "(devel)"}, Settings: vcs},
			Build{Version: "devel", Commit: "0123abcd", Time: "2026-01-02T03:04:05Z", GoVersion: "go1.26.0", State: "dirty"},
		},
		"main module without vcs": {
			debug.BuildInfo{Main: debug.Module{Path: modulePath, Version: "v1.2.3"}},
			Build{Version: "v1.2.3"},
		},
		"dependency: vcs is not ours": {
			debug.BuildInfo{Main: other, Settings: vcs, Deps: []*debug.Module{
				{Path: "github.com/OpenCHAMI/coresmd-other", Version: "v9.9.9"},
				{Path: modulePath, Version: "v1.2.3"},
			}},
			Build{Version: "v1.2.3"},
		},
		"replaced by a folder": {
			debug.BuildInfo{Main: other, Deps: []*debug.Module{
				{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "../coresmd", Version: "(devel)"}},
			}},
			Build{Version: "devel"},
		},
		"replaced by a folder, no version": {
			debug.BuildInfo{Main: other, Deps: []*debug.Module{
				{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "../coresmd"}},
			}},
			Build{Version: "devel"},
		},
		"replaced by a fork": {
			debug.BuildInfo{Main: other, Deps: []*debug.Module{
				{Path: modulePath, Version: "v1.2.3", Replace: &debug.Module{Path: "example.org/fork", Version: "v1.2.4"}},
			}},
			Build{Version: "v1.2.4"},
		},
		"not there": {debug.BuildInfo{Main: other}, Build{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, fromInfo(&test.info)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
