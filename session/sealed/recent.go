package sealed

// A recent holds a bounded number of values, those used of late rather than
// others: a new one takes the place of the next one round that was not used
// since the hand came by (the "clock" of page replacement). What it drops is
// overwritten. The zero value is empty. It is not safe for concurrent use.
type recent[K comparable, V any] struct {
	at    map[K]int
	slots []slot[K, V]
	hand  int
}

type slot[K comparable, V any] struct {
	key   K
	value V
	used  bool
}

// get returns the value of key, which is good until the next put, or nil.
func (r *recent[K, V]) get(key K) *V {
	i, ok := r.at[key]
	if !ok {
		return nil
	}
	r.slots[i].used = true
	return &r.slots[i].value
}

// put adds a value, of at most limit.
func (r *recent[K, V]) put(limit int, key K, value V) {
	if limit <= 0 || r.get(key) != nil {
		return
	}
	if r.at == nil {
		r.at = map[K]int{}
	}
	if len(r.slots) < limit {
		r.at[key] = len(r.slots)
		r.grow(limit)
		r.slots = append(r.slots, slot[K, V]{key: key, value: value})
		return
	}
	for r.slots[r.hand].used {
		r.slots[r.hand].used = false
		r.hand = (r.hand + 1) % len(r.slots)
	}
	delete(r.at, r.slots[r.hand].key)
	r.at[key] = r.hand
	r.slots[r.hand] = slot[K, V]{key: key, value: value}
	r.hand = (r.hand + 1) % len(r.slots)
}

// grow makes room for one more, and leaves no copy behind.
func (r *recent[K, V]) grow(limit int) {
	if len(r.slots) < cap(r.slots) {
		return
	}
	more := make([]slot[K, V], len(r.slots), min(2*len(r.slots)+8, limit))
	copy(more, r.slots)
	clear(r.slots)
	r.slots = more
}
