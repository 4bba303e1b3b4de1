package hosting

import (
	"slices"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Diff is what changed from one manifest of an account to another. Neither
// Label has a State. The zero value is no change.
type Diff struct {
	// Wider is what is new: hosts, readers, uses, storage with a provider, and
	// classes of controller above one that there was. Of the first manifest it is
	// everything.
	Wider Label
	// Narrower is what there was and is no more.
	Narrower Label
	// KeyChanged says that another account key signed: as with an identity key that
	// changed, it may be somebody else.
	KeyChanged bool
}

// IsWider reports whether anything is Wider, or the key changed.
func (d *Diff) IsWider() bool { return d.KeyChanged || d.Wider.says() }

// IsNarrower reports whether something is Narrower, and nothing Wider.
func (d *Diff) IsNarrower() bool { return !d.IsWider() && d.Narrower.says() }

// says reports whether there is anything in a label.
func (l *Label) says() bool {
	return len(l.Controllers)+len(l.Parties)+len(l.Storage) > 0 || l.Readers != Readers{} || l.Uses != Uses{}
}

// diff compares two manifests, the first of which is nil where there was none.
// Sets are compared, never numbers: what is added is wider whatever was taken
// away.
func diff(providers map[string]keys.IdentityKey, from, to *Manifest) Diff {
	a, b := labelOf(providers, from), labelOf(providers, to)
	d := Diff{Wider: b.minus(&a), Narrower: a.minus(&b), KeyChanged: from != nil && from.Key != to.Key}
	if from != nil {
		d.Wider.Controllers = a.exceeded(d.Wider.Controllers)
		d.Wider.Storage = only(d.Wider.Storage)
	}
	d.Narrower.Controllers = b.exceeded(d.Narrower.Controllers)
	d.Narrower.Storage = only(d.Narrower.Storage)
	return d
}

// minus returns what is in l and not in other.
func (l *Label) minus(other *Label) Label {
	return Label{
		Controllers: without(l.Controllers, other.Controllers), Parties: without(l.Parties, other.Parties), Storage: without(l.Storage, other.Storage),
		Readers: readersOf(l.Readers.bits() &^ other.Readers.bits()), Uses: usesOf(l.Uses.bits() &^ other.Uses.bits()),
	}
}

func without[T comparable](a, b []T) []T {
	var out []T
	for _, v := range a {
		if !slices.Contains(b, v) {
			out = append(out, v)
		}
	}
	return out
}

// exceeded returns those of the controllers that are above one of l's: a key that
// anybody holds may be in wider hands. One that is below all of them is
// no widening.
func (l *Label) exceeded(cs []Controller) []Controller {
	return slices.DeleteFunc(cs, func(c Controller) bool { return len(l.Controllers) > 0 && c < slices.Min(l.Controllers) })
}

// only returns storage with a provider: what the owner keeps is his own.
func only(s []Storage) []Storage {
	return slices.DeleteFunc(s, func(s Storage) bool { return s != StorageProvider })
}
