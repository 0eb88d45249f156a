package actor_test

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
	"weak"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

var (
	_ encoding.TextMarshaler   = actor.WsSender{}
	_ encoding.TextUnmarshaler = (*actor.WsSender)(nil)
	_ fmt.Stringer             = actor.WsSender{}
)

func TestSenderIsOneWord(t *testing.T) {
	if got := unsafe.Sizeof(actor.WsSender{}); got != unsafe.Sizeof(uintptr(0)) {
		t.Errorf("a WsSender has %d bytes, want one word", got)
	}
}

// isClosed fails unless s behaves as the sender of a closed connection in all
// its methods, and at once.
func isClosed(t *testing.T, s actor.WsSender) {
	t.Helper()
	for name, err := range map[string]error{
		"Send": s.Send("x"), "SendBinary": s.SendBinary([]byte("x")), "SendJSON": s.SendJSON(1), "Push": s.Push("x", nil),
		"SendJSON of what cannot be encoded": s.SendJSON(func() {}), "Err": s.Err(), "cause": context.Cause(s.Context()),
	} {
		if !errors.Is(err, actor.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", name, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.CloseWith(4000, "x"); err != nil {
		t.Errorf("CloseWith: %v", err)
	}
	if err := s.CloseWith(1005, ""); err == nil {
		t.Error("CloseWith(1005): no error")
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is not closed")
	}
	if s.Buffered() != 0 || s.Context().Err() == nil {
		t.Errorf("Buffered %d, Context %v", s.Buffered(), s.Context().Err())
	}
}

func TestZeroSender(t *testing.T) {
	var s actor.WsSender
	isClosed(t, s)
	if !s.IsZero() || s.ID() != "" || s.PID() != nil || s.String() != "" {
		t.Errorf("IsZero %t, ID %q, PID %v, String %q", s.IsZero(), s.ID(), s.PID(), s.String())
	}
	text, err := s.MarshalText()
	if err != nil || string(text) != "" {
		t.Errorf("MarshalText: %q, %v", text, err)
	}
	e := newEngine(t)
	if err := e.Room("r").Join(s); !errors.Is(err, actor.ErrClosed) {
		t.Errorf("Join: %v, want ErrClosed", err)
	}
	if err := e.Room("r").Leave(s); err != nil {
		t.Errorf("Leave: %v", err)
	}
	if _, ok := e.Sender(s.PID()); ok {
		t.Error("Engine.Sender knows it")
	}
}

func TestSenderIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		var seen []actor.WsSender
		handle(t, e, "me", func(_ context.Context, from actor.WsSender, _ none) (string, error) {
			seen = append(seen, from)
			return from.ID(), nil
		})
		a, b := actortest.Connect(t, e), actortest.Connect(t, e)
		ids := make(map[actor.WsSender]string)
		for _, c := range []*actortest.Client{a, b, a, b} {
			var id string
			if err := c.Call("me", nil, &id); err != nil {
				t.Fatal(err)
			}
			from := seen[len(seen)-1]
			if was, ok := ids[from]; ok && was != id {
				t.Errorf("the ID was %s and is %s", was, id)
			}
			ids[from] = id
			if from.IsZero() || id == "" || from.String() != id || from.PID().ID != "ws/"+id {
				t.Errorf("ID %q, String %q, PID %v", id, from, from.PID())
			}
		}
		if len(ids) != 2 || seen[0] != seen[2] || seen[0] == seen[1] || ids[seen[0]] == ids[seen[1]] {
			t.Errorf("senders %v of two connections", ids)
		}
		got, ok := e.Sender(seen[0].PID())
		if !ok || got != seen[0] {
			t.Errorf("Engine.Sender: %v, %t", got, ok)
		}
		a.Close()
		synctest.Wait()
		if seen[0].ID() != ids[seen[0]] {
			t.Error("the ID changes with the end of the connection")
		}
		if _, ok := e.Sender(seen[0].PID()); ok {
			t.Error("Engine.Sender knows a connection that has ended")
		}
	})
}

func TestSenderSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxQueueBytes: 8192}})
		for _, tt := range []struct {
			name string
			send func(actor.WsSender) error
			want actortest.Received
		}{
			{"text", func(s actor.WsSender) error { return s.Send("héllo <&>") }, actortest.Received{Data: []byte("héllo <&>")}},
			{"empty", func(s actor.WsSender) error { return s.Send("") }, actortest.Received{Data: []byte{}}},
			{"binary", func(s actor.WsSender) error { return s.SendBinary([]byte{0, 0xff}) }, actortest.Received{Binary: true, Data: []byte{0, 0xff}}},
			{"no bytes", func(s actor.WsSender) error { return s.SendBinary(nil) }, actortest.Received{Binary: true, Data: []byte{}}},
			{"JSON", func(s actor.WsSender) error { return s.SendJSON(object{"a": list{1, "<b>"}}) }, actortest.Received{Data: []byte(`{"a":[1,"<b>"]}`)}},
			{"JSON null", func(s actor.WsSender) error { return s.SendJSON(nil) }, actortest.Received{Data: []byte(`null`)}},
			{
				"push", func(s actor.WsSender) error { return s.Push("m", named{"n"}) },
				actortest.Received{Method: "m", Params: []byte(`{"name":"n"}`), Data: []byte(`{"jsonrpc":"2.0","method":"m","params":{"name":"n"}}`)},
			},
			{
				"push without params", func(s actor.WsSender) error { return s.Push(`"q"`, nil) },
				actortest.Received{Method: `"q"`, Data: []byte(`{"jsonrpc":"2.0","method":"\"q\""}`)},
			},
		} {
			step(t, tt.name, func() {
				c, s := connected(t, e)
				if err := tt.send(s); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, c.Next()); diff != "" {
					t.Errorf("received (-want +got):\n%s", diff)
				}
				c.ExpectNothing(time.Minute)
			})
		}

		// In MessagePack only Push differs.
		c, s := connected(t, e, actortest.Msgpack())
		if err := errors.Join(s.Send("t"), s.SendJSON(1), s.Push("m", list{1})); err != nil {
			t.Fatal(err)
		}
		c.ExpectText("t")
		c.ExpectText("1")
		if got, want := c.Next(), "\x83\xa7jsonrpc\xa32.0\xa6method\xa1m\xa6params\x91\x01"; string(got.Data) != want || !got.Binary {
			t.Errorf("got %s, want binary %x", got, want)
		}

		// What fails is an error to the caller, and leaves the connection alone.
		for _, tt := range []struct {
			name string
			err  error
			want error // nil for any
		}{
			{"SendJSON", s.SendJSON(func() {}), nil},
			{"Push", s.Push("m", list{make(chan int)}), nil},
			{"invalid UTF-8", s.Send("\xff"), actor.ErrInvalidUTF8},
			{"too large", s.Send(strings.Repeat("x", 9000)), actor.ErrTooLarge},
			{"too large, binary", s.SendBinary(make([]byte, 9000)), actor.ErrTooLarge},
			{"too large, JSON", s.SendJSON(strings.Repeat("x", 9000)), actor.ErrTooLarge},
			{"too large, push", s.Push("m", list{strings.Repeat("x", 9000)}), actor.ErrTooLarge},
		} {
			if tt.err == nil || tt.want != nil && !errors.Is(tt.err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, tt.err, tt.want)
			}
		}
		if err := s.Send("still there"); err != nil || s.Err() != nil {
			t.Fatal(err, s.Err())
		}
		c.ExpectText("still there")
	})
}

// Verify that bytes and values belong to the caller again when a send returns.
func TestSendCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		c, s := connected(t, e)
		c.Stall()
		b := []byte("before")
		m := object{"k": "before"}
		if err := errors.Join(s.SendBinary(b), s.SendJSON(m), s.Push("m", m)); err != nil {
			t.Fatal(err)
		}
		copy(b, "after!")
		m["k"] = "after"
		c.Read()
		c.ExpectBinary([]byte("before"))
		c.ExpectText(`{"k":"before"}`)
		c.Expect("m", &m)
		if m["k"] != "before" {
			t.Errorf("pushed %v", m)
		}
	})
}

func TestSenderClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		for _, tt := range []struct {
			name  string
			close func(actor.WsSender) error
			want  actor.CloseError
		}{
			{"Close", actor.WsSender.Close, actor.CloseError{Code: 1000}},
			{"CloseWith", func(s actor.WsSender) error { return s.CloseWith(4242, "because") }, actor.CloseError{Code: 4242, Reason: "because"}},
			{"registered code", func(s actor.WsSender) error { return s.CloseWith(1012, "") }, actor.CloseError{Code: 1012}},
			{"long reason", func(s actor.WsSender) error { return s.CloseWith(3000, strings.Repeat("é", 100)) }, actor.CloseError{Code: 3000, Reason: strings.Repeat("é", 61)}},
			{"first counts", func(s actor.WsSender) error {
				return errors.Join(s.CloseWith(4001, "first"), s.CloseWith(4002, "second"), s.Close())
			}, actor.CloseError{Code: 4001, Reason: "first"}},
		} {
			step(t, tt.name, func() {
				c, s := connected(t, e)
				if err := s.Send("last"); err != nil {
					t.Fatal(err)
				}
				if s.Err() != nil || s.Context().Err() != nil {
					t.Errorf("open: Err %v, Context %v", s.Err(), s.Context().Err())
				}
				if err := tt.close(s); err != nil {
					t.Fatal(err)
				}
				if err := s.Send("too late"); !errors.Is(err, actor.ErrClosed) {
					t.Errorf("Send at once after it: %v, want ErrClosed", err)
				}
				end := c.ExpectClose()
				c.ExpectText("last")
				<-s.Done()
				var own *actor.CloseError
				if !errors.As(s.Err(), &own) || !errors.Is(s.Err(), actor.ErrClosed) {
					t.Fatalf("Err %v, want a *CloseError", s.Err())
				}
				for who, got := range map[string]*actor.CloseError{"the peer": end, "Err": own} {
					if got.Code != tt.want.Code || got.Reason != tt.want.Reason {
						t.Errorf("%s: %v, want %v", who, got, &tt.want)
					}
				}
				isClosed(t, s)
			})
		}

		c, s := connected(t, e)
		for _, code := range []int{-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000} {
			if err := s.CloseWith(code, ""); err == nil || !strings.Contains(err.Error(), fmt.Sprint(code)) {
				t.Errorf("CloseWith(%d): %v", code, err)
			}
		}
		if err := c.Call("rpc.x", nil, nil); s.Err() != nil {
			t.Errorf("the connection ended: %v, %v", s.Err(), err)
		}
	})
}

// Verify that a connection may be closed by many goroutines at once, and by
// its peer, too.
func TestSenderCloseByMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		c, s := connected(t, e)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				_ = s.Send("x")
				_ = s.Err()
				<-s.Context().Done()
				isClosed(t, s)
			})
		}
		c.Close()
		wg.Wait()
	})
}

func TestSenderBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxQueueBytes: 64 << 10}})
		c, s := connected(t, e)
		synctest.Wait()
		if got := s.Buffered(); got != 0 {
			t.Errorf("%d bytes wait when all is written", got)
		}
		c.Stall()
		var err error
		sent := 0
		for ; err == nil; sent++ {
			if err = s.Send(strings.Repeat("x", 1000)); err == nil && sent > 8 && s.Buffered() < 1000 {
				t.Fatalf("%d bytes wait after %d messages to a peer that does not read", s.Buffered(), sent+1)
			}
		}
		if !errors.Is(err, actor.ErrSlowConsumer) || sent < 60 || sent > 80 {
			t.Errorf("got %v at message %d, want ErrSlowConsumer after 64 KiB and what one read takes", err, sent)
		}
		if err := s.Send("x"); !errors.Is(err, actor.ErrClosed) {
			t.Errorf("the next: %v, want ErrClosed", err)
		}
		c.Read()
		if end := c.ExpectClose(); end.Code != transport.CloseSlowConsumer {
			t.Errorf("closed with %v, want 4508", end)
		}
		synctest.Wait()
		if !errors.Is(s.Err(), actor.ErrSlowConsumer) {
			t.Errorf("Err %v, want ErrSlowConsumer behind it", s.Err())
		}
		isClosed(t, s)
	})
}

// Verify that what each of several goroutines sends arrives in its order, and
// nothing is lost.
func TestSenderOrder(t *testing.T) {
	const goroutines, each = 8, 1000
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxQueueFrames: goroutines * each}})
		c, s := connected(t, e)
		for g := range goroutines {
			go func() {
				for i := range each {
					var err error
					if text := fmt.Sprintf("%d %d", g, i); i%2 == 0 {
						err = s.Send(text)
					} else {
						err = s.SendBinary([]byte(text))
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			}()
		}
		var next [goroutines]int
		for range goroutines * each {
			var g, i int
			if _, err := fmt.Sscan(string(c.Next().Data), &g, &i); err != nil || i != next[g] {
				t.Fatalf("goroutine %d: message %d came, want %d (%v)", g, i, next[g], err)
			}
			next[g]++
		}
		c.ExpectNothing(time.Second)
	})
}

