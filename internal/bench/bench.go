// Package bench measures what this machine can do and what share of it a model's passes reach.
//
// Peaks are those of internal/compute/cpu: multiply-adds on registers. The floor of a pass is the time that its flops (model.Model.Flops, three
// times as many for training, and once more for rows that only go forward there: see train.Measure) would take at the measured peak of the
// precision that runs: no program that computes the same rows in that precision is faster. Times on a shared machine mean little by themselves;
// shares and ratios within one report do.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

// Report is everything that was measured.
type Report struct {
	Kernels  string    `json:"kernels"` // level
	Threads  int       `json:"threads"`
	Machine  []Machine `json:"machine,omitempty"`
	Products []Product `json:"products,omitempty"`
	Passes   []Pass    `json:"passes,omitempty"`
}

// Machine is what a number of threads can do.
type Machine struct {
	Threads   int     `json:"threads"`
	FP32      float64 `json:"fp32_flops"` // a second; 0: not measured
	BF16      float64 `json:"bf16_flops"`
	Bandwidth float64 `json:"read_bytes"` // a second
}

// Product is a linear layer's three products, in flops a second. The last Product of a precision and number of threads, named total, is the
// mean by flops.
type Product struct {
	Layer     string  `json:"layer"`
	Tokens    int     `json:"tokens,omitempty"`
	Precision string  `json:"precision"`
	Threads   int     `json:"threads"`
	Forward   float64 `json:"forward_flops,omitempty"`
	Input     float64 `json:"input_gradient_flops,omitempty"`
	Weights   float64 `json:"weight_gradient_flops,omitempty"`
	Share     float64 `json:"share_of_peak"` // of all three
}

// Pass is a reference or training pass over pairs.
type Pass struct {
	Pass       string  `json:"pass"`
	Precision  string  `json:"precision"`
	Threads    int     `json:"threads"`
	Pairs      int     `json:"pairs"`
	Rows       int     `json:"rows"`
	Seconds    float64 `json:"seconds"`
	Floor      float64 `json:"floor_seconds"`
	Share      float64 `json:"share_of_floor"`
	RowsPerS   float64 `json:"tokens_per_second"` // rows computed
	PairsPerS  float64 `json:"pairs_per_second"`
	PeakMemory int64   `json:"peak_memory_bytes"` // of the process, from its start of this measurement on; 0: not known here
}

// kernels are the precisions that this machine has, each at the level that the wish for one comes to.
func kernels(level string) (all []compute.Options) {
	for _, precision := range []string{"fp32", "bf16"} {
		if o, err := cpu.Resolve(compute.Options{CPU: level, Precision: precision}); err == nil {
			all = append(all, o)
		}
	}
	return all
}

func threadCounts(all int) []int {
	if all == 1 {
		return []int{1}
	}
	return []int{1, all}
}

// peak is that of a precision.
func (m Machine) peak(precision string) float64 {
	if precision == "bf16" {
		return m.BF16
	}
	return m.FP32
}

// machine finds what so many threads can do, measuring it if need be.
func (r *Report) machine(threads int) Machine {
	for _, m := range r.Machine {
		if m.Threads == threads {
			return m
		}
	}
	m := Machine{Threads: threads, FP32: cpu.Peak(false, threads), BF16: cpu.Peak(true, threads), Bandwidth: cpu.Bandwidth(threads)}
	r.Machine = append(r.Machine, m)
	return m
}

// MeasureMachine measures peaks, bandwidth and products with one thread and with all.
func (r *Report) MeasureMachine(ctx context.Context, o compute.Options, progress io.Writer) error {
	for _, threads := range threadCounts(r.Threads) {
		r.machine(threads)
	}
	kernels := kernels(o.CPU)
	bar := report.NewProgress(progress, "products", int64(len(kernels)*len(threadCounts(r.Threads))*len(cpu.Layers)), "layers")
	defer bar.Done()
	for i, kn := range kernels {
		precision := kn.Precision
		if i > 0 && kn.CPU != kernels[0].CPU {
			r.Kernels = fmt.Sprintf("%s, %s in %s", kernels[0].CPU, kn.CPU, precision)
		}
		for _, threads := range threadCounts(r.Threads) {
			kn.Threads = threads
			d, err := cpu.New(kn)
			if err != nil {
				return err
			}
			peak := r.machine(threads).peak(precision)
			var flops, seconds float64
			for _, l := range cpu.Layers {
				if err := ctx.Err(); err != nil {
					d.Close()
					return err
				}
				p := Product{Layer: l.Name, Tokens: l.Tokens, Precision: precision, Threads: threads}
				p.Forward, p.Input, p.Weights = d.Products(l)
				took := l.Flops() * (1/p.Forward + 1/p.Input + 1/p.Weights)
				p.Share = share(3*l.Flops()/took, peak)
				flops, seconds = flops+3*l.Flops(), seconds+took
				r.Products = append(r.Products, p)
				bar.Add(1, l.Name)
			}
			d.Close()
			r.Products = append(r.Products, Product{Layer: "total", Precision: precision, Threads: threads, Share: share(flops/seconds, peak)})
		}
	}
	return nil
}

