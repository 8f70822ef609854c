package journal

// A text is the number of a text that many events have; 0: none.
type text uint32

// Limits of the texts of a journal. What clients write is in them: a file that
// they ask for, a host name.
const (
	textOctets   = 12 << 20
	textOverhead = 96  // octets that a text costs beside its own
	textLength   = 200 // octets that are kept of one
	leftOut      = "(left out)"
)

// texts holds each text once, as long as somebody needs it. Those that do not
// fit are left out.
type texts struct {
	ids    map[string]text
	all    []held // by number
	free   []text
	octets int
}

type held struct {
	text string
	refs uint32
}

func newTexts() texts {
	return texts{ids: make(map[string]text), all: []held{{}, {text: leftOut}}}
}

func (t *texts) put(s string) text {
	if s == "" {
		return 0
	}
	s = s[:min(len(s), textLength)]
	if id, ok := t.ids[s]; ok {
		t.all[id].refs++
		return id
	}
	if t.octets+len(s)+textOverhead > textOctets {
		return 1
	}
	t.octets += len(s) + textOverhead
	id := text(len(t.all))
	if n := len(t.free); n > 0 {
		id, t.free = t.free[n-1], t.free[:n-1]
		t.all[id] = held{s, 1}
	} else {
		t.all = append(t.all, held{s, 1})
	}
	t.ids[s] = id
	return id
}

func (t *texts) get(id text) string { return t.all[id].text }

func (t *texts) drop(id text) {
	if id <= 1 {
		return
	}
	h := &t.all[id]
	if h.refs--; h.refs > 0 {
		return
	}
	delete(t.ids, h.text)
	t.octets -= len(h.text) + textOverhead
	*h = held{}
	t.free = append(t.free, id)
}

// A word is the number of a word of a closed list; 0: none.
type word uint8

// words holds the words of closed lists. They are never dropped.
type words struct {
	ids map[string]word
	all []string
}

func newWords() words { return words{ids: map[string]word{"": 0}, all: []string{""}} }

func (w *words) put(s string) word {
	id, ok := w.ids[s]
	if !ok && len(w.all) < 256 {
		id = word(len(w.all))
		w.ids[s] = id
		w.all = append(w.all, s)
	}
	return id
}

func (w *words) get(id word) string { return w.all[id] }
