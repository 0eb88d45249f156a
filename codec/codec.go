package codec

// Codec turns messages into bytes and back in one wire format. A Codec is
// stateless and may be used by any number of goroutines at once.
//
// Append methods append to dst and return the extended slice, like the
// built-in append; after an error they return dst as it was given. Slices that
// come out of Split, Elements and Members are parts of the message they were
// given: they stay valid as long as the caller leaves that message alone.
type Codec interface {
	// Subprotocol is the name offered in Sec-WebSocket-Protocol (RFC 6455,
	// section 1.9): wireroom.v1.json or wireroom.v1.msgpack.
	Subprotocol() string

	// Binary reports whether messages travel in binary frames; if not, they
	// travel in text frames.
	Binary() bool

	// Split cuts one message into its envelopes, without decoding params,
	// result or id, and appends them to dst. The whole message is checked for
	// being well formed. batch reports that the message was an array. A
	// returned error is what the peer is to be told with a null id: ParseError
	// for bytes that are not a value of this format, InvalidRequest for an
	// empty batch. An item of a batch that is not a valid envelope is
	// no error of Split: it comes as an Envelope of Kind Invalid, as does a
	// single well-formed message that is no envelope.
	Split(dst []Envelope, msg []byte) (envs []Envelope, batch bool, err *Error)

	// AppendValue appends the encoding of v.
	AppendValue(dst []byte, v any) ([]byte, error)

	// Decode decodes one encoded value into the variable that v points to.
	// The text of the error is fit for the peer to read.
	Decode(raw []byte, v any) error

	// Elements calls yield for each element of an encoded array, in order,
	// until yield returns false. It reports false if raw is not an array.
	Elements(raw []byte, yield func(i int, elem []byte) bool) bool

	// Members calls yield for each member of an encoded object (a map with
	// string keys), in order, until yield returns false. It reports false if
	// raw is not an object. name is unescaped.
	Members(raw []byte, yield func(name, value []byte) bool) bool

	// IsNull reports whether raw is the encoded null.
	IsNull(raw []byte) bool

	// AppendRequest appends a request. id is an encoded id; a nil id makes it
	// a notification. A nil params is left out.
	AppendRequest(dst, id []byte, method string, params any) ([]byte, error)

	// AppendResult appends a successful response. id is echoed byte for byte;
	// a nil id becomes null. bare leaves the "jsonrpc" member out, for lenient
	// peers that sent none.
	AppendResult(dst, id []byte, bare bool, result any) ([]byte, error)

	// AppendError appends an error response; id and bare as in AppendResult.
	// If e.Data cannot be encoded it is left out: an error response never
	// fails.
	AppendError(dst, id []byte, bare bool, e *Error) []byte

	// AppendBatch appends the array of the given encoded messages.
	AppendBatch(dst []byte, items [][]byte) []byte
}

// Names of the subprotocols, for Sec-WebSocket-Protocol.
const (
	SubprotocolJSON    = "wireroom.v1.json"
	SubprotocolMsgpack = "wireroom.v1.msgpack"
)

// MaxDepth is how deeply arrays and objects of a message may nest; a message
// that nests deeper is answered with ParseError.
const MaxDepth = 512

// Kind says what an Envelope is.
type Kind uint8

// The kinds of a message.
const (
	// Invalid is well formed, but no message of JSON-RPC 2.0; Err says why.
	Invalid      Kind = iota
	Request           // wants a response
	Notification      // wants none
	Response          // answers a call of ours
)

// Envelope is one JSON-RPC 2.0 message, split but not decoded. All slices are
// parts of the message, except Method when its name was written with escapes.
type Envelope struct {
	Kind   Kind
	Bare   bool   // there was no "jsonrpc" member: only lenient codecs pass such messages
	ID     []byte // encoded, byte for byte as received; nil if there was none (or none that may be echoed)
	Method []byte // the name, unescaped
	Params []byte // encoded; nil if there were none
	Result []byte // encoded; of a Response
	Error  []byte // encoded; of a Response
	Err    *Error // why it is Invalid
}
