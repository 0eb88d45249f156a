package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/wireroom/wireroom/actor"
)

const browserTimeout = 60 * time.Second

// Verify in a browser that two people meet in a room, see each other come, talk
// and go, and are back by themselves after the network, and then the server,
// has failed.
func TestBrowser(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), browserTimeout)
	defer cancel()
	srv := startServer(t, "127.0.0.1:0")
	base := "http://" + srv.addr
	ctx = startBrowser(ctx, t)

	ada := openTab(ctx, t, "Ada", base+"/#reading room")
	ada.join("Ada")
	bob := openTab(ctx, t, "Bob", base+"/#reading room")
	bob.join("Bob")
	ada.members("Ada", "Bob")
	bob.members("Ada", "Bob")
	ada.sees("Bob joined")

	ada.say("Hello <b>Bob</b>")
	bob.sees("Hello <b>Bob</b>")
	ada.sees("Hello <b>Bob</b>")
	bob.say("Hello <img src=x onerror=alert(1)>")
	ada.sees("Hello <img src=x onerror=alert(1)>")
	ada.wants(`document.querySelectorAll('#log b, #log img').length === 0`)
	ada.wants(`/^Server .* up \d+ s$/.test(document.querySelector('#clock').textContent)`)

	// A third one comes, sees what was said, is whispered to, and closes the tab.
	eve := openTab(ctx, t, "Eve", base+"/#reading room")
	eve.join("Eve")
	eve.sees("Hello <b>Bob</b>")
	bob.members("Ada", "Bob", "Eve")
	bob.choose("Eve")
	bob.say("just you")
	eve.sees("just you")
	eve.close()
	ada.sees("Eve left")
	ada.members("Ada", "Bob")
	bob.members("Ada", "Bob")
	bob.types("still just you") // and not everyone, although Eve has gone
	bob.run(chromedp.Click(chromedp.CSS("#send")))
	bob.wants(`document.querySelector('#notice').textContent === 'Not sent: Eve is not here.'`)
	bob.wants(`document.querySelector('#text').value === 'still just you'`)
	bob.choose("")
	ada.wants(`!document.querySelector('#log').textContent.includes('just you')`)

	// The network fails. What has been typed stays.
	ada.types("typed before")
	bob.wants(`document.querySelector('#text').disabled === false`)
	srv.cut()
	for _, p := range []*tab{ada, bob} {
		p.sees("Connection lost")
		p.sees("Connected again")
		p.members("Ada", "Bob")
	}
	ada.wants(`document.querySelector('#text').value === 'typed before'`)
	ada.say("after the cut")
	bob.sees("after the cut")
	bob.wants(count("Hello <b>Bob</b>", 1)) // history does not repeat what is shown

	// The server ends, and is away for a while.
	srv.stop(t)
	for _, p := range []*tab{ada, bob} {
		p.wants(`document.querySelector('#text').disabled && document.querySelector('#chat').dataset.state !== 'online'`)
	}
	srv = startServer(t, srv.addr)
	for _, p := range []*tab{ada, bob} {
		p.wants(`document.querySelector('#chat').dataset.state === 'online'`)
		p.members("Ada", "Bob")
	}
	bob.say("after the restart")
	ada.sees("after the restart")
	srv.stop(t)
}

// Verify that the form says what is wrong, and that a refusal with 1008 is not
// answered by trying again.
func TestBrowserRefused(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), browserTimeout)
	defer cancel()
	srv := startServer(t, "127.0.0.1:0")
	ctx = startBrowser(ctx, t)
	ada := openTab(ctx, t, "Ada", "http://"+srv.addr+"/")
	ada.join("Ada")
	other := openTab(ctx, t, "Other", "http://"+srv.addr+"/")
	other.run(chromedp.SetValue(chromedp.CSS("#name"), "Ada"), chromedp.Click(chromedp.CSS("#enter")))
	other.wants(`document.querySelector('#welcome-notice').textContent === 'Somebody in this room is called Ada'`)

	for _, s := range srv.engine.Room("lobby").Members() {
		if err := s.CloseWith(1008, "no cats here"); err != nil {
			t.Fatal(err)
		}
	}
	ada.wants(`document.querySelector('#state-text').textContent === 'Refused by the server: no cats here'`)
	ada.wants(`document.querySelector('#text').disabled`)
	ada.run(chromedp.Click(chromedp.CSS("#retry")))
	ada.wants(`document.querySelector('#chat').dataset.state === 'online'`)
	ada.run(chromedp.Click(chromedp.CSS("#leave")))
	ada.wants(`document.querySelector('#chat').hidden`)
	srv.stop(t)
}

// ---- the server

