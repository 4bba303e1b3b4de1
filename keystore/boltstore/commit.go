//go:build !wasm

package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/gembok-e2ee/gembok/keystore"
)

// maxBatch bounds the bytes of the Commits that share a flush, one alone
// excepted.
const maxBatch = 16 << 20

// A request is a Commit that waits. Whoever has the turn takes it from the
// queue, owns it from then on, and closes done once version and err are set.
type request struct {
	ctx     context.Context
	steps   []step
	buf     []byte // into which steps point
	size    int
	done    chan struct{}
	version uint64
	err     error
}

// A step is a change in its stored form.
type step struct {
	change *keystore.Change
	key    []byte
	value  []byte // of a Put, without the versions, and without where it is if that is outside

	// What there was before.
	created uint64 // 0: nothing
	large   uint64 // id of the large value, 0: it had none
}

// Commit implements [keystore.Store]. After [keystore.ErrCommitUnknown], which
// is a flush that failed at its very end, the store does nothing more but Close;
// open it again, and Load.
//
// A context that ends takes back a Commit that waits for a flush; one that is
// in a flush stays until that is over, and returns what came of it.
func (s *Store) Commit(ctx context.Context, changes ...keystore.Change) (uint64, error) {
	if err := keystore.Validate(changes); err != nil {
		return 0, err
	}
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	r := newRequest(ctx, changes, s.buffer())
	defer s.reuse(r)
	s.mu.Lock()
	s.queue = append(s.queue, r)
	s.mu.Unlock()
	return s.await(r)
}

// await returns what comes of a request, and takes a turn at making it and all
// others that wait when there is one.
func (s *Store) await(r *request) (uint64, error) {
	for {
		select {
		case <-r.done:
			return r.version, r.err
		case s.turn <- struct{}{}:
			if s.lead(); !r.over() {
				continue // there were too many before it
			}
		case <-r.ctx.Done():
			if s.withdraw(r) {
				return 0, r.ctx.Err()
			}
			<-r.done // someone has it, and cannot let go
		}
		return r.version, r.err
	}
}

// over tells whether version and err are set.
func (r *request) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// maxBuffer bounds what is kept of a Commit for the next one.
const maxBuffer = 4 << 20

// buffer returns room for the stored form of changes, perhaps that of an earlier
// Commit: fresh memory costs more than what is done with it.
func (s *Store) buffer() []byte {
	if b, ok := s.buffers.Get().(*[]byte); ok {
		return *b
	}
	return nil
}

// reuse gives up the room of a request that is over: with the transaction bbolt
// has let go of it.
func (s *Store) reuse(r *request) {
	if cap(r.buf) > 0 && cap(r.buf) <= maxBuffer {
		clear(r.buf)
		r.buf = r.buf[:0]
		s.buffers.Put(&r.buf)
	}
}

func newRequest(ctx context.Context, changes []keystore.Change, buf []byte) *request {
	r := &request{ctx: ctx, steps: make([]step, len(changes)), done: make(chan struct{})}
	room := 0
	for i := range changes {
		c := &changes[i]
		r.size += len(c.Value)
		room += storedSize(&c.Key) + min(len(c.Value), inlineMax)
	}
	r.buf = slices.Grow(buf, room)
	for i := range changes {
		r.steps[i], r.buf = newStep(r.buf, &changes[i])
	}
	return r
}

// newStep appends the stored form of a change to buf, into which the step points.
func newStep(buf []byte, c *keystore.Change) (st step, _ []byte) {
	st.change = c
	at := len(buf)
	buf = appendKey(buf, &c.Key)
	st.key = buf[at:len(buf):len(buf)]
	if c.Op != keystore.Put {
		return st, buf
	}
	at = len(buf)
	if len(c.Value) > inlineMax {
		buf = appendHeader(buf, &c.Key, outside)
	} else {
		buf = append(appendHeader(buf, &c.Key, inline), c.Value...)
	}
	st.value = buf[at:len(buf):len(buf)]
	return st, buf
}

// withdraw takes a request back, unless it is taken already.
func (s *Store) withdraw(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queue, r)
	if i < 0 {
		return false
	}
	s.queue = slices.Delete(s.queue, i, i+1)
	return true
}

// lead makes the Commits that wait, and gives the turn away. First it lets in
// those who are about to commit again, now that a flush has ended: the first of
// them would have this one for itself otherwise, and the others wait for the
// next.
func (s *Store) lead() {
	defer func() { <-s.turn }()
	runtime.Gosched()
	batch := s.take()
	s.make(batch)
	for _, r := range batch {
		close(r.done)
	}
}

// take takes requests from the queue, and answers those whose context has
// ended.
func (s *Store) take() (batch []*request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for ; n < len(s.queue); n++ {
		r := s.queue[n]
		if r.err = r.ctx.Err(); r.err != nil {
			close(r.done)
			continue
		}
		if size += r.size; size > maxBatch && len(batch) > 0 {
			break
		}
		batch = append(batch, r)
	}
	s.queue = slices.Delete(s.queue, 0, n)
	return batch
}

