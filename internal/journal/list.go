package journal

// A list is records in the order in which they were last heard.
type list struct {
	newest, oldest *record
	n              int
}

func (l *list) push(r *record) {
	r.older, r.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = r
	} else {
		l.oldest = r
	}
	l.newest = r
	l.n++
}

func (l *list) drop(r *record) {
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		l.newest = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		l.oldest = r.newer
	}
	r.newer, r.older = nil, nil
	l.n--
}
