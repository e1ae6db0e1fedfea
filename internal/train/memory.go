package train

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/report"
)

// Bytes that are known from measuring alone.
const (
	programBytes = 24 << 20 // the program, Go's runtime and its garbage between collections
	perToken     = 90       // a token of the vocabulary in the tokenizer
	perSequence  = 96       // a sequence in the index of the reference cache and in pass one's lists
	perExample   = 16       // an example in the order of an epoch, and its size while the run is planned
	perReference = 36       // an example's log-probs and entropies by the reference

	numberBytes = 4 // of weights, gradients and activations on a device
)

// planner works out what a run takes in memory before it begins, and chooses what depends on that: how many rows are computed together, and
// how many rows of logits are held. What weights, gradients, moments and graphs take is counted by the code that lays them out.
type planner struct {
	o         Options
	dev       compute.Device
	policy    *model.Config // nil for pass one alone
	reference *model.Config // nil where the reference's log-probs are not wanted
	needs     loss.Needs
	kept      bool      // they are only read from the cache
	trusted   bool      // they are those of the rows
	separate  bool      // the reference has weights of its own beside the policy's
	training  *schedule // nil for an evaluation alone
	train     data.Examples
	eval      data.Examples
	prompts   []int // rows of the held-out prompts that are answered, with their answers
	tokens    int   // of the vocabulary, in the tokenizer
}

// planned is what was chosen.
type planned struct {
	budget int // rows of a micro-batch: micro_batch_tokens
	held   held
	phases []plan.Phase
	limit  plan.Limit

	train, eval, pass, renewal plan.Size // of the largest micro-batches

	policy, reference *model.Config
	recompute         bool
	alignments        bool // the loss needs them
	compare           bool // the loss compares the distributions of policy and reference
}

func (x *planned) trainingGraph() model.GraphOptions { return x.policyGraph(x.train, true) }
func (x *planned) evalGraph() model.GraphOptions     { return x.policyGraph(x.eval, false) }
func (x *planned) passGraph() model.GraphOptions     { return x.graph(x.reference, x.pass, false) }
func (x *planned) renewalGraph() model.GraphOptions  { return x.graph(x.policy, x.renewal, false) }

// policyGraph are options of a graph of the policy, which gives what the loss needs.
func (x *planned) policyGraph(s plan.Size, training bool) model.GraphOptions {
	o := x.graph(x.policy, s, training)
	o.Alignments, o.KL = x.alignments, x.compare
	return o
}

// referenceGraph are options of the graph that the policy's are compared with, in training and in evaluations.
func (x *planned) referenceGraph() model.GraphOptions {
	s := x.train.Max(x.eval)
	return model.GraphOptions{Reference: true, Rows: s.Rows, Scored: s.Scored, Length: s.Length}
}

// graph are options of a graph for micro-batches of a size.
func (x *planned) graph(c *model.Config, s plan.Size, training bool) model.GraphOptions {
	return model.GraphOptions{Training: training, Recompute: training && x.recompute, Rows: s.Rows, Scored: s.Scored, Length: s.Length,
		Logits: x.held.logits(s.Scored, c.Spec.Vocab, training)}
}

// held says how many logits are held at once, from the fastest to what takes least memory: of all scored rows of the largest micro-batch in
// training, so that none is computed again on the way back; of three quarters and of half of them; of as few as may be. Results are the
// same bits.
type held int

const fewestLogits held = 3

// logits are numbers for model.GraphOptions, which holds those of one row at least and in training of a few hundred.
func (h held) logits(scored, vocab int, training bool) int {
	switch {
	case h == fewestLogits:
		return 1 << 20
	case training:
		return scored * (4 - int(h)) / 4 * vocab
	}
	return 16 << 20
}

// automatic are the budgets that are tried in turn where micro_batch_tokens is 0. Fewer rows at a time are little slower down to some
// hundred; a pair that is longer is computed alone anyway.
var automatic = []int{2048, 1024, 512, 256, 128, 64}

func (p *planner) budgets() []int {
	if p.o.MicroBatchTokens > 0 {
		return []int{p.o.MicroBatchTokens}
	}
	return automatic
}

// size is a plan.Size in little memory.
type size struct{ rows, scored, length int32 }

func compact(s plan.Size) size { return size{int32(s.Rows), int32(s.Scored), int32(s.Length)} }

func (s size) plan() plan.Size {
	return plan.Size{Rows: int(s.rows), Scored: int(s.scored), Length: int(s.length)}
}

