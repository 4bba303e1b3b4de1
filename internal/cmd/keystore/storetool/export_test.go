package storetool

import "io"

// SetBatch sets how many records go into a commit.
func SetBatch(records int) (restore func()) {
	was := batchRecords
	batchRecords = records
	return func() { batchRecords = was }
}

// Draw draws a task of a number of records as on a terminal.
func Draw(w io.Writer, task string, total int, steps ...int) {
	p := &progress{w: w, terminal: true}
	p.begin(task, total)
	for _, n := range steps {
		p.add(n)
	}
	p.end()
}
