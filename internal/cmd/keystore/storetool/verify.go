package storetool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gembok-e2ee/gembok/keystore"
)

func (t *Tool) verify(ctx context.Context, args []string) error {
	o, err := t.parseOne("verify", args)
	if err != nil {
		return err
	}
	v := newVerifier()
	v.store, err = t.open(ctx, &o.store, false)
	switch {
	case errors.Is(err, errStructure):
		v.report(keystore.Key{Kind: wholeStore}, errStructure.Error())
	case err != nil:
		return err
	default:
		if err := errors.Join(v.run(ctx), v.store.Close()); err != nil {
			return err
		}
		if o.store.damaged && len(v.found) == 0 {
			v.report(keystore.Key{Kind: wholeStore}, "the engine finds damage that no record shows")
		}
	}
	v.print(t, o.addresses)
	if len(v.found) > 0 {
		return errFound
	}
	return nil
}

// wholeStore stands in the place of a kind.
const wholeStore = "(store)"

// A verifier reads every record of a store in full. What refers to other
// records is loaded together with them, so that a store may be in use meanwhile.
type verifier struct {
	store   keystore.Store
	records int
	newer   map[string]int // records of formats that are not known, by kind
	other   map[string]int // records of kinds that are not known
	scopes  map[string]bool
	found   map[problem][]keystore.Key
}

// A problem is what is wrong with records of a kind.
type problem struct{ kind, text string }

func newVerifier() *verifier {
	return &verifier{newer: map[string]int{}, other: map[string]int{}, scopes: map[string]bool{}, found: map[problem][]keystore.Key{}}
}

func (v *verifier) report(k keystore.Key, text string) {
	p := problem{k.Kind, text}
	v.found[p] = append(v.found[p], k)
}

// run reads the store. The error is one of the store's that ends it.
func (v *verifier) run(ctx context.Context) error {
	for rec, err := range v.store.List(ctx, "", "", "") {
		switch {
		case isDamaged(&rec, err):
			v.records++
			v.report(rec.Key, "the store cannot read it")
			continue
		case errors.Is(err, keystore.ErrCorrupt):
			v.report(keystore.Key{Kind: wholeStore}, "some records cannot be found")
			continue
		case err != nil:
			return err
		}
		if err := v.look(ctx, rec); err != nil {
			return err
		}
	}
	return v.ownerless(ctx)
}

// ownerless reports scopes that have a Device's records but are no device.
func (v *verifier) ownerless(ctx context.Context) error {
	for scope := range v.scopes {
		recs, err := v.load(ctx, selfKey(scope))
		if err != nil {
			return err
		}
		if !recs[0].there {
			v.report(selfKey(scope), "it is missing, and other records of the device are there")
		}
	}
	return nil
}

// look checks a record that was listed.
func (v *verifier) look(ctx context.Context, rec keystore.Record) error {
	v.records++
	if rec.Key == movingKey {
		v.report(rec.Key, "the copy is not finished: give the same move again")
		return nil
	}
	check := checks[rec.Key.Kind]
	if check == nil {
		v.other[rec.Key.Kind]++
		return nil
	}
	v.scopes[rec.Key.Scope] = true
	for range maxChanges {
		again, err := v.judge(ctx, &rec, check)
		if err != nil || !again {
			return err
		}
	}
	v.report(rec.Key, "it changes all the time: stop what uses the store")
	return nil
}

// maxChanges is how often a record may change while it is being looked at.
const maxChanges = 10

// judge checks a record by itself and then beside others. Again says that rec
// has changed meanwhile, and is the new one.
func (v *verifier) judge(ctx context.Context, rec *keystore.Record, check func(keystore.Key, []byte) verdict) (again bool, err error) {
	f, body := formOf(rec.Value)
	if f != readable {
		v.unread(rec.Key, f)
		return false, nil
	}
	j := check(rec.Key, body)
	if j.problem != "" || len(j.need) == 0 {
		v.reportIf(rec.Key, j.problem)
		return false, nil
	}
	recs, err := v.load(ctx, append([]keystore.Key{rec.Key}, j.need...)...)
	switch {
	case err != nil:
		return false, err
	case !recs[0].there: // deleted meanwhile
		return false, nil
	case recs[0].Version != rec.Version:
		*rec = recs[0].Record
		return true, nil
	}
	v.reportIf(rec.Key, j.rest(recs[1:]))
	return false, nil
}

func (v *verifier) reportIf(k keystore.Key, text string) {
	if text != "" {
		v.report(k, text)
	}
}

// unread reports a value that is not read.
func (v *verifier) unread(k keystore.Key, f form) {
	switch f {
	case newer:
		v.newer[k.Kind]++
	case half:
		v.report(k, "the copy is not finished: give the same move again")
	default:
		v.report(k, "it has no format")
	}
}

// An other is a record beside one that is checked.
type other struct {
	keystore.Record
	there bool
	sound bool   // by itself; else it is reported by itself
	body  []byte // if sound
}

// load loads records. What is wrong with one of them is found when it is
// listed.
func (v *verifier) load(ctx context.Context, keys ...keystore.Key) ([]other, error) {
	recs, err := v.store.Load(ctx, keys...)
	if err != nil && !(errors.Is(err, keystore.ErrCorrupt) && len(recs) == len(keys)) {
		return nil, err
	}
	out := make([]other, len(recs))
	for i, rec := range recs {
		f, body := formOf(rec.Value)
		out[i] = other{Record: rec, there: rec.Version != 0, body: body}
		out[i].sound = f == readable && checks[rec.Key.Kind](rec.Key, body).problem == ""
	}
	return out, nil
}

// print prints what was found.
func (v *verifier) print(t *Tool, addresses bool) {
	problems := table{{"<KIND", "<PROBLEM", "RECORDS"}}
	damaged := 0
	for _, p := range slices.SortedFunc(maps.Keys(v.found), func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
	}) {
		damaged += len(v.found[p])
		problems.add(quote(p.kind), p.text, count(len(v.found[p])))
	}
	problems.print(t.Out)
	if addresses {
		v.printKeys(t)
	}
	printKinds(t, "of a newer format, not looked into", v.newer)
	printKinds(t, "of other kinds, not looked into", v.other)
	fmt.Fprintf(t.Out, "%s records of %s devices: ", count(v.records), count(len(v.scopes)))
	if damaged == 0 {
		fmt.Fprintln(t.Out, "no damage found")
	} else {
		fmt.Fprintf(t.Out, "%s damaged\n", count(damaged))
	}
}

func (v *verifier) printKeys(t *Tool) {
	list := table{{"<KIND", "<DEVICE", "<OWNER", "<NAME", "<PROBLEM"}}
	for p, keys := range v.found {
		for _, k := range keys {
			list.add(quote(k.Kind), quote(k.Scope), quote(k.Owner), quote(k.Name), p.text)
		}
	}
	slices.SortFunc(list[1:], slices.Compare)
	list.print(t.Out)
}

func printKinds(t *Tool, what string, kinds map[string]int) {
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		fmt.Fprintf(t.Out, "%s records %s: %s\n", count(kinds[kind]), what, quote(kind))
	}
}
