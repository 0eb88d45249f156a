package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wireroom/wireroom/actor"
)

// Limits. Together they keep the reply of a join, the largest message there is,
// under what the queue of a connection holds (1 MiB).
const (
	maxName    = 32    // runes, also of a room
	maxText    = 2_000 // runes
	maxHistory = 50    // messages kept per room
	maxMembers = 500   // per room
	maxRooms   = 8     // per connection
)

// Error codes. The numbers are those of HTTP, as everybody knows them.
const (
	codeInvalid   = 400 // an empty name, a text that is too long
	codeNotMember = 403
	codeNotHere   = 404 // nobody of that name is in the room
	codeTaken     = 409 // the name, or one's own place in the room
	codeTooMany   = 429
)

// tickEvery is how often a member hears the server's clock.
const tickEvery = time.Second

// Chat is the service. Its exported methods are methods of the wire:
// JoinRoom is called as join_room.
//
// It is to be registered with SpawnService, which makes it an actor: of its
// methods and hooks one runs at a time, whoever calls. That is why these maps
// need no mutex, and why no message can come between the history that a join
// returns and the first message that is pushed. Nothing here waits for a
// client, so one at a time is fast enough; methods that ask a database would
// be better off in a service that is shared, with Register, and a mutex.
type Chat struct {
	engine *actor.Engine
	began  time.Time
	rooms  map[string]*room
	joined map[actor.WsSender][]*room // by connection
	lastID int64                      // of a message
}

// room is what the chat knows of a room. The engine's Room in it knows who gets
// what is broadcast. A room is forgotten with its last member.
type room struct {
	actor.Room
	members map[actor.WsSender]member // a WsSender is comparable, and may be kept
	history []Message
}

type member struct {
	name string
	stop context.CancelFunc // ends the clock
}

// Message is what somebody has said: the result of Say, and the push "message"
// to all members, or that of Whisper, and the push "whisper" to one.
type Message struct {
	ID   int64     `json:"id"` // later ones have larger ones
	Room string    `json:"room"`
	From string    `json:"from"`
	To   string    `json:"to,omitempty"` // of a whisper
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// Joined is the result of JoinRoom.
type Joined struct {
	Room    string    `json:"room"`
	Name    string    `json:"name"`
	Members []string  `json:"members"`
	History []Message `json:"history"` // oldest first
}

// Presence is the push "joined" or "left" to the other members.
type Presence struct {
	Room string    `json:"room"`
	Name string    `json:"name"`
	Time time.Time `json:"time"`
}

// Tick is the push "tick" to each member.
type Tick struct {
	Room   string    `json:"room"`
	Time   time.Time `json:"time"`
	Uptime int       `json:"uptime"` // of the server, in seconds
	People int       `json:"people"` // in the room
}

// newChat makes the service and registers it. Go does not keep the names of
// parameters, so they are named here, for clients that give them by name.
func newChat(engine *actor.Engine) error {
	now := time.Now()
	_, err := engine.SpawnService(&Chat{
		engine: engine,
		began:  now,
		rooms:  make(map[string]*room),
		joined: make(map[actor.WsSender][]*room),
		lastID: now.UnixMilli(), // so that ids grow across restarts, too
	},
		actor.Method("JoinRoom", actor.Params("room", "name")),
		actor.Method("LeaveRoom", actor.Params("room")),
		actor.Method("Say", actor.Params("room", "text")),
		actor.Method("Whisper", actor.Params("room", "to", "text")),
		actor.Method("Members", actor.Params("room")),
	)
	return err
}

// JoinRoom makes the caller a member of a room, which is made if need be. from
// is the connection that called; no client sends it, it is injected.
func (c *Chat) JoinRoom(from actor.WsSender, roomName, name string) (*Joined, error) {
	roomName, err := checkName("room", roomName)
	if err != nil {
		return nil, err
	}
	if name, err = checkName("name", name); err != nil {
		return nil, err
	}
	r := c.rooms[roomName]
	if r == nil {
		r = &room{Room: c.engine.Room(roomName), members: make(map[actor.WsSender]member)}
	}
	switch _, in := r.members[from]; {
	case in:
		return nil, actor.Errorf(codeTaken, "you are in this room already")
	case !r.find(name).IsZero():
		return nil, actor.Errorf(codeTaken, "somebody in this room is called %s", name)
	case len(r.members) >= maxMembers:
		return nil, actor.Errorf(codeTooMany, "the room is full")
	case len(c.joined[from]) >= maxRooms:
		return nil, actor.Errorf(codeTooMany, "you may be in %d rooms at a time", maxRooms)
	}

	// From here on the connection gets what is broadcast.
	if err := r.Join(from); err != nil {
		return nil, err // it has just closed
	}
	// The clock runs on when this method has returned, and stops with the
	// connection, or when the member leaves.
	ctx, stop := context.WithCancel(from.Context())
	go c.clock(ctx, from, r.Room)

	r.members[from] = member{name, stop}
	c.rooms[roomName] = r
	c.joined[from] = append(c.joined[from], r)
	r.tell("joined", Presence{roomName, name, time.Now()}, actor.Except(from))
	history := append([]Message{}, r.history...) // a nil slice would be null for the client
	return &Joined{roomName, name, r.names(), history}, nil
}

// LeaveRoom ends a membership. A connection that closes leaves by itself.
func (c *Chat) LeaveRoom(from actor.WsSender, roomName string) error {
	r, _, err := c.member(from, roomName)
	if err != nil {
		return err
	}
	c.joined[from] = slices.DeleteFunc(c.joined[from], func(o *room) bool { return o == r })
	c.leave(from, r)
	return nil
}

// Say sends a text to all members, the caller among them.
func (c *Chat) Say(from actor.WsSender, roomName, text string) (*Message, error) {
	r, me, err := c.member(from, roomName)
	if err != nil {
		return nil, err
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	m := c.message(r, me, text)
	if err := r.Broadcast("message", m); err != nil {
		return nil, err
	}
	r.history = append(r.history, *m)
	if len(r.history) > maxHistory {
		r.history = slices.Delete(r.history, 0, 1)
	}
	return m, nil
}

// Whisper sends a text to one member, through the sender that was stored when
// that member joined.
func (c *Chat) Whisper(from actor.WsSender, roomName, to, text string) (*Message, error) {
	r, me, err := c.member(from, roomName)
	if err != nil {
		return nil, err
	}
	if err := checkText(text); err != nil {
		return nil, err
	}
	target := r.find(to)
	m := c.message(r, me, text)
	m.To = r.members[target].name
	if target.Push("whisper", m) != nil { // the zero WsSender is a closed one
		return nil, actor.Errorf(codeNotHere, "%s is not here", to)
	}
	return m, nil
}

// Members returns the names of those who are in a room, in order.
func (c *Chat) Members(from actor.WsSender, roomName string) ([]string, error) {
	r, _, err := c.member(from, roomName)
	if err != nil {
		return nil, err
	}
	return r.names(), nil
}

// OnDisconnect is a hook, not a method of the wire: it is called after the last
// call of a connection.
func (c *Chat) OnDisconnect(from actor.WsSender, _ error) {
	for _, r := range c.joined[from] {
		c.leave(from, r)
	}
	delete(c.joined, from)
}

// leave tells the others, and forgets the room if there are none.
func (c *Chat) leave(from actor.WsSender, r *room) {
	m := r.members[from]
	m.stop()
	delete(r.members, from)
	_ = r.Leave(from) // fails never: whoever is not in the room has left
	if len(r.members) == 0 {
		delete(c.rooms, r.Name())
		return
	}
	r.tell("left", Presence{r.Name(), m.name, time.Now()})
}

// clock pushes the time to one member until ctx ends. It runs beside the
// service, so it may not touch its maps; senders and rooms are for everybody.
func (c *Chat) clock(ctx context.Context, to actor.WsSender, r actor.Room) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			// If this fails the connection has gone, and ctx is about to end.
			_ = to.Push("tick", Tick{r.Name(), now, int(now.Sub(c.began).Seconds()), r.Len()})
		}
	}
}

