package keystore

import "slices"

// Held returns the store's own value under k, which is not a copy.
func (m *Memory) Held(k Key) []byte { return m.entry(k).value }

// Lists counts the scopes, kinds and owners that the store keeps lists for.
func (m *Memory) Lists() int { return len(m.records) }

// Clone returns a copy of the store: the same records, with their versions.
func (m *Memory) Clone() *Memory {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := &Memory{newest: m.newest, records: map[list]map[string]entry{}}
	for l, names := range m.records {
		c.records[l] = map[string]entry{}
		for name, e := range names {
			c.records[l][name] = entry{slices.Clone(e.value), e.version}
		}
	}
	return c
}

// Blinded returns the key of a blinded record, under a secret of zeros.
func Blinded(k Key) Key { return (&header{preface: preface{blind: true}}).stored(k) }
