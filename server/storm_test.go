//go:build storm

package server

// manyPackets is how many TestGoroutinesAreStable sends.
const manyPackets = 1_000_000
