package main

import "encoding/binary"

// Work is what one round does; the same for every system of a scenario.
type Work struct {
	Events    int // events a round; a multiple of Batch times the producers
	Batch     int // events published or appended at once, >= 1
	BodyBytes int // payload of one event
	Producers int // goroutines that publish, Events shared out evenly; 0 = 1

	PacedEvents int // events of the latency part of a round; 0 = no such part
	PacedRate   int // events a second in that part
	// BusyPacer makes whoever publishes hold its processor until an event is due. Otherwise it lets
	// other goroutines run there.
	BusyPacer bool

	// Dir is an empty directory of this system alone. The runner removes it when the system is
	// closed; a system that fills it anew each round empties it itself.
	Dir string
}

// producers is how many goroutines publish.
func (w Work) producers() int { return max(w.Producers, 1) }

// scaled returns w with its event counts multiplied by f, at least one batch for each producer.
func (w Work) scaled(f float64) Work {
	step := w.Batch * w.producers()
	w.Events = max(int(float64(w.Events)*f), 1)
	w.Events += (step - w.Events%step) % step
	if w.PacedEvents > 0 {
		w.PacedEvents = max(int(float64(w.PacedEvents)*f), 1)
	}
	return w
}

// ringSlots is the capacity of every ring and channel, in events.
const (
	ringSlots = 1 << 16
	ringMask  = ringSlots - 1
)

// ringSum is the sum of the events 1..w.Events, each of which carries its own number.
func ringSum(w Work) uint64 {
	n := uint64(w.Events)
	return n * (n + 1) / 2
}

// Bodies of the journal scenarios: a fixed pattern whose first word is the event's number and whose
// last word is a mix of it. Stamping two words costs next to nothing beside an append, and a reader
// that sums all words notices any byte that is changed and any event that is lost, doubled or moved.

// newBody returns a body of n bytes, a multiple of 8 and at least 16.
func newBody(n int) []byte {
	body := make([]byte, n)
	for off := 0; off < n; off += 8 {
		binary.LittleEndian.PutUint64(body[off:], mix(uint64(off)))
	}
	return body
}

// stampBody makes body the payload of event number i.
func stampBody(body []byte, i int) {
	binary.LittleEndian.PutUint64(body, uint64(i))
	binary.LittleEndian.PutUint64(body[len(body)-8:], mix(uint64(i)))
}

// foldBody adds a body to a running sum. The multiplication makes order count. Pieces of 64 bytes are taken
// at once, so that it is the log that is measured and not the loop.
func foldBody(sum uint64, body []byte) uint64 {
	le := binary.LittleEndian
	var a, b uint64
	for ; len(body) >= 64; body = body[64:] {
		p := (*[64]byte)(body)
		a += le.Uint64(p[0:]) + le.Uint64(p[16:]) + le.Uint64(p[32:]) + le.Uint64(p[48:])
		b += le.Uint64(p[8:]) + le.Uint64(p[24:]) + le.Uint64(p[40:]) + le.Uint64(p[56:])
	}
	for ; len(body) >= 8; body = body[8:] {
		a += le.Uint64(body)
	}
	return sum*31 + a + b
}

// bodySum is the fold of the bodies of events 1..w.Events.
func bodySum(w Work) (sum uint64) {
	body := newBody(w.BodyBytes)
	for i := 1; i <= w.Events; i++ {
		stampBody(body, i)
		sum = foldBody(sum, body)
	}
	return sum
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
