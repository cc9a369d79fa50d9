package event

import "fmt"

// Kind is the intent of an event's author.
type Kind uint8

// The kinds. The numbers are those in the body; the zero Kind stands for Notification wherever
// a Kind is an input, and is never stored.
const (
	// Notification tells that something happened. Any number of subscribers may care.
	Notification Kind = 1
	// Command asks for something to be done. One handler answers it.
	Command Kind = 2
	// Document carries a state that is of use by itself, such as a daily report.
	Document Kind = 3
)

var kindNames = [...]string{"", "notification", "command", "document"}

// String returns "notification", "command", "document", or "kind(n)" for any other n.
func (k Kind) String() string {
	if k >= Notification && k <= Document {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of String; "" is Notification. Any other text is an ErrHeader.
func ParseKind(s string) (Kind, error) {
	if s == "" {
		return Notification, nil
	}
	for k := Notification; k <= Document; k++ {
		if kindNames[k] == s {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%w: kind %q", ErrHeader, s)
}
