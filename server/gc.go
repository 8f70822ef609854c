package server

import "os"

// ballastSize is by how much the heap may grow beyond what the collector allows by
// itself, which is as much again as is in use: with few machines that is little, and
// in a storm it would run a dozen times a second.
const ballastSize = 32 << 20

// ballast returns memory that is never touched, so it takes none of the machine's,
// and that the collector counts as in use. GOGC in the environment takes its place.
func ballast() []byte {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, ballastSize)
}