// make makes Commits in one transaction. If that fails as a whole, it makes
// them one by one, since one of them may be to blame.
func (s *Store) make(batch []*request) {
	err := s.write(batch)
	if err == nil || len(batch) < 2 || s.health.unfit(true) != nil {
		fail(batch, err)
		return
	}
	for i := range batch {
		fail(batch[i:i+1], s.write(batch[i:i+1]))
	}
}

func fail(batch []*request, err error) {
	if err == nil {
		return
	}
	for _, r := range batch {
		r.version, r.err = 0, err
	}
}

// write makes Commits in one transaction, and sets what each returns. Its error
// is of all of them.
func (s *Store) write(batch []*request) error {
	if len(batch) == 0 {
		return nil
	}
	tx, err := s.begin(true)
	if err != nil {
		return err
	}
	defer s.rollback(tx)
	var old, newest uint64
	err = guard(func() error {
		t, err := newTables(tx)
		if err != nil {
			return err
		}
		old = t.records.Sequence()
		newest, err = t.judge(batch, old)
		return err
	})
	if err != nil {
		return s.damaged(err)
	}
	if newest == old {
		return nil // nothing to write
	}
	if err := guard(func() error { return s.finish(tx) }); err != nil {
		return s.failed(err, old)
	}
	s.newest.Store(newest)
	return nil
}

// damaged stops all writing if err says that the file is.
func (s *Store) damaged(err error) error {
	if err == errDamaged {
		s.health.writes.CompareAndSwap(nil, &err)
	}
	return storageError(err)
}

// judge checks the expectations of each Commit, and makes the changes of those
// that hold, in order, so that each sees what the ones before it did. It
// returns the newest version.
func (t *tables) judge(batch []*request, newest uint64) (uint64, error) {
	for _, r := range batch {
		writes := false
		for i := range r.steps {
			writes = writes || r.steps[i].change.Op != keystore.Check
		}
		if r.version, r.err = 0, t.expect(r); r.err != nil || !writes {
			continue
		}
		newest++
		if err := t.apply(r, newest); err != nil {
			return 0, err
		}
		r.version = newest
	}
	return newest, t.setGeneration(newest)
}

// setGeneration writes the generation twice, since a bucket's sequence has no
// checksum.
func (t *tables) setGeneration(newest uint64) error {
	if err := t.tx.Bucket(aboutName).SetSequence(newest); err != nil {
		return err
	}
	return t.records.SetSequence(newest)
}

// expect checks the expectations of a Commit. A damaged record has the version
// that Load says, so that it can be put or deleted; what it had outside of
// itself stays behind, until Compact.
func (t *tables) expect(r *request) error {
	var lost []keystore.Key
	for i := range r.steps {
		st := &r.steps[i]
		if t.before(st) != st.change.Expect {
			lost = append(lost, st.change.Key)
		}
	}
	if lost != nil {
		return &keystore.ConflictError{Keys: lost}
	}
	return nil
}

// before notes what there is under the key of a step, and returns its version.
// It looks at no more of it than it needs.
func (t *tables) before(st *step) (version uint64) {
	st.created, st.large = 0, 0
	k, v := t.cursor.Seek(st.key)
	if string(k) != string(st.key) || len(v) < headerSize {
		return 0
	}
	version, created := versions(v)
	if created <= version { // or it is damaged
		st.created = created
	}
	if v[formAt] == outside {
		if e, err := parse(k, v); err == nil {
			ref := parseReference(e.rest)
			st.large = ref.id
		}
	}
	return version
}

// apply makes the changes of a Commit.
func (t *tables) apply(r *request, version uint64) error {
	for i := range r.steps {
		st := &r.steps[i]
		if err := t.applyStep(st, version); err != nil {
			return fmt.Errorf("change %d: %w", i, err)
		}
	}
	return nil
}

func (t *tables) applyStep(st *step, version uint64) error {
	if st.change.Op == keystore.Check {
		return nil
	}
	if st.large != 0 {
		if err := t.dropLarge(st.large); err != nil {
			return err
		}
	}
	if st.change.Op == keystore.Delete {
		return t.records.Delete(st.key)
	}
	value := st.value
	if value[formAt] == outside {
		ref, err := t.putLarge(st.change.Value)
		if err != nil {
			return err
		}
		value = ref.appendTo(value)
	}
	seal(st.key, value, cmp.Or(st.created, version), version)
	return t.records.Put(st.key, value)
}

// failed tells what became of a transaction that could not be finished, with
// old the generation before it.
//
// All fails before bbolt writes the page that says which pages count: then the
// Commits were not made. If it was written but not flushed, nobody knows what
// is on the disk, nor can learn it by flushing again, since a system may drop
// what it failed to write. Then nothing more is read or written, so that nobody
// relies on what may be gone.
func (s *Store) failed(err error, old uint64) error {
	if err == errDamaged {
		s.health.writes.CompareAndSwap(nil, &err)
	}
	switch now, lookErr := s.generation(); {
	case lookErr == nil && now == old:
		return storageError(err)
	case errors.Is(lookErr, bolterrors.ErrInvalidMapping):
		return storageError(err) // the file could not be mapped in its new size, which is done first
	}
	why := fmt.Errorf("boltstore: not to be used after a failed flush: %w", err)
	s.health.reads.CompareAndSwap(nil, &why)
	return fmt.Errorf("boltstore: %w: %w", keystore.ErrCommitUnknown, err)
}
