package bootfile

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// frame is what a block of this many octets takes on the wire in IPv4.
func frame(block int) int { return block + overhead4 + wireOverhead }

// Of 2,000 clients each gets a block of 1468 octets every 24 ms from a link of
// 1 Gbit/s, and all get as much.
func TestBudgetIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const clients, rounds = 2000, 10
		b := newBudget(1e9)
		b.spend(b.limiter.Burst())
		took := make([]time.Duration, clients)
		began := time.Now()
		done := make(chan int, clients)
		for c := range clients {
			go func() {
				for range rounds {
					if err := b.wait(t.Context(), frame(1468)); err != nil {
						t.Error(err)
					}
				}
				took[c] = time.Since(began)
				done <- c
			}()
		}
		for range clients {
			<-done
		}
		turn := (slices.Max(took) / rounds).Round(time.Millisecond)
		if turn < 24*time.Millisecond || turn > 25*time.Millisecond {
			t.Errorf("a block every %v, want 24 to 25 ms", turn)
		}
		if first, last := slices.Min(took), slices.Max(took); last-first > turn+time.Millisecond {
			t.Errorf("the first client had its blocks after %v, the last after %v", first, last)
		}
	})
}

// A transfer with a large window takes no more than its turn.
func TestBudgetWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10e6)
		send := func(n int, sent *atomic.Int64) {
			for range n {
				if err := b.wait(t.Context(), frame(1468)); err != nil {
					t.Error(err)
				}
				sent.Add(1)
			}
		}
		var wide, narrow atomic.Int64
		go send(1000, &wide)
		send(100, &narrow)
		if n := wide.Load(); n < 95 || n > 105 {
			t.Errorf("while one transfer sent 100 blocks the other sent %d", n)
		}
		send(900, &narrow) // so that nobody is left waiting
		synctest.Wait()
		time.Sleep(time.Second)
	})
}

// Answers do not wait for the budget, but what waits, waits for them.
func TestBudgetAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1e6)
		began := time.Now()
		for range 100 {
			b.spend(1250) // 10 ms each
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("100 answers took %v", took)
		}
		if err := b.wait(t.Context(), 1250); err != nil {
			t.Fatal(err)
		}
		// Two frames, 24.6 ms, were in hand.
		if took := time.Since(began).Round(time.Millisecond); took != 985*time.Millisecond {
			t.Errorf("a packet after them waited %v, want 985ms", took)
		}
	})
}

// After a time in which nothing ran, such as that of a machine that is busy, no
// more goes out at once than a switch takes.
func TestBudgetAfterAStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1e9)
		b.turn <- struct{}{} // nobody goes on
		var sent atomic.Int64
		for range 1000 {
			go func() {
				if err := b.wait(t.Context(), frame(1468)); err != nil {
					t.Error(err)
				}
				sent.Add(1)
			}()
		}
		time.Sleep(50 * time.Millisecond)
		<-b.turn
		time.Sleep(100 * time.Microsecond)
		if most := int64(b.limiter.Burst()/frame(1468)) + 10; sent.Load() > most {
			t.Errorf("%d packets went out at once, at most %d may", sent.Load(), most)
		}
		time.Sleep(time.Second)
		if sent.Load() != 1000 {
			t.Errorf("%d packets went out in the end", sent.Load())
		}
	})
}

// A packet larger than what may go out at once, and a server without a budget.
func TestBudgetBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := newBudget(1e6)
		if err := b.wait(t.Context(), 60_000); err != nil {
			t.Error(err)
		}
		if took := time.Since(began).Round(time.Millisecond); took != 455*time.Millisecond {
			t.Errorf("60,000 octets at 1 Mbit/s with %d in hand took %v, want 455ms", leastBurst, took)
		}
		var none *budget
		none.spend(1)
		if err := none.wait(t.Context(), 1<<40); err != nil || newBudget(0) != nil {
			t.Errorf("no budget: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		began = time.Now()
		if err := b.wait(ctx, 1_000_000); !errors.Is(err, context.Canceled) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}

// recorded is a line that notes when a packet went out. Its client is silent.
type recorded struct {
	deaf
	began time.Time
	sent  []string
}

func (r *recorded) send(b []byte) error {
	kind := map[uint16]string{opData: "data", opOack: "oack", opError: "error"}[binary.BigEndian.Uint16(b)]
	r.sent = append(r.sent, time.Since(r.began).Round(time.Millisecond).String()+" "+kind)
	return nil
}

// The first packet goes out at once though the budget is spent; the same
// packet sent again waits for the budget.
func TestPacedLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1e6)
		b.spend(leastBurst + 125_000) // one second
		r := &recorded{began: time.Now()}
		l := newPacedLine(r, newSession(t.Context(), endpoint{client: mustAddrPort("192.0.2.9:2070")}, request{}), b)
		for _, packet := range [][]byte{oack("blksize", "1468"), oack("blksize", "1468"), data(1, make([]byte, 1468))} {
			if err := l.send(packet); err != nil {
				t.Error(err)
			}
		}
		want := []string{"0s oack", "1.001s oack", "1.014s data"}
		if diff := cmp.Diff(want, r.sent); diff != "" {
			t.Errorf("packets (-want +got):\n%s", diff)
		}
	})
}
