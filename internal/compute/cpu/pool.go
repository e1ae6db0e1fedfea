package cpu

import (
	"runtime"
	"sync/atomic"
)

// pool is a set of workers that share the pieces of one job after the other. The caller's goroutine is worker 0. Workers
// spin for a while after a job, then park.
type pool struct {
	workers []*worker
	job     atomic.Pointer[job]
	busy    atomic.Bool // a job is running: a nested one runs inline
	closed  atomic.Bool
	gemm    []gemmScratch // of every worker, the caller's first
}

// job is one call of run.
type job struct {
	f      func(piece, worker int)
	pieces int64
	next   atomic.Int64
	left   atomic.Int64 // workers that have not ended yet
	panic  atomic.Pointer[any]
}

// worker is a goroutine of the pool.
type worker struct {
	seen   *job
	parked atomic.Bool
	wake   chan struct{}
}

// spins is how often a worker looks for a new job before it parks: some 20 to 50 us.
const spins = 20000

func newPool(threads int) *pool {
	p := &pool{gemm: make([]gemmScratch, threads)}
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
		for n := 0; p.job.Load() == w.seen && !p.closed.Load(); n++ {
			if n < spins {
				if n%1024 == 1023 {
					runtime.Gosched()
				}
				continue
			}
			w.parked.Store(true)
			if p.job.Load() == w.seen && !p.closed.Load() || !w.parked.CompareAndSwap(true, false) {
				<-w.wake
			}
			n = 0
		}
		if p.closed.Load() {
			return
		}
		j := p.job.Load()
		w.seen = j
		j.work(id)
		j.left.Add(-1)
	}
}

// work does pieces until none is left. A panic ends the job early.
func (j *job) work(id int) {
	defer func() {
		if r := recover(); r != nil {
			j.next.Store(j.pieces)
			j.panic.CompareAndSwap(nil, &r)
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
// the number of threads. A panic of f is raised again here. A run inside f is done by its own worker alone.
func (p *pool) run(pieces int, f func(piece, worker int)) {
	if len(p.workers) == 0 || pieces == 1 || !p.busy.CompareAndSwap(false, true) {
		for i := range pieces {
			f(i, 0)
		}
		return
	}
	defer p.busy.Store(false)
	j := &job{f: f, pieces: int64(pieces)}
	j.left.Store(int64(len(p.workers)))
	p.job.Store(j)
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	j.work(0)
	for n := 0; j.left.Load() > 0; n++ {
		if n%1024 == 1023 {
			runtime.Gosched()
		}
	}
	if r := j.panic.Load(); r != nil {
		panic(*r)
	}
}
