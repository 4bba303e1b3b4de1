// Package keystoretest tells whether a [keystore.Store] keeps its contract. It
// is for those who write one: a few lines make it all that the store's own test
// has to contain, but for what is special about it.
//
//	func TestStore(t *testing.T) {
//		keystoretest.Run(t, func(t testing.TB) keystoretest.Harness {
//			return keystoretest.Harness{Store: open(t, t.TempDir())}
//		})
//	}
//
// # What a store's author needs to know
//
// The contract is the comment of [keystore.Store] and of its five methods.
// Most of it follows from one decision: let each Commit take the next number of
// a counter that is stored beside the records, under the same lock or in the
// same transaction that compares the expectations and makes the changes.
//
//   - Call [keystore.Validate] first; compare all expectations before the first
//     change, and collect the keys of all that fail, in the order of the changes.
//   - Store the counter, not the highest version of the records: it goes on
//     after the newest record was deleted. A Commit that fails takes no number.
//     The order of the numbers is the order in which Commits become visible.
//   - Read all keys of a Load in one snapshot.
//   - Compare keys byte for byte. Where the engine bounds the length of a key,
//     cuts it at U+0000, folds its case or wants UTF-8, store an encoding of it
//     that keeps the four parts apart; a hash, and the key beside the value.
//   - Read a List in pages, or all at once, so that neither a lock nor a
//     connection is held while the loop's body runs.
//   - Copy values on their way in and on their way out.
//   - Wrap with %w what lies beneath. Say [keystore.ErrCommitUnknown] where the
//     answer to a Commit was lost, and any other error only where it is certain
//     that nothing was changed.
//
// What the engine cannot do is documented by the store: what "durable" means,
// how large it may grow, whether several processes may open it.
//
// # Abilities
//
// What only the author can do to a store (open it again, let it crash, let what
// lies beneath it fail) is told by the fields of [Harness]. Each that is there
// adds rules; the others are skipped, by name, so that the output of go test -v
// tells what was not looked at.
//
// # How long it takes
//
// About 20,000 Commits, most of them in one run of 100,000 random operations,
// and 3,000 with -short: in memory, ten seconds and three. A store that
// waits for itself, as one does that holds its lock while the body of a loop
// commits, ends by the timeout of go test, which shows where.
package keystoretest

import (
	"testing"

	"github.com/gembok-e2ee/gembok/keystore"
)

// A Harness is a store under test and what can be done to it. The zero Harness
// has no store, and cannot be tested.
//
// There may be several at a time, each about a place of its own. Its functions
// are about the store that it opened last, and are called by one goroutine at a
// time. What they make and what a crash leaves they clean up by the Cleanup of
// the test that the store was opened for.
type Harness struct {
	// Store is open, and empty; its generation need not be 0. The kit closes it,
	// and what the functions return, unless it has found a fault.
	Store keystore.Store

	// Reopen opens the same records again, after the kit has closed the store.
	// It is nil for a store that is gone once it is closed.
	Reopen func() (keystore.Store, error)

	// Crash opens the records as they would be found if the process, or the
	// machine, ended at this moment: what Commit said to be durable is there.
	// The kit does not use the store that was open any more, and does not close
	// it. One way is to copy its files and to open the copy. Crash is called
	// while nothing is under way but, perhaps, one Commit, from within the hook
	// that Fault was given.
	Crash func() (keystore.Store, error)

	// Another opens the same records once more while the store is open, as
	// another process does: the two share nothing in memory, package-level
	// variables included. A store for one process alone answers with an error
	// that wraps [keystore.ErrLocked], which is a rule too.
	Another func() (keystore.Store, error)

	// Fault makes the store call hook from now on, whenever what lies beneath
	// may fail: before a write or a statement, after a flush, wherever the
	// author can reach. There the step fails with the error that hook returns;
	// it goes on if that is nil. Hook may panic, as what lies beneath may.
	// Fault(nil) takes the hook away. The more such points, the more is tested.
	Fault func(hook func() error)
}

// Run tests a store, by a subtest for each rule, on stores that open makes:
// empty ones, with records of their own. Since it counts goroutines, the test
// that calls it is not parallel to others, and open starts none but a store's.
func Run(t *testing.T, open func(testing.TB) Harness) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) { r.try(t, open) })
	}
}

// A rule is a part of the contract.
type rule struct {
	name  string
	needs func(*Harness) string // names the ability that is missing; nil: none is needed
	check func(*tester)
}

// try checks a rule on a store of its own.
func (r *rule) try(tb testing.TB, open func(testing.TB) Harness) {
	t := &tester{TB: tb, open: open}
	t.use(open(tb))
	if r.needs != nil {
		if missing := r.needs(&t.h); missing != "" {
			t.close()
			t.Skipf("the Harness has no %s", missing)
		}
	}
	r.check(t)
	t.close()
}

func rules() []rule {
	return []rule{
		{name: "empty store", check: emptyStore},
		{name: "load in the order asked", check: loadInTheOrderAsked},
		{name: "values are copied", check: valuesAreCopied},
		{name: "empty is not missing", check: emptyIsNotMissing},
		{name: "read your writes", check: readYourWrites},
		{name: "one version a commit", check: oneVersionACommit},
		{name: "versions never return", check: versionsNeverReturn},
		{name: "generation is the newest version", check: generationIsTheNewest},
		{name: "checks alone", check: checksAlone},
		{name: "delete of absent", check: deleteOfAbsent},
		{name: "conflicts are named", check: conflictsAreNamed},
		{name: "conflicts of many", check: conflictsOfMany},
		{name: "invalid calls", check: invalidCalls},
		{name: "errors tell nothing", check: errorsTellNothing},
		{name: "context ends", check: contextEnds},
		{name: "context ends in a commit", check: contextEndsInCommit},
		{name: "closed", check: closed},
		{name: "close while busy", check: closeWhileBusy},
		{name: "nothing is left running", check: nothingIsLeftRunning},
		{name: "names are any bytes", check: namesAreAnyBytes},
		{name: "values of any size", check: valuesOfAnySize},
		{name: "many records at once", check: manyRecordsAtOnce},
		{name: "list selects", check: listSelects},
		{name: "list is reusable and stops", check: listIsReusableAndStops},
		{name: "list ends early", check: listEndsEarly},
		{name: "commit inside list", check: commitInsideList},
		{name: "panic inside list", check: panicInsideList},
		{name: "list while others commit", check: listWhileOthersCommit},
		{name: "no lost update", check: noLostUpdate},
		{name: "one wins", check: oneWins},
		{name: "snapshots", check: snapshots},
		{name: "linearizable", check: linearizable},
		{name: "reopen", needs: reopens, check: reopen},
		{name: "crash", needs: crashes, check: crash},
		{name: "another", needs: others, check: another},
		{name: "another at once", needs: others, check: anotherAtOnce},
		{name: "faults", needs: faulty, check: faults},
		{name: "faults of reads", needs: faulty, check: faultsOfReads},
		{name: "crash in a commit", needs: crashesInCommit, check: crashInCommit},
		{name: "model", check: followsTheModel},
	}
}
