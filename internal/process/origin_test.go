package process

import "testing"

// A loop that tells the origin gets the handler that wants it, once; the stock
// loop gets one that is told nothing.
func TestAware(t *testing.T) {
	t.Parallel()
	p := New()
	stock := Aware(p, func(req, _ string, from Origin) (string, bool) { return req + from.Interface, true })
	if reply, stop := stock("a", ""); reply != "a" || !stop {
		t.Errorf("stock loop: %q %v", reply, stop)
	}
	if TakeAware[int](p) != nil {
		t.Error("a handler of other messages was taken")
	}
	Aware(p, func(req, _ string, from Origin) (string, bool) { return req + from.Interface, true })
	if reply, stop := TakeAware[string](p)("a", "", Origin{Interface: "eth0"}); reply != "aeth0" || !stop {
		t.Errorf("loop with origin: %q %v", reply, stop)
	}
	if TakeAware[string](p) != nil {
		t.Error("taken twice")
	}
}