// largest holds every micro-batch of examples with these sizes, in order.
func largest(list []size, budget int) plan.Size {
	return plan.Largest(func(yield func(plan.Size) bool) {
		for _, s := range list {
			if !yield(s.plan()) {
				return
			}
		}
	}, budget)
}

// sizes are those of examples: as they are, in pass one and in training. Where they do not differ they are one list.
type sizes struct{ whole, pass, training []size }

func sizesOf(x data.Examples) (s sizes) {
	n := x.Len()
	s.whole = make([]size, n)
	var differ atomic.Bool
	data.Each(x, func(i int, e *data.Example) {
		s.whole[i] = compact(sizeOf(e))
		if e.Imitated != nil || len(e.Own()) < len(e.Sequences) {
			differ.Store(true)
		}
	})
	s.pass, s.training = s.whole, s.whole
	if differ.Load() {
		s.pass, s.training = make([]size, n), make([]size, n)
		data.Each(x, func(i int, e *data.Example) {
			without := *e // what the policy alone imitates
			without.Imitated = nil
			s.pass[i], s.training[i] = compact(sizeOf(&without)), compact(trainingSize(e))
		})
	}
	return s
}

func sizeOf(e *data.Example) plan.Size {
	size := plan.Size{Rows: data.Rows(e), Scored: data.Scored(e)}
	for _, s := range e.Sequences {
		size.Length = max(size.Length, len(s.IDs))
	}
	if e.Imitated != nil {
		size.Length = max(size.Length, len(e.Imitated.IDs))
	}
	return size
}

// trainingSize holds an example in training. The mismatched row goes forward without the row itself.
func trainingSize(e *data.Example) plan.Size {
	own, mismatched := splitMismatched(e)
	if mismatched == nil {
		return sizeOf(e)
	}
	return sizeOf(own).Max(sizeOf(mismatched))
}

// splitMismatched is an example without its mismatched row, and that alone, nil if there is none.
func splitMismatched(e *data.Example) (own, mismatched *data.Example) {
	n := len(e.Own())
	if n == len(e.Sequences) {
		return e, nil
	}
	a, b := *e, *e
	a.Sequences, b.Sequences = e.Sequences[:n], e.Sequences[n:]
	return &a, &b
}

// largestInTraining are the sizes, one for each budget, that hold every micro-batch of the run. Of very long runs the steps at the beginning are
// looked at, and a bound holds the rest.
func largestInTraining(list []size, s *schedule, o *data.Options, budgets []int) []plan.Size {
	const most = 4 << 20 // examples looked at
	sizes := make([]plan.Size, len(budgets))
	var order []int32
	step := make([]size, 0, s.batch)
	for k := range s.total {
		epoch, at := k/s.stepsPerEpoch, k%s.stepsPerEpoch*s.batch
		if at == 0 && epoch > 0 && epoch*len(list) > most {
			var all, sum plan.Size
			for _, one := range list {
				x := one.plan()
				all = all.Max(x)
				sum.Rows, sum.Scored = sum.Rows+x.Rows, sum.Scored+x.Scored
			}
			for i, budget := range budgets {
				sizes[i] = plan.Size{Rows: max(all.Rows, min(sum.Rows, budget)), Scored: max(all.Scored, min(sum.Scored, budget)), Length: all.Length}
			}
			return sizes
		}
		if at == 0 {
			order = data.Order(len(list), o.Seed, epoch, o.Shuffle)
		}
		step = step[:0]
		for _, i := range order[at:min(at+s.batch, len(order))] {
			step = append(step, list[i])
		}
		for i, budget := range budgets {
			sizes[i] = sizes[i].Max(largest(step, budget))
		}
	}
	return sizes
}

