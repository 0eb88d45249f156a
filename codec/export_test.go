package codec

// Limits that tests want to reach.
const (
	DefaultMaxBatch = defaultMaxBatch
	FirstCheck      = firstCheck
)
