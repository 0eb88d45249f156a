package actor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// wirePeer is a peer that decides what goes out in one write, and shows what
// comes.
type wirePeer struct {
	framer
	got chan string // closed at the end
}

// dialWire does the opening handshake on nc.
func dialWire(t *testing.T, nc net.Conn) *wirePeer {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	_, err := io.WriteString(nc, "GET /ws HTTP/1.1\r\nHost: pipe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(nc)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	p := &wirePeer{framer: framer{t, nc}, got: make(chan string, 1<<14)}
	go func() {
		defer close(p.got)
		for {
			var head [4]byte
			if _, err := io.ReadFull(r, head[:2]); err != nil {
				return
			}
			n := int(head[1])
			if n == 126 {
				if _, err := io.ReadFull(r, head[2:]); err != nil {
					return
				}
				n = int(head[2])<<8 | int(head[3])
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(r, b); err != nil || head[0]&0xf == 8 {
				return
			}
			p.got <- string(b)
		}
	}()
	return p
}

// next returns the next message, and whether there is one.
func (p *wirePeer) next() (string, bool) {
	p.t.Helper()
	select {
	case s, ok := <-p.got:
		return s, ok
	case <-time.After(20 * time.Second):
		p.t.Fatal("nothing came")
		return "", false
	}
}

// want fails unless these messages come next.
func (p *wirePeer) want(messages ...string) {
	p.t.Helper()
	for i, m := range messages {
		if got, ok := p.next(); got != m || !ok {
			p.t.Fatalf("message %d of %d: %s (%v), want %s", i, len(messages), got, ok, m)
		}
	}
}

// onBoth runs f with a peer over net.Pipe in virtual time, and with one over
// TCP, which is polled where that works. dial connects further peers.
func onBoth(t *testing.T, o *actor.Options, f func(t *testing.T, e *actor.Engine, dial func() *wirePeer)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, _ := listEngine(t, o)
			f(t, e, func() *wirePeer {
				client, server := newPipe()
				e.ServeConn(server)
				return dialWire(t, client)
			})
		})
	})
	t.Run("TCP", func(t *testing.T) {
		e, _ := listEngine(t, o)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		go e.Serve(l)
		f(t, e, func() *wirePeer {
			nc, err := net.Dial("tcp", l.Addr().String())
			check(t, err)
			_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
			return dialWire(t, nc)
		})
	})
}

func request(method string, param, id any) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%q],"id":%v}`, method, fmt.Sprint(param), id)
}

func notice(method string, param any) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"params":[%q]}`, method, fmt.Sprint(param))
}

func answer(result, id any) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","result":%q,"id":%v}`, fmt.Sprint(result), id)
}

func refusal(code int, text string, id any) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","error":{"code":%d,"message":%q},"id":%v}`, code, text, id)
}

// swift has methods that do not wait, and one that does.
type swift struct {
	tally
	gate *turnstile
}

func newSwift(t *testing.T, e *actor.Engine) *swift {
	t.Helper()
	s := &swift{gate: newTurnstile()}
	register(t, e, s, actor.Each(actor.NonBlocking()), actor.Method("Slow", actor.Skip()))
	handle(t, e, "slow", func(_ context.Context, _ actor.WsSender, p string) (string, error) {
		s.gate.begun <- p
		<-s.gate.open
		return s.Note(p), nil
	})
	handle(t, e, "later", func(_ context.Context, _ actor.WsSender, p string) (string, error) { return s.Note(p), nil })
	return s
}

func (*swift) Slow() {}

func (s *swift) Quit(text string) string {
	s.Note(text)
	runtime.Goexit()
	return text
}

