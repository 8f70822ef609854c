package smd

import (
	"fmt"
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
	for name, c := range map[string]struct {
		work func() error
		want time.Duration
	}{
		"list": {func() error {
			return decodeInterfaces(NewBody([]byte(list)), func(sm.CompEthInterfaceV2) {}, nil)
		}, 4 * time.Microsecond},
		"digest": {func() error {
			Answer{Interfaces: Body{make([][]byte, 16)}}.digest()
			return nil
		}, 2 * time.Microsecond},
		"sort": {func() error {
			n := 0
			numbers := make([]int, 64*breath)
			slices.SortFunc(numbers, breathing(func(a, b int) int { n++; return a - b }))
			if n < 32*breath || n >= 3*32*breath {
				return fmt.Errorf("%d comparisons", n)
			}
			return nil
		}, 2 * time.Microsecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			if err := c.work(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := time.Since(began); got < c.want-time.Microsecond || got > c.want {
				t.Errorf("%s paused for %v, want %v", name, got, c.want)
			}
		})
	}
}
