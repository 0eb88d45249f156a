package actor_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// endings is a service that notes how connections end.
type endings struct {
	mu  sync.Mutex
	all map[actor.WsSender]error
}

func (s *endings) OnDisconnect(from actor.WsSender, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[actor.WsSender]error)
	}
	s.all[from] = err
}

func (s *endings) of(from actor.WsSender) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[from]
}

// Verify that a member that does not read is closed with 4508 when its queue is
// at its bound, in bytes or in frames, and that the others get everything
// meanwhile, without any delay.
func TestSlowMember(t *testing.T) {
	const size = 1000
	tests := []struct {
		name      string
		transport transport.Options
		text      string
		bound     int // broadcasts that a queue holds, one being written not counted
	}{
		{"bytes", transport.Options{MaxQueueBytes: 10 * (size + 4)}, strings.Repeat("x", size), 10},
		{"frames", transport.Options{MaxQueueFrames: 5}, strings.Repeat("x", size), 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := meetEngine(t, &actor.Options{Transport: tt.transport})
				ends := new(endings)
				check(t, e.Register(ends))
				r := e.Room("r")
				var cs []*actortest.Client
				var slow actor.WsSender
				for i := range 3 {
					c, s := meet(t, e)
					check(t, r.Join(s))
					if cs = append(cs, c); i == 1 {
						slow = s
					}
				}
				check(t, e.Room("other").Join(slow))
				cs[1].Stall()
				// What is being read when a client stalls still arrives.
				check(t, slow.Send("last"))
				synctest.Wait()
				start := time.Now()
				sent := 0
				for ; r.Len() == 3 && sent < 100; sent++ {
					check(t, r.BroadcastText(tt.text))
					synctest.Wait()
					if n := slow.Buffered(); n > 10*(size+4) {
						t.Errorf("%d bytes wait", n)
					}
				}
				if sent < tt.bound || sent > tt.bound+2 {
					t.Errorf("%d broadcasts, want about %d", sent, tt.bound)
				}
				for range 5 {
					check(t, r.BroadcastText("more"))
				}
				for _, i := range []int{0, 2} {
					for range sent {
						cs[i].ExpectText(tt.text)
					}
					for range 5 {
						cs[i].ExpectText("more")
					}
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("the others waited %v", d)
				}
				if err := slow.Send("x"); !errors.Is(err, actor.ErrClosed) {
					t.Errorf("send to the slow one: %v", err)
				}
				ev := eventsOf[actor.SlowConsumer](log)
				if len(ev) != 1 || ev[0].Room != "r" || ev[0].Sender != slow {
					t.Errorf("events %+v", ev)
				}
				if st := e.Stats(); st.SlowConsumers != 1 || st.DroppedSlow == 0 {
					t.Errorf("Stats: %d slow consumers, %d dropped", st.SlowConsumers, st.DroppedSlow)
				}
				<-slow.Done()
				synctest.Wait()
				if err := ends.of(slow); !errors.Is(err, actor.ErrSlowConsumer) || !errors.Is(err, actor.ErrClosed) {
					t.Errorf("OnDisconnect with %v", err)
				}
				var ce *actor.CloseError
				if !errors.As(slow.Err(), &ce) || ce.Code != transport.CloseSlowConsumer {
					t.Errorf("ended with %v", slow.Err())
				}
				if n := e.Stats().Rooms; n != 1 {
					t.Errorf("%d rooms", n)
				}
			})
		})
	}
}

// Verify that a slow consumer that reads in time is told why it is closed, and
// gets the beginning of what it was sent, in order, before that.
func TestSlowConsumerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := new(actor.Options)
		opts.Transport.MaxQueueFrames = 4
		e, _ := meetEngine(t, opts)
		c, s := meet(t, e)
		c.Stall()
		check(t, s.Send("read while stalling"))
		synctest.Wait()
		var err error
		n := 0
		for ; err == nil; n++ {
			err = s.SendJSON(n)
			synctest.Wait()
		}
		if !errors.Is(err, actor.ErrSlowConsumer) {
			t.Errorf("after %d: %v", n, err)
		}
		for _, err := range []error{s.Send("x"), s.Push("x", nil)} {
			if !errors.Is(err, actor.ErrClosed) {
				t.Errorf("then: %v", err)
			}
		}
		time.Sleep(time.Second)
		c.Read()
		if end := c.ExpectClose(); end.Code != transport.CloseSlowConsumer || end.Reason != "slow_consumer" {
			t.Errorf("closed with %v", end)
		}
		c.ExpectText("read while stalling")
		<-s.Done()
		if !errors.Is(s.Err(), actor.ErrSlowConsumer) {
			t.Error(s.Err())
		}
	})
}

