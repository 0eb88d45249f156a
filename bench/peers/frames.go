package main

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// frames is the state of a connection whose bytes come in any pieces, for
// libraries that know nothing of WebSocket.
type frames struct {
	upgraded bool
	op       ws.OpCode    // of the message that is under way in fragments, or 0
	parts    bytes.Buffer // what has come of it
}

var (
	errClosed  = errors.New("the client has closed")
	errTooLong = errors.New("message too long")
	errUTF8    = errors.New("text that is not UTF-8")
)

// parse handles the whole frames at the beginning of b, which it unmasks in
// place, and returns where they end. What is to be sent goes to out; that is so
// also if there is an error, after which the connection is to be closed.
func (f *frames) parse(b []byte, out *bytes.Buffer, message func(ws.OpCode, []byte, *bytes.Buffer) error) (n int, err error) {
	var scratch [ws.MaxHeaderSize]byte
	var r bytes.Reader
	for n < len(b) {
		r.Reset(b[n:])
		h, err := ws.ReadHeaderBuffer(&r, scratch[:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n, nil
		}
		if err == nil {
			err = f.check(h)
		}
		if err != nil {
			return n, fail(out, err)
		}
		if int64(r.Len()) < h.Length {
			return n, nil
		}
		from := len(b) - r.Len()
		n = from + int(h.Length)
		payload := b[from:n]
		ws.Cipher(payload, h.Mask, 0)
		if err := f.frame(h, payload, out, message); err != nil {
			return n, fail(out, err)
		}
	}
	return n, nil
}

func (f *frames) check(h ws.Header) error {
	state := ws.StateServerSide
	if f.op != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return err
	}
	if h.Length > messageLimit || int64(f.parts.Len())+h.Length > messageLimit {
		return errTooLong
	}
	return nil
}

func (f *frames) frame(h ws.Header, payload []byte, out *bytes.Buffer, message func(ws.OpCode, []byte, *bytes.Buffer) error) error {
	switch {
	case h.OpCode == ws.OpPing:
		return appendFrame(out, ws.OpPong, payload)
	case h.OpCode == ws.OpPong:
		return nil
	case h.OpCode == ws.OpClose:
		// It writes the answer, and then tells of the close, too.
		_ = wsutil.HandleClientControlMessage(out, wsutil.Message{OpCode: h.OpCode, Payload: payload})
		return errClosed
	case h.Fin && f.op == 0:
		return text(h.OpCode, payload, out, message)
	}
	if f.op == 0 {
		f.op = h.OpCode
	}
	f.parts.Write(payload)
	if !h.Fin {
		return nil
	}
	err := text(f.op, f.parts.Bytes(), out, message)
	f.op, f.parts = 0, bytes.Buffer{}
	return err
}

// text hands over a message, unless it is text that is none.
func text(op ws.OpCode, payload []byte, out *bytes.Buffer, message func(ws.OpCode, []byte, *bytes.Buffer) error) error {
	if op == ws.OpText && !utf8.Valid(payload) {
		return errUTF8
	}
	return message(op, payload, out)
}

// fail says goodbye for a reason, and returns it.
func fail(out *bytes.Buffer, err error) error {
	code := ws.StatusProtocolError
	switch {
	case errors.Is(err, errClosed):
		return err
	case errors.Is(err, errTooLong):
		code = ws.StatusMessageTooBig
	case errors.Is(err, errUTF8):
		code = ws.StatusInvalidFramePayloadData
	}
	return errors.Join(err, appendFrame(out, ws.OpClose, ws.NewCloseFrameBody(code, "")))
}

// appendFrame appends a frame as a server sends it.
func appendFrame(out *bytes.Buffer, op ws.OpCode, payload []byte) error {
	return wsutil.WriteServerMessage(out, op, payload)
}
