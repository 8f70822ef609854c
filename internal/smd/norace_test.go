//go:build !race

package smd

const raceDetector = false
