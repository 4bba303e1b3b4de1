package keystore

import (
	"fmt"
	"io"
	"log/slog"
)

// A Key names a record. Keys are comparable; the zero Key names none.
type Key struct {
	// Scope is one account identity on one device; one store may hold
	// thousands. It is never empty.
	Scope string
	// Kind is what the record is, such as "session". It is never empty.
	Kind string
	// Owner is whom the record is about, such as a user.
	Owner string
	// Name tells apart the records of one kind and owner.
	Name string
}

// Valid tells whether k has a Scope and a Kind, as every key that is loaded or
// committed must have.
func (k Key) Valid() bool { return k.Scope != "" && k.Kind != "" }

// A Record is a key and what a store has under it. The zero Record is none.
//
// Values hold private keys, so a Record prints as "redacted", in JSON too.
type Record struct {
	Key     Key
	Value   []byte
	Version uint64 // 0: absent
}

// An Op says what a Change does. The zero Op is none, and refused.
type Op byte

const (
	// Put writes Value under Key.
	Put Op = 1 + iota
	// Delete removes the record under Key. That it is absent already may be
	// expected; it then works like a Check.
	Delete
	// Check changes nothing. It ties a Commit to a record that the decision
	// relied on.
	Check
)

// A Change is one step of a Commit. The zero Change is refused.
//
// Values hold private keys, so a Change prints as "redacted", in JSON too.
type Change struct {
	Op     Op
	Key    Key
	Expect uint64 // the Version that the record must have; 0: absent
	Value  []byte // what Put writes; of no meaning to the others
}

const redacted = "redacted"

// Format implements [fmt.Formatter].
func (Record) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Record) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler]. A store that writes JSON
// encodes the fields, not the Record.
func (Record) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Format implements [fmt.Formatter].
func (Change) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (Change) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (Change) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
