package cpu

import (
	"runtime"
	"sync/atomic"
)

// pool is a set of workers that share the pieces of one job after the other. The caller's goroutine is worker 0. Workers
// spin for a while after a job, then park. A worker that comes too late, because its processor has other things to do, finds
// the job closed: the caller waits for those only that are at a piece. A pool makes no garbage of its own: job and product
// are used again and again.
type pool struct {
	workers []*worker
	job     job
	number  atomic.Int64 // of the job at hand, counted from 1; a worker that has not seen it has something to do
	busy    bool         // a job is running
	closed  atomic.Bool
	gemm    []gemmScratch // of every worker, the caller's first
	product product       // at hand
	grid    struct {      // of its parts
		rows, columns int
		call          func(piece, worker int) // computes a part; made once
	}
}

// job is one call of run.
type job struct {
	f      func(piece, worker int)
	pieces int64
	next   atomic.Int64
	gate   atomic.Int64 // workers at this job besides the caller; closed added to it once nobody may come in
	panic  atomic.Pointer[any]
}

// closed is far below minus the number of workers.
const closed = -1 << 32

// enter says whether a worker may take part; then it has to leave.
func (j *job) enter() bool {
	for {
		n := j.gate.Load()
		if n < 0 {
			return false
		}
		if j.gate.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (j *job) leave() { j.gate.Add(-1) }

// worker is a goroutine of the pool.
type worker struct {
	seen   int64 // the last job
	parked atomic.Bool
	wake   chan struct{}
}

// spins is how often a worker looks for a new job before it parks: some 20 to 50 us.
const spins = 20000

func newPool(threads int) *pool {
	p := &pool{gemm: make([]gemmScratch, threads)}
	p.job.gate.Store(closed)
	for i := 1; i < threads; i++ {
		w := &worker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		go p.serve(w, i)
	}
	return p
}

// close ends the workers. No job may be running.
func (p *pool) close() {
	p.closed.Store(true)
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
}

// serve is the life of worker id.
func (p *pool) serve(w *worker, id int) {
	for {
		for n := 0; p.number.Load() == w.seen && !p.closed.Load(); n++ {
			if n < spins {
				if n%1024 == 1023 {
					runtime.Gosched()
				}
				continue
			}
			w.parked.Store(true)
			if p.number.Load() == w.seen && !p.closed.Load() || !w.parked.CompareAndSwap(true, false) {
				<-w.wake
			}
			n = 0
		}
		if p.closed.Load() {
			return
		}
		w.seen = p.number.Load()
		if p.job.enter() { // the job that was seen, or one that came since
			p.job.work(id)
			p.job.leave()
		}
	}
}

// work does pieces until none is left. A panic ends the job early.
func (j *job) work(id int) {
	defer func() {
		if r := recover(); r != nil {
			first := r
			j.next.Store(j.pieces)
			j.panic.CompareAndSwap(nil, &first)
		}
	}()
	for {
		i := j.next.Add(1) - 1
		if i >= j.pieces {
			return
		}
		j.f(int(i), id)
	}
}

// run calls f for every piece in [0, pieces), on any of the workers, and returns when all calls have. worker is below
// the number of threads and names the memory that f may use. A panic of f is raised again here. f may not call run: the
// memory of its worker is taken.
func (p *pool) run(pieces int, f func(piece, worker int)) {
	if p.busy {
		panic("cpu: a job inside a job, or a device used by two goroutines")
	}
	p.busy = true
	defer func() { p.busy = false }()
	if len(p.workers) == 0 || pieces <= 1 {
		for i := range pieces {
			f(i, 0)
		}
		return
	}
	j := &p.job
	j.f, j.pieces = f, int64(pieces)
	j.next.Store(0)
	j.panic.Store(nil)
	j.gate.Store(0)
	p.number.Add(1)
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	j.work(0)
	j.gate.Add(closed)
	for n := 0; j.gate.Load() != closed; n++ {
		if n%1024 == 1023 {
			runtime.Gosched()
		}
	}
	j.f = nil
	if r := j.panic.Load(); r != nil {
		panic(*r)
	}
}
