package sealed

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// share is how many steps of parallel a goroutine takes at a time: a
// millisecond's worth.
const share = 8

// parallel does n steps on all cores, and waits for them. It returns the first
// step that failed, by number, and its error; others may not have been done.
func parallel(n int, step func(i int) error) (bad int, err error) {
	workers := min(runtime.GOMAXPROCS(0), (n+share-1)/share)
	var next atomic.Int64
	var mu sync.Mutex
	work := func() {
		for {
			from := int(next.Add(share)) - share
			if from >= n {
				return
			}
			for i := from; i < min(from+share, n); i++ {
				if e := step(i); e != nil {
					mu.Lock()
					if err == nil || i < bad {
						bad, err = i, e
					}
					mu.Unlock()
					break
				}
			}
		}
	}
	var all sync.WaitGroup
	for range workers - 1 {
		all.Go(work)
	}
	work()
	all.Wait()
	return bad, err
}
