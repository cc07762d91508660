//go:build race

package engine

// raceDetector: it multiplies memory and time, so that neither says anything.
const raceDetector = true
