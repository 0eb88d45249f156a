package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/examples/internal/program"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test in virtual time, so that the clocks tick when the test
// says so. Each client gets its first tick a second after it has joined.
func bubble(t *testing.T, test func(t *testing.T, e *actor.Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		if err := newChat(e); err != nil {
			t.Fatal(err)
		}
		test(t, e)
	})
}

// params are those of all methods; which ones a method takes is its own matter.
type params struct {
	Room string `json:"room,omitempty"`
	Name string `json:"name,omitempty"`
	To   string `json:"to,omitempty"`
	Text string `json:"text,omitempty"`
}

func join(t *testing.T, c *actortest.Client, room, name string) (got Joined) {
	t.Helper()
	if err := c.Call("join_room", params{Room: room, Name: name}, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func say(t *testing.T, c *actortest.Client, room, text string) (got Message) {
	t.Helper()
	if err := c.Call("say", params{Room: room, Text: text}, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func wantPresence(t *testing.T, c *actortest.Client, method, room, name string) {
	t.Helper()
	var p Presence
	c.Expect(method, &p)
	if want := (Presence{room, name, p.Time}); p != want || p.Time.IsZero() {
		t.Fatalf("%s: got %+v, want %+v", method, p, want)
	}
}

func wantMembers(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("members are %q, want %q", got, want)
	}
}

// Verify that two clients meet: who is here, what is said, in either codec.
func TestJoinAndSay(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada, bob := actortest.Connect(t, e), actortest.Connect(t, e, actortest.Msgpack())
		j := join(t, ada, " lobby ", " Ada ")
		if j.Room != "lobby" || j.Name != "Ada" || j.History == nil || len(j.History) != 0 {
			t.Fatalf("joined: %+v", j)
		}
		wantMembers(t, j.Members, "Ada")
		wantMembers(t, join(t, bob, "lobby", "bob").Members, "Ada", "bob")
		wantPresence(t, ada, "joined", "lobby", "bob")

		m := say(t, bob, "lobby", "hello <b>all</b>")
		want := Message{ID: m.ID, Room: "lobby", From: "bob", Text: "hello <b>all</b>", Time: m.Time}
		if m != want || m.ID == 0 || m.Time.IsZero() {
			t.Fatalf("say: got %+v, want %+v", m, want)
		}
		for _, c := range []*actortest.Client{ada, bob} {
			var got Message
			c.Expect("message", &got)
			if !got.Time.Equal(m.Time) {
				t.Errorf("time %v, want %v", got.Time, m.Time)
			}
			if got.Time = m.Time; got != m {
				t.Errorf("message: got %+v, want %+v", got, m)
			}
		}
		if n := say(t, ada, "lobby", "hi"); n.ID <= m.ID {
			t.Errorf("id %d comes after %d", n.ID, m.ID)
		}
		var names []string
		if err := bob.Call("members", params{Room: "lobby"}, &names); err != nil {
			t.Fatal(err)
		}
		wantMembers(t, names, "Ada", "bob")
	})
}

// Verify that the others hear of it when somebody leaves, or is gone.
func TestLeave(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada, bob := actortest.Connect(t, e), actortest.Connect(t, e)
		for _, end := range []struct {
			how string
			do  func()
		}{
			{"leave_room", func() {
				if err := bob.Call("leave_room", params{Room: "lobby"}, nil); err != nil {
					t.Fatal(err)
				}
			}},
			{"close", func() { bob.Close() }},
			{"cut", func() { bob.Cut() }},
		} {
			if bob.Err() != nil {
				bob = actortest.Connect(t, e)
			}
			if e.Room("lobby").Len() == 0 {
				join(t, ada, "lobby", "Ada")
			}
			join(t, bob, "lobby", "Bob")
			wantPresence(t, ada, "joined", "lobby", "Bob")
			end.do()
			wantPresence(t, ada, "left", "lobby", "Bob")
			if n := e.Room("lobby").Len(); n != 1 {
				t.Errorf("after %s the room has %d members", end.how, n)
			}
		}
		// Bob's clock stopped with his membership, Ada's goes on.
		ada.Expect("tick", nil)
		ada.Close()
		synctest.Wait()
		if n := e.Stats().Rooms; n != 0 {
			t.Errorf("%d rooms are left", n)
		}
	})
}

