package codec

// Options choose what a codec accepts. A nil *Options is valid and means the
// zero value: strict JSON-RPC 2.0.
type Options struct {
	// Lenient accepts messages without the "jsonrpc" member and marks them
	// Envelope.Bare. A bare message with a method is always a request: without
	// an id it is answered with the id null. Use it for hand-written clients
	// that predate JSON-RPC. A "jsonrpc" member that is there must still be
	// "2.0".
	Lenient bool

	// MaxBatch is how many messages a batch may hold; Split answers a longer
	// one with InvalidRequest. It bounds what one message can make Split
	// allocate: an envelope is a hundred times the size of the shortest item.
	// Zero means 1000; negative means no limit.
	MaxBatch int
}

// defaultMaxBatch is Options.MaxBatch when it is zero.
const defaultMaxBatch = 1000

// resolve returns o with its zero values replaced by what they stand for.
func (o *Options) resolve() Options {
	var r Options
	if o != nil {
		r = *o
	}
	switch {
	case r.MaxBatch == 0:
		r.MaxBatch = defaultMaxBatch
	case r.MaxBatch < 0:
		r.MaxBatch = int(^uint(0) >> 1)
	}
	return r
}
