package bootfile

// Has says that the server would serve a file of that name.
func (s *Server) Has(name string) bool {
	f, err := s.root.open(name)
	if err != nil {
		return false
	}
	f.Close()
	return true
}
