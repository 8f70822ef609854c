//go:build race

package smd

const raceDetector = true
