package block

import "time"

// An Alarm goes off at a time that is set anew for each wait, without allocating again. The zero
// value is ready. It belongs to one goroutine at a time. The schedule explorer knows nothing of it:
// what it runs sets none.
type Alarm struct {
	timer *time.Timer
	rings chan struct{} // capacity 1
}

// Set makes the alarm go off in d, and returns the channel that is sent to then. Something may be
// there already, of a time before: whoever receives has to look at the clock.
func (a *Alarm) Set(d time.Duration) <-chan struct{} {
	if a.timer != nil {
		a.timer.Reset(d)
		return a.rings
	}
	rings := make(chan struct{}, 1)
	a.rings = rings
	a.timer = time.AfterFunc(d, func() {
		select {
		case rings <- struct{}{}:
		default:
		}
	})
	return rings
}

// Stop ends the wait.
func (a *Alarm) Stop() { a.timer.Stop() }
