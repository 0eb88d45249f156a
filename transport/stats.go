package transport

import "sync/atomic"

// counters are what Stats reports.
type counters struct {
	polled                         atomic.Int64
	opened, closed                 atomic.Uint64
	refused                        atomic.Uint64
	bytesIn, framesIn, messagesIn  atomic.Uint64
	bytesOut, framesOut, writes    atomic.Uint64
	pings, timeouts, violations    atomic.Uint64
	slowConsumers                  atomic.Uint64
	deflatedIn, deflatedOut        atomic.Uint64
	deflateSaved                   atomic.Uint64
	dropSlow, dropClosed           atomic.Uint64
	dropTooLarge                   atomic.Uint64
	closeNormal, closeGoingAway    atomic.Uint64
	closeAbnormal, closeOtherCodes atomic.Uint64
}

func (s *counters) countClose(code int) {
	switch code {
	case CloseNormal, CloseNoStatus:
		s.closeNormal.Add(1)
	case CloseGoingAway:
		s.closeGoingAway.Add(1)
	case CloseAbnormal:
		s.closeAbnormal.Add(1)
	default:
		s.closeOtherCodes.Add(1)
	}
}

// Stats counts what a Server or Dialer has done since it was made.
type Stats struct {
	Driver Driver // which driver serves plaintext TCP

	Conns    int    // open now, those in their closing handshake included
	Polled   int    // of these, served by DriverPoll
	Accepted uint64 // upgrades that succeeded
	Refused  uint64 // handshakes that did not

	BytesIn, FramesIn, MessagesIn uint64
	BytesOut, FramesOut           uint64 // FramesOut counts data frames
	Writes                        uint64 // calls that wrote to a socket
	Pings                         uint64 // sent

	DeflatedIn   uint64 // of MessagesIn, those that came deflated
	DeflatedOut  uint64 // messages that were queued deflated
	DeflateSaved uint64 // bytes of payload that this has saved

	Timeouts      uint64 // connections cut: silent, stalled, or no answer to a close frame
	Violations    uint64 // connections closed for a breach of the protocol or of a limit
	SlowConsumers uint64 // connections closed because their queue was full

	// Messages that were not delivered, by reason.
	DroppedSlow     uint64 // the queue was full
	DroppedClosed   uint64 // the connection was closing, or ended with messages queued
	DroppedTooLarge uint64 // no queue could hold the message

	// Ends of connections, by close code.
	ClosedNormal    uint64 // 1000, or a close frame without a code
	ClosedGoingAway uint64 // 1001
	ClosedAbnormal  uint64 // no close frame
	ClosedOther     uint64
}

// addTo adds the counters to st.
func (s *counters) addTo(st *Stats) {
	opened := s.opened.Load()
	if open := opened - s.closed.Load(); int64(open) > 0 {
		st.Conns += int(open)
	}
	st.Polled += int(max(0, s.polled.Load()))
	st.Accepted += opened
	for _, v := range [...]struct {
		to   *uint64
		from *atomic.Uint64
	}{
		{&st.Refused, &s.refused},
		{&st.BytesIn, &s.bytesIn}, {&st.FramesIn, &s.framesIn}, {&st.MessagesIn, &s.messagesIn},
		{&st.BytesOut, &s.bytesOut}, {&st.FramesOut, &s.framesOut}, {&st.Writes, &s.writes},
		{&st.Pings, &s.pings}, {&st.Timeouts, &s.timeouts}, {&st.Violations, &s.violations},
		{&st.SlowConsumers, &s.slowConsumers},
		{&st.DeflatedIn, &s.deflatedIn}, {&st.DeflatedOut, &s.deflatedOut}, {&st.DeflateSaved, &s.deflateSaved},
		{&st.DroppedSlow, &s.dropSlow}, {&st.DroppedClosed, &s.dropClosed}, {&st.DroppedTooLarge, &s.dropTooLarge},
		{&st.ClosedNormal, &s.closeNormal}, {&st.ClosedGoingAway, &s.closeGoingAway},
		{&st.ClosedAbnormal, &s.closeAbnormal}, {&st.ClosedOther, &s.closeOtherCodes},
	} {
		*v.to += v.from.Load()
	}
}
