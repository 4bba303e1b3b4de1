//go:build !wasm

package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.etcd.io/bbolt"
)

const (
	// compacted follows the name of the file that Compact writes. Whoever has
	// the lock of the store's file may remove it.
	compacted = ".compact"

	// compactBatch bounds the bytes of the records that are written in one
	// transaction, one large value excepted.
	compactBatch = 4 << 20

	// compactFill is how full pages are made, since records come in order.
	compactFill = 0.9
)

// Compact writes the store anew, into a file beside it that then takes its
// place: one that is no larger than its records ask for, and in which, as in the
// directory, there is no byte of what was deleted or overwritten before. What a
// disk or a file system keeps of a file that was removed is beyond it.
//
// A crash at any moment leaves the old file or the new one, whole. Loads and
// Lists go on, Commits wait. An error leaves the old file in use, and nothing
// beside it: among others [keystore.ErrCorrupt] if Check would find damage,
// [keystore.ErrFull] if there is no room for both files and
// [keystore.ErrReadOnly] if no file may be made in the directory. Only after one
// that came when the new file had taken its place does the store do nothing more
// but Close; open it again.
//
// The file keeps its mode, but is the process's own, and other names (hard links)
// stay with the old one. On Windows, which does not rename an open file, it is
// closed for a moment: whoever opens it then keeps it, and the error is
// [keystore.ErrLocked].
func (s *Store) Compact(ctx context.Context) error {
	s.use.RLock()
	defer s.use.RUnlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.health.unfit(true); err != nil {
		return err
	}
	return storageError(s.compact(ctx))
}

// compact is Compact, by whoever has the turn.
func (s *Store) compact(ctx context.Context) error {
	tx, err := s.begin(false)
	if err != nil {
		return err
	}
	next, err := s.copyOf(ctx, tx)
	s.rollback(tx)
	if err != nil {
		return err
	}
	if err := s.replace(next); err != nil {
		return errors.Join(err, next.discard())
	}
	if err := syncRenamed(s.path); err != nil {
		why := fmt.Errorf("boltstore: not to be used, since it may be the old file after a crash: %w", err)
		s.health.reads.CompareAndSwap(nil, &why)
		return err
	}
	return nil
}

// copyOf checks what tx sees, and writes it to a file of its own, which is
// durable then but for its name.
func (s *Store) copyOf(ctx context.Context, tx *bbolt.Tx) (next *Store, err error) {
	h, err := checkFile(s.file)
	if err != nil {
		return nil, err
	}
	if err := checkTree(ctx, s.file, h); err != nil {
		return nil, err
	}
	info, err := s.file.Stat()
	if err != nil {
		return nil, err
	}
	if err := remove(s.path + compacted); err != nil {
		return nil, err
	}
	if next, err = open(s.path+compacted, &s.options); err != nil {
		return nil, errors.Join(err, remove(s.path+compacted))
	}
	if err = guard(func() error { return next.fill(ctx, tx) }); err == nil {
		err = os.Chmod(next.path, info.Mode().Perm())
	}
	if err != nil {
		return nil, errors.Join(err, next.discard())
	}
	return next, nil
}

// discard removes a store that is not needed.
func (s *Store) discard() error { return errors.Join(s.Close(), remove(s.path)) }

func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fill copies what tx sees into an empty store, and flushes it once.
func (s *Store) fill(ctx context.Context, tx *bbolt.Tx) error {
	from, err := newTables(tx)
	if err != nil {
		return err
	}
	s.db.NoSync = true
	k, v := from.cursor.First()
	for k != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := s.db.Update(func(tx *bbolt.Tx) (err error) {
			to, err := newTables(tx)
			if err != nil {
				return err
			}
			k, v, err = to.copySome(from, k, v)
			return err
		})
		if err != nil {
			return err
		}
	}
	err = s.db.Update(func(tx *bbolt.Tx) error {
		to, err := newTables(tx)
		if err != nil {
			return err
		}
		return errors.Join(to.setGeneration(from.records.Sequence()), to.large().SetSequence(from.large().Sequence()))
	})
	if err != nil {
		return err
	}
	s.db.NoSync = false
	return s.db.Sync()
}

// copySome copies records from k on, and returns the first one that it did not.
func (t *tables) copySome(from *tables, k, v []byte) (_, _ []byte, err error) {
	t.records.FillPercent = compactFill
	for size := 0; k != nil && size < compactBatch; k, v = from.cursor.Next() {
		e, err := parse(k, v)
		if err != nil {
			return nil, nil, err
		}
		size += len(k) + len(v)
		if e.form == outside {
			ref := parseReference(e.rest)
			size += int(ref.length)
			if err := t.copyLarge(from, ref.id); err != nil {
				return nil, nil, err
			}
		}
		if err := t.records.Put(k, v); err != nil {
			return nil, nil, err
		}
	}
	return k, v, nil
}

func (t *tables) copyLarge(from *tables, id uint64) error {
	source := from.large().Bucket(number(id))
	if source == nil {
		return corrupt("large value is missing")
	}
	b, err := t.large().CreateBucket(number(id))
	if err != nil {
		return err
	}
	return source.ForEach(b.Put)
}

// replace puts the file of next in the place of the store's own, and the store
// goes on with it. An error leaves all as it was.
func (s *Store) replace(next *Store) error {
	s.swap.Lock()
	defer s.swap.Unlock()
	if !renamesOpen {
		return s.replaceClosed(next)
	}
	if err := os.Rename(next.path, s.path); err != nil {
		return err
	}
	old := s.db
	s.db, s.file = next.db, next.file
	_ = old.Close() // of a file that has no name any more
	return nil
}

// renamesOpen tells whether a file that is open can be renamed, and another one
// put in its place. Then its lock is never given up.
var renamesOpen = runtime.GOOS != "windows"

// replaceClosed is replace where open files keep their names.
func (s *Store) replaceClosed(next *Store) error {
	err := next.Close()
	if err != nil {
		return err
	}
	if err = s.db.Close(); err == nil {
		err = os.Rename(next.path, s.path)
	}
	now, openErr := open(s.path, &s.options)
	if openErr != nil {
		why := fmt.Errorf("boltstore: not to be used, since it could not be opened again: %w", openErr)
		s.health.reads.CompareAndSwap(nil, &why)
		return errors.Join(err, openErr)
	}
	s.db, s.file = now.db, now.file
	return err
}

// syncRenamed makes the name of a file durable. Where directories cannot be
// flushed there is nothing to do.
func syncRenamed(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !is(err, noSync) && runtime.GOOS != "windows" {
		return err
	}
	return nil
}
