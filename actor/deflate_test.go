package actor_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// Verify that clients with deflate and without it meet in one room: calls,
// replies and broadcasts arrive, and are deflated for those who agreed on it,
// in both codecs.
func TestDeflate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, &actor.Options{Transport: transport.Options{Deflate: true}})
		long := strings.Repeat("hello, who is there? ", 100)
		echo := func(_ context.Context, _ actor.WsSender, s string) (string, error) { return s, nil }
		check(t, actor.Handle(e, "same", echo))
		deflate := actortest.Limits(&transport.Options{Deflate: true})
		var clients []*actortest.Client
		for _, opts := range [][]actortest.Option{nil, {deflate}, {deflate, actortest.Msgpack()}, {actortest.Msgpack()}} {
			c, s := meet(t, e, opts...)
			check(t, e.Room("lobby").Join(s))
			clients = append(clients, c)
		}
		for i, c := range clients {
			if agreed := i == 1 || i == 2; c.Conn().Deflate() != agreed {
				t.Errorf("client %d: Deflate is %v", i, !agreed)
			}
			for _, want := range []string{long, "short"} {
				var got string
				if err := c.Call("same", []any{want}, &got); err != nil || got != want {
					t.Errorf("client %d got %.20q, %v", i, got, err)
				}
			}
		}
		check(t, e.Room("lobby").Broadcast("news", []string{long}))
		check(t, e.Room("lobby").Broadcast("news", []string{"short"}))
		for _, c := range clients {
			for _, want := range []string{long, "short"} {
				var got []string
				c.Expect("news", &got)
				if len(got) != 1 || got[0] != want {
					t.Errorf("news are %.40q", got)
				}
			}
		}
		// Of each of the two that agreed: its call, the reply and the broadcast.
		if st := e.Transport().Stats(); st.DeflatedIn != 2 || st.DeflatedOut != 4 || st.DeflateSaved < 4*1500 {
			t.Errorf("%d in, %d out, %d bytes saved", st.DeflatedIn, st.DeflatedOut, st.DeflateSaved)
		}
	})
}
