package keystoretest_test

// flaws lists what can be wrong with a store, and the rules that find it.
var flaws = []struct {
	flaw  string
	rules []string
}{
	// Values.
	{"keeps the caller's value", []string{"values are copied", "model"}},
	{"hands out its own value", []string{"values are copied", "load in the order asked"}},
	{"lists its own values", []string{"values are copied"}},
	{"empty is missing", []string{"empty is not missing", "model"}},
	{"cuts values at 1 MiB", []string{"values of any size"}},
	{"cuts values at 64 MiB", []string{"values of any size"}},
	{"pads values", []string{"load in the order asked", "model"}},
	{"ends values at a zero", []string{"values of any size", "model"}},

	// Names.
	{"folds case", []string{"names are any bytes", "model"}},
	{"trims spaces", []string{"names are any bytes"}},
	{"wants UTF-8", []string{"names are any bytes", "model"}},
	{"ends at U+0000", []string{"names are any bytes", "model"}},
	{"cuts names at 255", []string{"names are any bytes"}},
	{"joins names by a slash", []string{"names are any bytes", "list selects"}},
	{"one scope", []string{"names are any bytes", "model"}},
	{"takes any key", []string{"invalid calls"}},
	{"takes any change", []string{"invalid calls", "model"}},

	// Versions.
	{"the next version of its records", []string{"versions never return", "generation is the newest version", "linearizable", "model"}},
	{"a counter for each scope", []string{"versions never return", "model"}},
	{"a counter for each record", []string{"versions never return", "model"}},
	{"no version for a Delete", []string{"versions never return", "delete of absent"}},
	{"a version for each change", []string{"one version a commit", "many records at once"}},
	{"a version for Checks", []string{"checks alone"}},
	{"a new version for what is checked", []string{"one version a commit", "checks alone"}},
	{"tells the version before", []string{"empty store", "one version a commit"}},
	{"takes a version for a conflict", []string{"generation is the newest version", "conflicts are named", "linearizable"}},
	{"generation of its records", []string{"generation is the newest version", "model"}},

	// Conflicts.
	{"names the first conflict", []string{"conflicts are named", "conflicts of many", "linearizable", "model"}},
	{"names conflicts backwards", []string{"conflicts are named", "conflicts of many"}},
	{"names all keys", []string{"conflicts are named", "conflicts of many"}},
	{"names no conflict", []string{"conflicts are named"}},
	{"has an error of its own for conflicts", []string{"conflicts are named", "one wins"}},
	{"does not know of conflicts", []string{"conflicts are named", "model"}},
	{"makes what comes before a conflict", []string{"conflicts are named", "conflicts of many", "linearizable"}},
	{"makes what has no conflict", []string{"conflicts of many", "one wins", "linearizable"}},
	{"does not look at Checks", []string{"checks alone", "conflicts are named", "linearizable"}},
	{"does not look what it deletes", []string{"delete of absent", "conflicts are named"}},
	{"puts blindly", []string{"conflicts are named", "one wins"}},
	{"puts anything in place of nothing", []string{"conflicts are named", "model"}},
	{"overwrites what should be absent", []string{"empty is not missing", "conflicts are named"}},
	{"expects at least", []string{"conflicts are named"}},
	{"tells a key in an error", []string{"errors tell nothing"}},

	// Reads.
	{"loads in order of names", []string{"load in the order asked", "many records at once"}},
	{"loads each key once", []string{"load in the order asked", "model"}},
	{"loads one by one", []string{"snapshots", "linearizable"}},
	{"remembers what it loaded", []string{"read your writes", "model"}},
	{"answers of the past", []string{"read your writes", "linearizable"}},
	{"checks, and then writes", []string{"no lost update", "one wins", "snapshots", "linearizable", "another at once"}},

	// Lists.
	{"lists all but the last", []string{"list selects", "commit inside list", "list while others commit"}},
	{"lists some twice", []string{"list selects", "model"}},
	{"lists at most 1000", []string{"many records at once"}},
	{"lists any kind", []string{"list selects"}},
	{"lists any owner", []string{"list selects"}},
	{"lists by patterns", []string{"names are any bytes", "model"}},
	{"lists once", []string{"list is reusable and stops"}},
	{"lists under its lock", []string{"commit inside list", "panic inside list"}},
	{"lists old values of new versions", []string{"list while others commit", "model"}},
	{"skips where others commit", []string{"list while others commit"}},
	{"ends a list in silence", []string{"list ends early"}},
	{"goes on after an error", []string{"list ends early"}},
	{"lists nothing when closed", []string{"closed"}},

	// Ends.
	{"does not look at contexts", []string{"context ends", "model"}},
	{"has an error of its own for a context's end", []string{"context ends", "list ends early"}},
	{"looks at its context too late", []string{"context ends in a commit"}},
	{"works when closed", []string{"closed", "close while busy"}},
	{"closes once", []string{"closed", "close while busy"}},
	{"leaves a goroutine", []string{"nothing is left running"}},
	{"loses the newest when closed", []string{"close while busy", "reopen"}},

	// What only a Harness can do.
	{"reopened with nothing", []string{"reopen", "model"}},
	{"counts anew from its records", []string{"reopen"}},
	{"loses empty records when closed", []string{"reopen", "model"}},
	{"durable only when closed", []string{"crash", "model"}},
	{"the counter is durable only when closed", []string{"crash"}},
	{"another has other records", []string{"another", "another at once", "model"}},
	{"another counter for each that opens it", []string{"another", "another at once"}},
	{"refuses another by an error of its own", []string{"another"}},
	{"swallows what lies beneath", []string{"faults", "faults of reads"}},
	{"takes a version for what fails", []string{"faults"}},
	{"says it failed when it did not", []string{"faults"}},
	{"half of it on the disk", []string{"faults", "crash in a commit"}},
	{"leaves its lock to a panic", []string{"faults"}},
	{"answers nothing where a read fails", []string{"faults of reads"}},
	{"lists nothing where a read fails", []string{"faults of reads"}},
}
