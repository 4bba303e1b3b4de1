package storetool

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A place is a store that an argument names, and what opens it.
type place struct {
	engine, at      string
	passphrase, key string // files, or "-"
	blind           bool   // of a store that is made
	damaged         bool   // the engine finds damaged records
}

// flags makes the flags of an encrypted store, whose names begin with a prefix.
func (p *place) flags(f *flag.FlagSet, prefix string) {
	f.StringVar(&p.passphrase, prefix+"passphrase", "", "")
	f.StringVar(&p.key, prefix+"key", "", "")
}

// name takes the argument that names the store.
func (t *Tool) name(p *place, arg string) error {
	var ok bool
	if p.engine, p.at, ok = strings.Cut(arg, ":"); !ok || p.at == "" || !slices.Contains(t.Engines, p.engine) {
		return fmt.Errorf("%w: a store is named as engine and place, with one of the engines %s", errUsage, strings.Join(t.Engines, ", "))
	}
	if p.passphrase != "" && p.key != "" {
		return fmt.Errorf("%w: a store has a passphrase or a key", errUsage)
	}
	return nil
}

func (p *place) encrypted() bool { return p.passphrase != "" || p.key != "" }

// kindOfPlace says what the places of an engine are.
func kindOfPlace(engine string) string {
	if isFile(engine) {
		return "FILE"
	}
	return "CONNECTION"
}

func isFile(engine string) bool { return engine == "bolt" || engine == "sqlite" }

// errStructure reports a store that may lead whoever reads it in circles.
var errStructure = errors.New("its structure is damaged, so that no record was looked at")

// examine tells whether a store that is to be read is there, as to open it would
// make it, and may be opened.
func (t *Tool) examine(ctx context.Context, p *place) error {
	if isFile(p.engine) {
		if info, err := os.Stat(p.at); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			return errors.New("not a file")
		}
	}
	err := t.Check(ctx, p.engine, p.at)
	if records := (*keystore.CorruptError)(nil); errors.As(err, &records) {
		p.damaged, err = true, nil
	}
	if errors.Is(err, keystore.ErrCorrupt) {
		return fmt.Errorf("%w: %w", errStructure, err)
	}
	return err
}

// headKey names the record that an encrypted store has for itself.
var headKey = keystore.Key{Scope: "encryption", Kind: "header"}

var (
	errPlain     = errors.New("the store is not encrypted")
	errEncrypted = errors.New("the store is encrypted: -passphrase or -key opens it")
)

// open opens a store that is to be read, and what is encrypted only if p opens
// it; raw has it as it is.
func (t *Tool) open(ctx context.Context, p *place, raw bool) (keystore.Store, error) {
	if err := t.examine(ctx, p); err != nil {
		return nil, err
	}
	return t.opened(ctx, p, func(s keystore.Store) error {
		head, err := s.Load(ctx, headKey)
		switch there := len(head) == 1 && head[0].Version != 0; {
		case err != nil && !errors.Is(err, keystore.ErrCorrupt):
			return err
		case p.encrypted() && !there:
			return errPlain
		case there && !p.encrypted() && !raw:
			return errEncrypted
		}
		return nil
	})
}

// make opens a store that may be made.
func (t *Tool) make(ctx context.Context, p *place) (keystore.Store, error) {
	return t.opened(ctx, p, func(keystore.Store) error { return nil })
}

// opened opens a store, asks whether it may be used, and unlocks it.
func (t *Tool) opened(ctx context.Context, p *place, allow func(keystore.Store) error) (keystore.Store, error) {
	u, err := t.unlock(p)
	if err != nil {
		return nil, err
	}
	s, err := t.Open(ctx, p.engine, p.at)
	if err != nil {
		return nil, err
	}
	out := s
	if err = allow(s); err == nil && p.encrypted() {
		out, err = keystore.OpenEncrypted(ctx, s, u, &keystore.EncryptedOptions{Blind: p.blind})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return out, nil
}

// unlock reads what opens an encrypted store.
func (t *Tool) unlock(p *place) (u keystore.Unlock, err error) {
	if p.passphrase != "" {
		line, err := t.firstLine(p.passphrase)
		if err == nil && len(line) == 0 {
			err = errors.New("the passphrase is empty")
		}
		return keystore.Unlock{Passphrase: string(line)}, err
	}
	if p.key == "" {
		return u, nil
	}
	line, err := t.firstLine(p.key)
	if err != nil {
		return u, err
	}
	u.Key = new([32]byte)
	if n, err := hex.Decode(u.Key[:], line[:min(len(line), 2*len(u.Key))]); err != nil || n != len(u.Key) || len(line) != 2*n {
		return keystore.Unlock{}, errors.New("a key is 64 hexadecimal digits, in the first line of its file")
	}
	return u, nil
}

// maxLine is more than any passphrase has.
const maxLine = 1 << 20

// firstLine reads the first line of a file, without its end; "-" is the next
// line of the input.
func (t *Tool) firstLine(name string) ([]byte, error) {
	in := t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = bufio.NewReader(io.LimitReader(f, maxLine))
	}
	line, err := in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
}
