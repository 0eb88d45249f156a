//go:build race

package codec_test

// raceEnabled reports that a sync.Pool drops some of what is put into it, as it
// does under the race detector, so that allocations cannot be counted.
const raceEnabled = true