// member returns the room, and who the caller is in it.
func (c *Chat) member(from actor.WsSender, roomName string) (*room, member, error) {
	roomName = strings.TrimSpace(roomName)
	if r := c.rooms[roomName]; r != nil {
		if m, ok := r.members[from]; ok {
			return r, m, nil
		}
	}
	return nil, member{}, actor.Errorf(codeNotMember, "join the room first")
}

func (c *Chat) message(r *room, me member, text string) *Message {
	c.lastID++
	return &Message{ID: c.lastID, Room: r.Name(), From: me.name, Text: text, Time: time.Now()}
}

// tell broadcasts what nobody waits for.
func (r *room) tell(method string, p Presence, opts ...actor.BroadcastOption) {
	if err := r.Broadcast(method, p, opts...); err != nil {
		slog.Warn("presence lost", "room", r.Name(), "err", err)
	}
}

// find returns the sender of the member with that name, or the zero WsSender.
func (r *room) find(name string) actor.WsSender {
	for s, m := range r.members {
		if strings.EqualFold(m.name, name) {
			return s
		}
	}
	return actor.WsSender{}
}

func (r *room) names() []string {
	names := make([]string, 0, len(r.members))
	for _, m := range r.members {
		names = append(names, m.name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a), strings.ToLower(b)), cmp.Compare(a, b))
	})
	return names
}

// checkName returns s without blanks around it.
func checkName(what, s string) (string, error) {
	s = strings.TrimSpace(s)
	switch n := utf8.RuneCountInString(s); {
	case n == 0 || n > maxName:
		return "", actor.Errorf(codeInvalid, "%s: give 1 to %d characters", what, maxName)
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", actor.Errorf(codeInvalid, "%s: only characters that can be seen, please", what)
	}
	return s, nil
}

func checkText(s string) error {
	if n := utf8.RuneCountInString(s); n > maxText || strings.TrimSpace(s) == "" {
		return actor.Errorf(codeInvalid, "text: give 1 to %d characters", maxText)
	}
	return nil
}