// sized works out how large micro-batches become with each budget. The first budget under which every example is alone is the last.
func (p *planner) sized() []planned {
	train, eval, budgets := sizesOf(p.train), sizesOf(p.eval), p.budgets()
	var inTraining, renewed []plan.Size
	if p.training != nil {
		inTraining = largestInTraining(train.training, p.training, &p.o.Rows, budgets)
	}
	if p.training != nil && p.o.renewals() > 0 {
		renewed = largestInTraining(train.pass, p.training, &p.o.Rows, budgets)
	}
	var answers []size
	for _, n := range p.prompts {
		answers = append(answers, compact(plan.Size{Rows: n, Scored: 1, Length: n}))
	}
	var list []planned
	for i, budget := range budgets {
		x := planned{policy: p.policy, reference: p.reference, recompute: p.o.GradientCheckpointing, alignments: p.needs.Alignments, compare: p.needs.KL, budget: budget,
			pass: largest(train.pass, budget).Max(largest(eval.pass, budget)), eval: largest(eval.whole, budget)}
		switch {
		case p.training != nil:
			x.train = inTraining[i]
		case p.policy != nil:
			x.eval = largest(train.whole, budget)
		}
		if renewed != nil {
			x.renewal = renewed[i].Max(largest(eval.pass, budget))
		}
		x.eval = x.eval.Max(largest(answers, budget))
		list = append(list, x)
	}
	return list
}

// complete works out the phases of what was sized.
func (p *planner) complete(x *planned) {
	weights := func(c *model.Config) plan.Part {
		return plan.Part{Name: "weights", Bytes: numberBytes * int64(c.Parameters()), How: fmt.Sprintf("%s parameters in float32", report.Count(int64(c.Parameters())))}
	}
	examples := p.train.Len() + p.eval.Len()
	data := plan.Part{Name: "data", Bytes: p.train.Bytes() + p.eval.Bytes() + perExample*int64(examples), How: fmt.Sprintf("%s examples", report.Count(int64(examples)))}
	program := plan.Part{Name: "program", Bytes: programBytes + perToken*int64(p.tokens), How: "with the tokenizer"}
	rows := func(s plan.Size) string { return fmt.Sprintf("at most %s rows together", report.Count(int64(s.Rows))) }
	logits := func(c *model.Config, o model.GraphOptions) string {
		if n := o.LogitRows(&c.Spec, o.Scored); n < o.Scored {
			return fmt.Sprintf("logits of %s rows at a time, of at most %s", report.Count(int64(n)), report.Count(int64(o.Scored)))
		}
		return fmt.Sprintf("logits of at most %s rows", report.Count(int64(o.Scored)))
	}
	graph := func(c *model.Config, o model.GraphOptions, s plan.Size) []plan.Part {
		m := c.Memory(o)
		scratch := numberBytes*m.Scratch + p.dev.Workspace(c.Workload(o))
		return []plan.Part{{Name: "activations", Bytes: numberBytes * m.Activations, How: rows(s)}, {Name: "head", Bytes: numberBytes * m.Head, How: logits(c, o)},
			{Name: "scratch", Bytes: scratch, How: fmt.Sprintf("%d threads", p.dev.Threads())}}
	}
	x.phases = nil
	if p.reference != nil {
		parts := []plan.Part{weights(p.reference)}
		if p.policy != nil && p.separate {
			parts[0].Bytes += weights(p.policy).Bytes
			parts[0].How += ", beside the policy's"
		}
		if !p.kept {
			parts = append(parts, graph(p.reference, x.passGraph(), x.pass)...)
		}
		index := plan.Part{Name: "reference log-probs", Bytes: 2 * perSequence * int64(examples), How: "index of the cache"}
		x.phases = append(x.phases, plan.Phase{Name: "reference pass", Parts: append(parts, data, index, program)})
	}
	if p.policy == nil {
		return
	}
	phase := plan.Phase{Name: "evaluation", Parts: []plan.Part{weights(p.policy)}}
	evaluation := graph(p.policy, x.evalGraph(), x.eval)
	if p.training != nil {
		phase.Name = "training"
		phase.Parts = append(phase.Parts, plan.Part{Name: "gradients", Bytes: phase.Parts[0].Bytes, How: "float32"}, p.optimizer())
		o := x.trainingGraph()
		parts := graph(p.policy, o, x.train)
		if p.o.GradientCheckpointing {
			parts[0].How += ", blocks computed again"
		}
		phase.Parts = append(phase.Parts, parts...)
		beside := func(parts []plan.Part, o model.GraphOptions) int64 {
			n := -p.dev.Workspace(p.policy.Workload(o)) // which kernels use, whichever graph they run for
			for _, part := range parts {
				n += part.Bytes
			}
			return n
		}
		if x.eval.Rows > 0 {
			phase.Parts = append(phase.Parts, plan.Part{Name: "evaluation", Bytes: beside(evaluation, x.evalGraph()), How: rows(x.eval)})
		}
		if p.o.renewals() > 0 {
			n := weights(p.policy).Bytes + beside(graph(p.policy, x.renewalGraph(), x.renewal), x.renewalGraph())
			phase.Parts = append(phase.Parts, plan.Part{Name: "reference", Bytes: n, How: "weights of its own, for reference_update_steps, and " + rows(x.renewal)})
		}
	} else {
		phase.Parts = append(phase.Parts, evaluation...)
	}
	if p.needs.KL {
		phase.Parts = append(phase.Parts, p.besides(x, weights(p.reference)))
	}
	phase.Parts = append(phase.Parts, data)
	if p.reference != nil || p.trusted {
		part := plan.Part{Name: "reference log-probs", Bytes: perReference * int64(examples)}
		if p.needs.TokenWeights {
			tokens := tokenLogps(p.train) + tokenLogps(p.eval)
			part.Bytes, part.How = part.Bytes+tokens, "with those of every scored token"
		}
		phase.Parts = append(phase.Parts, part)
	}
	phase.Parts = append(phase.Parts, program)
	x.phases = append(x.phases, phase)
}

