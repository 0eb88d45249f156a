package actor_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// clerk has a method that never waits and one that may.
type clerk struct{}

func (clerk) Quick(n int) int { return n }
func (clerk) Slow(n int) int  { return n }

// Verify that a call which never waits does not overtake one that came before it
// in the same read, with a cancellation between them.
func TestNonBlockingBehindCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		if err := e.Register(clerk{}, actor.Method("Quick", actor.NonBlocking())); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		e.ServeConn(far)
		if _, err := io.WriteString(near, "GET / HTTP/1.1\r\nHost: pipe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(near)
		if _, err := http.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		var read []byte
		for _, m := range []string{
			`{"jsonrpc":"2.0","id":1,"method":"quick","params":[1]}`,
			`{"jsonrpc":"2.0","id":2,"method":"slow","params":[2]}`,
			`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":9}}`,
			`{"jsonrpc":"2.0","id":3,"method":"quick","params":[3]}`,
			`{"jsonrpc":"2.0","id":4,"method":"slow","params":[4]}`,
		} {
			read = append(append(read, 0x81, 0x80|byte(len(m)), 0, 0, 0, 0), m...)
		}
		go near.Write(read)
		var got []int
		for range 4 {
			var head [2]byte
			if _, err := io.ReadFull(r, head[:]); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, head[1])
			if _, err := io.ReadFull(r, p); err != nil {
				t.Fatal(err)
			}
			var reply struct{ Result int }
			if err := json.Unmarshal(p, &reply); err != nil {
				t.Fatal(fmt.Errorf("%w: %s", err, p))
			}
			got = append(got, reply.Result)
		}
		if want := []int{1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("replies %v, want %v", got, want)
		}
		_ = near.Close()
	})
}