// begun waits until the waiting method has been called.
func (s *swift) began(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.gate.begun:
		if got != want {
			t.Fatalf("%q has begun, want %q", got, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("%q has not begun", want)
	}
}

// Verify that calls of one connection run in order, whether they wait or not,
// in one read and in several, with rpc.cancel between them.
func TestNonBlockingOrder(t *testing.T) {
	for _, script := range []string{
		"S1 n2", "n1 S2", "n1 n2 S3 n4 w5 n6", "w1 n2 S3 n4", "m S2 m n4", "S1 c n3", "n1 S2 c n4 w5", "c n2 S3 n4", "n1 S2 C3 n4",
		"n1 B2 n3", "S1 B2 n3", "n1 S2 c m c m n7 w8", "n1 c S3 n4 c n6",
	} {
		var in, calls, replies []string
		slow := 0 // where a call stands that waits
		for i, word := range strings.Fields(script) {
			id := word[1:]
			switch word[0] {
			case 'n', 'w', 'S', 'B':
				calls = append(calls, word)
			}
			switch word[0] {
			case 'n':
				in, replies = append(in, request("note", word, id)), append(replies, answer(word, id))
			case 'w':
				in, replies = append(in, request("later", word, id)), append(replies, answer(word, id))
			case 'm':
				in, calls = append(in, notice("note", "m")), append(calls, "m")
			case 'S':
				in, replies, slow = append(in, request("slow", word, id)), append(replies, answer(word, id)), i
			case 'B':
				if slow == 0 && !strings.Contains(script, "S") {
					slow = i
					in, replies = append(in, "["+request("slow", word, id)+"]"), append(replies, "["+answer(word, id)+"]")
				} else {
					in, replies = append(in, "["+request("note", word, id)+"]"), append(replies, "["+answer(word, id)+"]")
				}
			case 'c':
				in = append(in, `{"jsonrpc":"2.0","method":"rpc.cancel","params":[999]}`)
			case 'C':
				in = append(in, `{"jsonrpc":"2.0","method":"rpc.cancel","params":[999],"id":`+id+`}`)
				replies = append(replies, `{"jsonrpc":"2.0","result":null,"id":`+id+`}`)
			}
		}
		for _, apart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, apart %v", script, apart), func(t *testing.T) {
				onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
					s := newSwift(t, e)
					p := dial()
					first, then := in, []string(nil)
					if apart {
						first, then = in[:slow+1], in[slow+1:]
					}
					p.frames(first...)
					s.began(t, strings.Fields(script)[slow])
					p.frames(then...)
					s.gate.opened(1)
					p.want(replies...)
					if diff := cmp.Diff(calls, s.take()); diff != "" {
						t.Errorf("calls (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// Verify that the replies to the calls of one read leave in one write, and that
// notifications, unknown methods and wrong parameters among them do no harm.
func TestNonBlockingReplies(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
		s := newSwift(t, e)
		p := dial()
		p.frames(request("note", "first", 0))
		p.want(answer("first", 0))
		s.take()
		writes := func(n uint64) bool { return e.Stats().Writes >= n }
		for begin := time.Now(); !writes(1) && time.Since(begin) < 20*time.Second; {
			time.Sleep(time.Millisecond) // it is counted a moment after the peer has it
		}
		for range 5 {
			var in, want, calls []string
			for i := range 20 { // fewer bytes than any read takes
				in, want = append(in, request("note", i, i)), append(want, answer(i, i))
				in = append(in, notice("note", i))
				calls = append(calls, fmt.Sprint(i), fmt.Sprint(i))
			}
			in = append(in, `{"jsonrpc":"2.0","method":"note","params":[1,2,3],"id":20}`)
			p.frames(in...)
			p.want(want...)
			if got, _ := p.next(); !strings.Contains(got, "-32602") {
				t.Errorf("got %s", got)
			}
			if diff := cmp.Diff(calls, s.take()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		}
		for begin := time.Now(); !writes(6) && time.Since(begin) < 20*time.Second; {
			time.Sleep(time.Millisecond)
		}
		// A write that is just ending when the next read comes takes some of its
		// replies along.
		if n := e.Stats().Writes; n < 6 || n > 11 {
			t.Errorf("%d writes for 6 reads with 126 replies", n)
		}
	})
}

// Verify that a burst of calls to a peer that reads is answered, call by call,
// and is no reason to close: one read can bring more calls than MaxQueueFrames.
func TestNonBlockingBurst(t *testing.T) {
	for _, method := range []string{"n", "w"} {
		t.Run(method, func(t *testing.T) {
			onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
				nop := func(context.Context, actor.WsSender, none) (int, error) { return 0, nil }
				handle(t, e, "n", nop, actor.NonBlocking())
				handle(t, e, "w", nop)
				p := dial()
				const n = 5000
				var in, want []string
				for i := range n {
					in = append(in, fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"id":%d}`, method, i))
					want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","result":0,"id":%d}`, i))
				}
				go p.frames(in...)
				p.want(want...)
			})
		})
	}
}

// Verify that invalid messages are answered, in their turn.
func TestNonBlockingInvalid(t *testing.T) {
	bad := refusal(-32700, "Parse error", "null")
	onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
		s := newSwift(t, e)
		p := dial()
		p.frames("{")
		p.want(bad)
		p.frames(request("note", "a", 1), "{", request("note", "b", 2))
		p.want(answer("a", 1), bad, answer("b", 2))
		p.frames(request("slow", "c", 3), "{", request("note", "d", 4))
		s.began(t, "c")
		s.gate.opened(1)
		p.want(answer("c", 3), bad, answer("d", 4))
		p.frames(request("note", "e", 5), request("nothing", "", 6), `[]`, request("note", "f", 7))
		p.want(answer("e", 5), refusal(-32601, "Method not found", 6), refusal(-32600, "Invalid Request", "null"), answer("f", 7))
	})
}