// tokenLogps is what the reference's log-probs of the examples' scored tokens take.
func tokenLogps(x data.Examples) (bytes int64) {
	const header = 24 // of a slice
	for _, e := range data.All(x) {
		for _, s := range e.Sequences {
			bytes += header + numberBytes*int64(len(s.IDs)-s.First)
		}
	}
	return bytes
}

// besides is what a reference takes that goes forward beside the policy: weights of its own, and a graph that keeps as little as pass one's.
func (p *planner) besides(x *planned, weights plan.Part) plan.Part {
	o := x.referenceGraph()
	m := p.reference.Memory(o)
	n := weights.Bytes + numberBytes*(m.Activations+m.Scratch+m.Head)
	policy := x.evalGraph()
	if p.training != nil {
		policy = x.trainingGraph()
	}
	// Kernels use one workspace, whichever graph they run for.
	n += max(0, p.dev.Workspace(p.reference.Workload(o))-p.dev.Workspace(p.policy.Workload(policy)))
	return plan.Part{Name: "reference", Bytes: n, How: "weights and forward pass of the model that is compared with"}
}

// optimizer is what moments take.
func (p *planner) optimizer() plan.Part {
	n := int64(p.policy.Parameters())
	if p.o.Optim == adamWBF16 {
		return plan.Part{Name: "optimizer", Bytes: 4 * n, How: "adamw_bf16: two moments of 2 bytes"}
	}
	return plan.Part{Name: "optimizer", Bytes: 8 * n, How: "adamw: two moments of 4 bytes"}
}

// fit chooses the largest budget with which everything fits into a limit, of 0 if there is none; with that the most logits.
func (p *planner) fit(limit int64) (best planned, ok bool) {
	var least planned
	for _, x := range p.sized() {
		for x.held = 0; x.held <= fewestLogits; x.held++ {
			p.complete(&x)
			total := plan.Peak(x.phases).Total()
			if limit == 0 || total <= limit {
				return x, true
			}
			if least.phases == nil || total < plan.Peak(least.phases).Total() {
				least = x
			}
		}
	}
	return least, false
}

// weights is the folder with the policy's.
func (r *runner) weights(from *checkpoint.Checkpoint) string {
	if from != nil {
		return from.Path()
	}
	return r.o.Model
}

// choosePlan decides what depends on memory, or refuses a run that does not fit.
func (r *runner) choosePlan(from *checkpoint.Checkpoint) (err error) {
	if err := r.checkBestMetric(); err != nil {
		return err
	}
	r.schedule = newSchedule(r.o, r.in.Train.Len())
	p := r.in.planner(r.o)
	p.training = &r.schedule
	if p.policy, err = model.LoadConfig(r.weights(from)); err != nil {
		return err
	}
	if r.demand, err = r.demands(from); err != nil {
		return err
	}
	p.trusted = r.demand == fromRows
	if r.demand.ofModel() {
		if p.reference, err = model.LoadConfig(r.o.RefModel); err != nil {
			return err
		}
		p.kept = r.demand == whatIsKept
		if err := r.o.checkRenewals(p.policy, p.reference); err != nil {
			return err
		}
		p.separate = from != nil || !r.o.ownReference()
		if err := r.o.checkComparison(r.loss, p.policy, p.reference, r.o.RefModel); err != nil {
			return err
		}
	}
	for _, s := range r.samples() {
		p.prompts = append(p.prompts, len(s.ids)+r.o.MaxNewTokens)
	}
	if r.planned, err = p.choose(); err != nil {
		return err
	}
	r.o.MicroBatchTokens = r.planned.budget
	return nil
}

