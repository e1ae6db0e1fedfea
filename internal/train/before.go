package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"dpotrain/internal/data"
	"dpotrain/internal/generate"
	"dpotrain/internal/report"
)

// findings are what the policy is like on held-out examples at one point of a run.
type findings struct {
	metrics report.Row // of an evaluation, without eval_; nil if there was none
	answers []string   // to the prompts of samples
}

// findingsFile is how a checkpoint keeps findings: its run shows them at the end, whenever that comes.
type findingsFile struct {
	Metrics json.RawMessage `json:"metrics,omitempty"` // a report.Row
	Answers []string        `json:"answers,omitempty"`
}

func (f findings) MarshalJSON() ([]byte, error) {
	file := findingsFile{Answers: f.answers}
	if f.metrics != nil {
		file.Metrics = f.metrics.JSON()
	}
	return json.Marshal(file)
}

func (f *findings) UnmarshalJSON(text []byte) error {
	var file findingsFile
	if err := json.Unmarshal(text, &file); err != nil {
		return err
	}
	f.answers = file.Answers
	if file.Metrics == nil {
		return nil
	}
	var err error
	f.metrics, err = report.ParseRow(file.Metrics)
	return err
}

// sample is a held-out prompt that the policy answers.
type sample struct {
	text    string   // to be shown
	answers []string // chosen and rejected of its pair, best and worst of its list, or the completion
	label   data.Label
	ids     []int32
}

// samples are the first held-out prompts that differ, as many as sample_prompts says.
func (r *runner) samples() []sample {
	var list []sample
	if r.in.Eval == nil {
		return nil
	}
	for i, text := range r.in.Eval.Prompts() {
		sequences := r.in.Eval.Examples.At(i).Own()
		ids := sequences[0].IDs[:sequences[0].First]
		if len(list) == r.o.SamplePrompts {
			break
		}
		if slices.ContainsFunc(list, func(other sample) bool { return slices.Equal(other.ids, ids) }) {
			continue
		}
		if text == "" { // a message of other things than text, or no prompt at all
			text = r.in.Reader.Decode(ids)
		}
		one := sample{text: text, ids: ids, label: r.in.Eval.Examples.At(i).Label}
		if n := len(sequences); n > 2 {
			sequences = []data.Sequence{sequences[0], sequences[n-1]}
		}
		for _, s := range sequences {
			one.answers = append(one.answers, r.in.Reader.Decode(s.IDs[s.First:]))
		}
		list = append(list, one)
	}
	return list
}

// answers are what the policy says to the samples.
func (r *runner) answers(ctx context.Context) ([]string, error) {
	var prompts [][]int32
	for _, s := range r.samples() {
		prompts = append(prompts, s.ids)
	}
	o := generate.Options{MaxNewTokens: r.o.MaxNewTokens, Rows: r.o.MicroBatchTokens, Stop: r.in.Reader.StopIDs()}
	if s := r.in.Policy.Config.Spec; s.Rope == nil {
		o.MaxLength = s.Positions
	}
	answers, err := generate.Greedy(ctx, r.evalGraph, prompts, o)
	if err != nil {
		return nil, fmt.Errorf("sample_prompts: %w", err)
	}
	texts := make([]string, len(answers))
	for i, a := range answers {
		texts[i] = r.in.Reader.Decode(a.IDs)
		if !a.Stopped {
			texts[i] += " ..."
		}
	}
	return texts, nil
}

// measures are the rows of the table at the end, those of them that the loss has, with what each is in plain words, short
// enough for a terminal of 80 columns.
var measures = []struct{ name, what string }{
	{"logps/accuracies", "share: chosen likelier than rejected"},
	{"rewards/accuracies", "share: chosen gained more than rejected"},
	{"rewards/margins", "nats times beta: how much more"},
	{"logps/chosen", "nats: log-prob of the chosen answer"},
	{"logps/rejected", "nats: log-prob of the rejected answer"},
	{"loss", "what training lowers"},
}

// showChange prints what the run did to the policy: measures and answers before and after.
func (r *runner) showChange(w io.Writer) {
	if r.before.metrics != nil && r.after.metrics != nil {
		var table [][]string
		for _, m := range measures {
			before, ok := r.before.metrics.Value(m.name)
			after, _ := r.after.metrics.Value(m.name)
			if !ok {
				continue
			}
			table = append(table, []string{m.name, fmt.Sprintf("%.3f", before), fmt.Sprintf("%.3f", after), m.what})
		}
		n := report.Count(int64(r.in.Eval.Len()))
		fmt.Fprintf(w, "\nOn %s held-out %s, before training and after:\n\n", n, plural(r.in.Eval))
		report.Table(w, []string{"", "before", "after", "unit and meaning"}, table)
		if ties, _ := r.before.metrics.Value("rewards/ties"); ties == 1 {
			fmt.Fprintf(w, "\nGained: compared with the reference. The policy began as the reference, so before\ntraining %s of %s %s are tied.\n", n, n, plural(r.in.Eval))
		}
	}
	if r.renewal != nil && r.renewal.step > 0 && r.after.metrics != nil {
		fmt.Fprintf(w, "\nThe reference was renewed on the way, last after step %d: what was gained after\ntraining counts from the last renewal before the evaluation.\n", r.renewal.step)
	}
	samples := r.samples()
	if len(samples) == 0 {
		return
	}
	const columns = 500
	fmt.Fprintf(w, "\nHeld-out prompts, how the data answers them, and what the model says:\n")
	for i, s := range samples {
		fmt.Fprintf(w, "\n  %s\n", report.Line(s.text, columns))
		names := []string{"chosen", "rejected"}
		if len(s.answers) == 1 {
			names = []string{"wanted"}
		}
		if s.label == data.Undesirable {
			names = []string{"unwanted"}
		}
		for k, name := range names {
			fmt.Fprintf(w, "    %-9s %s\n", name, report.Line(s.answers[k], columns))
		}
		for _, side := range []struct {
			when    string
			answers []string
		}{{"before", r.before.answers}, {"after", r.after.answers}} {
			if i < len(side.answers) {
				fmt.Fprintf(w, "    %-9s %s\n", side.when, report.Line(side.answers[i], columns))
			}
		}
	}
	fmt.Fprintln(w)
}
