package bootfile

import "path/filepath"

// Has says that the server would serve a file of that name.
func (s *Server) Has(name string) bool {
	name = local(name)
	if !filepath.IsLocal(name) {
		return false
	}
	f, err := s.root.choose(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