// remedy is a change of settings that takes less memory.
type remedy struct {
	text  string
	apply func(*planner)
}

// remedies are those that are not taken yet and change no more than rounding, or not even that.
func (p *planner) remedies() []remedy {
	var list []remedy
	if p.o.MicroBatchTokens > 0 {
		list = append(list, remedy{"no micro_batch_tokens", func(q *planner) { q.o.MicroBatchTokens = 0 }})
	}
	if p.training != nil && !p.o.GradientCheckpointing {
		list = append(list, remedy{"gradient_checkpointing: true", func(q *planner) { q.o.GradientCheckpointing = true }})
	}
	if p.training != nil && p.o.Optim != adamWBF16 {
		list = append(list, remedy{"optim: " + adamWBF16, func(q *planner) { q.o.Optim = adamWBF16 }})
	}
	return list
}

// with is the planner with remedies.
func (p *planner) with(rs ...remedy) *planner {
	q := *p
	for _, r := range rs {
		r.apply(&q)
	}
	return &q
}

// least is the fewest bytes that the run takes.
func (p *planner) least() int64 {
	x, _ := p.fit(1)
	return plan.Peak(x.phases).Total()
}

// truncated is the planner for shorter sequences.
func (p *planner) truncated(maxLength int) *planner {
	q := *p
	q.o.Rows.MaxLength = maxLength
	q.train, q.eval = q.o.Rows.Cut(p.train), q.o.Rows.Cut(p.eval)
	if p.training != nil && q.train.Len() > 0 {
		s := newSchedule(&q.o, q.train.Len())
		q.training = &s
	}
	return &q
}

// shorter finds the largest max_length, in steps of 32, with which the run fits; ok is false if none does, or none is shorter.
func (p *planner) shorter(limit int64) (maxLength int, ok bool) {
	longest := 0
	for _, e := range data.All(data.Join(p.train, p.eval)) {
		for _, s := range e.Sequences {
			longest = max(longest, len(s.IDs))
		}
	}
	const step = 32
	fits := func(n int) bool {
		q := p.truncated(n * step)
		return q.train.Len() > 0 && q.least() <= limit
	}
	low, high := 0, (longest-1)/step // low fits, or is 0; above high nothing is cut
	for low < high {
		if mid := (low + high + 1) / 2; fits(mid) {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low * step, low > 0
}

// refusal is the error for a run that does not fit, with what would make it fit.
func (p *planner) refusal(x planned, limit plan.Limit) error {
	peak := plan.Peak(x.phases)
	total := peak.Total()
	advice := p.advice(limit.Bytes, total)
	return usage("memory: the %s takes %s (%s), more than %s (%s); %s", peak.Name, report.Bytes(total), list(peak), report.Bytes(limit.Bytes), limit.Why, advice)
}

// advice says how much each remedy saves, and which of them suffice.
func (p *planner) advice(limit, total int64) string {
	var saves []string
	all := p.remedies()
	suffices := ""
	enough := func(rs ...remedy) {
		if q := p.with(rs...); suffices == "" && q.least() <= limit {
			var texts []string
			for _, r := range rs {
				texts = append(texts, r.text)
			}
			suffices = strings.Join(texts, " and ")
		}
	}
	for _, r := range all {
		if less := total - p.with(r).least(); less > 0 {
			saves = append(saves, fmt.Sprintf("%s (%s less)", r.text, report.Bytes(less)))
		}
	}
	for i := range all {
		enough(all[i])
	}
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			enough(all[i], all[j])
		}
	}
	enough(all...)
	if n, ok := p.shorter(limit); ok {
		saves = append(saves, fmt.Sprintf("max_length: %d (%s less)", n, report.Bytes(total-p.truncated(n).least())))
		suffices = cmp.Or(suffices, fmt.Sprintf("max_length: %d", n))
	} else if n, ok := p.with(all...).shorter(limit); ok && suffices == "" {
		suffices = fmt.Sprintf("all of them and max_length: %d", n)
		if len(all) == 0 {
			suffices = fmt.Sprintf("max_length: %d", n)
		}
	}
	switch {
	case len(saves) == 0:
		return "take a smaller model, or a machine with more memory"
	case suffices == "":
		return fmt.Sprintf("smaller with %s, but all of it together does not fit either: take a smaller model, or a machine with more memory", strings.Join(saves, ", "))
	}
	return fmt.Sprintf("smaller with %s; it fits with %s", strings.Join(saves, ", "), suffices)
}

