//go:build !wasm

package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/gembok-e2ee/gembok/keystore"
)

// The buckets of a store's file. Bucket "gembok" has the number of the layout,
// one byte, under "format".
var (
	aboutName   = []byte("gembok")
	formatName  = []byte("format")
	recordsName = []byte("records")
	largeName   = []byte("large")
)

const (
	format = 1 // the layout that this package writes, and the only one so far

	// lockTime is for a predecessor that is about to end.
	lockTime = 500 * time.Millisecond
)

// Options are the choices for a Store. A nil *Options, like the zero value,
// makes all of them by default.
type Options struct {
	// MaxSize is how many bytes the file may grow to; 0 sets no limit. A
	// Commit that finds no room below it is [keystore.ErrFull]. A file grows
	// by doubling up to 16 MiB, and by steps of 16 MiB from there.
	MaxSize int64
}

// Open opens the store in the file at path, and makes an empty one if there is
// no file.
//
// It returns [keystore.ErrLocked] if someone has it open,
// [keystore.ErrReadOnly] if it may not be written, [keystore.ErrCorrupt] if the
// file is no store or is damaged, and [keystore.ErrNewerFormat] if a newer
// release wrote it. What it refuses is left untouched. It removes what is left
// of a [Store.Compact] that was interrupted, which is named like the store, with
// ".compact" behind.
func Open(path string, o *Options) (*Store, error) {
	if o == nil {
		o = &Options{}
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, storageError(err)
		}
	}
	s, err := open(path, o)
	for end := time.Now().Add(lockTime); err == errMoved && time.Now().Before(end); {
		s, err = open(path, o)
	}
	if err != nil {
		return nil, storageError(err)
	}
	_ = os.Remove(s.path + compacted) // of a Compact that did not come to its end
	syncDirectory(path)
	return s, nil
}

// errMoved reports that while its lock was waited for, someone has put another
// file in the place of the one that was opened.
var errMoved = fmt.Errorf("boltstore: %w", keystore.ErrLocked)

// create makes an empty store where there is nothing. It is made under another
// name, so that a process that stops meanwhile leaves no half-made one, and
// linked, so that the file of someone who is faster stays. Where there are no
// links, open makes it in place.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := f.Close(); err != nil {
		return err
	}
	s, err := open(f.Name(), &Options{})
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	_ = os.Link(f.Name(), path)
	return nil
}

// syncDirectory makes the name of a file durable, where directories can be
// flushed.
func syncDirectory(path string) {
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

func open(path string, o *Options) (*Store, error) {
	s := &Store{opened: true, turn: make(chan struct{}, 1), finish: (*bbolt.Tx).Commit, options: *o}
	if err := guard(func() error { return s.openFile(path, o) }); err != nil {
		if s.file != nil {
			s.abandon() // bbolt has closed it, unless it panicked
		}
		return nil, err
	}
	err := s.locate(path)
	if err == nil {
		err = guard(s.check)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// locate finds out where the file is, and that it is still there.
func (s *Store) locate(path string) (err error) {
	if s.path, err = filepath.Abs(path); err != nil {
		return err
	}
	if s.path, err = filepath.EvalSymlinks(s.path); err != nil {
		return err
	}
	mine, err := s.file.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(s.path); err != nil || !os.SameFile(mine, there) {
		return errMoved
	}
	return nil
}

// openFile opens the file. It writes nothing to one that is not empty:
// NoFreelistSync keeps bbolt from adding a list of free pages to a file that
// has none.
func (s *Store) openFile(path string, o *Options) (err error) {
	s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout:        lockTime,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
		MaxSize:        int(min(o.MaxSize, maxInt)),
		NoStatistics:   true,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			if s.file, err = os.OpenFile(name, flag, mode); err != nil {
				return nil, err
			}
			if err = lock(s.file); err == nil {
				_, err = checkFile(s.file)
			}
			return s.file, err
		},
	})
	if err == nil {
		s.db.NoFreelistSync = false
	}
	return err
}

const maxInt = int64(^uint(0) >> 1)

// check reads the format, and makes a store of a file that bbolt has just made.
func (s *Store) check() error {
	fresh, err := s.checkTables()
	if err != nil || !fresh {
		return err
	}
	return s.db.Update(makeTables)
}

func (s *Store) checkTables() (fresh bool, err error) {
	tx, err := s.begin(false)
	if err != nil {
		return false, err
	}
	defer s.rollback(tx)
	if name, _ := tx.Cursor().First(); name == nil {
		return true, nil
	}
	about := tx.Bucket(aboutName)
	if about == nil {
		return false, corrupt("not a store")
	}
	if err := checkFormat(about.Get(formatName)); err != nil {
		return false, err
	}
	if tx.Bucket(recordsName) == nil || tx.Bucket(largeName) == nil {
		return false, corrupt("no records")
	}
	s.newest.Store(tx.Bucket(recordsName).Sequence())
	return false, nil
}

func makeTables(tx *bbolt.Tx) error {
	about, err := tx.CreateBucket(aboutName)
	if err != nil {
		return err
	}
	for _, name := range [][]byte{recordsName, largeName} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return about.Put(formatName, []byte{format})
}
