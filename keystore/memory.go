package keystore

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"sync"
)

// A Memory is a [Store] in memory, for tests, for demos, and for devices that
// live as long as their process. "Durable" means nothing here but "done".
//
// The zero Memory is an empty store. It must not be copied, and may be used
// from several goroutines. Values that were overwritten or deleted are
// cleared, all of them by Close; the garbage collector may have left copies.
type Memory struct {
	mu      sync.RWMutex
	closed  bool
	newest  uint64 // the generation
	records map[list]map[string]entry
}

// A list is what [Memory.List] can ask for by exact values: the records of one
// scope, kind and owner, which it holds by name.
type list struct{ scope, kind, owner string }

// An entry is a record that is there. Its value belongs to the store.
type entry struct {
	value   []byte
	version uint64
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return new(Memory) }

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, keys ...Key) ([]Record, error) {
	for i := range keys {
		if !keys[i].Valid() {
			return nil, fmt.Errorf("%w: load of key %d: empty scope or kind", ErrInvalid, i)
		}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	records := make([]Record, len(keys))
	for i, k := range keys {
		records[i] = m.record(k)
	}
	return records, nil
}

// Commit implements [Store].
func (m *Memory) Commit(ctx context.Context, changes ...Change) (uint64, error) {
	if err := Validate(changes); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	if keys := m.conflicts(changes); keys != nil {
		return 0, &ConflictError{Keys: keys}
	}
	return m.apply(changes), nil
}

// List implements [Store].
func (m *Memory) List(ctx context.Context, scope, kind, owner string) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		keys, err := m.keys(ctx, list{scope, kind, owner})
		for _, k := range keys {
			var r Record
			if r, err = m.one(ctx, k); err != nil {
				break
			}
			if r.Version != 0 && !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(Record{}, err)
		}
	}
}

// Generation implements [Store].
func (m *Memory) Generation(ctx context.Context) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	return m.newest, nil
}

// Close implements [Store]. The records are gone.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, names := range m.records {
		for _, e := range names {
			clear(e.value)
		}
	}
	m.closed, m.records = true, nil
	return nil
}

// usable tells why nothing can be done, if so. The lock is held.
func (m *Memory) usable(ctx context.Context) error {
	if m.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// record copies out what is under k. The lock is held.
func (m *Memory) record(k Key) Record {
	e := m.entry(k)
	return Record{Key: k, Value: slices.Clone(e.value), Version: e.version}
}

func (m *Memory) entry(k Key) entry {
	return m.records[list{k.Scope, k.Kind, k.Owner}][k.Name]
}

// conflicts returns the keys of failed expectations. The lock is held.
func (m *Memory) conflicts(changes []Change) (keys []Key) {
	for i := range changes {
		if m.entry(changes[i].Key).version != changes[i].Expect {
			keys = append(keys, changes[i].Key)
		}
	}
	return keys
}

// apply makes the changes, all of which may be made, and returns their
// version. The lock is held for writing.
func (m *Memory) apply(changes []Change) (version uint64) {
	for i := range changes {
		if changes[i].Op != Check {
			version = m.newest + 1
		}
	}
	for i := range changes {
		switch c := &changes[i]; c.Op {
		case Put:
			m.put(c.Key, c.Value, version)
		case Delete:
			m.delete(c.Key)
		}
	}
	m.newest = max(m.newest, version)
	return version
}

// put keeps a copy of value, in place of the old one where that fits well.
func (m *Memory) put(k Key, value []byte, version uint64) {
	l := list{k.Scope, k.Kind, k.Owner}
	names := m.records[l]
	if names == nil {
		if m.records == nil {
			m.records = make(map[list]map[string]entry)
		}
		names = make(map[string]entry)
		m.records[l] = names
	}
	old := names[k.Name].value
	if c := cap(old); len(value) <= c && c <= 2*len(value) {
		clear(old[min(len(value), len(old)):])
	} else {
		clear(old)
		old = nil
	}
	names[k.Name] = entry{append(old[:0], value...), version}
}

func (m *Memory) delete(k Key) {
	l := list{k.Scope, k.Kind, k.Owner}
	names := m.records[l]
	clear(names[k.Name].value)
	delete(names, k.Name)
	if len(names) == 0 {
		delete(m.records, l)
	}
}

// keys returns the keys that l asks for.
func (m *Memory) keys(ctx context.Context, l list) ([]Key, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	var keys []Key
	if l.scope != "" && l.kind != "" && l.owner != "" {
		return l.appendKeys(keys, m.records[l]), nil
	}
	for have, names := range m.records {
		if l.asks(have) {
			keys = have.appendKeys(keys, names)
		}
	}
	return keys, nil
}

func (l list) asks(have list) bool {
	return (l.scope == "" || l.scope == have.scope) &&
		(l.kind == "" || l.kind == have.kind) &&
		(l.owner == "" || l.owner == have.owner)
}

func (l list) appendKeys(keys []Key, names map[string]entry) []Key {
	keys = slices.Grow(keys, len(names))
	for name := range names {
		keys = append(keys, Key{l.scope, l.kind, l.owner, name})
	}
	return keys
}

// one loads one record of a key that is valid.
func (m *Memory) one(ctx context.Context, k Key) (Record, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if err := m.usable(ctx); err != nil {
		return Record{}, err
	}
	return m.record(k), nil
}

// Format implements [fmt.Formatter].
func (*Memory) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer].
func (*Memory) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON implements [encoding/json.Marshaler].
func (*Memory) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
