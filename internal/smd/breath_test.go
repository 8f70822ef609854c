package smd

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// TestBreath has work on many records pause every so many of them. Time in here
// goes on in pauses only.
func TestBreath(t *testing.T) {
	t.Parallel()
	const records = 4*breath + 1
	list := "[" + strings.Repeat(`{"ID":"a"},`, records-1) + `{"ID":"a"}]`
	for name, work := range map[string]func() (pauses int, err error){
		"list": func() (int, error) {
			return 4, decodeInterfaces(NewBody([]byte(list)), func(sm.CompEthInterfaceV2) {}, nil)
		},
		"digest": func() (int, error) {
			Answer{Interfaces: Body{make([][]byte, 16)}}.digest()
			return 2, nil
		},
		"sort": func() (int, error) {
			n := 0
			slices.SortFunc(make([]int, 64*breath), breathing(func(a, b int) int { n++; return a - b }))
			return n / (32 * breath), nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			want, err := work()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := time.Since(began); got != time.Duration(want)*time.Microsecond || want == 0 {
				t.Errorf("%s paused for %v, want %d pauses", name, got, want)
			}
		})
	}
}
