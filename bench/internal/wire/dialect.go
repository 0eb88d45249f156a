package wire

import (
	"bytes"
	"strings"
)

// Dialect is how a server wants messages dressed that does not take them as
// they are: one with a protocol of its own above WebSocket. Its messages must
// be text, and carry payloads unchanged.
type Dialect struct {
	Path    string            `json:"path,omitempty"`    // to ask for, instead of that of the app
	Hello   []string          `json:"hello,omitempty"`   // to send after the upgrade
	Ready   []string          `json:"ready,omitempty"`   // what must have come, each as part of some message, before the connection is ready
	Before  string            `json:"before,omitempty"`  // stands before a payload on its way to the server
	After   string            `json:"after,omitempty"`   // and after it
	Answers map[string]string `json:"answers,omitempty"` // messages that want an answer, such as pings, and what it is
}

// Dress has a message travel between what the dialect demands.
func (m *Message) Dress(d *Dialect) {
	payload := d.Before + zeros + ":" + zeros + ":" + m.text + d.After
	at := len(d.Before)
	m.size = MinText + len(m.text)
	m.build(OpText, payload, hole{at, connDigits}, hole{at + digits + 1, seqDigits})
}

// Undress calls yield for each payload in a message of the dialect. Of messages
// without any, it takes no notice.
func (m *Message) Undress(f Frame, yield func(Frame)) {
	for b := f.Payload; ; {
		i := bytes.Index(b, []byte(m.text))
		if i < 0 {
			return
		}
		end := i + len(m.text)
		if i >= MinText {
			yield(Frame{Op: f.Op, Payload: b[i-MinText : end]})
		}
		b = b[end:]
	}
}

// Answer returns the frames that a message wants as an answer, if any.
func (d *Dialect) Answer(f Frame) []byte {
	answer, ok := d.Answers[strings.TrimSpace(string(f.Payload))]
	if !ok {
		return nil
	}
	return appendText(nil, answer)
}

// Greeting returns the frames that open the conversation.
func (d *Dialect) Greeting() []byte {
	var out []byte
	for _, h := range d.Hello {
		out = appendText(out, h)
	}
	return out
}

func appendText(dst []byte, text string) []byte {
	return AppendFrame(dst, OpText, [4]byte{9, 8, 7, 6}, []byte(text))
}

// Greeted reports whether f, the next message of a greeting of which n parts
// have been there, brings how many of them.
func (d *Dialect) Greeted(n int, f Frame) int {
	for n < len(d.Ready) && bytes.Contains(f.Payload, []byte(d.Ready[n])) {
		n++
	}
	return n
}