// server is the chat behind a forwarder, whose connections can be cut: the
// server's own are out of reach.
type server struct {
	addr     string
	engine   *actor.Engine
	http     http.Server
	entrance net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

func startServer(t *testing.T, addr string) *server {
	t.Helper()
	engine, handler, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	entrance, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: entrance.Addr().String(), engine: engine, entrance: entrance}
	s.http.Handler = handler
	go s.http.Serve(l) // it ends with stop
	go s.forward(l.Addr().String())
	t.Cleanup(func() { s.stop(t) })
	return s
}

// forward connects whoever comes to the server, until stop.
func (s *server) forward(to string) {
	for {
		in, err := s.entrance.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			continue
		}
		s.mu.Lock()
		s.conns = append(s.conns, in, out)
		s.mu.Unlock()
		for _, dir := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				io.Copy(dir[0], dir[1]) // until one of them ends
				in.Close()
				out.Close()
			}()
		}
	}
}

// cut ends all connections as a broken network does.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close() // some have ended already
	}
	s.conns = nil
}

// stop ends the server as main does.
func (s *server) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.engine.Shutdown(ctx); err != nil && !errors.Is(err, actor.ErrClosed) {
		t.Error(err)
	}
	s.entrance.Close()
	s.http.Close() // pages keep connections open
	s.cut()
}

// ---- the browser

// startBrowser starts a headless Chromium that ends with the test.
func startBrowser(ctx context.Context, t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	switch {
	case path != "":
	case os.Getenv("CI") == "true":
		t.Fatal("chromium is missing")
	default:
		t.Skip("chromium is missing: install it to run this test")
	}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 760),
	}
	for _, flag := range []string{
		"no-sandbox", "disable-gpu", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "disable-background-timer-throttling", "disable-renderer-backgrounding",
	} {
		opts = append(opts, chromedp.Flag(flag, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, opts...)
	ctx, stop := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // closes the browser; it may be gone with the deadline
		stop()
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// tab is the page in a browser context of its own, with its own storage.
type tab struct {
	t    *testing.T
	name string // for messages
	ctx  context.Context
	end  context.CancelFunc

	mu  sync.Mutex
	log []string // what the page writes to the console: there should be nothing
}

func openTab(ctx context.Context, t *testing.T, name, url string) *tab {
	t.Helper()
	p := &tab{t: t, name: name}
	listener := func(ev any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch ev := ev.(type) {
		case *runtime.EventExceptionThrown:
			p.log = append(p.log, ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception.Description)
		case *runtime.EventConsoleAPICalled:
			p.log = append(p.log, fmt.Sprint("console: ", ev.Type))
		}
	}
	p.ctx, p.end = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(listener))
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.log) > 0 {
			t.Errorf("%s: %s", name, strings.Join(p.log, "\n"))
		}
	})
	p.run(chromedp.Navigate(url))
	return p
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// wants waits until the expression is true.
func (p *tab) wants(expression string) {
	p.t.Helper()
	wait := chromedp.Poll[bool](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(20*time.Second))
	if _, err := chromedp.Run(p.ctx, wait); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`)) // for the message only
		p.t.Fatalf("%s: never true: %s: %v\nthe page shows:\n%s", p.name, expression, err, text)
	}
}

func (p *tab) join(name string) {
	p.t.Helper()
	p.run(chromedp.SetValue(chromedp.CSS("#name"), name), chromedp.Click(chromedp.CSS("#enter")))
	p.wants(`document.querySelector('#chat').dataset.state === 'online'`)
}

func (p *tab) types(text string) {
	p.t.Helper()
	p.wants(`!document.querySelector('#text').disabled`)
	p.run(chromedp.SetValue(chromedp.CSS("#text"), text))
}

func (p *tab) say(text string) {
	p.t.Helper()
	p.types(text)
	p.run(chromedp.Click(chromedp.CSS("#send")))
	p.wants(`document.querySelector('#text').value === '' && !document.querySelector('#text').readOnly`)
}

// choose chooses to whom the next messages go.
func (p *tab) choose(name string) {
	p.t.Helper()
	set := chromedp.Evaluate[string](fmt.Sprintf(`document.querySelector('#to').value = %q`, name))
	if _, err := chromedp.Run(p.ctx, set); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// sees waits for a text among the messages.
func (p *tab) sees(text string) {
	p.t.Helper()
	p.wants(fmt.Sprintf(`document.querySelector('#log').textContent.includes(%q)`, text))
}

// count is true if so many messages have that text.
func count(text string, n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll('#log .text')].filter((e) => e.textContent === %q).length === %d`, text, n)
}

// members waits for the list of who is here to be this one.
func (p *tab) members(names ...string) {
	p.t.Helper()
	slices.Sort(names)
	p.wants(fmt.Sprintf(`[...document.querySelectorAll('#members bdi')].map((e) => e.textContent).join() === %q
		&& document.querySelector('#count').textContent === '%d'`, strings.Join(names, ","), len(names)))
}

// close closes the tab.
func (p *tab) close() {
	p.t.Helper()
	if err := chromedp.Cancel(p.ctx); err != nil {
		p.t.Fatal(err)
	}
	p.end()
}
