package process

// Publish shows something to the other plugins of the process, such as a way
// to ask. The first of a name stays.
func Publish[T any](p *Process, name string, v T) {
	p.publishMu.Lock()
	defer p.publishMu.Unlock()
	if _, ok := p.published[name]; ok {
		return
	}
	if p.published == nil {
		p.published = make(map[string]any)
	}
	p.published[name] = v
}

// Published returns what was published under a name; false: nothing, or
// something of another type.
func Published[T any](p *Process, name string) (T, bool) {
	p.publishMu.Lock()
	defer p.publishMu.Unlock()
	v, ok := p.published[name].(T)
	return v, ok
}
