package keystore

import "fmt"

// Validate finds the faults of a Commit that do not depend on what the store
// holds, and reports them as [ErrInvalid]: a Key that is not valid, an unknown
// Op, two changes of one Key. It is for those who write a [Store].
func Validate(changes []Change) error {
	for i := range changes {
		c := &changes[i]
		if c.Op < Put || c.Op > Check {
			return fmt.Errorf("%w: change %d: unknown op %d", ErrInvalid, i, c.Op)
		}
		if !c.Key.Valid() {
			return fmt.Errorf("%w: change %d: empty scope or kind", ErrInvalid, i)
		}
	}
	if i, j, found := sameKey(changes); found {
		return fmt.Errorf("%w: changes %d and %d are of the same key", ErrInvalid, i, j)
	}
	return nil
}

// sameKey finds two changes of one key. The usual Commit has a few changes,
// for which no map is built.
func sameKey(changes []Change) (i, j int, found bool) {
	if len(changes) <= 16 {
		for j := range changes {
			for i := range j {
				if changes[i].Key == changes[j].Key {
					return i, j, true
				}
			}
		}
		return 0, 0, false
	}
	seen := make(map[Key]int, len(changes))
	for j := range changes {
		if i, found := seen[changes[j].Key]; found {
			return i, j, true
		}
		seen[changes[j].Key] = j
	}
	return 0, 0, false
}