// Verify that one slow consumer in many rooms is closed once, and leaves all of
// them.
func TestSlowMemberOfManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := new(actor.Options)
		opts.Transport.MaxQueueFrames = 4
		e, log := meetEngine(t, opts)
		c, s := meet(t, e)
		const rooms = 10
		for i := range rooms {
			check(t, e.Room(string(rune('a'+i))).Join(s))
		}
		c.Stall()
		for range 10 {
			for i := range rooms {
				check(t, e.Room(string(rune('a'+i))).BroadcastText("x"))
			}
		}
		<-s.Done()
		synctest.Wait()
		if st := e.Stats(); st.SlowConsumers != 1 || st.Rooms != 0 {
			t.Errorf("%d slow consumers, %d rooms", st.SlowConsumers, st.Rooms)
		}
		if n := len(eventsOf[actor.SlowConsumer](log)); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// Verify that a peer that has gone silent is found out by pings, and leaves
// its rooms, while one that answers them stays.
func TestPingTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		ends := new(endings)
		check(t, e.Register(ends))
		alive, sa := meet(t, e)
		dead, sd := meet(t, e)
		check(t, e.Room("r").Join(sa))
		check(t, e.Room("r").Join(sd))
		dead.Stall()
		check(t, sd.Send("read while stalling"))
		synctest.Wait()
		start := time.Now()
		<-sd.Done()
		if d := time.Since(start); d < 32*time.Second || d > 40*time.Second {
			t.Errorf("found out after %v", d)
		}
		synctest.Wait()
		var ce *actor.CloseError
		if !errors.As(ends.of(sd), &ce) || ce.Code != transport.CloseAbnormal || !ce.Remote {
			t.Errorf("OnDisconnect with %v", ends.of(sd))
		}
		if n := e.Room("r").Len(); n != 1 {
			t.Errorf("%d members", n)
		}
		time.Sleep(2 * time.Hour)
		check(t, e.Room("r").BroadcastText("still there"))
		alive.ExpectText("still there")
		if n := e.Stats().Timeouts; n != 1 {
			t.Errorf("%d timeouts", n)
		}
	})
}

// Verify that a peer that sends half a frame is closed with 1008 when its time
// is over, and that OnDisconnect hears of it.
func TestHalfFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		nc := rawPipe(t, e)
		start := time.Now()
		if _, err := nc.Write([]byte{0x81, 0x85, 1, 2, 3, 4, 'h' ^ 1}); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, 4)
		if _, err := io.ReadFull(nc, frame); err != nil {
			t.Fatal(err)
		}
		if code := binary.BigEndian.Uint16(frame[2:]); frame[0] != 0x88 || code != transport.ClosePolicyViolation {
			t.Errorf("frame % x", frame)
		}
		if d := time.Since(start); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("after %v", d)
		}
		_ = nc.Close()
		synctest.Wait()
		if ev := eventsOf[actor.ConnClosed](log); len(ev) != 1 || ev[0].Err.Code != transport.ClosePolicyViolation {
			t.Errorf("events %+v", ev)
		}
	})
}

// rawPipe connects over net.Pipe and does the handshake.
func rawPipe(t testing.TB, e *actor.Engine) net.Conn {
	t.Helper()
	nc, server := net.Pipe()
	t.Cleanup(func() { _ = nc.Close() })
	e.ServeConn(server)
	if _, err := io.WriteString(nc, rawUpgrade); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReaderSize(nc, 16) // reads no further than it must: nothing follows the head yet
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	return nc
}

const rawUpgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// Verify that a method that pushes to a slow caller gets the error, and that
// others go on meanwhile.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := new(actor.Options)
		opts.Transport.MaxQueueFrames = 4
		e, _ := meetEngine(t, opts)
		result := make(chan error, 1)
		check(t, actor.Handle(e, "flood", func(_ context.Context, from actor.WsSender, n int) (struct{}, error) {
			var err error
			for i := range n {
				if err = from.Push("n", i); err != nil {
					break
				}
			}
			result <- err
			return struct{}{}, err
		}))
		c, s := meet(t, e)
		c.Notify("flood", []int{100})
		c.Stall()
		if err := <-result; !errors.Is(err, actor.ErrSlowConsumer) {
			t.Errorf("the method got %v", err)
		}
		other, _ := meet(t, e)
		check(t, other.Call("flood", []int{1}, nil))
		<-s.Done()
	})
}
