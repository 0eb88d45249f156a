// Package codec reads and writes the messages of JSON-RPC 2.0 in two formats:
// JSON text and MessagePack. It turns bytes into envelopes and values and back;
// it knows nothing of sockets, and calls nobody's methods but those with which
// a value encodes or decodes itself.
//
// # The wire
//
// A message is an object with the members of JSON-RPC 2.0. In JSON, in text
// frames, under the subprotocol wireroom.v1.json:
//
//	--> {"jsonrpc":"2.0","method":"add","params":[2,3],"id":1}
//	<-- {"jsonrpc":"2.0","result":5,"id":1}
//
//	--> {"jsonrpc":"2.0","method":"move","params":{"x":1,"y":2}}      a notification: no answer
//
//	--> {"jsonrpc":"2.0","method":"ad","id":"a"}
//	<-- {"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"a"}
//
// In MessagePack, in binary frames, under wireroom.v1.msgpack, the same object
// is a map with the same names. The first call above, 38 bytes, and its result:
//
//	--> 84                                  map of 4
//	    a7 6a 73 6f 6e 72 70 63             "jsonrpc"
//	    a3 32 2e 30                         "2.0"
//	    a6 6d 65 74 68 6f 64                "method"
//	    a3 61 64 64                         "add"
//	    a6 70 61 72 61 6d 73                "params"
//	    92 02 03                            [2, 3]
//	    a2 69 64                            "id"
//	    01                                  1
//	<-- 83 a7 6a 73 6f 6e 72 70 63 a3 32 2e 30 a6 72 65 73 75 6c 74 05 a2 69 64 01
//
// An array of messages is a batch, in both formats.
//
// # Envelopes first, values later
//
// Split checks a whole message once and cuts it into envelopes: slices of the
// message that hold the id, the method's name, and the params, still encoded.
// It allocates nothing for ordinary messages if it is given a slice to append
// to. What the params mean is known only when the method is found; then
// Elements or Members cut them further, and Decode fills a variable.
//
//	envs, batch, err := c.Split(envs[:0], msg)
//	for i := range envs {
//		switch env := &envs[i]; env.Kind {
//		case codec.Request:
//			out, err = c.AppendResult(out, env.ID, env.Bare, result)
//
// Where JSON-RPC 2.0 leaves a choice:
//
//   - An id is a string, a number or null, and comes back byte for byte: 1.0
//     stays 1.0, and 2^53+1 survives. Anything else is an invalid request.
//   - "id":null with a method is a request, answered with the id null.
//   - Params, if there, are an array or an object; null is neither.
//   - Members that are not part of the protocol are ignored. Of a member that
//     occurs twice the last one counts.
//   - A message without a method, but with an id and a result or an error, is a
//     response.
//   - Nesting deeper than MaxDepth, bytes behind the message, and strings that
//     are not UTF-8 are parse errors.
//
// # Values
//
// The JSON codec has the semantics of encoding/json, without HTML escaping. The
// MessagePack codec names struct fields by their "msgpack" tag or else their
// "json" tag, with omitempty, and honours msgpack.CustomEncoder, msgpack.Marshaler,
// encoding.BinaryMarshaler and encoding.TextMarshaler with their counterparts.
// It writes []byte, and what MarshalText returns, as binary data; integers in
// the fewest bytes; time.Time as a timestamp. It does not know json.Marshaler:
// a json.RawMessage is binary data to it. The intern option of msgpack tags is
// not supported. Its decoder treats integers as strictly as JSON's does: one
// that overflows its variable, or has a fraction, is an error.
//
// Into a variable of type any, JSON decodes as encoding/json does. MessagePack
// decodes into nil, bool, int64, uint64 (only beyond int64), float64, string,
// []byte, []any, map[string]any and time.Time.
//
// The errors of Decode are written for the peer that sent the value:
//
//	user.age: expected a number, got a string
//
// What a library, or a type's own method, said about it is in no such text; it
// is there for the log, by errors.Unwrap.
//
// # Concurrency and ownership
//
// A Codec may be used by any number of goroutines at once. No method blocks.
//
// Append methods write only to dst and behind it, keep nothing of their
// arguments, and return dst as it was given after an error. Split, Elements and
// Members return parts of what they were given: these are good until the caller
// changes or reuses those bytes. What Decode has filled shares no memory with
// the message.
package codec
