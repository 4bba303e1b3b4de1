// Package storetool is the program keystore without its engines: it counts what
// a store of Devices holds, checks every record, and moves a store to another
// engine. It is for whoever runs a store, and shows no key, no plaintext and,
// unless it is asked to, no address.
//
// It knows the records of package session as the design has them (Section 5),
// and reads them by internal/wire and the packages of the protocol; those that
// it does not know, of an app or of a newer release, are counted and copied.
package storetool

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/gembok-e2ee/gembok/keystore"
)

// What Run returns, for the program to end with.
const (
	codeFine   = 0
	codeFailed = 1 // damage was found, or the command failed
	codeUsage  = 2
)

// A Tool is the program with some engines. All fields but Now must be set.
type Tool struct {
	Command string   // how it is called
	Engines []string // by name, as in "bolt:FILE"
	// Open opens the store of an engine at a place, and makes it if there is
	// none.
	Open func(ctx context.Context, engine, place string) (keystore.Store, error)
	// Check looks at what lies below the records of a store before it is opened.
	// Its error is ErrCorrupt for damage, a CorruptError where only records have
	// it; nil where the engine has no such check.
	Check    func(ctx context.Context, engine, place string) error
	In       io.Reader // where "-" reads a passphrase or key
	Out, Err io.Writer
	Now      func() time.Time // nil: time.Now

	in *bufio.Reader // over In
}

// errUsage is a fault of whoever called the program.
var errUsage = errors.New("usage")

// errFound reports damage that was printed already.
var errFound = errors.New("damaged")

// Run does what the arguments say and returns the code to end with.
func (t *Tool) Run(ctx context.Context, args []string) int {
	t.in = bufio.NewReader(t.In)
	if t.Now == nil {
		t.Now = time.Now
	}
	err := t.run(ctx, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return codeFine
	case errors.Is(err, errFound):
		return codeFailed
	case errors.Is(err, errUsage):
		fmt.Fprintf(t.Err, "keystore: %v\nRun %s help to see how it is called.\n", err, t.Command)
		return codeUsage
	}
	fmt.Fprintf(t.Err, "keystore: %v\n", err)
	return codeFailed
}

func (t *Tool) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	switch name, rest := args[0], args[1:]; name {
	case "inspect":
		return t.inspect(ctx, rest)
	case "verify":
		return t.verify(ctx, rest)
	case "move":
		return t.move(ctx, rest)
	case "help", "-h", "-help", "--help":
		t.help()
		return nil
	default:
		return fmt.Errorf("%w: there is no command of that name", errUsage)
	}
}

const helpText = `Keystore looks into a store of gembok, checks it, and moves it.

  COMMAND inspect [-addresses] STORE
  COMMAND verify [-addresses] STORE
  COMMAND move [-to-blind] FROM TO

STORE, FROM and TO are an engine and a place, such as ENGINES.

inspect  counts records by kind, with sizes, ages and format versions, and by
         device what is left of its prekeys and what waits for the app.
verify   reads every record in full: bytes, keys, and what refers to what. Only
         in an encrypted store is every change of a value seen: elsewhere one
         within a key may not be, nor values that changed places with their like.
move     copies FROM to TO, which must be empty, and compares the two. Stop
         every app that uses FROM before. What was interrupted goes on when the
         same command is given again; until it is through, no device can be
         opened in TO. FROM is left as it is: delete it once TO is in use. A
         device that goes on in both would use keys twice.
         Versions are new in TO. An app that keeps the generation mark of its
         store takes the one that move prints in place of the old.

-addresses        shows the names of users, devices and records.
-passphrase FILE  of an encrypted STORE or FROM: the first line of FILE, or, for
                  "-", of the standard input, where it is shown when typed.
-key FILE         the same for a key, of 64 hexadecimal digits.
-to-passphrase FILE, -to-key FILE
                  encrypt TO, with -to-blind the owners and names of records as
                  well. Without any of these flags an encrypted FROM is copied
                  as it is, with -passphrase or -key alone it is decrypted.

Neither keys nor texts are ever shown. The program ends with 0 if all is well, 1
if it found damage or failed, 2 if it was called wrongly.
`

func (t *Tool) help() {
	places := make([]string, len(t.Engines))
	for i, e := range t.Engines {
		places[i] = e + ":" + kindOfPlace(e)
	}
	io.WriteString(t.Out, strings.NewReplacer("COMMAND", t.Command, "ENGINES", strings.Join(places, " or ")).Replace(helpText))
}

// options are the flags of a command.
type options struct {
	addresses bool
	store, to place
}

// parse reads the flags of a command, and the stores that follow.
func (t *Tool) parse(name string, args []string, set func(*flag.FlagSet, *options), places func(*options) []*place) (o options, err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	o.store.flags(f, "")
	set(f, &o)
	all := places(&o)
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		t.help()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w: %s has no such flag, or it lacks a value", errUsage, name)
	case f.NArg() != len(all):
		return o, fmt.Errorf("%w: %s takes %d arguments behind its flags", errUsage, name, len(all))
	}
	for i, p := range all {
		if err := t.name(p, f.Arg(i)); err != nil {
			return o, err
		}
	}
	return o, nil
}

// parseOne reads those of a command that reads a store.
func (t *Tool) parseOne(name string, args []string) (options, error) {
	return t.parse(name, args, func(f *flag.FlagSet, o *options) { f.BoolVar(&o.addresses, "addresses", false, "") },
		func(o *options) []*place { return []*place{&o.store} })
}