// Verify that a sender travels inside messages, in both codecs, and can be
// turned into one that sends.
func TestSenderInMessages(t *testing.T) {
	type carrier struct {
		From actor.WsSender            `json:"from"`
		None actor.WsSender            `json:"none"`
		All  []actor.WsSender          `json:"all"`
		Map  map[string]actor.WsSender `json:"map"`
	}
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		handle(t, e, "give", func(_ context.Context, from actor.WsSender, _ none) (carrier, error) {
			return carrier{from, actor.WsSender{}, []actor.WsSender{from}, map[string]actor.WsSender{"k": from}}, nil
		})
		handle(t, e, "take", func(_ context.Context, from actor.WsSender, p carrier) (none, error) {
			for _, s := range append(p.All, p.From, p.Map["k"]) {
				if s == from || s.ID() != from.ID() || s.IsZero() || s.PID().ID != from.PID().ID {
					t.Errorf("decoded %v, want only the address of %v", s, from)
				}
				isClosed(t, s)
				if err := e.Room("r").Join(s); !errors.Is(err, actor.ErrClosed) {
					t.Errorf("Join: %v", err)
				}
				got, ok := e.Sender(s.PID())
				if !ok || got != from {
					t.Errorf("Engine.Sender: %v, %t, want %v", got, ok, from)
				}
				if err := got.Send("hello"); err != nil {
					t.Error(err)
				}
			}
			if !p.None.IsZero() {
				t.Errorf("the zero sender came back as %v", p.None)
			}
			return none{}, nil
		})
		c := actortest.Connect(t, e, codec...)
		var got carrier
		if err := c.Call("give", nil, &got); err != nil {
			t.Fatal(err)
		}
		if err := c.Call("take", got, nil); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			c.ExpectText("hello")
		}
	})

	for _, bad := range []string{"x", "local", "local/", "local/ws", "local/room/x", "/", "ws/x"} {
		var s actor.WsSender
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("UnmarshalText(%q): no error", bad)
		}
	}
}

// Verify that messages to the PID of a connection reach its peer.
func TestSendToPID(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		c, s := connected(t, e, codec...)
		e.Send(s.PID(), actor.Text("text"))
		e.Send(s.PID(), actor.Binary("binary"))
		e.Send(s.PID(), actor.JSON{Value: list{1}})
		e.Send(s.PID(), actor.Push{Method: "m", Params: named{"n"}})
		e.Send(s.PID(), actor.Close{Code: 4007, Reason: "seven"})
		c.ExpectText("text")
		c.ExpectBinary([]byte("binary"))
		c.ExpectText("[1]")
		var p named
		c.Expect("m", &p)
		if end := c.ExpectClose(); p.Name != "n" || end.Code != 4007 || end.Reason != "seven" {
			t.Errorf("pushed %v, closed with %v", p, end)
		}
	})
}

// Verify that a sender that is kept keeps nothing of the connection behind it.
func TestSenderDoesNotPin(t *testing.T) {
	var kept []actor.WsSender
	var conns []weak.Pointer[transport.Conn]
	var handshakes []weak.Pointer[actor.Handshake]
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		register(t, e, wantsHandshake{})
		handle(t, e, "keep", func(ctx context.Context, from actor.WsSender, hs *actor.Handshake) (none, error) {
			kept = append(kept, from)
			conns = append(conns, weak.Make(actor.TransportConn(from)))
			handshakes = append(handshakes, weak.Make(hs))
			<-from.Done() // makes its context
			return none{}, nil
		}, actor.Concurrent(1))
		for i := range 10 {
			c := actortest.Connect(t, e)
			c.Notify("keep", nil)
			synctest.Wait()
			switch i % 3 {
			case 0:
				c.Close()
			case 1:
				c.Cut()
			case 2:
				kept[i].Close()
			}
			time.Sleep(time.Minute)
			isClosed(t, kept[i])
		}
	})
	alive := 0
	for range 5 { // finished goroutines and pools let go of things one cycle later
		runtime.GC()
		alive = 0
		for i := range conns {
			if conns[i].Value() != nil {
				alive++
			}
			if handshakes[i].Value() != nil {
				alive++
			}
		}
	}
	if len(kept) != 10 || alive > 0 {
		t.Errorf("%d of %d connections and handshakes are still there", alive, 2*len(kept))
	}
	runtime.KeepAlive(kept)
}