// Verify that what goes wrong in a method that does not wait is contained as in
// one that does. Only one that ends its goroutine ends its connection, too, as
// that was the reader's: the others go on.
func TestNonBlockingFailures(t *testing.T) {
	onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
		s := newSwift(t, e)
		p, other := dial(), dial()
		internal := func(id any) string { return refusal(-32603, "Internal error", id) }
		p.frames(request("fail", "a", 1), request("note", "b", 2), request("boom", "c", 3), notice("boom", "d"), request("note", "e", 4))
		p.want(internal(1), answer("b", 2), internal(3), answer("e", 4))
		if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, s.take()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		for range 3 {
			p.frames(request("note", "f", 5), request("quit", "g", 6), request("note", "h", 7))
			for ok := true; ok; {
				_, ok = p.next() // replies may get through, or not
			}
			if got := s.take(); slices.Contains(got, "h") || !slices.Contains(got, "g") {
				t.Errorf("calls %v", got)
			}
			other.frames(request("note", "still there", 8))
			other.want(answer("still there", 8))
			s.take()
			p = dial()
		}
		p.frames(request("note", "i", 9))
		p.want(answer("i", 9))
	})
}

// Verify that rpc.cancel finds a call that waits in the same read, and one that
// is behind it.
func TestNonBlockingCancel(t *testing.T) {
	cancel := func(id int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","method":"rpc.cancel","params":[%d]}`, id) }
	onBoth(t, nil, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
		s := newSwift(t, e)
		p := dial()
		for range 5 {
			p.frames(request("note", "a", 1), request("slow", "b", 2), request("later", "c", 3), request("note", "d", 4), cancel(3), cancel(4), request("note", "e", 5))
			s.began(t, "b")
			s.gate.opened(1)
			cancelled := "request cancelled"
			p.want(answer("a", 1), answer("b", 2), refusal(-32800, cancelled, 3), refusal(-32800, cancelled, 4), answer("e", 5))
			if diff := cmp.Diff([]string{"a", "b", "e"}, s.take()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			p.frames(request("later", "f", 6), cancel(6), request("note", "g", 7))
			p.want(refusal(-32800, cancelled, 6), answer("g", 7))
			s.take()
		}
	})
}

// Verify what is refused at registration, and that Methods shows the rest.
func TestNonBlockingRegistration(t *testing.T) {
	e := newEngine(t)
	nop := func(context.Context, actor.WsSender, none) (none, error) { return none{}, nil }
	spawn := func(opts ...actor.ServiceOption) error {
		_, err := e.SpawnService(&tally{}, opts...)
		return err
	}
	for name, err := range map[string]error{
		"Handle, Concurrent":       actor.Handle(e, "x", nop, actor.NonBlocking(), actor.Concurrent(2)),
		"Handle, Concurrent first": actor.Handle(e, "x", nop, actor.Concurrent(1), actor.NonBlocking()),
		"Register, Concurrent":     e.Register(&tally{}, actor.Each(actor.NonBlocking()), actor.Method("Note", actor.Concurrent(2))),
		"SpawnService":             spawn(actor.Method("Note", actor.NonBlocking())),
		"SpawnService, all":        spawn(actor.Each(actor.NonBlocking())),
	} {
		if err == nil || !strings.Contains(err.Error(), "NonBlocking") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := names(e); len(got) != 0 {
		t.Errorf("%v has been registered", got)
	}
	check(t, e.Register(&tally{}, actor.Method("Note", actor.NonBlocking())))
	check(t, actor.Handle(e, "x", nop, actor.NonBlocking()))
	got := make(map[string]bool)
	for _, m := range e.Methods() {
		got[m.Name] = m.NonBlocking
	}
	if diff := cmp.Diff(map[string]bool{"note": true, "fail": false, "boom": false, "x": true}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Verify that Options.NonBlocking has OnMessage called in order, with replies
// that leave together, and that panics and runtime.Goexit in it are contained.
func TestNonBlockingOnMessage(t *testing.T) {
	for _, nonBlocking := range []bool{true, false} {
		t.Run(fmt.Sprint(nonBlocking), func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			onBoth(t, &actor.Options{NonBlocking: nonBlocking, OnMessage: func(_ context.Context, from actor.WsSender, m actor.Message) {
				mu.Lock()
				seen = append(seen, string(m.Data))
				mu.Unlock()
				switch string(m.Data) {
				case "boom":
					panic("boom")
				case "quit":
					runtime.Goexit()
				}
				_ = from.Send(string(m.Data))
			}}, func(t *testing.T, e *actor.Engine, dial func() *wirePeer) {
				mu.Lock()
				seen = nil
				mu.Unlock()
				p, other := dial(), dial()
				var in []string
				for i := range 100 { // which is far less than half a queue
					in = append(in, fmt.Sprint(i))
				}
				p.frames(in...)
				p.want(in...)
				p.frames(in...)
				p.want(in...)
				for begin := time.Now(); e.Stats().Writes < 2 && time.Since(begin) < 20*time.Second; {
					time.Sleep(time.Millisecond) // it is counted a moment after the peer has it
				}
				if n := e.Stats().Writes; n != 2 && nonBlocking {
					t.Errorf("%d writes for 2 reads", n)
				}
				p.frames("a", "boom", "{", "b")
				p.want("a", "{", "b")
				mu.Lock()
				if diff := cmp.Diff(slices.Concat(in, in, []string{"a", "boom", "{", "b"}), seen); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				mu.Unlock()
				p.frames("c", "quit")
				if nonBlocking {
					for ok := true; ok; {
						_, ok = p.next()
					}
				} else {
					p.want("c")
					p.frames("d")
					p.want("d")
				}
				other.frames("still there")
				other.want("still there")
			})
		})
	}
}

// ---- rooms

// Verify that broadcasts that are delivered together come to each member
// exactly as far as they do not except it, in order, in both codecs.
func TestExceptInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		const members, rounds = 7, 20
		var cs []*actortest.Client
		var ss []actor.WsSender
		for i := range members {
			var opts []actortest.Option
			if i%3 == 2 {
				opts = append(opts, actortest.Msgpack())
			}
			c, s := meet(t, e, opts...)
			cs, ss = append(cs, c), append(ss, s)
			check(t, r.Join(s))
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		before := e.Stats().Deliveries
		total := 0
		for round := range rounds {
			release := holdRoom(t, r)
			var want [members][]int
			for i := range 1 + rnd.IntN(150) { // more than are delivered together
				var opts []actor.BroadcastOption
				mask := 0
				if rnd.IntN(4) == 0 {
					mask = rnd.IntN(1 << members)
				}
				for k := range members {
					if mask>>k&1 == 1 {
						opts = append(opts, actor.Except(ss[k]))
					} else {
						want[k] = append(want[k], i)
						total++
					}
				}
				check(t, r.Broadcast("m", []int{i}, opts...))
			}
			release()
			for k, c := range cs {
				for _, i := range want[k] {
					var got []int
					if c.Expect("m", &got); got[0] != i {
						t.Fatalf("round %d: member %d got %d, want %d", round, k, got[0], i)
					}
				}
			}
		}
		for _, c := range cs {
			c.ExpectNothing(time.Minute)
		}
		if n := e.Stats().Deliveries - before; n != uint64(total) {
			t.Errorf("%d deliveries, want %d", n, total)
		}
	})
}

// Verify that broadcasts that wait together and are too much for one batch come
// in several, in order, with Except among them, also to a member that takes its
// time.
func TestLargeBroadcastsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		a, sa := meet(t, e)
		b, sb := meet(t, e)
		check(t, r.Join(sa))
		check(t, r.Join(sb))
		sizes := []int{1, 60_000, 6_000, 40_000, 30_000, 10, 65_000, 20, 20_000, 20_000, 20_000, 20_000, 63_000, 1, 1}
		message := func(i int) string { return fmt.Sprintf("%d %s", i, strings.Repeat("x", sizes[i])) }
		release := holdRoom(t, r)
		before := e.Stats().Writes
		for i := range sizes {
			var opts []actor.BroadcastOption
			if i%4 == 3 {
				opts = append(opts, actor.Except(sb))
			}
			check(t, r.BroadcastText(message(i), opts...))
		}
		b.Stall()
		release()
		for i := range sizes {
			a.ExpectText(message(i))
		}
		time.Sleep(time.Second)
		b.Read()
		for i := range sizes {
			if i%4 != 3 {
				b.ExpectText(message(i))
			}
		}
		a.ExpectNothing(time.Second)
		b.ExpectNothing(time.Second)
		if n := e.Stats().Writes - before; n == 0 {
			t.Error("no writes")
		}
		if a.Err() != nil || b.Err() != nil {
			t.Error(errors.Join(a.Err(), b.Err()))
		}
	})
}
