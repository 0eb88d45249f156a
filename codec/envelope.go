package codec

// parts are the members of one message that JSON-RPC 2.0 gives a meaning to,
// as a scanner found them. A member that occurs twice counts as it was the
// last time. The rules that make an Envelope of them are the same for every
// wire format, and live here only.
type parts struct {
	version  presence
	id       []byte // encoded; nil if absent
	idBad    bool   // of a type that ids may not have
	methodAs presence
	method   []byte
	params   []byte // encoded; nil if absent
	noParams bool   // params of a type that they may not have
	result   []byte
	err      []byte
}

// presence is what a scanner knows of a member whose value must have one
// certain form.
type presence uint8

const (
	absent presence = iota
	valid
	wrong
)

// What is wrong with an Invalid envelope, as the data of its error. Where the
// specification prints the error (section 7), it has none, and so have we.
const (
	errVersion  = `"jsonrpc" must be "2.0"`
	errID       = "id must be a string, a number or null"
	errParams   = "params must be an array or an object"
	errBigBatch = "the batch has too many messages"
)

// envelope turns p into the Envelope it stands for.
func (p *parts) envelope(lenient bool, env *Envelope) {
	env.Bare = p.version == absent && lenient
	if p.idBad {
		invalid(env, errID)
		return
	}
	env.ID = p.id
	switch {
	case p.version == wrong:
		invalid(env, errVersion)
		return
	case p.version == absent && !env.Bare:
		invalid(env, "")
		return
	}
	switch p.methodAs {
	case wrong:
		invalid(env, "")
		return
	case absent:
		if p.id == nil || p.result == nil && p.err == nil {
			invalid(env, "")
			return
		}
		env.Kind = Response
		env.Result, env.Error = p.result, p.err
		return
	}
	if p.noParams {
		invalid(env, errParams)
		return
	}
	env.Method, env.Params = p.method, p.params
	// A bare message is never a notification: clients from before JSON-RPC
	// send no id and wait for an answer all the same.
	if p.id == nil && !env.Bare {
		env.Kind = Notification
		return
	}
	env.Kind = Request
}

// invalid marks env as no message of JSON-RPC 2.0.
func invalid(env *Envelope, why string) {
	env.Kind = Invalid
	env.Err = invalidRequest(why)
}

// invalidRequest is what the sender of such a message is told.
func invalidRequest(why string) *Error {
	e := &Error{Code: CodeInvalidRequest, Message: "Invalid Request"}
	if why != "" {
		e.Data = why
	}
	return e
}

// parseError is what the sender of a malformed message is told.
func parseError() *Error {
	return &Error{Code: CodeParseError, Message: "Parse error"}
}

// appendData appends the encoding of an error's data, and reports false if
// that cannot be done. An error response must go out even if the data's own
// marshaler panics.
func appendData(c Codec, dst []byte, data any) (out []byte, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	out, err := c.AppendValue(dst, data)
	return out, err == nil
}