// list is a phase in a line: what takes a hundredth of it or more by name, the rest together.
func list(p plan.Phase) string {
	var words []string
	var rest int64
	for _, part := range p.Parts {
		if part.Bytes*100 < p.Total() {
			rest += part.Bytes
			continue
		}
		words = append(words, part.Name+" "+report.Bytes(part.Bytes))
	}
	if rest > 0 {
		words = append(words, "others "+report.Bytes(rest))
	}
	return strings.Join(words, ", ")
}

// limit is how much memory the run may take.
func (o *Options) limit() (plan.Limit, error) {
	if o.MemoryLimit == plan.Auto {
		return plan.FindLimit(), nil
	}
	n, err := plan.ParseBytes(o.MemoryLimit)
	if err != nil {
		return plan.Limit{}, usage("memory_limit: %s: %w", o.MemoryLimit, err)
	}
	return plan.Limit{Bytes: n, Why: "memory_limit: " + o.MemoryLimit}, nil
}

// choose fits the run into its limit, or refuses it.
func (p *planner) choose() (planned, error) {
	limit, err := p.o.limit()
	if err != nil {
		return planned{}, err
	}
	x, ok := p.fit(limit.Bytes)
	x.limit = limit
	if !ok {
		return x, p.refusal(x, limit)
	}
	limitGarbage(plan.Peak(x.phases).Total())
	debug.FreeOSMemory() // what reading the data has left
	return x, nil
}

// beside is what a reference takes that goes forward beside the policy.
func (x *planned) beside() int64 {
	for _, part := range x.phases[len(x.phases)-1].Parts {
		if part.Name == "reference" {
			return part.Bytes
		}
	}
	return 0
}

// summary is the plan in a line.
func (x *planned) summary() string {
	limit := x.limit
	peak := plan.Peak(x.phases)
	of := ""
	if limit.Bytes > 0 {
		of = fmt.Sprintf(" of %s (%s)", report.Bytes(limit.Bytes), limit.Why)
	}
	return fmt.Sprintf("memory: %s%s for the %s: %s", report.Bytes(peak.Total()), of, peak.Name, list(peak))
}

// print writes the plan as a table, a column for each phase.
func (x *planned) print(w io.Writer) {
	header := []string{"memory"}
	var names []string
	for _, p := range x.phases {
		header = append(header, p.Name)
	}
	for _, p := range slices.Backward(x.phases) { // the last has most parts
		for _, part := range p.Parts {
			if !slices.Contains(names, part.Name) {
				names = append(names, part.Name)
			}
		}
	}
	header = append(header, "")
	row := func(name string, cell func(plan.Phase) (int64, string)) []string {
		line, how := []string{name}, ""
		for _, p := range x.phases {
			n, h := cell(p)
			text := "-"
			if n > 0 {
				text = report.Bytes(n)
			}
			line, how = append(line, text), cmp.Or(h, how)
		}
		return append(line, how)
	}
	var table [][]string
	for _, name := range names {
		table = append(table, row(name, func(p plan.Phase) (int64, string) {
			for _, part := range p.Parts {
				if part.Name == name {
					return part.Bytes, part.How
				}
			}
			return 0, ""
		}))
	}
	table = append(table, row("together", func(p plan.Phase) (int64, string) { return p.Total(), "" }))
	if limit := x.limit; limit.Bytes > 0 {
		table[len(table)-1][len(header)-1] = fmt.Sprintf("of %s (%s)", report.Bytes(limit.Bytes), limit.Why)
	}
	report.Table(w, header, table)
}

// limitGarbage makes the collector of garbage run more often than it would by itself, which lets garbage grow as large as everything that
// is in use. What is in use is large here and quickly looked through, for most of it is numbers. Whoever sets GOGC is not overruled.
func limitGarbage(inUse int64) {
	const garbage = 16 << 20
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(int(min(100, max(1, 100*garbage/max(1, inUse)))))
	}
}

// peakMemory is the most memory that the process has had, as Linux counts it.
func peakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// logPeak says what the program took, where that is known.
func logPeak(log *slog.Logger) {
	if n := peakMemory(); n > 0 {
		log.Info("peak memory: " + report.Bytes(n))
	}
}
