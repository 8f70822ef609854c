package bootfile

import "path/filepath"

// A Folder is what a server would serve, without one.
type Folder struct{ root }

// Look returns what a server with these options would serve. Nothing is bound.
// Something that is no folder in the place of one is an error.
func Look(o Options) (*Folder, error) {
	f := &Folder{root{dir: o.Dir, builtIn: o.BuiltIn, alternates: o.Alternates}}
	return f, f.check()
}

// Missing reports whether the folder does not exist now, so that only the
// built-in files are served.
func (f *Folder) Missing() bool { return f.missing() }

// Has says that a file of that name would be served.
func (r root) Has(name string) bool {
	name = local(name)
	if !filepath.IsLocal(name) {
		return false
	}
	f, err := r.choose(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// Has says that the server would serve a file of that name.
func (s *Server) Has(name string) bool { return s.root.Has(name) }
