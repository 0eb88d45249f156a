package wire

import "math/bits"

// Tracker follows the sequence numbers that come back on one connection, from
// 0 upwards, and tells what is wrong with them. It remembers the last 64.
type Tracker struct {
	next    uint64 // one above the highest that has come
	missing uint64 // bit i: next-1-i has not come
	gone    uint64 // have not come, and are forgotten
}

// Start has the tracker begin at a sequence number: earlier ones do not count.
func (t *Tracker) Start(seq uint64) { *t = Tracker{next: seq} }

// Verdict is what Tracker says of a message.
type Verdict uint8

// Verdicts.
const (
	Fine     Verdict = iota
	Late             // a later one was there before
	Repeated         // it was there already
	Unsent           // it was never sent
)

// Got takes note of a sequence number, of which sent have been sent.
func (t *Tracker) Got(seq, sent uint64) Verdict {
	switch {
	case seq >= sent:
		return Unsent
	case seq == t.next:
		t.gone += t.missing >> 63
		t.missing <<= 1
		t.next++
		return Fine
	case seq > t.next:
		t.skip(seq - t.next)
		return Fine
	}
	age := t.next - 1 - seq
	if age >= 64 || t.missing&(1<<age) == 0 {
		return Repeated
	}
	t.missing &^= 1 << age
	return Late
}

// skip notes that n are missing before the one that has come.
func (t *Tracker) skip(n uint64) {
	t.next += n + 1
	if n >= 64 {
		t.gone += uint64(bits.OnesCount64(t.missing)) + n - 63
		t.missing = ^uint64(1)
		return
	}
	t.gone += uint64(bits.OnesCount64(t.missing >> (63 - n)))
	t.missing = t.missing << n << 1
	t.missing |= (1<<n - 1) << 1
}

// Lost returns how many of those sent have not come.
func (t *Tracker) Lost(sent uint64) uint64 {
	return t.gone + uint64(bits.OnesCount64(t.missing)) + sent - t.next
}