// Verify that a membership ends where it should, and the connection stays.
func TestLeaveOneOfTwoRooms(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada := actortest.Connect(t, e)
		join(t, ada, "one", "Ada")
		join(t, ada, "two", "Ada")
		if err := ada.Call("leave_room", params{Room: "one"}, nil); err != nil {
			t.Fatal(err)
		}
		wantCode(t, ada, "say", params{Room: "one", Text: "x"}, codeNotMember)
		say(t, ada, "two", "x")
		ada.Expect("message", nil)
		var tick Tick
		ada.Expect("tick", &tick)
		if tick.Room != "two" {
			t.Errorf("the clock of room %q goes on", tick.Room)
		}
	})
}

// Verify that the stored sender serves after the method has returned, and that
// the ticking ends with the connection.
func TestClock(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		began := time.Now()
		time.Sleep(90 * time.Second)
		ada := actortest.Connect(t, e)
		join(t, ada, "lobby", "Ada")
		for i := 1; i <= 3; i++ {
			var tick Tick
			ada.Expect("tick", &tick)
			at := 90*time.Second + time.Duration(i)*tickEvery
			want := Tick{"lobby", tick.Time, int(at.Seconds()), 1}
			if tick != want || !tick.Time.Equal(began.Add(at)) {
				t.Fatalf("tick %d: got %+v, want %+v", i, tick, want)
			}
		}
		ada.Close()
		synctest.Wait()
		// Were the goroutine still there, the bubble could not end: it waits for all.
	})
}

// Verify that a join returns the last messages, and what is said from then on
// comes as a push: nothing is missing, nothing comes twice.
func TestHistory(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada, bob := actortest.Connect(t, e), actortest.Connect(t, e)
		join(t, ada, "lobby", "Ada")
		for i := range maxHistory + 10 {
			say(t, ada, "lobby", fmt.Sprint(i))
			ada.Expect("message", nil)
		}
		h := join(t, bob, "lobby", "Bob").History
		if len(h) != maxHistory {
			t.Fatalf("%d messages, want %d", len(h), maxHistory)
		}
		for i, m := range h {
			if want := fmt.Sprint(i + 10); m.Text != want || m.From != "Ada" {
				t.Fatalf("message %d is %q by %q, want %q", i, m.Text, m.From, want)
			}
		}
		say(t, ada, "lobby", "next")
		var m Message
		bob.Expect("message", &m)
		if m.Text != "next" || m.ID <= h[len(h)-1].ID {
			t.Fatalf("got %+v", m)
		}
	})
}

// Verify that a room is forgotten with its last member.
func TestForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada := actortest.Connect(t, e)
		join(t, ada, "lobby", "Ada")
		say(t, ada, "lobby", "secret")
		ada.Close()
		synctest.Wait()
		if j := join(t, actortest.Connect(t, e), "lobby", "Ada"); len(j.History) != 0 {
			t.Errorf("history is %v", j.History)
		}
	})
}

func TestWhisper(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada, bob, eve := actortest.Connect(t, e), actortest.Connect(t, e), actortest.Connect(t, e)
		join(t, ada, "lobby", "Ada")
		join(t, bob, "lobby", "Bob")
		join(t, eve, "lobby", "Eve")
		wantPresence(t, ada, "joined", "lobby", "Bob")
		wantPresence(t, ada, "joined", "lobby", "Eve")
		wantPresence(t, bob, "joined", "lobby", "Eve")
		var sent, got Message
		if err := ada.Call("whisper", params{Room: "lobby", To: "bob", Text: "psst"}, &sent); err != nil {
			t.Fatal(err)
		}
		bob.Expect("whisper", &got)
		if want := (Message{ID: sent.ID, Room: "lobby", From: "Ada", To: "Bob", Text: "psst", Time: sent.Time}); sent != want ||
			got.ID != want.ID || got.From != want.From || got.To != want.To || got.Text != want.Text {
			t.Errorf("sent %+v, got %+v, want %+v", sent, got, want)
		}
		eve.ExpectNothing(tickEvery / 2)
		wantCode(t, ada, "whisper", params{Room: "lobby", To: "Zoe", Text: "psst"}, codeNotHere)
	})
}

func wantCode(t *testing.T, c *actortest.Client, method string, p any, code int) {
	t.Helper()
	var rpc *actor.Error
	if err := c.Call(method, p, nil); !errors.As(err, &rpc) || rpc.Code != code {
		t.Errorf("%s %+v: %v, want code %d", method, p, err, code)
	}
}

