package cpu

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// checkJob runs a job and wants every piece done once, by workers that are each in one place at a time.
func checkJob(t *testing.T, p *pool, threads, pieces int) {
	t.Helper()
	done := make([]atomic.Int32, pieces)
	inside := make([]atomic.Int32, threads)
	p.run(pieces, func(piece, worker int) {
		if inside[worker].Add(1) != 1 {
			t.Errorf("worker %d does two pieces at a time", worker)
		}
		done[piece].Add(1)
		inside[worker].Add(-1)
	})
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Fatalf("%d threads, %d pieces: piece %d was done %d times", threads, pieces, i, n)
		}
	}
}

// eachPool runs a test on pools of 1 to 4 threads and wants all their goroutines gone at the end.
func eachPool(t *testing.T, f func(t *testing.T, p *pool, threads int)) {
	for threads := 1; threads <= 4; threads++ {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			before := runtime.NumGoroutine()
			p := newPool(threads)
			f(t, p, threads)
			p.close()
			for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("%d goroutines, there were %d before the pool was made", runtime.NumGoroutine(), before)
				}
			}
		})
	}
}

// waitParked waits until all workers have parked.
func waitParked(t *testing.T, p *pool) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	for _, w := range p.workers {
		for !w.parked.Load() {
			if time.Now().After(end) {
				t.Fatal("a worker without work does not park")
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
}

func TestPoolManySmallJobs(t *testing.T) {
	eachPool(t, func(t *testing.T, p *pool, threads int) {
		for i := range 2000 {
			checkJob(t, p, threads, i%9)
		}
	})
}

func TestPoolParkedWorkers(t *testing.T) {
	eachPool(t, func(t *testing.T, p *pool, threads int) {
		for range 5 {
			waitParked(t, p)
			checkJob(t, p, threads, 3*threads)
		}
		waitParked(t, p) // and then they are closed
	})
}

// panicOf returns what f panics with.
func panicOf(f func()) (r any) {
	defer func() { r = recover() }()
	f()
	return nil
}

// TestPoolPanics: a panic of any piece, on any worker, reaches the caller of run, and the pool goes on.
func TestPoolPanics(t *testing.T) {
	eachPool(t, func(t *testing.T, p *pool, threads int) {
		for bad := range 20 {
			if r := panicOf(func() {
				p.run(20, func(piece, _ int) {
					if piece == bad {
						panic(fmt.Sprintf("piece %d", piece))
					}
				})
			}); r != fmt.Sprintf("piece %d", bad) {
				t.Fatalf("a panic of piece %d came out as %v", bad, r)
			}
			if r := panicOf(func() { p.run(20, func(int, int) { panic("all") }) }); r != "all" {
				t.Fatalf("panics of all pieces came out as %v", r)
			}
			checkJob(t, p, threads, 10)
		}
	})
}

// TestPoolNested: a job inside a job would use memory of a worker that is at work. It is refused on every worker.
func TestPoolNested(t *testing.T) {
	eachPool(t, func(t *testing.T, p *pool, threads int) {
		for _, pieces := range []int{1, 2, 20} {
			r := panicOf(func() { p.run(pieces, func(int, int) { p.run(1, func(int, int) {}) }) })
			if s, _ := r.(string); !strings.Contains(s, "a job inside a job") {
				t.Fatalf("%d pieces: %v", pieces, r)
			}
			checkJob(t, p, threads, 10)
		}
	})
}

// TestPoolLateWorker: a worker that does not come is not waited for.
func TestPoolLateWorker(t *testing.T) {
	p := &pool{workers: []*worker{{wake: make(chan struct{}, 1)}}, gemm: make([]gemmScratch, 2)}
	p.job.gate.Store(closed)
	for pieces := range 20 {
		checkJob(t, p, 2, pieces)
	}
	if p.job.enter() {
		t.Error("the job can be entered after its end")
	}
}
