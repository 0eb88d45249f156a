package codec_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wireroom/wireroom/codec"
)

// chat is a parameter struct of the usual kind.
type chat struct {
	Room string   `json:"room"`
	Text string   `json:"text"`
	N    int      `json:"n"`
	F    float64  `json:"f"`
	OK   bool     `json:"ok"`
	Tags []string `json:"tags"`
}

// chatRequest returns a request that is about size bytes long in JSON.
func chatRequest(tb testing.TB, c codec.Codec, size int) []byte {
	id, _ := c.AppendValue(nil, 12345)
	params := chat{Room: "lobby", N: 12345, F: 1.5, OK: true, Tags: []string{"a", "b"}}
	json, err := codec.JSON(nil).AppendRequest(nil, []byte("12345"), "chat.say", params)
	if err != nil {
		tb.Fatal(err)
	}
	params.Text = strings.Repeat("hello <b> world ", size)[:max(0, size-len(json))]
	msg, err := c.AppendRequest(nil, id, "chat.say", params)
	if err != nil {
		tb.Fatal(err)
	}
	return msg
}

// each runs f for every codec and size of message.
func each(b *testing.B, f func(b *testing.B, c codec.Codec, msg []byte)) {
	for _, kind := range []string{"json", "msgpack"} {
		c := codecs(nil)[kind]
		for _, size := range []int{125, 1024} {
			b.Run(fmt.Sprintf("%s/%dB", kind, size), func(b *testing.B) {
				msg := chatRequest(b, c, size)
				b.ReportAllocs()
				b.SetBytes(int64(len(msg)))
				f(b, c, msg)
			})
		}
	}
}

func BenchmarkSplit(b *testing.B) {
	each(b, func(b *testing.B, c codec.Codec, msg []byte) {
		envs := make([]codec.Envelope, 0, 1)
		for b.Loop() {
			envs, _, _ = c.Split(envs[:0], msg)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	each(b, func(b *testing.B, c codec.Codec, msg []byte) {
		envs, _, _ := c.Split(nil, msg)
		for b.Loop() {
			var v chat
			if err := c.Decode(envs[0].Params, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeAny(b *testing.B) {
	each(b, func(b *testing.B, c codec.Codec, msg []byte) {
		envs, _, _ := c.Split(nil, msg)
		for b.Loop() {
			var v any
			if err := c.Decode(envs[0].Params, &v); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecodeInt(b *testing.B) {
	for _, kind := range []string{"json", "msgpack"} {
		c := codecs(nil)[kind]
		raw, _ := c.AppendValue(nil, 12345)
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			v := new(int)
			for b.Loop() {
				_ = c.Decode(raw, v)
			}
		})
	}
}

func BenchmarkAppendResult(b *testing.B) {
	each(b, func(b *testing.B, c codec.Codec, msg []byte) {
		envs, _, _ := c.Split(nil, msg)
		var v chat
		if err := c.Decode(envs[0].Params, &v); err != nil {
			b.Fatal(err)
		}
		out := make([]byte, 0, 4096)
		for b.Loop() {
			out, _ = c.AppendResult(out[:0], envs[0].ID, false, &v)
		}
	})
}

func BenchmarkAppendResultString(b *testing.B) {
	for _, kind := range []string{"json", "msgpack"} {
		c := codecs(nil)[kind]
		id, _ := c.AppendValue(nil, 12345)
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			out := make([]byte, 0, 4096)
			var v any = "hello, world"
			for b.Loop() {
				out, _ = c.AppendResult(out[:0], id, false, v)
			}
		})
	}
}

func BenchmarkAppendError(b *testing.B) {
	for _, kind := range []string{"json", "msgpack"} {
		c := codecs(nil)[kind]
		id, _ := c.AppendValue(nil, 12345)
		e := &codec.Error{Code: codec.CodeMethodNotFound, Message: "Method not found"}
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			out := make([]byte, 0, 4096)
			for b.Loop() {
				out = c.AppendError(out[:0], id, false, e)
			}
		})
	}
}

func BenchmarkMembers(b *testing.B) {
	each(b, func(b *testing.B, c codec.Codec, msg []byte) {
		envs, _, _ := c.Split(nil, msg)
		n := 0
		count := func(_, value []byte) bool { n += len(value); return true }
		for b.Loop() {
			c.Members(envs[0].Params, count)
		}
	})
}
