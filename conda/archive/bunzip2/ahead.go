package bunzip2

import (
	"io"
	"runtime"
)

const (
	mostAhead = 4 // blocks of one source that are decoded, or wait to be read; each takes some MB
	mostWrong = 2 // numbers that turn out not to begin a block, until no more are looked for: by chance there is none
)

// ahead decodes blocks before it is their turn.
type ahead struct {
	pool    *Pool
	src     io.ReaderAt
	size    int64
	scanner scanner
	jobs    []*job // by where they are
	most    int
	wrong   int
}

// job is what may be a block, being decoded.
type job struct {
	bit  int64 // behind the number
	done chan struct{}
	block
	err error
}

// block is the block at the bit, behind its number. Bits only grow.
func (a *ahead) block(bit int64) (block, error) {
	for len(a.jobs) > 0 && a.jobs[0].bit < bit {
		a.drop()
		a.wrong++
	}
	var j *job
	if len(a.jobs) > 0 && a.jobs[0].bit == bit {
		j, a.jobs = a.jobs[0], a.jobs[1:]
	}
	a.scanner.skip(bit)
	a.start()
	if j == nil {
		return a.pool.decode(a.src, a.size, bit)
	}
	<-j.done
	return j.block, j.err
}

// start decodes what else may be a block.
func (a *ahead) start() {
	for len(a.jobs) < a.most && a.wrong < mostWrong {
		if int(a.pool.running.Add(1)) > runtime.GOMAXPROCS(0) {
			a.pool.running.Add(-1)
			return
		}
		bit, ok := a.scanner.next()
		if !ok {
			a.pool.running.Add(-1)
			a.most = 0
			return
		}
		j := &job{bit: bit, done: make(chan struct{})}
		a.jobs = append(a.jobs, j)
		go func() {
			defer close(j.done)
			defer a.pool.running.Add(-1)
			j.block, j.err = a.pool.decode(a.src, a.size, bit)
		}()
	}
}

// drop waits for the first job, and lets others have what it took.
func (a *ahead) drop() {
	j := a.jobs[0]
	a.jobs = a.jobs[1:]
	<-j.done
	if j.room != nil {
		a.pool.rooms.Put(j.room)
	}
}

// close waits until nothing is read any more.
func (a *ahead) close() {
	a.most = 0
	for len(a.jobs) > 0 {
		a.drop()
	}
}
