package smd

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDoubt has answers that lost machines, minute by minute, and what serves
// after each.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &script{steps: []step{{}}}
		cache := NewCache(Options{Source: source, Doubt: 3 * time.Minute})
		var got []string
		look := func(minutes int, trust bool, answer step) {
			time.Sleep(time.Duration(minutes) * time.Minute)
			source.steps = []step{answer}
			if trust {
				_ = cache.Trust(t.Context())
			} else {
				_ = cache.Refresh(t.Context())
			}
			s := cache.Status()
			got = append(got, fmt.Sprintf("%d %v", s.Machines, s.State))
		}
		is := func(last ...int) step { return step{interfaces: nics(last...)} }
		look(0, false, is())              // empty from the beginning: that may be
		look(1, false, is(1, 2, 3, 4, 5)) // it grew
		look(1, false, is())
		look(60, false, is()) // never without a human
		look(1, false, step{err: errDown})
		look(1, false, is(1, 2, 3, 4, 5)) // it is back
		look(1, false, is(1, 2, 3))       // not more than a half went
		look(1, false, is(1))             // more than a half
		look(2, false, is(1))
		look(1, false, is(1)) // three minutes of agreement
		look(1, false, is(1, 2, 3, 4, 5))
		look(1, false, is(1, 2))
		look(2, false, is(2, 3)) // another answer: the time begins anew
		look(2, false, step{err: errDown})
		look(1, false, is(2, 3))
		look(0, false, is(1, 2, 3, 4, 5))
		look(1, false, is())
		look(0, true, step{err: errDown}) // nobody can believe that
		look(0, true, is())
		want := []string{
			"0 fresh", "5 fresh", "5 in doubt", "5 in doubt", "5 in doubt", "5 fresh", "3 fresh",
			"3 in doubt", "3 in doubt", "1 fresh", "5 fresh", "5 in doubt", "5 in doubt", "5 in doubt", "2 fresh", "5 fresh",
			"5 in doubt", "5 in doubt", "0 fresh",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what serves (-want +got):\n%s", diff)
		}
	})
}

// asked is a source whose components can be asked for again.
type asked struct {
	script
	first, later string
	err          error
	questions    int
}

func (a *asked) Fetch(ctx context.Context) (Answer, error) {
	answer, err := a.script.Fetch(ctx)
	answer.Components = NewBody([]byte(a.first))
	return answer, err
}

func (a *asked) Components(context.Context, []string) (Body, error) {
	a.questions++
	return NewBody([]byte(a.later)), a.err
}

func (a *asked) Interfaces(context.Context, []MAC) (Body, error) {
	return Body{}, errors.New("not asked here")
}

// TestAskedTwice has interfaces whose component the other answer lacks: it is
// asked for once more, and only once as long as it stays away.
func TestAskedTwice(t *testing.T) {
	t.Parallel()
	const none = `{"Components":[{"ID":"x3000c0s1b0n0","Type":"Node"}]}`
	for name, c := range map[string]struct {
		later     string
		err       error
		known     bool
		questions int
		fails     bool
		faults    int
	}{
		"read in between": {later: components, known: true, questions: 1, faults: 0},
		"not there":       {later: none, questions: 1, faults: 1},
		"no answer":       {err: errDown, questions: 2, fails: true},
		"no collection":   {later: "null", questions: 2, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &asked{script: script{steps: []step{{interfaces: nics(1)}, {interfaces: nics(1) + " "}}}, first: none, later: c.later, err: c.err}
			cache := NewCache(Options{Source: source})
			err := cache.Refresh(t.Context())
			if (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			found := cache.Lookup(MAC{2, 0, 0, 0, 0, 1})
			if found.Known != c.known {
				t.Errorf("known %v, want %v", found.Known, c.known)
			}
			if n := len(cache.Status().Faults); n != c.faults {
				t.Errorf("%d faults, want %d: %v", n, c.faults, cache.Status().Faults)
			}
			if !c.known {
				_ = cache.Refresh(t.Context())
			}
			if source.questions != c.questions {
				t.Errorf("asked again %d times, want %d", source.questions, c.questions)
			}
		})
	}
}
