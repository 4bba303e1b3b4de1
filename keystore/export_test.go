package keystore

// Held returns the store's own value under k, which is not a copy.
func (m *Memory) Held(k Key) []byte { return m.entry(k).value }

// Lists counts the scopes, kinds and owners that the store keeps lists for.
func (m *Memory) Lists() int { return len(m.records) }
