package storetool

// SetBatch sets how many records go into a commit.
func SetBatch(records int) (restore func()) {
	was := batchRecords
	batchRecords = records
	return func() { batchRecords = was }
}