// Verify that bad input is refused, and what is just good enough is not.
func TestLimits(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada := actortest.Connect(t, e)
		long := strings.Repeat("ü", maxName)
		for _, bad := range []string{"", "   ", long + "x", "a\nb", "a\x00", "a\u202eb"} {
			wantCode(t, ada, "join_room", map[string]any{"room": "lobby", "name": bad}, codeInvalid)
			wantCode(t, ada, "join_room", map[string]any{"room": bad, "name": "Ada"}, codeInvalid)
		}
		wantCode(t, ada, "join_room", params{Room: "lobby"}, codec.CodeInvalidParams)
		wantCode(t, ada, "join_room", []any{"lobby", 7}, codec.CodeInvalidParams)
		join(t, ada, long, long)

		for _, bad := range []string{"", " \n ", strings.Repeat("x", maxText+1)} {
			wantCode(t, ada, "say", map[string]any{"room": long, "text": bad}, codeInvalid)
		}
		say(t, ada, long, strings.Repeat("ü", maxText))

		wantCode(t, ada, "join_room", params{Room: long, Name: "Other"}, codeTaken)
		wantCode(t, actortest.Connect(t, e), "join_room", params{Room: long, Name: strings.ToUpper(long)}, codeTaken)

		for i := range maxRooms - 1 {
			join(t, ada, fmt.Sprint(i), "Ada")
		}
		wantCode(t, ada, "join_room", params{Room: "one more", Name: "Ada"}, codeTooMany)
		if err := ada.Call("leave_room", params{Room: "0"}, nil); err != nil {
			t.Fatal(err)
		}
		join(t, ada, "one more", "Ada")
	})
}

// Verify that a room takes so many and no more.
func TestFull(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		for i := range maxMembers {
			join(t, actortest.Connect(t, e), "lobby", fmt.Sprint(i))
		}
		wantCode(t, actortest.Connect(t, e), "join_room", params{Room: "lobby", Name: "one more"}, codeTooMany)
	})
}

// Verify that strangers get nothing out of a room.
func TestNotMember(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		ada, eve := actortest.Connect(t, e), actortest.Connect(t, e)
		join(t, ada, "lobby", "Ada")
		for _, method := range []string{"say", "whisper", "members", "leave_room"} {
			p := map[string]string{"room": "lobby", "to": "Ada", "text": "boo"}
			wantCode(t, eve, method, p, codeNotMember)
			p["room"] = "nowhere"
			wantCode(t, eve, method, p, codeNotMember)
		}
		ada.ExpectNothing(tickEvery / 2)
		eve.ExpectNothing(time.Hour)
	})
}

// Verify that these methods can be called, and no others.
func TestMethods(t *testing.T) {
	bubble(t, func(t *testing.T, e *actor.Engine) {
		var names []string
		for _, m := range e.Methods() {
			names = append(names, m.Name)
		}
		if want := []string{"join_room", "leave_room", "members", "say", "whisper"}; !slices.Equal(names, want) {
			t.Errorf("methods are %q, want %q", names, want)
		}
	})
}

// Verify that the page is there, whole, and under a strict policy.
func TestPage(t *testing.T) {
	engine, handler, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	s := httptest.NewServer(handler)
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	get := func(path string) (status int, header http.Header, body string) {
		t.Helper()
		r, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, r.Header, string(text)
	}
	for path, contentType := range map[string]string{
		"/":          "text/html",
		"/app.js":    "text/javascript",
		"/style.css": "text/css",
		"/icon.svg":  "image/svg+xml",
	} {
		status, header, body := get(path)
		if status != http.StatusOK || !strings.HasPrefix(header.Get("Content-Type"), contentType) || body == "" {
			t.Errorf("%s: status %d, %s, %d bytes", path, status, header.Get("Content-Type"), len(body))
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self';",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache",
		} {
			if got := header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		for _, bad := range []string{"innerHTML", "eval(", "style=\"", "onclick=", "https://", "<script>"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s contains %s", path, bad)
			}
		}
	}
	if status, _, _ := get("/chat.go"); status != http.StatusNotFound {
		t.Errorf("/chat.go: status %d", status)
	}
	if status, _, _ := get("/ws"); status < 400 || status >= 500 {
		t.Errorf("/ws without an upgrade: status %d", status)
	}
}

// Verify that the program itself starts, stops and fails as it should.
func TestProgram(t *testing.T) { program.Test(t) }