func share(x, of float64) float64 {
	if of == 0 {
		return 0
	}
	return x / of
}

// MeasurePasses measures a reference and a training pass of the model over the first pairs of the data.
func (r *Report) MeasurePasses(ctx context.Context, req train.Request, pairs int) error {
	debug.FreeOSMemory()
	resetPeakMemory()
	m, err := train.Measure(ctx, req, pairs, func(what string) { req.Log.Info("measuring: " + what) })
	if err != nil {
		return err
	}
	resolved, err := cpu.Resolve(req.Options.Compute)
	if err != nil {
		return err
	}
	peak := r.machine(r.Threads).peak(resolved.Precision)
	for _, p := range []struct {
		name string
		train.Pass
	}{{"reference", m.Reference}, {"training", m.Training}} {
		pass := Pass{Pass: p.name, Precision: resolved.Precision, Threads: r.Threads, Pairs: m.Pairs, Rows: m.Rows, Seconds: p.Seconds,
			RowsPerS: float64(m.Rows) / p.Seconds, PairsPerS: float64(m.Pairs) / p.Seconds, PeakMemory: p.PeakMemory}
		if peak > 0 {
			pass.Floor = p.Flops / peak
			pass.Share = pass.Floor / p.Seconds
		}
		r.Passes = append(r.Passes, pass)
	}
	return nil
}

// Print writes the report as tables.
func (r *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "kernels %s, %d threads\n", r.Kernels, r.Threads)
	if len(r.Machine) > 0 {
		var rows [][]string
		for _, m := range r.Machine {
			rows = append(rows, []string{strconv.Itoa(m.Threads), giga(m.FP32), giga(m.BF16), giga(m.Bandwidth)})
		}
		fmt.Fprintln(w)
		report.Table(w, []string{"threads", "fp32 GFLOP/s", "bf16 GFLOP/s", "read GB/s"}, rows)
	}
	if len(r.Products) > 0 {
		var rows [][]string
		for _, p := range r.Products {
			tokens := ""
			if p.Tokens > 0 {
				tokens = report.Count(int64(p.Tokens))
			}
			rows = append(rows, []string{p.Precision, strconv.Itoa(p.Threads), p.Layer, tokens, giga(p.Forward), giga(p.Input), giga(p.Weights), percent(p.Share)})
		}
		fmt.Fprintln(w)
		report.Table(w, []string{"products", "threads", "layer", "tokens", "forward GFLOP/s", "d input", "d weights", "of peak"}, rows)
	}
	if len(r.Passes) > 0 {
		var rows [][]string
		for _, p := range r.Passes {
			memory := "-"
			if p.PeakMemory > 0 {
				memory = report.Bytes(p.PeakMemory)
			}
			rows = append(rows, []string{p.Pass, p.Precision, strconv.Itoa(p.Threads), report.Count(int64(p.Pairs)), report.Count(int64(p.Rows)), fmt.Sprintf("%.2f s", p.Seconds),
				fmt.Sprintf("%.2f s", p.Floor), percent(p.Share), report.Count(int64(p.RowsPerS)), fmt.Sprintf("%.3g", p.PairsPerS), memory})
		}
		fmt.Fprintln(w)
		report.Table(w, []string{"pass", "precision", "threads", "pairs", "rows", "took", "floor", "of floor", "tokens/s", "pairs/s", "peak memory"}, rows)
	}
}

func giga(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", x/1e9)
}

func percent(x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*x)
}

// resetPeakMemory makes Linux forget the peak so far; elsewhere, and where that is not allowed, the peak is since the start.
func resetPeakMemory() {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}
