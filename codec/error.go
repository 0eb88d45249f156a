package codec

import "fmt"

// Error codes of JSON-RPC 2.0, section 5.1, and the one that Wireroom adds.
const (
	CodeParseError     = -32700
	CodeInvalidRequest = -32600
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternalError  = -32603

	// CodeCancelled answers a call that rpc.cancel ended.
	CodeCancelled = -32800
)

// Error is the error object of JSON-RPC 2.0 (section 5.1). Its message is
// written for the peer.
type Error struct {
	Code    int
	Message string
	Data    any // left out when nil
}

// Error implements the error interface.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// ErrorCode returns e.Code.
func (e *Error) ErrorCode() int { return e.Code }

// ErrorData returns e.Data.
func (e *Error) ErrorData() any { return e.Data }
